"""A bench for seed kernels: a problem's OpenCL seed, compiled and run on the first OpenCL device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import attrs
import pytest
import torch

from kernelevolve import registry
from kernelevolve.accelerator import Accelerator, BufferSpec, Device, Session, Status
from kernelevolve.evaluation.cases import tensor_bytes
from kernelevolve.kernel import parse_kernel
from kernelevolve.plan import LaunchPlan, Role, make_plan
from kernelevolve.problem import Problem, Workload

POISON = 0xA5


@attrs.define
class Bench:
    accelerator: Accelerator
    device: Device
    session: Session

    def plan(self, problem: Problem, workload: Workload) -> LaunchPlan:
        kernel = parse_kernel(problem.seeds["opencl"], name=f"{problem.name}.cl")
        language = registry.language("opencl")
        language.gate(kernel.body)
        entries = language.entries(kernel.body)
        return make_plan(kernel, problem, workload, kernel.default, entries, self.device.facts)

    def run(self, problem: Problem, workload: Workload, inputs: Mapping[str, torch.Tensor]) -> dict[str, bytes]:
        """The seed's outputs as bytes."""
        plan, session = self.plan(problem, workload), self.session
        program = session.load(self.accelerator.compile(plan, self.device.target))
        buffers = {one.name: session.allocate(BufferSpec(one.nbytes, guard=128)) for one in plan.buffers}
        for one in plan.buffers:
            session.fill(buffers[one.name], POISON, guards=True)
            if one.role is Role.INPUT:
                session.upload(buffers[one.name], tensor_bytes(inputs[one.name]))
        session.launch(session.bind(program, plan.launches, buffers))
        session.synchronize()
        outputs = {one.name: session.download(buffers[one.name]) for one in plan.buffers if one.role is Role.OUTPUT}
        for buffer in buffers.values():
            session.free(buffer)
        return outputs


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    accelerator = registry.accelerator("opencl")
    status = accelerator.probe()
    if status.status is not Status.OK:
        pytest.skip(f"OpenCL cannot be used here: {status.message}")
    device = accelerator.devices()[0]
    with ExitStack() as stack:
        yield Bench(accelerator, device, stack.enter_context(accelerator.open(device)))
