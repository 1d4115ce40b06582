"""A number becomes a column: code for one row, or one turn of a loop, becomes code for several at once.

What depends on the number gains a dimension in front; vectors become rows of a matrix. Only code whose every shape is
known and that does nothing but arithmetic on numbers and vectors, reductions, loads and stores is lifted.
"""

from __future__ import annotations

__all__ = ["Lifting"]

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from typing import Final

import libcst as cst
from attrs import define, field

from kernelevolve.proposers.rewriting.python_edits import Edit, Statement, children, names_in, walk
from kernelevolve.proposers.rewriting.python_flow import Definition, Kind
from kernelevolve.proposers.rewriting.triton_rules.accesses import Access
from kernelevolve.proposers.rewriting.triton_rules.calls import (
    ELEMENTWISE,
    REDUCTIONS,
    argument,
    call_name,
    keyword,
)
from kernelevolve.proposers.rewriting.triton_rules.view import TritonView, is_static

#: Functions that mean the same for a matrix as for a vector.
_ALIKE: Final = ELEMENTWISE | {
    "load",
    "store",
    "cast",
    "program_id",
    "num_programs",
    "zeros_like",
    "range",
    "static_range",
}
_HINTS: Final = frozenset({"multiple_of", "max_contiguous", "max_constancy"})
_SCANS: Final = frozenset({"cumsum", "cumprod"})


@define(eq=False, slots=False)
class Lifting:
    """The lifting of `statements` along what `seeds` say."""

    view: TritonView
    statements: Sequence[Statement]
    #: Calls and definitions that become columns.
    seeds: frozenset[cst.Call | Definition]
    #: How many at once: the name of a constant.
    size: str
    #: A column that is true for those that exist.
    inside: str
    #: Statements that go away, and need no lifting.
    dropped: frozenset[cst.CSTNode] = field(factory=frozenset)

    @cached_property
    def dependent(self) -> frozenset[Definition]:
        """Variables that depend on what becomes a column."""
        return self._closed(self._is_seed)

    @cached_property
    def shaped(self) -> frozenset[Definition]:
        """Variables that depend on it or on a reduction: if they were numbers, they become matrices of few elements."""
        return self._closed(self._has_shape)

    def _is_seed(self, node: cst.Call) -> bool:
        return node in self.seeds

    def _has_shape(self, node: cst.Call) -> bool:
        module, _, name = call_name(node).rpartition(".")
        return node in self.seeds or (module == "tl" and name in REDUCTIONS)

    def _closed(self, starts: Callable[[cst.Call], bool]) -> frozenset[Definition]:
        found = {one for one in self.seeds if isinstance(one, Definition)}
        while True:
            more = {one for one in self.view.flow.definitions if one not in found and self._flows(one, found, starts)}
            if not more:
                return frozenset(found)
            found |= more

    def _flows(self, one: Definition, found: set[Definition], starts: Callable[[cst.Call], bool]) -> bool:
        before = [*one.sources, one.previous]
        if any(source in found for source in before if source is not None):
            return True
        return one.value is not None and self._names(one.value, found, starts)

    def _names(self, node: cst.CSTNode, found: Collection[Definition], starts: Callable[[cst.Call], bool]) -> bool:
        if any(starts(inner) for inner in walk(node) if isinstance(inner, cst.Call)):
            return True
        seen = (self.view.flow.reaching.get(name) for name in names_in(node))
        return any(one in found for one in seen if one is not None)

    def depends(self, node: cst.CSTNode) -> bool:
        """Whether a value depends on what becomes a column."""
        return self._names(node, self.dependent, self._is_seed)

    def is_number(self, node: cst.CSTNode) -> bool:
        """Whether a value that was a number stays one."""
        return not self._names(node, self.shaped, self._has_shape)

    def _nodes(self) -> Iterable[cst.CSTNode]:
        stack = list(reversed(self.statements))
        pending: list[cst.CSTNode] = list(stack)
        while pending:
            node = pending.pop()
            if node in self.dropped:
                continue
            yield node
            pending.extend(reversed(children(node)))

    def is_possible(self) -> bool:
        """Whether every statement keeps its meaning."""
        return all(self._node_is_fine(node) for node in self._nodes()) and all(
            self._is_known(one) for one in self.view.flow.definitions if self._is_here(one)
        )

    def _is_here(self, one: Definition) -> bool:
        return one.kind is not Kind.PARAMETER and any(one.node is node for node in self._all)

    @cached_property
    def _all(self) -> frozenset[cst.CSTNode]:
        return frozenset(self._nodes())

    def _is_known(self, one: Definition) -> bool:
        if one.kind in (Kind.CARRIED, Kind.MERGED):
            free = not one.is_read or one not in self.shaped
            fixed = one.kind is Kind.CARRIED or is_static(self.view, one.node)
            return free or (fixed and (one.kind is Kind.MERGED or self._start(one) is not None))
        if one.kind is Kind.ELEMENT:
            return False
        value = self.view.types.definition(one)
        return value is not None and len(value.shape) <= 1

    def _start(self, one: Definition) -> Definition | None:
        """What a carried variable starts from, where its shape can be made to fit."""
        entry = one.entry
        while entry is not None and entry.kind is Kind.CARRIED:
            entry = entry.entry
        if entry is None:
            return None
        if entry in self.dependent:
            return entry
        value = self.view.types.definition(entry)
        if value is None or len(value.types) != 1 or value.root is not None:
            return None
        sized = all(self.view.size_text(size) is not None for size in value.shape)
        return entry if sized and entry.kind is Kind.VALUE and isinstance(entry.node, cst.Assign) else None

    def _node_is_fine(self, node: cst.CSTNode) -> bool:
        match node:
            case cst.If(test=test) | cst.While(test=test) | cst.IfExp(test=test):
                return self.is_number(test)
            case cst.For(iter=iterated):
                return self.is_number(iterated)
            case cst.Subscript() | cst.Return() | cst.Break() | cst.Continue() | cst.NamedExpr():
                return False
            case cst.BooleanOperation() | cst.UnaryOperation(operator=cst.Not()):
                return self.is_number(node)
            case cst.Call():
                return self._call_is_fine(node)
        return True

    def _call_is_fine(self, node: cst.Call) -> bool:
        module, _, name = call_name(node).rpartition(".")
        if module == "libdevice" or (not module and name in ("float", "int", "range")):
            return True
        if not module and name in ("min", "max", "abs"):
            return self.is_number(node)
        if isinstance(node.func, cst.Attribute) and node.func.attr.value == "to":
            return True
        if module != "tl":
            return False
        if name in ("load", "store"):
            return self._access_is_fine(self.view.memory.access(node))
        if name in REDUCTIONS or name in _SCANS:
            value = None if not node.args else self.view.types.of(node.args[0].value)
            return value is not None and len(value.shape) == 1 and not keyword(node, "return_indices")
        if name in ("zeros", "full"):
            shape = self.view.types.sizes(argument(node, 0, "shape"))
            return shape is not None and len(shape) == 1
        return name in _ALIKE or name in _HINTS or name == "arange"

    def _access_is_fine(self, access: Access) -> bool:
        pointer = self.depends(access.pointer)
        mask = access.mask is not None and self.depends(access.mask)
        if access.value is not None:
            return pointer  # else all programs, or turns, write one place: the last one wins
        return pointer or not mask

    def edits(self) -> list[Edit]:
        """The changes inside the statements; seeds are for the caller to replace."""
        made = [edit for node in self._nodes() if isinstance(node, cst.Call) for edit in self._call(node)]
        return [*made, *self._starts()]

    def _call(self, node: cst.Call) -> list[Edit]:
        module, _, name = call_name(node).rpartition(".")
        if module != "tl":
            return []
        if name == "arange":
            return [Edit(node, wrap="{}[None, :]")]
        if name in REDUCTIONS or name in _SCANS:
            return self._along(node, keep=name in REDUCTIONS)
        if name in ("zeros", "full"):
            shape = argument(node, 0, "shape")
            assert shape is not None
            return [Edit(shape, text=f"({self.size}, {self._width(shape)})")]
        if name in _HINTS and len(node.args) == 2:
            return [Edit(node.args[1].value, wrap="[1, {}]")]
        return self._masked(self.view.memory.access(node)) if name in ("load", "store") else []

    def _width(self, shape: cst.BaseExpression) -> str:
        match shape:
            case cst.Tuple(elements=[one]) | cst.List(elements=[one]):
                return self.view.text(one.value)
        return self.view.text(shape)

    def _along(self, node: cst.Call, *, keep: bool) -> list[Edit]:
        """The same along the last dimension."""
        given = argument(node, 1, "axis")
        added = {} if given is not None else {"axis": "1"}
        if keep and keyword(node, "keep_dims") is None:
            added["keep_dims"] = "True"
        edits = [] if given is None else [Edit(given, text="1")]
        return [*edits, Edit(node, arguments=added)] if added else edits

    def _masked(self, access: Access) -> list[Edit]:
        if not self.depends(access.pointer):
            return []
        if access.mask is not None:
            return [Edit(access.mask, wrap=f"{{}} & {self.inside}")]
        is_load = access.value is None
        return [Edit(access.call, arguments={"mask": self.inside, **({"other": "0"} if is_load else {})})]

    def _starts(self) -> list[Edit]:
        """What loops start from gets the shape that a turn leaves."""
        made: dict[cst.CSTNode, Edit] = {}
        for one in self.view.flow.definitions:
            if one.kind is not Kind.CARRIED or one not in self.shaped or not one.is_read or one.node not in self._all:
                continue
            start = self._start(one)
            if start is None or start in self.dependent or start.value is None or self._is_filled(start.value):
                continue
            value = self.view.types.definition(start)
            assert value is not None
            width = "1" if not value.shape else self.view.size_text(value.shape[0])
            kind = f"tl.{next(iter(value.types))}"
            shape = f"({self.size}, {width})"
            literal_value = not list(names_in(start.value)) or call_name(start.value) == "float"
            filled = f"tl.full({shape}, {{}}, {kind})" if literal_value else f"tl.zeros({shape}, {kind}) + {{}}"
            made[start.value] = Edit(start.value, wrap=filled)
        return list(made.values())

    def _is_filled(self, node: cst.BaseExpression) -> bool:
        return call_name(node) in ("tl.zeros", "tl.full")
