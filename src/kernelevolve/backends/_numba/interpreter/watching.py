"""Races: who touched which element, and whether a barrier lies between two that disturb each other.

Every plain access is remembered with the thread that made it, so that two threads that touch one element in no order
are found whatever order they were run in, and whether it changed the result or not. Atomics order themselves.
"""

from __future__ import annotations

__all__ = ["Access", "Position", "RaceError", "Watch"]

from typing import NamedTuple


class RaceError(Exception):
    """Two threads touched one element in no order, and one of them wrote."""

    def __init__(self, array: str, element: int, first: str, second: str) -> None:
        self.array = array
        self.sentence = f"{first} and {second} touch element {element} of {array} with nothing between that orders them"
        super().__init__(self.sentence)


class Position:
    """Who runs, and how many barriers it has passed: the scheduler writes it, arrays read it."""

    __slots__ = ("block", "fenced", "locked", "now", "thread")

    def __init__(self) -> None:
        self.block = 0
        #: Within the block.
        self.thread = 0
        #: Of the thread that runs: made anew whenever it passes a barrier.
        self.now = Access(0, 0, 0, 0, (0, 0))
        #: Whether the kernel orders blocks by itself (fences): then accesses of different blocks are its business.
        self.fenced = False
        #: Whether threads may order each other by fences and atomics they wait for: then all accesses are.
        self.locked = False

    def enter(self, thread: int, barriers: int = 0, warp_barriers: int = 0) -> None:
        """Another thread of the block runs."""
        self.thread = thread
        self.now = Access(self.block, thread, barriers, warp_barriers, (self.block, thread >> 5))


class Access(NamedTuple):
    """A thread at a moment: what came before it, and what after, shows in the barriers passed."""

    block: int
    thread: int
    barriers: int
    #: Of its warp.
    warp_barriers: int
    #: The block, and the number of the warp in it.
    warp: tuple[int, int]


class Watch:
    """Who touched which element of one piece of memory since the launch, or since the block's last barrier.

    Of the readers of an element it keeps, for each warp, the last two: whoever writes is one of them at most, and all
    others read before them.
    """

    __slots__ = ("_name", "_position", "_readers", "_writers")

    def __init__(self, name: str, position: Position) -> None:
        self._name = name
        self._position = position
        self._writers: dict[int, Access] = {}
        self._readers: dict[int, dict[tuple[int, int], tuple[Access, Access | None]]] = {}

    def clear(self) -> None:
        """Forget: a barrier orders everything before it with everything after."""
        self._writers.clear()
        self._readers.clear()

    def _ordered(self, before: Access, now: Access) -> bool:
        if before.block != now.block or self._position.locked:
            return self._position.fenced
        if before.thread == now.thread or before.barriers < now.barriers:
            return True
        return before.warp == now.warp and before.warp_barriers < now.warp_barriers

    def read(self, element: int) -> None:
        """The running thread reads. Raises `RaceError`."""
        now = self._position.now
        writer = self._writers.get(element)
        if writer is not None and writer is not now and not self._ordered(writer, now):
            raise RaceError(self._name, element, _named("writing", writer), _named("reading", now))
        readers = self._readers.get(element)
        if readers is None:
            self._readers[element] = {now.warp: (now, None)}
            return
        pair = readers.get(now.warp)
        if pair is None:
            readers[now.warp] = now, None
        elif pair[0] is not now:
            readers[now.warp] = now, pair[1] if pair[0].thread == now.thread else pair[0]

    def write(self, element: int, *, same: bool) -> None:
        """The running thread writes, maybe the `same` value as is there already. Raises `RaceError`."""
        if same:
            return
        now = self._position.now
        writer = self._writers.get(element)
        if writer is not None and writer is not now and not self._ordered(writer, now):
            raise RaceError(self._name, element, _named("writing", writer), _named("writing", now))
        for pair in self._readers.pop(element, {}).values():
            for reader in pair:
                if reader is not None and not self._ordered(reader, now):
                    raise RaceError(self._name, element, _named("reading", reader), _named("writing", now))
        self._writers[element] = now


def _named(what: str, access: Access) -> str:
    return f"thread {access.thread} of block {access.block} ({what})"
