"""What must be computed: axes, inputs, outputs, a reference in PyTorch, and the workloads to compute it for.

A problem knows nothing about kernels or devices. Tensors are contiguous, row-major, C order; a shape is a list of
integer expressions over the axes.
"""

from __future__ import annotations

__all__ = [
    "DTYPES",
    "InputRequest",
    "Problem",
    "ScalarSpec",
    "TensorSpec",
    "Tolerance",
    "Workload",
    "itemsize",
]

import hashlib
import json
import keyword
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from attrs import asdict, evolve, field, frozen

from kernelevolve.errors import ProblemError, suggest
from kernelevolve.expressions import Expression, ExpressionError, parse

if TYPE_CHECKING:
    import torch

#: Element types a tensor may have, with their size in bytes. The names are PyTorch's and NumPy's.
DTYPES: Final[Mapping[str, int]] = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}
#: Names that kernel expressions see beside axes and tunables; an axis cannot shadow them.
DEVICE_FACTS: Final = ("num_units", "warp_size", "max_group_size")
_RESERVED: Final = frozenset({"cdiv", "min", "max", "next_pow2", "dtype", "and", "or", "not", *DEVICE_FACTS})
_AXIS = re.compile(r"\s*([A-Za-z_]\w*)\s*(=|:)\s*([A-Za-z0-9_]+)\s*")


def itemsize(dtype: str) -> int:
    """Bytes of one element. Raises `ProblemError` for an unknown type, with the list of known ones."""
    try:
        return DTYPES[dtype]
    except KeyError:
        raise ProblemError(f"unknown dtype {dtype!r}; there is {', '.join(DTYPES)}.{suggest(dtype, DTYPES)}") from None


def _shape(shape: str | Sequence[str | int | Expression]) -> tuple[Expression, ...]:
    parts = [part for part in shape.split(",") if part.strip()] if isinstance(shape, str) else shape
    return tuple(part if isinstance(part, Expression) else parse(str(part)) for part in parts)


@frozen
class TensorSpec:
    """One input or output: ``TensorSpec("x", "rows, cols")``. An empty shape is one element."""

    name: str
    shape: tuple[Expression, ...] = field(converter=_shape)
    #: The element type where a workload names no other.
    dtype: str = "float32"

    def sizes(self, axes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape in elements under `axes`."""
        return tuple(expression.evaluate(axes) for expression in self.shape)


@frozen
class ScalarSpec:
    """A number every launch receives by name, such as ``eps``."""

    name: str
    value: float | int
    dtype: str = "float32"


def _strings(values: Mapping[str, str]) -> dict[str, str]:
    return dict(values)


def _tags(values: Iterable[str]) -> frozenset[str]:
    return frozenset(values)


def _axes(axes: Mapping[str, int]) -> dict[str, int]:
    return {str(name): int(value) for name, value in axes.items()}


@frozen
class Workload:
    """One binding of a problem's axes to numbers, and of tensors to element types where they are not the problem's."""

    axes: Mapping[str, int] = field(converter=_axes, hash=False)
    dtypes: Mapping[str, str] = field(factory=dict, converter=_strings, hash=False)
    #: ``smoke`` (milliseconds anywhere), ``cpu``, ``gpu``: which measuring a workload is meant for.
    tags: frozenset[str] = field(default=(), converter=_tags)

    @classmethod
    def parse(cls, text: str, tags: Iterable[str] = ()) -> Workload:
        """Read ``rows=4096, cols=1024, x:float16``. Raises `ProblemError` that names the part it could not read."""
        axes: dict[str, int] = {}
        dtypes: dict[str, str] = {}
        for part in text.split(","):
            match = _AXIS.fullmatch(part)
            if not match or (match[2] == "=" and not match[3].isdigit()):
                raise ProblemError(
                    f"workload {text!r}: cannot read {part.strip()!r}; write rows=4096,cols=1024,x:float16"
                )
            if match[2] == "=":
                axes[match[1]] = int(match[3])
            else:
                itemsize(match[3])
                dtypes[match[1]] = match[3]
        return cls(axes=axes, dtypes=dtypes, tags=frozenset(tags))

    @property
    def label(self) -> str:
        """The text form that `parse` reads: the workload's name in tables, stores and on the command line."""
        axes = [f"{name}={value}" for name, value in self.axes.items()]
        return ",".join([*axes, *(f"{name}:{dtype}" for name, dtype in sorted(self.dtypes.items()))])

    def __str__(self) -> str:
        return self.label


@frozen
class Tolerance:
    """Constants of the correctness rule (``docs/explanation/correctness.md`` has the rule and the reasons)."""

    #: Units of the output type's rounding (half an ulp each) that any correct kernel may make.
    output_roundings: float = 2.0
    #: Units of float32 rounding granted for another order of summation or another libm.
    compute_roundings: float = 64.0
    #: The same for sums: this many units times the square root of the workload's longest axis (up to 65 536).
    summation_roundings: float = 4.0
    #: How many times the error of a native-precision PyTorch implementation is granted.
    native_multiple: float = 4.0
    #: No element may ever be off by more than this share of the output's magnitude, whatever the other terms say.
    ceiling: float = 0.05


@frozen
class InputRequest:
    """What an input generator is asked for: sizes, types, which distribution, and the only randomness it may use."""

    axes: Mapping[str, int]
    dtypes: Mapping[str, str]
    #: ``normal``, ``large``, ``constant`` or ``adversarial``.
    distribution: str
    rng: torch.Generator


#: Makes a problem's inputs where independent random elements will not do (indices, sorted tables, jagged offsets).
Generator = Callable[[InputRequest], Mapping[str, "torch.Tensor"]]


def _expression(value: str | int | Expression | None) -> Expression | None:
    return value if value is None or isinstance(value, Expression) else parse(str(value))


def _workloads(values: Iterable[Workload | str]) -> tuple[Workload, ...]:
    return tuple(value if isinstance(value, Workload) else Workload.parse(value) for value in values)


# attrs' converters need a typed function: mypy cannot infer the element type of a bare `tuple`.
def _names(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


def _tensors(values: Iterable[TensorSpec]) -> tuple[TensorSpec, ...]:
    return tuple(values)


def _scalars(values: Iterable[ScalarSpec]) -> tuple[ScalarSpec, ...]:
    return tuple(values)


@frozen
class Problem:
    """What must be computed.

    `reference` is called with tensors, scalars and axes **by the names of its parameters** and returns one tensor, or a
    tuple in the order of `outputs`. It must work in any float type: the oracle calls it in float64.
    """

    name: str
    axes: tuple[str, ...] = field(converter=_names)
    inputs: tuple[TensorSpec, ...] = field(converter=_tensors)
    outputs: tuple[TensorSpec, ...] = field(converter=_tensors)
    reference: Callable[..., torch.Tensor | tuple[torch.Tensor, ...]] = field(eq=False)
    #: What proposers see and what is timed.
    workloads: tuple[Workload, ...] = field(converter=_workloads)
    #: What only checking sees. Left empty, odd, prime, size-one and large ones are derived from the axes.
    hidden: tuple[Workload, ...] = field(default=(), converter=_workloads)
    scalars: tuple[ScalarSpec, ...] = field(default=(), converter=_scalars)
    generate: Generator | None = field(default=None, eq=False)
    #: Other PyTorch implementations that a user might choose, by name; called as `reference` is. Reports compare with
    #: the fastest; results are never judged by them.
    baselines: Mapping[str, Callable[..., torch.Tensor | tuple[torch.Tensor, ...]]] = field(
        factory=dict, eq=False, hash=False
    )
    #: Which input distributions make sense here; ``adversarial`` needs a `generate`.
    distributions: tuple[str, ...] = field(default=("normal", "large", "constant"), converter=_names)
    #: Arithmetic operations of one computation, for the roofline.
    operations: Expression | None = field(default=None, converter=_expression)
    #: Bytes that must move at least once. Left out: every input and output once.
    traffic: Expression | None = field(default=None, converter=_expression)
    #: What a workload must satisfy beyond positive sizes, as an expression over the axes.
    requires: Expression | None = field(default=None, converter=_expression)
    tolerance: Tolerance = field(factory=Tolerance)
    #: Seed kernels by language: the text of a kernel file.
    seeds: Mapping[str, str] = field(factory=dict, converter=_strings, hash=False)
    #: The shape of the computation, which recipes key on: ``elementwise``, ``row_reduction``, ``matmul``, ``search``…
    pattern: str = "generic"
    description: str = ""

    def __attrs_post_init__(self) -> None:
        self._check_names()
        if not self.outputs:
            raise ProblemError(f"problem {self.name!r}: no outputs; declare at least one TensorSpec")
        if not self.workloads:
            raise ProblemError(
                f"problem {self.name!r}: no workloads; declare at least one, such as 'rows=512,cols=512'"
            )
        for workload in (*self.workloads, *self.hidden):
            self.check(workload)

    def _check_names(self) -> None:
        seen: set[str] = set()
        names = [*self.axes, *(spec.name for spec in self.tensors), *(spec.name for spec in self.scalars)]
        for name in names:
            if not name.isidentifier() or keyword.iskeyword(name) or name in _RESERVED:
                raise ProblemError(
                    f"problem {self.name!r}: {name!r} cannot be a name; use a plain, unreserved identifier"
                )
            if name in seen:
                raise ProblemError(
                    f"problem {self.name!r}: the name {name!r} is used twice; axes, tensors, scalars share names"
                )
            seen.add(name)
        for spec in (*self.inputs, *self.outputs):
            itemsize(spec.dtype)
            for expression in spec.shape:
                unknown = expression.names - set(self.axes)
                if unknown:
                    raise ProblemError(
                        f"problem {self.name!r}: shape of {spec.name!r} uses {min(unknown)!r}, which is no axis; "
                        f"there is {', '.join(self.axes)}"
                    )

    def check(self, workload: Workload) -> None:
        """Raise `ProblemError` unless `workload` binds exactly this problem's axes to sizes that make sense."""
        where = f"problem {self.name!r}, workload {workload.label!r}"
        missing, extra = set(self.axes) - set(workload.axes), set(workload.axes) - set(self.axes)
        if missing or extra:
            what = f"axis {min(missing)!r} is not bound" if missing else f"{min(extra)!r} is no axis"
            raise ProblemError(f"{where}: {what}; the axes are {', '.join(self.axes)}")
        for name, value in workload.axes.items():
            if value < 1:
                raise ProblemError(f"{where}: {name}={value}; an axis is at least 1")
        self._check_shapes(workload, where)
        names = {spec.name for spec in (*self.inputs, *self.outputs)}
        for name, dtype in workload.dtypes.items():
            itemsize(dtype)
            if name not in names:
                raise ProblemError(f"{where}: {name!r} is no tensor; there is {', '.join(sorted(names))}")
        try:
            if self.requires is not None and not self.requires.evaluate(workload.axes):
                raise ProblemError(f"{where}: the problem requires {self.requires.text}")
        except ExpressionError as error:
            raise ProblemError(f"{where}: {error}") from None

    def _check_shapes(self, workload: Workload, where: str) -> None:
        for spec in self.tensors:
            try:
                sizes = spec.sizes(workload.axes)
            except ExpressionError as error:
                raise ProblemError(f"{where}: shape of {spec.name!r}: {error}") from None
            if any(size < 1 for size in sizes):
                raise ProblemError(f"{where}: {spec.name!r} would have shape {sizes}; every size must be at least 1")

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Inputs, then outputs."""
        return (*self.inputs, *self.outputs)

    def dtypes(self, workload: Workload) -> dict[str, str]:
        """The element type of every tensor under `workload`."""
        return {spec.name: workload.dtypes.get(spec.name, spec.dtype) for spec in self.tensors}

    def nbytes(self, spec: TensorSpec, workload: Workload) -> int:
        """Size of one tensor in bytes."""
        return math.prod(spec.sizes(workload.axes)) * itemsize(workload.dtypes.get(spec.name, spec.dtype))

    def compulsory_bytes(self, workload: Workload) -> int:
        """Bytes that any kernel must move: `traffic`, or every input and output once."""
        if self.traffic is not None:
            return self.traffic.evaluate(workload.axes, self.dtypes(workload))
        return sum(self.nbytes(spec, workload) for spec in self.tensors)

    def operation_count(self, workload: Workload) -> int | None:
        """Arithmetic operations of one computation, or None where the problem does not say."""
        return None if self.operations is None else self.operations.evaluate(workload.axes)

    def tagged(self, tag: str) -> tuple[Workload, ...]:
        """The workloads that carry `tag`."""
        return tuple(workload for workload in self.workloads if tag in workload.tags)

    def with_seed(self, language: str, text: str) -> Problem:
        """The same problem with a seed kernel for one more language."""
        return evolve(self, seeds={**self.seeds, language: text})

    @property
    def fingerprint(self) -> str:
        """Changes when the declared contract does (names, shapes, workloads, and by what results are judged: hidden
        workloads, distributions, tolerance), not with the reference.
        """
        contract = {
            "name": self.name,
            "axes": self.axes,
            "tensors": [(s.name, [e.text for e in s.shape], s.dtype) for s in self.tensors],
            "scalars": [(s.name, s.value, s.dtype) for s in self.scalars],
            "workloads": [w.label for w in self.workloads],
            "requires": self.requires.text if self.requires else None,
            "hidden": [w.label for w in self.hidden],
            "distributions": self.distributions,
            "tolerance": asdict(self.tolerance),
        }
        return hashlib.sha256(json.dumps(contract, sort_keys=True).encode()).hexdigest()[:16]
