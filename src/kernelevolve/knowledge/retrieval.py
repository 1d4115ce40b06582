"""Which pages a proposal needs: diagnosis first, then facets, then BM25 among what is left."""

from __future__ import annotations

__all__ = ["retrieve"]

from typing import Final

from kernelevolve.accelerator import Device
from kernelevolve.knowledge.bottleneck import Bottleneck
from kernelevolve.knowledge.finding import Diagnosis
from kernelevolve.knowledge.hardware import family_of, hardware_names
from kernelevolve.knowledge.library import Library
from kernelevolve.knowledge.page import Kind, Page, Phase
from kernelevolve.problem import Problem

#: What a facet that is named, and not only left open, adds to a page's text score, which is scaled to at most 1.
_NAMED: Final = {"bottleneck": 1.0, "problem": 0.6, "chip": 0.3, "family": 0.2, "language": 0.2, "phase": 0.1}
#: Bottlenecks that say nothing about where to look: pages about any of them are welcome.
_VAGUE: Final = (Bottleneck.CORRECT, Bottleneck.UNKNOWN)
_DIGITS: Final = 4


def retrieve(
    library: Library,
    diagnosis: Diagnosis,
    *,
    language: str,
    device: Device,
    problem: Problem,
    phase: Phase | None = None,
    limit: int = 6,
    budget_chars: int = 24_000,
) -> tuple[Page, ...]:
    """The constraints that hold, all of them, by id; then the best `limit` of the other pages, best first.

    `budget_chars` bounds the text of both together; constraints are never left out for it, other pages are where they
    do not fit any more. Same library and arguments: same pages.
    """
    names = hardware_names(device)
    bottleneck = None if diagnosis.bottleneck in _VAGUE else diagnosis.bottleneck
    constraints = library.select(kind=Kind.CONSTRAINT, language=language, hardware=names)
    others = [
        page
        for page in library.select(language=language, hardware=names, bottleneck=bottleneck, phase=phase)
        if page.kind is not Kind.CONSTRAINT
    ]
    query = " ".join((*diagnosis.terms, problem.name, problem.pattern, language))
    found = {match.page.id: match.score for match in library.search(query, among=others, limit=len(others))}
    best = max(found.values(), default=1.0)

    def score(page: Page) -> float:
        named = {
            "bottleneck": diagnosis.bottleneck in page.bottlenecks,
            "problem": problem.name in page.problems,
            "chip": any(one in names and family_of(one) for one in page.hardware),
            "family": any(one in names for one in page.hardware),
            "language": language in page.languages,
            "phase": phase in page.phases,
        }
        return round(
            found.get(page.id, 0.0) / best + sum(_NAMED[facet] for facet, is_ in named.items() if is_), _DIGITS
        )

    ranked = sorted(others, key=lambda page: (-score(page), page.id))
    return (*constraints, *_fitting(ranked, limit, budget_chars - sum(len(page.text) for page in constraints)))


def _fitting(ranked: list[Page], limit: int, budget: int) -> list[Page]:
    chosen: list[Page] = []
    for page in ranked:
        if len(chosen) == limit:
            break
        if len(page.text) <= budget:
            budget -= len(page.text)
            chosen.append(page)
    return chosen
