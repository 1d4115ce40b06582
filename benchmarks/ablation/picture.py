"""The ablation's picture: best so far against evaluations, with intervals, in three panels."""

from __future__ import annotations

__all__ = ["Curves", "curves_of", "panels_svg"]

from collections.abc import Mapping, Sequence
from typing import Any, Final
from xml.sax.saxutils import escape

from benchmarks.ablation.results import effect, per_seed
from benchmarks.ablation.studies import MEMORIES, POLICIES

#: Of one panel: a curve's name to its values, and the ends of its intervals, at every checkpoint.
Curves = Mapping[str, Mapping[str, Sequence[float]]]
_PANEL: Final = 330
_HEIGHT: Final = 380
_LEFT: Final = 44
_GAP: Final = 22
_TOP: Final = 56
_BOTTOM: Final = 96
#: Colours that also differ in lightness, for readers and printers without colour (Okabe and Ito, 2008).
_COLOURS: Final = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#d55e00")


def curves_of(result: Mapping[str, Any]) -> dict[str, Curves]:
    """Main effects of the factorial study, by panel."""

    def one(key: str, value: object) -> Mapping[str, Sequence[float]]:
        return effect(per_seed(result, "factorial", lambda arm: arm[key] == value))

    return {
        "policies": {name: one("policy", name) for name in POLICIES},
        "memories": {name: one("memory", name) for name in MEMORIES},
        "knowledge": {"off": one("knowledge", False), "on": one("knowledge", True)},
    }


def panels_svg(checkpoints: Sequence[int], panels: Mapping[str, Curves], *, title: str) -> str:
    """All panels side by side, on one vertical scale; bands are 95 % intervals over seeds."""
    every = [value for curves in panels.values() for curve in curves.values() for value in curve["low"]]
    floor = max(0.0, min(every) - 0.02)
    width = _LEFT + len(panels) * (_PANEL + _GAP)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" '
            'font-family="sans-serif" font-size="12">'
        ),
        f'<rect width="{width}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="20" font-size="14" font-weight="bold">{escape(title)}</text>',
    ]
    for place, (name, curves) in enumerate(panels.items()):
        parts += _panel(_LEFT + place * (_PANEL + _GAP), name, checkpoints, curves, floor)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(left: int, name: str, checkpoints: Sequence[int], curves: Curves, floor: float) -> list[str]:
    bottom = _HEIGHT - _BOTTOM

    def x(evaluation: float) -> float:
        return left + (_PANEL - 8) * evaluation / checkpoints[-1]

    def y(share: float) -> float:
        return bottom - (bottom - _TOP) * (share - floor) / (1 - floor)

    parts = [f'<text x="{left}" y="{_TOP - 12}" font-weight="bold">{escape(name)}</text>']
    for tick in (share / 10 for share in range(11)):
        if tick >= floor:
            line = f'y1="{y(tick):.1f}" x2="{left + _PANEL - 8}" y2="{y(tick):.1f}" stroke="#ddd"'
            parts.append(f'<line x1="{left}" {line}/>')
            parts.append(f'<text x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.1f}</text>')
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        at = share * checkpoints[-1]
        parts.append(f'<text x="{x(at):.1f}" y="{bottom + 18}" text-anchor="middle">{at:.0f}</text>')
    for place, (label, curve) in enumerate(curves.items()):
        colour = _COLOURS[place]
        above = [f"{x(at):.1f},{y(high):.1f}" for at, high in zip(checkpoints, curve["high"], strict=True)]
        below = [f"{x(at):.1f},{y(low):.1f}" for at, low in zip(checkpoints, curve["low"], strict=True)]
        middle = [f"{x(at):.1f},{y(value):.1f}" for at, value in zip(checkpoints, curve["value"], strict=True)]
        parts.append(f'<polygon points="{" ".join([*above, *reversed(below)])}" fill="{colour}" opacity="0.15"/>')
        parts.append(f'<polyline points="{" ".join(middle)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        row, column = divmod(place, 3)
        corner = f'x="{left + column * 108}" y="{bottom + 44 + 18 * row}"'
        parts.append(f'<text {corner} fill="{colour}">— {escape(label)}</text>')
    return parts
