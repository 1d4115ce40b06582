"""Policies, memories, knowledge, restarts and proposers against each other, with simulated proposals.

``python -m benchmarks.search_ablation [--quick] [--only STUDY …] [--spaces DIR] [--json FILE] [--page [FILE]]``

The search, its policies, bandits and memory chooser are the real ones. Proposals are drawn from a stochastic model
(`benchmarks.ablation.proposals`), and times come from recorded spaces and from MTIA's machine model: no language model
is asked and nothing is measured here. A run that was stopped goes on where it was (``--state``).
"""

from __future__ import annotations

__all__ = ["BEGIN", "END", "PAGE", "PICTURE", "RESULT", "main", "title"]

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.ablation.landscape import Landscape, mtia_landscape, recorded_landscapes
from benchmarks.ablation.picture import curves_of, panels_svg
from benchmarks.ablation.results import document
from benchmarks.ablation.running import Settings, run_tasks, tasks
from benchmarks.ablation.studies import STUDIES
from benchmarks.ablation.tables import BEGIN, END, tables, written_into
from kernelevolve.errors import KernelEvolveError

_ROOT: Final = Path(__file__).resolve().parents[1]
RESULT: Final = _ROOT / "benchmarks" / "results" / "search" / "ablation.json"
PAGE: Final = _ROOT / "docs" / "how-to" / "choose-a-policy.md"
PICTURE: Final = _ROOT / "docs" / "images" / "search-ablation.svg"
QUICK: Final = Settings(evaluations=60, seeds=4)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for, or write the page from what was run before."""
    options = _parser().parse_args(arguments)
    try:
        if options.page is not None:
            return _write_page(options.page, options.json or RESULT)
        result = _run(options)
    except KernelEvolveError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, separators=(",", ":")) + "\n", encoding="utf-8")
    print(tables(result), end="")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.search_ablation", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK.seeds} seeds of {QUICK.evaluations} evaluations")
    parser.add_argument("--only", nargs="+", choices=list(STUDIES), default=list(STUDIES), metavar="STUDY")
    parser.add_argument("--seeds", type=int, default=None, help="default: 24")
    parser.add_argument("--evaluations", type=int, default=None, help="of each run; default: 100")
    parser.add_argument("--spaces", type=Path, default=_ROOT.parent / "shared" / "spaces", help="folder with T4 files")
    parser.add_argument("--processes", type=int, choices=(1, 2), default=1)
    parser.add_argument("--state", type=Path, default=_ROOT / "runs" / "search_ablation.jsonl", help="what is done")
    parser.add_argument("--json", type=Path, default=None, help="write the result here; with --page, read it from here")
    parser.add_argument(
        "--page", type=Path, nargs="?", const=PAGE, default=None, help="run nothing; write tables and picture"
    )
    return parser


def _run(options: argparse.Namespace) -> dict[str, Any]:
    default = QUICK if options.quick else Settings()
    settings = Settings(
        evaluations=default.evaluations if options.evaluations is None else options.evaluations,
        seeds=default.seeds if options.seeds is None else options.seeds,
    )
    if settings.seeds < 2 or settings.evaluations < 20:
        raise KernelEvolveError("an interval needs at least 2 seeds (--seeds), and a curve 20 evaluations")
    landscapes = _landscapes(options.spaces)
    todo = tasks([STUDIES[name] for name in options.only], landscapes, settings)
    outcomes = run_tasks(todo, landscapes, state=options.state, processes=options.processes)
    return document(todo, outcomes, landscapes, settings)


def _landscapes(spaces: Path) -> list[Landscape]:
    recorded = recorded_landscapes(spaces) if spaces.is_dir() else []
    if not recorded:
        print(f"skipped: no T4 files in {spaces}; name a folder with --spaces DIR", file=sys.stderr, flush=True)
    return [*recorded, mtia_landscape()]


def _write_page(page: Path, source: Path) -> int:
    if not source.exists():
        raise KernelEvolveError(f"{source} is not there; run the ablation with --json {source} first")
    result = json.loads(source.read_text(encoding="utf-8"))
    page.write_text(written_into(page.read_text(encoding="utf-8"), tables(result)), encoding="utf-8")
    checkpoints = result["settings"]["checkpoints"]
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(panels_svg(checkpoints, curves_of(result), title=title(result)), encoding="utf-8")
    return 0


def title(result: Mapping[str, Any]) -> str:
    """The picture's."""
    seeds = result["settings"]["seeds"]
    return f"Share of the optimum reached against evaluations, simulated proposals ({seeds} seeds, 95 % intervals)"


if __name__ == "__main__":
    sys.exit(main())
