"""Accelerator ``numba-cuda``: the toolkit it compiles with, the compile itself, and the interpreter for sources."""
