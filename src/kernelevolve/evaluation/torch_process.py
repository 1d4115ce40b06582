"""PyTorch as one more accelerator: what users have today, timed by the protocol that candidates are timed by.

A worker opened on `PyTorch` is a process that runs a problem's reference and its `baselines`, eagerly and through
``torch.compile``. No candidate ever runs in it. A plan's *source* is the problem's name or file reference and its
configuration names the implementation:

- ``eager`` calls the reference; ``compile`` is ``torch.compile`` as it comes; ``compile-max-autotune`` is its mode
  ``max-autotune-no-cudagraphs``: since the host's time is not counted, graphs have nothing to save, and they would copy
  the inputs in every call and charge PyTorch for it;
- ``eager:NAME``, ``compile:NAME`` and so on run the problem's baseline of that name.

Settings are the same for all of them, are stated in the artifact, and are asserted whenever something is built: TF32 is
off (a candidate for float32 must not use it either), half-precision reductions are as PyTorch has them by default,
cuDNN may search for its best algorithm (untimed), and nothing is compiled for dynamic shapes.
"""

from __future__ import annotations

__all__ = ["MODES", "PyTorch", "implementation_names", "plan_of"]

import gc
import inspect
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch

from kernelevolve.accelerator import API, Artifact, Availability, Device, Realm, Status, Target
from kernelevolve.evaluation.cases import InputCase, make_inputs
from kernelevolve.evaluation.torch_session import (
    Clock,
    DeviceClock,
    HostClock,
    Implementation,
    Tensors,
    TorchSession,
    failure,
)
from kernelevolve.outcome import CompileError, ToolchainError
from kernelevolve.plan import LaunchPlan, PlannedBuffer, PlannedLaunch, Role
from kernelevolve.problem import DTYPES, Problem, Workload
from kernelevolve.registry import problem as find_problem

#: ``torch.compile``'s mode of each way to run; None is its default, and eager has none.
MODES: Final[Mapping[str, str | None]] = {
    "eager": "",
    "compile": None,
    "compile-max-autotune": "max-autotune-no-cudagraphs",
}
#: Where a driver or a compiler is, and where compiled code may be kept; everything else stays out of the process.
_ENVIRONMENT: Final = re.compile(
    r"LD_LIBRARY_PATH|CUDA_\w+|HIP_\w+|ROCR_\w+|NVIDIA_\w+|CC|CXX|OMP_NUM_THREADS|TORCHINDUCTOR_\w+|TRITON_\w+"
)
#: Shapes and modes that one function may be compiled for; beyond its default of 8 PyTorch would silently run eagerly.
_COMPILED: Final = 64


def implementation_names(problem: Problem, modes: Sequence[str] = tuple(MODES)) -> tuple[str, ...]:
    """Every implementation of `problem` in these modes: ``eager``, ``eager:conv2d``, ``compile`` and so on."""
    return tuple(mode + suffix for mode in modes for suffix in ("", *(f":{name}" for name in problem.baselines)))


def plan_of(
    problem: Problem, reference: str, workload: Workload, implementation: str, *, threads: int, flush_bytes: int
) -> LaunchPlan:
    """The plan that a worker on `PyTorch` runs: one launch, the problem's own tensors.

    `threads` matters on the host's processor only.
    """
    dtypes = problem.dtypes(workload)
    roles = [*((spec, Role.INPUT) for spec in problem.inputs), *((spec, Role.OUTPUT) for spec in problem.outputs)]
    return LaunchPlan(
        language="pytorch",
        source=reference,
        configuration={
            "implementation": implementation,
            "workload": workload.label,
            "threads": threads,
            "flush_bytes": flush_bytes,
        },
        buffers=tuple(PlannedBuffer(s.name, role, s.sizes(workload.axes), dtypes[s.name]) for s, role in roles),
        launches=(PlannedLaunch(implementation, (1,), (), ()),),
    )


class PyTorch:
    """The `kernelevolve.accelerator.Accelerator` that a baseline's worker opens."""

    name = "pytorch"
    api = API
    languages = frozenset({"pytorch"})

    def __init__(self) -> None:
        self._session: TorchSession | None = None
        self._built: dict[str, Implementation] = {}
        self._examples: tuple[tuple[str, str], Tensors] | None = None

    def probe(self) -> Availability:
        """PyTorch is a dependency: always."""
        return Availability(Status.OK, f"PyTorch {torch.__version__}")

    def environment(self) -> Mapping[str, str]:
        """Variables that say where driver, compiler and compiled code are."""
        return {name: value for name, value in os.environ.items() if _ENVIRONMENT.fullmatch(name)}

    def devices(self) -> Sequence[Device]:
        """The host's processor, then every GPU that PyTorch sees: ``cpu``, ``cuda:0`` and so on."""
        names = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        return [
            Device(
                accelerator=self.name,
                index=index,
                name=name,
                target=Target(f"pytorch:{name}"),
                realm=Realm.HARDWARE,
                facts={},
                dtypes=frozenset(DTYPES),
            )
            for index, name in enumerate(names)
        ]

    def targets(self) -> Sequence[Target]:
        """One per device."""
        return [device.target for device in self.devices()]

    def toolchain(self) -> Mapping[str, str]:
        """Versions."""
        versions = {"torch": torch.__version__, "cuda": torch.version.cuda, "hip": torch.version.hip}
        return {name: version for name, version in versions.items() if version}

    def compile_key(self, plan: LaunchPlan) -> Mapping[str, Any]:
        """The whole plan: compiled code is specialised to its shapes."""
        return {"plan": plan.digest}

    def compile(self, plan: LaunchPlan, target: Target) -> Artifact:  # noqa: ARG002  # of the one device that is open
        """Build an implementation and run it until nothing is compiled any more, on inputs of its own.

        The artifact's `extra` has ``compile_seconds`` (the first run, less a second one), ``synchronises``, and how
        many graphs and graph breaks ``torch.compile`` made. Raises `CompileError`, or what running it amounts to.
        """
        assert self._session is not None, "the worker opens the device first"
        wanted = dict(plan.configuration)
        name = str(wanted["implementation"])
        self._session.flush_bytes = int(wanted["flush_bytes"])
        torch.set_num_threads(int(wanted["threads"]) or torch.get_num_threads())
        try:
            problem, workload = find_problem(plan.source), Workload.parse(str(wanted["workload"]))
            assert_ieee()  # the problem's module may have changed it
            found = _build(problem, workload, name)
            extra = self._warm_up(found, self._inputs(plan.source, problem, workload))
            assert_ieee()  # and so may the implementation
        except Exception as error:  # the problem's author or PyTorch may raise anything; it becomes an outcome
            settle()
            raise failure(error, name, compiling=not name.startswith("eager")) from error
        self._built[plan.digest] = found
        described = {"source": plan.source, "workload": workload.label, "implementation": name, "key": plan.digest}
        return Artifact(stages={}, toolchain={**self.toolchain(), **self._settings()}, extra={**described, **extra})

    def _settings(self) -> dict[str, str]:
        assert self._session is not None
        place = self._session.place
        return {**settings(), **({"GPU": torch.cuda.get_device_name(place)} if place.type == "cuda" else {})}

    def _inputs(self, reference: str, problem: Problem, workload: Workload) -> Tensors:
        """Inputs to compile and autotune on, made once per workload; they are never timed."""
        key = (reference, workload.label)
        if self._examples is None or self._examples[0] != key:
            self._forget()
            made = make_inputs(InputCase(problem, workload, "normal", 0))
            assert self._session is not None
            place = self._session.place
            self._examples = key, tuple(made[spec.name].to(place) for spec in problem.inputs)
        return self._examples[1]

    def _forget(self) -> None:
        """Give back what an earlier workload took, and let ``torch.compile`` start anew: shapes it has seen make it
        compile for any size, which is slower.
        """
        self._examples = None
        self._built.clear()
        torch.compiler.reset()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _warm_up(self, found: Implementation, inputs: Tensors) -> dict[str, Any]:
        assert self._session is not None
        graphs, breaks = _graphs()
        times = []
        with torch.inference_mode():
            for _ in range(2):
                begin = time.perf_counter()
                found.run(*inputs)
                self._session.synchronize()
                times.append(time.perf_counter() - begin)
            found.synchronises = not self._session.clock.hides(lambda: found.run(*inputs))
        made, broken = _graphs()
        if _mode(found.name) != "" and made == graphs:
            raise CompileError(f"{found.name}: torch.compile made no graph of it", stage="torch.compile")
        return {
            "compile_seconds": max(0.0, times[0] - times[1]),
            "synchronises": found.synchronises,
            "graphs": made - graphs,
            "graph_breaks": broken - breaks,
        }

    @contextmanager
    def open(self, device: Device) -> Iterator[TorchSession]:
        """Settle PyTorch's settings and open the device."""
        settle()
        place = torch.device(device.name)
        clock: Clock = HostClock()
        if place.type == "cuda":
            torch.cuda.set_device(place)
            clock = DeviceClock(torch.cuda, int(torch.cuda.get_device_properties(place).L2_cache_size))
        self._session = TorchSession(device, place, clock, self._find)
        try:
            yield self._session
        finally:
            self._session = None

    def _find(self, artifact: Artifact) -> Implementation:
        """What was compiled here, or, where that was another process, the same built again."""
        extra = artifact.extra
        if extra["key"] not in self._built:
            problem, workload = find_problem(extra["source"]), Workload.parse(extra["workload"])
            found = _build(problem, workload, extra["implementation"])
            found.synchronises = bool(extra["synchronises"])
            self._built[extra["key"]] = found
        return self._built[extra["key"]]


def settle() -> None:
    """One set of settings for every implementation. Raises `ToolchainError` where PyTorch does not take them."""
    import torch._dynamo.config as dynamo  # noqa: PLC0415  # takes seconds to import

    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    # Both exist since 2.6; older versions know the first as cache_size_limit and have no second.
    for name, value in (("recompile_limit", _COMPILED), ("fail_on_recompile_limit_hit", True)):
        if hasattr(dynamo, name):
            setattr(dynamo, name, value)
    assert_ieee()


def assert_ieee() -> None:
    """Raise `ToolchainError` unless float32 is computed as float32."""
    found = settings()
    wrong = {name: value for name, value in found.items() if name in _IEEE and value != _IEEE[name]}
    if wrong:
        listed = ", ".join(f"{name} is {value}" for name, value in wrong.items())
        raise ToolchainError(f"float32 would not be computed as float32: {listed}", log="")


_IEEE: Final = {"float32 matmul precision": "highest", "TF32 in matmul": "False", "TF32 in cuDNN": "False"}


def settings() -> dict[str, str]:
    """Everything that changes numerics or the choice of algorithms, as it is now."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return {
        "float32 matmul precision": torch.get_float32_matmul_precision(),
        "TF32 in matmul": str(matmul.allow_tf32),
        "TF32 in cuDNN": str(cudnn.allow_tf32),
        "reduced-precision reduction, float16": str(matmul.allow_fp16_reduced_precision_reduction),
        "reduced-precision reduction, bfloat16": str(matmul.allow_bf16_reduced_precision_reduction),
        "cuDNN searches algorithms": str(cudnn.benchmark),
        "threads": str(torch.get_num_threads()),
    }


def _mode(name: str) -> str | None:
    return MODES[name.partition(":")[0]]


def _build(problem: Problem, workload: Workload, name: str) -> Implementation:
    """The implementation called `name`, not compiled yet. Raises `KeyError` for a name that there is not."""
    baseline = name.partition(":")[2]
    function = problem.baselines[baseline] if baseline else problem.reference
    mode = _mode(name)
    bound = _bound(problem, workload, function)
    run = bound if mode == "" else torch.compile(bound, dynamic=False, mode=mode)

    def outputs(*inputs: torch.Tensor) -> Tensors:
        result = run(*inputs)
        return tuple(result) if isinstance(result, tuple | list) else (result,)

    return Implementation(problem, workload, name, outputs)


def _bound(problem: Problem, workload: Workload, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` on the inputs in their declared order; axes and scalars are constants, as in a user's own code."""
    names = tuple(spec.name for spec in problem.inputs)
    numbers: dict[str, Any] = {**workload.axes, **{scalar.name: scalar.value for scalar in problem.scalars}}
    parameters = inspect.signature(function).parameters
    constants = {parameter: numbers[parameter] for parameter in parameters if parameter in numbers}
    taken = tuple(name if name in parameters else None for name in names)

    def call(*inputs: torch.Tensor) -> Any:
        given = {name: tensor for name, tensor in zip(taken, inputs, strict=True) if name is not None}
        return function(**given, **constants)

    return call


def _graphs() -> tuple[int, int]:
    """How many graphs ``torch.compile`` has made in this process, and how often it had to break one."""
    from torch._dynamo.utils import counters  # noqa: PLC0415  # takes seconds to import

    return int(counters["stats"]["unique_graphs"]), sum(counters["graph_break"].values())
