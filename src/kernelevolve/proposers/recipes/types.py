"""The element types that a kernel's type names stand for under a problem's workloads."""

from __future__ import annotations

__all__ = ["FLOATS", "TypeNames", "type_names"]

from collections.abc import Iterable, Mapping
from typing import Final

from attrs import field, frozen

from kernelevolve.problem import Problem, Workload

#: OpenCL C's name for each element type it has, with its size in bytes; in the order of C's conversion ranks.
_NAMES: Final[Mapping[str, tuple[str, int]]] = {
    "int8": ("char", 1),
    "uint8": ("uchar", 1),
    "int16": ("short", 2),
    "int32": ("int", 4),
    "int64": ("long", 8),
    "float16": ("half", 2),
    "float32": ("float", 4),
    "float64": ("double", 8),
}
_SIZES: Final = {**dict(_NAMES.values()), "uint": 4, "ushort": 2, "ulong": 8}
_RANKS: Final = ("char", "uchar", "short", "ushort", "int", "uint", "long", "ulong", "half", "float", "double")
FLOATS: Final = frozenset(("half", "float", "double"))


@frozen
class TypeNames:
    """What type names mean: ``x_t`` is ``float`` where every workload says so, and stays ``x_t`` where they differ."""

    aliases: Mapping[str, str] = field(factory=dict)

    def real(self, name: str) -> str:
        """OpenCL C's own name for `name`, or `name` itself where that is open."""
        return self.aliases.get(name, name)

    def same(self, one: str, other: str) -> bool:
        """Whether both names are certainly one type."""
        return self.real(one) == self.real(other)

    def known(self, name: str) -> bool:
        """Whether `name` is a scalar type, or an element type of this problem."""
        return name in _RANKS or name in self.aliases

    def size(self, name: str) -> int | None:
        """Bytes of one element, or None where that is open."""
        return _SIZES.get(self.real(name))

    def is_float(self, name: str) -> bool:
        """Whether `name` is a floating-point type; element types that are open count as one."""
        real = self.real(name)
        return real in FLOATS or real not in _RANKS

    def wider(self, one: str, other: str) -> str:
        """The type that C converts both to."""
        ranks = {name: index for index, name in enumerate(_RANKS)}
        last = len(_RANKS)
        return one if ranks.get(self.real(one), last) >= ranks.get(self.real(other), last) else other


def type_names(problem: Problem, workloads: Iterable[Workload]) -> TypeNames:
    """The type names of the problem's tensors under `workloads`."""
    aliases: dict[str, str] = {}
    shown = tuple(workloads) or problem.workloads
    for spec in problem.tensors:
        dtypes = {problem.dtypes(workload)[spec.name] for workload in shown}
        name = f"{spec.name}_t"
        dtype = next(iter(dtypes))
        aliases[name] = _NAMES[dtype][0] if len(dtypes) == 1 and dtype in _NAMES else name
    return TypeNames(aliases)
