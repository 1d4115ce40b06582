"""Items counted in one dimension that stand for two: ``int row = id / n, col = id % n;``."""

from __future__ import annotations

__all__ = ["unflatten"]

from attrs import evolve, frozen
from tree_sitter import Node

from kernelevolve.problem import Problem
from kernelevolve.proposers.recipes.entry import Entry, ItemId, host_expression
from kernelevolve.proposers.recipes.tree import NotAnalysableError, canonical, field, identifiers, strip


@frozen
class _Part:
    """A variable that is the id's quotient or remainder."""

    name: str
    type: str
    operator: str
    divisor: Node


def unflatten(entry: Entry, problem: Problem) -> Entry:
    """The entry with two ids in place of one that is only ever divided; the entry itself where that is not so."""
    if len(entry.ids) != 1:
        return entry
    item = entry.ids[0]
    parts: dict[str, _Part] = {}
    rest = []
    for node in entry.statements:
        found = _parts(entry, node, item.name)
        parts.update({part.operator: part for part in found})
        if not found:
            rest.append(node)
    if set(parts) != {"/", "%"} or any(item.name in identifiers(entry.source, node) for node in rest):
        return entry
    row, col = parts["/"], parts["%"]
    width = entry.source.of(col.divisor)
    if canonical(entry.source.of(row.divisor)) != canonical(width):
        return entry
    try:
        host = host_expression(entry, problem, col.divisor)
    except NotAnalysableError:
        return entry
    ids = (
        ItemId(col.name, col.type, 0, width, host),
        ItemId(row.name, row.type, 1, _divided(item.extent, width, "/"), _divided(item.host, host, "//")),
    )
    return evolve(entry.with_body(entry.text(tuple(rest))), ids=ids)


def _parts(entry: Entry, node: Node, item: str) -> list[_Part]:
    """What a declaration takes of the id; nothing where it declares anything else as well."""
    if node.type != "declaration":
        return []
    found = []
    for declarator in node.children_by_field_name("declarator"):
        value = declarator.child_by_field_name("value")
        value = None if value is None else strip(value)
        if value is None or value.type != "binary_expression":
            return []
        operator = entry.source.of(field(value, "operator"))
        if operator not in ("/", "%") or entry.source.of(strip(field(value, "left"))) != item:
            return []
        name = entry.source.of(field(declarator, "declarator"))
        found.append(_Part(name, entry.source.of(field(node, "type")), operator, strip(field(value, "right"))))
    return found


def _divided(total: str, width: str, operator: str) -> str:
    """``total / width``, or the other factor where `total` is a product with `width`."""
    factors = [canonical(factor) for factor in total.split("*")]
    if canonical(width) in factors and len(factors) == 2:
        factors.remove(canonical(width))
        if factors[0].isidentifier():
            return factors[0]
    return f"({total}) {operator} ({width})"
