"""From a driver's error to an outcome."""

from __future__ import annotations

__all__ = ["outcome_of"]

from kernelevolve.backends._gpu.driver import DriverError, ErrorKind
from kernelevolve.outcome import CandidateError, DeviceFault, DeviceLost, LaunchError, OutOfMemory, ToolchainError


def outcome_of(error: DriverError, doing: str) -> CandidateError:
    """The failure that `error` is, where it came up while `doing` something (``launching softmax_rows``).

    A fault is sticky: every later call on the device fails with it, so the process must be replaced.
    """
    message = f"while {doing}: {error}"
    match error.kind:
        case ErrorKind.FAULT:
            return DeviceFault(f"the device failed {message}", signal=None)
        case ErrorKind.LOST:
            return DeviceLost(f"the device was lost {message}", log=str(error))
        case ErrorKind.MEMORY:
            return OutOfMemory(f"the driver ran out of memory {message}", needed=None, limit=None)
        case ErrorKind.IMAGE:
            return ToolchainError(f"the driver refused a binary {message}", log=str(error))
    return LaunchError(f"the driver refused {message}", code=error.name)
