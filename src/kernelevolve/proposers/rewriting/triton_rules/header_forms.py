"""The forms of header expressions, and what expressions of headers and sources have in common."""

from __future__ import annotations

__all__ = ["OPERATIONS", "binary_form", "header_form", "moved_dimensions"]

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import libcst as cst

from kernelevolve.expressions import Expression
from kernelevolve.proposers.rewriting.triton_rules.calls import call_name, literal
from kernelevolve.proposers.rewriting.triton_rules.forms import Form, name, number, operation

#: Functions of headers and of Triton, by the operation of forms that they are.
OPERATIONS: Final = {
    "tl.cdiv": "cdiv",
    "triton.cdiv": "cdiv",
    "cdiv": "cdiv",
    "min": "min",
    "max": "max",
    "tl.minimum": "min",
    "tl.maximum": "max",
    "next_pow2": "next_pow2",
    "triton.next_power_of_2": "next_pow2",
}


def moved_dimensions(node: cst.Subscript) -> Callable[[int], int] | None:
    """How ``x[:, None]`` renumbers the dimensions of ``x``, counted from the last; None for other indexing."""
    kept: list[bool] = []
    for element in node.slice:
        match element.slice:
            case cst.Slice(lower=None, upper=None, step=None):
                kept.append(True)
            case cst.Index(value=cst.Name(value="None")):
                kept.append(False)
            case _:
                return None
    places = [place - len(kept) for place, is_kept in enumerate(kept) if is_kept]
    return lambda dimension: places[dimension]


@lru_cache(maxsize=4096)
def header_form(expression: Expression) -> Form | None:
    """The form of an expression of the header."""
    return _header(cst.parse_expression(expression.text))


def _header(node: cst.BaseExpression) -> Form | None:
    match node:
        case cst.Name(value=label):
            return name(label, text=label)
        case cst.Integer():
            value = literal(node)
            return None if value is None else number(value)
        case cst.BinaryOperation(left=left, operator=operator, right=right):
            return binary_form(operator, _header(left), _header(right))
        case cst.Call() if call_name(node) in OPERATIONS:
            parts = [_header(one.value) for one in node.args]
            known = [part for part in parts if part is not None]
            return operation(OPERATIONS[call_name(node)], *known) if len(known) == len(parts) else None
    return None


def binary_form(operator: cst.BaseBinaryOp, left: Form | None, right: Form | None) -> Form | None:
    """The form of an operation on two forms; None where either is none, or the operation is not understood."""
    if left is None or right is None:
        return None
    match operator:
        case cst.Add():
            return left + right
        case cst.Subtract():
            return left - right
        case cst.Multiply():
            return left * right
        case cst.FloorDivide():
            return operation("//", left, right)
        case cst.Modulo():
            return operation("%", left, right)
        case cst.LeftShift() if right.constant is not None:
            return left * number(2**right.constant)
    return None
