"""From names to proposers: one, several, with settings, and what cannot be."""

from __future__ import annotations

import pytest

from kernelevolve.api.opening import check_ready, open_proposer
from kernelevolve.errors import KernelEvolveError, UnknownNameError
from kernelevolve.problems.softmax import problem


def test_several_are_one_with_everybodys_operators() -> None:
    made = open_proposer("rewriting + anthropic", {"width": 2})
    operators = made.operators(problem, "opencl")
    alone = open_proposer("rewriting").operators(problem, "opencl")
    assert operators == (*alone, "model")
    assert made.width == 2  # type: ignore[attr-defined]


def test_settings_reach_the_proposer_that_calls_a_model() -> None:
    made = open_proposer("anthropic", {"model": "claude-haiku-5-5", "turns": 3})
    assert made.settings.turns == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "model", "sentence"),
    [
        (
            "rewriting",
            {"model": "m", "effort": "low"},
            "calls no language model, so effort, model would change nothing",
        ),
        ("anthropic", {"speed": 3}, "speed"),
        ("anthropic", {"turns": 0}, "turns is 0"),
        ("rewriting+rewriting", None, "named twice"),
    ],
)
def test_what_does_not_fit_is_said(name: str, model: dict[str, object] | None, sentence: str) -> None:
    with pytest.raises(KernelEvolveError, match=sentence):
        open_proposer(name, model)


def test_an_unknown_name_is_answered_with_the_list() -> None:
    with pytest.raises(UnknownNameError, match="there is anthropic"):
        open_proposer("rewriting+nobody")


def test_a_missing_key_is_said_for_any_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(KernelEvolveError, match="ANTHROPIC_API_KEY"):
        check_ready(open_proposer("rewriting+anthropic"))
    check_ready(open_proposer("rewriting"))
