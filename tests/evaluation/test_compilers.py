"""Compiling beside the device: in parallel, once, and without harm to anything else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from kernelevolve import parse_kernel, registry
from kernelevolve.evaluation.cache import CompileCache
from kernelevolve.evaluation.compilers import Compilers
from kernelevolve.evaluation.gate import Gate
from kernelevolve.evaluation.pipeline import Evaluator, Settings
from kernelevolve.kernel import Kernel
from kernelevolve.outcome import CompileError, CompileTimeout, DeviceFault, Outcome
from kernelevolve.plan import LaunchPlan
from kernelevolve.testing import samples
from kernelevolve.testing.compiler import FACTS

from .conftest import LIMITS, SETTINGS, WORKLOAD

PATH = "rogue_accelerators:HostCompiled"
GATE = Gate(samples.problem(), FACTS)


def plan(kernel: Kernel, **configuration: int) -> LaunchPlan:
    return GATE.plan(kernel, configuration, WORKLOAD)


@pytest.fixture
def compilers(rogues: None) -> Iterator[Callable[..., Compilers]]:
    """Make compilers with a habit; all are stopped at the end."""
    made: list[Compilers] = []

    def make(habit: str = "", count: int = 2, cache: CompileCache | None = None) -> Compilers:
        accelerator = registry.load_path(PATH, "rogue")(habit)
        made.append(Compilers(accelerator, path=PATH, limits=LIMITS, cache=cache or CompileCache(), count=count))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def target() -> object:
    return registry.accelerator("reference").targets()[0]


def test_an_artifact_comes_from_another_process_and_then_from_the_cache(compilers: Callable[..., Compilers]) -> None:
    cache = CompileCache()
    one = compilers(cache=cache)
    first = one.compile(plan(parse_kernel(samples.GOOD)), target())
    assert first.extra["compiled by"] != os.getpid()
    again = one.compile(plan(parse_kernel(samples.GOOD)), target())
    assert again.extra["compiled by"] == first.extra["compiled by"]
    assert again.stages == first.stages


def test_several_compile_at_once_and_the_same_one_only_once(compilers: Callable[..., Compilers]) -> None:
    one = compilers("slow-compiler:0.5", count=3)
    tuned = parse_kernel(samples.TUNED)
    plans = [plan(tuned, LANES=lanes, DEPTH=2) for lanes in (1, 2, 4)]
    one.compile(plans[0], target())  # the processes take their time to start
    one.prefetch([*plans[1:], *plans[1:]], target())
    by = [one.compile(each, target()).extra["compiled by"] for each in plans]
    assert by[1] != by[2]


def test_what_is_waited_for_comes_before_what_is_meant_for_later(compilers: Callable[..., Compilers]) -> None:
    one = compilers("slow-compiler:0.4", count=1)
    tuned = parse_kernel(samples.TUNED)
    one.compile(plan(parse_kernel(samples.GOOD)), target())  # the process takes its time to start
    later = [plan(tuned, LANES=lanes, DEPTH=depth) for lanes in (1, 2, 4) for depth in (1, 2)]
    one.prefetch(later, target())
    begin = time.monotonic()
    one.prefetch(later[-2:], target(), soon=True)
    one.compile(later[-1], target())
    assert time.monotonic() - begin < 0.4 * 4  # of six, the one under way, and two
    assert [one.compile(each, target()).stages for each in later]


def test_a_failure_is_raised_when_asked_for_and_remembered(compilers: Callable[..., Compilers]) -> None:
    one = compilers()
    bad = plan(parse_kernel(samples.FAILING[Outcome.COMPILE_ERROR]))
    one.prefetch([bad], target())
    for _ in range(2):
        with pytest.raises(CompileError, match="undefined"):
            one.compile(bad, target())


def test_a_compiler_that_hangs_or_crashes_takes_nothing_along(compilers: Callable[..., Compilers]) -> None:
    slow = compilers("slow-compiler:600")
    with pytest.raises(CompileTimeout, match="3 s"):
        slow.compile(plan(parse_kernel(samples.GOOD)), target())
    crashing = compilers("crashing-compiler:LANES", count=1)
    with pytest.raises(DeviceFault, match="SIGABRT during compile"):
        crashing.compile(plan(parse_kernel(samples.TUNED), LANES=1, DEPTH=1), target())
    assert crashing.compile(plan(parse_kernel(samples.GOOD)), target()).stages


def test_stopping_does_not_wait_for_what_is_under_way(compilers: Callable[..., Compilers]) -> None:
    one = compilers("slow-compiler:2.5", count=1)
    tuned = parse_kernel(samples.TUNED)
    others = _workers()  # of other tests in this process
    one.prefetch([plan(tuned, LANES=lanes, DEPTH=depth) for lanes in (1, 2, 4) for depth in (1, 2, 3)], target())
    deadline = time.monotonic() + 20
    while not (children := [child for child in _workers() if child not in others]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    one.stop()
    psutil.wait_procs(children, timeout=1)
    assert not [child for child in _workers() if child not in others]


def test_compiling_gives_way_to_what_is_timed(compilers: Callable[..., Compilers]) -> None:
    others = _workers()
    compilers("", count=1).compile(plan(parse_kernel(samples.GOOD)), target())
    (child,) = (one for one in _workers() if one not in others)
    assert child.nice() > psutil.Process().nice()


def _workers() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "kernelevolve.evaluation.worker" in " ".join(child.cmdline())]


def evaluator(name: str, settings: Settings = SETTINGS) -> Evaluator:
    path = f"rogue_accelerators:{name}"
    made = registry.load_path(path, "rogue")("")
    device = made.devices()[0]
    return Evaluator(samples.problem(), made, device, workloads=[WORKLOAD], path=path, settings=settings, secret=5)


def test_an_evaluation_is_the_same_with_compilers_of_its_own(rogues: None) -> None:
    with evaluator("HostCompiled") as one:
        found = one.evaluate(parse_kernel(samples.TWO_LAUNCHES))
        assert (found.outcome, found.fitness) == (Outcome.CORRECT, 1.0)
        wrong = one.evaluate(parse_kernel(samples.FAILING[Outcome.WRONG_RESULT]))
        assert wrong.outcome is Outcome.WRONG_RESULT
        assert one.worker.generation == 1


def test_an_interpreter_checks_what_another_process_compiles_and_gives_no_time(rogues: None) -> None:
    with evaluator("Interpreted") as one:
        found = one.evaluate(parse_kernel(samples.GOOD))
        assert found.outcome is Outcome.UNMEASURED
        assert found.timings == ()
        assert found.fitness == 0.0
        assert found.checks.passed == found.checks.planned > 1
        assert found.resources["affine"]
        wrong = one.evaluate(parse_kernel(samples.FAILING[Outcome.WRONG_RESULT]))
        assert wrong.outcome is Outcome.WRONG_RESULT
        broken = one.evaluate(parse_kernel(samples.FAILING[Outcome.COMPILE_ERROR]))
        assert (broken.outcome, broken.stage) == (Outcome.COMPILE_ERROR, "compile")


def test_checks_that_there_is_no_time_for_are_counted(rogues: None) -> None:
    with evaluator("Interpreted", Settings(limits=LIMITS, check_seconds=0.0)) as one:
        checks = one.evaluate(parse_kernel(samples.GOOD)).checks
    assert checks.passed == 1
    assert checks.skipped == checks.planned - 1 > 0
