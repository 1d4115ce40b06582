"""What an emulated time rests on: the same launch with each assumed number halved and doubled."""

from __future__ import annotations

__all__ = ["Sensitivity", "assumed", "sensitivities"]

from typing import Any

import attrs
from attrs import frozen

from kernelevolve.backends.mtia.model.estimate import estimate
from kernelevolve.backends.mtia.model.memory import Placement
from kernelevolve.backends.mtia.model.parameters import ChipParameters, Origin, origins
from kernelevolve.backends.mtia.model.schedule import ModelOptions
from kernelevolve.backends.mtia.trace import Trace
from kernelevolve.outcome import ResourceExceeded


@frozen
class Sensitivity:
    """One parameter: the time over the nominal time, with half and with twice its value."""

    parameter: str
    half: float
    double: float

    @property
    def span(self) -> float:
        """The larger of both changes, as a share of the time."""
        return max(abs(self.half - 1), abs(self.double - 1))


def assumed() -> tuple[str, ...]:
    """Parameters that are assumptions, and change a time (tables of functions change results)."""
    return tuple(name for name, (_, origin, _) in origins().items() if origin is Origin.ASSUMPTION and name != _TABLE)


_TABLE = "lookup_entries"


def sensitivities(
    trace: Trace, chip: ChipParameters, options: ModelOptions, placement: Placement | None = None
) -> list[Sensitivity]:
    """The launch's sensitivity to every assumption, in the order of `ChipParameters`.

    A deeper circular buffer can need more local memory than there is: such a point counts as without change.
    """

    def cycles(changed: ChipParameters) -> float:
        return estimate(trace.program, trace, changed, options, placement).cycles

    nominal = cycles(chip)
    found = []
    for name in assumed():
        value = getattr(chip, name)
        ratios = []
        for factor in (0.5, 2.0):
            number: Any = max(1, round(value * factor)) if isinstance(value, int) else value * factor
            try:
                ratios.append(cycles(attrs.evolve(chip, **{name: number})) / nominal)
            except ResourceExceeded:
                ratios.append(1.0)
        found.append(Sensitivity(name, *ratios))
    return found
