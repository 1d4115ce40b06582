"""Input cases: which workload with which inputs a candidate is checked on, and what the outputs must be.

Inputs come from a seeded generator on the host, so a case is a few words and its data can be made again anywhere. The
oracle runs the problem's reference in float64.
"""

from __future__ import annotations

__all__ = [
    "DEFAULT_LIMIT",
    "Expected",
    "InputCase",
    "case_seed",
    "check_plan",
    "expect",
    "make_inputs",
    "run_reference",
    "shrunk_workloads",
    "tensor_bytes",
    "tensor_from_bytes",
]

import hashlib
import inspect
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Final

import torch
from attrs import field, frozen

from kernelevolve.errors import ProblemError, suggest
from kernelevolve.evaluation.correctness import Expected, expect_output, tensor_from_bytes
from kernelevolve.evaluation.host import on_fastest
from kernelevolve.problem import DTYPES, InputRequest, Problem, TensorSpec, Workload

#: Bytes of one checking case's tensors: keeps its oracle at tens of milliseconds.
DEFAULT_LIMIT: Final = 16 * 2**20
#: Cases of one check, where the problem declares fewer hidden workloads; and the most that are derived.
FEWEST_CASES: Final = 12
MOST_DERIVED: Final = 9
#: ``large``: this many times a normal distribution. The narrow types would overflow beyond these in a short sum.
_LARGE: Final[Mapping[str, float]] = {"float16": 16.0, "float8_e4m3fn": 4.0, "float8_e5m2": 16.0}
_LARGE_DEFAULT: Final = 1e4
#: Sizes that break kernels: primes, one above a power of two, one above what 16 bits count.
_PRIMES: Final = (61, 37, 131, 17, 97, 23)
_ODD: Final = (3, 7, 5, 9, 11, 13)
_ABOVE_POWER: Final = (257, 129, 65, 33, 17, 9)
_BEYOND_16_BITS: Final = 2**16 + 1


@frozen
class InputCase:
    """One workload with one drawing of its inputs."""

    problem: Problem = field(repr=False)
    workload: Workload
    #: ``normal``, ``large``, ``constant`` or ``adversarial``.
    distribution: str
    #: Of the input generator; kept from proposers and candidates.
    seed: int = field(repr=False)

    @property
    def label(self) -> str:
        """``rows=3,cols=7 (large)``, for messages."""
        return f"{self.workload.label} ({self.distribution})"


def case_seed(rng_seed: int, *parts: str | int) -> int:
    """A seed of 63 bits that depends on the run's secret seed and on every part."""
    text = "\x1f".join(map(str, (rng_seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def make_inputs(case: InputCase) -> dict[str, torch.Tensor]:
    """The inputs by name: contiguous host tensors of the workload's shapes and types, always the same for one case.

    The problem's generator is asked first; inputs it leaves out are drawn independently. Raises `ProblemError` where
    the generator fails or returns something that does not fit.
    """
    problem, workload = case.problem, case.workload
    dtypes = problem.dtypes(workload)
    rng = torch.Generator().manual_seed(case.seed)
    made: Mapping[str, torch.Tensor] = {}
    if problem.generate is not None:
        request = InputRequest(workload.axes, dtypes, case.distribution, rng)
        made = _generated(problem, request, case.label)
    inputs: dict[str, torch.Tensor] = {}
    for spec in problem.inputs:
        dtype, shape = getattr(torch, dtypes[spec.name]), spec.sizes(workload.axes)
        tensor = made[spec.name] if spec.name in made else _draw(dtypes[spec.name], shape, case.distribution, rng)
        if tuple(tensor.shape) != shape:
            message = f"{_where(problem, case.label)}: generate made {spec.name!r} of shape {tuple(tensor.shape)}"
            raise ProblemError(f"{message}; the problem declares {shape}")
        inputs[spec.name] = tensor.detach().to(dtype=dtype, device="cpu").contiguous()
    return inputs


def _where(problem: Problem, label: str) -> str:
    return f"problem {problem.name!r}, {label}"


def _generated(problem: Problem, request: InputRequest, label: str) -> Mapping[str, torch.Tensor]:
    assert problem.generate is not None
    try:
        made = problem.generate(request)
    except Exception as error:  # the author's code may raise anything; they read one sentence
        raise ProblemError(f"{_where(problem, label)}: generate failed: {type(error).__name__}: {error}") from error
    names = [spec.name for spec in problem.inputs]
    for name, tensor in made.items():
        if name not in names or not isinstance(tensor, torch.Tensor):
            wrong = f"a {type(tensor).__name__} for {name!r}" if name in names else f"{name!r}, which is no input"
            raise ProblemError(
                f"{_where(problem, label)}: generate returned {wrong}; return tensors for {', '.join(names)}."
                f"{suggest(name, names)}"
            )
    return made


def _draw(dtype: str, shape: tuple[int, ...], distribution: str, rng: torch.Generator) -> torch.Tensor:
    kind: torch.dtype = getattr(torch, dtype)
    if distribution == "constant":
        # One of few short fractions: sums of it are exact, so the order of summation cannot matter.
        value = float(torch.randint(4, 13, (), generator=rng)) / 8
        return torch.full(shape, value if kind.is_floating_point else max(1, round(value * 2))).to(kind)
    if dtype == "bool":
        return torch.randint(2, shape, generator=rng).to(kind)
    if kind.is_floating_point:
        factor = _LARGE.get(dtype, _LARGE_DEFAULT) if distribution == "large" else 1.0
        wide = torch.float64 if dtype == "float64" else torch.float32
        return torch.randn(shape, generator=rng, dtype=wide).mul_(factor).to(kind)
    limits = torch.iinfo(kind)
    # A quarter of the range: sums of two stay inside the type.
    reach = limits.max // 4 if distribution == "large" else min(limits.max // 2, 100)
    return torch.randint(max(limits.min, -reach), reach + 1, shape, generator=rng).to(kind)


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """The elements of a host tensor as bytes, without a copy where it is contiguous; a boolean is one byte, 0 or 1."""
    if not tensor.numel():
        return memoryview(b"")
    raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return memoryview(raw)  # type: ignore[arg-type]  # an array is a buffer; its type does not say so before NumPy 2.3


def run_reference(problem: Problem, workload: Workload, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Call the reference by the names of its parameters; one tensor per declared output, shapes checked.

    Raises `ProblemError` that says what to change: an unknown parameter, an exception, a wrong count or shape.
    """
    where = _where(problem, workload.label)
    arguments = _arguments(problem, workload, inputs, where)
    try:
        with torch.no_grad():
            result = problem.reference(**arguments)
    except Exception as error:  # the author's code may raise anything; they read one sentence
        raise ProblemError(f"{where}: the reference failed: {type(error).__name__}: {error}") from error
    outputs = tuple(result) if isinstance(result, tuple | list) else (result,)
    if len(outputs) != len(problem.outputs):
        declared = len(problem.outputs)
        raise ProblemError(f"{where}: the reference returned {len(outputs)} values; the problem declares {declared}")
    for spec, tensor in zip(problem.outputs, outputs, strict=True):
        _check_output(spec, tensor, workload, where)
    return outputs


def _arguments(
    problem: Problem, workload: Workload, inputs: Mapping[str, torch.Tensor], where: str
) -> dict[str, torch.Tensor | float | int]:
    available = {**workload.axes, **{scalar.name: scalar.value for scalar in problem.scalars}, **inputs}
    chosen: dict[str, torch.Tensor | float | int] = {}
    for parameter in inspect.signature(problem.reference).parameters.values():
        if parameter.name in available:
            chosen[parameter.name] = available[parameter.name]
        elif parameter.default is parameter.empty:
            raise ProblemError(
                f"{where}: the reference has a parameter {parameter.name!r} that nothing binds; there is "
                f"{', '.join(available)}.{suggest(parameter.name, available)}"
            )
    return chosen


def _check_output(spec: TensorSpec, tensor: object, workload: Workload, where: str) -> None:
    if not isinstance(tensor, torch.Tensor):
        raise ProblemError(f"{where}: the reference returned a {type(tensor).__name__} for {spec.name!r}, not a tensor")
    if tuple(tensor.shape) != spec.sizes(workload.axes):
        raise ProblemError(
            f"{where}: the reference returned {spec.name!r} of shape {tuple(tensor.shape)}; the problem declares "
            f"{spec.sizes(workload.axes)}"
        )
    declared: torch.dtype = getattr(torch, workload.dtypes.get(spec.name, spec.dtype))
    if declared.is_floating_point and not tensor.dtype.is_floating_point:
        return  # a whole-number result of a float output loses nothing
    if tensor.dtype.is_floating_point and not declared.is_floating_point:
        raise ProblemError(
            f"{where}: the reference returned {tensor.dtype} for {spec.name!r}, which is declared as whole numbers "
            f"({declared}); convert it in the reference, or declare a float type"
        )


def expect(case: InputCase, inputs: Mapping[str, torch.Tensor] | None = None) -> Expected:
    """What a right kernel gives for `case`: the float64 oracle, with the bounds of the correctness rule.

    `inputs` spares making them again. Raises `ProblemError` where the reference does not fit the problem.
    """
    given = make_inputs(case) if inputs is None else inputs
    size = _nbytes(case.problem, case.workload)
    return on_fastest(lambda device: _expect(case, {n: t.to(device) for n, t in given.items()}), nbytes=size)


def _expect(case: InputCase, given: Mapping[str, torch.Tensor]) -> Expected:
    problem, workload = case.problem, case.workload
    exact = run_reference(problem, workload, _promoted(given, torch.float64))
    native = _native(problem, workload, given)
    dtypes = problem.dtypes(workload)
    outputs = {}
    for spec, oracle, plain in zip(problem.outputs, exact, native, strict=True):
        dtype = dtypes[spec.name]
        if getattr(torch, dtype).is_floating_point:
            oracle, plain = oracle.to(torch.float64), plain.to(getattr(torch, dtype))  # noqa: PLW2901  # both are ours
        longest = max(workload.axes.values(), default=1)
        outputs[spec.name] = expect_output(spec.name, dtype, oracle, plain, problem.tolerance, longest)
    return Expected(outputs=outputs, workload=workload.label, distribution=case.distribution)


def _promoted(inputs: Mapping[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Copies that a reference may change in place; floats as `dtype`."""
    return {
        name: tensor.to(dtype, copy=True) if tensor.dtype.is_floating_point else tensor.clone()
        for name, tensor in inputs.items()
    }


def _native(problem: Problem, workload: Workload, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """The reference in the workload's own types; in float32 where PyTorch lacks an operation for them (float8)."""
    try:
        return run_reference(problem, workload, {name: tensor.clone() for name, tensor in inputs.items()})
    except ProblemError:
        return run_reference(problem, workload, _promoted(inputs, torch.float32))


def check_plan(
    problem: Problem, rng_seed: int, *, limit_bytes: int = DEFAULT_LIMIT, dtypes: Container[str] = tuple(DTYPES)
) -> tuple[InputCase, ...]:
    """The cases a candidate is checked on, cheap first: smoke workloads, then hidden ones, distributions in rotation.

    Workloads whose tensors exceed `limit_bytes`, or have a type that is not among `dtypes`, are left out. The cases are
    the same for the same `rng_seed`, which is secret. There is always at least one, the smallest visible workload that
    can be had.
    """

    def computable(one: Workload) -> bool:
        return all(dtype in dtypes for dtype in problem.dtypes(one).values())

    hidden = problem.hidden or derived_workloads(problem, limit_bytes)
    fitting = [one for one in _unique((*problem.tagged("smoke"), *hidden)) if computable(one)]
    chosen = [one for one in fitting if _nbytes(problem, one) <= limit_bytes]
    if not chosen:
        visible = [one for one in problem.workloads if computable(one)] or problem.workloads
        chosen = [min(visible, key=lambda one: _nbytes(problem, one))]
    pairs = list(_rotated(problem, chosen))
    pairs += list(_more(problem, chosen, pairs))
    pairs.sort(key=lambda pair: _nbytes(problem, pair[0]))
    return tuple(
        InputCase(problem, one, kind, case_seed(rng_seed, problem.name, one.label, kind, index))
        for index, (one, kind) in enumerate(pairs)
    )


def _rotated(problem: Problem, chosen: Sequence[Workload]) -> Iterator[tuple[Workload, str]]:
    """Each workload with one distribution; equal inputs say least, so the larger half does without ``constant``."""
    by_size = sorted(chosen, key=lambda one: _nbytes(problem, one))
    telling = [kind for kind in problem.distributions if kind != "constant"] or list(problem.distributions)
    for index, one in enumerate(by_size):
        kinds = problem.distributions if 2 * index < len(by_size) else telling
        yield one, "normal" if "smoke" in one.tags and "normal" in kinds else kinds[index % len(kinds)]


def _more(
    problem: Problem, chosen: Sequence[Workload], taken: Sequence[tuple[Workload, str]]
) -> Iterator[tuple[Workload, str]]:
    """Further pairs until there are `FEWEST_CASES` and every distribution occurs, from the middle of the sizes."""
    by_size = sorted(chosen, key=lambda one: _nbytes(problem, one))
    half = len(by_size) // 2
    missing = set(problem.distributions) - {kind for _, kind in taken}
    wanted = max(FEWEST_CASES - len(taken), len(missing))
    order = sorted(problem.distributions, key=lambda kind: kind not in missing)
    free = ((one, kind) for kind in order for one in by_size[half:] + by_size[:half] if (one, kind) not in taken)
    for _, pair in zip(range(wanted), free, strict=False):
        yield pair


def derived_workloads(problem: Problem, limit_bytes: int = DEFAULT_LIMIT) -> tuple[Workload, ...]:
    """Sizes nobody asked for: one, odd, prime, just above a power of two, beyond 16 bits in one axis.

    Only those that fit the problem's `requires` are kept; where none does, multiples of 8 and of 64 are tried. Element
    types rotate over those of the visible workloads.
    """
    types = list({tuple(sorted(one.dtypes.items())): one.dtypes for one in problem.workloads}.values())
    for unit in (1, 8, 64):
        fitting = [
            one
            for index, axes in enumerate(_bindings(problem.axes, unit))
            if _fits(problem, one := Workload(axes, types[index % len(types)]), limit_bytes)
        ]
        if fitting:
            return _unique(fitting)[:MOST_DERIVED]
    return ()


def shrunk_workloads(problem: Problem, workload: Workload, limit_bytes: int) -> tuple[Workload, ...]:
    """`workload` with axes halved until it fits: outer axes first, and the longest first.

    Sizes keep what divides them, so that a kernel made for `workload` mostly serves these too.
    """
    found = []
    for outer_first in (True, False):
        axes = dict(workload.axes)
        while _nbytes(problem, one := Workload(axes, workload.dtypes)) > limit_bytes:
            halvable = [axis for axis, size in axes.items() if size > 1 and size % 2 == 0]
            if not halvable:
                break
            chosen = halvable[0] if outer_first else max(halvable, key=lambda axis: axes[axis])
            axes = {**axes, chosen: axes[chosen] // 2}
        if _fits(problem, one, limit_bytes):
            found.append(one)
    return _unique(found)


def _bindings(axes: Sequence[str], unit: int) -> Iterator[dict[str, int]]:
    def of(sizes: Sequence[int]) -> dict[str, int]:
        return {axis: sizes[index % len(sizes)] * unit for index, axis in enumerate(axes)}

    yield of((1,))
    yield of(_ODD)
    yield of(_PRIMES)
    yield of(_ABOVE_POWER)
    beyond = (_BEYOND_16_BITS // unit + (unit > 1)) * unit
    for axis in axes[:3]:
        yield {**of(_ODD[:2] if unit == 1 else (1,)), axis: beyond}
    for axis in axes[:3]:
        yield {**of(_PRIMES), axis: unit}


def _fits(problem: Problem, workload: Workload, limit_bytes: int) -> bool:
    try:
        problem.check(workload)
        return 0 < _nbytes(problem, workload) <= limit_bytes
    except ProblemError:
        return False


def _nbytes(problem: Problem, workload: Workload) -> int:
    return sum(problem.nbytes(spec, workload) for spec in problem.tensors)


def _unique(workloads: Sequence[Workload]) -> tuple[Workload, ...]:
    """By label: equal sizes with other tags are the same work."""
    return tuple({one.label: one for one in reversed(workloads)}.values())[::-1]
