"""Workers are real processes here, and they crash, hang, lie and leave children behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from attrs import evolve

from kernelevolve import registry
from kernelevolve.evaluation.isolation import Limits, Worker
from kernelevolve.evaluation.pipeline import Evaluator
from kernelevolve.evaluation.wire import unstructure
from kernelevolve.kernel import Kernel
from kernelevolve.outcome import (
    CompileTimeout,
    DeviceFault,
    DeviceLost,
    Outcome,
    OutOfMemory,
    PluginBug,
    RunTimeout,
)

from .conftest import HERE, LIMITS, WORKLOAD

Make = Callable[..., Worker]


def alive(pid: int) -> bool:
    """Whether a process runs: one that is dead and not yet collected by its parent does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        select_pause()
    return not alive(pid)


def select_pause() -> None:
    signal.sigtimedwait([], 0.01)


def launch(evaluator: Evaluator, kernel: Kernel) -> None:
    """Have a real plan prepared and launched."""
    contestant = evaluator.contestant(kernel, kernel.default, WORKLOAD)
    evaluator.runner.enter(contestant)


def test_a_worker_starts_on_demand_and_is_reused(rogue_worker: Make) -> None:
    worker = rogue_worker()
    assert worker.pid is None
    worker.start()
    first = worker.pid
    worker.start()
    assert (worker.pid, worker.generation) == (first, 1)


@pytest.mark.parametrize(
    ("habit", "failure", "words"),
    [
        ("exit:3", DeviceFault, "exit status 3"),
        ("kill:11", DeviceFault, "SIGSEGV"),
        ("kill:9", DeviceFault, "SIGKILL"),
        ("fault", DeviceFault, "illegal address"),
        ("hang", RunTimeout, "0.5 s"),
        ("close", DeviceFault, "worker"),
    ],
)
def test_what_ends_a_worker_is_named_and_the_next_one_is_fresh(
    rogue_evaluator: Callable[..., Evaluator], good: Kernel, habit: str, failure: type[Exception], words: str
) -> None:
    evaluator = rogue_evaluator(habit)
    evaluator.worker.limits = evolve(LIMITS, run_seconds=0.5)
    with pytest.raises(failure, match=words):
        launch(evaluator, good)
    old = evaluator.worker.generation
    assert evaluator.worker.pid is None
    evaluator.worker.start()
    assert evaluator.worker.generation == old + 1


def test_a_compile_that_does_not_end_is_a_compile_timeout(rogue_worker: Make) -> None:
    worker = rogue_worker(limits=evolve(LIMITS, compile_seconds=0.5))
    from kernelevolve import parse_kernel
    from kernelevolve.evaluation.gate import Gate
    from kernelevolve.testing import samples

    kernel = parse_kernel(samples.FAILING[Outcome.COMPILE_TIMEOUT])
    plan = Gate(samples.problem(), worker.device.facts).plan(kernel, {}, WORKLOAD)
    body = {"program": "p", "plan": unstructure(plan), "target": unstructure(worker.device.target)}
    begin = time.monotonic()
    worker.start()
    with pytest.raises(CompileTimeout, match=r"within 0\.5 s") as caught:
        worker.request("compile", body)
    assert caught.value.details == {"limit": 0.5}
    assert time.monotonic() - begin < 5
    assert worker.pid is None


@pytest.mark.parametrize("habit", ["", "deaf", "child", "child-of-its-own-session"])
def test_stopping_ends_the_worker_and_all_its_children_even_deaf_ones(rogue_worker: Make, habit: str) -> None:
    worker = rogue_worker(habit)
    worker.start()
    assert worker.pid is not None
    family = [worker.pid, *(child.pid for child in psutil.Process(worker.pid).children(recursive=True))]
    assert len(family) == 1 + ("child" in habit)
    if habit == "deaf":
        os.kill(worker.pid, signal.SIGTERM)
        assert not gone_within(worker.pid, 0.2)
    worker.stop()
    assert all(gone_within(pid, 1.0) for pid in family)
    assert not psutil.pid_exists(family[0])  # no zombie: it was waited for


def test_the_private_folder_goes_with_its_worker(rogue_worker: Make) -> None:
    worker = rogue_worker()
    worker.start()
    process = psutil.Process(worker.pid)
    folder = Path(process.cwd())
    environment = process.environ()
    assert {environment[name] for name in ("HOME", "TMPDIR")} == {str(folder)}
    (folder / "core").write_bytes(b"large")
    worker.stop()
    assert not folder.exists()


def test_fifty_restarts_leak_no_descriptor_process_or_folder(rogue_worker: Make, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("kernelevolve.evaluation.isolation.Worker._receive", lambda *_: ({}, []))  # do not wait for it
    worker = rogue_worker()
    me = psutil.Process()
    before, children = me.num_fds(), len(me.children())
    for _ in range(50):
        worker.start()
        worker.stop()
    assert (me.num_fds(), len(me.children()), list(tmp_path.iterdir())) == (before, children, [])
    assert worker.generation == 50


def test_the_environment_is_scrubbed(rogue_worker: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "MY_TOKEN", "LD_PRELOAD_NOT"):
        monkeypatch.setenv(name, "planted")
    worker = rogue_worker()
    worker.start()
    environment = psutil.Process(worker.pid).environ()
    assert "planted" not in environment.values()
    allowed = {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "PYTHONPATH", "VIRTUAL_ENV", "HOME", "TMPDIR", "XDG_CACHE_HOME"}
    assert set(environment) <= allowed | {"PYTHONDONTWRITEBYTECODE", "ROGUE_HABIT", "KERNELEVOLVE_SPACES", "SYSTEMROOT"}


def test_a_worker_that_eats_memory_is_stopped_with_its_limit(
    rogue_evaluator: Callable[..., Evaluator], good: Kernel
) -> None:
    evaluator = rogue_evaluator(f"eat:{600 << 20}")
    evaluator.worker.limits = evolve(LIMITS, memory=400 << 20, run_seconds=20.0)
    with pytest.raises(OutOfMemory) as caught:
        launch(evaluator, good)
    assert caught.value.details["needed"] > caught.value.details["limit"] == 400 << 20
    assert evaluator.worker.pid is None


def test_a_device_that_does_not_open_is_lost_with_the_reason_from_its_log(rogue_worker: Make) -> None:
    worker = rogue_worker("no-device")
    with pytest.raises(
        DeviceLost, match=r"no worker could be started on reference:0.*chip does not answer on bus 7"
    ) as caught:
        worker.start()
    assert "Traceback" in caught.value.details["log"]
    assert worker.pid is None


def test_a_device_that_never_answers_is_lost_after_the_start_limit(rogue_worker: Make) -> None:
    worker = rogue_worker("silent", limits=Limits(start_seconds=1.0))
    begin = time.monotonic()
    with pytest.raises(DeviceLost):
        worker.start()
    assert time.monotonic() - begin < 2.0


ENGINE = """
import sys, time
sys.path.insert(0, {here!r})
from kernelevolve import parse_kernel
from kernelevolve.evaluation.isolation import Limits
from kernelevolve.evaluation.pipeline import Evaluator, Settings
from kernelevolve.problem import Workload
from kernelevolve.outcome import Outcome
from kernelevolve.testing import samples
from kernelevolve import registry
made = registry.accelerator("reference")
evaluator = Evaluator(samples.problem(), made, made.devices()[0], workloads=[Workload.parse("rows=16,cols=32")],
                      path="reference", settings=Settings(limits=Limits(run_seconds=60)), secret=1)
evaluator.worker.start()
print(evaluator.worker.pid, flush=True)
if {spinning}:
    evaluator.evaluate(parse_kernel(samples.FAILING[Outcome.RUN_TIMEOUT]))
time.sleep(60)
"""


@pytest.mark.parametrize("spinning", [False, True], ids=["idle", "spinning"])
def test_a_worker_dies_with_its_engine_even_while_a_kernel_spins(spinning: bool) -> None:
    engine = subprocess.Popen(
        [sys.executable, "-c", ENGINE.format(here=str(HERE), spinning=spinning)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert engine.stdout is not None
        pid = int(engine.stdout.readline())
        worker = psutil.Process(pid)
        deadline = time.monotonic() + 15
        while spinning and worker.cpu_percent(0.1) < 20 and time.monotonic() < deadline:
            continue
    finally:
        engine.kill()
        engine.wait()
    assert gone_within(pid, 2.0)


def test_a_device_that_is_not_there_is_lost(rogue_worker: Make) -> None:
    made = registry.accelerator("reference")
    missing = evolve(made.devices()[0], index=9)
    with (
        Worker(made, missing, path="reference", limits=LIMITS) as worker,
        pytest.raises(DeviceLost, match="reference:9"),
    ):
        worker.start()


def test_an_unknown_request_is_the_plugins_bug_and_the_worker_lives(rogue_worker: Make) -> None:
    worker = rogue_worker()
    with pytest.raises(PluginBug, match="KeyError"):
        worker.request("dance", {})
    assert worker.pid is not None
    assert worker.request("unstage", {"case": "none"}) == ({}, [])


def test_a_worker_imports_nothing_from_the_folder_the_user_stands_in(
    rogue_worker: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("numpy", "json", "kernelevolve"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')\n")
    monkeypatch.chdir(tmp_path)
    worker = rogue_worker()
    worker.start()
    assert worker.pid is not None


def test_limits_on_files_and_cores_hold_in_the_worker(rogue_worker: Make) -> None:
    import resource

    worker = rogue_worker()
    worker.start()
    process = psutil.Process(worker.pid)
    assert process.rlimit(resource.RLIMIT_CORE) == (0, 0)
    assert process.rlimit(resource.RLIMIT_FSIZE)[1] <= 1 << 30
    assert process.rlimit(resource.RLIMIT_NOFILE)[1] <= 1024
