"""Keeps from whoever proposes what only checking may know: sizes that are not timed, and expected values.

What the pipeline says of a failure is meant for the person who runs it, and names the case that failed. A proposer that
learnt the hidden sizes could serve just those.
"""

from __future__ import annotations

__all__ = ["discreet"]

import re
from functools import lru_cache
from typing import Final

from kernelevolve.problem import Problem, Workload

#: What stands in the place of a workload that is not timed.
ELSEWHERE: Final = "a size that is not timed"
#: ``first at [3, 5]: got 1.0, want 2.0`` (`evaluation.correctness`): the place is told, the values are not.
_VALUES: Final = re.compile(r"[:;,]?\s*got [^\s,;]+, want [^\s,;]+")
#: ``7 of 231 elements are wrong``: the total is the size of a hidden case.
_COUNT: Final = re.compile(r"\b(\d+) of (\d+) elements are wrong")


def discreet(text: str, problem: Problem, workloads: tuple[Workload, ...]) -> str:
    """`text` without sizes other than those of `workloads`, which are timed, and without expected values."""
    timed = {workload.label for workload in workloads}
    timed |= {f"{axis}={size}" for workload in workloads for axis, size in workload.axes.items()}
    told = _bindings(problem.axes).sub(lambda found: _named(found[0], timed), text)
    return _COUNT.sub(_share, _VALUES.sub("", told))


def _share(found: re.Match[str]) -> str:
    wrong, total = int(found[1]), int(found[2])
    share = 100 * wrong / total if total else 0.0
    return "every element is wrong" if wrong == total else f"about {share:.1g} % of the elements are wrong"


def _named(label: str, timed: set[str]) -> str:
    return label if re.sub(r"\s+", "", label) in timed else ELSEWHERE


@lru_cache(maxsize=16)
def _bindings(axes: tuple[str, ...]) -> re.Pattern[str]:
    """Finds workloads in a sentence: axes with numbers, and what follows of element types."""
    names = "|".join(map(re.escape, sorted(axes, key=len, reverse=True)))
    binding = rf"(?:{names})=\d+"
    return re.compile(rf"\b{binding}(?:,\s*{binding})*(?:,\s*[A-Za-z_]\w*:[a-z]\w*)*")
