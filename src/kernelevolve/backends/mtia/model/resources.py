"""What a kernel needs of an element's local memory: circular buffers, and bytes.

Every tile that a memory operation moves flows through a circular buffer: of several slots (`ModelOptions.depth`) in an
innermost loop, of one elsewhere. A buffer is taken for as long as the outermost statement that uses it; one that has
ended gives its place to the next, unless all tiles of straight-line code fit at a time: only then may their loads run
ahead of what is computed before them (`Needs.separate`). What is computed lives in local memory until its last use (in
place where the sizes agree). Addresses, masks that fit descriptors, constants and views take nothing.
"""

from __future__ import annotations

__all__ = ["Needs", "check_needs", "needs"]

from collections.abc import Iterator

from attrs import frozen

from kernelevolve.backends.mtia.model.address import MEMORY
from kernelevolve.backends.mtia.model.schedule import ModelOptions
from kernelevolve.backends.mtia.model.units import Workbook, width
from kernelevolve.backends.mtia.program import LOOPS, Block, Op, Region, walk
from kernelevolve.outcome import ResourceExceeded

_VIEWS = {"tt.splat", "tt.broadcast", "tt.expand_dims", "tt.reshape", "tt.bitcast"}


@frozen
class Needs:
    """Of one element, while it runs a program."""

    circular_buffers: int
    local_bytes: int
    #: Line of the statement at which most buffers, and most bytes, are taken.
    buffers_line: int
    bytes_line: int
    #: Whether the tiles that straight-line code loads have places of their own, which are counted here; if not, a load
    #: waits for the place of a tile that was done before it.
    separate: bool = False


def needs(book: Workbook, options: ModelOptions) -> Needs:
    """The most that `book`'s kernel needs at a time."""
    apart = _needs(book, options, separate=True)
    if apart.circular_buffers <= book.chip.circular_buffers and apart.local_bytes <= book.chip.local_bytes:
        return apart
    return _needs(book, options, separate=False)


def _needs(book: Workbook, options: ModelOptions, *, separate: bool) -> Needs:
    counter = _Counter(book, options.depth(book.chip), separate=separate)
    buffers, buffers_line = counter.buffers(book.program.kernel.body)
    nbytes, bytes_line = counter.peak(book.program.kernel.body.blocks, depth=1)
    return Needs(buffers, int(nbytes), buffers_line, bytes_line, separate)


def check_needs(book: Workbook, options: ModelOptions) -> Needs:
    """`needs`. Raises `ResourceExceeded` where the chip has less."""
    found, chip = needs(book, options), book.chip
    if found.circular_buffers > chip.circular_buffers:
        raise ResourceExceeded(
            f"circular-buffers: the statement at line {found.buffers_line} moves {found.circular_buffers} tiles in and"
            f" out at a time; {chip.name} has {chip.circular_buffers} circular buffers for a kernel. Move fewer tiles"
            " in one loop, or split it into several",
            resource="circular buffers",
            needed=found.circular_buffers,
            limit=chip.circular_buffers,
        )
    if found.local_bytes > chip.local_bytes:
        raise ResourceExceeded(
            f"local-memory: at line {found.bytes_line} a program holds {found.local_bytes} bytes of local memory;"
            f" {chip.name} has {chip.local_bytes} for each element. Use smaller tiles, or fewer stages"
            f" (circular buffers of {options.depth(chip)} tiles now)",
            resource="local memory",
            needed=found.local_bytes,
            limit=chip.local_bytes,
        )
    return found


class _Counter:
    def __init__(self, book: Workbook, depth: int, *, separate: bool) -> None:
        self._book = book
        self._depth = depth
        self._separate = separate

    def buffers(self, body: Region) -> tuple[int, int]:
        """Most circular buffers in use during one outermost statement, and its line."""
        events: list[tuple[int, int, int]] = []  # first and last statement, line
        position, final = 0, sum(len(block.ops) for block in body.blocks)
        for block in body.blocks:
            last = _last_uses(block)
            for op in block.ops:
                straight = {inner.results[0] for inner in self._straight(op)} if self._separate else set()
                for inner in self._within(op):
                    if inner.results and inner.results[0] in straight:
                        events.append((position, final, op.line or inner.line))
                    elif self._tile(inner):
                        end = last.get(inner.results[0], 0) if inner is op and inner.results else 0
                        events.append((position, max(position, end), op.line or inner.line))
                position += 1
        most, line = 0, 0
        for start, _, at in events:
            using = sum(first <= start <= end for first, end, _ in events)
            if using > most:
                most, line = using, at
        return most, line

    def _within(self, op: Op) -> Iterator[Op]:
        """The operation and what is inside it, called functions too."""
        for inner in [op, *(each for region in op.regions for each in walk(region))]:
            yield inner
            if inner.name == "tt.call":
                for block in self._callee(inner).blocks:
                    for each in block.ops:
                        yield from self._within(each)

    def _straight(self, op: Op) -> Iterator[Op]:
        """The loads of tiles in an operation, in its branches and in what it calls, but in no loop."""
        if self._tile(op) and op.results:
            yield op
        if op.name == "tt.call" or (op.regions and op.name not in LOOPS):
            for region in (self._callee(op),) if op.name == "tt.call" else op.regions:
                for block in region.blocks:
                    for inner in block.ops:
                        yield from self._straight(inner)

    def _callee(self, op: Op) -> Region:
        return self._book.program.functions[str(op.attributes["callee"])].body

    def peak(self, blocks: tuple[Block, ...], depth: int) -> tuple[float, int]:
        """Most bytes in use inside `blocks`, what enters them left out, and the line."""
        most, line = 0.0, 0
        for block in blocks:
            here, at = self._block(block, depth)
            if here > most:
                most, line = here, at
        return most, line

    def _block(self, block: Block, depth: int) -> tuple[float, int]:
        last = _last_uses(block)
        roots = {value: self._root(value) for value in last}
        ends: dict[int, int] = {}
        for value, position in last.items():
            ends[roots[value]] = max(ends.get(roots[value], -1), position)
        streams = sum(self._stream(op) for op in block.ops) * depth if depth > 1 else 0.0
        kept = self._separate and depth == 1
        buffered = self._buffered(block, depth)
        carried = sum(self._size(argument) for argument in block.arguments)
        live: dict[int, float] = {}
        most, line = streams + carried, 0
        returned = dict(zip(block.ops[-1].operands, block.arguments[-len(block.ops[-1].operands) :], strict=False))
        for position, op in enumerate(block.ops):
            if op.name.startswith("scf."):
                blocks = tuple(each for region in op.regions for each in region.blocks)
                innermost = not any(each.name in LOOPS for region in op.regions for each in walk(region))
                inner, at = self.peak(blocks, depth if op.name not in LOOPS else self._depth if innermost else 1)
                started = {self._root(value) for value in op.operands} if op.name in LOOPS else set()
                inside = [size for root, size in live.items() if root not in started or ends[root] > position]
                if streams + carried + sum(inside) + inner > most:
                    most, line = streams + carried + sum(inside) + inner, at or op.line
            elif op.name == "tt.call":
                inner, at = self.peak(self._callee(op).blocks, depth)
                if streams + carried + sum(live.values()) + inner > most:
                    most, line = streams + carried + sum(live.values()) + inner, at or op.line
            for root in [root for root, end in ends.items() if end <= position and root in live]:
                del live[root]
            streams += sum(self._stream(inner) for inner in self._straight(op)) if kept else 0.0
            for value in op.results:
                if value in returned and last.get(returned[value], -1) <= position:
                    continue  # takes the place of the carried value
                if value not in buffered and ends.get(value, -1) > position and roots.get(value, value) == value:
                    live[value] = self._size(value)
            after = streams + carried + sum(live.values())
            if after > most:
                most, line = after, op.line
        return most, line

    def _buffered(self, block: Block, depth: int) -> set[int]:
        """Values that lie in the slots of circular buffers, and are counted there."""
        loaded = {value for op in block.ops if self._tile(op) for value in op.results}
        if depth == 1:
            return loaded if self._separate else set()
        return loaded | {self._root(op.operands[1]) for op in block.ops if self._tile(op) and not op.results}

    def _tile(self, op: Op) -> bool:
        """Whether an operation moves a tile between local memory and the chip."""
        return op.name in MEMORY and not self._book.scalar_access(op) and self._book.tile(op).size > 1

    def _stream(self, op: Op) -> float:
        """Bytes of one slot of the operation's circular buffer."""
        if not self._tile(op):
            return 0.0
        type_ = self._book.tile(op)
        return float(type_.size * width(type_))

    def _size(self, value: int) -> float:
        """Bytes of a value in local memory."""
        type_ = self._book.type_of(value)
        maker = self._book.program.producers.get(value)
        loaded = maker is not None and self._tile(maker)  # lies there even if only addresses or masks are made of it
        if not type_.shape or (value not in self._book.roles.data and not loaded):
            return 0.0
        if maker is not None and maker.name in ("arith.constant", "tt.make_range"):
            return 0.0
        return float(type_.size * width(type_))

    def _root(self, value: int) -> int:
        """What a value is a view of."""
        maker = self._book.program.producers.get(value)
        while maker is not None and maker.name in _VIEWS:
            value = maker.operands[0]
            maker = self._book.program.producers.get(value)
        return value


def _last_uses(block: Block) -> dict[int, int]:
    """The last operation of the block that uses each value, inside its regions too."""
    last: dict[int, int] = {}
    for position, op in enumerate(block.ops):
        for inner in [op, *(each for region in op.regions for each in walk(region))]:
            for value in inner.operands:
                last[value] = position
    return last
