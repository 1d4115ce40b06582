"""Threads of a block as generators: each runs until it waits for others, and all go on once those have come.

No two threads ever run at the same time, and none can hang on a barrier that cannot be complete: then nothing is left
to run, and the kernel is reported with the lines at which its threads wait.
"""

from __future__ import annotations

__all__ = ["Block", "StuckError"]

from collections.abc import Generator, Iterator, Sequence
from typing import Any, Final

import numpy as np

from kernelevolve.backends._numba.interpreter.intrinsics import Cuda, Dim3
from kernelevolve.backends._numba.interpreter.scalars import Int32, bits_of

WARP: Final = 32
#: What every thread of a block waits for together.
_BLOCK: Final = frozenset({"syncthreads", "syncthreads_count", "syncthreads_and", "syncthreads_or"})
#: What a lane gets from one that does not take part.
_NOTHING: Final = -(2**62) - 1

Request = tuple[Any, ...]
Thread = Generator[Request, Any, None]


class StuckError(Exception):
    """Every thread that is left waits for one that will not come."""


class Block:
    """The threads of one block, x first."""

    def __init__(
        self, cuda: Cuda, number: int, index: tuple[int, ...], threads: Sequence[Thread], places: Sequence[Dim3]
    ) -> None:
        self._cuda, self._number, self._index = cuda, number, index
        self._threads, self._places = threads, places
        self._live = set(range(len(threads)))
        self._requests: dict[int, Request] = {}
        self._answers: dict[int, Any] = {}
        self._barriers = 0
        self._warp_barriers = [0] * -(-len(threads) // WARP)

    def run(self) -> Iterator[None]:
        """Run to the end; stops once at each barrier of the grid. Raises `StuckError`."""
        self._enter()
        ready = sorted(self._live)
        while ready:
            for thread in ready:
                self._advance(thread)
            if not self._live:
                break
            if self._all_wait_for({"grid"}):
                yield
                self._enter()
                ready = self._release(sorted(self._live))
            else:
                ready = self._resolve()
        self._cuda.leave_block()

    def _enter(self) -> None:
        self._cuda.enter_block(self._number, self._index)

    def _advance(self, thread: int) -> None:
        cuda = self._cuda
        cuda.threadIdx = self._places[thread]
        cuda.position.enter(thread, self._barriers, self._warp_barriers[thread // WARP])
        try:
            self._requests[thread] = self._threads[thread].send(self._answers.pop(thread, None))
        except StopIteration:
            self._live.discard(thread)

    def _all_wait_for(self, kinds: set[str] | frozenset[str]) -> bool:
        return all(self._requests[thread][0] in kinds for thread in self._live)

    def _release(self, threads: list[int]) -> list[int]:
        for thread in threads:
            del self._requests[thread]
        return threads

    def _resolve(self) -> list[int]:
        """Answer whatever is complete; the threads that go on, in order."""
        if self._all_wait_for(_BLOCK):
            return self._block_barrier()
        ready = [thread for thread in self._live if self._requests[thread][0] == "turn"]
        self._release(ready)
        for warp in sorted({thread // WARP for thread in self._live}):
            ready += self._warp(warp)
        if not ready:
            raise StuckError(self._described())
        return sorted(ready)

    def _block_barrier(self) -> list[int]:
        kinds = {self._requests[thread][0] for thread in self._live}
        if len(kinds) > 1:
            raise StuckError(self._described())
        self._check_lines()
        kind, threads = kinds.pop(), sorted(self._live)
        if kind != "syncthreads":
            votes = [bool(self._requests[thread][1]) for thread in threads]
            answers = {"syncthreads_count": sum(votes), "syncthreads_and": all(votes), "syncthreads_or": any(votes)}
            self._answers.update(dict.fromkeys(threads, Int32(int(answers[kind]))))
        self._barriers += 1
        self._cuda.passed_barrier()
        return self._release(threads)

    def _check_lines(self) -> None:
        """One barrier of the block is one instruction for each warp: its threads must not meet at different ones."""
        lines: dict[int, int] = {}
        for thread in self._live:
            line = _line(self._threads[thread])
            if lines.setdefault(thread // WARP, line) != line:
                raise StuckError(self._described())

    def _warp(self, warp: int) -> list[int]:
        """Lanes whose operation is complete: every lane it names, and that still lives, asks for the same one."""
        lanes = [thread for thread in self._live if thread // WARP == warp and thread in self._requests]
        ready: list[int] = []
        groups: dict[tuple[str, int], list[int]] = {}
        for thread in lanes:
            request = self._requests[thread]
            if request[0] not in _BLOCK and request[0] != "grid":
                groups.setdefault((request[0], _mask(request)), []).append(thread)
        for (kind, mask), members in groups.items():
            alive = {thread for thread in self._live if thread // WARP == warp}
            named = {thread for thread in alive if mask >> (thread % WARP) & 1}
            if kind == "activemask" or named <= set(members):
                self._warp_barriers[warp] += kind != "activemask"
                self._answer_warp(kind, sorted(members))
                ready += self._release(members)
        return ready

    def _answer_warp(self, kind: str, members: list[int]) -> None:
        requests = {thread: self._requests[thread] for thread in members}
        if kind == "activemask":
            self._answers.update(dict.fromkeys(members, _bits(members)))
        elif kind.startswith("shfl"):
            values = {thread % WARP: request[2] for thread, request in requests.items()}
            for thread, request in requests.items():
                self._answers[thread] = _shuffled(kind, thread % WARP, values, int(request[3]))
        elif kind.startswith("match"):
            self._answers.update(_matched(kind, {thread: request[2] for thread, request in requests.items()}))
        elif kind != "syncwarp":
            votes = {thread: bool(request[2]) for thread, request in requests.items()}
            self._answers.update(dict.fromkeys(members, _voted(kind, votes)))

    def _described(self) -> str:
        places: dict[tuple[str, int], int] = {}
        for thread in self._live:
            place = self._requests[thread][0], _line(self._threads[thread])
            places[place] = places.get(place, 0) + 1
        waiting = [f"{count} at line {line} (cuda.{kind})" for (kind, line), count in sorted(places.items())]
        ended = len(self._threads) - len(self._live)
        return f"threads wait for each other at different places: {', '.join(waiting)}; {ended} have ended"


def _line(thread: Any) -> int:
    """Where a thread waits: the line of the innermost generator."""
    while thread.gi_yieldfrom is not None:
        thread = thread.gi_yieldfrom
    return int(thread.gi_frame.f_lineno)


def _mask(request: Request) -> int:
    """Which lanes an operation of a warp names; all of them where it says none."""
    return int(request[1]) & 0xFFFFFFFF if len(request) > 1 else 0xFFFFFFFF


def _bits(threads: Sequence[int]) -> Int32:
    word = sum(1 << (thread % WARP) for thread in threads)
    return Int32(word - (1 << 32) if word >> 31 else word)


def _shuffled(kind: str, lane: int, values: dict[int, Any], amount: int) -> Any:
    """The value of another lane. Beyond the warp's ends a lane keeps its own; one that does not take part has none."""
    source = {
        "shfl_sync": amount % WARP,
        "shfl_up_sync": lane - amount,
        "shfl_down_sync": lane + amount,
        "shfl_xor_sync": lane ^ amount,
    }[kind]
    if not 0 <= source < WARP:
        source = lane
    mine = values[lane]
    if source in values:
        return values[source]
    return type(mine)(np.nan) if isinstance(mine, np.floating) else type(mine)(_NOTHING)


def _voted(kind: str, votes: dict[int, bool]) -> Any:
    match kind:
        case "ballot_sync":
            return _bits([thread for thread, vote in votes.items() if vote])
        case "all_sync":
            return all(votes.values())
        case "any_sync":
            return any(votes.values())
        case "eq_sync":
            return len(set(votes.values())) == 1
    raise AssertionError(kind)


def _matched(kind: str, values: dict[int, Any]) -> dict[int, Any]:
    if kind == "match_all_sync":
        same = len({_pattern(value) for value in values.values()}) == 1
        return dict.fromkeys(values, (_bits(list(values)) if same else Int32(0), same))
    groups: dict[Any, list[int]] = {}
    for thread, value in values.items():
        groups.setdefault(_pattern(value), []).append(thread)
    return {thread: _bits(groups[_pattern(value)]) for thread, value in values.items()}


def _pattern(value: Any) -> Any:
    """What is compared: bits."""
    return value.tobytes() if isinstance(value, np.floating) else int(value) % (1 << bits_of(value))
