"""The verb compile: one kernel for any number of targets, with or without a device."""

from __future__ import annotations

__all__ = ["Compiled", "compile_kernel"]

import time
from collections.abc import Mapping, Sequence

from attrs import field, frozen

from kernelevolve import registry
from kernelevolve.accelerator import Accelerator, Artifact, CompilesOnHost, Interprets, Target
from kernelevolve.api.opening import check_language, choose_workloads, find_target, open_accelerator
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.cache import CompileCache
from kernelevolve.evaluation.compilers import Compilers
from kernelevolve.evaluation.gate import Gate
from kernelevolve.evaluation.isolation import Limits
from kernelevolve.kernel import Configuration, Kernel
from kernelevolve.outcome import CandidateError, Outcome
from kernelevolve.problem import Problem, Workload


@frozen
class Compiled:
    """What one compile came to."""

    target: str
    workload: str
    #: What it failed with; None where it compiled.
    outcome: Outcome | None
    message: str
    #: None where it failed.
    artifact: Artifact | None = field(repr=False)
    #: Wall seconds, starting the compiler excluded.
    seconds: float


def compile_kernel(
    kernel: Kernel,
    problem: Problem | str,
    accelerator: str,
    *,
    targets: Sequence[str] = (),
    configuration: Configuration | None = None,
    workload: Workload | str | None = None,
    limits: Limits | None = None,
) -> tuple[Compiled, ...]:
    """Gate `kernel` and compile it for each of `targets` (default: all that the accelerator names), nothing cached.

    Grids and arguments are those of `workload` (default: the first that is timed on a GPU). Raises
    `KernelEvolveError` where the accelerator needs a device to compile, or for a name that nothing answers to; whatever
    the compiler says of the kernel is an outcome.
    """
    made, device = open_accelerator(accelerator, None)
    if not isinstance(made, CompilesOnHost):
        raise KernelEvolveError(f"{accelerator} compiles on the device that runs the kernel; use evaluate")
    check_language(kernel, made)
    what = registry.problem(problem) if isinstance(problem, str) else problem
    fitting = what.tagged("gpu") or choose_workloads(what, device)
    chosen = choose_workloads(what, device, [workload or fitting[0]])[0]
    wanted = [find_target(made, name) for name in targets] or list(made.targets())
    values = kernel.configuration(configuration)
    path = registry.worker_path(made.name)
    compilers = Compilers(made, path=path, limits=limits or Limits(), cache=CompileCache(), count=1)
    try:
        return tuple(_compile(made, compilers, kernel, values, what, chosen, target) for target in wanted)
    finally:
        compilers.stop()


def _compile(
    made: Accelerator,
    compilers: Compilers,
    kernel: Kernel,
    values: Configuration,
    problem: Problem,
    workload: Workload,
    target: Target,
) -> Compiled:
    begin = time.perf_counter()
    try:
        plan = Gate(problem, _facts(made, target)).plan(kernel, values, workload)
        begin = time.perf_counter()
        artifact = compilers.compile(plan, target)
    except CandidateError as error:
        return Compiled(target.name, workload.label, error.outcome, error.message, None, time.perf_counter() - begin)
    return Compiled(target.name, workload.label, None, "", artifact, time.perf_counter() - begin)


def _facts(made: Accelerator, target: Target) -> Mapping[str, int]:
    """What headers may ask of a chip of `target`: of its interpreter's stand-in, or of a device that has the target."""
    if isinstance(made, Interprets):
        return made.stand_in(target).facts
    devices = made.devices()
    return next((device.facts for device in devices if device.target == target), devices[0].facts)
