"""Row programs: per row a sequence of loops over it, each a reduction, a map, or both, and scalar code between them."""

from __future__ import annotations

__all__ = ["rows_slots"]

import re
from collections.abc import Mapping

from attrs import define, field
from tree_sitter import Node

from kernelevolve.proposers.recipes.entry import Entry
from kernelevolve.proposers.recipes.lanes import Lanes
from kernelevolve.proposers.recipes.loops import CountedLoop, check_independent, counted, declared_types, pointer_roots
from kernelevolve.proposers.recipes.reductions import Combination, combination
from kernelevolve.proposers.recipes.skeleton import Skeleton
from kernelevolve.proposers.recipes.tree import NotAnalysableError, assigned, fresh, identifiers
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
        "shared": "\n".join(program.shared),
        "lane": program.names["lane"],
    }, program.used


@define
class _Program:
    entry: Entry
    skeleton: Skeleton
    types: TypeNames
    used: set[str] = field(factory=set)
    #: Local memory that the loops need, each declaration once.
    shared: dict[str, None] = field(factory=dict)
    loops: int = 0

    @property
    def names(self) -> dict[str, str]:
        """The skeleton's own variables, named so that they hide nothing."""
        return {name: fresh(name, self.entry.source.text) for name in ("part", "lane")}

    @property
    def kinds(self) -> dict[str, str]:
        """Types of the row's scalars."""
        return declared_types(self.entry.source, self.entry.statements)

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
        if "store" not in self.skeleton.blocks or not re.search(r"\]\s*[-+*/]?=[^=]", text):
            return text
        if assigned(self.entry.source, node) & set(declared_types(self.entry.source, self.entry.statements)):
            raise NotAnalysableError("a statement stores and changes what later ones use")
        return self.skeleton.block("store", {"statement": text, "lane": self.names["lane"]})

    def _loop(self, loop: CountedLoop) -> str:
        entry, found = self.entry, self._combinations(loop)
        source, names = entry.source, {**self.names, "base": fresh(f"{loop.variable}0", entry.source.text)}
        lanes = Lanes(source, loop.variable, {**entry.pointers, **_aliases(entry)}, self.types)
        lanes.discover(node for node in loop.body if node.start_byte not in found)
        self._check(loop, found)
        check_independent(source, loop, found, pointer_roots(source, entry.statements, entry.pointers))
        if not any(lanes.moves(node) for node in loop.body):
            raise NotAnalysableError("nothing in the loop moves with it")
        parts = {one.name: self._parts(one, names) for one in found.values()}
        vector = []
        for node in loop.body:
            one = found.get(node.start_byte)
            if one is None:
                vector.append(lanes.statements([node]))
            else:
                target = self.skeleton.block("target", parts[one.name])
                vector.append(lanes.combine(one, target, self.kinds[one.name]))
        self.used |= lanes.used
        each = {
            name: [self.skeleton.block(name, part) for part in parts.values()]
            for name in ("declare", "fold", "combine", "shared")
            if name in self.skeleton.blocks
        }
        self.shared.update(dict.fromkeys(each.get("shared", ())))
        filled = {name: "\n".join(texts) for name, texts in each.items()}
        return self.skeleton.block(
            "loop",
            {
                **names,
                **filled,
                "variable": loop.variable,
                "type": loop.type,
                "first": loop.first,
                "bound": source.of(loop.bound),
                "vector": "\n".join(vector),
                "scalar": entry.text(loop.body),
            },
        )

    def _combinations(self, loop: CountedLoop) -> dict[int, Combination]:
        """What the statements of the loop combine into variables from outside of it, by where they start."""
        inside = declared_types(self.entry.source, loop.body)
        found: dict[int, Combination] = {}
        for node in loop.body:
            one = combination(self.entry.source, node)
            if one is not None and one.name in self.kinds and one.name not in inside:
                found[node.start_byte] = one
        return found

    def _check(self, loop: CountedLoop, found: Mapping[int, Combination]) -> None:
        """Nothing else in the loop may look at a partial result, and no variable may be combined in two ways."""
        families: dict[str, str] = {}
        names = {one.name for one in found.values()}
        for node in loop.body:
            one = found.get(node.start_byte)
            read = [node] if one is None else list(one.parts)
            if any(identifiers(self.entry.source, part) & names for part in read):
                raise NotAnalysableError("a partial result is used before the loop ends")
            if one is not None and families.setdefault(one.name, one.family) != one.family:
                raise NotAnalysableError(f"{one.name} is combined in two ways")

    def _parts(self, one: Combination, slots: Mapping[str, str]) -> dict[str, str]:
        name, kind = one.name, self.kinds[one.name]
        if not self.types.known(kind):
            raise NotAnalysableError(f"a vector of {kind}")
        self.used.add(self.types.real(kind))
        part = slots["part"]
        return {
            **slots,
            "name": name,
            "real": self.types.real(kind),
            "identity": one.identity(name),
            "merge": one.text(f"{name}_v[0]", f"{name}_v[{part}]"),
            "fold": one.text(name, f"{name}_l.one[{part}]"),
            "whole": f"{name}_s[0]" if one.function else one.text(f"{name}_0", f"{name}_s[0]"),
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
