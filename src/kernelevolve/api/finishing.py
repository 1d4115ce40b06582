"""The end of a run: its few best kernels meet once more, and one of them has won."""

from __future__ import annotations

__all__ = ["finish"]

import math
from collections import Counter
from collections.abc import Sequence

from kernelevolve.api.records import RunResult
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.confirm import Confirmation, Side, SideError, confirm
from kernelevolve.evaluation.measure import Comparison
from kernelevolve.evaluation.pipeline import Evaluator
from kernelevolve.evolution.loop import Evolution

#: How many of the fittest candidates meet in the last confirmation.
FINALISTS = 3


def finish(evolution: Evolution, reason: str, *, eager: bool) -> RunResult:
    """Confirm the fittest candidates against the seed, and say what the run came to."""
    evaluator = evolution.evaluator
    seed = evolution.kernel(0)
    seed_configuration = evolution.best_evaluation(0).configuration
    finalists = [
        Side(f"#{number}", evolution.kernel(number), configuration)
        for number, _, configuration in evolution.top(FINALISTS + 1)
        if number != 0
    ][:FINALISTS]
    confirmations: tuple[Confirmation, ...] = ()
    if evaluator.device.realm.has_clock and evaluator.computes:
        sides = [Side("seed", seed, seed_configuration), *finalists]
        confirmations = _confirm_all(evaluator, sides, eager=eager)
    best, speedup = _winner(confirmations) if confirmations else _fittest(evolution)
    side = next((s for s in finalists if s.name == best), Side("seed", seed, seed_configuration))
    stages = Counter(
        str(evaluation.stage)
        for evaluation in evolution.store.evaluations(evolution.run.id)
        if not evaluation.outcome.right
    )
    return RunResult(
        run=evolution.run.id,
        reason=reason,
        best=int(side.name[1:]) if side.name.startswith("#") else 0,
        kernel=side.kernel,
        configuration=dict(side.configuration),
        confirmations=confirmations,
        speedup=speedup,
        evaluations=evolution.search.evaluations,
        candidates=evolution.candidates,
        outcomes=dict(evolution.outcomes),
        stages=dict(stages),
        device=evaluator.device,
        seconds=evolution.ledger.seconds,
    )


def _confirm_all(evaluator: Evaluator, sides: Sequence[Side], *, eager: bool) -> tuple[Confirmation, ...]:
    """Confirm on every workload; a finalist that fails here is out, and the rest go on without it."""
    ring = list(sides)
    while True:
        try:
            return tuple(confirm(evaluator, w, ring, baselines=["seed"], eager=eager) for w in evaluator.workloads)
        except SideError as failed:
            ring = [side for side in ring if side.name != failed.side]
            if failed.side == "seed":
                raise KernelEvolveError(f"the seed failed in the last confirmation: {failed.error.message}") from failed


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


def _fittest(evolution: Evolution) -> tuple[str, float]:
    """Where nothing can be confirmed (recorded times, no clock): the best as it was evaluated."""
    top = evolution.top(1)
    return (f"#{top[0][0]}" if top[0][0] else "seed", top[0][1]) if top else ("seed", 1.0)


def _mean_ratio(comparisons: Sequence[Comparison]) -> float:
    """Geometric mean of paired ratios."""
    return math.exp(sum(math.log(one.ratio) for one in comparisons) / len(comparisons))
