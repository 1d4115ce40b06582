"""From what a launch did to its time: programs spread over the chip, memory shared among them."""

from __future__ import annotations

__all__ = ["estimate", "resources"]

import heapq
import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from attrs import frozen

from kernelevolve.backends.mtia.model.memory import Placement, Traffic, traffic
from kernelevolve.backends.mtia.model.parameters import ChipParameters
from kernelevolve.backends.mtia.model.profile import Estimate, Moved, Profile, UnitUse
from kernelevolve.backends.mtia.model.resources import Needs, check_needs
from kernelevolve.backends.mtia.model.schedule import Counts, ModelOptions, Rates, Schedule, Span
from kernelevolve.backends.mtia.model.units import Unit, Workbook
from kernelevolve.backends.mtia.program import Program
from kernelevolve.backends.mtia.trace import Integers, Trace

#: Classes of programs that are scheduled one by one; more are merged with their neighbours in total work.
_CLASSES: Final = 128
#: Programs of several classes that are handed to elements one by one; of more, Graham's bound is taken.
_DEALT: Final = 16384
#: Shares of the time from which on the bottleneck's sentence blames somebody.
_BUSY: Final = 0.5
_EMPTY: Final = 0.25


@frozen(eq=False)
class _Group:
    """Programs that take equally long."""

    members: Integers
    counts: Counts
    #: Alone on the chip, and in step with all others.
    alone: Span
    together: Span


def estimate(
    program: Program,
    trace: Trace,
    chip: ChipParameters,
    options: ModelOptions | None = None,
    placement: Placement | None = None,
) -> Estimate:
    """The time of the launch that `trace` describes. Equal arguments give equal estimates.

    An element takes its next program when it has finished one. The first programs of all elements run in step and share
    bandwidth equally; later ones drift apart, so that one element's pauses serve the others, and the bandwidths bound
    only the whole. Raises `ResourceExceeded` where a program does not fit into local memory.
    """
    options = options or ModelOptions()
    book = Workbook(program, chip)
    needs = check_needs(book, options)
    moved = traffic(trace, book, chip, placement or Placement())
    active = min(chip.elements, trace.programs)
    shares, whole = Rates.of(chip, active), Rates.of(chip, 1)
    groups = _groups(
        trace,
        Schedule(book, trace.index, moved, options, whole, contended=False, separate=needs.separate),
        Schedule(book, trace.index, moved, options, shares, contended=True, separate=needs.separate),
    )
    launch = chip.job_launch_seconds * chip.clock_hertz
    replace = chip.job_replace_seconds * chip.clock_hertz
    dealt = _makespan(groups, chip.elements, replace)
    dram = (moved.dram_read + moved.dram_written) / whole.dram
    shared = (moved.shared_read + moved.shared_written) / whole.shared
    in_step = sum(len(group.members) * _in_step(group, shares) for group in groups) / trace.programs
    cycles = math.ceil(launch + max(dealt, dram, shared) + in_step)
    rounds = math.ceil(trace.programs / chip.elements)
    busy = {
        unit: sum(len(group.members) * group.alone.busy.get(unit, 0.0) for group in groups) / chip.elements
        for unit in Unit
    }
    started = launch + (rounds - 1) * replace
    idle = 1.0 - sum(len(group.members) * group.alone.cycles for group in groups) / chip.elements / max(1.0, dealt)
    profile = Profile(
        units={unit.value: UnitUse(cycles_, cycles - cycles_) for unit, cycles_ in busy.items() if cycles_},
        memory={
            "fabric": Moved(moved.fabric_read, moved.fabric_written),
            "shared": Moved(moved.shared_read, moved.shared_written),
            "dram": Moved(moved.dram_read, moved.dram_written),
        },
        local_high_water=needs.local_bytes,
        circular_buffers=needs.circular_buffers,
        programs=trace.programs,
        elements=active,
        launch_cycles=started,
        bottleneck=_bottleneck(cycles, busy, dram, shared, started, active, idle, chip, options),
        lines=_lines(trace, book, moved),
    )
    return Estimate(chip.name, cycles, cycles * chip.cycle_seconds, profile, moved.resident)


def resources(program: Program, chip: ChipParameters, options: ModelOptions | None = None) -> Needs:
    """Circular buffers and local memory, before anything ran. Raises `ResourceExceeded` where there is less."""
    return check_needs(Workbook(program, chip), options or ModelOptions())


def _groups(trace: Trace, alone: Schedule, together: Schedule) -> list[_Group]:
    return [
        _Group(members, counts, alone.program(counts), together.program(counts)) for members, counts in _classes(trace)
    ]


def _classes(trace: Trace) -> Iterator[tuple[Integers, Counts]]:
    """Programs of equal control flow; where there are very many kinds, those with similar work together."""
    classes = trace.classes
    if len(classes) <= _CLASSES:
        for each in classes:
            yield each.members, np.asarray(each.counts, np.float64)
        return
    ordered = sorted(classes, key=lambda each: (int(each.counts.sum()), each.representative))
    for part in np.array_split(np.arange(len(ordered)), _CLASSES):
        chosen = [ordered[position] for position in part]
        members = np.sort(np.concatenate([each.members for each in chosen]))
        weights = np.array([len(each.members) for each in chosen], float)
        yield members, np.average([each.counts for each in chosen], axis=0, weights=weights)


def _in_step(group: _Group, shares: Rates) -> float:
    """What a program loses when all elements run the same part of it at one time."""
    floor = max(group.together.dram / shares.dram, group.together.shared / shares.shared)
    return max(0.0, group.together.cycles - max(group.alone.cycles, floor))


def _makespan(groups: Sequence[_Group], elements: int, replace: float) -> float:
    """When the last element is done, each taking the next program as soon as it is free."""
    count = sum(len(group.members) for group in groups)
    if len(groups) == 1:
        return groups[0].alone.cycles * math.ceil(count / elements) + replace * (math.ceil(count / elements) - 1)
    if count > _DEALT:
        total = sum(len(group.members) * (group.alone.cycles + replace) for group in groups)
        longest = max(group.alone.cycles + replace for group in groups)
        return total / elements + longest * (1 - 1 / elements) - replace
    durations = np.zeros(count)
    for group in groups:
        durations[group.members] = group.alone.cycles + replace
    free = [0.0] * min(elements, count)
    for duration in durations.tolist():
        heapq.heapreplace(free, free[0] + duration)
    return max(free) - replace


def _lines(trace: Trace, book: Workbook, moved: Traffic) -> dict[int, float]:
    """Cycles of work by kernel line."""
    totals = trace.counts.sum(axis=1)
    lines: dict[int, float] = {}
    for number, op in enumerate(trace.index.ops):
        work = book.work(op)
        cycles = max([work.core, *(each for _, each in work.units)])
        if number in moved.ops:
            cycles = moved.ops[number].moved / book.chip.dma_bytes + book.chip.dma_issue_cycles
        if cycles:
            lines[op.line] = lines.get(op.line, 0.0) + cycles * float(totals[trace.index.block_of[number]])
    return dict(sorted(lines.items(), key=lambda item: (-item[1], item[0])))


def _bottleneck(
    cycles: int,
    busy: dict[Unit, float],
    dram: float,
    shared: float,
    started: float,
    active: int,
    idle: float,
    chip: ChipParameters,
    options: ModelOptions,
) -> str:
    """One sentence: the part that is busy for most of the time, or why none is."""
    shares = {
        "DRAM bandwidth is used up": dram / cycles,
        "shared memory's bandwidth is used up": shared / cycles,
        "launching and replacing jobs": started / cycles,
        **{f"the {unit.value} is busy" if "core" not in unit.value else f"{unit.value} is busy": each / cycles
           for unit, each in busy.items()},
    }  # fmt: skip
    most = max(shares, key=lambda name: shares[name])
    if active < chip.elements:
        note = f"; only {active} of {chip.elements} elements have a program"
    elif idle > _EMPTY:
        note = f"; elements are idle for {idle:.0%} of it because programs do not spread evenly"
    else:
        note = ""
    if shares[most] >= _BUSY or (note and shares[most] * chip.elements / active >= _BUSY):
        return f"{most} for {shares[most]:.0%} of the time{note}"
    hint = "" if options.num_stages > 2 or options.cb_multiplier > 1 else ", for which deeper circular buffers may help"
    return f"waiting: nothing is busy for more than {shares[most]:.0%} of the time ({most}){note or hint}"
