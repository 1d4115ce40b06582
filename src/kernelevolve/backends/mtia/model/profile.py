"""What an estimate says beside the time: who was busy, what moved, what the time went into."""

from __future__ import annotations

__all__ = ["MODEL", "VERSION", "Estimate", "Moved", "Profile", "UnitUse", "combine"]

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import asdict, evolve, field, frozen

from kernelevolve.backends.mtia.model.parameters import ChipParameters

#: Name and version of the model: times of different versions are not comparable.
MODEL: Final = "kernelevolve-mtia"
VERSION: Final = 2


@frozen
class UnitUse:
    """Cycles of one unit, the mean over all processing elements. Busy and stalled ones add up to the whole time."""

    busy: float
    stall: float


@frozen
class Moved:
    """Bytes that one level of memory delivered and took."""

    read: int
    written: int


@frozen
class Profile:
    """Where a launch's time went."""

    #: By `kernelevolve.backends.mtia.model.units.Unit`.
    units: Mapping[str, UnitUse] = field(hash=False)
    #: ``fabric`` (in and out of local memories), ``shared``, ``dram``.
    memory: Mapping[str, Moved] = field(hash=False)
    #: Most bytes of local memory that a program holds at a time, circular buffers included.
    local_high_water: int
    circular_buffers: int
    #: Programs, and the elements that have at least one.
    programs: int
    elements: int
    #: Cycles of launching and of replacing jobs on the busiest element.
    launch_cycles: float
    #: What bounds the time, in one sentence.
    bottleneck: str
    #: Cycles of work by line of the kernel, summed over programs, the most first; overlapped work counts in full.
    lines: Mapping[int, float] = field(hash=False)


@frozen
class Estimate:
    """An emulated time."""

    chip: str
    cycles: int
    #: At the chip's clock.
    seconds: float
    profile: Profile
    #: Bytes of each buffer that the cache holds afterwards (`Placement.resident` of the plan's next launch).
    resident: Mapping[str, int] = field(factory=dict, hash=False)

    def record(self) -> dict[str, Any]:
        """All of it as JSON values, with the model's name and version."""
        return {"model": f"{MODEL}-{VERSION}", **asdict(self)}


def combine(estimates: Sequence[Estimate], chip: ChipParameters) -> Estimate:
    """The launches of one plan in order, a barrier over all elements between them."""
    if len(estimates) == 1:
        return estimates[0]
    barrier = math.ceil(chip.barrier_seconds * chip.clock_hertz)
    cycles = sum(each.cycles for each in estimates) + barrier * (len(estimates) - 1)
    profiles = [each.profile for each in estimates]
    slowest = max(range(len(estimates)), key=lambda position: estimates[position].cycles)
    share = estimates[slowest].cycles / cycles
    lines: dict[int, float] = {}
    for profile in profiles:
        for line, work in profile.lines.items():
            lines[line] = lines.get(line, 0.0) + work
    units = sorted({unit for profile in profiles for unit in profile.units})
    busy = {unit: sum(profile.units[unit].busy for profile in profiles if unit in profile.units) for unit in units}
    total = Profile(
        units={unit: UnitUse(busy[unit], cycles - busy[unit]) for unit in units},
        memory={
            level: Moved(
                sum(profile.memory[level].read for profile in profiles),
                sum(profile.memory[level].written for profile in profiles),
            )
            for level in profiles[0].memory
        },
        local_high_water=max(profile.local_high_water for profile in profiles),
        circular_buffers=max(profile.circular_buffers for profile in profiles),
        programs=sum(profile.programs for profile in profiles),
        elements=max(profile.elements for profile in profiles),
        launch_cycles=sum(profile.launch_cycles for profile in profiles) + barrier * (len(estimates) - 1),
        bottleneck=f"launch {slowest + 1} of {len(estimates)} takes {share:.0%}: {profiles[slowest].bottleneck}",
        lines=dict(sorted(lines.items(), key=lambda item: (-item[1], item[0]))),
    )
    return evolve(estimates[-1], cycles=cycles, seconds=cycles * chip.cycle_seconds, profile=total)
