"""Kernels on emulated MTIA chips, for tests of what proposers make for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from attrs import define, field

from kernelevolve.accelerator import BufferSpec, Device, Session
from kernelevolve.evaluation.cases import Expected, InputCase, expect, make_inputs, tensor_bytes
from kernelevolve.evaluation.correctness import compare
from kernelevolve.evaluation.gate import Gate
from kernelevolve.kernel import Configuration, Kernel
from kernelevolve.plan import Role
from kernelevolve.problem import Problem, Workload


@define
class EmulatedChips:
    """Compiles, runs and times kernels in this process."""

    stack: ExitStack
    accelerator: Any
    sessions: dict[str, Session] = field(factory=dict)
    expected: dict[tuple[str, str, str], tuple[dict[str, bytes], Expected]] = field(factory=dict, repr=False)

    def device(self, chip: str) -> Device:
        return next(one for one in self.accelerator.devices() if one.name == chip)

    def session(self, chip: str) -> Session:
        if chip not in self.sessions:
            self.sessions[chip] = self.stack.enter_context(self.accelerator.open(self.device(chip)))
        return self.sessions[chip]

    def check(
        self,
        kernel: Kernel,
        problem: Problem,
        workload: Workload,
        configuration: Mapping[str, Any] | None = None,
        *,
        chip: str = "mtia2i",
        kind: str = "normal",
    ) -> float:
        """Run `kernel` once, judge every output, and return its emulated seconds from cold caches."""
        chosen: Configuration = kernel.configuration(configuration or {})
        plan = Gate(problem, self.device(chip).facts).plan(kernel, chosen, workload)
        inputs, wanted = self._case(problem, workload, kind)
        session = self.session(chip)
        program = session.load(self.accelerator.compile(plan, self.device(chip).target))
        buffers = {one.name: session.allocate(BufferSpec(one.nbytes)) for one in plan.buffers}
        for name, buffer in buffers.items():
            if name in inputs:
                session.upload(buffer, memoryview(inputs[name]))
            else:
                session.fill(buffer, 0xA5, guards=False)
        call = session.bind(program, plan.launches, buffers)
        session.flush()
        seconds = session.time(call).seconds
        for one in plan.buffers:
            if one.role is Role.OUTPUT:
                result = compare(session.download(buffers[one.name]), wanted, one.name)
                assert result.ok, f"{problem.name} {workload.label} ({kind}) {chosen}\n{result}\n{kernel.body}"
        for buffer in buffers.values():
            session.free(buffer)
        return seconds

    def _case(self, problem: Problem, workload: Workload, kind: str) -> tuple[dict[str, bytes], Expected]:
        key = (problem.name, workload.label, kind)
        if key not in self.expected:
            case = InputCase(problem, workload, kind, 11)
            made = make_inputs(case)
            self.expected[key] = {name: bytes(tensor_bytes(one)) for name, one in made.items()}, expect(case, made)
        return self.expected[key]


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedChips]:
    """Emulated chips, with a cache folder of Triton's that is not the user's."""
    pytest.importorskip("triton", reason="needs Triton; pip install triton")
    from kernelevolve.backends.mtia.accelerator import MTIA

    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        yield EmulatedChips(stack, MTIA())
