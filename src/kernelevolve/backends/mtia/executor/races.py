"""Accesses of two programs to one address that have no order: programs of a launch run in any order, or at once.

Two stores of different values, or a load and a store that changes what is loaded. Accesses that cannot meet, because
they lie apart from all before them and have no element twice, cost next to nothing: they are only remembered. Owners
and readers of every element are looked up where accesses may meet.
"""

from __future__ import annotations

__all__ = ["Clash", "Tracker"]

import numpy as np
from attrs import define, field, frozen

from kernelevolve.backends.mtia.executor.values import Array

_NOBODY = -1
#: Written by atomic operations, which may meet; read by several programs.
_SEVERAL = -2


@frozen
class Clash:
    """Program `program` met at byte `offset` with what program `other` had done there (None: several programs)."""

    offset: int
    program: int
    other: int | None
    #: Both stored; otherwise one of them loaded.
    both_stored: bool = True


@define(eq=False)
class _Map:
    """A program for each unit of memory, with what is still to be entered."""

    #: First byte of each piece, its bytes, its program.
    pending: list[tuple[Array, int, Array]] = field(factory=list)
    who: Array | None = None
    low: int = 1 << 62
    high: int = 0

    def extend(self, first: Array, nbytes: int) -> None:
        """Note the range of further pieces."""
        self.low, self.high = min(self.low, int(first.min())), max(self.high, int(first.max()) + nbytes)

    def meets(self, first: Array, nbytes: int) -> bool:
        """Whether the pieces may touch what is in the map."""
        return int(first.min()) < self.high and self.low < int(first.max()) + nbytes

    def entered(self, total: int, unit: int, *, merge: bool) -> Array:
        """The map with nothing pending. With `merge`, a unit that gets a second program has several."""
        if self.who is None:
            self.who = np.full(-(-total // unit), _NOBODY, np.int32)
        for first, nbytes, programs in self.pending:
            index = (first[:, None] // unit + np.arange(nbytes // unit)).reshape(-1)
            new = np.repeat(programs.astype(np.int32), nbytes // unit)
            if merge:
                old = self.who[index]
                self.who[index] = new
                self.who[index[(self.who[index] != new) | ((old != _NOBODY) & (old != new))]] = _SEVERAL
            else:
                self.who[index] = new
        self.pending.clear()
        return self.who


class Tracker:
    """Who stored to and loaded from one buffer during one launch. Programs are linear numbers."""

    def __init__(self, payload: Array, *, loads: bool) -> None:
        self._payload = payload
        #: Whether loads matter: whether the kernel may store to this buffer at all.
        self.loads = loads
        self._unit = 8  # bytes of the smallest element so far
        self._owners, self._readers = _Map(), _Map()

    def load(self, first: Array, nbytes: int, size: int, programs: Array, several: Array) -> Clash | None:
        """A clash of a load of pieces from each `first` byte on with what others stored before.

        `several` says which pieces are loaded by further programs than the one in `programs`.
        """
        if not len(first):
            return None
        self._see(size)
        self._readers.extend(first, nbytes)
        self._readers.pending.append((first, nbytes, np.where(several, _SEVERAL, programs)))
        if not self._owners.meets(first, nbytes):
            return None
        index, who = self._units(first, nbytes, programs)
        owner = self._owners.entered(self._payload.nbytes, self._unit, merge=False)[index]
        bad = (owner >= 0) & (owner != who)
        return self._clash(bad, index, who, owner, both_stored=False)

    def before(self, first: Array, programs: Array, data: Array) -> Clash | None:
        """A clash of a store with what came before, or within it; to be asked before the bytes are written.

        `first` are the pieces' first bytes, `data` their elements (a row each), which are written in this order.
        """
        if not len(first):
            return None
        nbytes = data.shape[-1] * data.itemsize
        self._see(data.itemsize)
        met, read = self._owners.meets(first, nbytes), self._readers.meets(first, nbytes)
        self._owners.extend(first, nbytes)
        found: Clash | None = None
        if met or not _apart(first, nbytes):
            found = self._stored(first, programs, data)
        else:
            self._owners.pending.append((first, nbytes, programs))
        if read and found is None:
            index, who = self._units(first, nbytes, programs)
            reader = self._readers.entered(self._payload.nbytes, self._unit, merge=True)[index]
            bad = (reader != _NOBODY) & (reader != who) & (self._memory()[index] != self._as_units(data))
            found = self._clash(bad, index, who, reader, both_stored=False)
        return found

    def share(self, first: Array, size: int) -> None:
        """Atomic operations changed these elements: whoever stores there meets nobody in particular."""
        if len(first):
            self._see(size)
            self._owners.extend(first, size)
            self._owners.pending.append((first, size, np.full(len(first), _SEVERAL, np.int32)))

    def _see(self, size: int) -> None:
        if size < self._unit:
            for one in (self._owners, self._readers):
                one.who = None if one.who is None else np.repeat(one.who, self._unit // size)
            self._unit = size

    def _units(self, first: Array, nbytes: int, programs: Array) -> tuple[Array, Array]:
        count = nbytes // self._unit
        index = (first[:, None] // self._unit + np.arange(count)).reshape(-1)
        return index, np.repeat(programs.astype(np.int32), count)

    def _memory(self) -> Array:
        unit = self._unit
        return self._payload[: self._payload.nbytes // unit * unit].view(f"u{unit}")

    def _as_units(self, data: Array) -> Array:
        return np.ascontiguousarray(data).view(f"u{self._unit}").reshape(-1)

    def _stored(self, first: Array, programs: Array, data: Array) -> Clash | None:
        owners = self._owners.entered(self._payload.nbytes, self._unit, merge=False)
        index, who = self._units(first, data.shape[-1] * data.itemsize, programs)
        new = self._as_units(data)
        before = owners[index]
        bad = (before >= 0) & (before != who) & (self._memory()[index] != new)
        if not bad.any():  # within this store, compare each with the one that ends up in memory
            unique, place = np.unique(index, return_inverse=True)
            latest = np.zeros(len(unique), np.int64)
            latest[place] = np.arange(len(new))
            latest = latest[place]
            before = who[latest]
            bad = (before != who) & (new[latest] != new)
        owners[index] = who
        return self._clash(bad, index, who, before, both_stored=True)

    def _clash(self, bad: Array, index: Array, who: Array, other: Array, *, both_stored: bool) -> Clash | None:
        if not bad.any():
            return None
        where = int(np.flatnonzero(bad)[0])
        met = int(other[where])
        return Clash(int(index[where]) * self._unit, int(who[where]), met if met >= 0 else None, both_stored)


def _apart(first: Array, nbytes: int) -> bool:
    """Whether no two pieces overlap."""
    steps = np.diff(first)
    if len(steps) and steps.min() < nbytes:
        steps = np.diff(np.sort(first))
    return not len(steps) or bool(steps.min() >= nbytes)
