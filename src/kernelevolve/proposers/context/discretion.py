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
#: ``a read of x[0, 7], whose shape is (1, 7)`` (Numba's interpreter): how far beyond is told, the extents are not.
_SHAPE: Final = re.compile(r"\[(?P<at>-?\d+(?:, *-?\d+)*)\], whose shape is \((?P<shape>\d+(?:, *\d+)*),?\)")
#: ``at byte 12, and it has 8`` (Triton's interpreter, the MTIA emulator), likewise.
_BYTE: Final = re.compile(r"at byte (\d+), and it has (\d+)")
#: ``7 of 231 elements are wrong``: the total is the size of a hidden case.
_COUNT: Final = re.compile(r"\b(\d+) of (\d+) elements are wrong")


def discreet(text: str, problem: Problem, workloads: tuple[Workload, ...]) -> str:
    """`text` without sizes other than those of `workloads`, which are timed, and without expected values."""
    timed = {workload.label for workload in workloads}
    timed |= {f"{axis}={size}" for workload in workloads for axis, size in workload.axes.items()}
    told = _bindings(problem.axes).sub(lambda found: _named(found[0], timed), text)
    return _BYTE.sub(_behind, _SHAPE.sub(_beyond, _COUNT.sub(_share, _VALUES.sub("", told))))


def _beyond(found: re.Match[str]) -> str:
    at, shape = ([int(one) for one in found[part].split(",")] for part in ("at", "shape"))
    steps = [
        f"{index - extent + 1} beyond the last of dimension {place}"
        if index >= 0
        else f"{-index} before the first of dimension {place}"
        for place, (index, extent) in enumerate(zip(at, shape, strict=False))
        if not 0 <= index < extent
    ]
    return f", {' and '.join(steps)}" if steps else ""


def _behind(found: re.Match[str]) -> str:
    return f"{max(0, int(found[1]) - int(found[2]))} bytes behind its end"


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
