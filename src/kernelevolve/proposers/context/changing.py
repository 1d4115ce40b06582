"""The changing part: what is wanted, the diagnosis, parents, history, lessons, and the pages that fit."""

from __future__ import annotations

__all__ = ["LIMITS", "changing_sections", "constraint_pages", "kernel_page", "phase", "source_of"]

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from kernelevolve.evolution.history import paired
from kernelevolve.evolution.proposal import Parent, ProposalRequest
from kernelevolve.kernel import render_kernel
from kernelevolve.knowledge import (
    Bottleneck,
    Diagnosis,
    Kind,
    Library,
    Page,
    Phase,
    diagnose,
    hardware_names,
    render_lesson,
    retrieve,
)
from kernelevolve.outcome import Outcome
from kernelevolve.proposers.context.discretion import discreet
from kernelevolve.proposers.context.document import Section, clipped, fenced
from kernelevolve.proposers.context.telling import UNPAIRED, drafts_text, history_text

#: Characters (of lessons: lines) that each piece may have; together they bound the changing part.
LIMITS: Final[Mapping[str, int]] = {
    "source": 48_000,
    "second source": 16_000,
    "message": 4_000,
    "profile": 4_000,
    "lessons": 10,
    "lesson": 600,
    "pages": 14_000,
}
#: Pages retrieved, at most.
_PAGES: Final = 5
#: What of a stored profile is not shown: how a kernel was checked and at what cost, and what is told in words.
_KEPT_BACK: Final = frozenset({"anchor", "checks", "configurations", "details", "spent", "timings"})


def changing_sections(request: ProposalRequest, library: Library | None) -> tuple[Section, ...]:
    """The sections that belong to this one request, in order."""
    first = request.parents[0] if request.parents else None
    found = _diagnosis(request, first)
    sections: list[Section] = []
    if first is not None and not request.draft:
        text = f"**{found.bottleneck}.** {clipped(_quiet(request)(found.sentence), LIMITS['message'])}"
        sections.append(Section("diagnosis", "What limits it", text))
    if first is not None:
        title = "A kernel that is right, to see how one is written" if request.draft else "The kernel to change"
        sections.append(Section("parent", title, kernel_page(first, request, LIMITS["source"])))
    for other in request.parents[1:2]:
        text = kernel_page(other, request, LIMITS["second source"])
        sections.append(Section("second-parent", "A second kernel, to take ideas from", text))
    history = (drafts_text if request.draft else history_text)(request.relatives, _quiet(request))
    if history:
        title = "Drafts so far, to be different from" if request.draft else "What was tried"
        sections.append(Section("history", title, history))
    if request.lessons:
        sections.append(Section("lessons", "What earlier runs learnt", _lessons(request)))
    pages = _pages(request, library, found)
    if pages:
        sections.append(Section("knowledge", "Pages that fit", pages))
    sections.append(Section("wanted", "What is wanted now", _wanted(request, first)))
    return tuple(sections)


def _quiet(request: ProposalRequest) -> Callable[[str], str]:
    return lambda text: discreet(text, request.problem, request.workloads)


def phase(request: ProposalRequest) -> Phase:
    """What the request is for, in the words that pages use."""
    if request.draft or not request.parents:
        return Phase.DRAFT
    return Phase.IMPROVE if request.parents[0].outcome.right else Phase.REPAIR


def _diagnosis(request: ProposalRequest, parent: Parent | None) -> Diagnosis:
    if parent is None or request.draft:  # nothing to mend yet: pages about the problem and the device are welcome
        return Diagnosis(Bottleneck.UNKNOWN, "")
    return diagnose(
        outcome=parent.outcome,
        message=parent.message,
        details=parent.profile.get("details") or {},
        profile=parent.profile,
        device=request.device,
    )


# --- kernels


def kernel_page(parent: Parent, request: ProposalRequest, limit: int | None = LIMITS["source"]) -> str:
    """A candidate as a proposer sees it: outcome, what was measured, its tunables, and `limit` characters of its file.

    None: without its file.
    """
    quiet = _quiet(request)
    lines = [f"Candidate {parent.candidate}: {_standing(parent)}."]
    if parent.message:
        lines.append(fenced(clipped(quiet(parent.message), LIMITS["message"])))
    measured = _measured(parent, request)
    if measured:
        lines.append(measured)
    tunables = _tunables(parent)
    if tunables:
        lines.append(tunables)
    if limit is not None:
        fence = "c" if parent.kernel.comment == "//" else "python"
        lines.append(fenced(clipped(source_of(parent), limit), fence))
    return "\n\n".join(lines)


def source_of(parent: Parent) -> str:
    """A candidate's kernel file, with the best configuration that was found standing first."""
    return render_kernel(parent.kernel.with_default(parent.configuration))


def _standing(parent: Parent) -> str:
    if parent.outcome is Outcome.CORRECT and parent.fitness:
        rough = "" if paired(parent.profile) else f" ({UNPAIRED})"
        return f"right, {parent.fitness:.4g} × as fast as the kernel that the run started from{rough}"
    return "right; nothing is timed here" if parent.outcome.right else f"{parent.outcome}"


def _tunables(parent: Parent) -> str:
    if not parent.kernel.tunables:
        return ""
    best = parent.kernel.default | {k: v for k, v in parent.configuration.items() if k in parent.kernel.tunables}
    searched = parent.profile.get("configurations", 1) > 1 or best != parent.kernel.default
    found = "best found" if searched else "measured with"
    rows = [
        f"| `{name}` | {best[name]} | {', '.join(map(str, values))} |"
        for name, values in parent.kernel.tunables.items()
    ]
    return "\n".join([f"| tunable | {found} | offered |", "|---|---|---|", *rows])


def _measured(parent: Parent, request: ProposalRequest) -> str:
    """Times and rates on timed workloads, resources, and what else the profile tells."""
    timed = {workload.label for workload in request.workloads}
    lines = []
    for timing in parent.profile.get("timings") or ():
        if isinstance(timing, Mapping) and timing.get("workload") in timed:
            lines += _timing(timing, parent.profile)
    shown = {
        key: _only_timed(value, timed)
        for key, value in sorted(parent.profile.items())
        if key not in _KEPT_BACK and value and value != parent.message  # the bottleneck stands above in words
    }
    text = json.dumps(shown, indent=1, sort_keys=True, default=str) if shown else ""
    if text:
        lines.append(fenced(clipped(_quiet(request)(text), LIMITS["profile"]), "json"))
    return "\n".join(lines)


def _timing(timing: Mapping[str, Any], profile: Mapping[str, Any]) -> list[str]:
    label, pair = timing["workload"], timing.get("paired")
    rate = (profile.get("rates") or {}).get(label) or {}
    moved, per_second = rate.get("compulsory_bytes"), rate.get("bytes_per_second")
    told = []
    if moved and per_second:
        told.append(f"{moved / per_second * 1e6:.4g} µs")
    if isinstance(pair, Mapping):
        told.append(
            f"{pair['ratio']:.4g} × the fastest kernel of that moment ({pair['low']:.4g} to {pair['high']:.4g}, paired)"
        )
    elif told and not paired(profile):
        told.append(UNPAIRED)
    return [f"- `{label}`: {', '.join(told)} ({timing.get('source', 'unknown clock')})"] if told else []


def _only_timed(value: Any, timed: set[str]) -> Any:
    """`value` without entries by workload that are of workloads which are not timed."""
    if isinstance(value, Mapping):
        return {k: _only_timed(v, timed) for k, v in value.items() if "=" not in str(k) or str(k) in timed}
    if isinstance(value, list | tuple):
        return [_only_timed(one, timed) for one in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


# --- history, lessons, pages


def _lessons(request: ProposalRequest) -> str:
    quiet = _quiet(request)
    shown = request.lessons[: LIMITS["lessons"]]
    problem, device = request.problem.name, request.device
    told = (render_lesson(one, problem=problem, accelerator=device.accelerator, device=device) for one in shown)
    return "\n".join(f"- {clipped(quiet(' '.join(text.split())), LIMITS['lesson'])}" for text in told)


def _pages(request: ProposalRequest, library: Library | None, found: Diagnosis) -> str:
    """The pages that fit this request; the constraints, which hold for all of a run, stand in the stable part."""
    if library is None or not request.knowledge:
        return ""
    constraints = constraint_pages(request, library)
    pages = retrieve(
        library,
        found,
        language=request.language,
        device=request.device,
        problem=request.problem,
        phase=phase(request),
        limit=_PAGES,
        budget_chars=LIMITS["pages"] + sum(len(page.text) for page in constraints),
    )
    return "\n\n".join(page.text.strip() for page in pages if page.kind is not Kind.CONSTRAINT)


def constraint_pages(request: ProposalRequest, library: Library | None) -> tuple[Page, ...]:
    """What a kernel must and must not do in this language on this device: the same pages all through a run."""
    if library is None or not request.knowledge:
        return ()
    return library.select(kind=Kind.CONSTRAINT, language=request.language, hardware=hardware_names(request.device))


# --- what is wanted


def _wanted(request: ProposalRequest, first: Parent | None) -> str:
    if first is None:
        return f"A first kernel in `{request.language}` for the problem above."
    if request.draft:
        others = " Take another way than each of the drafts above: theirs are being tried." if request.relatives else ""
        return (
            f"An independent first kernel in `{request.language}`: a design of its own, not a change of the one above. "
            f"Choose the mapping of work, the passes over the data and the use of local memory afresh.{others}"
        )
    if not first.outcome.right:
        return (
            f"A repair: candidate {first.candidate} ended as {first.outcome}. Find the cause first; keep what was "
            "meant to make it fast, unless that is the cause."
        )
    tried = any(one.candidate != first.candidate and one.operator != "seed" for one in request.relatives)
    new = ", and not one of those above that brought nothing" if tried else ""
    return (
        f"A kernel that is faster than candidate {first.candidate}: one change of structure that is aimed at what "
        f"limits it{new}.{_also(request.parents)}"
    )


def _also(parents: Sequence[Parent]) -> str:
    if len(parents) < 2:
        return ""
    return f" Candidate {parents[1].candidate} is there to take ideas from; combining the two is welcome."
