"""Shapes and element types of Triton expressions, as far as the source and the header say them."""

from __future__ import annotations

__all__ = ["WEAK", "Shape", "Value", "broadcast", "promoted"]

from collections.abc import Iterable
from typing import Final

from attrs import frozen

from kernelevolve.proposers.rewriting.triton_rules.forms import ONE, Form

Shape = tuple[Form, ...]

#: Python numbers: they take the type of what they meet.
WEAK: Final = frozenset({"number", "real"})
_INTEGERS: Final = ("int1", "uint8", "int8", "int16", "int32", "int64")
_FLOATS: Final = ("float16", "bfloat16", "float32", "float64")
#: Triton's names for the problem's types.
NAMES: Final = {"bool": "int1", "float8_e4m3fn": "float8e4nv", "float8_e5m2": "float8e5"}


@frozen
class Value:
    """What is known of a value. An empty set of types: nothing is known of them."""

    shape: Shape
    types: frozenset[str]
    #: For a pointer: the parameter it points into.
    root: str | None = None

    @property
    def is_float32(self) -> bool:
        """Whether it is float32 under every workload."""
        return self.types == {"float32"}

    @property
    def is_float(self) -> bool:
        """Whether it is of a floating type under every workload."""
        return bool(self.types) and self.types <= {*_FLOATS, "real"}

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole number under every workload."""
        return bool(self.types) and self.types <= {*_INTEGERS, "number"}


def broadcast(*shapes: Shape) -> Shape | None:
    """The shape of an operation on `shapes`, or None where they do not fit, as far as one can tell."""
    rank = max((len(shape) for shape in shapes), default=0)
    padded = [(ONE,) * (rank - len(shape)) + shape for shape in shapes]
    made: list[Form] = []
    for sizes in zip(*padded, strict=True):
        wide = {size for size in sizes if size != ONE}
        if len(wide) > 1:
            return None
        made.append(wide.pop() if wide else ONE)
    return tuple(made)


def promoted(left: Iterable[str], right: Iterable[str], *, division: bool = False) -> frozenset[str]:
    """The types that arithmetic on any of `left` with any of `right` may give; empty where one is not known."""
    pairs = [_promoted(one, other, division) for one in left for other in right]
    known = frozenset(pair for pair in pairs if pair is not None)
    return known if None not in pairs else frozenset()


def _promoted(one: str, other: str, division: bool) -> str | None:
    """Triton's rules (`semantic.computation_type_impl`)."""
    if one in WEAK and other in WEAK:
        return "real" if "real" in (one, other) or division else "number"
    if one in WEAK or other in WEAK:
        weak, strong = (one, other) if one in WEAK else (other, one)
        if weak == "real" and strong in _INTEGERS:
            return "float32"
        one = other = strong
    if not {one, other} <= {*_INTEGERS, *_FLOATS}:
        return None
    if "float64" in (one, other):
        return "float64"
    if division and (one in _FLOATS or other in _FLOATS):
        return "float32"
    if division or "float32" in (one, other):
        return "float32"
    if "float16" in (one, other):
        return "float16"
    if "bfloat16" in (one, other):
        return "bfloat16" if one == other else "float32"
    return max(one, other, key=_INTEGERS.index)
