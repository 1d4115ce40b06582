"""Reading calls: what is called, and with what."""

from __future__ import annotations

__all__ = ["ELEMENTWISE", "REDUCTIONS", "argument", "call_name", "is_pure_call", "keyword", "literal", "literal_text"]

from typing import Final

import libcst as cst

from kernelevolve.languages.python_kernels.names import words

#: Functions of ``tl`` whose result has the shape of their arguments together, and the type of the first or of all.
ELEMENTWISE: Final = words(
    "abs add cdiv ceil clamp cos div_rn erf exp exp2 fdiv floor fma log log2 maximum minimum mul rsqrt sigmoid sin sqrt"
    " sqrt_rn sub umulhi where"
)
#: Functions that take a dimension away.
REDUCTIONS: Final = words("argmax argmin max min sum xor_sum")
#: Functions of ``tl`` that only give a value.
_PURE: Final = (
    ELEMENTWISE
    | REDUCTIONS
    | words(
        "arange broadcast broadcast_to cast cat constexpr cumprod cumsum dot dot_scaled expand_dims flip full gather"
        " histogram interleave join make_tensor_descriptor max_constancy max_contiguous multiple_of num_programs"
        " permute program_id range ravel reshape softmax sort split static_range swizzle2d to_tensor trans view zeros"
        " zeros_like assume"
        " static_assert"
    )
)
#: The same of methods of tensors.
_METHODS: Final = words("to reshape trans permute broadcast_to expand_dims view sum max min split")
#: Python's own and Triton's functions on the host side of a kernel.
_PLAIN: Final = words("range min max abs float int bool len triton.cdiv triton.next_power_of_2")


def call_name(node: cst.CSTNode) -> str:
    """What a call calls, as written with dots (``tl.load``); empty where `node` is no call of a name.

    ``tl.extra.libdevice.exp`` is ``libdevice.exp``.
    """
    return _dotted(node.func).removeprefix("tl.extra.") if isinstance(node, cst.Call) else ""


def _dotted(node: cst.BaseExpression) -> str:
    match node:
        case cst.Name(value=value):
            return value
        case cst.Attribute(value=inner, attr=cst.Name(value=attr)):
            before = _dotted(inner)
            return f"{before}.{attr}" if before else ""
    return ""


def argument(call: cst.Call, position: int, keyword: str) -> cst.BaseExpression | None:
    """One argument of a call, given by position or by name."""
    for index, one in enumerate(call.args):
        if one.keyword is not None and one.keyword.value == keyword:
            return one.value
        if one.keyword is None and not one.star and index == position:
            return one.value
    return None


def keyword(call: cst.Call, name: str) -> cst.BaseExpression | None:
    """An argument that is given by name only."""
    return next((one.value for one in call.args if one.keyword is not None and one.keyword.value == name), None)


def literal(node: cst.BaseExpression | None) -> int | None:
    """A whole number as written."""
    match node:
        case cst.Integer(value=value):
            return int(value, 0)
        case cst.UnaryOperation(operator=cst.Minus(), expression=cst.Integer(value=value)):
            return -int(value, 0)
    return None


def literal_text(node: cst.BaseExpression | None) -> str | None:
    """A text as written."""
    value = node.evaluated_value if isinstance(node, cst.SimpleString) else None
    return value if isinstance(value, str) else None


def is_pure_call(node: cst.Call) -> bool:
    """Whether a call only gives a value, and touches no memory."""
    name = call_name(node)
    module, _, attribute = name.rpartition(".")
    if module == "tl":
        return attribute in _PURE
    if module in ("libdevice", "math", "tl.math"):
        return True
    if name in _PLAIN:
        return True
    return isinstance(node.func, cst.Attribute) and node.func.attr.value in _METHODS
