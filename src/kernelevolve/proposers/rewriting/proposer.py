"""The `Proposer` that rewrites kernels by rule."""

from __future__ import annotations

__all__ = ["RewritingProposer"]

import importlib
import random
from collections.abc import Iterator
from typing import Any, Final

from kernelevolve import registry
from kernelevolve.evolution.proposal import Parent, Proposal, ProposalRequest
from kernelevolve.kernel import Configuration, Kernel, parse_kernel
from kernelevolve.language import Language
from kernelevolve.outcome import Outcome, Rejected
from kernelevolve.problem import Problem
from kernelevolve.proposers.rewriting.catalog import rules
from kernelevolve.proposers.rewriting.changes import FOREIGN_OPTIONS, Change, accepted
from kernelevolve.proposers.rewriting.recombination import recombinations
from kernelevolve.proposers.rewriting.tunables import LARGEST, tunable_changes

_RECIPES: Final = "kernelevolve.proposers.recipes"
#: Candidates looked at for one request; each costs a parse.
MAX_ATTEMPTS: Final = 40


class RewritingProposer:
    """Rewrites kernels on their syntax tree: no model, no key, and the same proposal for the same request.

    Operators: ``rewrite:FAMILY`` (one rewrite), ``compose`` (two or three in a row), ``tunables``, ``recombine``, and
    ``recipe:NAME`` (a kernel written from a known scheme, or by hand). A language without rewrites has the others.
    """

    name: str = "rewriting"

    def operators(self, problem: Problem, language: str) -> tuple[str, ...]:
        """Every operator for `language`; recipes first, since a run tries each operator once before it prefers any."""
        recipes = tuple(f"recipe:{name}" for name in _recipes().names(problem, language))
        known = rules(language)
        rewrites = (*(f"rewrite:{family}" for family in known.families), "compose") if known else ()
        return (*recipes, *rewrites, "tunables", "recombine")

    def propose(self, request: ProposalRequest) -> Proposal | None:
        """One new kernel, or None where the operator does not apply to these parents."""
        kind, _, name = request.operator.partition(":")
        language = registry.language(request.language)
        if kind == "recipe":
            return _from_recipe(request, name, language)
        parents = request.parents or _seed(request)
        if not parents or not all(_readable(parent.kernel, language) for parent in parents[:2]):
            return None
        rng = random.Random(request.seed)  # a search, not a secret
        others = [parent.kernel for parent in parents]
        changes = _changes(kind, name, parents, request, rng)
        for _, change in zip(range(MAX_ATTEMPTS), changes, strict=False):
            if accepted(change.kernel, language, others):
                used = parents[:2] if kind == "recombine" else parents[:1]
                return Proposal(
                    kernel=change.kernel,
                    operator=request.operator,
                    parents=tuple(parent.candidate for parent in used if parent.candidate >= 0),
                    note=change.note,
                    configuration=_kept(change.kernel, parents[0].configuration, parents[0].kernel),
                )
        return None


def _recipes() -> Any:
    """The module of recipes, imported when it is first asked for."""
    return importlib.import_module(_RECIPES)


def _from_recipe(request: ProposalRequest, name: str, language: Language) -> Proposal | None:
    made: Proposal | None = _recipes().propose(request, name)
    others = [parent.kernel for parent in request.parents]
    return made if made is not None and accepted(made.kernel, language, others) else None


def _readable(kernel: Kernel, language: Language) -> bool:
    """Whether there is something to change: a parent that the gate refused has no tree that can be trusted."""
    try:
        language.gate(kernel.body)
    except Rejected:
        return False
    return kernel.language == language.name


def _seed(request: ProposalRequest) -> tuple[Parent, ...]:
    """The problem's seed as a parent, for a run that has none yet."""
    text = request.problem.seeds.get(request.language)
    if text is None:
        return ()
    return (Parent(candidate=-1, kernel=parse_kernel(text), outcome=Outcome.UNMEASURED, fitness=0.0),)


def _changes(
    kind: str, name: str, parents: tuple[Parent, ...], request: ProposalRequest, rng: random.Random
) -> Iterator[Change]:
    problem, first, accelerator = request.problem, parents[0], request.device.accelerator
    match kind:
        case "rewrite":
            yield from _rewrites(first.kernel, problem, rng, name, accelerator)
        case "compose":
            yield from _compositions(first.kernel, problem, rng, accelerator)
        case "tunables":
            largest = request.device.facts.get("max_group_size", LARGEST)
            known = rules(first.kernel.language)
            found = list(tunable_changes(first.kernel, first.configuration, largest))
            found += known.promotions(first.kernel, problem) if known else ()
            found = [one for one in found if _means_something(one.kernel, first.kernel, accelerator)]
            yield from rng.sample(found, len(found))
        case "recombine" if len(parents) > 1:
            yield from recombinations(first, parents[1], problem, rng)


def _means_something(kernel: Kernel, before: Kernel, accelerator: str) -> bool:
    """Whether a change does more than offer launch options that the accelerator has not."""
    foreign = FOREIGN_OPTIONS.get(accelerator, ())
    return all(kernel.tunables.get(name) == before.tunables.get(name) for name in foreign)


def _rewrites(
    kernel: Kernel, problem: Problem, rng: random.Random, family: str | None = None, accelerator: str = ""
) -> Iterator[Change]:
    """Every rewrite of the family at every site: a random rewrite first, then a random site of it."""
    known = rules(kernel.language)
    if known is None:
        return
    named = [one for one in known.on(accelerator) if family in (None, one.family)]
    for rewrite in rng.sample(named, len(named)):
        try:
            places = known.sites(kernel, problem, rewrite)
        except Rejected:
            return  # a parent that failed the gate: nothing can be rewritten in it
        for site in rng.sample(places, len(places)):
            yield Change(site.make(), f"{rewrite.name}: {site.note}")


def _compositions(kernel: Kernel, problem: Problem, rng: random.Random, accelerator: str = "") -> Iterator[Change]:
    while True:
        current = kernel
        notes: list[str] = []
        for _ in range(rng.choice((2, 2, 3))):
            change = next(_rewrites(current, problem, rng, accelerator=accelerator), None)
            if change is not None:
                current, notes = change.kernel, [*notes, change.note]
        if not notes:
            return
        yield Change(current, "; ".join(notes))


def _kept(kernel: Kernel, best: Configuration, parent: Kernel) -> dict[str, Any]:
    """The parent's best configuration, as far as the child offers it and did not put another value first."""
    chosen = kernel.default
    for name, value in best.items():
        unchanged = kernel.tunables.get(name) == parent.tunables.get(name)
        if unchanged and value in kernel.tunables.get(name, ()):
            chosen[name] = value
    return chosen
