"""Tells from several processes: killed anywhere and finished by the next, and one at a time on a device."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from attrs import evolve

from kernelevolve import registry
from kernelevolve.accelerator import Realm
from kernelevolve.api.asking import ask, tell
from kernelevolve.api.bookkeeping import Status
from kernelevolve.api.locks import device_lock
from kernelevolve.outcome import Outcome
from kernelevolve.store import EventKind, Run, Store
from kernelevolve.testing import samples

pytestmark = pytest.mark.slow  # every process imports PyTorch
CHILD = Path(__file__).with_name("asking_process.py")
PROBLEM = samples.problem()


def variant(cost: int) -> str:
    """A right kernel that costs so many cycles per element; the seed's is 10."""
    return samples.GOOD.replace("cols * 10", f"cols * {cost}")


def child(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(CHILD), *map(str, words)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_tell_that_was_killed_after_its_evaluation_is_finished_by_the_next(
    run: Run, store: Store, url: str, tmp_path: Path
) -> None:
    (one,) = ask(run.id, problem=PROBLEM, store=store)
    file = tmp_path / "kernel.ref"
    file.write_text(variant(5))
    killed = child("tell", url, run.id, one.proposal, file, "die")
    killed.communicate(timeout=60)

    assert killed.returncode == -9
    assert (len(list(store.evaluations(run.id))), store.events(run.id, EventKind.TOLD)) == (2, ())
    kept = list(store.evaluations(run.id))
    found = tell(run.id, one.proposal, file, problem=PROBLEM, store=store)
    assert (found.status, found.candidate, found.evaluation) == (Status.EVALUATED, 1, kept[1])
    assert list(store.evaluations(run.id)) == kept
    again = child("tell", url, run.id, one.proposal, file)
    assert again.communicate(timeout=60)[0].split() == ["ready", "evaluated", "1", "True"]


def test_a_tell_that_was_killed_before_its_evaluation_is_evaluated_once_by_the_next(
    run: Run, store: Store, url: str, tmp_path: Path
) -> None:
    (one,) = ask(run.id, problem=PROBLEM, store=store)
    file = tmp_path / "kernel.ref"
    file.write_text(samples.FAILING[Outcome.COMPILE_TIMEOUT].replace("600", "2"))  # long enough to be killed in
    killed = child("tell", url, run.id, one.proposal, file)
    while not store.pending(run.id) and killed.poll() is None:
        time.sleep(0.005)
    killed.kill()
    killed.wait()

    assert store.pending(run.id) == (1,)
    found = tell(run.id, one.proposal, file, problem=PROBLEM, store=store)
    assert (found.status, found.candidate, found.repeated) == (Status.EVALUATED, 1, False)
    assert [one.candidate for one in store.evaluations(run.id)] == [0, 1]


def test_two_tells_at_once_are_measured_one_after_the_other(run: Run, store: Store, url: str, tmp_path: Path) -> None:
    tells = []
    for index, one in enumerate(ask(run.id, count=2, problem=PROBLEM, store=store)):
        file = tmp_path / f"{index}.ref"
        file.write_text(variant(5 + index))
        tells.append(child("tell", url, run.id, one.proposal, file))
    outputs = [one.communicate(timeout=100)[0] for one in tells]

    assert sorted(text.split()[-3:][1] for text in outputs) == ["1", "2"]
    first, second = list(store.evaluations(run.id))[1:]
    assert second.created - second.seconds >= first.created


def test_a_device_is_held_by_one_process_and_given_back_when_it_is_killed(home: Path) -> None:
    holder = child("hold")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    waits = child("hold")
    assert waits.stdout is not None
    assert waits.stdout.readline().endswith(f"is being timed by process {holder.pid}; waiting for it\n")
    holder.kill()

    assert waits.stdout.readline() == "held\n"
    waits.communicate("", timeout=60)
    said: list[str] = []
    device = registry.accelerator("reference").devices()[0]
    with device_lock(evolve(device, realm=Realm.HARDWARE), said.append):
        assert said == []


def test_nobody_waits_for_a_clock_that_nothing_disturbs(home: Path) -> None:
    device = registry.accelerator("reference").devices()[0]
    said: list[str] = []
    with device_lock(evolve(device, realm=Realm.HARDWARE)), device_lock(device, said.append):
        assert said == []
