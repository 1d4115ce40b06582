"""The functional executor: programs in NumPy, many instances at once."""

from __future__ import annotations

__all__ = ["Executable", "Memory", "Options", "check_supported", "execute", "prepare"]

from kernelevolve.backends.mtia.executor.launching import Options, execute
from kernelevolve.backends.mtia.executor.memory import Memory
from kernelevolve.backends.mtia.executor.preparing import Executable, check_supported, prepare
