"""Moves effort to the operators that pay: a bandit over the proposers' operators.

Discounted upper confidence bounds (Garivier and Moulines, "On upper-confidence bound policies for switching bandit
problems", 2011), with what an operator earns per second in place of what it earns per try; money counts as the seconds
of evaluation that it would have bought. Deterministic but for the floor of exploration, whose randomness is passed in;
the state follows from the trials alone, so replaying them restores it.
"""

from __future__ import annotations

__all__ = [
    "SECONDS_PER_DOLLAR",
    "Bandit",
    "Trial",
    "reward",
]

import math
from collections.abc import Sequence
from random import Random
from typing import Final

from attrs import define, field, frozen, validators

#: An improvement by this factor is the most that one trial can earn.
_FULL: Final = 2.0
#: What mending a wrong parent earns: there is no ratio to measure it by.
_MENDED: Final = 0.5
#: What any try is taken to cost beside its measured time, so that a replayed run, whose tries cost nothing, has rates
#: too.
_LEAST_SECONDS: Final = 1e-3
#: Seconds of evaluation that a dollar buys: what makes a model's tokens and a device's time one cost. An hour of a
#: data-centre GPU rents for about three dollars; set it to what yours costs.
SECONDS_PER_DOLLAR: Final = 1200.0


@frozen
class Trial:
    """One use of an operator, and what came of it."""

    operator: str
    #: The candidate that it was applied to.
    parent: int
    #: From 0 to 1; see `reward`.
    reward: float = 0.0
    #: Wall time that proposal and evaluation took together.
    seconds: float = 0.0
    #: The operator had nothing to offer for this parent.
    declined: bool = False
    #: What a model's tokens cost, beside the time.
    dollars: float = 0.0


def reward(fitness: float, parent_fitness: float) -> float:
    """Improvement over the parent in logarithmic fitness, from 0 (none, or not right) to 1 (twice as fast or more)."""
    if fitness <= 0:
        return 0.0
    if parent_fitness <= 0:
        return _MENDED
    return min(1.0, max(0.0, math.log(fitness / parent_fitness) / math.log(_FULL)))


@define
class _Arm:
    tries: float = 0.0
    earned: float = 0.0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Earnings per second; per try, where tries cost next to nothing."""
        cost = self.seconds + _LEAST_SECONDS * self.tries
        return self.earned / cost if cost > 0 else 0.0


@define
class Bandit:
    """Chooses among operators.

    An arm's worth is its discounted earnings per second, relative to the best arm's, plus a bonus for having been tried
    little. With chance `floor` the choice is uniform, so that an operator which starts to pay late is found.
    """

    discount: float = field(default=0.98, validator=[validators.gt(0.0), validators.le(1.0)])
    exploration: float = field(default=0.5, validator=validators.ge(0.0))
    floor: float = field(default=0.1, validator=[validators.ge(0.0), validators.le(1.0)])
    #: How much of a try a decline counts for: it says little and costs little.
    decline_weight: float = field(default=0.1, validator=[validators.ge(0.0), validators.le(1.0)])
    #: What every decline leaves of an operator's chance for the parent it declined.
    fade: float = field(default=0.25, validator=[validators.gt(0.0), validators.lt(1.0)])
    #: What a dollar counts for beside measured seconds; where runs are replayed, a try is taken to last one second.
    seconds_per_dollar: float = field(default=SECONDS_PER_DOLLAR, validator=validators.ge(0.0))
    _arms: dict[str, _Arm] = field(factory=dict, init=False, repr=False)
    _declined: dict[tuple[int, str], int] = field(factory=dict, init=False, repr=False)

    def choose(self, operators: Sequence[str], parent: int, rng: Random) -> str:
        """The operator to try on `parent`. Raises ValueError where there is none to choose from."""
        if not operators:
            message = f"no operator to choose from for candidate {parent}; the proposer has none for this language"
            raise ValueError(message)
        fresh = [self._freshness(operator, parent) for operator in operators]
        if rng.random() < self.floor:
            return rng.choices(operators, fresh)[0]
        scores = [score * part for score, part in zip(self.scores(operators), fresh, strict=True)]
        return operators[max(range(len(operators)), key=lambda index: (scores[index], -index))]

    def scores(self, operators: Sequence[str]) -> list[float]:
        """The worth of each operator now, for any parent; what reports show."""
        arms = [self._arms.get(operator, _Arm()) for operator in operators]
        rates = [arm.rate for arm in arms]
        best = max(rates, default=0.0)
        logarithm = math.log(1.0 + sum(arm.tries for arm in arms))
        return [
            (rate / best if best > 0 else 0.0) + self.exploration * math.sqrt((1.0 + logarithm) / (arm.tries + 0.1))
            for rate, arm in zip(rates, arms, strict=True)
        ]

    def record(self, trial: Trial) -> None:
        """Learn from one trial. Raises ValueError for a reward outside 0 to 1, or negative seconds or dollars."""
        costs = (trial.seconds, trial.dollars)
        if not 0.0 <= trial.reward <= 1.0 or not all(0.0 <= cost < math.inf for cost in costs):
            message = f"{trial}: a reward is from 0 to 1, and seconds and dollars are finite and not negative"
            raise ValueError(message)
        for arm in self._arms.values():
            arm.tries *= self.discount
            arm.earned *= self.discount
            arm.seconds *= self.discount
        arm = self._arms.setdefault(trial.operator, _Arm())
        arm.tries += self.decline_weight if trial.declined else 1.0
        arm.earned += 0.0 if trial.declined else trial.reward
        arm.seconds += trial.seconds + trial.dollars * self.seconds_per_dollar
        if trial.declined:
            key = (trial.parent, trial.operator)
            self._declined[key] = self._declined.get(key, 0) + 1

    def _freshness(self, operator: str, parent: int) -> float:
        # Floored, so that weights never underflow to nothing for a parent that everything has declined.
        return max(1e-9, self.fade ** self._declined.get((parent, operator), 0))
