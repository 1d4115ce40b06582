"""Kernels that pass every check and fail in the last confirmation: whose fault it is, and what is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

import kernelevolve
from kernelevolve import registry
from kernelevolve.accelerator import Device, Realm, Target
from kernelevolve.api import finishing, verbs
from kernelevolve.api.devices import changed_software
from kernelevolve.api.records import RunResult
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.confirm import Confirmation, SideError
from kernelevolve.evaluation.pipeline import Evaluator
from kernelevolve.evaluation.records import Stage
from kernelevolve.evolution.budget import Budget
from kernelevolve.kernel import Kernel, parse_kernel
from kernelevolve.outcome import Outcome, WrongResult
from kernelevolve.store import Store
from kernelevolve.testing import samples
from kernelevolve.testing.proposer import SampleProposer


def short_run(folder: Path) -> RunResult:
    """A dozen evaluations on the reference accelerator, the same ones each time."""
    with Store.open(f"sqlite:///{folder}/store.db") as store:
        return kernelevolve.evolve(
            samples.problem(),
            "reference",
            store=store,
            budget=Budget(evaluations=12),
            seed=3,
            proposer=SampleProposer(),
        )


def failing(side: str) -> Any:
    def confirm(*_: object, **__: object) -> None:
        raise SideError(side, WrongResult("output 'y' is wrong on fresh inputs"))

    return confirm


def test_a_kernel_that_fails_in_the_confirmation_fails_at_that_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "confirm", failing("kernel"))
    found = kernelevolve.evaluate(parse_kernel(samples.GOOD), samples.problem(), "reference", eager=False).evaluation
    assert (found.outcome, found.stage, found.fitness) == (Outcome.WRONG_RESULT, Stage.CONFIRM, 0.0)


def test_a_seed_that_fails_there_is_not_blamed_on_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "confirm", failing("seed"))
    with pytest.raises(KernelEvolveError, match=r"the seed of 'affine' failed in the confirmation.*WRONG_RESULT"):
        kernelevolve.evaluate(parse_kernel(samples.GOOD), samples.problem(), "reference", eager=False)


def test_a_winner_that_fails_beside_pytorch_leaves_the_run_to_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[str, ...]] = []

    def beside(
        _: object, confirmations: tuple[Confirmation, ...], sides: list[Any], __: object
    ) -> tuple[Confirmation, ...]:
        asked.append(tuple(side.name for side in sides))
        if len(asked) == 1:
            raise SideError(sides[-1].name, WrongResult("output 'y' is wrong on fresh inputs"))
        return confirmations

    monkeypatch.setattr(finishing, "beside_torch", beside)
    result = short_run(tmp_path)
    (first, second) = asked
    assert first[0] == second[0] == "seed"
    assert first[1] not in second
    assert f"#{result.best}" != first[1]
    assert all(first[1] not in one.timings for one in result.confirmations)


def test_a_finalist_that_was_checked_on_few_cases_is_checked_on_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    checked: list[str] = []

    def check(_: object, kernel: Kernel, configuration: object) -> None:
        checked.append(kernel.digest)
        if len(dict.fromkeys(checked)) > 1 and kernel.digest == list(dict.fromkeys(checked))[1]:  # the fittest
            raise WrongResult("output 'y' is wrong on a case that was left out")

    monkeypatch.setattr(Evaluator, "is_brief", True)
    monkeypatch.setattr(Evaluator, "cases", lambda self, *_: (list(self.book.checks()), []))
    monkeypatch.setattr(Evaluator, "check", check)
    result = short_run(tmp_path)
    assert len(checked) > 2
    assert result.kernel.digest != checked[1]


def described(name: str, realm: Realm = Realm.HARDWARE, **description: str) -> Device:
    made = registry.accelerator("reference").devices()[0]
    return attrs.evolve(made, target=Target(name), realm=realm, description=description)


def test_what_other_devices_of_the_machine_have_changes_nothing() -> None:
    card = described("opencl:a", driver="1")
    mine = {"pyopencl": "2", "driver of opencl:a": "1"}
    assert changed_software(card, {**mine, "driver of opencl:b": "7"}, card, mine) is None
    assert changed_software(card, mine, card, {**mine, "driver of opencl:a": "2"}) == (
        "driver of opencl:a was 1 and is 2"
    )
    recorded = described("replay:a.json", Realm.REPLAY)
    mine = {"replay": "1", "recording of replay:a.json": "x"}
    assert changed_software(recorded, mine, recorded, {**mine, "recording of replay:b.json": "y"}) is None
    assert changed_software(recorded, mine, recorded, {**mine, "recording of replay:a.json": "z"}) == (
        "recording of replay:a.json was x and is z"
    )
