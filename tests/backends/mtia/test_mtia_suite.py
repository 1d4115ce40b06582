"""Every problem of the suite on the emulated chips from its Triton seed, at the size that is timed there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kernelevolve import parse_kernel, registry
from kernelevolve.accelerator import BufferSpec, Device
from kernelevolve.backends.mtia.accelerator import MTIA
from kernelevolve.backends.mtia.model import CHIPS
from kernelevolve.backends.mtia.session import MTIASession
from kernelevolve.evaluation.casebook import CaseBook, PreparedCase, default_workload
from kernelevolve.evaluation.gate import Gate
from kernelevolve.evaluation.pipeline import Evaluator
from kernelevolve.evaluation.profile import plausibility_floor
from kernelevolve.outcome import Outcome
from kernelevolve.plan import LaunchPlan, Role
from kernelevolve.problem import Problem

PROBLEMS = sorted(name for name in registry.problem_names() if "triton" in registry.problem(name).seeds)
#: Small enough that a candidate costs about a second on one core.
MOST_ELEMENTS = 1 << 24


def run(session: MTIASession, plan: LaunchPlan, case: PreparedCase) -> tuple[int, float]:
    """Cycles from cold caches, and the share of elements with a program; the outputs are judged."""
    program = session.load(MTIA().compile(plan, session.device.target))
    buffers = {one.name: session.allocate(BufferSpec(one.nbytes, 64)) for one in plan.buffers}
    for one in plan.buffers:
        session.fill(buffers[one.name], 0xFF, guards=True)
        if one.role is Role.INPUT:
            session.upload(buffers[one.name], memoryview(case.staged.inputs[one.name]))
    call = session.bind(program, plan.launches, buffers)
    cycles = session.time(call).cycles
    assert cycles is not None
    for one in plan.buffers:
        if one.role is Role.OUTPUT:
            case.check(one.name, session.download(buffers[one.name]))
    elements = session.profile(call)["elements"]
    return cycles, elements["busy"] / elements["available"]


@pytest.fixture(scope="module")
def sessions() -> Iterator[dict[str, MTIASession]]:
    made = MTIA()
    listed = {device.name: device for device in made.devices()}
    with made.open(listed["mtia2i"]) as first, made.open(listed["mtia300"]) as second:
        yield {"mtia2i": first, "mtia300": second}


def planned(problem: Problem, device: Device) -> tuple[LaunchPlan, PreparedCase]:
    kernel = parse_kernel(problem.seeds["triton"])
    workload = default_workload(problem, device)
    case = CaseBook(problem, 3, limit_bytes=0, dtypes=device.dtypes).rotations(workload, 1)[0]
    return Gate(problem, device.facts, memory=None).plan(kernel, kernel.default, workload), case


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
def test_a_seed_is_right_on_both_chips_at_the_size_that_is_timed(name: str, sessions: dict[str, MTIASession]) -> None:
    problem = registry.problem(name)
    for chip, session in sessions.items():
        plan, case = planned(problem, session.device)
        assert "emulated" in case.workload.tags
        assert sum(one.nbytes for one in plan.buffers) < MOST_ELEMENTS * 4
        cycles, share = run(session, plan, case)
        seconds = cycles * CHIPS[chip].cycle_seconds
        assert seconds >= plausibility_floor(problem, session.device, case.workload)
        assert seconds > 5 * CHIPS[chip].job_launch_seconds  # launching is not what is measured
        assert share == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "chip"), [("softmax", "mtia2i"), ("matmul", "mtia300"), ("pffn", "mtia2i")])
def test_a_seed_is_right_through_the_whole_pipeline(name: str, chip: str) -> None:
    made, problem = registry.accelerator("mtia"), registry.problem(name)
    device = registry.find_device(made, chip)
    workload = default_workload(problem, device)
    with Evaluator(problem, made, device, workloads=[workload], path="mtia", secret=1) as evaluator:
        found = evaluator.evaluate(parse_kernel(problem.seeds["triton"]))
    assert found.outcome is Outcome.CORRECT, found.message
    assert found.checks.passed == found.checks.planned
    assert set(found.profile["device"]) == {workload.label}
