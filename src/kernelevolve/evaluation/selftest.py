"""The A/A self-test: identical kernels timed against each other, to learn what difference means anything."""

from __future__ import annotations

__all__ = ["Resolution", "self_test"]

import random
import secrets
import statistics
from collections.abc import Callable

from attrs import frozen

from kernelevolve import registry
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.casebook import default_workload
from kernelevolve.evaluation.measure import compare_paired, resolution
from kernelevolve.evaluation.pipeline import ROTATIONS, Evaluator
from kernelevolve.evaluation.runner import Contestant, Runner
from kernelevolve.kernel import Kernel, parse_kernel
from kernelevolve.problem import Workload

#: Rounds of one A/A comparison: as many as a confirmation has at least.
ROUNDS = 30
#: Rounds per worker in the comparison of a warm worker with fresh ones.
FRESH_ROUNDS = 40
#: Fresh workers that the warm one is compared with.
FRESH = 3


@frozen
class Resolution:
    """What identical kernels look like on one device."""

    accelerator: str
    device: str
    kernel: str
    #: Median seconds of the kernel.
    seconds: float
    #: 95th percentile of |paired ratio - 1| over the batches.
    resolution: float
    batches: int
    #: Median time in the warm worker / median time in a fresh one, median over the pairs.
    fresh_ratio: float


def self_test(
    accelerator: str, *, device: str | None = None, problem: str = "rms_norm", batches: int = 20
) -> Resolution:
    """Time a seed kernel against itself, `batches` times, and a warm worker against fresh ones.

    Raises `KernelEvolveError` where the problem has no seed for the accelerator, and what the kernel fails with.
    """
    made = registry.accelerator(accelerator)
    target = registry.find_device(made, device)
    what = registry.problem(problem)
    spoken = next((name for name in sorted(made.languages) if name in what.seeds), None)
    if spoken is None:
        raise KernelEvolveError(f"problem {problem!r} has no seed for {accelerator!r}; nothing to time")
    kernel = parse_kernel(what.seeds[spoken])
    workload = default_workload(what, target)

    def fresh() -> Evaluator:
        path = registry.worker_path(accelerator)
        return Evaluator(what, made, target, workloads=[workload], path=path, secret=secrets.randbits(62))

    with fresh() as warm:
        seconds, ratios = _against_itself(warm, kernel, workload, batches)
        pairs = [_against_fresh(warm, fresh, kernel, workload) for _ in range(FRESH)]
    return Resolution(
        accelerator=accelerator,
        device=target.name,
        kernel=f"{problem} seed, {workload.label}",
        seconds=seconds,
        resolution=resolution(ratios),
        batches=batches,
        fresh_ratio=statistics.median(pairs),
    )


def _twins(evaluator: Evaluator, kernel: Kernel, workload: Workload) -> tuple[Contestant, Contestant]:
    one = evaluator.contestant(kernel, kernel.default, workload)
    return one, Contestant(f"{one.name}/twin", one.plan, one.rotations)


def _against_itself(
    evaluator: Evaluator, kernel: Kernel, workload: Workload, batches: int
) -> tuple[float, list[float]]:
    twins = _twins(evaluator, kernel, workload)
    rng = random.Random(0)
    ratios, everything = [], []
    for _ in range(batches):
        found = evaluator.runner.rounds(twins, ROUNDS, rng, flush=evaluator.settings.protocol.flush)
        sides = [[sample.seconds for sample in found[twin.name]] for twin in twins]
        ratios.append(compare_paired(*sides, resolution=0.0).ratio)
        everything += sides[0]
    return statistics.median(everything), ratios


def _against_fresh(warm: Evaluator, fresh: Callable[[], Evaluator], kernel: Kernel, workload: Workload) -> float:
    """Alternate single rounds between the warm worker and a fresh one; the median of the paired ratios."""
    with fresh() as other:
        ours = warm.contestant(kernel, kernel.default, workload)
        theirs = other.contestant(kernel, kernel.default, workload)
        rng = random.Random(0)
        times: dict[str, list[float]] = {"warm": [], "fresh": []}
        turns: list[tuple[str, Runner, Contestant]] = [("warm", warm.runner, ours), ("fresh", other.runner, theirs)]
        for turn in range(FRESH_ROUNDS):
            rng.shuffle(turns)
            for name, runner, contestant in turns:
                samples, _ = runner.sample([(contestant, turn % ROTATIONS)], flush=True)
                times[name].append(samples[0].seconds)
    return compare_paired(times["warm"], times["fresh"], resolution=0.0).ratio
