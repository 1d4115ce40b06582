"""Row programs: per row a sequence of loops over it, each a reduction, a map, or both, with scalar code between them."""

from __future__ import annotations

__all__ = ["rows_slots"]

import re
from collections.abc import Mapping

from attrs import define, field
from tree_sitter import Node

from kernelevolve.proposers.recipes.entry import Entry
from kernelevolve.proposers.recipes.lanes import Lanes
from kernelevolve.proposers.recipes.loops import CountedLoop, counted, declared_types
from kernelevolve.proposers.recipes.reductions import Combination, combination
from kernelevolve.proposers.recipes.skeleton import Skeleton
from kernelevolve.proposers.recipes.tree import NotAnalysableError, fresh, identifiers
from kernelevolve.proposers.recipes.types import TypeNames


def rows_slots(entry: Entry, skeleton: Skeleton, types: TypeNames) -> tuple[dict[str, str], set[str]]:
    """The slots of a row skeleton, and the element types it makes vectors of. Raises `NotAnalysableError`."""
    if len(entry.ids) != 1:
        raise NotAnalysableError(f"{len(entry.ids)} item ids; a row program has one")
    item = entry.item(0)
    program = _Program(entry, skeleton, types)
    statements = program.text()
    return {
        "row": item.name,
        "row_type": item.type,
        "extent": item.extent,
        "items": item.host,
        "statements": statements,
    }, program.used


@define
class _Program:
    entry: Entry
    skeleton: Skeleton
    types: TypeNames
    used: set[str] = field(factory=set)
    loops: int = 0

    def text(self) -> str:
        texts = [self._statement(node) for node in self.entry.statements]
        if not self.loops:
            raise NotAnalysableError("no loop over a row has a vector form")
        return "\n".join(texts)

    def _statement(self, node: Node) -> str:
        loop = counted(self.entry.source, node)
        if loop is None:
            return self._scalar(node)
        try:
            text = self._loop(loop)
        except NotAnalysableError:
            return self._scalar(node)
        self.loops += 1
        return text

    def _scalar(self, node: Node) -> str:
        text = self.entry.source.of(node)
        if "store" in self.skeleton.blocks and re.search(r"\]\s*=[^=]", text):
            return self.skeleton.block("store", {"statement": text})
        return text

    def _loop(self, loop: CountedLoop) -> str:
        source, entry = self.entry.source, self.entry
        pointers = {**entry.pointers, **_aliases(entry)}
        lanes = Lanes(source, loop.variable, pointers, self.types)
        outside = declared_types(source, entry.statements)
        inside = declared_types(source, loop.body)
        found: dict[int, Combination] = {}
        for node in loop.body:
            one = combination(source, node)
            if one is not None and one.name in outside and one.name not in inside:
                found[node.start_byte] = one
        lanes.discover(node for node in loop.body if node.start_byte not in found)
        names = {one.name for one in found.values()}
        self._check(loop, found, names)
        if not found and not any(lanes.moves(node) for node in loop.body):
            raise NotAnalysableError("nothing in the loop moves with it")
        text = "".join(source.of(node) for node in entry.statements)
        slots = {"part": fresh("part", text), "lane": fresh("lane", text), "base": fresh(f"{loop.variable}0", text)}
        vector = [
            lanes.combine(found[node.start_byte], f"{found[node.start_byte].name}_v[{slots['part']}]", outside[one])
            if node.start_byte in found and (one := found[node.start_byte].name)
            else lanes.statements([node])
            for node in loop.body
        ]
        parts = {one.name: self._parts(one, outside[one.name], slots) for one in found.values()}
        self.used |= lanes.used
        return self.skeleton.block(
            "loop",
            {
                **slots,
                "variable": loop.variable,
                "type": loop.type,
                "first": loop.first,
                "bound": source.of(loop.bound),
                "vector": "\n".join(vector),
                "scalar": entry.text(loop.body),
                "declare": "\n".join(self.skeleton.block("declare", part) for part in parts.values()),
                "combine": "\n".join(self.skeleton.block("combine", part) for part in parts.values()),
            },
        )

    def _check(self, loop: CountedLoop, found: Mapping[int, Combination], names: set[str]) -> None:
        """Nothing else in the loop may look at a partial result, and no variable may be combined in two ways."""
        families: dict[str, str] = {}
        for node in loop.body:
            one = found.get(node.start_byte)
            read = [node] if one is None else list(one.parts)
            if any(identifiers(self.entry.source, part) & names for part in read):
                raise NotAnalysableError("a partial result is used before the loop ends")
            if one is not None and families.setdefault(one.name, one.family) != one.family:
                raise NotAnalysableError(f"{one.name} is combined in two ways")

    def _parts(self, one: Combination, kind: str, slots: Mapping[str, str]) -> dict[str, str]:
        name = one.name
        if not self.types.known(kind):
            raise NotAnalysableError(f"a vector of {kind}")
        self.used.add(kind)
        part = slots["part"]
        return {
            **slots,
            "name": name,
            "kind": kind,
            "identity": one.identity(name),
            "merge": one.text(f"{name}_v[0]", f"{name}_v[{part}]"),
            "fold": one.text(name, f"{name}_l.one[{part}]"),
            "tree": one.text(f"{name}_s[{slots['lane']}]", f"{name}_s[{slots['lane']} + {part}]"),
        }


def _aliases(entry: Entry) -> dict[str, str]:
    """Element types of pointers into the parameters' buffers: ``__global const float *p = x + row * cols;``."""
    found: dict[str, str] = {}
    for node in entry.statements:
        if node.type != "declaration":
            continue
        words = {entry.source.of(child) for child in node.children if child.type == "type_qualifier"}
        for declarator in node.children_by_field_name("declarator"):
            inner = declarator.child_by_field_name("declarator")
            kind = node.child_by_field_name("type")
            if (
                inner is not None
                and kind is not None
                and inner.type == "pointer_declarator"
                and words & {"__global", "global"}
            ):
                target = inner.child_by_field_name("declarator")
                if target is not None:
                    found[entry.source.of(target)] = entry.source.of(kind)
    return found
