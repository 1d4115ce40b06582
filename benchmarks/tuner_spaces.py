"""Hold the tuner and the baselines against brute-forced spaces (T4 files); print the fraction of the optimum reached.

The figure: best run time of the space / best found after N unique evaluations, where a configuration's run time is the
median of its `runtimes`; a failed configuration costs an evaluation and gives nothing; before the first success the
fraction is 0. Averaged over seeds, then over spaces.

    python benchmarks/tuner_spaces.py --spaces DIR [--seeds 50] [--strategies ours,random,genetic,ils] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import attrs
import numpy as np

if not __package__:  # run as a file: let it find the package that it belongs to
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.baselines_tuning import STRATEGIES, Baseline
from benchmarks.figures import Figure
from kernelevolve.evolution.tuning import Configuration, Space, Tuner
from kernelevolve.t4 import T4Error, T4File, read_t4

BUDGETS: Final = (25, 50, 100, 200, 400)
#: What the tuner must reach, averaged over the five spaces that the project is developed with.
TARGETS: Final = (0.80, 0.87, 0.94, 0.97, 0.985)
OWN_MILLISECONDS: Final = 10.0


class Searcher(Protocol):
    """What is benchmarked."""

    def ask(self) -> Configuration | None: ...

    def tell(self, configuration: Configuration, seconds: float | None) -> None: ...


@attrs.frozen(slots=True)
class Recorded:
    """A brute-forced space, ready to replay."""

    name: str
    space: Space
    seconds: dict[bytes, float | None]
    optimum: float

    @classmethod
    def of(cls, file: T4File) -> Recorded:
        """Index the records of a file by their codes."""
        space = Space.from_configurations([record.configuration for record in file.records])
        seconds = {space.encode(record.configuration).tobytes(): record.seconds for record in file.records}
        optimum = file.best.seconds
        assert optimum is not None, "the best record is a correct one"
        return cls(
            file.path.name.removesuffix(".gz").removesuffix(".json").removesuffix("_T4"), space, seconds, optimum
        )


@attrs.frozen(slots=True)
class Score:
    """One strategy on one space."""

    space: str
    strategy: str
    fractions: list[float]  #: mean over the seeds, one for each budget
    standard_errors: list[float]
    milliseconds: float  #: the strategy's own time per evaluation


def searcher(strategy: str, space: Space, seed: int) -> Searcher:
    """A fresh searcher by name."""
    return Tuner(space, seed=seed) if strategy == "ours" else Baseline(space, STRATEGIES[strategy], seed=seed)


def replay(recorded: Recorded, strategy: str, seed: int) -> tuple[list[float], float]:
    """Fraction of the optimum at each budget, and the searcher's own milliseconds per evaluation."""
    best, curve = float("inf"), [0.0]
    started = time.perf_counter()
    search = searcher(strategy, recorded.space, seed)
    own = time.perf_counter() - started
    while len(curve) <= BUDGETS[-1]:
        started = time.perf_counter()
        configuration = search.ask()
        own += time.perf_counter() - started
        if configuration is None:
            break
        seconds = recorded.seconds[recorded.space.encode(configuration).tobytes()]
        started = time.perf_counter()
        search.tell(configuration, seconds)
        own += time.perf_counter() - started
        best = min(best, seconds if seconds is not None else best)
        curve.append(recorded.optimum / best)
    return [curve[min(budget, len(curve) - 1)] for budget in BUDGETS], 1e3 * own / max(1, len(curve) - 1)


def evaluate(recorded: Recorded, strategy: str, seeds: int) -> Score:
    """Replay one strategy over seeds 0 to seeds - 1."""
    runs = [replay(recorded, strategy, seed) for seed in range(seeds)]
    curves = np.array([fractions for fractions, _ in runs])
    errors = curves.std(axis=0, ddof=1) / np.sqrt(seeds) if seeds > 1 else np.zeros(len(BUDGETS))
    own = float(np.mean([milliseconds for _, milliseconds in runs]))
    return Score(recorded.name, strategy, curves.mean(axis=0).tolist(), errors.tolist(), own)


def figures(spaces: Path | None, seeds: int = 50) -> list[Figure]:
    """The promised fractions and the tuner's own time, after the table with the baselines; nothing without a folder."""
    files = t4_files(spaces) if spaces is not None else []
    if not files:
        where = f"no T4 files (*.json, *.json.gz) in {spaces}" if spaces is not None else "no folder was named"
        print(f"skipped: {where}; name one with --spaces DIR, or make bench SPACES=DIR", flush=True)
        return []
    scores = compare([Recorded.of(read_t4(path)) for path in files], ["ours", *STRATEGIES], seeds)
    mine = [score for score in scores if score.strategy == "ours"]
    means = np.mean([score.fractions for score in mine], axis=0)
    note = f"mean of {len(mine)} spaces, {seeds} seeds"
    reached = [
        Figure(f"tuner: fraction of the optimum, {budget} evaluations", float(mean), "", ">=", target, note)
        for budget, mean, target in zip(BUDGETS, means, TARGETS, strict=True)
    ]
    own = float(np.mean([score.milliseconds for score in mine]))
    return [*reached, Figure("tuner: its own time per evaluation", own, "ms", "<=", OWN_MILLISECONDS, note)]


def compare(spaces: Sequence[Recorded], strategies: Sequence[str], seeds: int) -> list[Score]:
    """Run every strategy on every space, and print the table as it fills."""
    scores: list[Score] = []
    print("| space | strategy | " + " | ".join(f"{budget}" for budget in BUDGETS) + " | ms/evaluation |")
    print("|" + "---|" * (len(BUDGETS) + 3))
    for recorded in spaces:
        for strategy in strategies:
            scores.append(evaluate(recorded, strategy, seeds))
            print(row(recorded.name, strategy, scores[-1].fractions, f"{scores[-1].milliseconds:.2f}"), flush=True)
    for strategy in strategies if scores else []:
        mine = [score for score in scores if score.strategy == strategy]
        own = float(np.mean([score.milliseconds for score in mine]))
        print(row("**mean**", strategy, np.mean([score.fractions for score in mine], axis=0).tolist(), f"{own:.2f}"))
    print(row("target", "ours", TARGETS, f"{OWN_MILLISECONDS:.0f}"))
    return scores


def t4_files(folder: Path) -> list[Path]:
    """The files of a folder that may be T4 files, by their names."""
    return sorted(path for path in folder.glob("*.json*") if path.suffix in {".json", ".gz"})


def row(label: str, strategy: str, fractions: Sequence[float], tail: str = "") -> str:
    """One line of the table."""
    return f"| {label} | {strategy} | " + " | ".join(f"{fraction:.3f}" for fraction in fractions) + f" | {tail} |"


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Tuner against baselines on brute-forced spaces.")
    parser.add_argument("--spaces", type=Path, required=True, help="folder with T4 files (.json or .json.gz)")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--strategies", default="ours,random,genetic,ils")
    parser.add_argument("--json", type=Path, help="also write the scores here")
    parser.add_argument(
        "--timeunit", default="milliseconds", help="unit for files that name none (no effect on fractions)"
    )
    parsed = parser.parse_args()
    if parsed.seeds < 1:
        parser.error("--seeds must be at least 1")
    unknown = set(parsed.strategies.split(",")) - {"ours", *STRATEGIES}
    if unknown:
        parser.error(f"unknown strategies {sorted(unknown)}; known are ours, {', '.join(STRATEGIES)}")
    return parsed


def main() -> int:
    """Run the benchmark; exit status 1 when there is nothing to run it on."""
    options = arguments()
    files = t4_files(options.spaces)
    if not files:
        print(f"{options.spaces}: no *.json or *.json.gz files", file=sys.stderr)
        return 1
    spaces: list[Recorded] = []
    for path in files:
        try:
            spaces.append(Recorded.of(read_t4(path, timeunit=options.timeunit)))
        except (T4Error, ValueError) as error:
            print(f"skipped: {error}", file=sys.stderr)
    scores = compare(spaces, options.strategies.split(","), options.seeds)
    if options.json:
        document = {"budgets": BUDGETS, "seeds": options.seeds, "scores": [attrs.asdict(score) for score in scores]}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if scores else 1


if __name__ == "__main__":
    raise SystemExit(main())
