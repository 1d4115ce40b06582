"""One promised figure, and what was measured."""

from __future__ import annotations

__all__ = ["Figure", "table"]

import operator
from collections.abc import Callable, Sequence
from typing import Any

from attrs import asdict, frozen

_HOLDS: dict[str, Callable[[float, float], bool]] = {"<=": operator.le, ">=": operator.ge}


@frozen
class Figure:
    """A measured value and the bound that was promised for it."""

    name: str
    measured: float
    unit: str
    #: ``<=`` or ``>=``; empty where nothing was promised.
    relation: str = ""
    promised: float | None = None
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the promise holds; None where there is none."""
        if self.promised is None:
            return None
        return _HOLDS[self.relation](self.measured, self.promised)

    def record(self) -> dict[str, Any]:
        """The figure as JSON values."""
        return asdict(self) | {"holds": self.holds}


def table(figures: Sequence[Figure]) -> str:
    """One line per figure."""
    lines = []
    for figure in figures:
        promised = "" if figure.promised is None else f"promised {figure.relation} {figure.promised:g} {figure.unit}"
        word = {True: "holds", False: "DOES NOT HOLD", None: ""}[figure.holds]
        measured = f"{figure.measured:>10.4g} {figure.unit:<4}"
        lines.append(f"{figure.name:<52} {measured} {promised:<24} {word}  {figure.note}")
    return "\n".join(lines)
