"""``python -m benchmarks.gpu COMMAND``: measure on a device, merge what was measured, make a page of it.

Calls fit into ten minutes, can be repeated and go on where they stopped; docs/how-to/gpu-evidence.md has them in order.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.gpu import candidates, clocks, environment, evolving, table, throughput
from benchmarks.gpu.call import Call, known_files
from benchmarks.gpu.options import parser
from benchmarks.gpu.results import load, merged, write
from benchmarks.gpu.targets import ORIENTATION, TARGETS, THROUGHPUT_ELSEWHERE
from kernelevolve.errors import KernelEvolveError
from kernelevolve.reports.gpu_page import render_page

COMMANDS: dict[str, Callable[[Call], str]] = {
    "environment": environment.run,
    "table": table.run,
    "evolve": evolving.run,
    "candidates": candidates.run,
    "throughput": throughput.run,
    "warmth": clocks.warmth,
    "resolution": clocks.resolution,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit status is 0 whether or not a target holds: this measures, it does not test."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    if options.command in ("merge", "page"):
        return _gather(options)
    options.known = known_files(options.known)
    try:
        with Call(options, without_places(given)) as call:
            text = COMMANDS[options.command](call)
    except KernelEvolveError as error:  # a name that nothing answers to; what was measured before it is kept
        print(error, file=sys.stderr)
        return 2
    print(text, flush=True)
    return 0


def without_places(arguments: Sequence[str]) -> list[str]:
    """The command line for the record: without where files lie, which is nobody else's business and changes nothing."""
    kept: list[str] = []
    dropping = False
    for argument in arguments:
        if argument.startswith("--"):
            dropping = argument.partition("=")[0] in ("--out", "--known", "--store")
        if not dropping:
            kept.append(Path(argument).name if Path(argument).is_absolute() else argument)
    return kept


def _gather(options: argparse.Namespace) -> int:
    found = merged([load(path) for path in known_files(options.files) if path != options.out])
    if options.command == "merge":
        write(options.out, found)
        print(f"{len(found['records'])} records of {len(found['runs'])} calls: {options.out}")
        return 0
    page = render_page(found, TARGETS, ORIENTATION, throughput_note=THROUGHPUT_ELSEWHERE)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(page, encoding="utf-8")
    print(f"{options.out}: {len(found['records'])} records")
    return 0


if __name__ == "__main__":
    sys.exit(main())
