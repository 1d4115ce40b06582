"""The search's state and its one question, what next.

The state follows from what is recorded (evaluations and declined proposals, in order), and the randomness of each step
from the run's seed and the step's number. So a resumed run goes on exactly as if it had not stopped, and the same seed
with the same recorded times gives the same run.
"""

from __future__ import annotations

__all__ = ["OUTSIDE", "Action", "Propose", "Search", "Tune"]

from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from random import Random
from typing import Any, Final

from attrs import frozen

from kernelevolve.evolution.archive import NONE, Archive, Entry
from kernelevolve.evolution.bandit import Bandit, Trial, reward
from kernelevolve.evolution.descriptors import cell_index
from kernelevolve.evolution.memory import MemoryBandit, MemoryChooser
from kernelevolve.evolution.policies import Choice, SelectionPolicy
from kernelevolve.evolution.tunings import Tunings
from kernelevolve.kernel import Configuration, Kernel
from kernelevolve.store.records import Candidate, Memory

#: Share of the evaluations that tuners may have, as long as a structure deserves them.
TUNING_SHARE: Final = 0.5
#: The operator of proposals that are asked for and told from outside.
OUTSIDE: Final = "outside"
#: Parents tried before a run with nothing left to propose ends.
_PATIENCE: Final = 200


@frozen
class Tune:
    """Evaluate a known candidate in another configuration."""

    candidate: int
    configuration: Configuration


@frozen
class Propose:
    """Ask the proposer for a new candidate."""

    choice: Choice
    mate: int | None
    operator: str
    seed: int
    #: Whose history the proposer sees.
    memory: Memory = Memory.NONE
    #: An independent first kernel, not a change of the parent.
    draft: bool = False

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "parent": self.choice.parent,
            "island": self.choice.island,
            "mate": self.mate,
            "operator": self.operator,
            "seed": self.seed,
            "memory": self.memory.value,
            "draft": self.draft,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Propose:
        """What `record` described."""
        return cls(
            choice=Choice(record["parent"], record["island"]),
            mate=record["mate"],
            operator=record["operator"],
            seed=record["seed"],
            memory=Memory(record["memory"]),
            draft=record["draft"],
        )


Action = Tune | Propose


class Search:
    """Archive, policy, bandit and tuners of one run."""

    def __init__(
        self,
        *,
        seed: int,
        policy: SelectionPolicy,
        operators: Sequence[str],
        fetch: Callable[[int], Kernel],
        valid: Callable[[Kernel, Configuration], bool],
        tune: bool = True,
        remembers: Callable[[str], bool] = lambda operator: operator == OUTSIDE,
        memory: MemoryChooser | None = None,
        drafts: int = 0,
    ) -> None:
        self.seed, self.policy, self.operators = seed, policy, tuple(operators)
        #: Whether tunables are searched; pointless where nothing has a time.
        self.tunes = tune
        self.archive = Archive(fetch)
        self.bandit = Bandit()
        self.tunings = Tunings(self.archive.kernel, valid, seed)
        self.evaluations = self.declines = 0
        self._declined_in_a_row = 0
        #: Whether an operator reads history; which history is then `memory`'s choice, after so many `drafts` without.
        self._remembers = remembers
        self.memory = memory or MemoryBandit()
        self.drafts = drafts
        #: Proposals that were begun and have not come back, and how many were ever begun.
        self.open: dict[object, Propose] = {}
        self.begun = 0
        self._drafted = 0
        #: Fitness of each candidate's first evaluation, by number.
        self._first = array("d")

    def rng(self, purpose: str) -> Random:
        """The randomness of this step for one purpose."""
        begun = f"{self.begun}/" if self.begun else ""
        return Random(f"{self.seed}/{self.evaluations}/{self.declines}/{begun}{purpose}")  # a search, no secret

    def next(self, without: Collection[str] = ()) -> Action | None:
        """What to do now; None where nothing is left to try.

        Operators in `without` have as much to do as they can take: None may then mean to wait for them.
        """
        if self._declined_in_a_row >= _PATIENCE:
            return self.tune()
        if self.tunings.spent < TUNING_SHARE * self.evaluations:
            tune = self.tune()
            if tune is not None:
                return tune
        return self._propose(without) or (None if without else self.tune())

    def tune(self) -> Tune | None:
        """What the tuners want next, whatever their share; None where no structure deserves another evaluation."""
        found = self.tunings.next(self.best_fitness) if self.tunes else None
        return None if found is None else Tune(*found)

    def _propose(self, without: Collection[str]) -> Propose | None:
        among = [operator for operator in self.operators if operator not in without]
        remembering = [operator for operator in among if self._remembers(operator)]
        if remembering and self._drafts_left:
            return self.ask(remembering[0])
        if not among:
            return None
        rng = self.rng("select")
        choice = self._select(rng)
        mate = self.policy.mate(self.archive, rng, choice)
        operator = self.bandit.choose(among, choice.parent, rng)
        return Propose(choice, mate, operator, rng.getrandbits(32), self._memory_for(operator, choice.parent))

    def ask(self, operator: str = OUTSIDE) -> Propose:
        """The next proposal that `operator` is to make, whatever the bandit thinks of it: first the drafts."""
        rng = self.rng("select")
        if self._drafts_left:
            islands = getattr(self.policy, "islands", 1)
            return Propose(Choice(0, self._begun_drafts % islands), None, operator, rng.getrandbits(32), draft=True)
        choice = self._select(rng)
        mate = self.policy.mate(self.archive, rng, choice)
        return Propose(choice, mate, operator, rng.getrandbits(32), self._memory_for(operator, choice.parent))

    @property
    def _begun_drafts(self) -> int:
        return self._drafted + sum(action.draft for action in self.open.values())

    @property
    def _drafts_left(self) -> bool:
        """A policy that begins again wants drafts again."""
        return self._begun_drafts < self.drafts * int(getattr(self.policy, "beginnings", 1))

    def _select(self, rng: Random) -> Choice:
        """A parent as if those of open proposals had children already, so that what is begun together spreads."""
        return self.policy.select(self.archive, rng, len(self.open) + 1)[-1]

    def _memory_for(self, operator: str, parent: int) -> Memory:
        if not self._remembers(operator):
            return Memory.NONE
        available = [Memory.NONE]
        if self.archive.parent(parent) != NONE:
            available += [Memory.PARENT, Memory.SIBLINGS, Memory.BOTH]
        elif len(self.archive) > 1:  # a seed has children at most
            available.append(Memory.SIBLINGS)
        return self.memory.choose(self.rng("memory"), available)

    def begin(self, key: object, action: Propose) -> None:
        """Take note that a proposal is open; `key` names it until `end`."""
        self.open[key] = action
        self.begun += 1

    def end(self, key: object) -> None:
        """Take note that an open proposal came back, or never will."""
        self.open.pop(key, None)

    @property
    def best_fitness(self) -> float:
        """The best fitness so far; 0 before anything was right."""
        return self.archive.fitness(self.archive.best) if len(self.archive) else 0.0

    def evaluated(
        self,
        candidate: Candidate,
        configuration: Configuration,
        fitness: float,
        *,
        descriptor: tuple[int, ...] | None,
        seconds: float,
    ) -> None:
        """Learn from one evaluation of `candidate`."""
        self.evaluations += 1
        number = candidate.number
        first = number not in self.archive
        if not first:
            if fitness > self.archive.fitness(number):
                self.archive.revise(number, fitness)
                self.policy.revised(self.archive, number)
        else:
            self._insert(candidate, fitness, descriptor, seconds)
        self.tunings.told(number, configuration, fitness, first=first)

    def _insert(self, candidate: Candidate, fitness: float, descriptor: tuple[int, ...] | None, seconds: float) -> None:
        cell = 0 if descriptor is None else cell_index(descriptor)
        parent = candidate.parents[0] if candidate.parents else NONE
        self._declined_in_a_row = 0
        self.archive.insert(Entry(candidate.number, fitness, cell, candidate.island, parent))
        self.policy.inserted(self.archive, candidate.number)
        self._first.extend([0.0] * (candidate.number + 1 - len(self._first)))
        self._first[candidate.number] = fitness
        if candidate.parents:
            # Both with their default configurations: a tuned parent would hide what the change itself brought.
            earned = reward(fitness, self._first[parent])
            dollars = float(candidate.proposal.get("dollars", 0.0))
            self.bandit.record(Trial(candidate.operator, parent, earned, seconds, dollars=dollars))
            if candidate.proposal.get("draft"):
                self._drafted += 1
            elif self._remembers(candidate.operator):
                self.memory.record(candidate.memory, earned, seconds, dollars)

    def declined(
        self,
        operator: str,
        parent: int,
        seconds: float,
        *,
        dollars: float = 0.0,
        memory: Memory = Memory.NONE,
        draft: bool = False,
    ) -> None:
        """Learn that an operator had nothing new to offer for `parent`, or failed at it."""
        self.declines += 1
        self._declined_in_a_row += 1
        self.bandit.record(Trial(operator, parent, seconds=seconds, declined=True, dollars=dollars))
        if draft:
            self._drafted += 1
        elif self._remembers(operator):
            self.memory.record(memory, 0.0, seconds, dollars)
