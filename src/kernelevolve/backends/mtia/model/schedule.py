"""When one program's operations run on one processing element: units that overlap as far as the program lets them.

A core works through its operations in program order. Vector and scalar operations keep it; for the other units it
issues custom instructions and goes on, and a unit starts one when its operands are there (asynchronous dataflow). With
two cores, core A takes transfers and addresses, core B all that computes. In a loop:

- a tile that is loaded or computed occupies a slot of its circular buffer until all its readers are done; an innermost
  loop has ``max(num_stages, buffer_depth x cb_multiplier)`` slots, so that many iterations later one is needed again;
  a loop around another loop has one;
- in an innermost loop, loads whose addresses need only scalar arithmetic are issued ``num_stages - 1`` iterations
  ahead;
- values that the loop carries make an iteration wait for the one before.

Elsewhere a load runs ahead of what is computed before it if its tile has a place of its own in local memory
(`kernelevolve.backends.mtia.model.resources`); if not, it waits for the tiles that were done before it.

The first iterations are played through one by one; then the rate of the last ones goes on. Transfers of one direction
queue for the element's share of shared and off-chip bandwidth without keeping the fabric interface busy. A rate never
exceeds what the busiest unit and the bandwidths of local, shared and off-chip memory allow. A loop inside a loop drains
before the outer one's next operation that needs its units.
"""

from __future__ import annotations

__all__ = ["Counts", "ModelOptions", "Rates", "Schedule", "Span"]

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from attrs import define, field, frozen

from kernelevolve.backends.mtia.model.flow import Frame, Loop, Node, Step, flow
from kernelevolve.backends.mtia.model.memory import OpTraffic, Traffic
from kernelevolve.backends.mtia.model.parameters import ChipParameters
from kernelevolve.backends.mtia.model.units import Unit, Work, Workbook
from kernelevolve.backends.mtia.trace import Index

#: Executions of each block (`Index.blocks`); means of several programs are no whole numbers.
Counts = npt.NDArray[np.float64]
#: Iterations beyond three fillings of the circular buffers that are played through before the rate is taken.
_SETTLE: Final = 4


@frozen
class ModelOptions:
    """Launch options that change the timing."""

    num_stages: int = 2
    cb_multiplier: int = 1
    use_dual_core: bool = False

    def depth(self, chip: ChipParameters) -> int:
        """Tiles that a circular buffer holds in an innermost loop."""
        return max(self.num_stages, chip.buffer_depth * self.cb_multiplier)


@frozen
class Rates:
    """Bytes a cycle that one element gets when `active` elements share the chip."""

    fabric: float
    shared: float
    dram: float
    local: float

    @classmethod
    def of(cls, chip: ChipParameters, active: int) -> Rates:
        """Equal shares."""
        return cls(
            fabric=chip.dma_bytes,
            shared=chip.shared_bytes_per_second * chip.cycle_seconds / active,
            dram=chip.dram_bytes_per_second * chip.dram_efficiency * chip.cycle_seconds / active,
            local=chip.local_bytes_per_cycle,
        )


@frozen
class Span:
    """What some piece of a program takes on one element: cycles, and bytes that memories carry for it."""

    cycles: float = 0.0
    busy: Mapping[Unit, float] = field(factory=dict)
    local: float = 0.0
    shared: float = 0.0
    dram: float = 0.0


@define
class _Sum:
    """A span that grows."""

    busy: dict[Unit, float] = field(factory=dict)
    local: float = 0.0
    shared: float = 0.0
    dram: float = 0.0

    def add(self, busy: Mapping[Unit, float], local: float, shared: float, dram: float, times: float) -> None:
        for unit, cycles in busy.items():
            self.busy[unit] = self.busy.get(unit, 0.0) + cycles * times
        self.local += local * times
        self.shared += shared * times
        self.dram += dram * times

    def floor(self, rates: Rates) -> float:
        """Cycles below which this much work cannot be."""
        bandwidths = (self.local / rates.local, self.shared / rates.shared, self.dram / rates.dram)
        return max(*bandwidths, *self.busy.values(), 0.0)


@frozen
class _Played:
    """The first iterations of a frame: ends in cycles, and one iteration's work."""

    ends: tuple[float, ...]
    #: When the core that issues has handed out everything.
    issued: float
    rate: float
    each: _Sum

    def cycles(self, trips: float, rates: Rates) -> float:
        """Duration of `trips` iterations; between whole numbers, in proportion."""
        known = len(self.ends)
        whole = min(int(trips), known)
        start = self.ends[whole - 1] if whole else 0.0
        if trips > known:
            cycles = start + (trips - known) * self.rate
        elif whole < known:
            cycles = start + (trips - whole) * (self.ends[whole] - start)
        else:
            cycles = start
        return max(cycles, trips * self.each.floor(rates))


class Schedule:
    """Durations of a kernel's programs for given traffic, options and rates."""

    def __init__(
        self,
        book: Workbook,
        index: Index,
        traffic: Traffic,
        options: ModelOptions,
        rates: Rates,
        *,
        contended: bool,
        separate: bool,
    ) -> None:
        """With `separate`, tiles of straight-line code have places of their own."""
        self._chip = book.chip
        self.book = book
        self._traffic = traffic
        self._options = options
        self._rates = rates
        self._contended = contended
        self.separate = separate
        self._depth = options.depth(book.chip)
        self._frame = flow(book, index)
        self._works: dict[int, Work] = {}
        self._memo: dict[tuple[object, ...], _Played] = {}

    def program(self, counts: Counts) -> Span:
        """One program that executed each block `counts` times."""
        played = self._played(self._frame, counts, 1.0)
        work = played.each
        return Span(played.cycles(1.0, self._rates), dict(work.busy), work.local, work.shared, work.dram)

    def _played(self, frame: Frame, counts: Counts, trips: float) -> _Played:
        """The first iterations of a frame, remembered for equal branches and inner trips."""
        base = float(counts[frame.block]) or 1.0
        window = min(max(1, math.ceil(trips)), 3 * self._depth + _SETTLE) if frame.loop else 1
        key = (frame.block, window, *(float(counts[block]) / base for block in frame.inner))
        if key not in self._memo:
            self._memo[key] = _Player(self, frame, counts, window).play()
        return self._memo[key]

    def loop(self, loop: Loop, counts: Counts) -> tuple[float, float, _Sum]:
        """Cycles of one execution of a loop, cycles until its core is free, and its work."""
        trips = float(counts[loop.frame.block]) / max(1.0, float(counts[loop.block]))
        if trips <= 0:
            return 0.0, 0.0, _Sum()
        played = self._played(loop.frame, counts, trips)
        cycles = played.cycles(trips, self._rates)
        total = _Sum()
        total.add(played.each.busy, played.each.local, played.each.shared, played.each.dram, trips)
        return cycles, max(0.0, cycles - (played.ends[-1] - played.issued)), total

    def work(self, step: Step) -> Work:
        """One execution of an operation, its traffic included."""
        if step.number not in self._works:
            self._works[step.number] = self._transfer(step) if step.memory else self.book.work(step.op)
        return self._works[step.number]

    def bytes_of(self, step: Step) -> OpTraffic:
        """The traffic of one execution; nothing for what is no memory operation."""
        return self._traffic.ops.get(step.number, _NONE) if step.memory else _NONE

    def _transfer(self, step: Step) -> Work:
        chip, bytes_ = self._chip, self.bytes_of(step)
        share = bytes_.dram / bytes_.moved if bytes_.moved else 0.0
        far = (chip.shared_latency_seconds + min(1.0, share) * chip.dram_latency_seconds) * chip.clock_hertz
        far += chip.hop_cycles * (chip.rows + chip.columns) / 4  # to the edge: a quarter of the perimeter's half
        if self.book.scalar_access(step.op):
            latency = chip.local_latency_cycles + bytes_.misses * far if step.op.results else 0.0
            return Work(core=chip.scalar_cycles, asynchronous=False, latency=latency, transfers=True)
        issue, addresses = self.book.transfer(step.op, bytes_.useful, bytes_.tiles)
        cycles = max(bytes_.moved / chip.dma_bytes, addresses)
        way = "in" if step.op.results else "out"
        queues: tuple[tuple[str, float], ...] = ()
        if self._contended:
            dram, shared = bytes_.dram / self._rates.dram, bytes_.shared / self._rates.shared
            queues = ((f"dram {way}", dram), (f"shared {way}", shared))
        units: tuple[tuple[Unit, float], ...] = ((Unit.FABRIC_IN if step.op.results else Unit.FABRIC_OUT, cycles),)
        turned = step.transposed * bytes_.useful / chip.layout_bytes
        if turned:
            units += ((Unit.LAYOUT, turned),)
        local = bytes_.useful * (3.0 if turned else 1.0)
        latency = far if step.op.results else 0.0
        return Work(units, issue, latency=latency, local_bytes=local, queues=queues, transfers=True)

    @property
    def options(self) -> ModelOptions:
        """The launch options."""
        return self._options

    @property
    def depth(self) -> int:
        """Slots of a circular buffer."""
        return self._depth


_NONE: Final = OpTraffic()


def _done_before(frame: Frame, book: Workbook) -> dict[int, list[int]]:
    """For each load of a tile, the loads before it whose last reader comes before it too: it takes their place."""
    last: dict[int, int] = {}
    for place, node in enumerate(frame.nodes):
        for need in node.needs:
            if need in last:
                last[need] = place
        if isinstance(node, Step) and node.memory and node.op.results and book.tile(node.op).size > 1:
            last[place] = place
    return {place: [tile for tile in last if tile < place and last[tile] < place] for place in last}


class _Player:
    """Plays the first iterations of one frame."""

    def __init__(self, schedule: Schedule, frame: Frame, counts: Counts, window: int) -> None:
        self._schedule = schedule
        self._frame = frame
        self._counts = counts
        self._window = window
        innermost = frame.loop and not any(isinstance(node, Loop) for node in frame.nodes)
        self._depth = schedule.depth if innermost else 1
        self._ahead = (schedule.options.num_stages - 1) if innermost else 0
        self._before = {} if innermost or schedule.separate else _done_before(frame, schedule.book)
        self._dual = schedule.options.use_dual_core
        self._core = {Unit.CORE_A: 0.0, Unit.CORE_B: 0.0}
        self._free: dict[Unit, float] = {}
        self._queues: dict[str, float] = {}
        base = float(counts[frame.block]) or 1.0
        self._weights = [min(1.0, float(counts[node.block]) / base) for node in frame.nodes]
        #: End of each node and of its readers, by iteration.
        self._ends: list[list[float]] = [[0.0] * len(frame.nodes) for _ in range(window)]
        self._read: list[list[float]] = [[0.0] * len(frame.nodes) for _ in range(window)]
        self._arguments: list[list[float]] = []
        self._each = _Sum()
        self._loops = {
            place: schedule.loop(node, counts) for place, node in enumerate(frame.nodes) if isinstance(node, Loop)
        }

    def play(self) -> _Played:
        nodes = self._frame.nodes
        ahead = [place for place, node in enumerate(nodes) if node.ahead] if self._ahead else []
        rest = [place for place in range(len(nodes)) if place not in set(ahead)]
        order = [(iteration, place) for iteration in range(self._ahead) for place in ahead]
        ends: list[float] = []
        for iteration in range(self._window):
            order += [(iteration + self._ahead, place) for place in ahead]
            order += [(iteration, place) for place in rest]
            self._arguments.append(self._carried(iteration))
            for when, place in order:
                if when < self._window:
                    self._run(when, place)
            order = []
            ends.append(max([*self._ends[iteration], ends[-1] if ends else 0.0]))
        issued = max(self._core.values())
        span = min(self._schedule.depth, self._window - 1)
        rate = (ends[-1] - ends[-1 - span]) / span if span else ends[-1]
        for place, node in enumerate(nodes):
            self._count(place, node)
        return _Played(tuple(ends), min(issued, ends[-1]) if ends else 0.0, rate, self._each)

    def _carried(self, iteration: int) -> list[float]:
        """When the values that the loop carries are there."""
        if not iteration:
            return [0.0] * len(self._frame.carried)
        before = self._arguments[-1]
        ends = self._ends[iteration - 1]
        return [
            max([ends[place] if place >= 0 else before[-1 - place] for place in sources], default=0.0)
            for sources in self._frame.carried
        ]

    def _run(self, iteration: int, place: int) -> None:
        node, weight = self._frame.nodes[place], self._weights[place]
        if not weight:
            return
        ends = self._ends[iteration]
        ready = 0.0
        if not (node.ahead and self._ahead):
            arguments = self._arguments[iteration]
            ready = max([ends[need] if need >= 0 else arguments[-1 - need] for need in node.needs], default=0.0)
        old = iteration - self._depth
        room = self._read[old][place] if old >= 0 and self._frame.loop else 0.0
        room = max([room, *(self._read[iteration][tile] for tile in self._before.get(place, ()))])
        end = self._loop(place, ready) if isinstance(node, Loop) else self._step(node, weight, ready, room)
        ends[place] = end
        read = self._read[iteration]
        read[place] = max(read[place], end)
        for need in node.needs:
            if need >= 0:
                read[need] = max(read[need], end)

    def _step(self, step: Step, weight: float, ready: float, room: float) -> float:
        work = self._schedule.work(step)
        core = Unit.CORE_A if self._dual and work.transfers else Unit.CORE_B
        latency = work.latency * weight
        if not work.asynchronous:
            start = max(self._core[core], ready, room)
            self._core[core] = start + work.core * weight
            return self._core[core] + latency
        self._core[core] += work.core * weight
        start = max(self._core[core], ready, room, *(self._free.get(unit, 0.0) for unit, _ in work.units), 0.0)
        longest = 0.0
        for unit, cycles in work.units:
            self._free[unit] = start + cycles * weight
            longest = max(longest, cycles * weight)
        end = start + longest
        for queue, cycles in work.queues:
            self._queues[queue] = max(self._queues.get(queue, 0.0), start) + cycles * weight
            end = max(end, self._queues[queue])
        return end + latency

    def _loop(self, place: int, ready: float) -> float:
        cycles, issued, work = self._loops[place]
        start = max(ready, *self._core.values(), *(self._free.get(unit, 0.0) for unit in work.busy), 0.0)
        for core in self._core:
            self._core[core] = start + issued
        for unit in work.busy:
            if unit not in self._core:
                self._free[unit] = start + cycles
        return start + cycles

    def _count(self, place: int, node: Node) -> None:
        """Add one execution of a node to an iteration's work."""
        weight = self._weights[place]
        if isinstance(node, Loop):
            _, _, inner = self._loops[place]
            self._each.add(inner.busy, inner.local, inner.shared, inner.dram, weight)
            return
        work, bytes_ = self._schedule.work(node), self._schedule.bytes_of(node)
        core = Unit.CORE_A if self._dual and work.transfers else Unit.CORE_B
        self._each.add(dict(work.units), work.local_bytes, bytes_.shared, bytes_.dram, weight)
        self._each.add({core: work.core}, 0.0, 0.0, 0.0, weight)
