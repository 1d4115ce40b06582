"""What a failure said, fit to be shown to whoever proposes kernels in later runs."""

from __future__ import annotations

__all__ = ["quoted", "shortened"]

import re
from collections.abc import Collection
from typing import Final

from kernelevolve.problem import Problem

_LONGEST: Final = 220
#: How much of a hidden case was wrong, and what it held there.
_FINDINGS: Final = re.compile(r": \d+ of \d+ elements are wrong.*|[,;:]?\s*got \S+ want \S+")


def quoted(message: str, problem: Problem, timed: Collection[str]) -> str:
    """The first line of `message`, cut to a readable length, without sizes that are not in `timed` and without values.

    Lessons outlive their run: a size that only checking knows would be known to every later proposal.
    """
    line = _FINDINGS.sub("", (message.strip().splitlines() or ["no message"])[0])
    binding = rf"(?:{'|'.join(map(re.escape, sorted(problem.axes, key=len, reverse=True)))})=\d+"
    sizes = re.compile(rf"\b{binding}(?:,\s*{binding})*(?:,\s*\w+:\w+)*")
    told = sizes.sub(lambda found: found[0] if found[0] in timed else "a size that is not timed", line)
    return shortened(told, _LONGEST)


def shortened(text: str, longest: int) -> str:
    """`text`, or its beginning with an ellipsis."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
