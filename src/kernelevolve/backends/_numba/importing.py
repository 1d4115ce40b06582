"""The first import of Numba in a process: with numba-cuda as ``numba.cuda``, and with or without its simulator."""

from __future__ import annotations

__all__ = ["import_cuda"]

import importlib
import os
from typing import Any, Final

from kernelevolve.outcome import ToolchainError

#: What switches numba-cuda to its simulator. It is read once, while Numba is first imported.
_SIMULATOR: Final = "NUMBA_ENABLE_CUDASIM"


def import_cuda(*, simulator: bool = False) -> Any:
    """The module ``numba.cuda``, for compiling or with its simulator; a process has one of the two.

    Raises `ToolchainError` where this process already has the other one, or Numba's built-in target.
    """
    import numpy as np  # noqa: PLC0415  # needed beside Numba alone

    if simulator:
        os.environ[_SIMULATOR] = "1"
    importlib.import_module("_numba_cuda_redirector")  # done at start-up, but for packages outside of site-packages
    # NumPy 2.5 has no `row_stack` any more. numba-cuda up to 0.30 asks for it, once, to overload it for its arrays.
    alias = not hasattr(np, "row_stack")
    if alias:
        vars(np)["row_stack"] = np.vstack
    try:
        cuda = importlib.import_module("numba.cuda")
        if alias and not simulator:
            importlib.import_module(
                "numba.cuda.np.arrayobj"
            )  # what asks; otherwise it is imported by the first compile
    finally:
        if alias:
            del vars(np)["row_stack"]
    if getattr(cuda, "implementation", None) != "NVIDIA":
        raise ToolchainError("numba.cuda is Numba's built-in target; the package numba-cuda is needed", log="")
    if bool(cuda.config.ENABLE_CUDASIM) != simulator:
        have, want = ("the simulator", "the compiler") if not simulator else ("the compiler", "the simulator")
        message = f"this process has imported Numba with {have}; {want} needs a process of its own"
        raise ToolchainError(message, log="")
    return cuda
