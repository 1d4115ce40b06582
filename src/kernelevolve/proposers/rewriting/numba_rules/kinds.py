"""Types and signs of expressions, as far as they can be told from the source: what is not sure is None or False."""

from __future__ import annotations

__all__ = ["is_at_least_zero", "kind_of"]

from typing import Final

import libcst as cst

from kernelevolve.proposers.rewriting.numba_rules.effects import call_name
from kernelevolve.proposers.rewriting.numba_rules.view import NumbaView
from kernelevolve.proposers.rewriting.python_flow import Definition, Kind

_WHOLE: Final = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_FLOATS: Final = ("float32", "float64")
#: Functions of one kind that give the same kind.
_SAME: Final = frozenset({"abs", "max", "min"})
_OF_FLOATS: Final = frozenset(
    f"math.{name}" for name in ("erf", "exp", "exp2", "log", "log2", "sqrt", "tanh", "sin", "cos", "fabs", "pow")
)
_PLACES: Final = tuple(
    f"cuda.{name}.{axis}" for name in ("threadIdx", "blockIdx", "blockDim", "gridDim") for axis in "xyz"
)
_KEEPS_SIGN: Final = (cst.Add, cst.Multiply, cst.FloorDivide, cst.Modulo, cst.RightShift, cst.BitAnd)
_ADDS: Final = (cst.AddAssign, cst.MultiplyAssign, cst.FloorDivideAssign, cst.RightShiftAssign, cst.ModuloAssign)

#: The kind of a value that is being looked at: whatever the others say.
_OPEN: Final = "open"


def kind_of(view: NumbaView, node: cst.BaseExpression) -> str | None:
    """``float32``, ``float64`` or ``int`` (of any width); None where that is not sure."""
    return _Kinds(view).of(node)


class _Kinds:
    def __init__(self, view: NumbaView) -> None:
        self.view = view
        #: Definitions being looked at: what runs in a circle agrees with whatever the others say.
        self.open: set[Definition] = set()

    def of(self, node: cst.BaseExpression | None) -> str | None:
        match node:
            case cst.Integer():
                return "int"
            case cst.Float():
                return "float64"
            case cst.Name():
                return self._name(node)
            case cst.Attribute():
                return "int" if self.view.text(node) in _PLACES else None
            case cst.UnaryOperation(operator=cst.Minus(), expression=inner):
                return self.of(inner)
            case cst.BinaryOperation(left=left, operator=operator, right=right):
                return self._joined(self.of(left), self.of(right), divides=isinstance(operator, cst.Divide))
            case cst.IfExp(body=one, orelse=other):
                return self._joined(self.of(one), self.of(other), divides=False)
            case cst.Subscript(value=cst.Name(value=name)):
                return self._element(name)
            case cst.Call():
                return self._call(node)
        return None

    @staticmethod
    def _joined(one: str | None, other: str | None, *, divides: bool) -> str | None:
        same = one if other in (one, _OPEN) else other if one == _OPEN else None
        return None if divides and same == "int" else same

    def _element(self, array: str) -> str | None:
        declared = self.view.arrays.get(array)
        types = {declared.dtype} if declared is not None else self.view.buffers.get(array, frozenset())
        if types and types <= _WHOLE:
            return "int"
        return next(iter(types)) if len(types) == 1 and types <= set(_FLOATS) else None

    def _call(self, node: cst.Call) -> str | None:
        name = call_name(node).removeprefix("cuda.").removeprefix("types.")
        if name in _WHOLE or name in ("int", "len", "grid", "gridsize"):
            return "int"
        if name in _FLOATS:
            return name
        found = {self.of(one.value) for one in node.args} - {_OPEN}
        if name in _OF_FLOATS and found and found <= set(_FLOATS):
            return "float64" if "float64" in found else "float32"
        if name in _SAME or name in ("fma", "shfl_xor_sync", "shfl_down_sync"):
            given = {self.of(one.value) for one in node.args[1:2]} if name.startswith("shfl") else found
            return next(iter(given)) if len(given) == 1 else None
        return None

    def _name(self, node: cst.Name) -> str | None:
        definition = self.view.flow.of(node)
        if definition is not None:
            return self._definition(definition)
        known = node.value in self.view.constants or node.value in self.view.kernel.tunables
        return "int" if known else None

    def _definition(self, one: Definition) -> str | None:
        if one in self.open:
            return _OPEN
        self.open.add(one)
        try:
            match one.kind:
                case Kind.PARAMETER:
                    return self._parameter(one.name)
                case Kind.INDEX:
                    return "int"
                case Kind.VALUE:
                    return self.of(one.value)
                case Kind.AUGMENTED if one.previous is not None:
                    assert isinstance(one.node, cst.AugAssign)
                    divides = isinstance(one.node.operator, cst.DivideAssign)
                    found = {self._definition(one.previous), self.of(one.value)} - {_OPEN}
                    same = next(iter(found)) if len(found) == 1 else None
                    return None if divides and same == "int" else same
                case Kind.CARRIED | Kind.MERGED:
                    found = {self._definition(source) for source in one.sources if source is not None} - {_OPEN}
                    return next(iter(found)) if len(found) == 1 else None
                case _:
                    return None
        finally:
            self.open.discard(one)

    def _parameter(self, name: str) -> str | None:
        scalar = next((spec for spec in self.view.problem.scalars if spec.name == name), None)
        if scalar is not None:
            return "int" if isinstance(scalar.value, int) else "float32"
        return None if name in self.view.buffers else "int"


def is_at_least_zero(view: NumbaView, node: cst.BaseExpression) -> bool:
    """Whether a whole number is certainly not negative."""
    return _Signs(view).of(node)


class _Signs:
    def __init__(self, view: NumbaView) -> None:
        self.view = view
        self.open: set[Definition] = set()

    def of(self, node: cst.BaseExpression | None) -> bool:
        match node:
            case cst.Integer():
                return True
            case cst.Attribute():
                return self.view.text(node) in _PLACES
            case cst.Name():
                return self._name(node)
            case cst.BinaryOperation(left=left, operator=operator, right=right):
                return isinstance(operator, _KEEPS_SIGN) and self.of(left) and self.of(right)
            case cst.IfExp(body=one, orelse=other):
                return self.of(one) and self.of(other)
            case cst.Call() if call_name(node) in ("max", "min", "cuda.grid", "int64"):
                found = [self.of(one.value) for one in node.args]
                return any(found) if call_name(node) == "max" else all(found)
        return False

    def _name(self, node: cst.Name) -> bool:
        definition = self.view.flow.of(node)
        if definition is not None:
            return self._definition(definition)
        values = self.view.values(node.value)
        return bool(values) and min(values) >= 0

    def _definition(self, one: Definition) -> bool:
        if one in self.open:
            return True  # it holds before, and each turn keeps it
        self.open.add(one)
        try:
            match one.kind:
                case Kind.PARAMETER:
                    return one.name in self.view.problem.axes and not self._is_given(one.name)
                case Kind.VALUE:
                    return self.of(one.value)
                case Kind.INDEX:
                    return self._counter(one)
                case Kind.AUGMENTED if one.previous is not None and isinstance(one.node, cst.AugAssign):
                    keeps = isinstance(one.node.operator, _ADDS)
                    return keeps and self._definition(one.previous) and self.of(one.value)
                case Kind.CARRIED | Kind.MERGED:
                    return all(source is None or self._definition(source) for source in one.sources)
                case _:
                    return False
        finally:
            self.open.discard(one)

    def _is_given(self, parameter: str) -> bool:
        return any(parameter in launch.args for launch in self.view.launches)

    def _counter(self, one: Definition) -> bool:
        assert isinstance(one.node, cst.For)
        loop = next((loop for loop in self.view.loops if loop.node is one.node), None)
        if loop is None or not isinstance(one.node.iter, cst.Call):
            return False
        bounds = [given.value for given in one.node.iter.args]
        start = bounds[0] if len(bounds) > 1 else None
        upwards = len(bounds) < 3 or loop.step in self.view.thread_counts or self._is_positive(bounds[2])
        return upwards and (start is None or self.of(start))

    def _is_positive(self, node: cst.BaseExpression) -> bool:
        values = self.view.values(self.view.text(node))
        return bool(values) and min(values) > 0
