"""What the core must know of a kernel language: which entries a source defines, and what it must not contain.

A language is a plugin of its own (entry-point group ``kernelevolve.languages``), because several accelerators may share
one.
"""

from __future__ import annotations

__all__ = ["Language", "Parameter", "ParameterKind"]

import enum
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from attrs import frozen

from kernelevolve.kernel import Value


class ParameterKind(enum.StrEnum):
    """How a parameter takes its argument."""

    POINTER = "pointer"
    """A buffer in device memory."""
    LOCAL = "local"
    """Local (shared) memory, given as a size."""
    SCALAR = "scalar"
    """A number at run time."""
    CONSTEXPR = "constexpr"
    """A number at compile time."""
    ANY = "any"
    """The source does not say (dynamically typed languages)."""


@frozen
class Parameter:
    """One parameter of an entry function."""

    name: str
    kind: ParameterKind
    #: The declared type as written, or the empty string.
    type: str = ""


@runtime_checkable
class Language(Protocol):
    """Reads sources of one language without executing them."""

    name: str
    #: What starts a comment, hence a header: ``//`` or ``#``.
    comment: str
    #: The file name ending, with the dot.
    suffix: str

    def entries(self, body: str) -> Mapping[str, tuple[Parameter, ...]]:
        """The functions that can be launched, with their parameters in order.

        Raises `kernelevolve.outcome.Rejected` where the source cannot be read.
        """
        ...

    def gate(self, body: str) -> None:
        """Return if the source may be run; raise `kernelevolve.outcome.Rejected` (rule, line, reason) otherwise."""
        ...

    def check_tunable(self, name: str, value: Value) -> None:
        """Return if the compiler may be given this tunable; raise `kernelevolve.outcome.Rejected` otherwise.

        A tunable reaches the compiler beside the source, so what the gate forbids in one must not come in by the other.
        """
        ...

    def normalize(self, body: str) -> str:
        """The source without comments and layout: two bodies with equal normal forms are the same kernel."""
        ...
