"""The one budget of a run: what it may spend, what it has spent, and the one place that says when it is over."""

from __future__ import annotations

__all__ = ["Budget", "Ledger", "Remaining", "budget_from", "budget_record"]

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from attrs import Attribute, asdict, define, field, fields, frozen


def _limit(_instance: object, attribute: Attribute[Any], value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and value > 0):
        message = f"Budget.{attribute.name} is {value!r}; a limit is a finite number above 0, or None for no limit"
        raise ValueError(message)


def _gain(_instance: object, attribute: Attribute[Any], value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        message = f"Budget.{attribute.name} is {value!r}; it is a share of the fitness, such as 0.01"
        raise ValueError(message)


@frozen
class Budget:
    """The limits of a run. None means that nothing limits it in that respect; the first limit that is met ends it."""

    #: Candidates evaluated, failed ones included.
    evaluations: int | None = field(default=None, validator=_limit)
    #: Wall time in seconds, over all sessions of the run.
    seconds: float | None = field(default=None, validator=_limit)
    #: Seconds during which the device was held.
    device_seconds: float | None = field(default=None, validator=_limit)
    #: Tokens of a language model, in and out.
    tokens: int | None = field(default=None, validator=_limit)
    dollars: float | None = field(default=None, validator=_limit)
    #: Evaluations in a row that brought no improvement.
    stall: int | None = field(default=None, validator=_limit)
    #: Fitness that is good enough.
    target: float | None = field(default=None, validator=_limit)
    #: Share of the device's roofline (0 to 1) that is good enough.
    roofline: float | None = field(default=None, validator=_limit)
    #: An improvement is more than this share above the last one: noise does not keep a run alive.
    minimum_gain: float = field(default=0.01, validator=_gain)


@frozen
class Remaining:
    """What is left, for a progress display. None: not limited."""

    evaluations: int | None
    #: Wall seconds.
    seconds: float | None
    #: How much of the limit that is nearest to its end has been spent, 0 to 1; 0 where nothing is limited.
    spent: float
    #: That limit's name (a field of `Budget`), or the empty string.
    nearest: str


#: What is counted up and limited by the field of the same name in `Budget`, with its name in sentences.
_COUNTED: Mapping[str, str] = {
    "evaluations": "{:.0f} evaluations",
    "seconds": "{:.0f} s of wall time",
    "device_seconds": "{:.0f} s of device time",
    "tokens": "{:.0f} tokens",
    "dollars": "{:.2f} dollars",
}


@define
class Ledger:
    """What a run has spent. Its `snapshot` is stored with every evaluation; `resumed` reads the last one."""

    budget: Budget
    #: A monotonic clock in seconds.
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    evaluations: int = field(default=0, init=False)
    device_seconds: float = field(default=0.0, init=False)
    tokens: int = field(default=0, init=False)
    dollars: float = field(default=0.0, init=False)
    #: Evaluations since the last improvement.
    stalled: int = field(default=0, init=False)
    #: The best fitness, and the best share of the roofline, that were seen.
    best: float = field(default=0.0, init=False)
    roofline: float = field(default=0.0, init=False)
    #: The fitness that an improvement must beat by `Budget.minimum_gain`; slow progress adds up to one.
    _mark: float = field(default=0.0, init=False)
    _earlier: float = field(default=0.0, init=False)
    _started: float = field(init=False)
    #: Calls of a model that were begun and are not paid yet, and what each of them is taken to cost: the most that any
    #: could, where that was said, or did. None before anything is known.
    _calls: int = field(default=0, init=False, repr=False)
    _each: dict[str, float] | None = field(default=None, init=False, repr=False)
    _paid: threading.Condition = field(factory=threading.Condition, init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        self._started = self.clock()

    @classmethod
    def resumed(
        cls, budget: Budget, snapshot: Mapping[str, Any] | None, *, clock: Callable[[], float] = time.monotonic
    ) -> Ledger:
        """The ledger that goes on from `snapshot`, or a fresh one without. `budget` may have been raised meanwhile."""
        ledger = cls(budget, clock)
        if snapshot is not None:
            ledger.evaluations = int(snapshot["evaluations"])
            ledger.device_seconds = float(snapshot["device_seconds"])
            ledger.tokens = int(snapshot["tokens"])
            ledger.dollars = float(snapshot["dollars"])
            ledger.stalled = int(snapshot["stalled"])
            ledger.best = float(snapshot["best"])
            ledger.roofline = float(snapshot["roofline"])
            ledger._mark = float(snapshot["mark"])
            ledger._earlier = float(snapshot["seconds"])
        return ledger

    def snapshot(self) -> dict[str, float]:
        """Everything that `resumed` needs, as JSON values."""
        return {
            "evaluations": self.evaluations,
            "seconds": self.seconds,
            "device_seconds": self.device_seconds,
            "tokens": self.tokens,
            "dollars": self.dollars,
            "stalled": self.stalled,
            "best": self.best,
            "roofline": self.roofline,
            "mark": self._mark,
        }

    @property
    def seconds(self) -> float:
        """Wall time of the run so far, earlier sessions included."""
        return self._earlier + self.clock() - self._started

    def spend(self, *, device_seconds: float = 0.0, tokens: int = 0, dollars: float = 0.0) -> None:
        """Count what was spent. Raises ValueError for a negative amount."""
        if min(device_seconds, tokens, dollars) < 0:
            message = f"cannot spend {device_seconds} s, {tokens} tokens, {dollars} dollars; amounts are not negative"
            raise ValueError(message)
        self.device_seconds += device_seconds
        self.tokens += tokens
        self.dollars += dollars

    @property
    def lock(self) -> threading.Condition:
        """Held by whoever stores a snapshot, so that no later one is stored before an earlier one."""
        return self._paid

    def begin_call(self, *, tokens: float | None = None, dollars: float | None = None) -> str | None:
        """Why no further call of a language model may begin, in words; None, and the call counts as begun.

        `tokens` and `dollars` are the most that it can cost. Where either is limited, calls overlap only as long as
        those under way cannot spend all that is left, each taken to cost the most that any could; so what is spent in
        the end is too much by one call at most. Where nobody says what a call can cost, the dearest so far stands for
        it. Waits for `end_call` where it is in doubt.
        """
        with self._paid:
            if tokens is not None and dollars is not None:
                self._reckon(tokens=tokens, dollars=dollars)
            while True:
                reason = self.exhausted()
                if reason is not None:
                    return reason
                if not self._calls or not self._could_overspend():
                    self._calls += 1
                    return None
                self._paid.wait()

    def _could_overspend(self) -> bool:
        """Whether the calls under way may spend what is left, so that one more would be one too many."""
        for name in ("tokens", "dollars"):
            limit = getattr(self.budget, name)
            if limit is None:
                continue
            if self._each is None or self._spent(name) + self._calls * self._each[name] >= limit:
                return True
        return False

    def _reckon(self, *, tokens: float, dollars: float) -> None:
        known = self._each or {"tokens": 0.0, "dollars": 0.0}
        self._each = {"tokens": max(known["tokens"], tokens), "dollars": max(known["dollars"], dollars)}

    def end_call(self, *, tokens: int = 0, dollars: float = 0.0) -> None:
        """Count what a call cost that `begin_call` let begin."""
        with self._paid:
            self.spend(tokens=tokens, dollars=dollars)
            self._calls -= 1
            self._reckon(tokens=tokens, dollars=dollars)
            self._paid.notify_all()

    def evaluated(self, fitness: float, *, roofline: float = 0.0) -> bool:
        """Count one evaluated candidate and return whether it was an improvement."""
        improved = fitness > self._mark * (1 + self.budget.minimum_gain)
        self.evaluations += 1
        self.stalled = 0 if improved else self.stalled + 1
        self._mark = fitness if improved else self._mark
        self.best = max(self.best, fitness)
        self.roofline = max(self.roofline, roofline)
        return improved

    def exhausted(self, *, in_flight: int = 0) -> str | None:
        """Why the run is over, in words, or None. `in_flight` evaluations have begun and are not counted yet."""
        for name, text in _COUNTED.items():
            limit, spent = getattr(self.budget, name), self._spent(name)
            pending = in_flight if name == "evaluations" else 0
            if limit is not None and spent + pending >= limit:
                return f"the budget of {text.format(limit)} is spent"
        budget = self.budget
        if budget.target is not None and self.best >= budget.target:
            return f"fitness {self.best:.3g} has reached the target of {budget.target:g}"
        if budget.roofline is not None and self.roofline >= budget.roofline:
            return f"{self.roofline:.0%} of the roofline has reached the target of {budget.roofline:.0%}"
        if budget.stall is not None and self.stalled >= budget.stall:
            return f"{self.stalled} evaluations in a row brought no improvement"
        return None

    def remaining(self) -> Remaining:
        """What is left, and which limit is nearest to its end."""
        shares = {
            name: min(1.0, self._spent(name) / getattr(self.budget, name))
            for name in _COUNTED
            if getattr(self.budget, name) is not None
        }
        nearest = max(shares, key=lambda name: shares[name], default="")
        limits = self.budget
        return Remaining(
            evaluations=None if limits.evaluations is None else max(0, limits.evaluations - self.evaluations),
            seconds=None if limits.seconds is None else max(0.0, limits.seconds - self.seconds),
            spent=shares.get(nearest, 0.0),
            nearest=nearest,
        )

    def _spent(self, name: str) -> float:
        return float(getattr(self, name))


def budget_record(budget: Budget) -> dict[str, Any]:
    """The limits that are set, as JSON values: what `Run.budget` holds."""
    return {name: value for name, value in asdict(budget).items() if value is not None}


def budget_from(record: Mapping[str, Any]) -> Budget:
    """The budget that `budget_record` described; unknown limits are an error that names them."""
    known = {attribute.name for attribute in fields(Budget)}
    unknown = sorted(set(record) - known)
    if unknown:
        message = f"unknown limit {unknown[0]!r}; a budget has {', '.join(sorted(known))}"
        raise ValueError(message)
    return Budget(**record)
