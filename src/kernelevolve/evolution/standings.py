"""How a run stands: its fittest candidates, and where the others fell."""

from __future__ import annotations

__all__ = ["fastest_by_workload", "stages", "top"]

import heapq
from collections import Counter

from kernelevolve.evolution.loop import Evolution
from kernelevolve.evolution.recording import median
from kernelevolve.kernel import Configuration
from kernelevolve.outcome import Outcome


def top(evolution: Evolution, count: int) -> list[tuple[int, float, Configuration]]:
    """The fittest candidates with their best configurations: number, fitness, configuration."""
    archive = evolution.search.archive
    ranked = heapq.nsmallest(count, archive, key=lambda number: (-archive.fitness(number), number))
    right = [number for number in ranked if archive.fitness(number) > 0]
    return [(number, archive.fitness(number), evolution.best_evaluation(number).configuration) for number in right]


def fastest_by_workload(evolution: Evolution) -> list[tuple[int, Configuration]]:
    """Where several workloads are timed: the candidate and configuration with the shortest median on each."""
    best: dict[str, tuple[float, int, Configuration]] = {}
    for one in evolution.store.evaluations(evolution.run.id) if len(evolution.workloads) > 1 else ():
        for label, times in one.times.items() if one.outcome is Outcome.CORRECT else ():
            seconds = median(times.seconds)
            if label not in best or seconds < best[label][0]:
                best[label] = (seconds, one.candidate, one.configuration)
    return [(number, configuration) for _, number, configuration in best.values()]


def stages(evolution: Evolution) -> dict[str, int]:
    """How many evaluations fell at which stage."""
    fell = (one for one in evolution.store.evaluations(evolution.run.id) if not one.outcome.right)
    return dict(Counter(str(one.stage) for one in fell))
