"""Reading and rewriting syntax trees of OpenCL C by splicing text: what is not replaced stays as it was written."""

from __future__ import annotations

__all__ = [
    "NotAnalysableError",
    "assigned",
    "block",
    "calls",
    "canonical",
    "field",
    "fresh",
    "identifiers",
    "literal",
    "nodes",
    "rewrite",
    "strip",
    "substitute",
]

import re
from collections.abc import Callable, Iterator, Mapping

from tree_sitter import Node

from kernelevolve.languages.opencl_c.source import Source


class NotAnalysableError(Exception):
    """The code does not have the form that a recipe needs; the text says where it differs."""


def field(node: Node, name: str) -> Node:
    """The child called `name`. Raises `NotAnalysableError` where there is none."""
    child = node.child_by_field_name(name)
    if child is None:
        raise NotAnalysableError(f"a {node.type} without {name}")
    return child


def strip(node: Node) -> Node:
    """`node` without parentheses around it."""
    while node.type == "parenthesized_expression" and node.named_child_count == 1:
        node = node.named_children[0]
    return node


def block(node: Node) -> tuple[Node, ...]:
    """The statements of a compound statement, or the one statement that stands in place of one."""
    return tuple(node.named_children) if node.type == "compound_statement" else (node,)


def nodes(source: Source, node: Node, kind: str) -> Iterator[Node]:
    """All nodes of type `kind` in `node`, itself included."""
    return (inner for inner in source.walk(node) if inner.type == kind)


def identifiers(source: Source, node: Node) -> frozenset[str]:
    """The names of variables (and called functions) in `node`."""
    return frozenset(source.of(inner) for inner in nodes(source, node, "identifier"))


def calls(source: Source, node: Node) -> frozenset[str]:
    """The names of the functions that `node` calls."""
    return frozenset(source.of(field(inner, "function")) for inner in nodes(source, node, "call_expression"))


def literal(source: Source, node: Node) -> int | None:
    """The value of a whole-number literal, or None."""
    inner = strip(node)
    text = source.of(inner).rstrip("uUlL")
    return int(text) if inner.type == "number_literal" and text.isdigit() else None


def assigned(source: Source, node: Node) -> frozenset[str]:
    """Names of variables that `node` assigns, increments or declares with a value."""
    found: set[str] = set()
    for inner in source.walk(node):
        key = {"assignment_expression": "left", "update_expression": "argument", "init_declarator": "declarator"}
        if inner.type in key:
            target = inner.child_by_field_name(key[inner.type])
            if target is not None and target.type == "identifier":
                found.add(source.of(target))
    return frozenset(found)


def rewrite(source: Source, node: Node, replace: Callable[[Node], str | None]) -> str:
    """The text of `node`, with each outermost node that `replace` answers for replaced by the answer."""
    answer = replace(node)
    if answer is not None:
        return answer
    if not node.named_child_count:
        return source.of(node)
    parts: list[str] = []
    at = node.start_byte
    for child in node.named_children:
        parts += (source.text[at : child.start_byte], rewrite(source, child, replace))
        at = child.end_byte
    return "".join([*parts, source.text[at : node.end_byte]])


def substitute(source: Source, node: Node, names: Mapping[str, str]) -> str:
    """The text of `node` with variables replaced by the expressions in `names`."""
    return rewrite(source, node, lambda one: names.get(source.of(one)) if one.type == "identifier" else None)


def canonical(text: str) -> str:
    """`text` without layout: two expressions with equal canonical text are the same expression."""
    return re.sub(r"\s*(\W)\s*", r"\1", " ".join(text.split()))


def fresh(name: str, taken: str) -> str:
    """`name`, with as many underscores as make it a word that the text `taken` does not use."""
    while re.search(rf"\b{re.escape(name)}\b", taken):
        name += "_"
    return name
