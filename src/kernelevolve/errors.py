"""Faults that a person can mend: each carries one sentence that says what, where, and what would be right."""

from __future__ import annotations

__all__ = ["KernelEvolveError", "KernelFileError", "ProblemError", "UnknownNameError", "suggest"]

import difflib
from collections.abc import Iterable


class KernelEvolveError(Exception):
    """Base of every error that comes from input and not from a bug; its text is shown to the user as it is."""


class KernelFileError(KernelEvolveError):
    """A kernel file that cannot be used; the text starts with ``file:line:``."""


class ProblemError(KernelEvolveError):
    """A problem that is declared wrongly, or a workload that does not fit it."""


class UnknownNameError(KernelEvolveError):
    """A name that nothing answers to; the text lists what there is."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, where: str = "") -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        listed = ", ".join(self.known) or "none"
        prefix = f"{where}: " if where else ""
        super().__init__(f"{prefix}unknown {kind} {name!r}; there is {listed}.{suggest(name, self.known)}")

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, str, tuple[str, ...]]]:
        return (type(self), (self.kind, self.name, self.known))


def suggest(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'rows'?`` for the nearest of `known`, or the empty string."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
