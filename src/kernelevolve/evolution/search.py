"""The search's state and its one question, what next.

The state follows from what is recorded (evaluations and declined proposals, in order), and the randomness of each step
from the run's seed and the step's number. So a resumed run goes on exactly as if it had not stopped, and the same seed
with the same recorded times gives the same run.
"""

from __future__ import annotations

__all__ = ["Action", "Propose", "Search", "Tune"]

from array import array
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from attrs import frozen

from kernelevolve.evolution.archive import NONE, Archive, Entry
from kernelevolve.evolution.bandit import Bandit, Trial, reward
from kernelevolve.evolution.descriptors import cell_index
from kernelevolve.evolution.policies import Choice, SelectionPolicy
from kernelevolve.evolution.tunings import Tunings
from kernelevolve.kernel import Configuration, Kernel
from kernelevolve.store.records import Candidate

#: Share of the evaluations that tuners may have, as long as a structure deserves them.
TUNING_SHARE: Final = 0.5
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
    ) -> None:
        self.seed, self.policy, self.operators = seed, policy, tuple(operators)
        #: Whether tunables are searched; pointless where nothing has a time.
        self.tunes = tune
        self.archive = Archive(fetch)
        self.bandit = Bandit()
        self.tunings = Tunings(self.archive.kernel, valid, seed)
        self.evaluations = self.declines = 0
        self._declined_in_a_row = 0
        #: Fitness of each candidate's first evaluation, by number.
        self._first = array("d")

    def rng(self, purpose: str) -> Random:
        """The randomness of this step for one purpose."""
        return Random(f"{self.seed}/{self.evaluations}/{self.declines}/{purpose}")  # a search, no secret

    def next(self) -> Action | None:
        """What to do now; None where nothing is left to try."""
        if self._declined_in_a_row >= _PATIENCE:
            return self._tune()
        if self.tunings.spent < TUNING_SHARE * self.evaluations:
            tune = self._tune()
            if tune is not None:
                return tune
        return self._propose() or self._tune()

    def _tune(self) -> Tune | None:
        found = self.tunings.next(self.best_fitness) if self.tunes else None
        return None if found is None else Tune(*found)

    def _propose(self) -> Propose | None:
        if not self.operators:
            return None
        rng = self.rng("select")
        choice = self.policy.select(self.archive, rng, 1)[0]
        mate = self.policy.mate(self.archive, rng, choice)
        operator = self.bandit.choose(self.operators, choice.parent, rng)
        return Propose(choice, mate, operator, rng.getrandbits(32))

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
            self.bandit.record(Trial(candidate.operator, parent, earned, seconds))

    def declined(self, operator: str, parent: int, seconds: float) -> None:
        """Learn that an operator had nothing new to offer for `parent`."""
        self.declines += 1
        self._declined_in_a_row += 1
        self.bandit.record(Trial(operator, parent, seconds=seconds, declined=True))
