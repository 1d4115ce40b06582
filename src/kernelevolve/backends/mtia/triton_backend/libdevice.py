"""``tl.extra.libdevice`` on MTIA. The first five come from lookup tables: faster, and less exact than ``tl.math``.

The others are computed in full precision. Symbols are ``__mtia_lookup_NAME`` and ``__mtia_NAME``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from triton.language import core

#: What the SIMD engine has tables for.
LOOKUP: Final = ("exp", "gelu", "log", "sigmoid", "tanh")
_UNARY: Final = (
    "abs acos acosh asin asinh atan atanh cbrt ceil cos cosh erf erfc exp10 exp2 expm1 floor isfinited isinf isnan "
    "log10 log1p log2 nearbyint rint round rsqrt signbit sin sinh sqrt tan trunc"
)
_BINARY: Final = "atan2 copysign fmod hypot pow div_rn"
_FLOATS: Final = ("fp16", "bf16", "fp32", "fp64")
_TESTS: Final = ("isfinited", "isinf", "isnan", "signbit")


def _function(name: str, symbol: str, arguments: int) -> Callable[..., Any]:
    result = "int32" if name in _TESTS else None
    table = {(core.dtype(kind),) * arguments: (symbol, core.dtype(result or kind)) for kind in _FLOATS}

    def unary(arg0: Any, _semantic: Any = None) -> Any:
        return core.extern_elementwise("", "", [arg0], table, is_pure=True, _semantic=_semantic)

    def binary(arg0: Any, arg1: Any, _semantic: Any = None) -> Any:
        return core.extern_elementwise("", "", [arg0, arg1], table, is_pure=True, _semantic=_semantic)

    chosen = unary if arguments == 1 else binary
    chosen.__name__ = chosen.__qualname__ = name
    return core.extern(chosen)  # type: ignore[no-any-return]


for _name in LOOKUP:
    globals()[_name] = _function(_name, f"__mtia_lookup_{_name}", 1)
for _name in _UNARY.split():
    globals()[_name] = _function(_name, f"__mtia_{_name}", 1)
for _name in _BINARY.split():
    globals()[_name] = _function(_name, f"__mtia_{_name}", 2)
