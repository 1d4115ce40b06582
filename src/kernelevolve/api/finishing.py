"""The end of a run: its few best kernels meet once more, and one of them has won."""

from __future__ import annotations

__all__ = ["finish"]

import math
from collections.abc import Mapping, Sequence

import attrs

from kernelevolve.api.beside_torch import beside_torch
from kernelevolve.api.records import Choice, RunResult
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.confirm import Confirmation, Side, SideError, confirm
from kernelevolve.evaluation.measure import Comparison
from kernelevolve.evaluation.pipeline import Evaluator
from kernelevolve.evolution.loop import Evolution
from kernelevolve.evolution.standings import fastest_by_workload, stages, top
from kernelevolve.kernel import Kernel, configuration_label
from kernelevolve.outcome import CandidateError

#: How many of the fittest candidates meet in the last confirmation.
FINALISTS = 3


def finish(evolution: Evolution, reason: str, *, eager: bool, reference: str | None = None) -> RunResult:
    """Confirm the fittest candidates against the seed, and say what the run came to.

    With `eager`, PyTorch is timed too: on the host's processor by `confirm`, on a GPU for the winner and the seed where
    another process finds the problem by its `reference`.
    """
    evaluator = evolution.evaluator
    seed = evolution.kernel(0)
    sides = _sides(evolution, seed)
    confirmations: tuple[Confirmation, ...] = ()
    speedup: float | None
    if evaluator.device.realm.has_clock and evaluator.computes:
        confirmations = _confirm_all(evaluator, list(sides.values()), eager=eager)
        if eager:
            confirmations = _beside_torch(evaluator, confirmations, sides, reference)
    best, speedup = _winner(confirmations) if confirmations else _fittest(evolution, sides)
    if not evolution.ranked:
        best, speedup = "seed", None
    return RunResult(
        run=evolution.run.id,
        reason=reason,
        best=_number(best),
        kernel=sides[best].kernel,
        configuration=dict(sides[best].configuration),
        confirmations=confirmations,
        table=tuple(_choice(one, sides) for one in confirmations),
        speedup=speedup,
        evaluations=evolution.search.evaluations,
        candidates=evolution.candidates,
        outcomes=dict(evolution.outcomes),
        stages=stages(evolution),
        device=evaluator.device,
        seconds=evolution.ledger.seconds,
    )


def _sides(evolution: Evolution, seed: Kernel) -> dict[str, Side]:
    """The seed as it is, the fittest candidates, and whatever was fastest on one of several workloads."""
    sides = {"seed": Side("seed", seed, seed.default)}
    chosen = [(number, configuration) for number, _, configuration in top(evolution, FINALISTS)]
    for number, configuration in [*chosen, *fastest_by_workload(evolution)]:
        name = f"#{number}"
        if name in sides and sides[name].configuration != configuration:
            name = f"#{number} {configuration_label(configuration)}"
        if number or dict(configuration) != seed.default:
            sides[name] = Side(name, evolution.kernel(number), configuration)
    return sides


def _number(side: str) -> int:
    """The candidate behind a side's name."""
    return 0 if side == "seed" else int(side[1:].split(" ", maxsplit=1)[0])


def _choice(one: Confirmation, sides: Mapping[str, Side]) -> Choice:
    """What was best on one workload: the row of a dispatch table."""
    best, speedup = _winner([one])
    return Choice(one.workload, _number(best), dict(sides[best].configuration), speedup)


def _confirm_all(evaluator: Evaluator, sides: Sequence[Side], *, eager: bool) -> tuple[Confirmation, ...]:
    """Confirm on every workload; a finalist that fails here is out, and the rest go on without it."""
    ring = list(sides)
    while True:
        try:
            _check_all(evaluator, ring)
            return tuple(confirm(evaluator, w, ring, baselines=["seed"], eager=eager) for w in evaluator.workloads)
        except SideError as failed:
            ring = [side for side in ring if side.name != failed.side]
            if failed.side == "seed":
                raise KernelEvolveError(f"the seed failed in the last confirmation: {failed.error.message}") from failed


def _check_all(evaluator: Evaluator, ring: Sequence[Side]) -> None:
    """Where a configuration may have been checked on a few cases only, check every finalist on all of them.

    Raises `SideError`.
    """
    for side in ring if evaluator.is_brief else ():
        try:
            evaluator.check(side.kernel, side.configuration)
        except CandidateError as error:
            raise SideError(side.name, error) from error


def _beside_torch(
    evaluator: Evaluator, confirmations: tuple[Confirmation, ...], sides: Mapping[str, Side], reference: str | None
) -> tuple[Confirmation, ...]:
    """The winner and the seed beside PyTorch; a winner that fails on the fresh inputs of that is out, and the next one
    takes its place.
    """
    while True:
        best, _ = _winner(confirmations)
        shown = [sides[name] for name in dict.fromkeys(("seed", best))]
        try:
            return beside_torch(evaluator, confirmations, shown, reference)
        except SideError as failed:
            if failed.side == "seed":
                raise KernelEvolveError(f"the seed failed beside PyTorch: {failed.error.message}") from failed
            confirmations = tuple(_without(one, failed.side) for one in confirmations)


def _without(one: Confirmation, side: str) -> Confirmation:
    return attrs.evolve(
        one,
        timings={name: timing for name, timing in one.timings.items() if name != side},
        comparisons={pair: found for pair, found in one.comparisons.items() if side not in pair},
    )


def _winner(confirmations: Sequence[Confirmation]) -> tuple[str, float]:
    """The side with the best geometric mean of paired ratios to the seed; the seed where none is above 1."""
    best, speedup = "seed", 1.0
    for name in confirmations[0].timings if confirmations else ():
        if name == "seed":
            continue
        mean = _mean_ratio([one.comparisons["seed", name] for one in confirmations])
        if mean > speedup:
            best, speedup = name, mean
    return best, speedup


def _fittest(evolution: Evolution, sides: Mapping[str, Side]) -> tuple[str, float]:
    """Where nothing can be confirmed (recorded times, no clock): the best as it was evaluated."""
    number, fitness, _ = top(evolution, 1)[0]
    name = f"#{number}"
    return (name, fitness) if name in sides else ("seed", 1.0)


def _mean_ratio(comparisons: Sequence[Comparison]) -> float:
    """Geometric mean of paired ratios."""
    return math.exp(sum(math.log(one.ratio) for one in comparisons) / len(comparisons))
