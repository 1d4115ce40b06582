"""The Numba kernels written by hand: admitted, planned, right in the interpreter, compiled without spills."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from attrs import evolve

from kernelevolve import registry
from kernelevolve.accelerator import Device, Realm
from kernelevolve.backends.numba_cuda import NumbaCUDA
from kernelevolve.evaluation.gate import Gate
from kernelevolve.evaluation.pipeline import Evaluator, Limits, Settings
from kernelevolve.kernel import Configuration
from kernelevolve.outcome import Outcome
from kernelevolve.plan import LaunchPlan, serves
from kernelevolve.problem import Problem, Workload
from kernelevolve.proposers.recipes.written import names, read_written

pytest.importorskip("numba_cuda")

TARGET: Final = "cuda:sm_90"
_NORM: Final = "x:bfloat16,weight:bfloat16,y:bfloat16"
_BACKWARD: Final = "x:bfloat16,weight:bfloat16,dy:bfloat16,dx:bfloat16,dweight:bfloat16"
#: Tiny sizes: shorter than a block's strip, exactly one, and longer; each element type.
CASES: Final = {
    "softmax": ("rows=2,cols=37", "rows=1,cols=1024,x:float16,y:float16", "rows=1,cols=1201,x:bfloat16,y:bfloat16"),
    "rms_norm": ("rows=3,cols=37", f"rows=1,cols=1024,{_NORM}", "rows=1,cols=1201"),
    "layer_norm": ("rows=2,cols=37", f"rows=1,cols=1024,bias:bfloat16,{_NORM}", "rows=1,cols=1201"),
    "rms_norm_backward": ("rows=5,cols=37", f"rows=2,cols=1030,{_BACKWARD}"),
    "cross_entropy": ("rows=3,classes=37", "rows=2,classes=1201,logits:bfloat16,loss:bfloat16"),
    "swiglu": ("rows=3,cols=37", "rows=2,cols=601,gate:bfloat16,up:bfloat16,y:bfloat16"),
    "rope": ("batch=3,heads=3,length=5,half=7", "batch=1,heads=5,length=3,half=16,x:bfloat16,y:bfloat16"),
    "matmul": ("m=33,n=17,k=19", "m=9,n=70,k=16,a:float16,b:float16,c:float16"),
    "factorization_machine": ("batch=2,n=5,d=35,k=37", "batch=1,n=26,d=9,k=70,x:float16,y:float16,out:float16"),
    "embedding_bag": ("entries=11,dim=7,bags=5,count=37", "entries=9,dim=70,bags=3,count=50,table:float16,out:float16"),
    "map_id": ("count=300,size=41", "count=37,size=1100"),
    "mbdt": ("rows=3,cols=37,borders=5", "rows=2,cols=601,borders=3"),
}
#: Fewer threads and elements a thread, so that tiny sizes reach every path.
CHOSEN: Final[dict[str, Configuration]] = {
    "softmax": {"THREADS": 128, "ITEMS": 8},
    "rms_norm": {"THREADS": 128, "ITEMS": 8},
    "layer_norm": {"THREADS": 128, "ITEMS": 8},
    "rms_norm_backward": {"THREADS": 256, "ITEMS": 4, "WAVES": 1},
    "cross_entropy": {"THREADS": 128, "AHEAD": 4},
    "swiglu": {"THREADS": 128, "ITEMS": 4},
    "rope": {"THREADS": 128, "HEADS": 4},
    "matmul": {"ROWS": 8, "COLS": 8, "BAND": 4},
    "factorization_machine": {"THREADS": 64, "ROWS": 8},
    "embedding_bag": {"THREADS": 32, "AHEAD": 4},
    "map_id": {"THREADS": 128, "SAMPLES": 512, "ITEMS": 2},
    "mbdt": {"THREADS": 64, "ITEMS": 4},
}
#: Those that the interpreter is done with in a second or two.
QUICK: Final = ("swiglu", "rope", "embedding_bag", "map_id")
RECIPES: Final = [(problem, name) for problem in CASES for name in names("numba", problem)]


@pytest.fixture(scope="module")
def accelerator() -> NumbaCUDA:
    return NumbaCUDA()


@pytest.fixture(scope="module")
def interpreter(accelerator: NumbaCUDA) -> Device:
    return next(one for one in accelerator.devices() if one.realm is Realm.INTERPRETED and one.target.name == TARGET)


@pytest.fixture(
    scope="module", params=[pytest.param(one, marks=[] if one in QUICK else pytest.mark.exhaustive) for one in CASES]
)
def evaluator(request: pytest.FixtureRequest, accelerator: NumbaCUDA, interpreter: Device) -> Iterator[Evaluator]:
    problem, cases = registry.problem(request.param), CASES[request.param]
    settings = Settings(limits=Limits(run_seconds=120.0, compile_seconds=120.0), check_seconds=None)
    with Evaluator(
        evolve(problem, hidden=cases),
        accelerator,
        interpreter,
        workloads=[Workload.parse(cases[-1])],
        path="numba-cuda",
        settings=settings,
        secret=11,
    ) as opened:
        yield opened


def headline(problem: Problem) -> Workload:
    return problem.tagged("gpu")[0]


def plan(problem: Problem, name: str, device: Device, workload: Workload, chosen: Configuration) -> LaunchPlan:
    kernel = read_written("numba", problem.name, name).kernel
    return Gate(problem, device.facts, memory=None).plan(kernel, kernel.configuration(chosen), workload)


def test_there_are_kernels_for_every_one_of_these_problems() -> None:
    assert {problem for problem, _ in RECIPES} == set(CASES)


@pytest.mark.parametrize(("problem_name", "name"), RECIPES)
def test_the_gate_admits_it_and_it_plans_on_every_workload(problem_name: str, name: str, interpreter: Device) -> None:
    problem = registry.problem(problem_name)
    kernel = read_written("numba", problem_name, name).kernel
    Gate(problem, interpreter.facts, memory=None).admit(kernel)
    for workload in (*problem.workloads, *problem.hidden):
        assert serves(kernel, problem, workload)
        assert plan(problem, name, interpreter, workload, {}).launches


def test_each_is_right_on_sizes_with_edges(evaluator: Evaluator) -> None:
    problem = evaluator.problem
    for name in names("numba", problem.name):
        kernel = read_written("numba", problem.name, name).kernel
        found = evaluator.evaluate(kernel.with_default(CHOSEN[problem.name]))
        assert found.outcome is Outcome.UNMEASURED, f"{name}: {found.outcome}: {found.message}"
        assert found.checks.passed >= len(CASES[problem.name]), name


@pytest.mark.parametrize(("problem_name", "name"), RECIPES)
def test_the_default_keeps_everything_in_registers_on_hopper(
    problem_name: str, name: str, accelerator: NumbaCUDA, interpreter: Device
) -> None:
    problem = registry.problem(problem_name)
    found = plan(problem, name, interpreter, headline(problem), {})
    artifact = accelerator.compile(found, interpreter.target)
    for launch in found.launches:
        used = artifact.resources[launch.entry]
        assert used["spill_store_bytes"] == used["spill_load_bytes"] == used["private_bytes"] == 0, launch.entry
