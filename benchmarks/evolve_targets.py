"""How much faster than its seed built-in problems get: on PoCL within 120 seconds, on the emulated MTIA within 300; 150
evaluations at most.
"""

from __future__ import annotations

__all__ = ["MTIA_TARGETS", "TARGETS", "figures", "measure", "mtia_figures"]

import sys
import tempfile
from pathlib import Path
from typing import Final

import kernelevolve
from benchmarks.figures import Figure
from kernelevolve.kernel import configuration_label

#: Problem → the speed-up over its seed that is promised.
TARGETS: Final = {"softmax": 6.0, "rms_norm": 5.0, "matmul": 8.0, "map_id": 2.0}
#: The same on the emulated chips.
MTIA_TARGETS: Final = {"rms_norm_backward": 4.0, "map_id": 2.0, "matmul": 3.0}
MTIA_SECONDS: Final = 300
SECONDS: Final = 120
EVALUATIONS: Final = 150


def measure(
    problem: str,
    promised: float,
    *,
    accelerator: str = "opencl",
    device: str | None = None,
    seconds: float = SECONDS,
    seed: int = 0,
) -> Figure:
    """One run in a store of its own; the confirmed ratio, not the search's own estimate."""
    with tempfile.TemporaryDirectory() as folder:
        store = kernelevolve.Store.open(f"sqlite:///{Path(folder) / 'store.db'}")
        budget = kernelevolve.Budget(evaluations=EVALUATIONS, seconds=seconds)
        result = kernelevolve.evolve(problem, accelerator, device=device, budget=budget, seed=seed, store=store)
        store.close()
    comparison = result.confirmations[0].comparisons.get(("seed", f"#{result.best}"))
    interval = f"[{comparison.low:.2f}, {comparison.high:.2f}]" if comparison else "the seed stayed best"
    right = result.outcomes.get("CORRECT", 0)
    note = f"{interval}, {result.evaluations} evaluations ({right} right), {result.seconds:.0f} s, "
    note += configuration_label(result.configuration)
    return Figure(f"{problem}: best over seed, {device or 'PoCL'}", result.speedup or 0.0, "x", ">=", promised, note)


def figures() -> list[Figure]:
    """Every problem once."""
    found = []
    for problem, promised in TARGETS.items():
        print(f"evolving {problem}, {SECONDS} s…", file=sys.stderr, flush=True)
        found.append(measure(problem, promised))
    return found


def mtia_figures() -> list[Figure]:
    """Every MTIA problem once on each chip."""
    found = []
    for problem, promised in MTIA_TARGETS.items():
        for device in ("mtia2i", "mtia300"):
            print(f"evolving {problem} on {device}, {MTIA_SECONDS} s at most…", file=sys.stderr, flush=True)
            found.append(measure(problem, promised, accelerator="mtia", device=device, seconds=MTIA_SECONDS))
    return found
