"""Several kernels of one problem, judged and ranked: what an evolution starts from, and what people wrote."""

from __future__ import annotations

__all__ = ["Judged", "judge"]

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, cast

from attrs import frozen

from benchmarks.gpu.call import say
from benchmarks.gpu.kernels import Found
from benchmarks.gpu.records import anchor_of, evaluation_record, median_seconds
from benchmarks.gpu.text import microseconds
from kernelevolve.evaluation.pipeline import Anchor, Evaluator
from kernelevolve.evaluation.records import Evaluation
from kernelevolve.evolution.kernels import validity
from kernelevolve.evolution.tuning import Space, Tuner
from kernelevolve.kernel import Configuration, Kernel
from kernelevolve.outcome import Outcome

#: Configurations that a space lists at most.
_SPACE: Final = 20_000
#: Configurations that are compiled ahead of the one that is timed.
_AHEAD: Final = min(8, os.cpu_count() or 1)


@frozen
class Judged:
    """A kernel with the best of its configurations that were tried."""

    found: Found
    evaluation: Evaluation
    #: Configurations evaluated.
    tried: int
    seconds: float

    @property
    def record(self) -> dict[str, Any]:
        """As JSON values: without samples, which the ring of the best takes anew."""
        return {
            **evaluation_record(self.evaluation, self.found.kernel, self.found.origin),
            "tried": self.tried,
            "seconds": self.seconds if math.isfinite(self.seconds) else None,
        }


def judge(evaluator: Evaluator, found: Iterable[Found], *, tune: int = 0) -> list[Judged]:
    """Evaluate each kernel in its default configuration and up to `tune` others; the fastest right one first."""
    judged: list[Judged] = []
    anchor: Anchor | None = None
    for one in found:
        result = _judge(evaluator, one, anchor, tune)
        anchor = anchor or anchor_of(one.kernel, result.evaluation)
        judged.append(result)
        word = microseconds(result.seconds) if math.isfinite(result.seconds) else result.evaluation.outcome
        say(f"  {one.origin}: {word} ({result.tried} configurations)")
        if not result.evaluation.outcome.right:
            say(f"    {result.evaluation.message[:300]}")
    return sorted(judged, key=lambda each: each.seconds)


def _judge(evaluator: Evaluator, found: Found, anchor: Anchor | None, tune: int) -> Judged:
    kernel = found.kernel
    best = evaluator.evaluate(kernel, kernel.default, anchor)
    seconds, tried = median_seconds(best), 1
    if best.outcome in _HOPELESS or not tune:
        return Judged(found, best, tried, seconds)
    asked = _Asked(evaluator, kernel)
    asked.tell(kernel.default, seconds)
    while tried <= tune and (configuration := asked.next()) is not None:
        evaluation = evaluator.evaluate(kernel, configuration, anchor)
        this = median_seconds(evaluation)
        asked.tell(configuration, this)
        if this < seconds or (not best.outcome.right and evaluation.outcome.right):
            best, seconds = evaluation, this
        tried += 1
    return Judged(found, best, tried, seconds)


#: What no other configuration would change.
_HOPELESS: Final = (Outcome.REJECTED, Outcome.WRONG_RESULT, Outcome.INPUT_MODIFIED)


class _Asked:
    """A tuner whose next configurations are being compiled while one is timed."""

    def __init__(self, evaluator: Evaluator, kernel: Kernel) -> None:
        holds = validity(evaluator.problem, evaluator.workloads, evaluator.device.facts)
        self._valid: Callable[[Mapping[str, Any]], bool] = partial(holds, kernel)
        self._evaluator, self._kernel = evaluator, kernel
        self._ahead: list[Configuration] = []
        self._tuner: Tuner | None
        try:
            self._tuner = Tuner(Space.from_values(kernel.tunables, self._valid, limit=_SPACE, seed=0), seed=0)
        except ValueError:  # no tunables, or no configuration that its constraints allow
            self._tuner = None

    def tell(self, configuration: Configuration, seconds: float) -> None:
        if self._tuner is not None and self._valid(configuration):
            self._tuner.tell(configuration, seconds if math.isfinite(seconds) else None)

    def next(self) -> Configuration | None:
        if not self._ahead:
            self._ahead = list(self._ask())
            self._evaluator.prefetch(self._kernel, self._ahead)
        return self._ahead.pop(0) if self._ahead else None

    def _ask(self) -> Iterator[Configuration]:
        for _ in range(_AHEAD if self._tuner is not None else 0):
            asked = self._tuner.ask() if self._tuner is not None else None
            if asked is None:
                return
            yield cast("Configuration", asked)  # the space was made from the header, so its values are the header's
