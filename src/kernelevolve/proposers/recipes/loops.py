"""Counted loops: ``for (int i = first; i < bound; i++)``."""

from __future__ import annotations

__all__ = ["CountedLoop", "counted", "declared_types"]

from collections.abc import Iterable

from attrs import frozen
from tree_sitter import Node

from kernelevolve.languages.opencl_c.source import Source
from kernelevolve.proposers.recipes.tree import block, canonical, field, nodes


@frozen
class CountedLoop:
    """A loop in steps of one whose bound does not change while it runs."""

    variable: str
    type: str
    first: str
    bound: Node
    body: tuple[Node, ...]


def counted(source: Source, node: Node) -> CountedLoop | None:
    """The loop that `node` is, or None where it is no counted loop."""
    if node.type != "for_statement":
        return None
    start, condition, update = (node.child_by_field_name(name) for name in ("initializer", "condition", "update"))
    if start is None or condition is None or update is None or start.type != "declaration":
        return None
    declarators = start.children_by_field_name("declarator")
    if len(declarators) != 1 or declarators[0].type != "init_declarator" or condition.type != "binary_expression":
        return None
    variable = source.of(field(declarators[0], "declarator"))
    steps = {f"{variable}++", f"++{variable}", f"{variable}+=1", f"{variable}={variable}+1"}
    up = source.of(field(condition, "operator")) == "<" and source.of(field(condition, "left")) == variable
    if not up or canonical(source.of(update)) not in steps:
        return None
    first = source.of(field(declarators[0], "value"))
    body = block(field(node, "body"))
    return CountedLoop(variable, source.of(field(start, "type")), first, field(condition, "right"), body)


def declared_types(source: Source, statements: Iterable[Node]) -> dict[str, str]:
    """The type of each scalar variable that the statements declare."""
    found: dict[str, str] = {}
    for statement in statements:
        for node in nodes(source, statement, "declaration"):
            for declarator in node.children_by_field_name("declarator"):
                name = declarator.child_by_field_name("declarator") or declarator
                if name.type == "identifier":
                    found[source.of(name)] = source.of(field(node, "type"))
    return found
