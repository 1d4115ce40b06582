"""From kernel, workload and configuration to a launch plan: every grid, block, buffer and argument resolved to numbers.

Arguments bind by name. The plan is plain data, so that it can be sent to a worker and hashed.
"""

from __future__ import annotations

__all__ = [
    "Argument",
    "BufferArgument",
    "LaunchPlan",
    "LocalArgument",
    "PlannedBuffer",
    "PlannedLaunch",
    "Role",
    "ScalarArgument",
    "TextArgument",
    "make_plan",
    "serves",
]

import enum
import hashlib
import json
import math
from collections.abc import Mapping

from attrs import asdict, field, frozen

from kernelevolve.errors import suggest
from kernelevolve.expressions import Expression, ExpressionError
from kernelevolve.kernel import Configuration, Kernel, Launch, Value
from kernelevolve.language import Parameter, ParameterKind
from kernelevolve.outcome import ConstraintViolated, Rejected, ResourceExceeded
from kernelevolve.problem import Problem, TensorSpec, Workload, itemsize

#: A grid beyond this is a mistake (CUDA's limit for its first dimension; nothing else allows more).
MAX_GRID = 2**31 - 1


class Role(enum.StrEnum):
    """What a buffer is to the kernel."""

    INPUT = "input"
    OUTPUT = "output"
    SCRATCH = "scratch"


@frozen
class PlannedBuffer:
    """One buffer in device memory: contiguous, row-major."""

    name: str
    role: Role
    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        """Size in bytes, guard zones excluded."""
        return math.prod(self.shape) * itemsize(self.dtype)


@frozen
class BufferArgument:
    """A parameter that gets a buffer."""

    parameter: str
    buffer: str


@frozen
class ScalarArgument:
    """A parameter that gets a number; `dtype` is set where the problem declares one (scalar inputs)."""

    parameter: str
    value: int | float
    dtype: str | None = None


@frozen
class TextArgument:
    """A compile-time parameter that gets a text: the value of a tunable."""

    parameter: str
    value: str


@frozen
class LocalArgument:
    """A parameter that gets local memory of so many bytes."""

    parameter: str
    nbytes: int


Argument = BufferArgument | ScalarArgument | TextArgument | LocalArgument


@frozen
class PlannedLaunch:
    """One launch: groups per dimension, items per group, arguments in the order of the entry's parameters."""

    entry: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    arguments: tuple[Argument, ...]


@frozen
class LaunchPlan:
    """All that a backend needs to compile and run one kernel for one workload and configuration."""

    language: str
    source: str
    configuration: Mapping[str, Value] = field(hash=False)
    buffers: tuple[PlannedBuffer, ...]
    launches: tuple[PlannedLaunch, ...]

    def buffer(self, name: str) -> PlannedBuffer:
        """The buffer called `name`."""
        return next(buffer for buffer in self.buffers if buffer.name == name)

    @property
    def digest(self) -> str:
        """Identity of the whole plan (SHA-256, 16 hex digits)."""
        text = json.dumps(asdict(self), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def serves(kernel: Kernel, problem: Problem, workload: Workload) -> bool:
    """Whether the kernel's ``when`` admits the workload. Raises `Rejected` where ``when`` cannot be evaluated."""
    if kernel.when is None:
        return True
    try:
        return bool(kernel.when.evaluate(workload.axes, problem.dtypes(workload)))
    except ExpressionError as error:
        raise Rejected(f"when: {error}", rule="when") from None


def violated(
    kernel: Kernel, axes: Mapping[str, int], configuration: Configuration, facts: Mapping[str, int]
) -> str | None:
    """The first constraint that does not hold, or None. Raises `Rejected` where one cannot be evaluated."""
    scope = _scope(axes, configuration, facts)
    for constraint in kernel.constraints:
        try:
            if not constraint.evaluate(scope):
                return constraint.text
        except ExpressionError as error:
            raise Rejected(f"constraints: {error}", rule="header") from None
    return None


def make_plan(
    kernel: Kernel,
    problem: Problem,
    workload: Workload,
    configuration: Configuration,
    entries: Mapping[str, tuple[Parameter, ...]],
    facts: Mapping[str, int],
) -> LaunchPlan:
    """Resolve `kernel` for `workload` and `configuration` on a device with `facts` (``num_units``, ``warp_size``…).

    Raises `ConstraintViolated` where a constraint or ``when`` does not hold, `Rejected` where the header does not fit
    the source or the problem, `ResourceExceeded` where a block is larger than the device allows.
    """
    if not serves(kernel, problem, workload):
        text = kernel.when.text if kernel.when else ""
        raise ConstraintViolated(f"the kernel does not serve {workload.label} (when {text})", constraint=text)
    broken = violated(kernel, workload.axes, configuration, facts)
    if broken:
        raise ConstraintViolated(f"constraint {broken} does not hold for {workload.label}", constraint=broken)
    return _Planner(kernel, problem, workload, configuration, entries, facts).plan()


def _scope(axes: Mapping[str, int], configuration: Configuration, facts: Mapping[str, int]) -> dict[str, int]:
    numbers = {name: int(value) for name, value in configuration.items() if not isinstance(value, str)}
    return {**facts, **axes, **numbers}


@frozen
class _Planner:
    kernel: Kernel
    problem: Problem
    workload: Workload
    configuration: Configuration
    entries: Mapping[str, tuple[Parameter, ...]]
    facts: Mapping[str, int]

    def plan(self) -> LaunchPlan:
        self._check_names()
        buffers = tuple(self._buffers())
        return LaunchPlan(
            language=self.kernel.language,
            source=self.kernel.body,
            configuration=dict(self.configuration),
            buffers=buffers,
            launches=tuple(self._launch(launch, index) for index, launch in enumerate(self.kernel.launches)),
        )

    def _check_names(self) -> None:
        declared = [spec.name for spec in self.problem.tensors] + [spec.name for spec in self.problem.scalars]
        taken = {*self.problem.axes, *declared, *self.facts}
        for kind, names in (("tunable", self.kernel.tunables), ("scratch buffer", self.kernel.scratch)):
            for name in names:
                if name in taken:
                    raise Rejected(
                        f"{kind} {name!r} has the name of something the problem or device declares", rule="header"
                    )
        both = set(self.kernel.tunables) & set(self.kernel.scratch)
        if both:
            raise Rejected(f"{sorted(both)[0]!r} is both a tunable and a scratch buffer", rule="header")

    def _number(self, expression: Expression, where: str) -> int:
        scope = _scope(self.workload.axes, self.configuration, self.facts)
        try:
            return expression.evaluate(scope, self.problem.dtypes(self.workload))
        except ExpressionError as error:
            raise Rejected(f"{where}: {error}", rule="header") from None

    def _buffers(self) -> list[PlannedBuffer]:
        buffers = [
            *(self._tensor(spec, Role.INPUT) for spec in self.problem.inputs),
            *(self._tensor(spec, Role.OUTPUT) for spec in self.problem.outputs),
        ]
        for name, scratch in self.kernel.scratch.items():
            shape = tuple(self._number(e, f"scratch.{name}.shape") for e in scratch.shape)
            if any(size < 1 for size in shape):
                raise Rejected(f"scratch.{name} has shape {shape}; every size must be at least 1", rule="header")
            buffers.append(PlannedBuffer(name, Role.SCRATCH, shape, scratch.dtype))
        return buffers

    def _tensor(self, spec: TensorSpec, role: Role) -> PlannedBuffer:
        dtype = self.workload.dtypes.get(spec.name, spec.dtype)
        return PlannedBuffer(spec.name, role, spec.sizes(self.workload.axes), dtype)

    def _launch(self, launch: Launch, index: int) -> PlannedLaunch:
        where = f"launch[{index}]"
        if launch.entry not in self.entries:
            listed = ", ".join(self.entries) or "none"
            message = f"{where}.entry: the source defines no kernel {launch.entry!r}; there is {listed}."
            raise Rejected(message + suggest(launch.entry, self.entries), rule="header")
        grid = tuple(self._number(e, f"{where}.grid") for e in launch.grid)
        block = tuple(self._number(e, f"{where}.block") for e in launch.block)
        self._check_sizes(where, grid, block)
        parameters = self.entries[launch.entry]
        for name in (*launch.args, *launch.local):
            if name not in {parameter.name for parameter in parameters}:
                known = ", ".join(parameter.name for parameter in parameters)
                raise Rejected(f"{where}: {launch.entry} has no parameter {name!r}; it has {known}", rule="header")
        arguments = tuple(self._bind(launch, parameter, where) for parameter in parameters)
        return PlannedLaunch(launch.entry, grid, block, arguments)

    def _check_sizes(self, where: str, grid: tuple[int, ...], block: tuple[int, ...]) -> None:
        for what, sizes in (("grid", grid), ("block", block)):
            if any(not 1 <= size <= MAX_GRID for size in sizes):
                raise Rejected(
                    f"{where}.{what} is {sizes}; every dimension must be from 1 to {MAX_GRID}", rule="header"
                )
        limit = self.facts.get("max_group_size")
        if limit and math.prod(block) > limit:
            message = f"{where}.block is {block}, {math.prod(block)} items; the device allows {limit} in a group"
            raise ResourceExceeded(message, resource="group size", needed=math.prod(block), limit=limit)

    def _bind(self, launch: Launch, parameter: Parameter, where: str) -> Argument:
        name = parameter.name
        if name in launch.local:
            local = launch.local[name]
            count = math.prod(self._number(e, f"{where}.local.{name}") for e in local.shape)
            if count < 1:
                raise Rejected(f"{where}.local.{name} has {count} elements; at least 1 is needed", rule="header")
            if parameter.kind not in (ParameterKind.LOCAL, ParameterKind.ANY):
                message = f"{where}.local.{name}: parameter {name!r} is a {parameter.kind} and would get local memory"
                raise Rejected(message, rule="header")
            return LocalArgument(name, count * itemsize(local.dtype))
        if name in launch.args:
            return self._typed(
                parameter, ScalarArgument(name, self._number(launch.args[name], f"{where}.args.{name}")), where
            )
        for spec in self.problem.scalars:
            if spec.name == name:
                return self._typed(parameter, ScalarArgument(name, spec.value, spec.dtype), where)
        numbers = _scope(self.workload.axes, self.configuration, {})
        if name in numbers:
            return self._typed(parameter, ScalarArgument(name, numbers[name]), where)
        if name in self._buffer_names():
            return self._typed(parameter, BufferArgument(name, name), where)
        if name in self.configuration:  # a text: numbers are above
            if parameter.kind is not ParameterKind.CONSTEXPR:
                message = f"{where}: parameter {name!r} is a {parameter.kind} and gets a text; make it constexpr"
                raise Rejected(message, rule="header")
            return TextArgument(name, str(self.configuration[name]))
        available = (
            *self._buffer_names(),
            *self.problem.axes,
            *(s.name for s in self.problem.scalars),
            *self.kernel.tunables,
        )
        message = f"{where}: nothing binds parameter {name!r} of {launch.entry}; there is {', '.join(available)}."
        raise Rejected(message + suggest(name, available) + f" Or add args = {{ {name} = … }}.", rule="header")

    def _buffer_names(self) -> tuple[str, ...]:
        return (*(spec.name for spec in self.problem.tensors), *self.kernel.scratch)

    def _typed(self, parameter: Parameter, argument: Argument, where: str) -> Argument:
        buffer = isinstance(argument, BufferArgument)
        fits = {ParameterKind.POINTER: buffer, ParameterKind.SCALAR: not buffer, ParameterKind.CONSTEXPR: not buffer}
        if not fits.get(parameter.kind, parameter.kind is ParameterKind.ANY):
            what = "a buffer" if buffer else "a number"
            message = f"{where}: parameter {parameter.name!r} is a {parameter.kind} and would get {what}"
            raise Rejected(message, rule="header")
        return argument
