"""What a proposer that reads is told: one context, for the built-in model, for a person, and for a coding agent."""

from __future__ import annotations

__all__ = [
    "Context",
    "Section",
    "assemble",
    "discreet",
    "hardware_page",
    "kernel_page",
    "markdown",
    "render_json",
    "render_markdown",
    "source_of",
]

from typing import Any

from kernelevolve.evolution.proposal import ProposalRequest
from kernelevolve.knowledge import Library
from kernelevolve.proposers.context.changing import changing_sections, constraint_pages, kernel_page, phase, source_of
from kernelevolve.proposers.context.discretion import discreet
from kernelevolve.proposers.context.document import Context, Section, markdown, render_json, render_markdown
from kernelevolve.proposers.context.stable import FILE_ANSWER, hardware_page, stable_sections


def assemble(request: ProposalRequest, *, library: Library | None = None, answer: str = FILE_ANSWER) -> Context:
    """The context of `request`: same request, same bytes. `answer` says how a kernel is to be handed in.

    It holds no hidden workload, no seed of an input generator and no expected value. The stable part is the same for
    every request of a run; the changing one has at most some 100 000 characters (`changing.LIMITS`).
    """
    return Context(
        stable=stable_sections(request, answer, constraint_pages(request, library)),
        changing=changing_sections(request, library),
        about=_about(request),
    )


def _about(request: ProposalRequest) -> dict[str, Any]:
    return {
        "problem": request.problem.name,
        "accelerator": request.device.accelerator,
        "device": request.device.name,
        "target": request.device.target.name,
        "language": request.language,
        "workloads": [workload.label for workload in request.workloads],
        "operator": request.operator,
        "memory": str(request.memory),
        "wanted": str(phase(request)),
        "parents": [
            {
                "candidate": parent.candidate,
                "outcome": str(parent.outcome),
                "fitness": parent.fitness,
                "configuration": dict(parent.configuration),
                "kernel": source_of(parent),
            }
            for parent in request.parents[:2]
        ],
    }
