"""The integer expressions of kernel headers and problem declarations: ``grid = ["cdiv(rows, BLOCK)"]``.

An expression sees named integers and nothing else. It is read with Python's own parser and walked by the small
interpreter below, so no `eval` is ever reached by text that a model wrote.
"""

from __future__ import annotations

__all__ = ["FUNCTIONS", "Expression", "ExpressionError", "Scope", "parse"]

import ast
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from attrs import field, frozen

from kernelevolve.errors import KernelEvolveError, suggest

#: What an expression may look up. Values of type `str` appear only through ``dtype(tensor)``.
Scope = Mapping[str, int]
Value = int | str

#: A header expression is a line, not a program; the limit also keeps Python's parser away from its recursion limit.
MAX_LENGTH: Final = 400
#: Nesting beyond this is no expression a person wrote; the limit keeps the walk below Python's own recursion limit.
MAX_DEPTH: Final = 64
#: Sizes, strides and byte counts fit in 63 bits; anything larger is a mistake and would not fit a kernel argument.
MAX_MAGNITUDE: Final = 2**63 - 1


class ExpressionError(KernelEvolveError):
    """An expression that cannot be read or has no value; the text names the expression and what would be right."""


def _cdiv(a: int, b: int) -> int:
    return -(-a // b)


def _next_pow2(a: int) -> int:
    return 1 << max(a - 1, 0).bit_length()


#: Callable by name, with how many arguments each takes (-1: two or more).
FUNCTIONS: Final[Mapping[str, tuple[Callable[..., int], int]]] = {
    "cdiv": (_cdiv, 2),
    "max": (max, -1),
    "min": (min, -1),
    "next_pow2": (_next_pow2, 1),
}

_BINARY: Final[Mapping[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARE: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


@frozen
class Expression:
    """One parsed expression. Equality is by text, so a header that is parsed and rendered compares equal."""

    text: str
    #: Every name the expression looks up, functions excluded.
    names: frozenset[str] = field(eq=False)
    _tree: ast.expr = field(eq=False, repr=False, alias="tree")

    def evaluate(self, scope: Scope, dtypes: Mapping[str, str] | None = None) -> int:
        """The expression's value, an integer (comparisons give 0 or 1).

        `dtypes` answers ``dtype(x)``. Raises `ExpressionError` for an unknown name, a division by zero, a negative
        exponent, or a value beyond 63 bits.
        """
        value = _walk(self._tree, scope, dtypes or {}, self.text)
        if isinstance(value, str):
            message = f"expression {self.text!r} is the name of a type, not a number; compare it: dtype(x) == 'float16'"
            raise ExpressionError(message)
        return int(value)

    def __str__(self) -> str:
        return self.text


def parse(text: str) -> Expression:
    """Read one expression. Raises `ExpressionError` with the text and what would be right."""
    if not isinstance(text, str):
        raise ExpressionError(f"an expression is text, not {type(text).__name__} ({text!r}); write it in quotes")
    return _parse(text)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Expression:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"expression of {len(text)} characters; at most {MAX_LENGTH} are allowed")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ExpressionError(f"expression {text!r} cannot be read: {reason}") from None
    if _depth(tree) > MAX_DEPTH:
        raise ExpressionError(f"expression {text!r} is nested more than {MAX_DEPTH} levels deep; write a shorter one")
    names: set[str] = set()
    _validate(tree, text, names)
    return Expression(text=text.strip(), names=frozenset(names), tree=tree)


def _depth(tree: ast.expr) -> int:
    """Levels of nesting, counted without recursion."""
    level: list[ast.AST] = [tree]
    depth = 0
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [child for node in level for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return depth


def _refuse(text: str, what: str) -> ExpressionError:
    return ExpressionError(
        f"expression {text!r} uses {what}; allowed are integers, names, + - * // % **, comparisons, and or not, "
        f"{', '.join(FUNCTIONS)}, dtype(tensor)"
    )


def _validate(node: ast.expr, text: str, names: set[str]) -> None:
    match node:
        case ast.Constant(value=bool()) | ast.Constant(value=int()):
            pass
        case ast.Name(id=name):
            names.add(name)
        case ast.BinOp(left=left, op=op, right=right):
            if type(op) not in _BINARY:
                raise _refuse(text, "'/' (write // for whole numbers)" if isinstance(op, ast.Div) else "an operator")
            _validate(left, text, names)
            _validate(right, text, names)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() | ast.Not(), operand=operand):
            _validate(operand, text, names)
        case ast.BoolOp(values=values):
            for value in values:
                _validate(value, text, names)
        case ast.Compare():
            _validate_compare(node, text, names)
        case ast.Call():
            _validate_call(node, text, names)
        case _:
            raise _refuse(text, _describe(node))


def _describe(node: ast.expr) -> str:
    """What a person calls the thing that is refused."""
    match node:
        case ast.Constant(value=str()):
            return "text outside a comparison with dtype(tensor)"
        case ast.Constant(value=value):
            return f"the value {value!r}"
        case ast.IfExp():
            return "'if … else'"
        case ast.Attribute(attr=attr):
            return f"the attribute .{attr}"
        case ast.Subscript():
            return "an index [ ]"
    return f"what Python calls {type(node).__name__}"


def _validate_compare(node: ast.Compare, text: str, names: set[str]) -> None:
    if any(type(op) not in _COMPARE for op in node.ops):
        raise _refuse(text, "a comparison other than == != < <= > >=")
    for value in (node.left, *node.comparators):
        if not (isinstance(value, ast.Constant) and isinstance(value.value, str)):
            _validate(value, text, names)


def _validate_call(node: ast.Call, text: str, names: set[str]) -> None:
    if not isinstance(node.func, ast.Name) or node.keywords:
        raise _refuse(text, "a call of something that is no function here")
    name = node.func.id
    if name == "dtype":
        if len(node.args) != 1 or not isinstance(node.args[0], ast.Name):
            raise ExpressionError(f"expression {text!r}: dtype takes the name of one tensor, as in dtype(x)")
        return
    if name not in FUNCTIONS:
        known = (*FUNCTIONS, "dtype")
        raise ExpressionError(
            f"expression {text!r}: unknown function {name!r}; there is {', '.join(known)}.{suggest(name, known)}"
        )
    wanted = FUNCTIONS[name][1]
    if (wanted == -1 and len(node.args) < 2) or (wanted >= 0 and len(node.args) != wanted):
        count = "two or more" if wanted == -1 else str(wanted)
        raise ExpressionError(f"expression {text!r}: {name} takes {count} arguments, not {len(node.args)}")
    for argument in node.args:
        _validate(argument, text, names)


def _walk(node: ast.expr, scope: Scope, dtypes: Mapping[str, str], text: str) -> Value:
    match node:
        case ast.Constant(value=value):
            # validated: bool, int or str
            return value if isinstance(value, str) else _bounded(int(value), text)  # type: ignore[arg-type]
        case ast.Name(id=name):
            return _lookup(name, scope, text)
        case ast.BinOp(left=left, op=op, right=right):
            return _binary(type(op), _number(left, scope, dtypes, text), _number(right, scope, dtypes, text), text)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return int(not _number(operand, scope, dtypes, text))
        case ast.UnaryOp(op=op, operand=operand):
            value = _number(operand, scope, dtypes, text)
            return -value if isinstance(op, ast.USub) else value
        case ast.BoolOp(op=op, values=values):
            results = (bool(_number(value, scope, dtypes, text)) for value in values)
            return int(all(results) if isinstance(op, ast.And) else any(results))
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            return _compare(left, ops, comparators, scope, dtypes, text)
        case ast.Call(func=ast.Name(id="dtype"), args=[ast.Name(id=tensor)]):
            return _dtype(tensor, dtypes, text)
        case ast.Call(func=ast.Name(id=name), args=args):
            return _call(name, [_number(argument, scope, dtypes, text) for argument in args], text)
    raise AssertionError(node)  # _validate admits nothing else


def _lookup(name: str, scope: Scope, text: str) -> int:
    try:
        return int(scope[name])
    except KeyError:
        listed = ", ".join(sorted(scope)) or "nothing"
        message = f"expression {text!r}: unknown name {name!r}; it sees {listed}.{suggest(name, scope)}"
        raise ExpressionError(message) from None


def _dtype(tensor: str, dtypes: Mapping[str, str], text: str) -> str:
    try:
        return dtypes[tensor]
    except KeyError:
        listed = ", ".join(sorted(dtypes)) or "none"
        raise ExpressionError(f"expression {text!r}: unknown tensor {tensor!r}; there is {listed}") from None


def _number(node: ast.expr, scope: Scope, dtypes: Mapping[str, str], text: str) -> int:
    value = _walk(node, scope, dtypes, text)
    if isinstance(value, str):
        raise ExpressionError(f"expression {text!r} calculates with a type name; it can only be compared")
    return value


def _binary(op: type[ast.operator], left: int, right: int, text: str) -> int:
    if op in (ast.FloorDiv, ast.Mod) and right == 0:
        raise ExpressionError(f"expression {text!r} divides by zero")
    if op is ast.Pow and not 0 <= right < 64:
        raise ExpressionError(f"expression {text!r} raises to the power {right}; 0 to 63 are allowed")
    return _bounded(_BINARY[op](left, right), text)


def _call(name: str, values: list[int], text: str) -> int:
    if name == "cdiv" and values[1] == 0:
        raise ExpressionError(f"expression {text!r} divides by zero")
    return _bounded(FUNCTIONS[name][0](*values), text)


def _bounded(value: int, text: str) -> int:
    if abs(value) > MAX_MAGNITUDE:
        raise ExpressionError(f"expression {text!r} is beyond 63 bits")
    return value


def _compare(
    left: ast.expr,
    ops: list[ast.cmpop],
    comparators: list[ast.expr],
    scope: Scope,
    dtypes: Mapping[str, str],
    text: str,
) -> int:
    value = _walk(left, scope, dtypes, text)
    for op, node in zip(ops, comparators, strict=True):
        other = _walk(node, scope, dtypes, text)
        ordered = not isinstance(op, ast.Eq | ast.NotEq)
        if isinstance(value, str) != isinstance(other, str) or (ordered and isinstance(value, str)):
            raise ExpressionError(f"expression {text!r} compares a type name with a number")
        if not _COMPARE[type(op)](value, other):
            return 0
        value = other
    return 1
