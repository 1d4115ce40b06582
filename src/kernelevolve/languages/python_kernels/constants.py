"""Module constants and default values: numbers, texts, types and tuples, computed while a module is executed.

Python computes them in a process that holds nothing of value, and still: what they may hold is bounded here, so that
``10 ** 10 ** 10`` is refused and not waited for.
"""

from __future__ import annotations

__all__ = ["MAX_TEXT", "Constant", "Constants", "check_literal", "whole"]

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Final

from attrs import define, field, frozen

from kernelevolve.languages.python_kernels.names import BUILTINS, Kind, Reachable, words
from kernelevolve.languages.python_kernels.source import refuse

#: Of a text that is no docstring: names of modes and policies are short.
MAX_TEXT: Final = 64
#: A literal integer fits the widest type.
_LITERAL_BITS: Final = 64
#: Integers that are computed may be wider, and stay harmless.
_MAX_BITS: Final = 256
#: What is not known here: a tunable, or what a function of `math` gives.
_UNKNOWN_BITS: Final = 64
#: Texts are names, numbers and file-free words; no text here is ever code, a format or a path.
_TEXT: Final = re.compile(r"[\w.+\- ]*", re.ASCII)
#: Python's own functions that a constant may call.
_FUNCTIONS: Final = words("float int bool min max abs round")


_COMPUTED: Final[Mapping[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}


@frozen
class Constant:
    """What is known of a constant: how wide it can be as an integer, and its value where that is an integer."""

    bits: int = _UNKNOWN_BITS
    value: int | None = None
    #: False for texts, tuples and types, which no operator takes: ``"a" * 10**9`` is a gigabyte.
    number: bool = True


def check_literal(node: ast.Constant) -> None:
    """Raise `Rejected` unless the literal is a number of at most 64 bits, True, False, None, or a short plain text."""
    value = node.value
    if isinstance(value, str):
        if len(value) > MAX_TEXT or _TEXT.fullmatch(value) is None:
            what = f"the text {value[:24]!a} is no short name; a kernel's texts name a mode, such as 'evict_first'"
            raise refuse(node.lineno, "string", what)
    elif isinstance(value, int):
        if value.bit_length() > _LITERAL_BITS:
            raise refuse(node.lineno, "literal", f"an integer of over {_LITERAL_BITS} bits; no type holds it")
    elif value is not None and not isinstance(value, float):
        what = f"a literal of type {type(value).__name__}; a kernel has numbers, True, False, None and short texts"
        raise refuse(node.lineno, "literal", what)


@define
class Constants:
    """The constants of one source, read in order."""

    #: What a chain of attributes such as ``math.pi`` leads to; raises `Rejected` where that is nothing.
    reach: Callable[[ast.Attribute], Kind]
    #: Whether a name that the source does not define may be a tunable.
    free: bool
    #: Names that mean something else than a constant.
    taken: Callable[[str], Reachable | None]
    known: dict[str, Constant] = field(factory=dict)

    def read(self, node: ast.expr) -> Constant:
        """What `node` may hold. Raises `Rejected` where it is no constant, or one that is too wide."""
        found = self._read(node)
        if found.bits > _MAX_BITS:
            raise refuse(node.lineno, "literal", "a constant far wider than any number a kernel can hold")
        return found

    def _read(self, node: ast.expr) -> Constant:
        match node:
            case ast.Constant():
                check_literal(node)
                value = node.value if isinstance(node.value, int) else None
                bits = _UNKNOWN_BITS if value is None else max(1, value.bit_length())
                return Constant(bits, value, not isinstance(node.value, str | None))
            case ast.Name():
                return self._name(node)
            case ast.UnaryOp(op=ast.UAdd() | ast.USub() | ast.Invert() | ast.Not()):
                return Constant(self.read(node.operand).bits + 1, self._whole(node))
            case ast.BinOp():
                return self._operation(node)
            case ast.Tuple():
                for element in node.elts:
                    self.read(element)
                return Constant(number=False)
            case ast.Attribute():
                kind = self.reach(node)
                if kind not in (Kind.VALUE, Kind.TYPE):
                    raise refuse(node.lineno, "constant", f"{ast.unparse(node)[:60]} is no constant value")
                return Constant(number=kind is Kind.VALUE)
            case ast.Call():
                return self._call(node)
            case _:
                what = f"a {type(node).__name__} in a constant; write a number, such as 4, or one computed from numbers"
                raise refuse(node.lineno, "constant", what)

    def _name(self, node: ast.Name) -> Constant:
        kind = self.taken(node.id)
        if kind is Kind.TYPE:
            return Constant(number=False)
        if node.id in self.known:
            return self.known[node.id]
        if kind is None and self.free and node.id not in BUILTINS and not node.id.startswith("__"):
            return Constant()
        raise refuse(node.lineno, "constant", f"{node.id} is no constant that this file defines above this line")

    def _operation(self, node: ast.BinOp) -> Constant:
        left, right = self.read(node.left), self.read(node.right)
        if not (left.number and right.number):
            raise refuse(node.lineno, "constant", "a text, tuple or type in an operation; only numbers are computed")
        match node.op:
            case ast.Mult():
                return Constant(left.bits + right.bits, self._whole(node))
            case ast.Pow() | ast.LShift():
                by = right.value
                if by is None or not 0 <= by <= _LITERAL_BITS:
                    what = f"the exponent or distance is no whole number from 0 to {_LITERAL_BITS}; write the result"
                    raise refuse(node.lineno, "power", what)
                bits = left.bits * max(1, by) if isinstance(node.op, ast.Pow) else left.bits + by
                return Constant(bits, self._whole(node))
            case ast.MatMult():
                raise refuse(node.lineno, "expression", "@ multiplies no constants; use *")
            case _:
                return Constant(max(left.bits, right.bits) + 1, self._whole(node))

    def _whole(self, node: ast.expr) -> int | None:
        return whole(node, {name: found.value for name, found in self.known.items() if found.value is not None})

    def _call(self, node: ast.Call) -> Constant:
        called = node.func
        ours = isinstance(called, ast.Name) and called.id in _FUNCTIONS and self.taken(called.id) is None
        if not ours and not (isinstance(called, ast.Attribute) and _is_math(called) and self.reach(called)):
            what = (
                f"{ast.unparse(called)[:60]}(…) in a constant; functions of math and float(…), int(…) may stand there"
            )
            raise refuse(node.lineno, "constant", what)
        if node.keywords:
            raise refuse(node.lineno, "constant", "a constant calls functions without names for their arguments")
        return Constant(max([_UNKNOWN_BITS, *(self.read(argument).bits for argument in node.args)]))


def whole(node: ast.expr, known: Mapping[str, int]) -> int | None:
    """The whole number that `node` is for certain, given the names in `known`; None where it is none or not certain."""
    match node:
        case ast.Constant(value=int() as value):
            return value
        case ast.Name(id=name):
            return known.get(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = whole(operand, known)
            return None if inner is None else -inner
        case ast.BinOp(op=sign) if type(sign) in _COMPUTED:
            left, right = whole(node.left, known), whole(node.right, known)
            if left is None or right is None or max(left.bit_length(), right.bit_length()) > _MAX_BITS:
                return None
            if isinstance(sign, ast.Pow | ast.LShift | ast.RShift) and not 0 <= right <= _LITERAL_BITS:
                return None
            return (
                None if isinstance(sign, ast.FloorDiv | ast.Mod) and not right else _COMPUTED[type(sign)](left, right)
            )
        case _:
            return None


def _is_math(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "math"
