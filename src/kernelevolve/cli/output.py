"""What commands print: tables for people, one JSON document for programs, errors as one sentence."""

from __future__ import annotations

__all__ = ["Exit", "Output", "describe_error", "seconds_text"]

import enum
import json as jsonlib
import os
import sys
import traceback
from typing import Any

from attrs import define

from kernelevolve.errors import KernelEvolveError

#: Columns of a table that goes to a file or another program.
_PIPE_WIDTH = 120


class Exit(enum.IntEnum):
    """Exit statuses."""

    DONE = 0
    NO = 1
    USAGE = 2
    BROKEN = 3
    INTERRUPTED = 130


@define
class Output:
    """Where a command writes: results to standard output, everything else to standard error."""

    json: bool = False

    def document(self, value: Any) -> None:
        """Print the command's one JSON document."""
        jsonlib.dump(value, sys.stdout, indent=2, default=str, ensure_ascii=False)
        sys.stdout.write("\n")
        sys.stdout.flush()

    def table(self, table: Any) -> None:
        """Print a rich renderable to standard output."""
        from rich.console import Console

        console = Console()
        # A pipe has no width of its own; rich would fold at 80 what a log has room for.
        (console if console.is_terminal else Console(width=_PIPE_WIDTH)).print(table)

    def line(self, text: str = "") -> None:
        """Print one line to standard output."""
        sys.stdout.write(text + "\n")

    def note(self, text: str) -> None:
        """Print one line to standard error."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def describe_error(error: Exception, *, as_json: bool) -> Exit:
    """Print what went wrong and return the status: 2 for input that can be mended, 3 for a fault of ours."""
    known = isinstance(error, KernelEvolveError)
    text = str(error) if known else f"{type(error).__name__}: {error}"
    if as_json:
        Output(json=True).document({"error": text})
    sys.stderr.write(f"error: {text}\n")
    if os.environ.get("KERNELEVOLVE_TRACEBACK"):
        traceback.print_exception(error)
    elif not known:
        sys.stderr.write("This is a fault of kernelevolve; KERNELEVOLVE_TRACEBACK=1 shows where.\n")
    return Exit.USAGE if known else Exit.BROKEN


def seconds_text(seconds: float) -> str:
    """``1.23 ms``: a time with three significant digits and a fitting unit."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}"
    raise AssertionError(seconds)
