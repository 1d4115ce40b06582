"""Compute an expensive expression once: what one loop over the row reduces and a later one needs stays in the output.

``total += exp(x[i] - peak)`` and later ``y[i] = exp(x[i] - peak) / total``: the first loop stores its exponentials to
y, and the second one scales them.
"""

from __future__ import annotations

__all__ = ["reuse"]

from collections.abc import Iterator, Sequence

from attrs import frozen
from tree_sitter import Node

from kernelevolve.languages.opencl_c.source import Source
from kernelevolve.proposers.recipes import tree
from kernelevolve.proposers.recipes.entry import Entry
from kernelevolve.proposers.recipes.loops import CountedLoop, counted, declared_types
from kernelevolve.proposers.recipes.reductions import Combination, combination
from kernelevolve.proposers.recipes.tree import NotAnalysableError, assigned, canonical, fresh, identifiers, strip


@frozen
class _Shared:
    """A reduced expression, and where a later loop has it again."""

    loop: CountedLoop
    statement: Node
    combination: Combination
    again: tuple[Node, ...]
    #: The element of the output that is free until the later loop stores there.
    place: str


def reuse(entry: Entry) -> Entry:
    """The entry with one shared expression kept. Raises `NotAnalysableError` where two loops share none."""
    shared = next(_candidates(entry), None)
    if shared is None:
        raise NotAnalysableError("no two loops share an expression worth keeping")
    source = entry.source
    kind = declared_types(source, entry.statements)[shared.combination.name]
    name = fresh("kept", source.text)
    value = source.of(shared.combination.parts[0])
    first = "\n".join(
        [
            f"const {kind} {name} = {value};",
            f"{shared.combination.name} = {shared.combination.text(shared.combination.name, name)};",
            f"{shared.place} = {name};",
        ]
    )
    places = {(node.start_byte, node.end_byte): f"{shared.place}" for node in shared.again}
    places[shared.statement.start_byte, shared.statement.end_byte] = "{" + first + "}"
    if len(shared.loop.body) > 1 or shared.loop.body[0].parent.type == "compound_statement":  # type: ignore[union-attr]
        places[shared.statement.start_byte, shared.statement.end_byte] = first

    def replace(node: Node) -> str | None:
        return places.get((node.start_byte, node.end_byte))

    return entry.with_body("\n".join(tree.rewrite(source, node, replace) for node in entry.statements))


def _candidates(entry: Entry) -> Iterator[_Shared]:
    source = entry.source
    for position, statement in enumerate(entry.statements):
        loop = counted(source, statement)
        for node in loop.body if loop else ():
            found = combination(source, node)
            if loop is None or found is None or len(found.parts) != 1 or not tree.calls(source, found.parts[0]):
                continue
            for later in range(position + 1, len(entry.statements)):
                shared = _again(entry, loop, node, found, entry.statements[position + 1 : later + 1])
                if shared is not None:
                    yield shared


def _again(
    entry: Entry, loop: CountedLoop, statement: Node, found: Combination, between: Sequence[Node]
) -> _Shared | None:
    source = entry.source
    later = counted(source, between[-1])
    value = strip(found.parts[0])
    if later is None or (later.variable, later.first) != (loop.variable, loop.first):
        return None
    if canonical(source.of(later.bound)) != canonical(source.of(loop.bound)):
        return None
    changed = frozenset[str]().union(*(assigned(source, node) for node in between)) - {loop.variable}
    if identifiers(source, value) & (changed | assigned(source, statement)):
        return None
    wanted = canonical(source.of(value))
    again = tuple(
        node
        for one in later.body
        for node in source.walk(one)
        if node.type == value.type and canonical(source.of(node)) == wanted
    )
    place = _place(source, later, entry)
    return _Shared(loop, statement, found, again, place) if again and place else None


def _place(source: Source, later: CountedLoop, entry: Entry) -> str | None:
    """The one element that the later loop stores to, if nothing before reads or writes that buffer."""
    stores = [
        tree.field(node, "left")
        for one in later.body
        for node in tree.nodes(source, one, "assignment_expression")
        if tree.field(node, "left").type == "subscript_expression"
    ]
    if len(stores) != 1:
        return None
    buffer = source.of(tree.field(stores[0], "argument"))
    uses = sum(source.of(node) == buffer for one in entry.statements for node in tree.nodes(source, one, "identifier"))
    index = identifiers(source, tree.field(stores[0], "index"))
    local = set(declared_types(source, later.body))
    return source.of(stores[0]) if uses == 1 and not index & local else None
