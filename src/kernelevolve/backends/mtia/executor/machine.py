"""One launch: batches of programs go through the blocks together, and apart where their control flow differs."""

from __future__ import annotations

__all__ = ["Machine"]

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from kernelevolve.backends.mtia.executor.accesses import Accesses
from kernelevolve.backends.mtia.executor.effects import Effects
from kernelevolve.backends.mtia.executor.frames import Frame
from kernelevolve.backends.mtia.executor.preparing import Executable, Step
from kernelevolve.backends.mtia.executor.recording import Recorder
from kernelevolve.backends.mtia.executor.reductions import combiner, reduce, scan
from kernelevolve.backends.mtia.executor.values import Array, Value, dense, merge, take, unsigned
from kernelevolve.backends.mtia.program import Block, Function, Op, Region
from kernelevolve.outcome import LaunchError

Piece = tuple[Array, Sequence[Value]]


class Machine:
    """Runs an `Executable` for a grid."""

    def __init__(
        self, executable: Executable, accesses: Accesses, recorder: Recorder, grid: tuple[int, int, int]
    ) -> None:
        self._code, self._recorder = executable, recorder
        self._types = executable.program.types
        self._methods: dict[str, Callable[[Step, Frame], Any]] = {
            **Effects(executable, accesses, recorder, grid).methods(),
            "tt.call": self._call,
            "tt.reduce": partial(self._combined, reduce),
            "tt.scan": partial(self._combined, scan),
            "scf.if": self._if,
            "scf.for": self._for,
            "scf.while": self._while,
        }

    def run(self, programs: Array, arguments: Sequence[Value]) -> None:
        """Execute the kernel for a batch."""
        self._function(self._code.program.kernel, Frame(programs), arguments)

    # --- blocks and functions

    def _function(self, function: Function, frame: Frame, arguments: Sequence[Value]) -> list[Value]:
        """Run a function whose blocks may branch; programs that part do not meet again before the end."""
        region, total = function.body, len(frame.programs)
        pieces: list[Piece] = []
        waiting = [(0, frame, np.arange(total), list(arguments))]
        while waiting:
            number, here, places, values = waiting.pop()
            block = region.blocks[number]
            inner = here.inside() if len(region.blocks) > 1 else here
            last, results = self._block(block, inner, values)
            if last.name == "tt.return":
                pieces.append((places, results))
            elif last.name == "cf.br":
                waiting.append((last.attributes["successors"][0], inner, places, results))
            else:
                waiting += self._branch(region, last, inner, places, results)
        return self._merged(pieces, total)

    def _branch(
        self, region: Region, op: Op, frame: Frame, places: Array, values: list[Value]
    ) -> list[tuple[int, Frame, Array, list[Value]]]:
        """The ways on from a ``cf.cond_br``, the one that is taken first last."""
        condition, taken = dense(values[0]), op.attributes["successors"]
        split = 1 + len(region.blocks[taken[0]].arguments)
        ways = []
        for holds, successor, own in ((False, taken[1], values[split:]), (True, taken[0], values[1:split])):
            here = condition if holds else ~condition
            if here.all():
                ways.append((successor, frame, places, own))
            elif here.any():
                chosen = np.flatnonzero(here)
                ways.append((successor, frame.only(chosen), places[chosen], [take(value, chosen) for value in own]))
        return ways

    def _block(self, block: Block, frame: Frame, arguments: Sequence[Value]) -> tuple[Op, list[Value]]:
        """Run one block; its terminator with the values of the terminator's operands."""
        self._recorder.block(self._code.index.block_number(block), frame.programs)
        values = frame.values
        values.update(zip(block.arguments, arguments, strict=True))
        steps = self._code.steps[id(block)]
        for step in steps[:-1]:
            if step.function is not None:
                result = step.function(*[frame.get(operand) for operand in step.op.operands])
            else:
                result = self._methods[step.op.name](step, frame)
            results = step.op.results
            if len(results) == 1:
                values[results[0]] = result[0] if isinstance(result, tuple | list) else result
            elif results:
                values.update(zip(results, result, strict=True))
            for number in step.dead:
                values.pop(number, None)
        last = steps[-1].op
        return last, [frame.get(operand) for operand in last.operands]

    def _merged(self, pieces: Sequence[Piece], total: int) -> list[Value]:
        """The results of a batch whose programs may have gone different ways."""
        if not pieces or not pieces[0][1]:
            return []
        if len(pieces) == 1:
            return list(pieces[0][1])
        places = [place for place, _ in pieces]
        columns = zip(*(values for _, values in pieces), strict=True)
        return [merge(list(zip(places, column, strict=True)), total) for column in columns]

    def _call(self, step: Step, frame: Frame) -> list[Value]:
        function = self._code.program.functions[str(step.op.attributes["callee"])]
        return self._function(function, Frame(frame.programs), [frame.get(operand) for operand in step.op.operands])

    # --- control flow

    def _if(self, step: Step, frame: Frame) -> list[Value]:
        condition = dense(frame.get(step.op.operands[0]))
        pieces: list[Piece] = []
        for region, here in zip(step.op.regions, (condition, ~condition), strict=True):
            if not here.any():
                continue
            places = np.flatnonzero(np.broadcast_to(here, len(frame.programs)))
            if not region.blocks:
                continue
            inner = frame.inside() if here.all() else frame.only(places)
            pieces.append((places, self._block(region.blocks[0], inner, ())[1]))
        return self._merged(pieces, len(frame.programs))

    def _for(self, step: Step, frame: Frame) -> list[Value]:
        low, high, stride = (dense(frame.get(operand)) for operand in step.op.operands[:3])
        carried = [frame.get(operand) for operand in step.op.operands[3:]]
        if step.op.attributes.get("unsigned"):
            wide = [unsigned(each).astype(np.int64) for each in (low, high, stride)]
        else:
            wide = [each.astype(np.int64) for each in (low, high, stride)]
        if (wide[2] <= 0).any():
            raise LaunchError(f"line {step.op.line}: a loop's step is not positive", code="LOOP_STEP")
        trips = np.maximum(0, -((wide[0] - wide[1]) // wide[2]))
        block, total = step.op.regions[0].blocks[0], len(frame.programs)
        if trips.min() == trips.max():
            for turn in range(int(trips.flat[0])):
                counter = (low + turn * stride).astype(low.dtype)
                carried = self._block(block, frame.inside(), (counter, *carried))[1]
            return carried
        trips = np.broadcast_to(trips, total)
        pieces: list[Piece] = []
        places, here = np.arange(total), frame
        for turn in range(int(trips.max()) + 1):
            going = trips[places] > turn
            if not going.all():
                done = np.flatnonzero(~going)
                pieces.append((places[done], [take(value, done) for value in carried]))
                on = np.flatnonzero(going)
                places = places[on]
                if not len(places):
                    break
                carried = [take(value, on) for value in carried]
                here = frame.only(places)
                low, stride = (each if each.size == 1 else each[on] for each in (low, stride))
            counter = (low + turn * stride).astype(low.dtype)
            carried = self._block(block, here.inside(), (counter, *carried))[1]
        return self._merged(pieces, total)

    def _while(self, step: Step, frame: Frame) -> list[Value]:
        before, after = (region.blocks[0] for region in step.op.regions)
        values = [frame.get(operand) for operand in step.op.operands]
        total = len(frame.programs)
        pieces: list[Piece] = []
        places, here = np.arange(total), frame
        while len(places):
            _, (condition, *passed) = self._block(before, here.inside(), values)
            holds = np.broadcast_to(dense(condition), len(places))
            if not holds.all():
                done, on = np.flatnonzero(~holds), np.flatnonzero(holds)
                pieces.append((places[done], [take(value, done) for value in passed]))
                places = places[on]
                if not len(places):
                    break
                passed = [take(value, on) for value in passed]
                here = frame.only(places)
            values = self._block(after, here.inside(), passed)[1]
        return self._merged(pieces, total)

    # --- reductions

    def _combined(self, how: Callable[..., tuple[Array, ...]], step: Step, frame: Frame) -> tuple[Array, ...]:
        op = step.op
        outer = {number: frame.get(number) for number in self._code.captured[id(op)]}
        combine = combiner(op.regions[0], self._code.made, outer)
        return how(op, self._types, [frame.get(operand) for operand in op.operands], combine)
