"""One simulated run: the real search asks and learns, the model of proposals answers, the landscape gives the times."""

from __future__ import annotations

__all__ = ["Arm", "Trace", "simulate"]

from random import Random
from typing import Final

from attrs import field, frozen

from benchmarks.ablation.landscape import Landscape, Point
from benchmarks.ablation.proposals import History, ProposalModel, draft, propose, rewrite
from kernelevolve.evolution.archive import NONE
from kernelevolve.evolution.memory import make_memory
from kernelevolve.evolution.policies import make_policy
from kernelevolve.evolution.search import Propose, Search
from kernelevolve.kernel import Configuration, Kernel, Launch
from kernelevolve.store import Candidate

#: Independent first kernels of a run with the simulated model; what `evolve` asks a model for by default.
DRAFTS: Final = 4
_MODEL: Final = "model"
_REWRITE: Final = "rewrite"
#: Operators by the name of who proposes.
_OPERATORS: Final = {"model": (_MODEL,), "rewriting": (_REWRITE,), "mixed": (_REWRITE, _MODEL)}
#: A kernel without tunables: each candidate is one point, and nothing is left to the tuner.
_KERNEL: Final = Kernel(language="replay", body="", launches=(Launch(entry="point", grid=()),), comment="#")


@frozen
class Arm:
    """What is compared: one way to search."""

    policy: str = "map-elites"
    #: A name of `evolution.memory.MEMORIES`.
    memory: str = "bandit"
    knowledge: bool = False
    #: Candidates without an improvement before a restart; None for no restarts.
    restarts: int | None = None
    #: ``model``, ``rewriting`` or ``mixed``.
    proposer: str = "model"
    model: ProposalModel = field(factory=ProposalModel)


@frozen
class Trace:
    """What one run did."""

    #: Share of the landscape's optimum that the best so far reaches, after each evaluation; the seed is the first.
    best: tuple[float, ...]
    #: Share of the optimum that the seed reaches.
    start: float
    #: Evaluations of kernels that fell, of all after the seed.
    fell: float
    dollars: float


class _Run:
    def __init__(self, landscape: Landscape, arm: Arm, seed: int) -> None:
        self.landscape, self.arm = landscape, arm
        self.points: list[Point | None] = []
        self.seen: set[Point] = set()
        self.children: dict[int, list[int]] = {}
        self.best: list[float] = []
        self.dollars = 0.0
        self.search = Search(
            seed=Random(f"{landscape.name}/{seed}").getrandbits(32),
            policy=make_policy(arm.policy, restarts=arm.restarts),
            operators=_OPERATORS[arm.proposer],
            fetch=lambda _: _KERNEL,
            valid=_always,
            tune=False,
            remembers=_remembers,
            memory=make_memory(arm.memory),
            drafts=0 if arm.proposer == "rewriting" else DRAFTS,
        )
        self.keep(Candidate(run="", operator="seed"), landscape.start(seed))

    def keep(self, candidate: Candidate, point: Point | None) -> None:
        """Evaluate: `point` is None for a broken kernel."""
        number = len(self.points)
        self.points.append(point)
        if point is not None:
            self.seen.add(point)
        if candidate.parents:
            self.children.setdefault(candidate.parents[0], []).append(number)
        share = self.landscape.share(point) if point is not None else 0.0
        self.best.append(max(share, self.best[-1] if self.best else 0.0))
        numbered = Candidate(
            run="",
            operator=candidate.operator,
            parents=candidate.parents,
            memory=candidate.memory,
            island=candidate.island,
            proposal=candidate.proposal,
            number=number,
        )
        cell = self.landscape.cell(point) if point is not None else None
        fitness = share / self.best[0] if self.best[0] else 0.0
        self.search.evaluated(numbered, {}, fitness, descriptor=cell, seconds=1.0)

    def step(self) -> bool:
        """One proposal; False where the search has nothing left to try."""
        action = self.search.next()
        if not isinstance(action, Propose):
            return False
        rng, parent = Random(action.seed), action.choice.parent
        dollars = self.arm.model.dollars if action.operator == _MODEL else 0.0
        self.dollars += dollars
        point = self._answer(action, rng)
        if point is not None and point in self.seen:  # as the loop does with a kernel that it has evaluated before
            self.search.declined(
                action.operator, parent, 1.0, dollars=dollars, memory=action.memory, draft=action.draft
            )
            return True
        candidate = Candidate(
            run="",
            operator=action.operator,
            parents=(parent,),
            memory=action.memory,
            island=action.choice.island,
            proposal={"dollars": dollars, "draft": action.draft},
        )
        self.keep(candidate, point)
        return True

    def _answer(self, action: Propose, rng: Random) -> Point | None:
        parent = self.points[action.choice.parent]
        assert parent is not None, "policies choose what is right"
        if action.operator == _REWRITE:
            return rewrite(self.landscape, parent, rng)
        if action.draft:
            return draft(self.arm.model, self.landscape, parent, knowledge=self.arm.knowledge, rng=rng)
        history = History(parent, self._losses(action.choice.parent), action.memory)
        return propose(self.arm.model, self.landscape, history, knowledge=self.arm.knowledge, rng=rng)

    def _losses(self, parent: int) -> frozenset[Point]:
        """What was made of the parent, and beside it, and was no better than it."""
        archive = self.search.archive
        above = archive.parent(parent)
        beside = [*self.children.get(parent, ()), *(self.children.get(above, ()) if above != NONE else ())]
        worse = (number for number in beside if archive.fitness(number) <= archive.fitness(parent))
        return frozenset(point for number in worse if (point := self.points[number]) is not None)


def _always(_kernel: Kernel, _configuration: Configuration) -> bool:
    return True


def _remembers(operator: str) -> bool:
    return operator == _MODEL


def simulate(landscape: Landscape, arm: Arm, seed: int, evaluations: int) -> Trace:
    """One run of `evaluations` after its seed kernel; where nothing is left to try the last best stands to the end."""
    run = _Run(landscape, arm, seed)
    while len(run.best) <= evaluations and run.step():
        pass
    fell = sum(point is None or landscape.seconds[point] is None for point in run.points[1:])
    best = run.best + [run.best[-1]] * (evaluations + 1 - len(run.best))
    return Trace(tuple(best), run.best[0], fell / max(1, len(run.points) - 1), run.dollars)
