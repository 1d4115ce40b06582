"""Triton's interpreter with its memory accesses checked and its arithmetic put right.

The interpreter executes a kernel's source with NumPy. Three things are replaced here:

- loads, stores and atomics go through `kernelevolve.backends._triton.memory`, where stray accesses and races are found;
- bfloat16 and float8 values are computed with, and rounded, as numbers (as shipped, their bit patterns are added);
- ``tl.dot`` of float32 values at TF32 loses the bits that a tensor core drops.

Everything else is Triton's. Its interpreter has no public interface; what is used of it is the same from 3.6 to 3.9.
Nothing of it is imported before the interpreter is opened, since ``TRITON_INTERPRET`` must be set by then.
"""

from __future__ import annotations

__all__ = ["install"]

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from attrs import frozen

from kernelevolve.backends._triton.floats import SOFT, decode, encode, truncate_tf32
from kernelevolve.backends._triton.libdevice import library_function
from kernelevolve.backends._triton.memory import Memory

if TYPE_CHECKING:
    _Builder = Any  # Triton's ``InterpreterBuilder``: one method for each operation of the language
else:
    _Builder = object

Array = npt.NDArray[Any]
Operation = Callable[..., Any]

#: What ``tl.dot`` may be asked for on the chips that the interpreted devices stand for.
PRECISIONS: Final = ("tf32", "tf32x3", "ieee", "bf16x3", "bf16x6")
#: Sequential meaning of an atomic on a type that NumPy lacks.
_ATOMICS: Final[dict[str, Operation]] = {
    "FADD": np.add,
    "MAX": np.maximum,
    "MIN": np.minimum,
    "XCHG": lambda _, new: new,
}


def install(memory: Memory, vendor: str) -> Any:
    """Make this process's interpreter use `memory` and the device library of `vendor` (``cuda`` or ``hip``).

    Returns Triton's interpreter module; `triton` is imported here.
    """
    import triton.language.extra  # noqa: PLC0415  # not before TRITON_INTERPRET is set
    from triton.runtime import interpreter  # noqa: PLC0415

    numbers = _Numbers(interpreter)
    kinds = (_CheckedMemory, _RightArithmetic, interpreter.InterpreterBuilder)
    builder = interpreter.interpreter_builder
    builder.__class__ = type("Builder", kinds, {"numbers": numbers, "memory": memory})
    builder.options = interpreter.InterpreterOptions(allowed_dot_input_precisions=PRECISIONS)
    _patch_for_good(interpreter)
    real = import_module(f"triton.language.extra.{vendor}.libdevice")
    library = _Library(real, interpreter.interpreter_semantic)
    triton.language.extra.libdevice = sys.modules["triton.language.extra.libdevice"] = library
    return interpreter


def _patch_for_good(interpreter: Any) -> None:
    """Let the language be patched once: as shipped, every call of a jitted function takes half a millisecond for it."""
    patch, patch_tensor = interpreter._patch_lang, interpreter._patch_lang_tensor  # noqa: SLF001
    done: set[int] = set()
    modules = (interpreter.tl, interpreter.tl.core)  # of these, a function's file sees one or both

    def patch_once(function: Any) -> Any:
        if len(done) < len(modules):
            patch(function)
            done.update(id(one) for one in function.__globals__.values() if any(one is module for module in modules))
        return SimpleNamespace(restore=lambda: None)

    def patch_index(tensor: Any, scope: Any) -> None:
        patch_tensor(tensor, scope)
        # Triton 3.6 makes an int of an array of one element, which NumPy 2.4 refuses.
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    interpreter._patch_lang, interpreter._patch_lang_tensor = patch_once, patch_index  # noqa: SLF001


class _Library(ModuleType):
    """The device library as a kernel sees it: Triton ships a module of empty functions that only its compiler fills."""

    def __init__(self, real: ModuleType, semantic: Any) -> None:
        super().__init__("triton.language.extra.libdevice")
        self._real, self._semantic = real, semantic

    def __getattr__(self, name: str) -> Any:
        return partial(getattr(self._real, name), _semantic=self._semantic)


@frozen
class _Numbers:
    """Handles (the interpreter's arrays with a type of the language) as numbers, and back."""

    interpreter: Any

    @property
    def language(self) -> Any:
        return self.interpreter.tl

    def handle(self, data: Array, dtype: Any) -> Any:
        return self.interpreter.TensorHandle(data, dtype.scalar)

    def numpy_type(self, dtype: Any) -> Any:
        return self.interpreter._get_np_dtype(dtype)  # noqa: SLF001

    @staticmethod
    def soft(dtype: Any) -> str | None:
        """The type's name where NumPy lacks the type."""
        name = dtype.scalar.name
        return name if name in SOFT else None

    def values(self, one: Any) -> Array:
        """The numbers in a handle, whatever their type."""
        kind = self.soft(one.dtype)
        return decode(one.data, kind) if kind else np.asarray(one.data)

    def rounded(self, numbers: Array, dtype: Any, *, toward_zero: bool = False) -> Any:
        """A handle of type `dtype` that holds `numbers`."""
        kind = self.soft(dtype)
        data = encode(numbers, kind, toward_zero=toward_zero) if kind else numbers.astype(self.numpy_type(dtype))
        return self.handle(data, dtype)

    def plain(self, one: Any) -> Any:
        """The same numbers as float32 where the type is one that NumPy lacks."""
        return self.handle(self.values(one), self.language.float32) if self.soft(one.dtype) else one


class _RightArithmetic(_Builder):  # type: ignore[misc]  # Triton ships no types
    """Operations on types that NumPy lacks, and what tensor cores do to float32."""

    numbers: _Numbers

    def binary_op(self, lhs: Any, rhs: Any, op: Operation) -> Any:
        numbers = self.numbers
        if not numbers.soft(lhs.dtype):
            return super().binary_op(lhs, rhs, op)
        result = op(numbers.values(lhs), numbers.values(rhs))
        return (numbers.handle if result.dtype == np.bool_ else numbers.rounded)(result, lhs.dtype)

    def unary_op(self, arg: Any, op: Operation) -> Any:
        numbers = self.numbers
        if not numbers.soft(arg.dtype):
            return super().unary_op(arg, op)
        return numbers.rounded(op(numbers.values(arg)), arg.dtype)

    def create_minnumf(self, lhs: Any, rhs: Any) -> Any:
        return self.binary_op(lhs, rhs, np.fmin)  # Triton 3.6 lets a NaN win; on a chip the number does

    def create_maxnumf(self, lhs: Any, rhs: Any) -> Any:
        return self.binary_op(lhs, rhs, np.fmax)

    def create_fma(self, x: Any, y: Any, z: Any) -> Any:
        numbers = self.numbers
        if not numbers.soft(z.dtype):
            return super().create_fma(x, y, z)
        product = numbers.values(x).astype(np.float64) * numbers.values(y)
        return numbers.rounded(product + numbers.values(z), z.dtype)

    def create_clampf(self, arg: Any, lo: Any, hi: Any, propagate_nans: Any) -> Any:
        numbers = self.numbers
        clamped = super().create_clampf(numbers.plain(arg), numbers.plain(lo), numbers.plain(hi), propagate_nans)
        return numbers.rounded(numbers.values(clamped), arg.dtype)

    def cast_impl(self, src: Any, dst_type: Any) -> Any:
        numbers = self.numbers
        if not numbers.soft(src.dtype) and not numbers.soft(dst_type):
            return super().cast_impl(src, dst_type)
        return numbers.rounded(numbers.values(src), dst_type)

    def create_fp_to_fp(self, src: Any, dst_type: Any, rounding_mode: Any) -> Any:
        numbers, ordinary = self.numbers, ("fp16", "fp32", "fp64")
        known = all(numbers.soft(one) or one.scalar.name in ordinary for one in (src.dtype, dst_type))
        toward_zero = rounding_mode is not None and "RTZ" in str(rounding_mode)
        if not known or (toward_zero and not numbers.soft(dst_type)):
            return super().create_fp_to_fp(src, dst_type, rounding_mode)
        return numbers.rounded(numbers.values(src), dst_type, toward_zero=toward_zero)

    def get_bf16(self, value: float) -> Any:
        return self.numbers.rounded(np.array([value], np.float32), self.numbers.language.bfloat16)

    def create_dot(self, a: Any, b: Any, d: Any, input_precision: Any, *_: Any) -> Any:
        numbers = self.numbers
        left, right = numbers.values(a), numbers.values(b)
        tf32 = numbers.interpreter._ir.INPUT_PRECISION.TF32  # noqa: SLF001
        if a.dtype.scalar == numbers.language.float32 and input_precision == tf32:
            left, right = truncate_tf32(left), truncate_tf32(right)
        inner = np.int32 if np.issubdtype(left.dtype, np.integer) else np.result_type(left, np.float32)
        product = np.matmul(left.astype(inner), right.astype(inner))
        return numbers.rounded(product + numbers.values(d), d.dtype)

    def create_extern_elementwise(self, _: str, __: str, symbol: str, args: list[Any], ret_type: Any, *___: Any) -> Any:
        function = library_function(symbol)
        if function is None:
            raise NotImplementedError(f"the interpreter has no {symbol}")
        result = function(*(self.numbers.values(one) for one in args))
        return self.numbers.rounded(np.asarray(result), ret_type)


class _CheckedMemory(_Builder):  # type: ignore[misc]
    """Every address is looked up before it is used."""

    numbers: _Numbers
    memory: Memory

    def _located(self, ptrs: Any, mask: Any, what: str, values: Array | None = None) -> Any:
        itemsize = self.numbers.numpy_type(ptrs.get_element_ty()).itemsize
        real = self.memory.locate(ptrs.data, np.asarray(mask), itemsize, what, values)
        return self.numbers.handle(real, ptrs.dtype)

    def create_masked_load(self, ptrs: Any, mask: Any, other: Any, *rest: Any, **named: Any) -> Any:
        real = self._located(ptrs, mask.data, "load")
        return super().create_masked_load(real, mask, other, *rest, **named)

    def create_masked_store(self, ptrs: Any, value: Any, mask: Any, *rest: Any, **named: Any) -> Any:
        written = value.data.astype(self.numbers.numpy_type(ptrs.get_element_ty()), copy=False)
        real = self._located(ptrs, mask.data, "store", written)
        super().create_masked_store(real, value, mask, *rest, **named)
        self.memory.stored(ptrs.data, np.asarray(mask.data), written)

    def create_atomic_cas(self, ptr: Any, cmp: Any, val: Any, *rest: Any, **named: Any) -> Any:
        everywhere = np.ones_like(ptr.data, dtype=bool)
        return super().create_atomic_cas(self._located(ptr, everywhere, "atomic"), cmp, val, *rest, **named)

    def create_atomic_rmw(self, op: Any, ptr: Any, val: Any, mask: Any, *rest: Any, **named: Any) -> Any:
        real = self._located(ptr, mask.data, "atomic")
        if not self.numbers.soft(val.dtype):
            return super().create_atomic_rmw(op, real, val, mask, *rest, **named)
        return self._atomic(str(op).rpartition(".")[2], real.data, val, mask.data)

    def _atomic(self, name: str, real: Array, val: Any, mask: Array) -> Any:
        """One lane after another: what NumPy has no type for, the interpreter's library cannot update either."""
        numbers, library = self.numbers, self.numbers.interpreter._interpreter  # noqa: SLF001
        if name not in _ATOMICS:
            raise NotImplementedError(f"the interpreter has no atomic {name} on {val.dtype}")
        old = np.zeros(real.shape, numbers.numpy_type(val.dtype))
        added, active = np.broadcast_to(numbers.values(val), old.shape), np.broadcast_to(mask, old.shape)
        one, nothing = np.ones(1, bool), np.zeros(1, old.dtype)
        for lane in zip(*np.nonzero(active), strict=True):
            where = real[lane].reshape(1)
            was = library.load(where, one, nothing, old.dtype)
            new = _ATOMICS[name](numbers.values(numbers.handle(was, val.dtype)), added[lane])
            library.store(where, numbers.rounded(np.asarray(new), val.dtype).data, one)
            old[lane] = was[0]
        return numbers.handle(old, val.dtype)
