"""The element types that a kernel's type names stand for under a problem's workloads."""

from __future__ import annotations

__all__ = ["TypeNames", "type_names"]

import re
from collections.abc import Iterable, Mapping
from typing import Final

from attrs import field, frozen

from kernelevolve.problem import Problem, Workload

#: OpenCL C's name for each element type it has.
_NAMES: Final[Mapping[str, str]] = {
    "int8": "char",
    "uint8": "uchar",
    "int16": "short",
    "int32": "int",
    "int64": "long",
    "float16": "half",
    "float32": "float",
    "float64": "double",
}
#: In the order of C's conversion ranks, with sizes in bytes.
_SIZES: Final = {
    "char": 1,
    "uchar": 1,
    "short": 2,
    "ushort": 2,
    "int": 4,
    "uint": 4,
    "long": 8,
    "ulong": 8,
    "half": 2,
    "float": 4,
    "double": 8,
}
_RANKS: Final = tuple(_SIZES)
_FLOATS: Final = frozenset(("half", "float", "double"))


@frozen
class TypeNames:
    """What type names mean: ``x_t`` is ``float`` where the tensor x is float32."""

    #: OpenCL C's own name of each alias.
    aliases: Mapping[str, str] = field(factory=dict)
    #: The condition on workloads under which each alias means that.
    conditions: Mapping[str, str] = field(factory=dict)

    def real(self, name: str) -> str:
        """OpenCL C's own name for `name`."""
        return self.aliases.get(name, name)

    def known(self, name: str) -> bool:
        """Whether `name` is a scalar type of which there are vectors."""
        return self.real(name) in _SIZES

    def size(self, name: str) -> int | None:
        """Bytes of one element, or None for something other than a scalar type."""
        return _SIZES.get(self.real(name))

    def is_float(self, name: str) -> bool:
        """Whether `name` is a floating-point type."""
        return self.real(name) in _FLOATS

    def wider(self, one: str, other: str) -> str:
        """The type that C converts both to."""
        ranks = {name: index for index, name in enumerate(_RANKS)}
        return one if ranks.get(self.real(one), 0) >= ranks.get(self.real(other), 0) else other

    def condition(self, text: str) -> str:
        """The ``when`` under which the aliases that `text` uses mean what they mean here; empty where it uses none."""
        words = set(re.findall(r"\w+", text))
        return " and ".join(self.conditions[name] for name in sorted(words & set(self.conditions)))


def type_names(problem: Problem, workloads: Iterable[Workload]) -> TypeNames:
    """The type names of the problem's tensors under the first of `workloads`, or else of the problem's own."""
    shown = (*workloads, *problem.workloads)
    dtypes = problem.dtypes(shown[0])
    return TypeNames(
        aliases={f"{name}_t": _NAMES[dtype] for name, dtype in dtypes.items() if dtype in _NAMES},
        conditions={f"{name}_t": f"dtype({name}) == '{dtype}'" for name, dtype in dtypes.items()},
    )
