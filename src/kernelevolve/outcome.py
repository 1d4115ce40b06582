"""How an evaluation can end: one closed enum, and one exception for each way to fail.

The exceptions hold structured fields, so that they survive a process boundary as JSON (`to_record`, `from_record`) and
a report can say more than a sentence.
"""

from __future__ import annotations

__all__ = [
    "CandidateError",
    "CompileError",
    "CompileTimeout",
    "ConstraintViolated",
    "DeviceFault",
    "DeviceLost",
    "Implausible",
    "InputModified",
    "LaunchError",
    "Nondeterministic",
    "OutOfBounds",
    "OutOfMemory",
    "Outcome",
    "PluginBug",
    "Rejected",
    "ResourceExceeded",
    "RunTimeout",
    "ToolchainError",
    "Unstable",
    "WrongResult",
    "from_record",
]

import enum
from collections.abc import Mapping
from typing import Any, ClassVar, Final


class Outcome(enum.StrEnum):
    """How one evaluation ended. Closed: nothing outside this list is ever stored or reported."""

    CORRECT = "CORRECT"
    CONSTRAINT = "CONSTRAINT"
    REJECTED = "REJECTED"
    COMPILE_ERROR = "COMPILE_ERROR"
    COMPILE_TIMEOUT = "COMPILE_TIMEOUT"
    TOOLCHAIN_ERROR = "TOOLCHAIN_ERROR"
    RESOURCE_EXCEEDED = "RESOURCE_EXCEEDED"
    LAUNCH_ERROR = "LAUNCH_ERROR"
    DEVICE_FAULT = "DEVICE_FAULT"
    RUN_TIMEOUT = "RUN_TIMEOUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    WRONG_RESULT = "WRONG_RESULT"
    OUT_OF_BOUNDS = "OUT_OF_BOUNDS"
    NONDETERMINISTIC = "NONDETERMINISTIC"
    INPUT_MODIFIED = "INPUT_MODIFIED"
    IMPLAUSIBLE = "IMPLAUSIBLE"
    UNSTABLE = "UNSTABLE"
    UNMEASURED = "UNMEASURED"
    DEVICE_LOST = "DEVICE_LOST"
    PLUGIN_BUG = "PLUGIN_BUG"

    @property
    def right(self) -> bool:
        """Whether the kernel computed the right result: measured, or on a realm that has no clock."""
        return self in (Outcome.CORRECT, Outcome.UNMEASURED)


class CandidateError(Exception):
    """One candidate failed in one precise way. It never ends a run."""

    outcome: ClassVar[Outcome]
    #: Names of the structured fields, all of them JSON values.
    fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, message: str, **details: Any) -> None:
        unknown = set(details) - set(self.fields)
        if unknown:
            raise TypeError(
                f"{type(self).__name__} has no field {sorted(unknown)[0]!r}; it has {', '.join(self.fields)}"
            )
        self.message = message
        self.details: dict[str, Any] = details
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return (from_record, (self.to_record(),))

    def to_record(self) -> dict[str, Any]:
        """The failure as JSON values."""
        return {"outcome": self.outcome.value, "message": self.message, "details": self.details}


class ConstraintViolated(CandidateError):
    """The configuration breaks one of the kernel's constraints, or the kernel's ``when`` excludes the workload."""

    outcome = Outcome.CONSTRAINT
    fields = ("constraint",)


class Rejected(CandidateError):
    """The gate refused the source before anything was compiled."""

    outcome = Outcome.REJECTED
    fields = ("rule", "line")


class CompileError(CandidateError):
    """The toolchain refused the source."""

    outcome = Outcome.COMPILE_ERROR
    fields = ("stage", "log", "line")


class CompileTimeout(CandidateError):
    """The compiler did not finish within its limit (seconds)."""

    outcome = Outcome.COMPILE_TIMEOUT
    fields = ("limit",)


class ToolchainError(CandidateError):
    """The toolchain itself broke: an internal compiler error, a missing component."""

    outcome = Outcome.TOOLCHAIN_ERROR
    fields = ("log",)


class ResourceExceeded(CandidateError):
    """The device has less of a resource than the kernel needs."""

    outcome = Outcome.RESOURCE_EXCEEDED
    fields = ("resource", "needed", "limit")


class LaunchError(CandidateError):
    """The driver refused the launch."""

    outcome = Outcome.LAUNCH_ERROR
    fields = ("code",)


class DeviceFault(CandidateError):
    """The kernel broke the device or its process (illegal address, crash); the worker was replaced."""

    outcome = Outcome.DEVICE_FAULT
    fields = ("signal",)


class RunTimeout(CandidateError):
    """The kernel did not finish within its limit (seconds)."""

    outcome = Outcome.RUN_TIMEOUT
    fields = ("limit",)


class OutOfMemory(CandidateError):
    """Device memory, or the worker's memory limit, was exhausted (bytes)."""

    outcome = Outcome.OUT_OF_MEMORY
    fields = ("needed", "limit")


class WrongResult(CandidateError):
    """An output differs from the oracle by more than the tolerance."""

    outcome = Outcome.WRONG_RESULT
    fields = (
        "output",
        "max_abs",
        "max_rel",
        "allowed",
        "first_bad_index",
        "got",
        "want",
        "count",
        "total",
        "workload",
        "distribution",
        "kind",
    )


class OutOfBounds(CandidateError):
    """A guard zone beside a buffer was written, or a result depends on memory outside the buffers."""

    outcome = Outcome.OUT_OF_BOUNDS
    fields = ("buffer", "side", "offset", "workload")


class Nondeterministic(CandidateError):
    """The same inputs gave a right and a wrong result."""

    outcome = Outcome.NONDETERMINISTIC
    fields = ("output", "workload")


class InputModified(CandidateError):
    """The kernel wrote to one of its inputs."""

    outcome = Outcome.INPUT_MODIFIED
    fields = ("input", "workload")


class Implausible(CandidateError):
    """Faster than the device's peak allows (seconds), or clocks that contradict each other."""

    outcome = Outcome.IMPLAUSIBLE
    fields = ("measured", "floor")


class Unstable(CandidateError):
    """The samples vary too much to say anything (relative spread)."""

    outcome = Outcome.UNSTABLE
    fields = ("spread",)


class DeviceLost(CandidateError):
    """The device went away, or no worker could be started on it."""

    outcome = Outcome.DEVICE_LOST
    fields = ("log",)


class PluginBug(CandidateError):
    """The accelerator's own code broke its contract."""

    outcome = Outcome.PLUGIN_BUG
    fields = ("traceback",)


_BY_OUTCOME: Final[Mapping[Outcome, type[CandidateError]]] = {
    kind.outcome: kind for kind in CandidateError.__subclasses__()
}


def from_record(record: Mapping[str, Any]) -> CandidateError:
    """The exception that `CandidateError.to_record` described; unknown fields are dropped.

    Raises ValueError where the record is no failure.
    """
    try:
        kind = _BY_OUTCOME[Outcome(record["outcome"])]
        details = {name: value for name, value in dict(record.get("details") or {}).items() if name in kind.fields}
    except (KeyError, ValueError, TypeError, AttributeError):
        raise ValueError(f"not a failure record: {str(record)[:200]}") from None
    return kind(str(record.get("message", "")), **details)
