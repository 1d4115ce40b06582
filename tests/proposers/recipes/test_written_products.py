"""The kernels written by hand around matrix products: admitted, planned, right in the interpreter, without spills."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from attrs import evolve

from kernelevolve import registry
from kernelevolve.accelerator import Accelerator, Device, Realm, Target
from kernelevolve.evaluation.gate import Gate
from kernelevolve.evaluation.isolation import Limits
from kernelevolve.evaluation.pipeline import Evaluator, Settings
from kernelevolve.kernel import Configuration
from kernelevolve.languages.triton_lang import is_gluon
from kernelevolve.outcome import CompileError, Outcome
from kernelevolve.plan import LaunchPlan, serves
from kernelevolve.problem import Problem, Workload
from kernelevolve.proposers.recipes.written import names, read_written

pytest.importorskip("triton")

TARGET: Final = "cuda:sm_90"
PROBLEMS: Final = ("matmul", "attention", "conv1d", "factorization_machine", "pffn")
RECIPES: Final = [(problem, name) for problem in PROBLEMS for name in names("triton", problem)]
_MATMUL: Final = "a:{0},b:{0},c:{0}"
_ATTENTION: Final = "q:{0},k:{0},v:{0},o:{0}"
_CONV1D: Final = "x:float16,weight:float16,y:float16"
_PFFN: Final = "x:float16,w1:float16,g1:float16,w2:float16,g2:float16,y:float16"
#: Tiny sizes that reach edges in every direction: those with which any kernel must be right, then aligned ones, which
#: tensor descriptors ask for.
CASES: Final = {
    "matmul": (
        "m=33,n=17,k=71",
        f"m=40,n=24,k=72,{_MATMUL.format('bfloat16')}",
        f"m=9,n=136,k=8,{_MATMUL.format('float16')}",
    ),
    "attention": (
        "batch=1,heads=2,length=37,dim=17",
        f"batch=1,heads=2,length=71,dim=24,{_ATTENTION.format('float16')}",
        f"batch=1,heads=3,length=128,dim=16,{_ATTENTION.format('bfloat16')}",
    ),
    "conv1d": (
        "batch=2,cin=5,cout=3,length=9,taps=5",
        f"batch=3,cin=37,cout=9,length=40,taps=3,{_CONV1D}",
        f"batch=1,cin=3,cout=65,length=72,taps=3,{_CONV1D}",
    ),
    "factorization_machine": (
        "batch=2,n=5,d=35,k=131",
        "batch=3,n=24,d=9,k=50,x:float16,y:float16,out:float16",
    ),
    "pffn": (
        "batch=2,tokens=17,width=9,hidden=35",
        f"batch=1,tokens=5,width=33,hidden=24,{_PFFN}",
    ),
}


@pytest.fixture(scope="module")
def accelerator() -> Accelerator:
    return registry.accelerator("triton-cuda")


@pytest.fixture(scope="module")
def interpreter(accelerator: Accelerator) -> Device:
    return next(one for one in accelerator.devices() if one.realm is Realm.INTERPRETED and one.target.name == TARGET)


@pytest.fixture(scope="module", params=PROBLEMS)
def evaluator(request: pytest.FixtureRequest, accelerator: Accelerator, interpreter: Device) -> Iterator[Evaluator]:
    problem = registry.problem(request.param)
    cases = CASES[request.param]
    settings = Settings(limits=Limits(run_seconds=120.0, compile_seconds=120.0), check_seconds=None)
    with Evaluator(
        evolve(problem, hidden=cases),
        accelerator,
        interpreter,
        workloads=[Workload.parse(cases[-1])],
        path="triton-cuda",
        settings=settings,
        secret=11,
    ) as opened:
        yield opened


def headline(problem: Problem) -> Workload:
    return problem.tagged("gpu")[0]


def plan(problem: Problem, name: str, device: Device, workload: Workload, chosen: Configuration) -> LaunchPlan:
    kernel = read_written("triton", problem.name, name).kernel
    return Gate(problem, device.facts, memory=None).plan(kernel, kernel.configuration(chosen), workload)


def test_there_are_kernels_for_every_one_of_these_problems() -> None:
    assert {problem for problem, _ in RECIPES} == set(PROBLEMS)


@pytest.mark.parametrize(("problem_name", "name"), RECIPES)
def test_the_gate_admits_it_and_it_plans_on_every_workload_it_claims(
    problem_name: str, name: str, interpreter: Device
) -> None:
    problem = registry.problem(problem_name)
    kernel = read_written("triton", problem_name, name).kernel
    Gate(problem, interpreter.facts, memory=None).admit(kernel)
    claimed = [one for one in problem.workloads if serves(kernel, problem, one)]
    assert headline(problem) in claimed
    for workload in claimed:
        assert plan(problem, name, interpreter, workload, {}).launches


@pytest.mark.exhaustive
def test_each_is_right_on_sizes_with_edges(evaluator: Evaluator) -> None:
    problem = evaluator.problem
    for name in names("triton", problem.name):
        kernel = read_written("triton", problem.name, name).kernel
        if is_gluon(kernel.body):  # nothing interprets it: a GPU alone can check it
            continue
        served = sum(serves(kernel, problem, Workload.parse(case)) for case in CASES[problem.name])
        found = evaluator.evaluate(kernel)
        assert found.outcome is Outcome.UNMEASURED, f"{name}: {found.outcome}: {found.message}"
        assert found.checks.passed >= served > 0, name


@pytest.mark.parametrize(("problem_name", "name"), RECIPES)
def test_the_default_keeps_everything_in_registers_on_hopper(
    problem_name: str, name: str, accelerator: Accelerator, interpreter: Device
) -> None:
    problem = registry.problem(problem_name)
    found = plan(problem, name, interpreter, headline(problem), {})
    artifact = accelerator.compile(found, interpreter.target)
    for launch in found.launches:
        used = artifact.resources[launch.entry]
        spilled = max(used.get("spill_store_bytes", 0), used.get("spill_load_bytes", 0))
        # pffn/resident holds two matrices in its 255 registers; a few words of addresses leave them for a while.
        assert spilled <= (64 if (problem_name, name) == ("pffn", "resident") else 0), (launch.entry, used)


GLUON: Final = [entry for entry in RECIPES if is_gluon(read_written("triton", *entry).kernel.body)]


@pytest.mark.parametrize(("problem_name", "name"), GLUON)
@pytest.mark.parametrize("target", ["cuda:sm_80", "cuda:sm_100", "hip:gfx942"])
def test_a_kernel_for_hopper_is_refused_for_other_chips_by_its_line(
    problem_name: str, name: str, target: str, accelerator: Accelerator, interpreter: Device
) -> None:
    problem = registry.problem(problem_name)
    found = plan(problem, name, interpreter, headline(problem), {})
    with pytest.raises(CompileError, match=rf"hopper is for cuda:sm_90, and this compiles for {target}") as caught:
        accelerator.compile(found, Target(target))
    assert "import" in found.source.splitlines()[(caught.value.details["line"] or 0) - 1]


@pytest.mark.parametrize(("problem_name", "name"), GLUON)
def test_a_gluon_kernel_has_no_interpreter_and_is_not_offered_to_one(
    problem_name: str, name: str, accelerator: Accelerator, interpreter: Device
) -> None:
    problem, written = registry.problem(problem_name), read_written("triton", problem_name, name)
    assert written.suits("cuda:sm_90")
    assert not written.suits("cuda:sm_90", interpreted=True)
    with pytest.raises(CompileError, match="Triton has no interpreter for that; evaluate it on a GPU"):
        accelerator.interpret(plan(problem, name, interpreter, headline(problem), {}))


def test_attention_takes_turns_with_every_register_and_no_more(accelerator: Accelerator, interpreter: Device) -> None:
    found = plan(registry.problem("attention"), "turns", interpreter, headline(registry.problem("attention")), {})
    artifact = accelerator.compile(found, interpreter.target)
    used = artifact.resources["attention"]
    assert used["threads"] == 384  # a fetching warp group and two that compute
    assert used["threads"] * used["registers"] <= 65536
    assert "ttir:attention" not in artifact.stages
    assert artifact.extra["numerics"]["attention"]["float32_dots"] == {}
    text = artifact.stages["ptx:attention"].decode()
    assert text.count("wgmma.mma_async") >= 2
    assert "cp.async.bulk.tensor" in text
