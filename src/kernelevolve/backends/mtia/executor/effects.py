"""What an operation does beyond its results: memory, the log, assertions; and who runs it."""

from __future__ import annotations

__all__ = ["Effects"]

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from kernelevolve.backends.mtia.executor.accesses import Accesses, Where
from kernelevolve.backends.mtia.executor.descriptors import block_of
from kernelevolve.backends.mtia.executor.frames import Frame
from kernelevolve.backends.mtia.executor.preparing import Executable, Step
from kernelevolve.backends.mtia.executor.recording import Recorder
from kernelevolve.backends.mtia.executor.values import Array, Descriptor, Value, dense, unsigned
from kernelevolve.backends.mtia.program import Op
from kernelevolve.outcome import LaunchError

#: Lines of ``tl.device_print`` that are kept.
_MOST_PRINTED: Final = 1000


class Effects:
    """The operations of one launch that are no functions of their operands."""

    def __init__(
        self, executable: Executable, accesses: Accesses, recorder: Recorder, grid: tuple[int, int, int]
    ) -> None:
        self._code, self._accesses, self._recorder, self._grid = executable, accesses, recorder, grid
        self._types = executable.program.types
        self._used = {operand for op in executable.program.walk() for operand in op.operands}

    def methods(self) -> Mapping[str, Callable[[Step, Frame], Any]]:
        """By MLIR's name."""
        return {
            "tt.get_program_id": self._program_id,
            "tt.get_num_programs": self._num_programs,
            "tt.load": self._load,
            "tt.store": self._store,
            "tt.atomic_rmw": self._atomic,
            "tt.atomic_cas": self._compare_and_swap,
            "tt.make_tensor_descriptor": self._make_descriptor,
            "tt.descriptor_load": self._descriptor_load,
            "tt.descriptor_store": self._descriptor_store,
            "tt.descriptor_reduce": self._descriptor_reduce,
            "tt.descriptor_gather": self._descriptor_gather,
            "tt.descriptor_scatter": self._descriptor_scatter,
            "tt.print": self._print,
            "tt.assert": self._assert,
        }

    def _program_id(self, step: Step, frame: Frame) -> Array:
        axis = int(step.op.attributes["axis"])
        if self._grid[axis] == 1:
            return np.zeros(1, np.int32)
        x, y, _ = self._grid
        spans = (1, x, x * y)
        number = (frame.programs // spans[axis] % self._grid[axis]).astype(np.int32)
        return number[:1] if number[0] == number[-1] and (number == number[0]).all() else number

    def _num_programs(self, step: Step, frame: Frame) -> Array:
        del frame
        return np.array([self._grid[int(step.op.attributes["axis"])]], np.int32)

    # --- memory

    def _where(self, step: Step, frame: Frame) -> Where:
        return Where(step.number, step.op.line, frame.programs)

    def _load(self, step: Step, frame: Frame) -> Array:
        pointer, mask, other = (*(frame.get(operand) for operand in step.op.operands), None, None)[:3]
        dtype = self._types[step.op.results[0]].dtype
        return self._accesses.load(self._where(step, frame), pointer, mask, other, dtype)

    def _store(self, step: Step, frame: Frame) -> tuple[()]:
        pointer, value, mask = (*(frame.get(operand) for operand in step.op.operands), None)[:3]
        dtype = self._types[step.op.operands[1]].dtype
        self._accesses.store(self._where(step, frame), pointer, value, mask, dtype)
        return ()

    def _atomic(self, step: Step, frame: Frame) -> Array:
        pointer, value, mask = (*(frame.get(operand) for operand in step.op.operands), None)[:3]
        return self._accesses.atomic(
            self._where(step, frame), str(step.op.attributes["operation"]), pointer, value, mask,
            self._types[step.op.operands[1]].dtype, used=step.op.results[0] in self._used,
        )  # fmt: skip

    def _compare_and_swap(self, step: Step, frame: Frame) -> Array:
        pointer, expected, value = (frame.get(operand) for operand in step.op.operands)
        dtype = self._types[step.op.operands[1]].dtype
        return self._accesses.compare_and_swap(self._where(step, frame), pointer, expected, value, dtype)

    def _make_descriptor(self, step: Step, frame: Frame) -> Descriptor:
        return Descriptor.of([frame.get(operand) for operand in step.op.operands])

    def _descriptor_load(self, step: Step, frame: Frame) -> Array:
        type_, shape = self._types[step.op.operands[0]], self._types[step.op.results[0]].shape
        descriptor, *indices = (frame.get(operand) for operand in step.op.operands)
        return self._read_block(step, frame, descriptor, indices, type_.block, shape)

    def _read_block(
        self, step: Step, frame: Frame, descriptor: Descriptor, indices: Sequence[Value], block: Sequence[int],
        shape: Sequence[int],
    ) -> Array:  # fmt: skip
        dtype = self._types[step.op.results[0]].dtype
        pointer, mask = block_of(descriptor, indices, block, dtype)
        other = None
        if self._padded_with_nan(step.op):
            other = np.full((1,) * (len(block) + 1), np.nan, np.float64 if dtype == "fp64" else np.float32)
        values = self._accesses.load(self._where(step, frame), pointer, mask, other, dtype)
        if tuple(shape) == tuple(block):
            return values
        return np.broadcast_to(values, (len(values), *block)).reshape(len(values), *shape)

    def _padded_with_nan(self, op: Op) -> bool:
        made = self._code.program.producers.get(op.operands[0])
        return made is not None and "nan" in str(made.attributes.get("padding", "")).lower()

    def _descriptor_store(self, step: Step, frame: Frame) -> tuple[()]:
        type_ = self._types[step.op.operands[0]]
        descriptor, value, *indices = (frame.get(operand) for operand in step.op.operands)
        pointer, mask = block_of(descriptor, indices, type_.block, type_.dtype)
        array = self._as_block(step.op.operands[1], value, type_.block)
        self._accesses.store(self._where(step, frame), pointer, array, mask, type_.dtype)
        return ()

    def _as_block(self, number: int, value: Value, block: Sequence[int]) -> Array:
        array, shape = dense(value), self._types[number].shape
        if shape == tuple(block):
            return array
        return np.broadcast_to(array, (len(array), *shape)).reshape(len(array), *block)

    def _descriptor_reduce(self, step: Step, frame: Frame) -> tuple[()]:
        type_ = self._types[step.op.operands[0]]
        descriptor, value, *indices = (frame.get(operand) for operand in step.op.operands)
        pointer, mask = block_of(descriptor, indices, type_.block, type_.dtype)
        array = self._as_block(step.op.operands[1], value, type_.block)
        operation = {"inc": "add"}.get(str(step.op.attributes["operation"]), str(step.op.attributes["operation"]))
        self._accesses.atomic(self._where(step, frame), operation, pointer, array, mask, type_.dtype, used=False)
        return ()

    def _descriptor_gather(self, step: Step, frame: Frame) -> Array:
        shape = self._types[step.op.results[0]].shape
        descriptor, rows, column = (frame.get(operand) for operand in step.op.operands)
        return self._read_block(step, frame, descriptor, (rows, column), shape, shape)

    def _descriptor_scatter(self, step: Step, frame: Frame) -> tuple[()]:
        descriptor, rows, column, value = (frame.get(operand) for operand in step.op.operands)
        type_ = self._types[step.op.operands[3]]
        pointer, mask = block_of(descriptor, (rows, column), type_.shape, type_.dtype)
        self._accesses.store(self._where(step, frame), pointer, value, mask, type_.dtype)
        return ()

    # --- assertions and prints

    def _assert(self, step: Step, frame: Frame) -> tuple[()]:
        condition = dense(frame.get(step.op.operands[0]))
        if not condition.all():
            place = int(np.argwhere(~condition)[0][0])
            program = self._accesses.coordinates(int(frame.programs[place]))
            message = str(step.op.attributes.get("message", ""))
            raise LaunchError(
                f"line {step.op.line}, program {program}: what the kernel asserts does not hold: {message}",
                code="ASSERT",
            )
        return ()

    def _print(self, step: Step, frame: Frame) -> tuple[()]:
        prefix = str(step.op.attributes.get("prefix", "")).strip()
        signs = step.op.attributes.get("isSigned") or [1] * len(step.op.operands)
        arrays = []
        for operand, sign in zip(step.op.operands, signs, strict=True):
            array = dense(frame.get(operand))
            arrays.append(array if sign or array.dtype.kind != "i" else unsigned(array))
        for place, program in enumerate(frame.programs):
            if len(self._recorder.prints) >= _MOST_PRINTED:
                break
            shown = [np.broadcast_to(array[place if len(array) > 1 else 0], self._types[operand].shape).tolist()
                     for array, operand in zip(arrays, step.op.operands, strict=True)]  # fmt: skip
            text = " ".join([prefix, *map(str, shown)]).strip()
            self._recorder.prints.append(f"{self._accesses.coordinates(int(program))} {text}")
        return ()
