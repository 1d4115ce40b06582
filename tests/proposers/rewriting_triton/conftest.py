"""Triton kernels to rewrite, the problems they solve, and the means to run and to compile them."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from attrs import define, field, frozen

from kernelevolve import registry
from kernelevolve.evaluation.cases import Expected, InputCase, expect, make_inputs, tensor_bytes
from kernelevolve.evaluation.correctness import compare
from kernelevolve.kernel import Configuration, Kernel, parse_kernel
from kernelevolve.languages.triton_lang import TritonLanguage
from kernelevolve.plan import LaunchPlan, Role, make_plan
from kernelevolve.problem import Problem, TensorSpec, Workload

HERE = Path(__file__).parent
FACTS = {"num_units": 4, "warp_size": 32, "max_group_size": 1024}


def _column_sums(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x.sum(0) * weight


PROBLEMS = {
    "two_sums": Problem(
        name="two_sums",
        axes=("rows", "cols"),
        inputs=(TensorSpec("x", "rows, cols"),),
        outputs=(TensorSpec("y", "rows, 2"),),
        reference=lambda x: torch.stack([x.sum(1), (x * x).sum(1)], 1),
        workloads=("rows=3,cols=77", "rows=1,cols=1", "rows=2,cols=128,x:float16"),
    ),
    "column_sums": Problem(
        name="column_sums",
        axes=("rows", "cols"),
        inputs=(TensorSpec("x", "rows, cols"), TensorSpec("weight", "cols")),
        outputs=(TensorSpec("y", "cols"),),
        reference=_column_sums,
        workloads=("rows=13,cols=77", "rows=1,cols=1", "rows=16,cols=128,x:float16"),
    ),
}
#: Sizes that blocks divide, and rows that are aligned; the problems' own sizes are odd.
EVEN = {
    "softmax": "rows=8,cols=512",
    "rms_norm": "rows=8,cols=512",
    "layer_norm": "rows=4,cols=1024",
    "cross_entropy": "rows=4,classes=1024",
    "swiglu": "rows=8,cols=256",
    "matmul": "m=64,n=64,k=64",
    "conv1d": "batch=1,cin=32,cout=32,length=64,taps=3",
    "factorization_machine": "batch=2,n=32,d=64,k=64",
    "attention": "batch=1,heads=1,length=64,dim=16",
    "pffn": "batch=1,tokens=32,width=64,hidden=64",
    "rope": "batch=1,heads=2,length=16,half=64",
    "rms_norm_backward": "rows=16,cols=256",
    "embedding_bag": "entries=32,dim=128,bags=4,count=16",
    "mbdt": "rows=4,cols=512,borders=8",
    "map_id": "count=512,size=32",
    "batch_event_truncate": "rows=256,limit=5,total=512",
}


@frozen
class Sample:
    """A kernel with its problem, and sizes to run it for."""

    name: str
    problem: Problem
    kernel: Kernel
    workloads: tuple[Workload, ...]


def _workloads(problem: Problem) -> tuple[Workload, ...]:
    """The smallest of the problem's sizes, all of them odd, and one that blocks divide."""
    small = sorted({*problem.workloads, *problem.hidden}, key=lambda one: _nbytes(problem, one))
    even = [Workload.parse(EVEN[problem.name])] if problem.name in EVEN else []
    return (*(one for one in small[:6] if _nbytes(problem, one) <= 16384), *even)


def _nbytes(problem: Problem, workload: Workload) -> int:
    return sum(problem.nbytes(spec, workload) for spec in problem.tensors)


def _samples() -> dict[str, Sample]:
    found = {}
    for name in EVEN:
        problem = registry.problem(name)
        found[name] = Sample(name, problem, parse_kernel(problem.seeds["triton"]), _workloads(problem))
    for path in sorted((HERE / "kernels").glob("*.py")):
        name = max((one for one in (*EVEN, *PROBLEMS) if path.stem.startswith(one)), key=len)
        problem = PROBLEMS.get(name) or registry.problem(name)
        kernel = parse_kernel(path.read_text(), name=path.stem)
        found[path.stem] = Sample(path.stem, problem, kernel, _workloads(problem))
    return found


@pytest.fixture(scope="session")
def samples() -> dict[str, Sample]:
    return _samples()


@define
class Interpreter:
    """Runs kernels in Triton's interpreter, and judges what they give."""

    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    expected: dict[tuple[str, str, str], tuple[dict[str, bytes], Expected]] = field(factory=dict, repr=False)

    def ask(self, plan: LaunchPlan, inputs: dict[str, bytes]) -> dict[str, bytes]:
        if self.process is None:
            quiet = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
            command = [sys.executable, str(HERE / "serve.py")]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self.process = subprocess.Popen(command, env={**os.environ, **quiet}, **pipes)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        pickle.dump((plan, inputs), self.process.stdin)
        self.process.stdin.flush()
        answer = pickle.load(self.process.stdout)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        if self.process is not None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait(20)
            self.process = None

    def check(
        self, sample: Sample, kernel: Kernel, workload: Workload, configuration: Configuration, number: int = 0
    ) -> None:
        """Run `kernel` and compare with the problem's oracle; `number` says which distribution the inputs are of."""
        problem = sample.problem
        kind = problem.distributions[number % len(problem.distributions)]
        key = (problem.name, workload.label, kind)
        if key not in self.expected:
            case = InputCase(problem, workload, kind, 11)
            made = make_inputs(case)
            self.expected[key] = {name: bytes(tensor_bytes(one)) for name, one in made.items()}, expect(case, made)
        inputs, wanted = self.expected[key]
        plan = plan_of(sample, kernel, workload, configuration)
        got = self.ask(plan, inputs)
        for buffer in plan.buffers:
            if buffer.role is Role.OUTPUT:
                result = compare(got[buffer.name], wanted, buffer.name)
                assert result.ok, f"{workload} {kind} {configuration}\n{result}\n{kernel}"
            elif buffer.role is Role.INPUT:
                assert got[buffer.name] == inputs[buffer.name], f"{buffer.name} was written\n{kernel}"


def plan_of(sample: Sample, kernel: Kernel, workload: Workload, configuration: Configuration) -> LaunchPlan:
    entries = TritonLanguage().entries(kernel.body)
    return make_plan(kernel, sample.problem, workload, configuration, entries, FACTS)


@pytest.fixture(scope="session")
def interpreter() -> Iterator[Interpreter]:
    pytest.importorskip("triton", reason="needs Triton; pip install triton")
    made = Interpreter()
    yield made
    made.close()
