"""Races between the programs of one launch, found by who touched which byte.

Programs of a grid have no order. Where one reads or overwrites what another wrote, the result depends on an order that
a chip does not promise; here it is found in whatever order the programs are interpreted. A program that writes what
stands there already changes nothing, and is left alone.
"""

from __future__ import annotations

__all__ = ["RaceFound", "Tracker"]

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_NOBODY: Final = -1
_SEVERAL: Final = -2


class RaceFound(Exception):
    """Two programs, or two lanes, want different things of one byte."""

    def __init__(self, buffer: str, offset: int, sentence: str) -> None:
        self.buffer, self.offset, self.sentence = buffer, offset, sentence
        super().__init__(sentence)


class Tracker:
    """Who read and who wrote each byte of one buffer, during one launch. Programs are numbered from 0."""

    def __init__(self, name: str, payload: Array) -> None:
        self.name, self.payload = name, payload
        self._writer: Array = np.full(payload.size, _NOBODY, np.int32)
        self._reader: Array = np.full(payload.size, _NOBODY, np.int32)

    def load(self, offsets: Array, itemsize: int, program: int) -> None:
        """`program` reads elements at these byte offsets. Raises `RaceFound`."""
        places = _bytes(offsets, itemsize)
        writer = self._writer[places]
        foreign = (writer != _NOBODY) & (writer != program)
        if foreign.any():
            self._report(places[foreign][0], "reads what another program of the same launch wrote")
        reader = self._reader[places]
        self._reader[places] = np.where((reader == _NOBODY) | (reader == program), program, _SEVERAL)

    def store(self, offsets: Array, values: Array, program: int) -> None:
        """`program` is about to write `values`, one for each byte offset. Raises `RaceFound`."""
        wanted = np.ascontiguousarray(values).view(np.uint8).reshape(offsets.size, -1)
        places = _bytes(offsets, wanted.shape[1])
        changed = self.payload[places] != wanted.reshape(-1)
        writer, reader = self._writer[places], self._reader[places]
        overwrites = changed & (writer != _NOBODY) & (writer != program)
        if overwrites.any():
            self._report(places[overwrites][0], "overwrites what another program of the same launch wrote")
        pulls_away = changed & (reader != _NOBODY) & (reader != program)
        if pulls_away.any():
            self._report(places[pulls_away][0], "changes what another program of the same launch reads")
        self._writer[places] = program

    def stored(self, offsets: Array, values: Array) -> None:
        """Look at what a store left: lanes that wrote different values to one place. Raises `RaceFound`."""
        wanted = np.ascontiguousarray(values).view(np.uint8).reshape(offsets.size, -1)
        places = _bytes(offsets, wanted.shape[1])
        lost = self.payload[places] != wanted.reshape(-1)
        if lost.any():
            self._report(places[lost][0], "stores different values to one place at once")

    def _report(self, offset: Any, what: str) -> None:
        raise RaceFound(self.name, int(offset), f"{what}: byte {int(offset)} of buffer {self.name!r}")


def _bytes(offsets: Array, itemsize: int) -> Array:
    return (offsets[:, None] + np.arange(itemsize)).reshape(-1)
