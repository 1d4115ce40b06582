"""``math``, Python's own functions and ``cuda.libdevice`` on the numbers of `scalars`: results of the compiler's types.

Values come from the host's libm in double precision, rounded once; a device's functions differ by a few units in the
last place. Where Python raises (``log(0)``), devices have an infinity or no number.
"""

from __future__ import annotations

__all__ = ["BUILTINS", "LIBRARY", "fused", "mathematics"]

import builtins
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, Final

import numpy as np

from kernelevolve.backends._numba.interpreter.scalars import BFloat16, integer, unsigned

Function = Callable[..., Any]

#: What Numba computes in float16 where the argument is one; other functions turn it into float32.
_HALF: Final = frozenset(
    {"sqrt", "exp", "log", "log2", "log10", "sin", "cos", "floor", "ceil", "fabs", "trunc", "exp2"}
)
#: Where Python raises and a device has an infinity or no number: NumPy's function.
_LIMITS: Final[Mapping[str, Function]] = {
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atanh": np.arctanh,
    "pow": np.power,
    "fmod": np.fmod,
}
#: Functions that Python's `math` and ``cuda.libdevice`` have under the same name.
_SHARED: Final[Mapping[str, Function]] = {
    "acos": math.acos,
    "acosh": math.acosh,
    "asin": math.asin,
    "asinh": math.asinh,
    "atan": math.atan,
    "atan2": math.atan2,
    "atanh": math.atanh,
    "ceil": np.ceil,
    "copysign": math.copysign,
    "cos": math.cos,
    "cosh": math.cosh,
    "erf": math.erf,
    "erfc": math.erfc,
    "exp": math.exp,
    "exp2": np.exp2,
    "expm1": math.expm1,
    "fabs": math.fabs,
    "floor": np.floor,
    "fmod": math.fmod,
    "hypot": math.hypot,
    "lgamma": math.lgamma,
    "log": math.log,
    "log10": math.log10,
    "log1p": math.log1p,
    "log2": math.log2,
    "nextafter": math.nextafter,
    "pow": math.pow,
    "remainder": math.remainder,
    "sin": math.sin,
    "sinh": math.sinh,
    "sqrt": math.sqrt,
    "tan": math.tan,
    "tanh": math.tanh,
    "trunc": np.trunc,
}


def _result_type(name: str, arguments: tuple[Any, ...]) -> Any:
    """The compiler's type for a function of floats: the widest argument's, float64 where one is an integer."""
    kinds = [type(one) if isinstance(one, np.floating) else np.float64 for one in arguments]
    if any(kind is np.float64 for kind in kinds):
        return np.float64
    if all(kind is np.float16 for kind in kinds) and name in _HALF:
        return np.float16
    return np.float32


def _evaluate(name: str, function: Function, arguments: tuple[Any, ...]) -> Any:
    plain = [float(one) for one in arguments]
    try:
        return function(*plain)
    except (ValueError, OverflowError, ZeroDivisionError):
        limit = _LIMITS.get(name)
        return math.nan if limit is None else limit(*plain)


def _typed(name: str, function: Function) -> Function:
    def call(*arguments: Any) -> Any:
        return _result_type(name, arguments)(_evaluate(name, function, arguments))

    call.__name__ = name
    return call


def fused(first: Any, second: Any, third: Any) -> Any:
    """``first * second + third``, rounded once."""
    kind = _result_type("fma", (first, second, third))
    plain = [float(one) for one in (first, second, third)]
    if not all(math.isfinite(one) for one in plain):
        return kind(np.float64(plain[0]) * plain[1] + plain[2])
    exact = Fraction(plain[0]) * Fraction(plain[1]) + Fraction(plain[2])
    try:
        return kind(float(exact)) if kind is np.float64 else _rounded(exact, kind)
    except OverflowError:
        return kind(math.inf if exact > 0 else -math.inf)


def _rounded(exact: Fraction, kind: Any) -> Any:
    """Round once: float64 in between may round onto a tie, which its own rest decides."""
    double = float(exact)
    value = kind(double)
    if float(value) != double and Fraction(double) != exact:
        neighbours = (value, np.nextafter(value, kind(math.inf)), np.nextafter(value, kind(-math.inf)))
        finite = [one for one in neighbours if np.isfinite(one)]
        value = min(finite, key=lambda one: abs(Fraction(float(one)) - exact), default=value)
    return kind(value)


def _frexp(value: Any) -> tuple[Any, Any]:
    mantissa, exponent = math.frexp(value)
    return _result_type("frexp", (value,))(mantissa), np.int64(exponent)


def _modf(value: Any) -> tuple[Any, Any]:
    kind = _result_type("modf", (value,))
    fraction, whole = math.modf(value)
    return kind(fraction), kind(whole)


def _ldexp(value: Any, exponent: Any) -> Any:
    return _result_type("ldexp", (value,))(np.ldexp(float(value), int(exponent)))


def _nextafter(value: Any, towards: Any) -> Any:
    """One step in the type of both, which is not one of float64."""
    kind = _result_type("nextafter", (value, towards))
    return np.nextafter(kind(value), kind(towards))


def mathematics() -> SimpleNamespace:
    """What kernels see as the module ``math``."""
    constants = {name: np.float64(getattr(math, name)) for name in ("pi", "e", "tau", "inf", "nan")}
    shared = {name: _typed(name, function) for name, function in _SHARED.items()} | {"nextafter": _nextafter}
    return SimpleNamespace(
        **shared,
        **constants,
        gamma=_typed("gamma", math.gamma),
        degrees=_typed("degrees", math.degrees),
        radians=_typed("radians", math.radians),
        isnan=lambda x: bool(np.isnan(float(x))),
        isinf=lambda x: bool(np.isinf(float(x))),
        isfinite=lambda x: bool(np.isfinite(float(x))),
        frexp=_frexp,
        modf=_modf,
        ldexp=_ldexp,
    )


# Python's own functions.


def _range(*bounds: Any) -> Iterator[Any]:
    return map(np.int64, range(*bounds))


def _int(value: Any = 0) -> Any:
    if isinstance(value, np.integer):
        return value
    try:
        return integer(int(value))
    except (ValueError, OverflowError):  # not a number, or infinite
        return integer(1 << 63)


def _float(value: Any = 0.0) -> Any:
    return value if isinstance(value, np.floating) else np.float64(value)


def _extreme(choose: Function, ignoring: Function) -> Function:
    """Numba's ``min`` and ``max``: of floats, what is no number loses."""

    def call(first: Any, second: Any, *rest: Any) -> Any:
        numbers = first == first and second == second  # noqa: PLR0124  # only what is no number differs from itself
        chosen = choose(first, second) if numbers else ignoring(first, second)
        return call(chosen, *rest) if rest else chosen

    return call


def _abs(value: Any) -> Any:
    return np.float32(builtins.abs(np.float32(value))) if isinstance(value, BFloat16) else builtins.abs(value)


def _round(value: Any, digits: Any = None) -> Any:
    if digits is None:
        return _int(np.rint(value))
    return type(value)(builtins.round(float(value), int(digits)))


def _pow(base: Any, exponent: Any) -> Any:
    return base**exponent


#: By name: what a kernel finds in place of Python's own functions.
BUILTINS: Final[Mapping[str, Any]] = {
    "range": _range,
    "int": _int,
    "float": _float,
    "bool": bool,
    "len": lambda array: np.int64(builtins.len(array)),
    "min": _extreme(builtins.min, np.fmin),
    "max": _extreme(builtins.max, np.fmax),
    "abs": _abs,
    "round": _round,
    "pow": _pow,
}


# libdevice.

#: Functions that only ``cuda.libdevice`` has, without the suffix of the type.
_LIBRARY_ONLY: Final[Mapping[str, Function]] = {
    "cbrt": np.cbrt,
    "cospi": lambda x: math.cos(math.pi * math.fmod(x, 2.0)),
    "exp10": lambda x: 10.0**x,
    "fdim": lambda x, y: max(x - y, 0.0),
    "fmax": np.fmax,
    "fmin": np.fmin,
    "nearbyint": np.rint,
    "normcdf": lambda x: 0.5 * math.erfc(-x / math.sqrt(2.0)),
    "rcbrt": lambda x: np.float64(1) / np.cbrt(x),
    "rint": np.rint,
    "round": lambda x: math.copysign(np.floor(abs(x) + 0.5), x),
    "rsqrt": lambda x: np.float64(1) / np.sqrt(x),
    "sinpi": lambda x: math.sin(math.pi * math.fmod(x, 2.0)),
    "tgamma": math.gamma,
}
#: Arithmetic by name, in double precision.
_ARITHMETIC: Final[Mapping[str, Function]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": lambda x, y: np.float64(x) / y,
    "rcp": lambda x: np.float64(1) / x,
    "sqrt": np.sqrt,
}
_FAST: Final = ("cos", "exp", "exp10", "log", "log2", "log10", "pow", "sin", "tan")


def _cast(kind: Any, name: str, function: Function) -> Function:
    return lambda *arguments: kind(_evaluate(name, function, tuple(kind(one) for one in arguments)))


def _high(bits: int, *, signed: bool) -> Function:
    def call(first: Any, second: Any) -> Any:
        product = int(first) * int(second) >> bits
        return integer(product) if signed else unsigned(product, bits)

    return call


def _library() -> Iterator[tuple[str, Function]]:
    for name, function in {**_SHARED, **_LIBRARY_ONLY}.items():
        yield name, _cast(np.float64, name, function)
        yield f"{name}f", _cast(np.float32, name, function)
    for name in _FAST:
        yield f"fast_{name}f", _cast(np.float32, name, {**_SHARED, **_LIBRARY_ONLY}[name])
    for name, function in _ARITHMETIC.items():
        yield f"f{name}_rn", _cast(np.float32, name, function)
        if name != "sub":  # of which NVIDIA has one
            yield f"d{name}_rn", _cast(np.float64, name, function)
    for name, kind in (("fma", np.float64), ("fma_rn", np.float64), ("fmaf", np.float32), ("fmaf_rn", np.float32)):
        yield name, lambda x, y, z, kind=kind: fused(kind(x), kind(y), kind(z))
    for name, rounded in (("rn", np.rint), ("rz", np.trunc), ("rd", np.floor), ("ru", np.ceil)):
        for start in ("float2int", "double2int", "float2ll", "double2ll"):
            yield f"{start}_{name}", lambda x, rounded=rounded: _int(rounded(float(x)))


#: ``cuda.libdevice`` by NVIDIA's names, as far as it is offered: what rounds in another direction is not.
LIBRARY: Final[Mapping[str, Function]] = {
    **dict(_library()),
    "fast_fdividef": _cast(np.float32, "div", _ARITHMETIC["div"]),
    "frsqrt_rn": _cast(np.float32, "rsqrt", _LIBRARY_ONLY["rsqrt"]),
    "saturatef": _cast(np.float32, "saturate", lambda x: np.fmin(np.fmax(x, 0.0), 1.0)),
    "nextafterf": lambda x, towards: np.nextafter(np.float32(x), np.float32(towards)),
    "mulhi": _high(32, signed=True),
    "umulhi": _high(32, signed=False),
    "mul64hi": _high(64, signed=True),
    "umul64hi": _high(64, signed=False),
}
