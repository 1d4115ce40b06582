"""Runs every benchmark and prints what was promised beside what was measured.

``python -m benchmarks [--only NAME ...] [--spaces DIR] [--json FILE]``
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import archive_scale, evolve_targets, latency, mtia_calibration, mtia_speed, tuner_spaces, worker_warmth
from benchmarks.figures import Figure, table

BENCHMARKS: dict[str, Callable[[argparse.Namespace], list[Figure]]] = {
    "latency": lambda _: latency.figures(),
    "worker": lambda _: worker_warmth.figures(),
    "archive": lambda _: archive_scale.figures(),
    "tuner": lambda options: tuner_spaces.figures(options.spaces),
    "evolve": lambda _: evolve_targets.figures(),
    "mtia-speed": lambda _: mtia_speed.figures(),
    "mtia-model": lambda _: mtia_calibration.figures(),
    "mtia-evolve": lambda _: evolve_targets.mtia_figures(),
}


def main() -> int:
    """Run what was asked for; the exit status is 0 whether or not a promise holds: this measures, it does not test."""
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("--only", nargs="+", choices=sorted(BENCHMARKS), default=list(BENCHMARKS))
    parser.add_argument("--spaces", type=Path, default=None, help="folder with recorded T4 spaces")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    figures: list[Figure] = []
    for name in options.only:
        print(f"== {name}", flush=True)
        found = BENCHMARKS[name](options)
        figures += found
        print(table(found), flush=True)
    if options.json is not None:
        document: dict[str, Any] = {"figures": [figure.record() for figure in figures]}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
