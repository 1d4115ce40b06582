"""The order in which a program's operations are scheduled, and what each of them waits for.

A *frame* is what is repeated: the kernel's body, or a loop's. Branches are part of their frame, each operation with the
block that it belongs to, so that it counts as often as that block was executed.
"""

from __future__ import annotations

__all__ = ["Frame", "Loop", "Node", "Step", "flow"]

from collections.abc import Iterable

from attrs import define, field, frozen

from kernelevolve.backends.mtia.model.address import MEMORY
from kernelevolve.backends.mtia.model.units import Workbook
from kernelevolve.backends.mtia.program import LOOPS, Block, Op, Region
from kernelevolve.backends.mtia.trace import Index

#: Indexes of nodes (from 0), or of values that the loop carries (-1 for the first, -2…).
Sources = frozenset[int]
_NOTHING: Sources = frozenset()


@frozen(eq=False)
class Step:
    """An operation that takes time."""

    op: Op
    number: int
    block: int
    needs: Sources
    memory: bool
    #: A load whose addresses need only scalar arithmetic: it can be issued before its turn.
    ahead: bool = False
    #: Whether the layout unit turns what it moves.
    transposed: bool = False


@frozen(eq=False)
class Loop:
    """A loop inside a frame."""

    frame: Frame
    block: int
    needs: Sources
    ahead: bool = False


Node = Step | Loop


@define(eq=False)
class Frame:
    """What is executed again and again: nodes in program order."""

    #: The block whose executions are the frame's.
    block: int
    loop: bool
    nodes: list[Node] = field(factory=list)
    #: What each carried value comes from.
    carried: list[Sources] = field(factory=list)
    #: All blocks inside.
    inner: list[int] = field(factory=list)


def flow(book: Workbook, index: Index) -> Frame:
    """The frame of the kernel's body."""
    kernel = book.program.kernel
    frame = Frame(index.block_number(kernel.body.blocks[0]), loop=False)
    _Builder(book, index, frame).region(kernel.body)
    return frame


class _Builder:
    def __init__(self, book: Workbook, index: Index, frame: Frame) -> None:
        self._book = book
        self._index = index
        self.frame = frame
        #: What each value of this frame waits for; values from outside are there when the frame starts.
        self.sources: dict[int, Sources] = {}
        #: Values from outside that the frame uses.
        self.captured: set[int] = set()
        self._light: dict[int, bool] = {}

    def region(self, region: Region, condition: Sources = _NOTHING) -> None:
        for block in region.blocks:
            self.block(block, condition)

    def block(self, block: Block, condition: Sources = _NOTHING) -> None:
        number = self._index.block_number(block)
        self.frame.inner.append(number)
        for op in block.ops:
            self._op(op, number, condition)

    def waits(self, values: Iterable[int]) -> Sources:
        """What `values` wait for."""
        found: set[int] = set()
        for value in values:
            if value in self.sources:
                found |= self.sources[value]
            else:
                self.captured.add(value)
        return frozenset(found)

    def _op(self, op: Op, block: int, condition: Sources) -> None:
        if op.name in LOOPS:
            self._loop(op, block, condition)
        elif op.name == "scf.if":
            self._branch(op, condition)
        elif op.name == "tt.call":
            self._call(op, condition)
        else:
            self._step(op, block, condition)

    def _step(self, op: Op, block: int, condition: Sources) -> None:
        needs = self.waits(op.operands) | condition
        memory = op.name in MEMORY
        work = self._book.work(op)
        if not memory and not work.units and not work.core:
            for result in op.results:
                self.sources[result] = needs
            return
        place = len(self.frame.nodes)
        loads = memory and bool(op.results) and not op.name.startswith("tt.atomic") and not self._book.scalar_access(op)
        light = all(self._light.get(need, True) for need in needs)
        self._light[place] = light and not memory and bool(work.transfers)
        number = self._index.op_number(op)
        transposed = memory and self._book.transposed(op)
        self.frame.nodes.append(Step(op, number, block, needs, memory, loads and light, transposed))
        for result in op.results:
            self.sources[result] = frozenset((place,))

    def _branch(self, op: Op, condition: Sources) -> None:
        condition |= self.waits(op.operands)
        ends: list[tuple[int, ...]] = []
        for region in op.regions:
            self.region(region, condition)
            ends += [region.blocks[0].ops[-1].operands] if region.blocks else []
        for position, result in enumerate(op.results):
            self.sources[result] = condition | self.waits(end[position] for end in ends if position < len(end))

    def _call(self, op: Op, condition: Sources) -> None:
        callee = self._book.program.functions[str(op.attributes["callee"])]
        for argument, operand in zip(callee.arguments, op.operands, strict=True):
            self.sources[argument] = self.waits((operand,)) | condition
        self.region(callee.body, condition)
        ends = [block.ops[-1].operands for block in callee.body.blocks if block.ops[-1].name == "tt.return"]
        for position, result in enumerate(op.results):
            self.sources[result] = self.waits(end[position] for end in ends)

    def _loop(self, op: Op, block: int, condition: Sources) -> None:
        blocks = [region.blocks[0] for region in op.regions]
        frame = Frame(self._index.block_number(blocks[0]), loop=True)
        inner = _Builder(self._book, self._index, frame)
        if op.name == "scf.for":
            arguments, back = blocks[0].arguments[1:], blocks[0].ops[-1].operands
            inner.sources[blocks[0].arguments[0]] = _NOTHING
        else:
            arguments, back = blocks[0].arguments, blocks[1].ops[-1].operands
        for position, argument in enumerate(arguments):
            inner.sources[argument] = frozenset((-1 - position,))
        inner.block(blocks[0])
        if op.name == "scf.while":
            passed = blocks[0].ops[-1].operands
            for argument, value in zip(blocks[1].arguments, passed[1:], strict=True):
                inner.sources[argument] = inner.waits((value,))
            inner.block(blocks[1], inner.waits(passed[:1]))
        frame.carried = [inner.waits((value,)) for value in back]
        inner.settle()
        self.frame.inner += frame.inner
        needs = self.waits([*op.operands, *sorted(inner.captured)]) | condition
        place = len(self.frame.nodes)
        self.frame.nodes.append(Loop(frame, block, needs))
        for result in op.results:
            self.sources[result] = frozenset((place,))

    def settle(self) -> None:
        """Keep a load ahead of its turn only where the carried values in its address are scalar arithmetic too."""
        heavy = {
            position
            for position, sources in enumerate(self.frame.carried)
            if any(source >= 0 and not self._light.get(source, False) for source in sources)
        }
        changed = True
        while changed:
            more = {
                position
                for position, sources in enumerate(self.frame.carried)
                if any(source < 0 and -1 - source in heavy for source in sources)
            }
            changed = not more <= heavy
            heavy |= more
        for place, node in enumerate(self.frame.nodes):
            if isinstance(node, Step) and node.ahead and self._reaches(node.needs, heavy):
                self.frame.nodes[place] = Step(
                    node.op, node.number, node.block, node.needs, True, False, node.transposed
                )

    def _reaches(self, needs: Sources, heavy: set[int]) -> bool:
        """Whether any of `needs`, through nodes of this frame, is a heavy carried value."""
        seen: set[int] = set()
        todo = list(needs)
        while todo:
            need = todo.pop()
            if need in seen:
                continue
            seen.add(need)
            if need < 0:
                if -1 - need in heavy:
                    return True
            else:
                todo += self.frame.nodes[need].needs
        return False
