"""Requests to assemble contexts for."""

from __future__ import annotations

from typing import Any

import pytest

from kernelevolve import parse_kernel, registry
from kernelevolve.evolution.proposal import Parent, ProposalRequest, Relation, Relative
from kernelevolve.knowledge import Library
from kernelevolve.outcome import Outcome
from kernelevolve.proposers.context import assemble, render_json, render_markdown
from kernelevolve.store import Lesson

LANGUAGES = ("opencl", "triton", "numba")
ACCELERATORS = {"opencl": "opencl", "triton": "triton-cuda", "numba": "numba-cuda"}


def device(language: str) -> Any:
    found = registry.accelerator(ACCELERATORS.get(language, "reference")).devices()
    if not found:
        pytest.skip(f"no device for {language} here")
    return found[0]


def request(name: str = "softmax", language: str = "triton", **more: Any) -> ProposalRequest:
    problem = registry.problem(name)
    seed = Parent(0, parse_kernel(problem.seeds[language]), Outcome.CORRECT, 1.0)
    standard = {
        "problem": problem,
        "device": device(language),
        "language": language,
        "workloads": problem.workloads[-1:],
        "parents": (seed,),
        "operator": "model",
        "seed": 1,
    }
    return ProposalRequest(**(standard | more))


def everything(made: ProposalRequest, library: Library | None = None) -> str:
    context = assemble(made, library=library)
    return render_markdown(context) + render_json(context)


def section(made: ProposalRequest, key: str, library: Library | None = None) -> str:
    context = assemble(made, library=library)
    return next((one.text for one in (*context.stable, *context.changing) if one.key == key), "")


def relative(number: int | None, **more: Any) -> Relative:
    standard: dict[str, Any] = {
        "candidate": number,
        "relation": Relation.ANCESTOR,
        "operator": "model",
        "note": "a change",
        "outcome": Outcome.CORRECT if "message" not in more else Outcome.WRONG_RESULT,
        "fitness": 1.0,
        "gain": None,
    }
    return Relative(**(standard | more))


def lesson(text: str) -> Lesson:
    return Lesson(text=text, problem="softmax", accelerator="triton-cuda", device="", language="triton", run="r1")
