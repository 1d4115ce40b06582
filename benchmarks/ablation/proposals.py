"""A stochastic model of proposals: no language model is asked anything here.

A simulated proposal knows what a real one would be shown (the parent, and as much history as its memory holds) and
answers with another point of the landscape, or with a broken kernel. How often it is broken, how far it steps and how
well it judges are parameters. Two come from a published study; all others are assumptions, and the ablation varies
them.
"""

from __future__ import annotations

__all__ = ["ORIGINS", "History", "ProposalModel", "draft", "propose", "rewrite"]

import math
from collections.abc import Sequence
from random import Random
from typing import Final

from attrs import field, frozen

from benchmarks.ablation.landscape import Landscape, Point
from kernelevolve.store import Memory

#: Draws of a point that is in the landscape (recorded spaces leave out what breaks their constraints) before giving up.
_DRAWS: Final = 20


@frozen
class ProposalModel:
    """How simulated proposals behave. `ORIGINS` says where each number comes from."""

    #: Chance that a proposal without any history is broken (does not compile, or is wrong).
    broken_clean: float = 0.55
    #: The same where it sees its ancestors; with siblings only, the mean of the two.
    broken_remembering: float = 0.21
    #: What knowledge leaves of the chance to be broken.
    knowledge_mends: float = 0.7
    #: Dimensions that a proposal changes on average: without history, and with its ancestors in view (anchoring).
    reach_clean: float = 3.0
    reach_anchored: float = 1.5
    #: Chance that an anchored change of an ordered value goes to a neighbour and not anywhere.
    nearby: float = 0.7
    #: Ideas weighed for one proposal; history of either kind, and knowledge, add one each.
    ideas: int = 1
    #: Standard deviation of the error with which an idea's time is foreseen, in natural logarithms.
    misjudgement: float = 0.5
    #: Share of the dimensions in which a draft differs from the seed.
    draft_reach: float = 0.5
    #: What a proposal costs in a model's tokens.
    dollars: float = 0.05


#: Where each parameter comes from.
ORIGINS: Final = {
    "broken_clean": "published: 55 % of candidates broken without memory (arXiv 2606.29823)",
    "broken_remembering": "published: 21 % with memory (same study)",
    "knowledge_mends": "assumed",
    "reach_clean": "assumed",
    "reach_anchored": "assumed; that memory anchors is published, how much is not",
    "nearby": "assumed",
    "ideas": "assumed",
    "misjudgement": "assumed",
    "draft_reach": "assumed",
    "dollars": "assumed",
}


@frozen
class History:
    """What a proposal may see of the run."""

    parent: Point
    #: Changes of the parent that were tried and made it slower or broke it.
    losses: frozenset[Point] = field(default=frozenset())
    memory: Memory = Memory.NONE

    @property
    def anchored(self) -> bool:
        """Whether the parent's own history is in view."""
        return self.memory in (Memory.PARENT, Memory.BOTH)

    @property
    def compares(self) -> bool:
        """Whether siblings are in view."""
        return self.memory in (Memory.SIBLINGS, Memory.BOTH)


def propose(
    model: ProposalModel, landscape: Landscape, history: History, *, knowledge: bool, rng: Random
) -> Point | None:
    """A change of the parent as a language model might make it; None for a broken kernel."""
    if rng.random() < _broken(model, history, knowledge=knowledge):
        return None
    reach = model.reach_anchored if history.anchored else model.reach_clean
    nearby = model.nearby if history.anchored else 0.0
    count = model.ideas + history.anchored + history.compares + knowledge
    ideas = [_changed(landscape, history.parent, reach, nearby, rng) for _ in range(count)]
    if history.compares:
        ideas = [idea for idea in ideas if idea not in history.losses] or ideas
    return _foreseen_best(model, landscape, ideas, rng)


def draft(model: ProposalModel, landscape: Landscape, seed: Point, *, knowledge: bool, rng: Random) -> Point | None:
    """An independent first kernel, some way from the seed; None for a broken one."""
    if rng.random() < _broken(model, History(seed), knowledge=knowledge):
        return None
    reach = max(1.0, model.draft_reach * len(landscape.sizes))
    ideas = [_changed(landscape, seed, reach, 0.0, rng) for _ in range(model.ideas + knowledge)]
    return _foreseen_best(model, landscape, ideas, rng)


def rewrite(landscape: Landscape, parent: Point, rng: Random) -> Point:
    """A change by rule: one dimension, to a neighbouring value where there is an order; never broken by itself."""
    return _changed(landscape, parent, 1.0, 1.0, rng)


def _broken(model: ProposalModel, history: History, *, knowledge: bool) -> float:
    chance = model.broken_clean
    if history.anchored:
        chance = model.broken_remembering
    elif history.compares:
        chance = (model.broken_clean + model.broken_remembering) / 2
    return chance * (model.knowledge_mends if knowledge else 1.0)


def _changed(landscape: Landscape, parent: Point, reach: float, nearby: float, rng: Random) -> Point:
    """`parent` in other values of some dimensions: one, and more by a geometric law with mean `reach` in all."""
    for _ in range(_DRAWS):
        count = 1
        while count < len(parent) and rng.random() > 1 / reach:
            count += 1
        made = list(parent)
        for dimension in rng.sample(range(len(parent)), count):
            made[dimension] = _other(landscape, dimension, parent[dimension], nearby, rng)
        if tuple(made) in landscape.seconds:
            return tuple(made)
    return parent


def _other(landscape: Landscape, dimension: int, value: int, nearby: float, rng: Random) -> int:
    size = landscape.sizes[dimension]
    if landscape.ordered[dimension] and rng.random() < nearby:
        return rng.choice([near for near in (value - 1, value + 1) if 0 <= near < size])
    return (value + rng.randrange(1, size)) % size


def _foreseen_best(model: ProposalModel, landscape: Landscape, ideas: Sequence[Point], rng: Random) -> Point:
    """The idea that looks fastest: its true time with an error; one that falls looks no better than the slowest."""

    def looks(point: Point) -> float:
        seconds = landscape.seconds[point] or landscape.seconds[landscape.right[-1]]
        assert seconds is not None
        return math.log(seconds) + rng.gauss(0.0, model.misjudgement)

    return min(ideas, key=looks) if len(ideas) > 1 else ideas[0]
