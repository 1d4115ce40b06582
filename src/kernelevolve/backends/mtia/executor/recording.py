"""Counts and accesses as they happen, made into a `Trace` at the end of a launch."""

from __future__ import annotations

__all__ = ["Recorder"]

import numpy as np
from attrs import define, field

from kernelevolve.backends.mtia.executor.memory import Rows
from kernelevolve.backends.mtia.executor.values import Array
from kernelevolve.backends.mtia.program import Program
from kernelevolve.backends.mtia.trace import Access, Finding, Index, Trace

_NONE, _ONE = np.zeros(1, np.int64), np.ones(1, np.int64)
_COLUMNS = ("programs", "ordinal", "buffer", "low", "high", "elements", "runs", "tiles")


@define(eq=False)
class _Log:
    """Entries of one operation, a list of arrays for each column."""

    element_bytes: int
    columns: dict[str, list[Array]] = field(factory=lambda: {name: [] for name in _COLUMNS})


class Recorder:
    """What one launch did. Programs are linear numbers; all arrays have one entry for each program of a batch."""

    def __init__(self, program: Program, index: Index, grid: tuple[int, int, int]) -> None:
        self.program, self.index, self.grid = program, index, grid
        total = int(np.prod(grid))
        self.counts = np.zeros((len(index.blocks), total), np.int64)
        self.findings: list[Finding] = []
        self.prints: list[str] = []
        self._seen: set[tuple[str, str, int]] = set()
        self._logs: dict[int, _Log] = {}

    def block(self, number: int, programs: Array) -> None:
        """These programs enter a block."""
        self.counts[number, programs] += 1

    def finding(self, finding: Finding) -> None:
        """Keep the first of a kind for each buffer and line."""
        key = (finding.kind, finding.buffer, finding.line)
        if key not in self._seen:
            self._seen.add(key)
            self.findings.append(finding)

    def access(self, op: int, size: int, programs: Array, rows: Rows, mask: Array | None) -> None:
        """These programs move the active lanes of `rows`, elements of `size` bytes."""
        log = self._logs.setdefault(op, _Log(size))
        low, high, elements, runs, tiles = _measure(rows, mask)
        ordinal = self.counts[self.index.block_of[op], programs] - 1
        values = (programs, ordinal, np.array([rows.buffer]), low * size, high * size, elements, runs, tiles)
        for name, value in zip(_COLUMNS, values, strict=True):
            log.columns[name].append(value if len(value) == len(programs) else np.repeat(value, len(programs)))

    def trace(self, names: tuple[str, ...], nbytes: tuple[int, ...]) -> Trace:
        """The launch as a whole."""
        accesses = [
            Access(op, log.element_bytes, **{name: np.concatenate(column) for name, column in log.columns.items()})
            for op, log in sorted(self._logs.items())
        ]
        return Trace(
            self.program, self.index, self.grid, names, nbytes, self.counts, accesses, self.findings, self.prints
        )


def _measure(rows: Rows, mask: Array | None) -> tuple[Array, Array, Array, Array, Array]:
    """First element, last one plus 1, elements, runs and affine tiles of each program (extent 1: of all)."""
    start = rows.flat_start
    if mask is None or mask.all():
        flat = start.reshape(len(start), -1)
        if flat.shape[1] == 1:
            return flat[:, 0], flat[:, 0] + rows.length, np.array([rows.length]), _ONE, _ONE
        low, high = flat.min(axis=1), flat.max(axis=1) + rows.length
        elements = np.array([flat.shape[1] * rows.length])
        runs = 1 + np.count_nonzero(np.diff(flat, axis=1) != rows.length, axis=1)
        return low, high, elements, runs, _tiles(start, runs)
    active = rows.flat(mask)
    if active.size == active.shape[-1] == rows.length and start.size == len(start):
        return _one_row(start.reshape(-1), np.flatnonzero(active))
    shape = np.broadcast_shapes(start.shape, active.shape[:-1])
    inner = np.broadcast_to(active, (*shape, active.shape[-1])).reshape(shape[0], -1, active.shape[-1])
    if active.shape[-1] != rows.length:
        inner = np.broadcast_to(inner, (*inner.shape[:-1], rows.length))
    flat = np.broadcast_to(start, shape).reshape(shape[0], -1)
    per_row = np.count_nonzero(inner, axis=2)
    some = per_row > 0
    first = flat + inner.argmax(axis=2)
    end = flat + rows.length - inner[:, :, ::-1].argmax(axis=2)
    elements = per_row.sum(axis=1)
    nothing = elements == 0
    far = np.iinfo(np.int64).max
    low = np.where(nothing, 0, np.where(some, first, far).min(axis=1))
    high = np.where(nothing, 0, np.where(some, end, -1).max(axis=1))
    runs = np.count_nonzero(some, axis=1)
    if (end - first)[some].sum() != per_row.sum():  # masks with holes
        runs = inner[:, :, 0].sum(axis=1) + (inner[:, :, 1:] & ~inner[:, :, :-1]).sum(axis=(1, 2))
    pieces = _pieces(some, first - flat, end - flat, per_row, runs)
    joined = some[:, 1:] & some[:, :-1] & (first[:, 1:] == end[:, :-1])
    runs = runs - joined.sum(axis=1)
    tiles = np.minimum(np.maximum(_tiles(start, runs), pieces), np.maximum(runs, 1))
    return low, high, elements, runs, np.where(nothing, 0, tiles)


def _pieces(some: Array, first: Array, end: Array, per_row: Array, runs: Array) -> Array:
    """Into how many boxes a mask cuts a tile of rows, by program: a descriptor moves the same stretch of neighbouring
    rows, and a mask with holes takes one for each run.
    """
    on = some[:, 1:] & some[:, :-1] & (first[:, 1:] == first[:, :-1]) & (end[:, 1:] == end[:, :-1])
    boxes = some.sum(axis=1) - on.sum(axis=1)
    whole = (~some | (per_row == end - first)).all(axis=1)
    return np.where(whole, boxes, runs)


def _one_row(start: Array, lit: Array) -> tuple[Array, Array, Array, Array, Array]:
    """`_measure` of programs that move the same lanes of one row each."""
    if not len(lit):
        return _NONE, _NONE, _NONE, _NONE, _NONE
    runs = 1 + np.count_nonzero(np.diff(lit) != 1)
    return start + lit[0], start + lit[-1] + 1, np.array([len(lit)]), np.array([runs]), np.array([runs])


def _tiles(start: Array, runs: Array) -> Array:
    """Affine pieces of at most two dimensions that the rows make up."""
    rows = start.reshape(len(start), -1, start.shape[-1]) if start.ndim > 1 else start.reshape(len(start), 1, 1)
    steps = np.diff(rows, axis=2)
    even = (steps == steps[:, :, :1]).all(axis=2)
    pieces = np.where(even, 1, rows.shape[2]).sum(axis=1)
    if rows.shape[1] > 1 and rows.shape[2] == 1:  # an axis of extent 1 between
        steps = np.diff(rows[:, :, 0], axis=1)
        pieces = np.where((steps == steps[:, :1]).all(axis=1), 1, pieces)
    return np.asarray(np.minimum(pieces, np.maximum(runs, 1)))
