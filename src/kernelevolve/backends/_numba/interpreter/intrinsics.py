"""What a kernel reaches through ``cuda``: where it is, memory, atomics, bits, and functions of numbers."""

from __future__ import annotations

__all__ = ["Cuda", "Dim3", "resolve"]

import importlib
import math
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Final

import numpy as np

from kernelevolve.backends._numba.interpreter.arrays import Array, array, storage_type
from kernelevolve.backends._numba.interpreter.mathematics import LIBRARY, fused, mathematics
from kernelevolve.backends._numba.interpreter.scalars import CASTS, Cast, Int32, bits_of, to_bfloat16, unsigned
from kernelevolve.backends._numba.interpreter.watching import Position, Watch

#: What memory holds that nothing was written to: no number as a float, and no likely one as an integer.
_NOISE: Final = 0xFF
_INTEGER_NOISE: Final = 0xA5


class Dim3:
    """Three extents or indices."""

    __slots__ = ("x", "y", "z")

    def __init__(self, x: int, y: int = 1, z: int = 1) -> None:
        self.x, self.y, self.z = np.int64(x), np.int64(y), np.int64(z)


class _Table:
    """A module of functions by name."""

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        self._name, self._table = name, table

    def __getattr__(self, name: str) -> Any:
        try:
            return self._table[name]
        except KeyError:
            raise NotImplementedError(f"{self._name}.{name}") from None


class Cuda:
    """``cuda`` in a kernel, for one launch. The scheduler says which block and thread runs."""

    def __init__(self, grid: tuple[int, ...], block: tuple[int, ...], dynamic: int, position: Position) -> None:
        self.gridDim, self.blockDim = Dim3(*grid), Dim3(*block)
        self.blockIdx = self.threadIdx = Dim3(0, 0, 0)
        self.warpsize = np.int64(32)
        self.position = position
        self._dynamic = dynamic
        #: Shared arrays by block and place of their declaration.
        self._arrays: dict[int, dict[str, Array]] = {}
        self._watches: dict[int, list[Watch]] = {}
        self.shared = SimpleNamespace(array=self._shared_array)
        self.local = SimpleNamespace(array=self._local_array)
        self.atomic = SimpleNamespace(**_ATOMICS)
        self.libdevice = _Table("cuda.libdevice", LIBRARY)
        self.fp16 = _Table("cuda.fp16", _halves(np.float16))
        self.bf16 = _Table("cuda.bf16", {**_halves(to_bfloat16), **_BFLOAT16, "bfloat16": CASTS["bfloat16"]})
        self.cg = SimpleNamespace(this_grid=lambda: None)

    def __getattr__(self, name: str) -> Any:
        found = _FUNCTIONS.get(name) or CASTS.get(name)
        if found is None:
            found = _vector_type(name)
        if found is None:
            raise NotImplementedError(f"cuda.{name}")
        return found

    # Where a thread is.

    def grid(self, dimensions: Any) -> Any:
        """The thread's place in the grid."""
        block, size, thread = self.blockIdx, self.blockDim, self.threadIdx
        places = tuple(getattr(block, a) * getattr(size, a) + getattr(thread, a) for a in "xyz"[: int(dimensions)])
        return places[0] if len(places) == 1 else places

    def gridsize(self, dimensions: Any) -> Any:
        """The grid's extent in threads."""
        sizes = tuple(getattr(self.gridDim, a) * getattr(self.blockDim, a) for a in "xyz"[: int(dimensions)])
        return sizes[0] if len(sizes) == 1 else sizes

    @property
    def laneid(self) -> Any:
        """The thread's place in its warp."""
        return np.int64(self.position.thread % 32)

    def lanemask_lt(self) -> Any:
        """The lanes before this one."""
        return Int32((1 << (self.position.thread % 32)) - 1)

    # Memory.

    def enter_block(self, number: int, index: tuple[int, ...]) -> None:
        """Another block runs."""
        self.position.block = number
        self.blockIdx = Dim3(*index)

    def leave_block(self) -> None:
        """The running block has ended: its shared memory is gone."""
        self._arrays.pop(self.position.block, None)
        self._watches.pop(self.position.block, None)

    def passed_barrier(self) -> None:
        """What threads did to shared memory before a barrier of the block is ordered with what they do after."""
        for watch in self._watches.get(self.position.block, ()):
            watch.clear()

    def _shared_array(self, shape: Any, dtype: Any, alignment: Any = None, *, site: str = "", name: str = "") -> Array:
        del alignment
        arrays = self._arrays.setdefault(self.position.block, {})
        if site not in arrays:
            watch = Watch(name or "the shared array", self.position)
            self._watches.setdefault(self.position.block, []).append(watch)
            arrays[site] = self._memory(name or "the shared array", shape, dtype, watch)
        return arrays[site]

    def _local_array(self, shape: Any, dtype: Any, alignment: Any = None, *, site: str = "", name: str = "") -> Array:
        del alignment, site
        return self._memory(name or "the local array", shape, dtype, None)

    def _memory(self, name: str, shape: Any, dtype: Any, watch: Watch | None) -> Array:
        extents = tuple(int(extent) for extent in (shape if isinstance(shape, tuple) else (shape,)))
        kind = dtype.name if isinstance(dtype, Cast) else str(dtype)
        storage = storage_type(kind)
        if extents == (0,):
            extents = (self._dynamic // storage.itemsize,)
        noise = _NOISE if storage.kind == "f" or kind == "bfloat16" else _INTEGER_NOISE
        flat = np.full(math.prod(extents) * storage.itemsize, noise, np.uint8).view(storage)
        return array(name, kind, flat, extents, watch)


# Atomics: whole, because no other thread runs meanwhile.


def _atomic(change: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def call(into: Array, index: Any, value: Any) -> Any:
        at = into.locate(index, "atomic update")
        old = into.peek(at)
        into.poke(at, change(old, value))
        return old

    return call


def _compare_and_swap(into: Array, old: Any, value: Any) -> Any:
    return _swap_if(into, (0,) * len(into.extents), old, value)


def _swap_if(into: Array, index: Any, old: Any, value: Any) -> Any:
    at = into.locate(index, "atomic update")
    found = into.peek(at)
    if found == old:
        into.poke(at, value)
    return found


def _wrapping_increment(old: Any, limit: Any) -> Any:
    return 0 if old >= limit else old + 1


def _wrapping_decrement(old: Any, limit: Any) -> Any:
    return limit if old == 0 or old > limit else old - 1


def _either(choose: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The larger or smaller; what is no number stays, or, as the new value, is ignored."""
    return lambda old, value: old if old != old or value != value else choose(old, value)  # noqa: PLR0124


def _known(choose: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The same, but a number replaces what is none."""
    return lambda old, value: choose(old, value) if isinstance(old, np.floating) else choose(int(old), int(value))


_ATOMICS: Final[Mapping[str, Callable[..., Any]]] = {
    "add": _atomic(lambda old, value: old + value),
    "sub": _atomic(lambda old, value: old - value),
    "and_": _atomic(lambda old, value: int(old) & int(value)),
    "or_": _atomic(lambda old, value: int(old) | int(value)),
    "xor": _atomic(lambda old, value: int(old) ^ int(value)),
    "max": _atomic(_either(max)),
    "min": _atomic(_either(min)),
    "nanmax": _atomic(_known(np.fmax)),
    "nanmin": _atomic(_known(np.fmin)),
    "inc": _atomic(_wrapping_increment),
    "dec": _atomic(_wrapping_decrement),
    "exch": _atomic(lambda old, value: value),  # noqa: ARG005
    "cas": _swap_if,
    "compare_and_swap": _compare_and_swap,
}

# Bits, and what is left.


def _word(value: Any) -> tuple[int, int]:
    """An integer's bits, and how many there are: 64, or 32 for what is no larger."""
    bits = 64 if bits_of(value) > 32 else 32
    return int(value) & ((1 << bits) - 1), bits


def _popc(value: Any) -> Any:
    return np.int64(_word(value)[0].bit_count())


def _brev(value: Any) -> Any:
    word, bits = _word(value)
    reversed_word = int(f"{word:0{bits}b}"[::-1], 2)
    return CASTS[f"int{bits}" if not isinstance(value, np.uint64) else f"uint{bits}"](reversed_word)


def _clz(value: Any) -> Any:
    word, bits = _word(value)
    return np.int64(bits - word.bit_length())


def _ffs(value: Any) -> Any:
    word, _ = _word(value)
    return np.int64((word & -word).bit_length())


def _nothing(*_: Any) -> None:
    """A fence: here, memory is one."""


def _hinted_load(source: Array, index: Any) -> Any:
    return source[index]


def _hinted_store(into: Array, index: Any, value: Any) -> None:
    into[index] = value


_FUNCTIONS: Final[Mapping[str, Any]] = {
    "popc": _popc,
    "brev": _brev,
    "clz": _clz,
    "ffs": _ffs,
    "fma": fused,
    "cbrt": lambda value: (np.float32 if isinstance(value, np.float32) else np.float64)(np.cbrt(float(value))),
    "selp": lambda condition, first, second: first if condition else second,
    **dict.fromkeys(("threadfence", "threadfence_block", "threadfence_system"), _nothing),
    **dict.fromkeys(("ldca", "ldcg", "ldcs", "ldlu", "ldcv"), _hinted_load),
    **dict.fromkeys(("stcg", "stcs", "stwb", "stwt"), _hinted_store),
}


def _halves(rounded: Callable[[Any], Any]) -> dict[str, Callable[..., Any]]:
    """Functions of numbers of 16 bits, computed in float32 or better and rounded."""
    of = mathematics()
    unary = {
        **{f"h{name}": getattr(of, name) for name in ("ceil", "cos", "exp", "exp2", "floor", "log", "log10", "log2")},
        **{f"h{name}": getattr(of, name) for name in ("sin", "sqrt", "tanh", "trunc")},
        "hrint": np.rint,
        "hneg": lambda x: -x,
        "habs": abs,
        "hrcp": lambda x: 1 / np.float64(x),
        "hrsqrt": lambda x: 1 / np.sqrt(np.float64(x)),
        "hexp10": LIBRARY["exp10"],
        "htanh_approx": of.tanh,
    }
    binary = {
        "hadd": lambda x, y: x + y,
        "hsub": lambda x, y: x - y,
        "hmul": lambda x, y: x * y,
        "hdiv": lambda x, y: x / y,
        "hmax": np.fmax,
        "hmin": np.fmin,
    }
    compared: dict[str, Callable[..., Any]] = {
        "heq": lambda x, y: bool(x == y),
        "hne": lambda x, y: bool(x != y),
        "hlt": lambda x, y: bool(x < y),
        "hle": lambda x, y: bool(x <= y),
        "hgt": lambda x, y: bool(x > y),
        "hge": lambda x, y: bool(x >= y),
    }
    computed = {
        name: (lambda *values, function=function: rounded(function(*map(np.float32, values))))
        for name, function in {**unary, **binary}.items()
    }
    return {**computed, **compared, "hfma": lambda x, y, z: rounded(np.float64(x) * np.float64(y) + np.float64(z))}


def _conversions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Between bfloat16 and other types. To bfloat16, only to the nearest: that is what `to_bfloat16` does."""
    integers = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
    for start in ("float32", "float64", *integers):
        yield f"{start}_to_bfloat16", to_bfloat16
        yield f"{start}_to_bfloat16_rn", to_bfloat16
    for to in integers:
        for suffix, rounded in (("rn", np.rint), ("rz", np.trunc), ("rd", np.floor), ("ru", np.ceil)):
            yield f"bfloat16_to_{to}_{suffix}", lambda x, to=to, rounded=rounded: CASTS[to](rounded(np.float32(x)))


def _bits(value: Any) -> int:
    return int(np.float32(value).view(np.uint32)) >> 16


_BFLOAT16: Final[Mapping[str, Callable[..., Any]]] = {
    **dict(_conversions()),
    "bfloat16_to_float32": np.float32,
    "bfloat16_as_uint16": lambda x: unsigned(_bits(x), 16),
    "bfloat16_as_int16": lambda x: CASTS["int16"](_bits(x)),
}


def _vector_type(name: str) -> Any:
    """``float32x4`` and its like, from numba-cuda's simulator."""
    vectors = importlib.import_module("numba.cuda.simulator.vector_types").vector_types
    for kind in vectors.values():
        if name == kind.__name__ or name in kind.aliases:
            return kind
    return None


def resolve(path: str, cuda: Cuda) -> Any:
    """What an imported name stands for: ``cuda``, ``cuda.libdevice``, ``float32``, ``types.float16``, ``math``."""
    if path == "math":
        return mathematics()
    if path == "types":
        return SimpleNamespace(**CASTS)
    found: Any = cuda
    for part in path.removeprefix("types.").split("."):
        if part == "types":
            found = SimpleNamespace(**CASTS)
        elif part != "cuda":
            found = CASTS[part] if found is cuda and part in CASTS else getattr(found, part)
    return found
