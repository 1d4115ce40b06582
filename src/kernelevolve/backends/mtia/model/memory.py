"""What reaches shared and off-chip memory: a reuse model at the granularity of the tiles that programs touch.

A *tile* is a byte range of a buffer that one execution of a memory operation touches; equal ranges are the same tile.
Time advances in rounds: with P processing elements, program p runs in round ``p // P``; within a round, the outermost
statements of the kernel take equal parts, and a statement's executions are spread evenly over its part. Then:

- Elements that touch a tile at one time share one read of shared memory per column (broadcast), one of DRAM in all.
- The first touch of a tile comes from DRAM (a store allocates without reading). Where tiles overlap, all first touches
  of a buffer together cost no more than the bytes that they cover.
- Gathers fall on random pieces of the range that they span: n bytes out of s are expected to reach ``s (1 - exp(-n /
  s))`` different ones, and to find a piece in the cache as often as the whole footprint fits.
- A later touch hits the cache (LLC) if the footprint of a window as long as the time since the last touch fits. The
  footprint is the average over all windows of that length (Xiang, Ding, Luo, Bao: "HOTL: a higher order theory of
  locality", ASPLOS 2013), computed exactly from the gaps between touches.
- A store is written back once for each time that its tile enters the cache: what stays dirty is written by the end.
- Shared memory carries what elements read and write, and what moves between it and DRAM.
- Scratch buffers named by `Placement.scratch` live in LLS: shared memory kept from the cache in units of 32 MB.
"""

from __future__ import annotations

__all__ = ["OpTraffic", "Placement", "Traffic", "traffic"]

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from attrs import field, frozen

from kernelevolve.backends.mtia.model.address import Form
from kernelevolve.backends.mtia.model.parameters import ChipParameters
from kernelevolve.backends.mtia.model.units import Workbook, is_atomic
from kernelevolve.backends.mtia.program import Op
from kernelevolve.backends.mtia.trace import Access, Trace

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_PRIME: Final = np.uint64(0x9E3779B97F4A7C15)


@frozen
class Placement:
    """Where buffers are before a launch."""

    #: Bytes of each buffer that the cache holds, by name: an earlier launch of the plan left them.
    resident: Mapping[str, int] = field(factory=dict)
    #: False: the cache is warm from equal launches, and what fits into it is neither read from nor written to DRAM.
    cold: bool = True
    #: Buffers that live in LLS.
    scratch: frozenset[str] = frozenset()


@frozen
class OpTraffic:
    """One execution of a memory operation on average: bytes, numbers."""

    moved: float = 0.0
    #: Of `moved`, what comes from or goes to DRAM; what shared memory carries for this element.
    dram: float = 0.0
    shared: float = 0.0
    #: Useful bytes, and descriptors.
    useful: float = 0.0
    tiles: float = 0.0
    #: Share of executions that leave the core's data cache (scalar accesses).
    misses: float = 1.0


@frozen
class Traffic:
    """One launch. Bytes."""

    #: By operation number (`kernelevolve.backends.mtia.trace.Index`).
    ops: Mapping[int, OpTraffic]
    #: What fabric interfaces bring into and take out of local memories.
    fabric_read: int
    fabric_written: int
    shared_read: int
    shared_written: int
    dram_read: int
    dram_written: int
    #: What the cache holds of each buffer afterwards.
    resident: Mapping[str, int]


@frozen(eq=False)
class _Touches:
    """Touches of tiles, those of several elements at one time merged; sorted by tile, then time."""

    tile: Integers  # dense numbers
    time: Floats  # rounds
    buffer: Integers
    nbytes: Floats
    elements: Integers  # that take part
    store: npt.NDArray[np.bool_]
    op: Integers  # position in the trace's accesses
    indexed: npt.NDArray[np.bool_]  # an address for each element: a tile of its own each time
    again: npt.NDArray[np.bool_]  # not the tile's first touch
    gap: Floats  # since the tile's last touch; infinite for the first


def traffic(trace: Trace, book: Workbook, chip: ChipParameters, placement: Placement) -> Traffic:
    """The traffic of the launch that `trace` describes."""
    moved = [_moved(access, trace.index.ops[access.op], book, chip) for access in trace.accesses]
    touches = _touches(trace, moved, book, chip)
    if touches is None:
        return Traffic({}, 0, 0, 0, 0, 0, 0, placement.resident)
    scratch = np.array([name in placement.scratch for name in trace.buffers])[touches.buffer]
    cache = _cache_bytes(trace, chip, placement)
    covered, overlap = _coverage(trace, touches)
    first_share = overlap[touches.buffer]
    window = _window(touches, first_share, cache, math.ceil(trace.programs / chip.elements))
    warm = _warm(trace, covered, cache, placement)
    missed = np.where(touches.again, touches.gap > window, first_share * (1.0 - warm[touches.buffer]))
    lost = max(0.0, 1.0 - cache / max(1.0, float(covered.sum())))
    missed = np.where(touches.indexed, np.maximum(missed, lost), missed)
    missed = np.where(scratch, 0.0, missed)
    writes_back = placement.cold or float(covered.sum()) > cache
    written = _written_back(touches, window) * first_share * (writes_back & ~scratch)
    dram_read = np.where(touches.store, 0.0, missed) * touches.nbytes
    dram_written = np.where(touches.store, written, 0.0) * touches.nbytes
    shared = np.ceil(touches.elements / np.where(touches.store, 1, chip.broadcast_column)) * touches.nbytes
    dram = dram_read + dram_written

    ops: dict[int, OpTraffic] = {}
    counts = [np.bincount(touches.op, weights=each, minlength=len(moved)) for each in (dram, shared)]
    for position, (access, bytes_) in enumerate(zip(trace.accesses, moved, strict=True)):
        executions = len(access.programs)
        ops[access.op] = OpTraffic(
            moved=float(bytes_.sum()) / executions,
            dram=float(counts[0][position]) / executions,
            shared=float(counts[1][position] + counts[0][position]) / executions,
            useful=float(access.nbytes.sum()) / executions,
            tiles=float(np.sum(access.tiles)) / executions,
            misses=float((bytes_ > 0).mean()),
        )
    return Traffic(
        ops,
        fabric_read=_round((touches.nbytes * touches.elements)[~touches.store].sum()),
        fabric_written=_round((touches.nbytes * touches.elements)[touches.store].sum()),
        shared_read=_round(shared[~touches.store].sum() + dram_written.sum()),
        shared_written=_round(shared[touches.store].sum() + dram_read.sum()),
        dram_read=_round(dram_read.sum()),
        dram_written=_round(dram_written.sum()),
        resident=_left(trace, touches, covered, cache, placement),
    )


def _round(value: Any) -> int:
    return round(float(value))


def _moved(access: Access, op: Op, book: Workbook, chip: ChipParameters) -> Floats:
    """Bytes that each execution moves, whole pieces of the fabric; 0 where a core's data cache has them."""
    useful = access.nbytes.astype(np.float64)
    if book.scalar_access(op):
        line = access.low.astype(np.int64) // chip.core_line_bytes
        order = np.lexsort((access.ordinal, access.programs))
        known = np.zeros(len(line), bool)
        same = (np.diff(line[order]) == 0) & (np.diff(access.programs[order]) == 0)
        known[order[1:]] = same
        return np.where(known | (useful == 0), 0.0, float(chip.core_line_bytes))
    type_ = book.tile(op)
    pieces = access.runs.astype(np.float64)
    dims = book.roles.dims.get(op.operands[0], ())
    if is_atomic(op.name) or (dims and dims[-1].form is Form.INDEXED and type_.shape[-1] > 1):
        pieces = access.elements.astype(np.float64)  # an address for each element
    elif book.transposed(op):
        axis = book.roles.contiguous(op.operands[0], book.type_of(op.operands[0]))
        assert axis is not None
        pieces = np.minimum(pieces, np.ceil(access.elements / type_.shape[axis]))
    grain = chip.dma_row_bytes
    each = useful / np.maximum(pieces, 1.0)
    moved: Floats = pieces * np.ceil(each / grain) * grain
    return moved * (2.0 if is_atomic(op.name) else 1.0)


def _touches(trace: Trace, moved: Sequence[Floats], book: Workbook, chip: ChipParameters) -> _Touches | None:
    columns: list[tuple[npt.NDArray[Any], ...]] = []
    phases = _phases(trace)
    for position, (access, nbytes) in enumerate(zip(trace.accesses, moved, strict=True)):
        some = nbytes > 0
        if not some.any():
            continue
        programs = access.programs[some].astype(np.int64)
        executions = trace.op_counts(access.op)[programs]
        phase, of = phases[access.op]
        time = programs // chip.elements + (phase + access.ordinal[some] / np.maximum(executions, 1)) / of
        name = trace.index.ops[access.op].name
        columns.append(
            (
                access.buffer[some].astype(np.int64),
                access.low[some].astype(np.int64),
                access.high[some].astype(np.int64),
                time,
                nbytes[some],
                np.full(len(programs), "store" in name or "scatter" in name or is_atomic(name)),
                np.full(len(programs), book.indices(trace.index.ops[access.op]) > 0),
                np.full(len(programs), position),
            )
        )
    if not columns:
        return None
    buffer, low, high, time, nbytes, store, indexed, op = (np.concatenate(each) for each in zip(*columns, strict=True))
    with np.errstate(over="ignore"):
        key = ((buffer.astype(np.uint64) * _PRIME + low.astype(np.uint64)) * _PRIME) + high.astype(np.uint64)
        key = np.where(indexed, np.arange(len(key), dtype=np.uint64) * _PRIME, key)
    order = np.lexsort((store, time, key))
    key, time, store = key[order], time[order], store[order]
    new_tile = np.r_[True, key[1:] != key[:-1]]
    new_touch = new_tile | np.r_[True, (time[1:] != time[:-1]) | (store[1:] != store[:-1])]
    starts = np.flatnonzero(new_touch)
    tile = np.cumsum(new_tile)[starts] - 1
    again = ~new_tile[starts]
    gap = np.full(len(starts), np.inf)
    gap[1:] = np.where(again[1:], np.diff(time[starts]), np.inf)
    return _Touches(
        tile=tile,
        time=time[starts],
        buffer=buffer[order][starts],
        nbytes=np.maximum.reduceat(nbytes[order], starts),
        elements=np.diff(np.r_[starts, len(order)]),
        store=store[starts],
        op=op[order][starts],
        indexed=indexed[order][starts],
        again=again,
        gap=gap,
    )


def _phases(trace: Trace) -> dict[int, tuple[int, int]]:
    """Which outermost statement of the kernel each memory operation belongs to, and how many of these there are."""
    index = trace.index
    tops: dict[int, int] = {}
    for access in trace.accesses:
        top = access.op
        while (parent := index.places[index.block_of[top]].parent) is not None:
            top = parent
        tops[access.op] = top
    order = {top: number for number, top in enumerate(sorted(set(tops.values())))}
    return {op: (order[top], len(order)) for op, top in tops.items()}


def _cache_bytes(trace: Trace, chip: ChipParameters, placement: Placement) -> float:
    """LLC: shared memory less what LLS takes, in whole units; at least one unit stays a cache."""
    wanted = sum(
        size for name, size in zip(trace.buffers, trace.buffer_bytes, strict=True) if name in placement.scratch
    )
    units = math.ceil(wanted / chip.shared_granularity)
    return max(float(chip.shared_granularity), chip.shared_bytes - units * float(chip.shared_granularity))


def _coverage(trace: Trace, touches: _Touches) -> tuple[Floats, Floats]:
    """Bytes of each buffer that tiles cover, and that over the sum of its tiles (below 1 where they overlap)."""
    covered = np.zeros(len(trace.buffers))
    overlap = np.ones(len(trace.buffers))
    first = ~touches.again
    tiles = np.bincount(touches.buffer[first], weights=touches.nbytes[first], minlength=len(trace.buffers))
    for buffer in np.flatnonzero(tiles):
        lows, highs = [], []
        for access in trace.accesses:
            mine = (access.buffer == buffer) & (access.elements > 0)
            lows.append(access.low[mine])
            highs.append(access.high[mine])
        union = _union(np.concatenate(lows), np.concatenate(highs))
        gathered = float(touches.nbytes[(touches.buffer == buffer) & touches.indexed].sum())
        expected = union * -math.expm1(-gathered / union)
        covered[buffer] = min(float(tiles[buffer]) - gathered + expected, union)
        overlap[buffer] = covered[buffer] / tiles[buffer]
    return covered, overlap


def _union(low: npt.NDArray[Any], high: npt.NDArray[Any]) -> float:
    """Length of a union of intervals."""
    order = np.argsort(low, kind="stable")
    low, high = low[order].astype(np.int64), high[order].astype(np.int64)
    reach = np.maximum.accumulate(high)
    start = np.r_[low[0], np.maximum(low[1:], reach[:-1])]
    return float(np.maximum(high - start, 0).sum())


def _window(touches: _Touches, share: Floats, cache: float, rounds: int) -> float:
    """The longest gap (rounds) after which a tile is still in the cache; infinite where everything fits.

    The average footprint of windows of length w over a time T: sum over tiles of ``size x (1 - sum over its untouched
    gaps of max(gap - w, 0) / (T - w))``; the time before a tile's first and after its last touch are gaps too.
    """
    sizes = touches.nbytes * share
    first = ~touches.again
    total = float(sizes[first].sum())
    if total <= cache:
        return math.inf
    last = np.r_[first[1:], True]
    gaps = np.concatenate([touches.gap[touches.again], touches.time[first], rounds - touches.time[last]])
    weights = np.concatenate([sizes[touches.again], sizes[first], sizes[last]])
    order = np.argsort(gaps, kind="stable")
    gaps, weights = gaps[order], weights[order]
    mass = np.r_[np.cumsum(weights[::-1])[::-1], 0.0]
    reach = np.r_[np.cumsum((weights * gaps)[::-1])[::-1], 0.0]

    def footprint(window: float) -> float:
        at = int(np.searchsorted(gaps, window, side="right"))
        return total - float(reach[at] - window * mass[at]) / (rounds - window)

    low, high = 0.0, float(rounds) * (1 - 1e-9)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if footprint(middle) <= cache else (low, middle)
    return low


def _written_back(touches: _Touches, window: float) -> Floats:
    """1 for each store that makes its tile dirty, 0 where it was dirty in the cache already."""
    written = np.zeros(len(touches.tile))
    stores = np.flatnonzero(touches.store)
    if len(stores):
        again = np.r_[False, touches.tile[stores][1:] == touches.tile[stores][:-1]]
        gap = np.r_[np.inf, np.diff(touches.time[stores])]
        written[stores] = np.where(again & (gap <= window), 0.0, 1.0)
    return written


def _warm(trace: Trace, covered: Floats, cache: float, placement: Placement) -> Floats:
    """The share of each buffer's tiles that the cache holds before the launch."""
    if not placement.cold:
        return np.full(len(trace.buffers), 1.0 if float(covered.sum()) <= cache else 0.0)
    held = np.array([placement.resident.get(name, 0) for name in trace.buffers], float)
    share: Floats = np.minimum(1.0, held / np.maximum(covered, 1.0))
    return share


def _left(trace: Trace, touches: _Touches, covered: Floats, cache: float, placement: Placement) -> dict[str, int]:
    """What the cache holds after the launch: buffers by their last touch, then what was there before."""
    last = np.full(len(trace.buffers), -1.0)
    np.maximum.at(last, touches.buffer, touches.time)
    left: dict[str, int] = {}
    free = cache
    for buffer in sorted(range(len(trace.buffers)), key=lambda each: (-last[each], each)):
        name = trace.buffers[buffer]
        if last[buffer] >= 0 and name not in placement.scratch:
            left[name] = int(min(covered[buffer], free))
            free -= left[name]
    for name, nbytes in placement.resident.items():
        if name not in left:
            left[name] = int(min(nbytes, free))
            free -= left[name]
    return left
