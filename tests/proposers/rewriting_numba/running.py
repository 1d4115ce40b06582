"""Runs Numba kernels in the interpreter, in this process, and judges what they leave by the problem's oracle."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from kernelevolve import registry
from kernelevolve.accelerator import BufferSpec, Device, Realm
from kernelevolve.backends._numba.simulator import SimulatorSession, interpreted_artifact
from kernelevolve.backends.numba_cuda import NumbaCUDA
from kernelevolve.evaluation.cases import InputCase, expect, make_inputs, tensor_bytes
from kernelevolve.evaluation.correctness import Expected, compare
from kernelevolve.kernel import Configuration, Kernel, parse_kernel
from kernelevolve.languages.numba_lang import NumbaLanguage
from kernelevolve.plan import LaunchPlan, make_plan
from kernelevolve.problem import Problem, Workload
from kernelevolve.proposers.rewriting.numba_rules import REWRITES, sites
from kernelevolve.proposers.rewriting.view import Site

GUARD: Final = 64
LANGUAGE: Final = NumbaLanguage()
ACCELERATOR: Final = NumbaCUDA()


@lru_cache(maxsize=1)
def device() -> Device:
    """The interpreter with the facts of an H100."""
    return next(one for one in ACCELERATOR.devices() if one.realm is Realm.INTERPRETED)


def seed(problem: Problem) -> Kernel:
    """The problem's seed for Numba."""
    return parse_kernel(problem.seeds["numba"])


def found(kernel: Kernel, problem: Problem, name: str) -> list[Site]:
    """Where the rewrite called `name` applies."""
    return sites(kernel, problem, next(one for one in REWRITES if one.name == name))


def plan(kernel: Kernel, problem: Problem, workload: Workload, chosen: Configuration | None = None) -> LaunchPlan:
    """The plan of a workload with the default configuration, or with what is `chosen`."""
    entries = LANGUAGE.entries(kernel.body)
    return make_plan(kernel, problem, workload, kernel.configuration(chosen), entries, device().facts)


@lru_cache(maxsize=64)
def _oracle(name: str, label: str) -> tuple[InputCase, Expected]:
    case = InputCase(registry.problem(name), Workload.parse(label), "normal", 7)
    return case, expect(case)


def wrong(kernel: Kernel, problem: Problem, label: str, chosen: Configuration | None = None) -> list[str]:
    """What is wrong with the outputs for the workload `label`; the interpreter raises for races and bad accesses."""
    case, expected = _oracle(problem.name, label)
    planned, session = plan(kernel, problem, case.workload, chosen), SimulatorSession(device())
    inputs = make_inputs(case)
    buffers = {}
    for one in planned.buffers:
        buffers[one.name] = session.allocate(BufferSpec(one.nbytes, GUARD))
        session.fill(buffers[one.name], 0xAB, guards=True)
        if one.name in inputs:
            session.upload(buffers[one.name], tensor_bytes(inputs[one.name]))
    session.launch(session.bind(session.load(interpreted_artifact(planned)), planned.launches, buffers))
    session.synchronize()
    compared = {one.name: compare(session.download(buffers[one.name]), expected, one.name) for one in problem.outputs}
    for name, tensor in inputs.items():
        assert session.download(buffers[name]) == bytes(tensor_bytes(tensor)), name
    return [f"{name}: {one}" for name, one in compared.items() if not one.ok]


def fewest_threads(kernel: Kernel) -> dict[str, int]:
    """The configuration with the fewest threads a block that a warp shuffle can work with, for speed here."""
    offered = [value for value in kernel.tunables.get("THREADS", ()) if isinstance(value, int) and value % 32 == 0]
    return {"THREADS": min(offered)} if offered else {}


def spills(kernel: Kernel, problem: Problem) -> dict[str, int]:
    """Compile the default for the first workload of a GPU, for Hopper: bytes spilled, by entry."""
    artifact = ACCELERATOR.compile(plan(kernel, problem, problem.tagged("gpu")[0]), device().target)
    return {
        entry: used["spill_store_bytes"] + used["spill_load_bytes"] + used["private_bytes"]
        for entry, used in artifact.resources.items()
    }
