"""The forms of an entry's whole-number expressions, addresses and comparisons."""

from __future__ import annotations

__all__ = ["Address", "Indices"]

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import libcst as cst
from attrs import frozen

from kernelevolve.expressions import Expression
from kernelevolve.proposers.rewriting.python_flow import Definition, Kind
from kernelevolve.proposers.rewriting.triton_rules.calls import argument, call_name, literal
from kernelevolve.proposers.rewriting.triton_rules.forms import ZERO, Form, name, number, operation
from kernelevolve.proposers.rewriting.triton_rules.header_forms import (
    OPERATIONS,
    binary_form,
    header_form,
    moved_dimensions,
)

if TYPE_CHECKING:
    from kernelevolve.proposers.rewriting.triton_rules.view import Loop, TritonView

#: Calls that give back their first argument, as far as numbers go.
_TRANSPARENT: Final = ("tl.multiple_of", "tl.max_contiguous", "tl.max_constancy", "tl.broadcast_to", "int", "tl.cast")
_MAX_DEPTH: Final = 60


@frozen
class Address:
    """Elements of a buffer: which buffer, and their indices into it."""

    root: str
    offset: Form


class Indices:
    """Forms of one entry's expressions; each is found once."""

    def __init__(self, view: TritonView) -> None:
        self.view = view
        self._order = {definition: number for number, definition in enumerate(view.flow.definitions)}
        self._definitions: dict[Definition, Form | None] = {}
        self._depth = 0

    def form(self, node: cst.BaseExpression) -> Form | None:
        """The form of a whole-number expression; None where `node` is none, or not understood."""
        if self._depth > _MAX_DEPTH:
            return None
        self._depth += 1
        try:
            return self._form(node)
        finally:
            self._depth -= 1

    def _form(self, node: cst.BaseExpression) -> Form | None:
        match node:
            case cst.Integer():
                value = literal(node)
                return None if value is None else number(value)
            case cst.Name():
                return self._name(node)
            case cst.BinaryOperation(left=left, operator=operator, right=right):
                return binary_form(operator, self.form(left), self.form(right))
            case cst.UnaryOperation(operator=cst.Minus(), expression=inner):
                found = self.form(inner)
                return None if found is None else -found
            case cst.UnaryOperation(operator=cst.Plus(), expression=inner) | cst.NamedExpr(value=inner):
                return self.form(inner)
            case cst.Subscript(value=inner):
                return self._subscript(node, self.form(inner))
            case cst.Call():
                return self._call(node)
        return None

    def _subscript(self, node: cst.Subscript, inner: Form | None) -> Form | None:
        move = moved_dimensions(node)
        if inner is None or move is None:
            return None
        try:
            return inner.moved(move)
        except IndexError:  # more dimensions than indices: no program that compiles
            return None

    def _call(self, node: cst.Call) -> Form | None:
        called = call_name(node)
        if called in ("tl.program_id", "tl.num_programs"):
            axis = literal(argument(node, 0, "axis"))
            kind = "pid" if called == "tl.program_id" else "programs"
            return None if axis is None else name(str(axis), kind, text=f"{called}({axis})")
        if called == "tl.arange":
            return self._arange(node)
        if called in OPERATIONS:
            parts = [self.form(one.value) for one in node.args if one.keyword is None]
            known = [part for part in parts if part is not None]
            whole = len(known) == len(node.args) and len(known) > 0
            return operation(OPERATIONS[called], *known) if whole else None
        first = argument(node, 0, "input")
        if called in _TRANSPARENT and first is not None and not (called == "tl.cast" and _is_real(node, 1)):
            return self.form(first)
        if isinstance(node.func, cst.Attribute) and node.func.attr.value == "to" and not _is_real(node, 0):
            return self.form(node.func.value)
        return None

    def _arange(self, node: cst.Call) -> Form | None:
        start, end = argument(node, 0, "start"), argument(node, 1, "end")
        if start is None or end is None:
            return None
        first, last = self.form(start), self.form(end)
        if first is None or last is None:
            return None
        size = last - first
        return first + name("", "arange", args=(size,), dimension=-1, text=self.view.text(node))

    def _name(self, node: cst.Name) -> Form | None:
        definition = self.view.flow.of(node)
        if definition is None:
            constant = self.view.constants.get(node.value)
            return None if constant is None else self.form(constant)
        if definition.kind in (Kind.INDEX, Kind.CARRIED) and definition.node not in self.view.around(node):
            return self._opaque(definition, "after ")
        if definition not in self._definitions:
            self._definitions[definition] = None  # a loop that runs into itself finds nothing
            self._definitions[definition] = self._definition(definition)
        return self._definitions[definition]

    def _definition(self, definition: Definition) -> Form | None:
        match definition.kind:
            case Kind.PARAMETER:
                return self.parameter(definition)
            case Kind.INDEX:
                return name(f"{definition.name}#{self._order[definition]}", "index", text=definition.name)
            case Kind.VALUE:
                assert definition.value is not None
                found = self.form(definition.value)
                return found if found is not None else self._opaque(definition)
            case Kind.AUGMENTED:
                found = self._augmented(definition)
                return found if found is not None else self._opaque(definition)
            case Kind.CARRIED:
                found = self._counted(definition, self._before)
                return found if found is not None else self._opaque(definition)
        return self._opaque(definition)

    def parameter(self, definition: Definition) -> Form | None:
        """The form of what a parameter gets; None for buffers and scalars."""
        view, bound = self.view, self.view.binding(definition.name)
        if isinstance(bound, Expression):
            return header_form(bound)
        if bound is None:
            return self._opaque(definition)
        if bound in view.buffers or bound in {scalar.name for scalar in view.problem.scalars}:
            return None
        return name(bound, text=bound)

    def named(self, statement: cst.CSTNode) -> dict[Form, str]:
        """Numbers that variables hold before a statement, by their forms: the shortest names for what is computed."""
        found: dict[Form, str] = {}
        for label, definition in self.view.flow.before.get(statement, {}).items():
            form = self._before(definition) if definition.kind in (Kind.VALUE, Kind.AUGMENTED) else None
            if form is not None and not form.is_tensor and form.constant is None:
                found.setdefault(form, label)
        return found

    def _before(self, definition: Definition | None) -> Form | None:
        """The form of what a definition holds, for the loop or the statement right after it."""
        if definition is None:
            return None
        if definition not in self._definitions:
            self._definitions[definition] = None
            self._definitions[definition] = self._definition(definition)
        return self._definitions[definition]

    def _augmented(self, definition: Definition) -> Form | None:
        assert isinstance(definition.node, cst.AugAssign)
        assert definition.value is not None
        before, by = self._before(definition.previous), self.form(definition.value)
        match definition.node.operator:
            case cst.AddAssign():
                return binary_form(cst.Add(), before, by)
            case cst.SubtractAssign():
                return binary_form(cst.Subtract(), before, by)
            case cst.MultiplyAssign():
                return binary_form(cst.Multiply(), before, by)
        return None

    def _opaque(self, definition: Definition, where: str = "") -> Form | None:
        """An atom for a value that is not taken apart; None where it is no whole number, or its shape is not known."""
        value = self.view.types.definition(definition)
        if value is None or not value.is_whole:
            return None
        wide = [place - len(value.shape) for place, size in enumerate(value.shape) if size.constant != 1]
        if len(wide) > 1:
            return None
        label = f"{where}{definition.name}#{self._order[definition]}"
        return name(label, "value", dimension=wide[0] if wide else None, text=definition.name)

    def _counted(self, definition: Definition, entry: Callable[[Definition | None], Form | None]) -> Form | None:
        """A variable that moves by the same amount each turn of a counted loop, as it is inside the loop."""
        step = self.increment(definition)
        start = entry(definition.entry)
        loop = self.view.loop(definition.node)
        turns = None if loop is None else self._turns(loop, step)
        return None if start is None or turns is None else start + turns

    def increment(self, definition: Definition) -> Form | None:
        """By how much each turn of a loop moves a carried variable; None where it is not the same each turn."""
        last = definition.sources[-1] if len(definition.sources) == 2 else None
        if last is None or last.kind not in (Kind.AUGMENTED, Kind.VALUE) or last.loops[-1:] != (definition.node,):
            return None
        line, loop = self.view.parents[last.node], definition.node
        if not isinstance(loop, cst.For | cst.While) or self.view.parents[line] is not loop.body:
            return None
        step = self._step(last, definition)
        if step is None:
            return None
        inside = {self._order[one] for one in self.view.flow.definitions if definition.node in one.loops}
        numbers = {int(leaf.label.rpartition("#")[2]) for leaf in step.leaves if leaf.kind in ("value", "index")}
        own = self._order.get(_index(self.view, definition) or definition, -1)
        return None if numbers & (inside | {own, self._order[definition]}) else step

    def _step(self, last: Definition, definition: Definition) -> Form | None:
        match last.node, last.value:
            case cst.AugAssign(operator=cst.AddAssign()), cst.BaseExpression() as value:
                return self.form(value) if last.previous is definition else None
            case cst.Assign(), cst.BinaryOperation(left=left, operator=cst.Add(), right=right):
                if self.view.flow.of(left) is definition:
                    return self.form(right)
                return self.form(left) if self.view.flow.of(right) is definition else None
        return None

    def _turns(self, loop: Loop, step: Form | None) -> Form | None:
        """How far `step` has been taken: ``step * (i - start) / width``."""
        counter = next(one for one in self.view.flow.made[loop.node] if one.kind is Kind.INDEX)
        index = self._before(counter)
        start = ZERO if loop.start is None else self.form(loop.start)
        width = number(1) if loop.step is None else self.form(loop.step)
        if step is None or start is None or width is None or index is None:
            return None
        scale = step.divided(width)
        if scale is not None:
            return scale * (index - start)
        return None

    def address(self, node: cst.BaseExpression) -> Address | None:
        """Which elements a pointer points at."""
        match node:
            case cst.Name():
                return self._pointer(self.view.flow.of(node), node)
            case cst.BinaryOperation(left=left, operator=cst.Add(), right=right):
                return _offset(self.address(left), self.form(right)) or _offset(self.address(right), self.form(left))
            case cst.BinaryOperation(left=left, operator=cst.Subtract(), right=right):
                by = self.form(right)
                return None if by is None else _offset(self.address(left), -by)
            case cst.Subscript(value=inner):
                base = self.address(inner)
                offset = None if base is None else self._subscript(node, base.offset)
                return None if base is None or offset is None else Address(base.root, offset)
            case cst.Call() if call_name(node) in _TRANSPARENT[:4] and node.args:
                return self.address(node.args[0].value)
        return None

    def _pointer(self, definition: Definition | None, node: cst.Name | None) -> Address | None:
        if definition is None:
            return None
        match definition.kind:
            case Kind.PARAMETER:
                is_buffer = (
                    definition.name in self.view.buffers and self.view.binding(definition.name) == definition.name
                )
                return Address(definition.name, ZERO) if is_buffer else None
            case Kind.VALUE:
                assert definition.value is not None
                return self.address(definition.value)
            case Kind.AUGMENTED if isinstance(definition.node, cst.AugAssign):
                assert definition.value is not None
                by = self.form(definition.value)
                known = by is not None and isinstance(definition.node.operator, cst.AddAssign)
                return _offset(self._pointer(definition.previous, None), by) if known else None
            case Kind.CARRIED if node is None or definition.node in self.view.around(node):
                base = self._pointer(definition.entry, None)
                turns = self._counted(definition, lambda _: ZERO)
                return None if base is None else _offset(base, turns)
        return None

    def positive(self, node: cst.BaseExpression) -> Form | None:
        """For a comparison of whole numbers: what is above zero where it holds."""
        match node:
            case cst.Comparison(left=left, comparisons=[cst.ComparisonTarget(operator=operator, comparator=right)]):
                one, other = self.form(left), self.form(right)
                if one is None or other is None:
                    return None
                match operator:
                    case cst.LessThan():
                        return other - one
                    case cst.LessThanEqual():
                        return other - one + number(1)
                    case cst.GreaterThan():
                        return one - other
                    case cst.GreaterThanEqual():
                        return one - other + number(1)
        return None

    def conditions(self, node: cst.BaseExpression) -> Iterator[Form | None]:
        """The comparisons that a mask is made of, all of which must hold; None for one that is not understood."""
        match node:
            case cst.BinaryOperation(left=left, operator=cst.BitAnd(), right=right):
                yield from self.conditions(left)
                yield from self.conditions(right)
            case cst.BooleanOperation(left=left, operator=cst.And(), right=right):
                yield from self.conditions(left)
                yield from self.conditions(right)
            case cst.Subscript(value=inner):
                move = moved_dimensions(node)
                for one in self.conditions(inner):
                    yield None if one is None or move is None else one.moved(move)
            case cst.Name():
                definition = self.view.flow.of(node)
                if definition is not None and definition.kind is Kind.VALUE and definition.value is not None:
                    yield from self.conditions(definition.value)
                else:
                    yield None
            case _:
                yield self.positive(node)


def _index(view: TritonView, definition: Definition) -> Definition | None:
    """The counter of the loop that carries a variable."""
    return next((one for one in view.flow.made[definition.node] if one.kind is Kind.INDEX), None)


def _offset(base: Address | None, by: Form | None) -> Address | None:
    return None if base is None or by is None else Address(base.root, base.offset + by)


def _is_real(node: cst.Call, position: int) -> bool:
    """Whether a cast is to anything but a whole number."""
    kind = argument(node, position, "dtype")
    return not (isinstance(kind, cst.Attribute) and kind.attr.value in ("int32", "int64"))
