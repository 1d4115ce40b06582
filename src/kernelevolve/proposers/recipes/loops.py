"""Counted loops: ``for (int i = first; i < bound; i++)``."""

from __future__ import annotations

__all__ = ["CountedLoop", "check_independent", "counted", "declared_types", "pointer_roots"]

from collections.abc import Collection, Iterable, Mapping

from attrs import frozen
from tree_sitter import Node

from kernelevolve.languages.opencl_c.source import Source
from kernelevolve.proposers.recipes.tree import (
    NotAnalysableError,
    assigned,
    block,
    canonical,
    field,
    identifiers,
    nodes,
)


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


def pointer_roots(source: Source, statements: Iterable[Node], pointers: Iterable[str]) -> dict[str, str]:
    """The buffer that each pointer looks into: itself, or for ``p = x + row * cols`` the buffer x."""
    roots = {name: name for name in pointers}
    for statement in statements:
        for declarator in nodes(source, statement, "init_declarator"):
            target = field(declarator, "declarator")
            inner = target.child_by_field_name("declarator")
            if target.type == "pointer_declarator" and inner is not None:
                used = [
                    roots[name] for name in sorted(identifiers(source, field(declarator, "value"))) if name in roots
                ]
                roots[source.of(inner)] = used[0] if len(used) == 1 else ""
    return roots


def check_independent(source: Source, loop: CountedLoop, combined: Collection[int], roots: Mapping[str, str]) -> None:
    """Raise `NotAnalysableError` where one iteration depends on another one, the statements at `combined` aside.

    An iteration may have variables of its own, and elements that it alone stores and loads; `roots` has the buffer of
    each pointer.
    """
    inside = set(declared_types(source, loop.body))
    stored: set[str] = set()
    touched: dict[str, set[str]] = {}
    for node in loop.body:
        changed = assigned(source, node) - inside
        if changed and node.start_byte not in combined:
            raise NotAnalysableError(f"{sorted(changed)[0]} is carried from one iteration to the next")
        for one in nodes(source, node, "subscript_expression"):
            pointer = source.of(field(one, "argument"))
            element = f"{pointer}[{canonical(source.of(field(one, 'index')))}]"
            touched.setdefault(roots.get(pointer, ""), set()).add(element)
        for one in nodes(source, node, "assignment_expression"):
            if field(one, "left").type == "subscript_expression":
                pointer = source.of(field(field(one, "left"), "argument"))
                stored.add(roots.get(pointer, ""))
    for buffer in sorted(stored):
        if len(touched[buffer]) > 1:
            raise NotAnalysableError(f"an iteration may read what another one stores to {buffer or 'a buffer'}")
