"""Triton kernels written by hand for row-wise, elementwise, search and jagged problems: admitted, right, and compiled
without spills. Interpreted, on sizes that take their every path: whole and masked tiles, several turns, several blocks.
"""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kernelevolve import registry
from kernelevolve.accelerator import Artifact, Target
from kernelevolve.backends.triton_cuda import TritonCUDA
from kernelevolve.evaluation.cases import InputCase, expect, make_inputs, tensor_bytes
from kernelevolve.evaluation.correctness import compare
from kernelevolve.evaluation.gate import Gate
from kernelevolve.outcome import CandidateError, ConstraintViolated
from kernelevolve.plan import LaunchPlan, serves
from kernelevolve.problem import Problem, Workload
from kernelevolve.proposers.recipes.written import Written, names, read_written

#: What the interpreted cases add to the hidden workloads: rows that fill their tile, more rows than programs, more
#: than one block.
SIZES: Mapping[str, tuple[str, ...]] = {
    "softmax": ("rows=37,cols=64", "rows=5,cols=100", "rows=19,cols=4096,x:bfloat16,y:bfloat16"),
    "rms_norm": ("rows=37,cols=64", "rows=5,cols=100", "rows=19,cols=4096,x:float16,weight:float16,y:float16"),
    "layer_norm": (
        "rows=37,cols=64",
        "rows=5,cols=100",
        "rows=19,cols=4096,x:bfloat16,weight:bfloat16,bias:bfloat16,y:bfloat16",
    ),
    "rms_norm_backward": (
        "rows=37,cols=64",
        "rows=5,cols=100",
        "rows=70,cols=8",
        "rows=13,cols=512,x:bfloat16,weight:bfloat16,dy:bfloat16,dx:bfloat16,dweight:bfloat16",
    ),
    "cross_entropy": (
        "rows=2,classes=17000",
        "rows=1,classes=16384,logits:bfloat16,loss:bfloat16",
        "rows=5,classes=40",
    ),
    "swiglu": ("rows=67,cols=1021", "rows=8,cols=1024,gate:float16,up:float16,y:float16"),
    "rope": ("batch=2,heads=4,length=64,half=64", "batch=1,heads=3,length=33,half=24,x:bfloat16,y:bfloat16"),
    "mbdt": ("rows=33,cols=65,borders=8", "rows=3,cols=1024,borders=1"),
    "map_id": ("count=1500,size=700", "count=300,size=1", "count=300,size=1024"),
    "embedding_bag": (
        "entries=300,dim=128,bags=20,count=700,table:float16,out:float16",
        "entries=50,dim=300,bags=9,count=200",
    ),
    "batch_event_truncate": (
        "rows=300,limit=20,total=5000",
        "rows=40,limit=150,total=9000,values:float16,kept:float16",
    ),
}
RECIPES = [(problem, name) for problem in SIZES for name in names("triton", problem)]
FIRST = [(problem, names("triton", problem)[0]) for problem in SIZES]
#: Few units: programs that walk over rows take several turns.
FEW_UNITS = {"num_units": 2, "warp_size": 32, "max_group_size": 1024}
H100 = Target("cuda:sm_90")


def recipe(problem: str, name: str) -> tuple[Problem, Written]:
    return registry.problem(problem), read_written("triton", problem, name)


def on_gpus(problem: Problem) -> list[Workload]:
    return [workload for workload in problem.workloads if "gpu" in workload.tags]


class Interpreter:
    """A process with Triton's interpreter."""

    def __init__(self) -> None:
        server = Path(__file__).parents[2] / "backends" / "triton" / "serve.py"
        command = [sys.executable, str(server), "kernelevolve.backends.triton_cuda:TritonCUDA"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def stop(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)

    def run(self, plan: LaunchPlan, inputs: Mapping[str, bytes]) -> dict[str, bytes]:
        assert self._process.stdin
        assert self._process.stdout
        pickle.dump((plan, dict(inputs), 1), self._process.stdin)
        self._process.stdin.flush()
        answer: Any = pickle.load(self._process.stdout)
        if isinstance(answer, CandidateError):
            raise answer
        (result,), broken = answer
        assert not broken
        return dict(result)


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Interpreter]:
    made = Interpreter()
    yield made
    made.stop()


def check(interpreter: Interpreter, name: str, written: Written, case: InputCase, values: Mapping[str, Any]) -> None:
    """Interpret one case with `values` for tunables, and judge every output."""
    plan = Gate(case.problem, FEW_UNITS).plan(written.kernel, written.kernel.configuration(values), case.workload)
    inputs = make_inputs(case)
    outputs = interpreter.run(plan, {key: bytes(tensor_bytes(value)) for key, value in inputs.items()})
    expected = expect(case, inputs)
    for output in expected.outputs:
        compared = compare(outputs[output], expected, output)
        assert compared.ok, f"{name}, {case.label}: {compared}"


@pytest.mark.parametrize(("problem_name", "name"), RECIPES)
def test_it_serves_what_is_timed_on_gpus_and_whatever_its_condition_admits(problem_name: str, name: str) -> None:
    problem, written = recipe(problem_name, name)
    gate = Gate(problem, TritonCUDA().stand_in(H100).facts)
    timed = on_gpus(problem)

    served = [workload for workload in (*timed, *problem.hidden) if serves(written.kernel, problem, workload)]

    assert served[: len(timed)] == timed
    for workload in served:
        assert gate.plan(written.kernel, written.kernel.default, workload).launches


@pytest.mark.parametrize("problem_name", SIZES)
def test_some_kernel_of_every_problem_is_for_all_sizes(problem_name: str) -> None:
    problem = registry.problem(problem_name)
    kernels = [read_written("triton", problem_name, name).kernel for name in names("triton", problem_name)]

    assert any(all(serves(kernel, problem, workload) for workload in problem.hidden) for kernel in kernels)


@pytest.mark.parametrize(("problem_name", "name"), RECIPES)
def test_it_is_right(interpreter: Interpreter, problem_name: str, name: str) -> None:
    problem, written = recipe(problem_name, name)
    kinds = [kind for kind in ("normal", "adversarial") if kind in problem.distributions]

    for sizes in SIZES[problem_name]:
        for kind in kinds:
            check(interpreter, name, written, InputCase(problem, Workload.parse(sizes), kind, 7), {})


@pytest.mark.exhaustive
@pytest.mark.parametrize(("problem_name", "name"), RECIPES)
def test_every_value_of_every_tunable_is_right(interpreter: Interpreter, problem_name: str, name: str) -> None:
    problem, written = recipe(problem_name, name)
    case = InputCase(problem, Workload.parse(SIZES[problem_name][0]), "normal", 11)
    gate = Gate(problem, FEW_UNITS)

    def reachable(tunable: str, value: object) -> Iterator[Mapping[str, Any]]:
        """Configurations with the value whose constraints hold."""
        for values in written.kernel.configurations():
            if values[tunable] == value:
                try:
                    gate.plan(written.kernel, values, case.workload)
                except ConstraintViolated:
                    continue
                yield values

    for tunable, values in written.kernel.tunables.items():
        for value in values[1:]:
            chosen = next(iter(reachable(tunable, value)), None)
            assert chosen is not None, f"no configuration has {tunable}={value}"
            if not tunable.startswith("num_"):  # the interpreter knows no warps
                check(interpreter, name, written, case, chosen)


def compiled(problem: Problem, written: Written, workload: Workload) -> Artifact:
    made = TritonCUDA()
    plan = Gate(problem, made.stand_in(H100).facts).plan(written.kernel, written.kernel.default, workload)
    return made.compile(plan, H100)


def assert_fast_shape(problem: Problem, artifact: Artifact) -> None:
    """No spills anywhere; where whole rows are streamed, 16 bytes an instruction in both directions."""
    for entry, used in artifact.resources.items():
        assert used["spill_store_bytes"] == used["spill_load_bytes"] == 0, entry
    if problem.name not in ("map_id", "batch_event_truncate"):  # their places in memory are data
        ptx = "".join(text.decode() for stage, text in artifact.stages.items() if stage.startswith("ptx:"))
        wide = re.findall(r"ld\.global[\w.:]*\.v4\.b32|cp\.async\.cg\.shared\.global[^;]* 0x10", ptx)
        assert wide


@pytest.mark.parametrize(("problem_name", "name"), FIRST)
def test_the_most_promising_compiles_for_hopper_without_spills(problem_name: str, name: str) -> None:
    problem, written = recipe(problem_name, name)

    assert_fast_shape(problem, compiled(problem, written, on_gpus(problem)[0]))


@pytest.mark.exhaustive
@pytest.mark.parametrize(("problem_name", "name"), RECIPES)
def test_it_compiles_for_hopper_without_spills(problem_name: str, name: str) -> None:
    problem, written = recipe(problem_name, name)

    for workload in on_gpus(problem):
        assert_fast_shape(problem, compiled(problem, written, workload))
