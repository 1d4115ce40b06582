"""How fast a search's memory is when it is large: insertion, selection and resident memory, for every selection policy.

Each policy fills its own archive from one seed kernel: parents come from the policy itself, fitness from the parent's
times a random factor, one candidate in three is wrong. Every insertion is timed (archive and policy together);
selections are timed at each size. Memory is the peak of the process so far, interpreter and libraries included; every
policy runs in a process of its own.

    python benchmarks/archive_scale.py [--sizes 1000,100000,1000000] [--policies greedy,mcts] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

if not __package__:  # run as a file: let it find the package that it belongs to
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import Figure
from kernelevolve.evolution.archive import Archive, Entry
from kernelevolve.evolution.descriptors import CELLS
from kernelevolve.evolution.policies import POLICIES, Choice, SelectionPolicy, make_policy

_SELECTIONS = 2000
#: While filling, parents are drawn in batches and each has several children, so that a million insertions do not take
#: a million selections.
_BATCH = 50
_CHILDREN = 8
_QUANTILES = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}


def main() -> None:
    """Measure, print a table, and write the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,100000,1000000")
    parser.add_argument("--policies", default=",".join(POLICIES))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sizes = sorted(int(size) for size in options.sizes.split(","))
    figures = []
    print("times in ms, memory in MiB")
    print("policy            size  insert p50      p99      max  select p50      p99      max  RSS")
    for name in options.policies.split(","):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            for row in pool.apply(measure, (name, sizes)):
                figures.append(row)
                _print(row)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def figures(size: int = 1_000_000) -> list[Figure]:
    """What was promised for a million candidates, for each policy that was promised."""
    found = []
    for name in ("random", "greedy", "map-elites"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            row = pool.apply(measure, (name, [size]))[-1]
        for what in ("insert", "select"):
            quantiles = row[f"{what}_ms"]
            note = f"p50 {quantiles['p50']:.4f} ms"
            found.append(Figure(f"{name}: {what}, p99 at {size:,}", quantiles["p99"], "ms", "<=", 2, note))
        found.append(
            Figure(f"{name}: memory of archive and policy at {size:,}", row["peak_rss_mib"] / 1024, "GiB", "<=", 0.93)
        )
    return found


def measure(name: str, sizes: list[int], seed: int = 0) -> list[dict[str, Any]]:
    """Fill one archive up to the largest size; a row of figures for each size on the way. Times are in milliseconds."""
    rng = Random(seed)
    archive, policy = Archive(), make_policy(name)
    rows = []
    for size in sizes:
        insertions = np.empty(size - len(archive))
        fill(archive, policy, rng, insertions)
        selections = np.array([_timed_selection(archive, policy, rng) for _ in range(_SELECTIONS)])
        rows.append(
            {
                "policy": name,
                "size": size,
                "insert_ms": _quantiles(insertions),
                "select_ms": _quantiles(selections),
                "peak_rss_mib": _peak_rss() / 2**20,
            }
        )
    return rows


def fill(archive: Archive, policy: SelectionPolicy, rng: Random, seconds: np.ndarray[Any, Any]) -> None:
    """Insert as many candidates as `seconds` has places, and put the time of each insertion there."""
    choices: list[Choice] = []
    for index in range(len(seconds)):
        if len(archive) and not choices:
            choices = list(policy.select(archive, rng, min(_BATCH, len(archive)))) * _CHILDREN
        entry = _child(archive, choices.pop(), rng) if choices else Entry(0, 1.0)
        start = time.perf_counter()
        archive.insert(entry)
        policy.inserted(archive, entry.number)
        seconds[index] = time.perf_counter() - start


def _child(archive: Archive, choice: Choice, rng: Random) -> Entry:
    better = archive.fitness(choice.parent) * rng.lognormvariate(-0.05, 0.1)
    return Entry(
        number=len(archive),
        fitness=better if rng.random() < 2 / 3 else 0.0,
        cell=rng.randrange(CELLS),
        island=choice.island,
        parent=choice.parent,
    )


def _timed_selection(archive: Archive, policy: SelectionPolicy, rng: Random) -> float:
    start = time.perf_counter()
    policy.select(archive, rng, 1)
    return time.perf_counter() - start


def _quantiles(seconds: np.ndarray[Any, Any]) -> dict[str, float]:
    return {name: float(np.percentile(seconds, quantile) * 1e3) for name, quantile in _QUANTILES.items()}


def _peak_rss() -> int:
    """Bytes. The kernel counts in KiB, but for macOS, which counts in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _print(row: dict[str, Any]) -> None:
    insert, select = row["insert_ms"], row["select_ms"]
    print(
        f"{row['policy']:12} {row['size']:9} {insert['p50']:11.4f} {insert['p99']:8.4f} {insert['max']:8.2f} "
        f"{select['p50']:11.4f} {select['p99']:8.4f} {select['max']:8.2f} {row['peak_rss_mib']:4.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
