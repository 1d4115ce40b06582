"""Launches of a plan on buffers: what they compute, what they take, and what is known from an earlier run.

An emulated launch is a function of its program, its arguments and its buffers' contents. So a call that finds the same
contents again gets the results and the trace of the first time; contents that differ in one byte are executed anew.
"""

from __future__ import annotations

__all__ = ["EmulatedCall", "EmulatedProgram", "Launch", "Run"]

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define, evolve, field, frozen

from kernelevolve.backends.mtia.buffers import Array, EmulatedBuffer
from kernelevolve.backends.mtia.executor import Executable, Memory, execute
from kernelevolve.backends.mtia.model import ChipParameters, Estimate, ModelOptions, Placement, combine, estimate
from kernelevolve.backends.mtia.model.rules import check_launch
from kernelevolve.backends.mtia.trace import Finding, FindingKind, Trace
from kernelevolve.outcome import CandidateError, Nondeterministic, OutOfMemory
from kernelevolve.plan import BufferArgument, PlannedLaunch, ScalarArgument

#: Runs that a call remembers: one for each poison that it is checked with.
_REMEMBERED: Final = 2
#: Findings after which a result means nothing, whatever it is.
_FATAL: Final = (FindingKind.RACE, FindingKind.ORDER)


@frozen(eq=False)
class EmulatedProgram:
    """A loaded artifact."""

    chip: ChipParameters
    entries: Mapping[str, Executable]
    options: ModelOptions
    #: Whether the strict rules are on (`kernelevolve.backends.mtia.model.rules`).
    strict: bool
    #: Its identity, for the names of results.
    digest: str


@frozen(eq=False)
class Launch:
    """One launch with its arguments in place."""

    entry: str
    code: Executable
    grid: tuple[int, ...]
    #: A number, or the name of a buffer, for each parameter.
    arguments: Mapping[str, Any]

    @classmethod
    def of(cls, program: EmulatedProgram, launch: PlannedLaunch) -> Launch:
        """The planned launch of a loaded program. Raises KeyError where the program has no such entry."""
        code = program.entries[launch.entry]
        arguments: dict[str, Any] = {}
        for argument in launch.arguments:
            if argument.parameter not in code.program.parameters:
                continue  # a compile-time value
            if isinstance(argument, BufferArgument):
                arguments[argument.parameter] = argument.buffer
            elif isinstance(argument, ScalarArgument):
                arguments[argument.parameter] = argument.value
        return cls(launch.entry, code, launch.grid, arguments)

    def pointed(self, parameters: frozenset[str]) -> set[str]:
        """The buffers that these parameters point to."""
        return {name for one, name in self.arguments.items() if one in parameters and isinstance(name, str)}

    @property
    def buffers(self) -> set[str]:
        """The buffers that it gets."""
        return {name for name in self.arguments.values() if isinstance(name, str)}


@define(eq=False)
class Run:
    """What a call did on some contents."""

    traces: Sequence[Trace]
    #: Contents of what it wrote: bytes, and which of them were ever written where that is watched.
    results: Mapping[str, tuple[Array, Array | None]]
    estimates: dict[bool, Estimate] = field(factory=dict)

    @property
    def findings(self) -> list[Finding]:
        """What is wrong with it, launch by launch."""
        return [finding for trace in self.traces for finding in trace.findings]

    @property
    def prints(self) -> list[str]:
        """What ``tl.device_print`` printed."""
        return [line for trace in self.traces for line in trace.prints]

    def estimate(self, program: EmulatedProgram, *, cold: bool) -> Estimate:
        """The time of all launches: from cold caches, or from those that the same call has warmed."""
        if cold not in self.estimates:
            found: list[Estimate] = []
            for trace in self.traces:
                resident = found[-1].resident if found else {}
                placement = Placement(resident) if cold else Placement(cold=False)
                chip = program.chip
                if program.entries[trace.program.entry].ordered:
                    # Programs that wait for others, or may: nothing is known of how long, so one at a time.
                    chip = evolve(chip, rows=1, columns=1)
                found.append(estimate(trace.program, trace, chip, program.options, placement))
            self.estimates[cold] = combine(found, program.chip)
        return self.estimates[cold]


@define(eq=False)
class EmulatedCall:
    """A program bound to buffers and numbers."""

    owner: object
    program: EmulatedProgram
    launches: Sequence[Launch]
    buffers: Mapping[str, EmulatedBuffer]
    _known: OrderedDict[tuple[str, ...], Run] = field(factory=OrderedDict)

    def run(self) -> Run:
        """Execute all launches, or recall what they did. Raises what the emulated chip or a rule objects to."""
        before = tuple(buffer.contents for buffer in self.buffers.values())
        run = self._known.get(before)
        if run is None:
            run = self._execute()
            self._known[before] = run
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(before)
            for name, (data, written) in run.results.items():
                memory = self.buffers[name].memory
                memory.payload[:] = data
                memory.written = None if written is None else written.copy()
        self._name_results(before, run)
        return run

    def _execute(self) -> Run:
        self._watch()
        memories = {name: buffer.memory for name, buffer in self.buffers.items()}
        try:
            traces = [self._launch(launch, memories) for launch in self.launches]
        except MemoryError:
            raise OutOfMemory("the host's memory is exhausted", needed=None, limit=None) from None
        finally:  # after a failure the contents are like nothing before; after a success they get their name
            for name in self._stored():
                self.buffers[name].forget()
        results = {name: _copy(memories[name]) for name in self._stored()}
        return Run(traces, results)

    def _launch(self, launch: Launch, memories: Mapping[str, Memory]) -> Trace:
        used = launch.buffers
        shown = {name: memory for name, memory in memories.items() if name in used}
        trace = execute(launch.code, launch.arguments, launch.grid, shown)
        check_launch(trace, self.program.chip, strict=self.program.strict)
        for finding in trace.findings:
            if finding.kind in _FATAL:
                raise _race(finding)
        return trace

    def _stored(self) -> set[str]:
        return {name for launch in self.launches for name in launch.pointed(launch.code.stored)}

    def _watch(self) -> None:
        """Mark what holds a pattern, and may be loaded, as never written."""
        loaded = {name for launch in self.launches for name in launch.pointed(launch.code.loaded)}
        for name in loaded:
            buffer = self.buffers[name]
            if buffer.filled:
                buffer.memory.written = Memory.unwritten(buffer.payload).written

    def _name_results(self, before: tuple[str, ...], run: Run) -> None:
        source = hashlib.sha256("\0".join([self.program.digest, str(id(self)), *before]).encode()).hexdigest()
        for name in run.results:
            self.buffers[name].contents = f"result {source} {name}"


def _copy(memory: Memory) -> tuple[Array, Array | None]:
    return memory.payload.copy(), None if memory.written is None else memory.written.copy()


def _race(finding: Finding) -> CandidateError:
    return Nondeterministic(finding.sentence, output=finding.buffer, workload=None)
