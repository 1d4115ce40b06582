"""A plan's arguments as Numba types, and as the parameters of the compiled kernel.

numba-cuda passes an array as the fields of a structure, each a parameter of its own: memory information and parent
(null for memory that is not Numba's), number of elements, bytes per element, address, then one extent and one stride
in bytes for each dimension. What a compile made is compared with this layout, so that another version of numba-cuda
cannot change it unnoticed.
"""

from __future__ import annotations

__all__ = [
    "ARRAY_TYPES",
    "ArrayParameter",
    "Entry",
    "Parameter",
    "ScalarParameter",
    "layout",
    "ptx_types",
    "read_entries",
]

import itertools
import math
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from kernelevolve.outcome import CompileError
from kernelevolve.plan import BufferArgument, LaunchPlan, LocalArgument, PlannedLaunch, ScalarArgument
from kernelevolve.problem import itemsize

#: The attribute of `numba.cuda.types` for each element type. Numba has no float8 arithmetic.
ARRAY_TYPES: Final[Mapping[str, str]] = {
    "float64": "float64",
    "float32": "float32",
    "float16": "float16",
    "bfloat16": "bfloat16",
    "int64": "int64",
    "int32": "int32",
    "int16": "int16",
    "int8": "int8",
    "uint8": "uint8",
    "bool": "boolean",
}
#: The same for scalar parameters, by the name that layouts use.
_SCALAR_TYPES: Final[Mapping[str, str]] = {"i32": "int32", "i64": "int64", "fp32": "float32", "fp64": "float64"}
_PTX_TYPES: Final[Mapping[str, str]] = {"pointer": "u64", "i64": "u64", "i32": "u32", "fp32": "f32", "fp64": "f64"}


@frozen
class ArrayParameter:
    """An array in C order."""

    name: str
    dtype: str
    #: At least one dimension: a tensor of no dimension is passed as one element of one.
    shape: tuple[int, ...]

    @property
    def type(self) -> tuple[str, int]:
        """What the compiled code depends on: element type and number of dimensions."""
        return self.dtype, len(self.shape)

    def numba_type(self, types: Any) -> Any:
        """The type to compile for, from the module `numba.cuda.types`."""
        return types.Array(getattr(types, ARRAY_TYPES[self.dtype]), len(self.shape), "C")

    def layout(self) -> list[dict[str, Any]]:
        """The kernel parameters it becomes."""
        size = itemsize(self.dtype)
        strides = [size * math.prod(self.shape[axis + 1 :]) for axis in range(len(self.shape))]
        before = [0, 0, math.prod(self.shape), size]
        return [
            *(_constant(value) for value in before),
            {"kind": "pointer", "of": self.name},
            *(_constant(value) for value in (*self.shape, *strides)),
        ]


@frozen
class ScalarParameter:
    """A number."""

    name: str
    #: ``i32``, ``i64``, ``fp32`` or ``fp64``.
    kind: str

    @property
    def type(self) -> str:
        """What the compiled code depends on."""
        return self.kind

    def numba_type(self, types: Any) -> Any:
        """The type to compile for, from the module `numba.cuda.types`."""
        return getattr(types, _SCALAR_TYPES[self.kind])

    def layout(self) -> list[dict[str, Any]]:
        """The kernel parameter it becomes."""
        return [{"kind": "scalar", "of": self.name, "type": self.kind}]


Parameter = ArrayParameter | ScalarParameter


@frozen
class Entry:
    """One entry of a plan: what its launches have in common."""

    name: str
    parameters: tuple[Parameter, ...]
    #: Threads of its largest block.
    threads: int
    #: Dynamic shared memory of its hungriest launch, bytes.
    dynamic_shared: int


def _constant(value: int) -> dict[str, Any]:
    return {"kind": "value", "type": "i64", "value": value}


def layout(entry: Entry) -> list[dict[str, Any]]:
    """The compiled kernel's parameters in order, in the form of ``Artifact.extra["entries"]``."""
    return list(itertools.chain.from_iterable(parameter.layout() for parameter in entry.parameters))


def ptx_types(entry: Entry) -> list[str]:
    """How PTX declares these parameters."""
    return [_PTX_TYPES[one.get("type", "pointer")] for one in layout(entry)]


def read_entries(plan: LaunchPlan) -> dict[str, Entry]:
    """The plan's entries by name.

    Raises `CompileError` where a launch has no block or an unknown element type, or where launches of one entry differ
    in what is compiled into it: the types and extents of its arrays.
    """
    entries: dict[str, Entry] = {}
    for launch in plan.launches:
        entry = _entry(plan, launch)
        first = entries.setdefault(launch.entry, entry)
        if first.parameters != entry.parameters:
            raise _plan_error(
                f"{launch.entry} is launched with {_differing(first, entry)}; extents and types are compiled into a "
                "Numba kernel: give each launch a function of its own"
            )
        threads = max(first.threads, entry.threads)
        entries[launch.entry] = Entry(
            launch.entry, entry.parameters, threads, max(first.dynamic_shared, entry.dynamic_shared)
        )
    return entries


def _entry(plan: LaunchPlan, launch: PlannedLaunch) -> Entry:
    if not launch.block:
        raise _plan_error(f"the launch of {launch.entry} says no block; add block = […] beside its grid")
    parameters: list[Parameter] = []
    dynamic = 0
    for argument in launch.arguments:
        match argument:
            case BufferArgument(parameter=name, buffer=buffer):
                parameters.append(_array(name, plan, buffer))
            case ScalarArgument(parameter=name, value=value, dtype=dtype):
                parameters.append(ScalarParameter(name, _scalar_kind(value, dtype)))
            case LocalArgument(nbytes=nbytes):
                dynamic += nbytes
    return Entry(launch.entry, tuple(parameters), math.prod(launch.block), dynamic)


def _array(name: str, plan: LaunchPlan, buffer: str) -> ArrayParameter:
    planned = plan.buffer(buffer)
    if planned.dtype not in ARRAY_TYPES:
        known = ", ".join(ARRAY_TYPES)
        raise _plan_error(f"buffer {buffer!r} is of {planned.dtype}, which Numba does not compute with; it has {known}")
    return ArrayParameter(name, planned.dtype, planned.shape or (1,))


def _scalar_kind(value: float, dtype: str | None) -> str:
    if isinstance(value, float) or (dtype or "").startswith(("float", "bfloat")):
        return "fp64" if dtype == "float64" else "fp32"
    return "i32" if dtype != "int64" and -(2**31) <= value < 2**31 else "i64"


def _differing(first: Entry, second: Entry) -> str:
    for one, other in zip(first.parameters, second.parameters, strict=True):
        if one != other:
            return f"{_described(one)} and with {_described(other)} for parameter {one.name!r}"
    raise AssertionError((first, second))


def _described(parameter: Parameter) -> str:
    match parameter:
        case ArrayParameter(dtype=dtype, shape=shape):
            return f"{dtype}{list(shape)}"
        case ScalarParameter(kind=kind):
            return f"a number of type {kind}"


def _plan_error(message: str) -> CompileError:
    return CompileError(message, stage="plan", log="", line=None)
