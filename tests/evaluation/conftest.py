"""A worker with one bad habit, and small ways to ask it for something."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kernelevolve import Workload, parse_kernel, registry
from kernelevolve.evaluation.isolation import Limits, Worker
from kernelevolve.evaluation.measure import Protocol
from kernelevolve.evaluation.pipeline import Evaluator, Settings
from kernelevolve.testing import samples

HERE = Path(__file__).parent
ROGUE = "rogue_accelerators:Rogue"
WORKLOAD = Workload.parse("rows=16,cols=32")
LIMITS = Limits(run_seconds=2.0, compile_seconds=3.0, start_seconds=30.0, memory=1 << 30)
SETTINGS = Settings(limits=LIMITS, protocol=Protocol(screen_rounds=6, warmup=1, seconds=2.0))


@pytest.fixture
def rogues(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `rogue_accelerators` importable here and in workers."""
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))


@pytest.fixture
def rogue_worker(rogues: None) -> Iterator[Callable[..., Worker]]:
    """Make workers on an accelerator with a bad habit; all are stopped at the end."""
    with ExitStack() as stack:

        def make(habit: str = "", limits: Limits = LIMITS) -> Worker:
            made = registry.load_path(ROGUE, "rogue")(habit)
            return stack.enter_context(Worker(made, made.devices()[0], path=ROGUE, limits=limits))

        yield make


@pytest.fixture
def rogue_evaluator(rogues: None) -> Iterator[Callable[..., Evaluator]]:
    """Make evaluators of the affine problem on an accelerator with a bad habit."""
    with ExitStack() as stack:

        def make(habit: str = "", settings: Settings = SETTINGS) -> Evaluator:
            made = registry.load_path(ROGUE, "rogue")(habit)
            evaluator = Evaluator(
                samples.problem(),
                made,
                made.devices()[0],
                workloads=[WORKLOAD],
                path=ROGUE,
                settings=settings,
                secret=5,
            )
            return stack.enter_context(evaluator)

        yield make


@pytest.fixture
def good() -> object:
    """A right kernel of the affine problem."""
    return parse_kernel(samples.GOOD)
