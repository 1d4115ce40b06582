"""Loops whose iterations may run in any order: element-wise ones, and reductions into scalars."""

from __future__ import annotations

__all__ = ["Reduction", "contiguous", "reductions", "renamed"]

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import field, frozen
from tree_sitter import Node

from kernelevolve.languages.opencl_c.source import Source
from kernelevolve.proposers.rewriting.analysis import Access, identifiers, squeeze
from kernelevolve.proposers.rewriting.view import Edit, Loop, View, apply

_EXTREMES: Final = frozenset({"fmax", "fmin", "max", "min"})


@frozen
class Reduction:
    """A scalar that a loop accumulates into: by ``+``, or by a function that takes the larger or smaller."""

    variable: str
    #: ``+``, ``fmax``, ``fmin``, ``max`` or ``min``.
    operator: str
    type: str
    term: Node = field(eq=False, repr=False)
    statement: Node = field(eq=False, repr=False)

    def start(self) -> str:
        """What a partial accumulator starts from; an extreme starts from the variable itself, which changes nothing."""
        return "0" if self.operator == "+" else self.variable

    def combine(self, into: str, term: str) -> str:
        """One step, as a statement."""
        return f"{into} += {term};" if self.operator == "+" else f"{into} = {self.operator}({into}, {term});"


def reductions(view: View, loop: Loop) -> tuple[Reduction, ...] | None:
    """What `loop` reduces; empty for an element-wise loop; None where the order of its iterations may matter."""
    if not loop.plain or not _stores_are_separate(loop) or view.aliased(loop.effects):
        return None
    found: list[Reduction] = []
    for variable in sorted(loop.effects.written):
        steps = [step for node in _statements(view, loop) if (step := _reduction(view, node, variable)) is not None]
        inside = sum(list(identifiers(view.source, step.statement)).count(variable) for step in steps)
        if not steps or inside != list(identifiers(view.source, loop.body)).count(variable):
            return None
        if len({step.operator for step in steps}) != 1:
            return None
        found.append(steps[0])
    return tuple(found)


def _statements(view: View, loop: Loop) -> Iterator[Node]:
    return view.find("expression_statement", "if_statement", under=loop.body)


def _stores_are_separate(loop: Loop) -> bool:
    """Whether no iteration touches what another stores: every access of a stored array has one index, which moves."""
    for array in loop.effects.stored:
        accesses: list[Access] = [a for a in (*loop.effects.stores, *loop.effects.loads) if a.array == array]
        if len({access.index for access in accesses}) != 1:
            return False
        moves = re.search(rf"\b{loop.variable}\b", accesses[0].index)
        if array not in loop.effects.declared and not moves:
            return False
    return True


def _reduction(view: View, node: Node, variable: str) -> Reduction | None:
    found = _from_if(view, node, variable) if node.type == "if_statement" else _from_assignment(view, node, variable)
    kind = view.names.types.get(variable)
    if found is None or kind is None or "*" in kind or variable in identifiers(view.source, found[1]):
        return None
    return Reduction(variable, found[0], kind, found[1], node)


def _from_assignment(view: View, node: Node, variable: str) -> tuple[str, Node] | None:
    inner = node.named_children[0] if node.named_child_count == 1 else node
    if inner.type != "assignment_expression" or view.of(_part(inner, "left")) != variable:
        return None
    operator, right = view.of(_part(inner, "operator")), _part(inner, "right")
    if operator == "+=":
        return "+", right
    if operator != "=":
        return None
    if right.type == "binary_expression" and view.of(_part(right, "operator")) == "+":
        sides = [_part(right, "left"), _part(right, "right")]
        rest = [side for side in sides if view.of(side) != variable]
        return ("+", rest[0]) if len(rest) == 1 else None
    if right.type == "call_expression" and view.of(_part(right, "function")) in _EXTREMES:
        arguments = _part(right, "arguments").named_children
        rest = [side for side in arguments if view.of(side) != variable]
        return (view.of(_part(right, "function")), rest[0]) if len(rest) == 1 and len(arguments) == 2 else None
    return None


def _from_if(view: View, node: Node, variable: str) -> tuple[str, Node] | None:
    """``if (term > m) m = term;`` is a maximum."""
    condition, body = _part(node, "condition"), _part(node, "consequence")
    lines = view.lines(body)
    test = condition.named_children[0]
    if node.child_by_field_name("alternative") or len(lines) != 1 or test.type != "binary_expression":
        return None
    assignment = lines[0].named_children[0] if lines[0].named_child_count == 1 else lines[0]
    if assignment.type != "assignment_expression" or view.of(_part(assignment, "operator")) != "=":
        return None
    left, right = _part(test, "left"), _part(test, "right")
    term, operator = _part(assignment, "right"), view.of(_part(test, "operator"))
    if view.of(_part(assignment, "left")) != variable or operator not in ("<", ">", "<=", ">="):
        return None
    if view.of(left) == variable:
        left, right, operator = right, left, operator.translate({ord("<"): ">", ord(">"): "<"})
    if view.of(right) != variable or squeeze(view.of(left)) != squeeze(view.of(term)):
        return None
    prefix = "f" if view.names.types.get(variable) in ("float", "double", "half") else ""
    return prefix + ("max" if operator[0] == ">" else "min"), term


def _part(node: Node, name: str) -> Node:
    found = node.child_by_field_name(name)
    assert found is not None, (node.type, name)
    return found


def contiguous(source: Source, index: Node, variable: str) -> bool:
    """Whether `index` moves by one element as `variable` does: ``i``, ``row * cols + i``, ``i - 1``."""
    if index.type == "identifier":
        return source.of(index) == variable
    if index.type == "parenthesized_expression":
        return contiguous(source, index.named_children[0], variable)
    if index.type != "binary_expression":
        return False
    left, right, operator = _part(index, "left"), _part(index, "right"), source.of(_part(index, "operator"))
    has_left, has_right = (variable in identifiers(source, side) for side in (left, right))
    if has_left and not has_right and operator in ("+", "-"):
        return contiguous(source, left, variable)
    return has_right and not has_left and operator == "+" and contiguous(source, right, variable)


def renamed(view: View, node: Node, names: Mapping[str, str]) -> str:
    """The text of `node`, as `View.inside` gives it, with variables replaced by other expressions."""
    edits = [
        Edit(inner.start_byte, inner.end_byte, names[view.of(inner)])
        for inner in view.find("identifier", under=node)
        if view.of(inner) in names
    ]
    if not edits:
        return view.inside(node)
    shift = node.start_byte
    text = view.source.text[shift : node.end_byte]
    changed = apply(text, [Edit(edit.start - shift, edit.end - shift, edit.text) for edit in edits])
    return _dedent(changed) if node.type == "compound_statement" else changed


def _dedent(block: str) -> str:

    return textwrap.dedent(block.strip()[1:-1].strip("\n")).strip()
