"""From one work-group per row to one serial item per row.

In the group form every item strides over the row and the items combine their parts in local memory::

    for (int i = lane; i < cols; i += GROUP) peak = fmax(peak, x[start + i]);
    part[lane] = peak; barrier(...);
    for (int s = GROUP / 2; s > 0; s /= 2) { if (lane < s) part[lane] = fmax(...); barrier(...); }
    peak = part[0];

Serially that is the first loop alone, from 0 in steps of one: what local memory holds at its end is ``peak`` itself.
"""

from __future__ import annotations

__all__ = ["serialise"]

import re
from collections.abc import Iterator, Sequence

from attrs import define, field
from tree_sitter import Node

from kernelevolve.languages.opencl_c.source import Source
from kernelevolve.proposers.recipes import tree
from kernelevolve.proposers.recipes.reductions import combination
from kernelevolve.proposers.recipes.tree import NotAnalysableError, block, calls, canonical, strip

_BARRIERS = frozenset(("barrier", "work_group_barrier", "mem_fence"))
_COLLECTIVES = frozenset(f"work_group_reduce_{name}" for name in ("add", "max", "min"))


def serialise(source: Source, statements: Sequence[Node]) -> list[str]:
    """The statements of one serial item. Raises `NotAnalysableError` where the items share more than reductions."""
    texts = list(_Group(source).texts(statements))
    left = next((text for text in texts if re.search(r"\bget_local_(id|size)\b", text)), None)
    if left is not None:
        raise NotAnalysableError(f"the items of a group share more than a reduction: {left[:60]!r}")
    return texts


@define
class _Group:
    source: Source
    #: Variables that hold the item's number in its group, and the group's size.
    lanes: set[str] = field(factory=lambda: {"get_local_id(0)"})
    widths: set[str] = field(factory=lambda: {"get_local_size(0)"})
    #: Local arrays, with the variable each holds the parts of and how a tree combined them.
    arrays: dict[str, str | None] = field(factory=dict)
    #: How each variable was combined over the row.
    loops: dict[str, str] = field(factory=dict)

    def texts(self, statements: Sequence[Node]) -> Iterator[str]:
        for node in statements:
            text = self._statement(node)
            if text:
                if set(re.findall(r"\w+", text)) & self.lanes:
                    raise NotAnalysableError(f"an item's place in its group matters in {text[:60]!r}")
                yield text

    def _statement(self, node: Node) -> str | None:
        match node.type:
            case "declaration":
                return self._declaration(node)
            case "for_statement":
                return self._loop(node)
            case "expression_statement":
                return self._expression(node)
            case "if_statement":
                return self._if(node)
        return self._plain(node)

    def _declaration(self, node: Node) -> str | None:
        words = {self.source.of(child) for child in node.children if child.type == "type_qualifier"}
        declarators = node.children_by_field_name("declarator")
        if words & {"__local", "local"}:
            for declarator in declarators:
                self.arrays[self.source.of(tree.field(declarator, "declarator"))] = None
            return None
        if len(declarators) == 1 and declarators[0].type == "init_declarator":
            value = canonical(self.source.of(strip(tree.field(declarators[0], "value"))))
            value = re.sub(r"^\((int|uint|size_t|unsigned|long)\)", "", value)
            name = self.source.of(tree.field(declarators[0], "declarator"))
            for known in (self.lanes, self.widths):
                if value in known:
                    known.add(name)
                    return None
        return self._plain(node)

    def _loop(self, node: Node) -> str | None:
        body = tree.field(node, "body")
        if calls(self.source, body) & _BARRIERS:
            self._tree(body)
            return None
        start = node.child_by_field_name("initializer")
        update = node.child_by_field_name("update")
        value = None if start is None else self._initial(start)
        if value is None or canonical(self.source.of(value)) not in self.lanes:
            return self._plain(node)
        if update is None or not self._strides(update):
            raise NotAnalysableError("a loop over the row that does not step by the group")
        variable = self.source.of(tree.field(update, "left"))
        for one in block(body):
            found = combination(self.source, one)
            if found is not None:
                self.loops[found.name] = found.family
        places = {value.start_byte: "0", update.start_byte: f"{variable}++"}
        return self._plain(node, places)

    def _initial(self, start: Node) -> Node | None:
        declarators = start.children_by_field_name("declarator")
        if len(declarators) == 1:
            return declarators[0].child_by_field_name("value")
        return None

    def _strides(self, update: Node) -> bool:
        operator = update.child_by_field_name("operator")
        return update.type == "assignment_expression" and operator is not None and self.source.of(operator) == "+="

    def _tree(self, body: Node) -> None:
        """Check that a loop with barriers does no more than combine one array."""
        assignments = tree.nodes(self.source, body, "expression_statement")
        for node in assignments:
            if calls(self.source, node) & _BARRIERS:
                continue
            found = combination(self.source, node)
            array = None if found is None else found.name.partition("[")[0]
            if found is None or array not in self.arrays:
                raise NotAnalysableError(f"a loop with barriers does more than combine: {self.source.of(node)[:60]!r}")
            holder = self.arrays[array]
            if holder is None or self.loops.get(holder) != found.family:
                raise NotAnalysableError(f"local memory combines by {found.family} what the loop over the row did not")

    def _expression(self, node: Node) -> str | None:
        if calls(self.source, node) & _BARRIERS:
            return None
        inner = node.named_children[0] if node.named_children else node
        if inner.type == "assignment_expression" and self.source.of(tree.field(inner, "operator")) == "=":
            left, right = tree.field(inner, "left"), tree.field(inner, "right")
            array = self._element(left, self.lanes)
            if array is not None:
                if right.type != "identifier":
                    raise NotAnalysableError("local memory holds something other than a variable")
                self.arrays[array] = self.source.of(right)
                return None
            source = self._element(right, {"0"})
            if source is not None and self.arrays[source] == self.source.of(left):
                return None
        return self._plain(node)

    def _if(self, node: Node) -> str | None:
        condition = canonical(self.source.of(tree.field(node, "condition")))
        first = {f"({lane}==0)" for lane in self.lanes}
        if condition in first and node.child_by_field_name("alternative") is None:
            return "\n".join(self.texts(block(tree.field(node, "consequence")))) or None
        return self._plain(node)

    def _element(self, node: Node, indices: set[str]) -> str | None:
        """The local array of which `node` is the element at one of `indices`."""
        if node.type != "subscript_expression":
            return None
        array = self.source.of(tree.field(node, "argument"))
        return array if array in self.arrays and self._index(node) in indices else None

    def _index(self, node: Node) -> str:
        return canonical(self.source.of(tree.field(node, "index")))

    def _plain(self, node: Node, places: dict[int, str] | None = None) -> str:
        def replace(one: Node) -> str | None:
            if places and one.start_byte in places and one.type != "for_statement":
                return places[one.start_byte]
            if one.type == "call_expression" and self.source.of(tree.field(one, "function")) in _COLLECTIVES:
                return self.source.of(tree.field(one, "arguments"))
            array = self._element(one, {"0"})
            return None if array is None else self.arrays[array]

        text = tree.rewrite(self.source, node, replace)
        used = next((array for array in self.arrays if re.search(rf"\b{array}\b", text)), None)
        if used is not None:
            raise NotAnalysableError(f"local memory {used} is used for more than a reduction: {text[:60]!r}")
        return text
