"""Mathematical functions: the dialect ``math``, libdevice, and the SIMD engine's lookup tables."""

from __future__ import annotations

__all__ = ["PURE", "erf"]

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import numpy as np

from kernelevolve.backends._triton.libdevice import library_function
from kernelevolve.backends.mtia.executor.elementwise import Make
from kernelevolve.backends.mtia.executor.values import Array, dense, rounded, unsigned
from kernelevolve.backends.mtia.program import Op, Type

Types = Mapping[int, Type]

#: Entries of a table, and the arguments that those of tanh, sigmoid and gelu reach to (assumptions of the model).
_ENTRIES: Final = 256
_REACH: Final = 8.0
_LOOKUP: Final = "__mtia_lookup_"
_EXACT: Final = "__mtia_"


def erf(values: Array) -> Array:
    """The error function, to about 1e-7 of its value times the type's precision.

    Below 2 its Maclaurin series, above it the continued fraction of erfc (Abramowitz and Stegun 7.1.5, 7.1.14).
    """
    x = np.abs(values.astype(np.float64))
    small = np.minimum(x, 2.5)
    square = small * small
    term, total = small.copy(), small.copy()
    for n in range(1, 40):
        term = term * -square / n
        total = total + term / (2 * n + 1)
    series = total * (2 / np.sqrt(np.pi))
    large = np.maximum(x, 2.5)
    fraction = large.copy()
    for n in range(60, 0, -1):
        fraction = large + (n / 2) / fraction
    tail = 1 - np.exp(-large * large) / (fraction * np.sqrt(np.pi))
    return np.asarray(np.copysign(np.where(x < 2.5, series, tail), values).astype(values.dtype))


def _round_half_away(x: Array) -> Array:
    return np.asarray(np.copysign(np.floor(np.abs(x) + x.dtype.type(0.5)), x))


def _wide(function: Callable[..., Array]) -> Callable[..., Array]:
    """`function` in float64: one rounding."""
    return lambda *values: function(*(value.astype(np.float64) for value in values)).astype(values[0].dtype)


_FLOAT: Final[dict[str, Callable[..., Array]]] = {
    "absf": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "atanh": np.arctanh,
    "cbrt": np.cbrt,
    "ceil": np.ceil,
    "copysign": np.copysign,
    "cos": np.cos,
    "cosh": np.cosh,
    "erf": erf,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "floor": np.floor,
    "fma": _wide(lambda a, b, c: a * b + c),
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "powf": np.power,
    "round": _round_half_away,
    "roundeven": np.rint,
    "rsqrt": _wide(lambda x: 1 / np.sqrt(x)),
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
    "trunc": np.trunc,
}


def _function(function: Callable[..., Array]) -> Make:
    def make(op: Op, types: Types) -> Callable[..., Any]:
        dtype = types[op.results[0]].dtype
        if dtype in ("fp32", "fp64"):
            return function
        return lambda *operands: rounded(function(*operands), dtype)

    return make


def _power_of_integer(op: Op, types: Types) -> Callable[..., Any]:
    dtype = types[op.results[0]].dtype
    return lambda base, exponent: rounded(np.power(base.astype(np.float64), dense(exponent)), dtype)


def _clamp(op: Op, types: Types) -> Callable[..., Any]:
    del types
    if op.attributes.get("propagateNan") == "all":
        return lambda x, low, high: np.minimum(np.maximum(x, low), high)
    return lambda x, low, high: np.fmin(np.fmax(x, low), high)


def _counts(op: Op, types: Types) -> Callable[..., Any]:
    """Set bits, leading zeros, trailing zeros."""
    bits = types[op.operands[0]].bits

    def apply(value: Any) -> Array:
        x = unsigned(dense(value)).astype(np.uint64)
        if op.name == "math.cttz":
            x = (x & (~x + np.uint64(1))) - np.uint64(1)  # ones below the lowest set bit; all ones for 0
        elif op.name == "math.ctlz":
            for shift in (1, 2, 4, 8, 16, 32):
                x = x | x >> np.uint64(shift)
        ones = np.bitwise_count(x).astype(np.int64)
        found = bits - ones if op.name == "math.ctlz" else np.minimum(ones, bits)
        return found.astype(dense(value).dtype)

    return apply


def _library(op: Op, types: Types) -> Callable[..., Any]:
    """``tt.extern_elementwise``. Raises LookupError for a function that does not exist here."""
    symbol, dtype = str(op.attributes["symbol"]), types[op.results[0]].dtype
    if symbol.startswith(_LOOKUP):
        function: Any = _TABLES.get(symbol.removeprefix(_LOOKUP))
    elif symbol == "__mtia_erf":
        function = erf
    elif symbol.startswith(_EXACT):
        function = library_function(f"__nv_{symbol.removeprefix(_EXACT)}")
        function = np.divide if symbol == "__mtia_div_rn" else function
    else:
        function = library_function(symbol)
    if function is None:
        raise LookupError(f"the library has no function {symbol}")
    if dtype.startswith("i"):
        return lambda *operands: function(*map(dense, operands)).astype(np.int32)
    return lambda *operands: rounded(function(*map(dense, operands)), dtype)


@cache
def _table(name: str, low: float, high: float) -> tuple[Array, Array]:
    points = np.linspace(low, high, _ENTRIES + 1)
    return points, _EXACTLY[name](points)


def _interpolated(name: str, x: Array, low: float, high: float) -> Array:
    points, values = _table(name, low, high)
    return np.interp(x, points, values)


def _lookup_exp(x: Array) -> Array:
    """2^n times a table of 2^f on [0, 1)."""
    scaled = x.astype(np.float64) / np.log(2)
    whole = np.floor(np.clip(scaled, -2000, 2000))
    return np.where(np.isnan(x), np.nan, np.ldexp(_interpolated("exp2", scaled - whole, 0, 1), whole.astype(np.int32)))


def _lookup_log(x: Array) -> Array:
    """The exponent plus a table of log2 on [1, 2)."""
    fraction, exponent = np.frexp(x.astype(np.float64))
    result = (_interpolated("log2", 2 * fraction, 1, 2) + exponent - 1) * np.log(2)
    result = np.where(x == 0, -np.inf, np.where(np.isposinf(x), np.inf, result))
    return np.where((x < 0) | np.isnan(x), np.nan, result)


def _lookup_between(
    name: str, below: Callable[[Array], Any], above: Callable[[Array], Any]
) -> Callable[[Array], Array]:
    def apply(x: Array) -> Array:
        wide = x.astype(np.float64)
        result = np.where(wide > _REACH, above(wide), _interpolated(name, wide, -_REACH, _REACH))
        return np.where(np.isnan(x), np.nan, np.where(wide < -_REACH, below(wide), result))

    return apply


_EXACTLY: Final[dict[str, Callable[[Array], Array]]] = {
    "exp2": np.exp2,
    "log2": np.log2,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "gelu": lambda x: x * 0.5 * (1 + erf(x / np.sqrt(2))),
}
_TABLES: Final[dict[str, Callable[[Array], Array]]] = {
    "exp": _lookup_exp,
    "log": _lookup_log,
    "tanh": _lookup_between("tanh", lambda _: -1.0, lambda _: 1.0),
    "sigmoid": _lookup_between("sigmoid", lambda _: 0.0, lambda _: 1.0),
    "gelu": _lookup_between("gelu", lambda _: 0.0, lambda x: x),
}

#: By MLIR's name.
PURE: Final[dict[str, Make]] = {
    **{f"math.{name}": _function(function) for name, function in _FLOAT.items()},
    "math.absi": lambda _op, _types: lambda value: np.abs(dense(value)),
    "math.fpowi": _power_of_integer,
    "math.ctpop": _counts,
    "math.ctlz": _counts,
    "math.cttz": _counts,
    "math.isnan": lambda _op, _types: np.isnan,
    "math.isinf": lambda _op, _types: np.isinf,
    "math.isfinite": lambda _op, _types: np.isfinite,
    "tt.precise_sqrt": _function(np.sqrt),
    "tt.clampf": _clamp,
    "tt.extern_elementwise": _library,
}
