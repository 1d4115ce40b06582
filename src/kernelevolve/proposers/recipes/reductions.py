"""Statements that combine a value into a variable: ``sum += e``, ``peak = fmax(peak, e)``, ``if (e > m) m = e;``."""

from __future__ import annotations

__all__ = ["Combination", "combination"]

from collections.abc import Callable
from typing import Final

from attrs import frozen
from tree_sitter import Node

from kernelevolve.languages.opencl_c.source import Source
from kernelevolve.proposers.recipes.tree import block, canonical, field, strip

_FUNCTIONS: Final = {"fmax": "max", "max": "max", "fmin": "min", "min": "min"}
_OPERATORS: Final = {"+": "add", "*": "mul"}


@frozen
class Combination:
    """One value combined into one variable; the order of combining does not matter beyond rounding."""

    #: The variable (or element) as written.
    name: str
    #: ``add``, ``mul``, ``max`` or ``min``.
    family: str
    #: What is combined into it: one expression, or the factors of a product.
    parts: tuple[Node, ...]
    #: The function that combines (``fmax``), or the empty string for an operator.
    function: str = ""

    def identity(self, name: str) -> str:
        """A value that combining does not change; for a maximum or minimum `name` itself, which is in it anyhow."""
        return {"add": "0", "mul": "1"}.get(self.family, name)

    def text(self, left: str, right: str) -> str:
        """The expression that combines `left` and `right`."""
        if self.function:
            return f"{self.function}({left}, {right})"
        return f"{left} + {right}" if self.family == "add" else f"{left} * ({right})"


def combination(source: Source, statement: Node) -> Combination | None:
    """What `statement` combines, or None where it does something else."""
    if statement.type == "if_statement":
        return _conditional(source, statement)
    if statement.type != "expression_statement" or not statement.named_children:
        return None
    node = statement.named_children[0]
    if node.type != "assignment_expression":
        return None
    name = canonical(source.of(field(node, "left")))
    right, operator = strip(field(node, "right")), source.of(field(node, "operator"))
    found = None
    if operator in ("+=", "*="):
        found = Combination(name, _OPERATORS[operator[0]], (right,))
    elif operator == "=":
        found = _assignment(source, name, right)
    if found is None or any(_mentions(source, part, name) for part in found.parts):
        return None
    return found


def _mentions(source: Source, node: Node, name: str) -> bool:
    kinds = ("identifier", "subscript_expression")
    return any(inner.type in kinds and canonical(source.of(inner)) == name for inner in source.walk(node))


def _assignment(source: Source, name: str, right: Node) -> Combination | None:
    def other(one: Node, two: Node) -> Node | None:
        if is_name(one):
            return two
        return one if is_name(two) else None

    def is_name(node: Node) -> bool:
        return canonical(source.of(strip(node))) == name

    match right.type:
        case "binary_expression":
            operator = source.of(field(right, "operator"))
            value = other(field(right, "left"), field(right, "right"))
            if operator in _OPERATORS and value is not None:
                return Combination(name, _OPERATORS[operator], (value,))
        case "call_expression":
            return _called(source, name, right, other, is_name)
        case "conditional_expression":
            condition = strip(field(right, "condition"))
            chosen = other(field(right, "consequence"), field(right, "alternative"))
            if chosen is None or condition.type != "binary_expression":
                return None
            return _chosen(source, name, condition, chosen, takes=not is_name(field(right, "consequence")))
    return None


def _called(
    source: Source,
    name: str,
    call: Node,
    other: Callable[[Node, Node], Node | None],
    is_name: Callable[[Node], bool],
) -> Combination | None:
    function = source.of(field(call, "function"))
    arguments = field(call, "arguments").named_children
    if function in _FUNCTIONS and len(arguments) == 2:
        value = other(arguments[0], arguments[1])
        return None if value is None else Combination(name, _FUNCTIONS[function], (value,), function)
    if function in ("fma", "mad") and len(arguments) == 3 and is_name(arguments[2]):
        return Combination(name, "add", (arguments[0], arguments[1]))
    return None


def _chosen(source: Source, name: str, condition: Node, value: Node, *, takes: bool) -> Combination | None:
    """``condition ? value : name`` (`takes`), or ``condition ? name : value``: a maximum or a minimum."""
    left, right = (canonical(source.of(strip(field(condition, side)))) for side in ("left", "right"))
    operator = source.of(field(condition, "operator"))
    wanted = canonical(source.of(strip(value)))
    if operator not in ("<", "<=", ">", ">=") or {left, right} != {wanted, name}:
        return None
    value_is_larger = (left == wanted) == (operator[0] == ">")
    family = "max" if value_is_larger == takes else "min"
    return Combination(name, family, (value,), family)


def _conditional(source: Source, statement: Node) -> Combination | None:
    """``if (e > m) m = e;``."""
    body = block(field(statement, "consequence"))
    if statement.child_by_field_name("alternative") is not None or len(body) != 1:
        return None
    inner = body[0].named_children[0] if body[0].named_children else body[0]
    condition = strip(field(statement, "condition"))
    if inner.type != "assignment_expression" or condition.type != "binary_expression":
        return None
    name, value = canonical(source.of(field(inner, "left"))), field(inner, "right")
    if source.of(field(inner, "operator")) != "=":
        return None
    return _chosen(source, name, condition, value, takes=True)
