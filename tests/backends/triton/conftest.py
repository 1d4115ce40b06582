"""Plans made of short kernels, and a process that interprets them."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernelevolve.backends._triton.toolchain import triton_version
from kernelevolve.kernel import parse_kernel
from kernelevolve.languages.triton_lang import TritonLanguage
from kernelevolve.outcome import CandidateError
from kernelevolve.plan import LaunchPlan, Role, make_plan
from kernelevolve.problem import Problem, ScalarSpec, TensorSpec, Workload

#: (major, minor) of the installed Triton.
VERSION = tuple(int(part) for part in (triton_version() or "0").split(".")[:2])
IMPORTS = "import triton\nimport triton.language as tl\n\n\n"
PATHS = {
    "cuda": "kernelevolve.backends.triton_cuda:TritonCUDA",
    "hip": "kernelevolve.backends.triton_rocm:TritonROCm",
}


def make(
    body: str,
    *,
    tensors: str,
    sizes: str,
    out: str = "y",
    entry: str = "k",
    grid: str = '"1"',
    header: str = "",
    scalars: tuple[ScalarSpec, ...] = (),
    values: Mapping[str, Any] | None = None,
) -> LaunchPlan:
    """A plan of `body` (imports are added) on tensors such as ``x:n;y:n``, sizes such as ``n=64,x:float16``.

    `out` lists the outputs; `header` is TOML before the launch, `grid` the launch's.
    """
    lines = [
        *header.splitlines(),
        *(() if "[[launch]]" in header else ("[[launch]]", f'entry = "{entry}"', f"grid = [{grid}]")),
    ]
    text = "\n".join(["# /// kernel", '# language = "triton"', *(f"# {line}" for line in lines), "# ///"])
    kernel = parse_kernel(f"{text}\n{IMPORTS}{body}")
    workload = Workload.parse(sizes)
    specs = [TensorSpec(*one.split(":")) for one in tensors.split(";")]
    outputs = out.split(",")
    problem = Problem(
        name="made",
        axes=tuple(workload.axes),
        inputs=[one for one in specs if one.name not in outputs],
        outputs=[one for one in specs if one.name in outputs],
        reference=lambda: None,
        workloads=[workload],
        scalars=scalars,
    )
    facts = {"num_units": 8, "warp_size": 32, "max_group_size": 1024}
    return make_plan(
        kernel, problem, workload, kernel.configuration(values), TritonLanguage().entries(kernel.body), facts
    )


class Interpreting:
    """A process with the interpreted device of one platform."""

    def __init__(self, platform: str) -> None:
        command = [sys.executable, str(Path(__file__).with_name("serve.py")), PATHS[platform]]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def stop(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)

    def ask(self, plan: LaunchPlan, inputs: Mapping[str, np.ndarray[Any, Any]], runs: int) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        raw = {name: np.ascontiguousarray(value).tobytes() for name, value in inputs.items()}
        pickle.dump((plan, raw, runs), self._process.stdin)
        self._process.stdin.flush()
        answer = pickle.load(self._process.stdout)
        if isinstance(answer, CandidateError):
            raise answer
        return answer

    def run(self, plan: LaunchPlan, **inputs: np.ndarray[Any, Any]) -> dict[str, bytes]:
        """Every output; inputs must be as they were, guard zones untouched, and a second run (other order) the same."""
        (first, second), broken = self.ask(plan, inputs, runs=2)
        assert not broken
        for one in plan.buffers:
            if one.role is Role.INPUT:
                assert first[one.name] == np.ascontiguousarray(inputs[one.name]).tobytes()
        outputs = {one.name for one in plan.buffers if one.role is Role.OUTPUT}
        assert {name: first[name] for name in outputs} == {name: second[name] for name in outputs}
        return {name: first[name] for name in outputs}


@pytest.fixture(scope="session")
def cuda() -> Iterator[Interpreting]:
    made = Interpreting("cuda")
    yield made
    made.stop()


@pytest.fixture(scope="session")
def hip() -> Iterator[Interpreting]:
    made = Interpreting("hip")
    yield made
    made.stop()
