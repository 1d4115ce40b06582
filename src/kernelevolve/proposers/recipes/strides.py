"""How an index expression moves with a variable."""

from __future__ import annotations

__all__ = ["Stride", "stride"]

import enum
from collections.abc import Mapping

from tree_sitter import Node

from kernelevolve.languages.opencl_c.source import Source
from kernelevolve.proposers.recipes.tree import field, identifiers, strip


class Stride(enum.Enum):
    """By how many elements an index moves when the variable grows by one."""

    NONE = 0
    UNIT = 1
    OTHER = 2


def stride(source: Source, index: Node, variable: str, locals_: Mapping[str, Node]) -> Stride:
    """The stride of `index` over `variable`; `locals_` has the initial values of variables that may depend on it."""
    node = strip(index)
    match node.type:
        case "identifier":
            name = source.of(node)
            if name == variable:
                return Stride.UNIT
            return stride(source, locals_[name], variable, locals_) if name in locals_ else Stride.NONE
        case "cast_expression":
            return stride(source, field(node, "value"), variable, locals_)
        case "binary_expression":
            left = stride(source, field(node, "left"), variable, locals_)
            right = stride(source, field(node, "right"), variable, locals_)
            return _combined(source.of(field(node, "operator")), left, right)
    depends = any(_depends(source, name, variable, locals_) for name in identifiers(source, node))
    return Stride.OTHER if depends else Stride.NONE


def _combined(operator: str, left: Stride, right: Stride) -> Stride:
    if left is Stride.NONE and right is Stride.NONE:
        return Stride.NONE
    if operator == "+" and Stride.NONE in (left, right):
        return left if right is Stride.NONE else right
    if operator == "-" and right is Stride.NONE:
        return left
    return Stride.OTHER


def _depends(source: Source, name: str, variable: str, locals_: Mapping[str, Node]) -> bool:
    if name == variable:
        return True
    return name in locals_ and stride(source, locals_[name], variable, locals_) is not Stride.NONE
