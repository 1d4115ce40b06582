"""``evaluate``, ``evolve``, ``resume``, ``runs``, ``show`` and ``best`` as they are typed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernelevolve import registry
from kernelevolve.cli import app as cli
from kernelevolve.cli.output import Exit
from kernelevolve.outcome import Outcome
from kernelevolve.testing import samples

#: A command line in this process: its status, standard output and standard error.
Typed = Callable[..., tuple[int, str, str]]
#: The one JSON document of a command that ends with `status`.
Document = Callable[..., dict[str, Any]]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kernelevolve", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.run()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, " ".join(err.split())

    return call


@pytest.fixture
def document(typed: Typed) -> Document:
    def call(*words: object, status: int = Exit.DONE) -> dict[str, Any]:
        found, out, err = typed(*words, "--json")
        assert found == status, out + err
        return dict(json.loads(out))

    return call


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    path = tmp_path / "tuned.ref"
    path.write_text(samples.TUNED)
    return path


@pytest.fixture
def evolved(affine: str, seed: Path, document: Document) -> dict[str, Any]:
    """The document of a run of three evaluations."""
    return document("evolve", affine, "-a", "reference", "--start", seed, "-n", 3, "--no-eager")


def test_a_kernel_is_evaluated_and_a_wrong_one_has_its_own_status(
    affine: str, tmp_path: Path, document: Document
) -> None:
    good, bad = tmp_path / "good.ref", tmp_path / "bad.ref"
    good.write_text(samples.GOOD)
    bad.write_text(samples.FAILING[Outcome.WRONG_RESULT])
    given = ("--problem", affine, "-a", "reference", "--no-eager")

    assert document("evaluate", good, *given)["outcome"] == "CORRECT"
    wrong = document("evaluate", bad, *given, status=Exit.NO)
    assert wrong["outcome"] == "WRONG_RESULT"
    assert "got " in wrong["message"]


def test_a_run_is_listed_shown_and_says_what_it_was_measured_by(evolved: dict[str, Any], document: Document) -> None:
    (listed,) = document("runs")["runs"]
    shown = document("show", evolved["run"])

    assert (listed["run"], listed["status"], listed["evaluations"]) == (evolved["run"], "finished", 3)
    assert shown["software"]["toolchain"] == dict(registry.accelerator("reference").toolchain())
    assert shown["result"]["speedup"] == evolved["speedup"]
    assert sum(one["evaluations"] for one in shown["candidates"]) == 3
    assert document("show", evolved["run"], "--candidate", 0)["kernel"].startswith(samples.TUNED[:20])
    assert document("best", "affine")["fitness"] == pytest.approx(listed["best_fitness"])


def test_a_run_is_gone_on_with_and_not_by_another_compiler(
    evolved: dict[str, Any], document: Document, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert document("resume", evolved["run"], "-n", 5)["evaluations"] == 5

    made = registry.accelerator("reference")
    monkeypatch.setattr(type(made), "toolchain", lambda self: {"reference": "a later one"})
    status, _, said = typed("resume", evolved["run"], "-n", 7)
    assert status == Exit.USAGE
    assert "and is a later one" in said
    assert document("show", evolved["run"])["evaluations"] == 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("resume", "no-such-run"), "no-such-run"),
        (("show", "no-such-run"), "no-such-run"),
        (("best", "no-such-problem"), "no-such-problem"),
        (("evolve", "softmaks", "-n", 1), "softmax"),
        (("evolve", "softmax", "-a", "abacus", "-n", 1), "abacus"),
        (("evaluate", "no-such-file.cl", "--problem", "softmax"), "no-such-file.cl"),
    ],
)
def test_what_is_not_there_is_named_in_one_sentence(words: tuple[object, ...], said: str, typed: Typed) -> None:
    status, out, err = typed(*words)

    assert (status, out) == (Exit.USAGE, "")
    assert said in err
    assert err.startswith(("error: ", "Usage: "))
