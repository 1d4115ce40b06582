"""Searches: every item halves an interval of a sorted array until one position is left."""

from __future__ import annotations

__all__ = ["search_slots"]

import re
from collections.abc import Sequence

from attrs import frozen
from tree_sitter import Node

from kernelevolve.languages.opencl_c.source import Source
from kernelevolve.proposers.recipes.entry import Entry
from kernelevolve.proposers.recipes.loops import declared_types
from kernelevolve.proposers.recipes.skeleton import Skeleton
from kernelevolve.proposers.recipes.tree import (
    NotAnalysableError,
    assigned,
    block,
    canonical,
    field,
    fresh,
    identifiers,
    nodes,
    strip,
)
from kernelevolve.proposers.recipes.types import TypeNames


@frozen
class _Halving:
    """``while (low < high) { middle = …; if (right) low = middle + 1; else high = middle; }``."""

    low: str
    high: str
    middle: str
    #: The condition under which the answer lies right of the middle.
    right: str


def search_slots(entry: Entry, skeleton: Skeleton, types: TypeNames) -> tuple[dict[str, str], set[str]]:
    """The slots of a search skeleton. Raises `NotAnalysableError`."""
    del types  # nothing here becomes a vector: the compiler does that to the inner loop
    if len(entry.ids) != 1:
        raise NotAnalysableError(f"recipe {skeleton.name}: {len(entry.ids)} item ids; a search has one")
    source, item = entry.source, entry.item(0)
    positions = [i for i, node in enumerate(entry.statements) if node.type == "while_statement"]
    if len(positions) != 1:
        raise NotAnalysableError(f"{len(positions)} while loops; a search has one")
    at = positions[0]
    halving = _halving(source, entry.statements[at])
    before, after = entry.statements[:at], entry.statements[at + 1 :]
    kinds = declared_types(source, before)
    first, last = (_initial(source, before, name) for name in (halving.low, halving.high))
    bounds = set(re.findall(r"[A-Za-z_]\w*", f"{first} {last}"))
    if bounds & ({item.name} | set(kinds)):
        raise NotAnalysableError("the interval differs from item to item")
    if any(halving.high in identifiers(source, node) for node in after):
        raise NotAnalysableError(f"{halving.high} is used after the search")
    carried = _carried(source, before, (entry.statements[at], *after), {halving.low, halving.high})
    setup = [node for node in before if not assigned(source, node) & {halving.low, halving.high}]
    one = fresh("one", source.text)
    return {
        "item": item.name,
        "type": item.type,
        "extent": item.extent,
        "items": item.host,
        "index": kinds[halving.low],
        "low": halving.low,
        "first": first,
        "last": last,
        "middle": halving.middle,
        "right": halving.right,
        "start": fresh("start", source.text),
        "one": one,
        "step": fresh("step", source.text),
        "length": fresh("length", source.text),
        "carried": "\n".join(f"{kinds[name]} {name}_b[BATCH];" for name in carried),
        "save": "\n".join(f"{name}_b[{one}] = {name};" for name in carried),
        "load": "\n".join(f"const {kinds[name]} {name} = {name}_b[{one}];" for name in carried),
        "before": entry.text(tuple(setup)),
        "after": entry.text(after),
        "scalar": entry.text(entry.statements),
    }, set()


def _halving(source: Source, loop: Node) -> _Halving:
    condition = strip(field(loop, "condition"))
    body = block(field(loop, "body"))
    if condition.type != "binary_expression" or len(body) != 2 or body[1].type != "if_statement":
        raise NotAnalysableError("the loop does not halve an interval")
    sides = [source.of(strip(field(condition, side))) for side in ("left", "right")]
    if source.of(field(condition, "operator")) == ">":
        sides.reverse()
    elif source.of(field(condition, "operator")) != "<":
        raise NotAnalysableError("the loop does not run while low < high")
    low, high = sides
    middle = _middle(source, body[0], low, high)
    branches = {_step(source, body[1], "consequence"): True, _step(source, body[1], "alternative"): False}
    raised, lowered = (f"{low}={middle}+1", f"{high}={middle}")
    if set(branches) != {raised, lowered}:
        raise NotAnalysableError("the interval is not halved into left and right of its middle")
    right = source.of(strip(field(body[1], "condition")))
    if identifiers(source, field(body[1], "condition")) & {low, high}:
        raise NotAnalysableError("the comparison looks at the interval's ends")
    return _Halving(low, high, middle, right if branches[raised] else f"!({right})")


def _middle(source: Source, node: Node, low: str, high: str) -> str:
    declarators = node.children_by_field_name("declarator")
    if node.type != "declaration" or len(declarators) != 1 or declarators[0].type != "init_declarator":
        raise NotAnalysableError("no middle is declared")
    text = canonical(source.of(strip(field(declarators[0], "value"))))
    halves = {
        form
        for one, two in ((low, high), (high, low))
        for form in (f"({one}+{two})/2", f"({one}+{two})>>1", f"{low}+({high}-{low})/2", f"{low}+(({high}-{low})>>1)")
    }
    if text not in halves:
        raise NotAnalysableError(f"{text} is not the middle of the interval")
    return source.of(field(declarators[0], "declarator"))


def _step(source: Source, choice: Node, side: str) -> str:
    branch = choice.child_by_field_name(side)
    if branch is None:
        raise NotAnalysableError("a search chooses between two halves")
    if branch.type == "else_clause":
        branch = branch.named_children[0]
    statements = block(branch)
    if len(statements) != 1:
        raise NotAnalysableError("a step of the search does more than halve")
    return canonical(source.of(statements[0])).rstrip(";")


def _initial(source: Source, before: Sequence[Node], name: str) -> str:
    for node in before:
        for declarator in nodes(source, node, "init_declarator"):
            if source.of(field(declarator, "declarator")) == name:
                alone = len(node.children_by_field_name("declarator")) == 1
                both = all(d.type == "init_declarator" for d in node.children_by_field_name("declarator"))
                if alone or both:
                    return source.of(field(declarator, "value"))
    raise NotAnalysableError(f"{name} has no value before the search")


def _carried(source: Source, before: Sequence[Node], rest: Sequence[Node], interval: set[str]) -> tuple[str, ...]:
    """Variables set before the search that the search or what follows it reads."""
    used = frozenset[str]().union(*(identifiers(source, node) for node in rest))
    changed = frozenset[str]().union(*(assigned(source, node) for node in rest))
    kinds = declared_types(source, before)
    found = tuple(name for name in kinds if name in used and name not in interval)
    if changed & set(found):
        raise NotAnalysableError(f"{sorted(changed & set(found))[0]} changes after it was set")
    aliases = [node for node in before if node.type == "declaration" and _declares_pointer(node)]
    if aliases:
        raise NotAnalysableError("a pointer of each item's own")
    return found


def _declares_pointer(node: Node) -> bool:
    for declarator in node.children_by_field_name("declarator"):
        inner = declarator.child_by_field_name("declarator") or declarator
        if inner.type in ("pointer_declarator", "array_declarator") or declarator.type.startswith("pointer"):
            return True
    return False
