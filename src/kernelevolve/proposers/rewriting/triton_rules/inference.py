"""The shape and element type of every expression of an entry, as far as they follow from the source and the header."""

from __future__ import annotations

__all__ = ["Inference"]

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import libcst as cst

from kernelevolve.expressions import Expression
from kernelevolve.proposers.rewriting.python_flow import Definition, Kind
from kernelevolve.proposers.rewriting.triton_rules.calls import (
    ELEMENTWISE,
    REDUCTIONS,
    argument,
    call_name,
    keyword,
    literal,
)
from kernelevolve.proposers.rewriting.triton_rules.forms import ONE, Form
from kernelevolve.proposers.rewriting.triton_rules.types import (
    NAMES,
    WEAK,
    Shape,
    Value,
    broadcast,
    promoted,
)

if TYPE_CHECKING:
    from kernelevolve.proposers.rewriting.triton_rules.view import TritonView

_UNKNOWN: Final = frozenset[str]()
_INT: Final = frozenset({"int32"})
_BOOL: Final = frozenset({"int1"})
_REAL: Final = frozenset({"real"})
_NUMBER: Final = frozenset({"number"})
_MAX_DEPTH: Final = 60


class Inference:
    """Values of one entry's expressions; each definition is looked at once."""

    def __init__(self, view: TritonView) -> None:
        self.view = view
        self._definitions: dict[Definition, Value | None] = {}
        self._depth = 0

    def of(self, node: cst.BaseExpression) -> Value | None:
        """What is known of an expression; None where not even its shape is."""
        if self._depth > _MAX_DEPTH:
            return None
        self._depth += 1
        try:
            return self._of(node)
        finally:
            self._depth -= 1

    def definition(self, definition: Definition | None) -> Value | None:
        """What is known of a variable."""
        if definition is None:
            return None
        if definition not in self._definitions:
            self._definitions[definition] = None
            self._definitions[definition] = self._define(definition)
        return self._definitions[definition]

    def _define(self, definition: Definition) -> Value | None:
        match definition.kind:
            case Kind.PARAMETER:
                return self._parameter(definition.name)
            case Kind.VALUE:
                assert definition.value is not None
                return _materialised(self.of(definition.value))
            case Kind.AUGMENTED:
                assert isinstance(definition.node, cst.AugAssign)
                assert definition.value is not None
                division = isinstance(definition.node.operator, cst.DivideAssign)
                before = self.definition(definition.previous)
                return _materialised(_joined([before, self.of(definition.value)], division=division))
            case Kind.INDEX:
                return Value((), _INT)
            case Kind.CARRIED:  # Triton wants one type for all turns
                return _materialised(self.definition(definition.entry))
            case Kind.MERGED:
                return self._same([self.definition(one) for one in definition.sources])
        return None

    def _parameter(self, name: str) -> Value | None:
        bound = self.view.binding(name)
        if name in self.view.buffers and bound == name:
            return Value((), _UNKNOWN, root=name)
        for scalar in self.view.problem.scalars:
            if scalar.name == bound:
                return Value((), _INT if isinstance(scalar.value, int) else frozenset({"float32"}))
        if name in self.view.constexprs:
            return Value((), _NUMBER)
        if bound is None or isinstance(bound, Expression) or bound in self.view.problem.axes:
            return Value((), frozenset({"int32", "int64"}))
        return None

    def _same(self, values: Sequence[Value | None]) -> Value | None:
        """What several ways agree on."""
        known = [value for value in values if value is not None]
        if len(known) != len(values) or not known or len({(value.shape, value.root) for value in known}) != 1:
            return None
        types = frozenset[str]().union(*(value.types for value in known)) if all(v.types for v in known) else _UNKNOWN
        return Value(known[0].shape, types, known[0].root)

    def _name(self, node: cst.Name) -> Value | None:
        if node.value in ("True", "False"):
            return Value((), _BOOL)
        definition = self.view.flow.of(node)
        if definition is not None:
            return self.definition(definition)
        constant = self.view.constants.get(node.value)
        return None if constant is None else self.of(constant)

    def _of(self, node: cst.BaseExpression) -> Value | None:
        match node:
            case cst.Name():
                return self._name(node)
            case cst.Integer() | cst.Float():
                return Value((), _NUMBER if isinstance(node, cst.Integer) else _REAL)
            case cst.UnaryOperation(expression=inner) | cst.NamedExpr(value=inner):
                return self.of(inner)
            case cst.BinaryOperation(left=left, operator=operator, right=right):
                return self._binary(operator, left, right)
            case cst.Comparison(left=left, comparisons=others):
                return self._truth(left, *(one.comparator for one in others))
            case cst.BooleanOperation(left=left, right=right):
                return self._truth(left, right)
            case cst.IfExp(body=body, orelse=orelse):
                return self._same([self.of(body), self.of(orelse)])
            case cst.Subscript(value=inner):
                return self._subscript(node, self.of(inner))
            case cst.Call():
                return self._call(node)
        return None

    def _truth(self, *nodes: cst.BaseExpression) -> Value | None:
        values = [self.of(node) for node in nodes]
        known = [value.shape for value in values if value is not None]
        shape = broadcast(*known) if len(known) == len(values) else None
        return None if shape is None else Value(shape, _BOOL)

    def _binary(self, operator: cst.BaseBinaryOp, left: cst.BaseExpression, right: cst.BaseExpression) -> Value | None:
        return _joined([self.of(left), self.of(right)], division=isinstance(operator, cst.Divide))

    def _subscript(self, node: cst.Subscript, inner: Value | None) -> Value | None:
        if inner is None:
            return None
        sizes = list(inner.shape)
        made: list[Form] = []
        for element in node.slice:
            match element.slice:
                case cst.Slice(lower=None, upper=None, step=None) if sizes:
                    made.append(sizes.pop(0))
                case cst.Index(value=cst.Name(value="None")):
                    made.append(ONE)
                case _:
                    return None
        return None if sizes else Value(tuple(made), inner.types, inner.root)

    def _call(self, node: cst.Call) -> Value | None:
        called = call_name(node)
        module, _, name = called.rpartition(".")
        if module == "tl" or (not module and name in ("min", "max", "abs")):
            return self._language(node, name)
        if module == "libdevice":
            return self._elementwise(node, "where")
        if called in ("float", "int"):
            return Value((), _REAL if called == "float" else _NUMBER)
        if isinstance(node.func, cst.Attribute):
            return self._method(node, node.func)
        return None

    def _method(self, node: cst.Call, function: cst.Attribute) -> Value | None:
        inner = self.of(function.value)
        if inner is None or function.attr.value != "to":
            return None
        kind = argument(node, 0, "dtype")
        return None if kind is None else Value(inner.shape, self.type_named(kind))

    def type_named(self, node: cst.BaseExpression | None) -> frozenset[str]:
        """The types that ``tl.float32`` or ``x.dtype`` may mean."""
        match node:
            case cst.Attribute(value=cst.Name(value="tl"), attr=cst.Name(value=name)):
                return frozenset({name})
            case cst.Attribute(value=inner, attr=cst.Name(value="dtype")):
                value = self.of(inner)
                return _UNKNOWN if value is None else value.types
            case cst.Attribute(
                value=cst.Attribute(value=inner, attr=cst.Name(value="dtype")), attr=cst.Name(value="element_ty")
            ):
                value = self.of(inner)
                return _UNKNOWN if value is None or value.root is None else self._elements(value.root)
        return _UNKNOWN

    def _elements(self, root: str) -> frozenset[str]:
        return frozenset(NAMES.get(one, one) for one in self.view.buffers[root])

    def _language(self, node: cst.Call, name: str) -> Value | None:
        first = argument(node, 0, "input")
        value = None if first is None else self.of(first)
        match name:
            case "program_id" | "num_programs":
                return Value((), _INT)
            case "arange" | "zeros" | "full" | "load" | "dot":
                return {
                    "arange": self._arange,
                    "zeros": self._filled,
                    "full": self._filled,
                    "load": self._load,
                    "dot": self._dot,
                }[name](node)
            case _ if name in REDUCTIONS and (call_name(node).startswith("tl.") or name == "sum"):
                return None if value is None else self._reduction(node, name, value)
            case _ if name in ELEMENTWISE or name in ("min", "max", "abs"):
                return self._elementwise(node, name)
        return None if value is None else self._reshaped(node, name, value)

    def _reshaped(self, node: cst.Call, name: str, value: Value) -> Value | None:
        """Functions that give their first argument in another shape or type."""
        match name:
            case "zeros_like" | "multiple_of" | "max_contiguous" | "max_constancy" | "cumsum" | "cumprod" | "sort":
                return value
            case "cast":
                return Value(value.shape, self.type_named(argument(node, 1, "dtype")))
            case "broadcast_to" if len(node.args) == 2:
                shape = self.sizes(argument(node, 1, "shape"))
                return None if shape is None else Value(shape, value.types, value.root)
            case "trans" if len(node.args) == 1 and len(value.shape) == 2:
                return Value(value.shape[::-1], value.types)
        return None

    def _arange(self, node: cst.Call) -> Value | None:
        form = self.view.indices.form(node)
        sizes = [] if form is None else [leaf.args[0] for leaf in form.leaves if leaf.kind == "arange"]
        return Value((sizes[0],), _INT) if sizes else None

    def _filled(self, node: cst.Call) -> Value | None:
        shape = self.sizes(argument(node, 0, "shape"))
        kind = argument(node, 1 if call_name(node) == "tl.zeros" else 2, "dtype")
        return None if shape is None else Value(shape, self.type_named(kind))

    def sizes(self, node: cst.BaseExpression | None) -> Shape | None:
        """A shape that is written out: ``(BLOCK_M, BLOCK_N)``."""
        match node:
            case cst.Tuple(elements=elements) | cst.List(elements=elements):
                forms = [self.view.indices.form(element.value) for element in elements]
                known = tuple(form for form in forms if form is not None)
                return known if len(known) == len(forms) else None
            case cst.BaseExpression():
                form = self.view.indices.form(node)
                return None if form is None else (form,)
        return None

    def _load(self, node: cst.Call) -> Value | None:
        pointer = argument(node, 0, "pointer")
        value = None if pointer is None else self.of(pointer)
        if value is None or value.root is None:
            return None
        return Value(value.shape, self._elements(value.root))

    def _dot(self, node: cst.Call) -> Value | None:
        left, right = argument(node, 0, "input"), argument(node, 1, "other")
        one, other = (None if part is None else self.of(part) for part in (left, right))
        if one is None or other is None or len(one.shape) != 2 or len(other.shape) != 2:
            return None
        shape = (one.shape[0], other.shape[1])
        accumulator = argument(node, 2, "acc")
        before = None if accumulator is None else self.of(accumulator)
        if keyword(node, "out_dtype") is not None or (accumulator is not None and before is None):
            return Value(shape, _UNKNOWN)
        if before is not None:
            return Value(shape, before.types)
        return Value(shape, frozenset({"float32"}) if one.is_float and other.is_float else _UNKNOWN)

    def _reduction(self, node: cst.Call, name: str, value: Value) -> Value | None:
        if keyword(node, "return_indices") is not None:
            return None
        shape = self.reduced(node, value.shape)
        if shape is None:
            return None
        if name.startswith("arg"):
            return Value(shape, _INT)
        small = {"float16", "bfloat16", "int1", "int8", "int16", "uint8"}
        wider = {"int32" if "int" in one else "float32" for one in value.types & small}
        return Value(shape, value.types - {"int1"} | wider if value.types else _UNKNOWN)

    def reduced(self, node: cst.Call, shape: Shape) -> Shape | None:
        """The shape of a reduction of a tensor of `shape`; None where its dimension is no literal."""
        given = argument(node, 1, "axis")
        keep = keyword(node, "keep_dims")
        if given is None:
            return () if keep is None else None
        axis = literal(given)
        if axis is None or not -len(shape) <= axis < len(shape):
            return None
        rest = list(shape)
        rest[axis] = ONE
        if isinstance(keep, cst.Name) and keep.value == "True":
            return tuple(rest)
        del rest[axis]
        return tuple(rest) if keep is None or (isinstance(keep, cst.Name) and keep.value == "False") else None

    def _elementwise(self, node: cst.Call, name: str) -> Value | None:
        values = [self.of(one.value) for one in node.args if one.keyword is None]
        if not values or any(value is None for value in values):
            return None
        known = [value for value in values if value is not None]
        shape = broadcast(*(value.shape for value in known))
        if shape is None:
            return None
        typed = known[1:] if name == "where" and len(known) == 3 else known
        joined = _joined(typed, division=name in ("fdiv", "div_rn"))
        return None if joined is None else Value(shape, joined.types, joined.root)


def _materialised(value: Value | None) -> Value | None:
    """A Python number becomes a tensor where a variable holds it."""
    if value is None or not value.types & WEAK:
        return value
    typed = {"number": "int32", "real": "float32"}
    return Value(value.shape, frozenset(typed.get(one, one) for one in value.types))


def _joined(values: Sequence[Value | None], *, division: bool = False) -> Value | None:
    known = [value for value in values if value is not None]
    if len(known) != len(values) or not known:
        return None
    shape = broadcast(*(value.shape for value in known))
    if shape is None:
        return None
    roots = {value.root for value in known} - {None}
    if roots:
        return Value(shape, _UNKNOWN, roots.pop()) if len(roots) == 1 else None
    types = known[0].types
    for value in known[1:]:
        types = promoted(types, value.types, division=division) if types and value.types else _UNKNOWN
    return Value(shape, types)
