"""Loaded programs, and calls: a plan's launches with everything in place, so that running them is driver calls only."""

from __future__ import annotations

__all__ = ["GpuCall", "GpuProgram", "LoadedEntry", "Owned"]

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from attrs import define, field, frozen

from kernelevolve.backends._gpu.arguments import PackedArguments
from kernelevolve.backends._gpu.driver import DriverError, ErrorKind, FunctionAttributes, GpuDriver
from kernelevolve.backends._gpu.entries import Entry

#: Kernels in one graph at most. Longer samples launch it several times.
_MAX_NODES: Final = 1024
#: Driver calls that may wait behind a closed gate; a stream's queue holds about a thousand, and one that is full makes
#: the host wait for the device (nvbench limits its batches for the same reason).
_MAX_ENQUEUED: Final = 512


class Owned:
    """Driver objects that go when their owner goes, or when the session closes."""

    def __init__(self) -> None:
        self._disposals: list[Callable[[], None]] = []

    def add(self, disposal: Callable[[], None]) -> None:
        """Have `disposal` called once."""
        self._disposals.append(disposal)

    def dispose(self) -> None:
        """Give everything back, the youngest first."""
        while self._disposals:
            with suppress(DriverError):  # on a broken device nothing can be given back, and nothing needs to be
                self._disposals.pop()()


@frozen
class LoadedEntry:
    """A kernel that can be launched."""

    entry: Entry
    function: Any
    attributes: FunctionAttributes


@frozen(eq=False)
class GpuProgram:
    """A loaded artifact."""

    entries: Mapping[str, LoadedEntry]
    owned: Owned = field(factory=Owned)


@define(eq=False)
class GpuCall:
    """Launches in order, arguments packed."""

    driver: GpuDriver
    stream: Any
    #: Keeps the modules loaded.
    program: GpuProgram
    steps: tuple[Callable[[], None], ...]
    #: For messages: ``softmax_rows, combine``.
    label: str
    arguments: Sequence[PackedArguments] = ()
    owned: Owned = field(factory=Owned)
    #: It has run: code is loaded, local memory is there, nothing waits for the device any more while it is enqueued.
    warm: bool = False
    #: What one run took when it was timed last; 0: it never was.
    seconds: float = 0.0
    #: A gate gave up on it: the driver waits for the device while it is enqueued.
    stalls: bool = False
    #: Graphs to play in turn, by number of runs; None where the driver cannot capture these launches.
    _graphs: dict[int, tuple[Any, ...] | None] = field(factory=dict, init=False)

    def run(self) -> None:
        """Enqueue every launch once."""
        for step in self.steps:
            step()

    def work(self, launches: int) -> tuple[Callable[[], None], bool]:
        """What enqueues `launches` runs, and whether a gate may be closed meanwhile.

        Several launches go as a captured graph, so that the gaps between them are the device's and not the host's.
        """
        ready = self.warm and not self.stalls
        kernels = len(self.steps) * launches
        if kernels == 1:
            return self.steps[0], ready
        if launches not in self._graphs:
            self._graphs[launches] = self._capture(launches)
        graphs = self._graphs[launches]
        if graphs is None:
            return partial(self._plain, launches), ready and kernels <= _MAX_ENQUEUED
        return partial(self._play, graphs), ready and len(graphs) <= _MAX_ENQUEUED

    def _capture(self, launches: int) -> tuple[Any, ...] | None:
        each = max(1, min(launches, _MAX_NODES // len(self.steps)))
        whole, rest = divmod(launches, each)
        try:
            return (*[self._graph(each)] * whole, *([self._graph(rest)] if rest else []))
        except DriverError as error:
            if error.kind in (ErrorKind.FAULT, ErrorKind.LOST):
                raise
            return None

    def _plain(self, launches: int) -> None:
        for _ in range(launches):
            self.run()

    def _play(self, graphs: Sequence[Any]) -> None:
        for graph in graphs:
            self.driver.launch_graph(graph, self.stream)

    def _graph(self, runs: int) -> Any:
        driver, stream = self.driver, self.stream
        driver.begin_capture(stream)
        try:
            self._plain(runs)
        except DriverError:
            with suppress(DriverError):  # the stream must leave its capture; what was noted is of no use
                driver.destroy_graph(driver.end_capture(stream))
            raise
        graph = driver.end_capture(stream)
        driver.synchronize(stream)  # the graph is on the device now, and playing it waits for nothing
        self.owned.add(lambda: driver.destroy_graph(graph))
        return graph
