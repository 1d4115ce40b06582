"""A bench: one kernel file compiled, loaded and bound on the reference device, the way the core does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import attrs
import numpy as np
import pytest

from kernelevolve.accelerator import Artifact, BufferSpec
from kernelevolve.kernel import Value, parse_kernel
from kernelevolve.plan import LaunchPlan, make_plan
from kernelevolve.problem import Workload
from kernelevolve.testing import samples
from kernelevolve.testing.accelerator import ReferenceAccelerator
from kernelevolve.testing.language import ReferenceLanguage
from kernelevolve.testing.session import ReferenceSession

GUARD = 64
POISON = 0xAB


def plan_of(text: str, configuration: Mapping[str, Value] | None = None, workload: str = "rows=4,cols=8") -> LaunchPlan:
    accelerator, language = ReferenceAccelerator(), ReferenceLanguage()
    kernel = parse_kernel(text)
    language.gate(kernel.body)
    facts = accelerator.devices()[0].facts
    chosen = kernel.configuration(configuration)
    return make_plan(kernel, samples.problem(), Workload.parse(workload), chosen, language.entries(kernel.body), facts)


def compiled(text: str, configuration: Mapping[str, Value] | None = None) -> Artifact:
    accelerator = ReferenceAccelerator()
    return accelerator.compile(plan_of(text, configuration), accelerator.targets()[0])


@attrs.define
class Bench:
    plan: LaunchPlan
    session: ReferenceSession
    buffers: dict[str, Any]
    program: Any
    call: Any
    x: np.ndarray

    def run(self) -> np.ndarray:
        self.session.fill(self.buffers["y"], POISON, guards=True)
        self.session.upload(self.buffers["x"], memoryview(self.x))
        self.session.launch(self.call)
        self.session.synchronize()
        return np.frombuffer(self.session.download(self.buffers["y"]), np.float32)

    def guards(self, name: str) -> tuple[bytes, bytes]:
        everything = self.session.download(self.buffers[name], guards=True)
        return everything[:GUARD], everything[-GUARD:]

    @property
    def want(self) -> np.ndarray:
        return 2 * self.x + 1


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    accelerator = ReferenceAccelerator()
    device = accelerator.devices()[0]
    with ExitStack() as stack:

        def make(text: str, **how: Any) -> Bench:
            plan = plan_of(text, **how)
            artifact = accelerator.compile(plan, device.target)
            session = stack.enter_context(accelerator.open(device))
            program = session.load(artifact)
            buffers = {one.name: session.allocate(BufferSpec(one.nbytes, GUARD)) for one in plan.buffers}
            call = session.bind(program, plan.launches, buffers)
            x = np.arange(plan.buffer("x").nbytes // 4, dtype=np.float32)
            return Bench(plan, session, buffers, program, call, x)

        yield make
