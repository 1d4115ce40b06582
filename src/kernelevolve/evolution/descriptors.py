"""What a kernel *is*, in a small tuple: the cell it competes in.

Two kernels in one cell do the work in the same way and differ in how well; a cell is never about names, comments or how
long a source is. Every measure here is the same in every language: it comes from the launch plan, from the toolchain's
resources and from measured rates. Only the vector width is read from the source, by a function that a language may
replace.
"""

from __future__ import annotations

__all__ = [
    "CELLS",
    "Bound",
    "Descriptor",
    "cell_index",
    "describe",
    "fixed_vector_width",
    "limited_by",
]

import enum
import math
import re
from collections.abc import Callable, Mapping
from typing import Final

from attrs import frozen

from kernelevolve.accelerator import Peaks
from kernelevolve.plan import LaunchPlan, LocalArgument, Role


class Bound(enum.IntEnum):
    """What limits a kernel, where it was measured."""

    UNKNOWN = 0
    MEMORY = 1
    COMPUTE = 2


#: Launches beyond this count as this many.
_LAUNCHES: Final = 4
#: Classes of the work of one group: below 16 elements, then one class for every factor of four.
_TILES: Final = 8
#: Vector widths by class: 1, 2, 4, 8, 16.
_WIDTHS: Final = 5
_STORAGES: Final = 4
_SIZES: Final = (_LAUNCHES, _TILES, _WIDTHS, len(Bound), _STORAGES)
#: How many cells there are.
CELLS: Final = math.prod(_SIZES)
#: Vector types, and loads and stores of whole vectors, as the C family of kernel languages spells them.
_VECTOR: Final = re.compile(
    r"\b(?:float|half|double|u?char|u?short|u?int|u?long)(2|4|8|16)\b|\bv(?:load|store)(2|4|8|16)\b"
)


@frozen
class Descriptor:
    """The cell of one kernel; every part is a small class and not a size."""

    #: Launches, less one, at most 3.
    launches: int
    #: Work of one group: 0 below 16 elements, then one more for every factor of four, at most 7.
    tile: int
    #: Base-2 logarithm of the widest vector, at most 4.
    vector: int
    bound: Bound
    #: 1 where local memory is used, plus 2 where scratch buffers are.
    storage: int

    @property
    def cell(self) -> tuple[int, ...]:
        """The parts as a tuple, in the order of this class: what the store keeps."""
        return (self.launches, self.tile, self.vector, int(self.bound), self.storage)


def cell_index(cell: tuple[int, ...]) -> int:
    """A number below `CELLS` for each cell. Raises ValueError for a tuple that is no cell."""
    if len(cell) != len(_SIZES) or not all(0 <= part < size for part, size in zip(cell, _SIZES, strict=True)):
        message = f"{cell} is no cell; a cell has {len(_SIZES)} parts, each from 0 to below {_SIZES}"
        raise ValueError(message)
    index = 0
    for part, size in zip(cell, _SIZES, strict=True):
        index = index * size + part
    return index


def fixed_vector_width(source: str) -> int:
    """The widest vector type or vector access that a source without comments names; 1 where it names none."""
    return max((int(match[1] or match[2]) for match in _VECTOR.finditer(source)), default=1)


def describe(
    plan: LaunchPlan,
    *,
    source: str | None = None,
    resources: Mapping[str, Mapping[str, int]] | None = None,
    vector_width: Callable[[str], int] = fixed_vector_width,
    bound: Bound = Bound.UNKNOWN,
) -> Descriptor:
    """The descriptor of a kernel as `plan` launches it.

    `source` is the text that `vector_width` reads, best the language's normal form, so that comments do not count;
    `resources` are the artifact's, by entry (a ``local_bytes`` above 0 is local memory that no parameter declares).
    """
    width = max(1, vector_width(plan.source if source is None else source))
    return Descriptor(
        launches=min(len(plan.launches), _LAUNCHES) - 1,
        tile=_tile_class(_work_per_group(plan)),
        vector=min(width.bit_length() - 1, _WIDTHS - 1),
        bound=bound,
        storage=int(_uses_local(plan, resources or {})) + 2 * int(_uses_scratch(plan)),
    )


def limited_by(bytes_per_second: float | None, operations_per_second: float | None, peaks: Peaks | None) -> Bound:
    """What a kernel comes nearer to: the device's peak bandwidth or its peak arithmetic.

    UNKNOWN where a rate or its peak is missing: one share alone says nothing about the other.
    """
    if peaks is None or not peaks.bytes_per_second or not peaks.operations_per_second:
        return Bound.UNKNOWN
    if bytes_per_second is None or operations_per_second is None:
        return Bound.UNKNOWN
    memory = bytes_per_second / peaks.bytes_per_second
    compute = operations_per_second / peaks.operations_per_second
    return Bound.MEMORY if memory >= compute else Bound.COMPUTE


def _work_per_group(plan: LaunchPlan) -> int:
    """Elements of the largest buffer for each group of the widest launch."""
    groups = max((math.prod(launch.grid) for launch in plan.launches), default=1)
    elements = max((math.prod(buffer.shape) for buffer in plan.buffers), default=1)
    return max(1, elements // max(1, groups))


def _tile_class(elements: int) -> int:
    return min(max(0, (elements.bit_length() - 3) // 2), _TILES - 1)


def _uses_local(plan: LaunchPlan, resources: Mapping[str, Mapping[str, int]]) -> bool:
    declared = any(isinstance(argument, LocalArgument) for launch in plan.launches for argument in launch.arguments)
    return declared or any(used.get("local_bytes", 0) > 0 for used in resources.values())


def _uses_scratch(plan: LaunchPlan) -> bool:
    return any(buffer.role is Role.SCRATCH for buffer in plan.buffers)
