"""Live progress of a run, on standard error: a moving panel on a terminal, a line now and then elsewhere."""

from __future__ import annotations

__all__ = ["ProgressDisplay", "sparkline"]

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from kernelevolve.evolution.loop import Progress

_BARS = " ▁▂▃▄▅▆▇█"
#: Seconds between lines where there is no terminal.
_PAUSE = 10.0


def sparkline(values: Sequence[float], width: int = 48) -> str:
    """A curve in one line of text; the last of each bucket of values is drawn."""
    if not values or max(values) <= 0:
        return ""
    count = min(width, len(values))
    picked = [values[(index + 1) * len(values) // count - 1] for index in range(count)]
    top = max(picked)
    return "".join(_BARS[round(value / top * (len(_BARS) - 1))] for value in picked)


class ProgressDisplay:
    """A context manager; call it with every `Progress`."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._console = Console(file=sys.stderr)
        # No refresh thread: it would wake up in the middle of somebody's timed launch.
        self._live = (
            Live(console=self._console, auto_refresh=False, transient=True) if self._console.is_terminal else None
        )
        self._printed = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.__exit__(kind, error, trace)

    def __call__(self, progress: Progress) -> None:
        """Show the latest state."""
        if self._live:
            self._live.update(self._panel(progress), refresh=True)
        elif time.monotonic() - self._printed > _PAUSE:
            self._printed = time.monotonic()
            sys.stderr.write(f"{self._line(progress)}\n")
            sys.stderr.flush()

    def _panel(self, progress: Progress) -> Group:
        grid = Table.grid(padding=(0, 2))
        grid.add_row("tried", f"{progress.evaluations} evaluations of {progress.candidates} candidates")
        grid.add_row("outcomes", _outcomes(progress))
        grid.add_row("best", Text(_best(progress), style="bold green"))
        grid.add_row("", sparkline(progress.curve))
        grid.add_row("time left", _left(progress))
        grid.add_row("now", progress.activity)
        bar = ProgressBar(total=1.0, completed=progress.remaining.spent, width=48)
        return Group(Text(self._title, style="bold"), grid, bar)

    def _line(self, progress: Progress) -> str:
        parts = (
            f"{progress.evaluations} evaluations",
            _best(progress),
            _outcomes(progress),
            f"left: {_left(progress)}",
        )
        return "  ".join(parts)


def _best(progress: Progress) -> str:
    if progress.best_fitness is None:
        return "not ranked: this device has no clock"
    if progress.best is None or not progress.best_fitness:
        return "best: none yet"
    return f"best: {progress.best_fitness:.2f}× the seed (candidate {progress.best})"


def _outcomes(progress: Progress) -> str:
    counts = sorted(progress.outcomes.items(), key=lambda item: -item[1])
    return ", ".join(f"{count} {outcome}" for outcome, count in counts) or "none yet"


def _left(progress: Progress) -> str:
    parts = []
    if progress.remaining.seconds is not None:
        parts.append(f"{progress.remaining.seconds:.0f} s")
    if progress.remaining.evaluations is not None:
        parts.append(f"{progress.remaining.evaluations} evaluations")
    return " or ".join(parts) or "no limit"
