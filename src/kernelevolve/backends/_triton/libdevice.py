"""The device library's functions, in NumPy, by the names of NVIDIA's ``libdevice`` and AMD's ``ocml``."""

from __future__ import annotations

__all__ = ["library_function"]

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

Function = Callable[..., Any]

_SYMBOL: Final = re.compile(r"__nv_(?:fast_)?(?P<nv>\w+)|__ocml_(?:native_)?(?P<ocml>\w+?)_f(?:16|32|64)")


def _by_math(function: Callable[[float], float]) -> Function:
    """`function` of the standard library, elementwise, in the type of its argument."""

    def apply(values: Any) -> Any:
        return np.vectorize(function, otypes=[values.dtype])(values)

    return apply


#: By name without prefix and type suffix. What is missing is reported as such, by name.
_FUNCTIONS: Final[Mapping[str, Function]] = {
    "abs": np.abs,
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
    "erf": _by_math(math.erf),
    "erfc": _by_math(math.erfc),
    "exp": np.exp,
    "exp10": lambda x: np.power(x.dtype.type(10), x),
    "exp2": np.exp2,
    "expm1": np.expm1,
    "fabs": np.abs,
    "fadd": np.add,
    "fdiv": np.divide,
    "fdivide": np.divide,
    "floor": np.floor,
    "fma": lambda x, y, z: x.astype(np.float64) * y + z,
    "fmax": np.fmax,
    "fmin": np.fmin,
    "fmod": np.fmod,
    "fmul": np.multiply,
    "frcp": np.reciprocal,
    "frsqrt": lambda x: 1 / np.sqrt(x),
    "fsqrt": np.sqrt,
    "fsub": np.subtract,
    "hypot": np.hypot,
    "isfinite": np.isfinite,
    "isinf": np.isinf,
    "isnan": np.isnan,
    "llrint": np.rint,
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "nearbyint": np.rint,
    "pow": np.power,
    "rint": np.rint,
    "round": lambda x: np.copysign(np.floor(np.abs(x) + x.dtype.type(0.5)), x),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "signbit": np.signbit,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
    "trunc": np.trunc,
}


def library_function(symbol: str) -> Function | None:
    """The function called `symbol` in the device library (``__nv_tanhf``, ``__ocml_tanh_f32``), or None."""
    match = _SYMBOL.fullmatch(symbol)
    if not match:
        return None
    name = (match["nv"] or match["ocml"]).removesuffix("_rn")
    known = (
        candidate for candidate in (name, name.removesuffix("f"), name.removesuffix("d")) if candidate in _FUNCTIONS
    )
    found = next(known, None)
    return None if found is None else _FUNCTIONS[found]
