"""A picture of a run: best speed-up against evaluations, with every candidate's outcome, as SVG."""

from __future__ import annotations

__all__ = ["curve_svg", "write_curve"]

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from kernelevolve.outcome import Outcome
from kernelevolve.store import Evaluation

#: From a value to a position in the picture.
Scale = Callable[[float], float]
_WIDTH: Final = 860
_HEIGHT: Final = 400
_LEFT: Final = 56
_RIGHT: Final = 16
_TOP: Final = 40
_BOTTOM: Final = 64
#: Colours that also differ in lightness, for readers and printers without colour (Okabe and Ito, 2008).
_RIGHT_COLOUR: Final = "#56b4e9"
_BEST_COLOUR: Final = "#0072b2"
_FALLEN_COLOUR: Final = "#d55e00"


def write_curve(path: Path, evaluations: Sequence[Evaluation], *, title: str) -> None:
    """Write the picture to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(curve_svg(evaluations, title=title), encoding="utf-8")


def curve_svg(evaluations: Sequence[Evaluation], *, title: str) -> str:
    """The picture: dots for right candidates, crosses on the floor for fallen ones, a step line for the best so far.

    The vertical axis is logarithmic from half the smallest to the largest speed-up over the seed.
    """
    fitness = [evaluation.fitness or 0.0 for evaluation in evaluations]
    right = [value for value in fitness if value > 0] or [1.0]
    low, high = min(1.0, *right) * 0.8, max(1.0, *right) * 1.25
    count = max(len(fitness), 2)

    def x(index: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * index / (count - 1)

    def y(value: float) -> float:
        share = (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share

    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            'font-family="sans-serif" font-size="12">'
        ),
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="14" font-weight="bold">{escape(title)}</text>',
    ]
    for tick in _ticks(low, high):
        at = y(tick)
        parts.append(f'<line x1="{_LEFT}" y1="{at:.1f}" x2="{_WIDTH - _RIGHT}" y2="{at:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{tick:g}×</text>')
    parts += [
        f'<text x="{x(index):.1f}" y="{_HEIGHT - _BOTTOM + 30}" text-anchor="middle">{index}</text>'
        for index in range(0, len(fitness), _step(len(fitness)))
    ]
    parts += _marks(evaluations, fitness, x, y)
    parts.append(_best_line(fitness, x, y))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    legend = (
        f'<tspan fill="{_BEST_COLOUR}">— best so far</tspan>  <tspan fill="{_RIGHT_COLOUR}">● right</tspan>  '
        f'<tspan fill="{_FALLEN_COLOUR}">× fell (gate, compile, check)</tspan>'
    )
    parts.append(f'<text x="{middle:.0f}" y="{_HEIGHT - 14}" text-anchor="middle">evaluations    {legend}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _ticks(low: float, high: float) -> Iterable[float]:
    steps = [factor * 10.0**power for power in range(-3, 4) for factor in (1, 2, 5)]
    return [step for step in steps if low <= step <= high]


def _step(count: int) -> int:
    """A round distance of labels that gives at most ten of them."""
    steps: list[int] = [factor * 10**power for power in range(9) for factor in (1, 2, 5)]
    return next(step for step in steps if count <= 10 * step)


def _marks(evaluations: Sequence[Evaluation], fitness: Sequence[float], x: Scale, y: Scale) -> list[str]:
    marks = []
    for index, (evaluation, value) in enumerate(zip(evaluations, fitness, strict=True)):
        tip = escape(f"candidate {evaluation.candidate}: {evaluation.outcome} {evaluation.message}"[:200])
        if evaluation.outcome is Outcome.CORRECT and value > 0:
            shape = f'<circle cx="{x(index):.1f}" cy="{y(value):.1f}" r="3" fill="{_RIGHT_COLOUR}">'
            marks.append(f"{shape}<title>{tip}</title></circle>")
        else:
            at, floor = x(index), _HEIGHT - _BOTTOM + 8
            path = f"M{at - 3:.1f} {floor - 3}l6 6m0 -6l-6 6"
            marks.append(f'<path d="{path}" stroke="{_FALLEN_COLOUR}" fill="none"><title>{tip}</title></path>')
    return marks


def _best_line(fitness: Sequence[float], x: Scale, y: Scale) -> str:
    best, points = 0.0, []
    for index, value in enumerate(fitness):
        if value > best:
            if best:
                points.append(f"{x(index):.1f},{y(best):.1f}")
            best = value
            points.append(f"{x(index):.1f},{y(best):.1f}")
    if best:
        points.append(f"{x(len(fitness) - 1):.1f},{y(best):.1f}")
    joined = " ".join(points)
    return f'<polyline points="{joined}" fill="none" stroke="{_BEST_COLOUR}" stroke-width="2.5"/>'
