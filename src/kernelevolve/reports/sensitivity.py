"""What modelled times rest on: each parameter halved and doubled, for several kernels, as SVG and as a table."""

from __future__ import annotations

__all__ = ["Changes", "sensitivity_svg", "sensitivity_table", "write_sensitivity"]

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

#: Kernel → parameter → its time over the nominal one with half, and with twice the parameter's value.
Changes = Mapping[str, Mapping[str, tuple[float, float]]]
#: From a panel's number and a ratio to a position in the picture.
_Place = Callable[[int, float], float]
_WIDTH: Final = 860
_LEFT: Final = 176
_GAP: Final = 18
_TOP: Final = 64
_ROW: Final = 19
_BOTTOM: Final = 48
#: Colours that also differ in lightness (Okabe and Ito, 2008).
_HALF: Final = "#0072b2"
_DOUBLE: Final = "#e69f00"
_TICKS: Final = (0.5, 0.7, 1.0, 1.4, 2.0)


def write_sensitivity(path: Path, changes: Changes, *, title: str) -> None:
    """Write the picture to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(sensitivity_svg(changes, title=title), encoding="utf-8")


def sensitivity_svg(changes: Changes, *, title: str) -> str:
    """The picture. All panels have one logarithmic axis from half to twice the time; what is beyond ends at its edge.

    Parameters come in the order of their largest change; every one is shown, also those that change nothing.
    """
    parameters = _ordered(changes)
    panel = (_WIDTH - _LEFT - _GAP * len(changes)) / max(1, len(changes))
    height = _TOP + _ROW * len(parameters) + _BOTTOM

    def x(number: int, ratio: float) -> float:
        share = (math.log2(min(2.0, max(0.5, ratio))) + 1) / 2
        return _LEFT + number * (panel + _GAP) + panel * share

    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
            'font-family="sans-serif" font-size="12">'
        ),
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="12" y="22" font-size="14" font-weight="bold">{escape(title)}</text>',
    ]
    for row, name in enumerate(parameters):
        y = _TOP + _ROW * row
        if row % 2:
            parts.append(f'<rect x="0" y="{y}" width="{_WIDTH}" height="{_ROW}" fill="#f4f4f4"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
    for number, (kernel, found) in enumerate(changes.items()):
        parts += _panel(kernel, found, parameters, number, x)
    legend = (
        f'<tspan fill="{_HALF}">■ parameter × ½</tspan>   <tspan fill="{_DOUBLE}">■ parameter × 2</tspan>   '
        "time over the nominal time"
    )
    parts.append(f'<text x="{_LEFT}" y="{height - 10}">{legend}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def sensitivity_table(changes: Changes, *, least: float = 0.01) -> str:
    """The same as a Markdown table: ``×½ / ×2`` in per cent of the time; changes below `least` are dots.

    Parameters that change no kernel's time by `least` are left out and named below.
    """
    shown = [name for name in _ordered(changes) if _span(changes, name) >= least]
    hidden = [name for name in _ordered(changes) if name not in shown]
    lines = [f"| parameter | {' | '.join(changes)} |", f"|---|{'---|' * len(changes)}"]
    for name in shown:
        cells = [_cell(*found.get(name, (1.0, 1.0)), least) for found in changes.values()]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    if hidden:
        lines += ["", f"Less than {least:.0%} everywhere: {', '.join(f'`{name}`' for name in sorted(hidden))}."]
    return "\n".join(lines) + "\n"


def _span(changes: Changes, name: str) -> float:
    return max(abs(ratio - 1) for found in changes.values() for ratio in found.get(name, (1.0, 1.0)))


def _ordered(changes: Changes) -> list[str]:
    names = {name for found in changes.values() for name in found}
    return sorted(names, key=lambda name: (-_span(changes, name), name))


def _cell(half: float, double: float, least: float) -> str:
    def one(ratio: float) -> str:
        return "·" if abs(ratio - 1) < least else f"{ratio - 1:+.0%}"

    return f"{one(half)} / {one(double)}"


def _panel(
    kernel: str, found: Mapping[str, tuple[float, float]], parameters: list[str], number: int, x: _Place
) -> list[str]:
    bottom = _TOP + _ROW * len(parameters)
    parts = [
        f'<text x="{x(number, 1.0):.1f}" y="44" text-anchor="middle" font-weight="bold">{escape(kernel)}</text>',
    ]
    for tick in _TICKS:
        at = x(number, tick)
        colour = "#888" if tick == 1.0 else "#ddd"
        parts.append(f'<line x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{bottom}" stroke="{colour}"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 15}" text-anchor="middle" font-size="10">{tick:g}</text>')
    for row, name in enumerate(parameters):
        for half, (ratio, colour) in enumerate(zip(found.get(name, (1.0, 1.0)), (_HALF, _DOUBLE), strict=True)):
            start, end = sorted((x(number, 1.0), x(number, ratio)))
            y = _TOP + _ROW * row + 3 + 7 * half
            tip = f"{name} × {'2' if half else '½'}: {ratio:.3f}"
            box = f'<rect x="{start:.1f}" y="{y}" width="{max(end - start, 0.5):.1f}" height="6" fill="{colour}">'
            parts.append(f"{box}<title>{escape(tip)}</title></rect>")
    return parts
