"""Rewrites that cut a loop into strips: unrolled, with several accumulators, tiled."""

from __future__ import annotations

__all__ = ["interchange", "lanes", "tile", "unroll", "unroll_pragma"]

import textwrap
from collections.abc import Iterator
from functools import partial
from typing import Final

from kernelevolve.kernel import Kernel
from kernelevolve.proposers.rewriting.reductions import Reduction, reductions, renamed
from kernelevolve.proposers.rewriting.view import Loop, Site, View

#: Offered values; the first one is tried first.
FACTORS: Final = (4, 2, 8, 1, 16)
LANES: Final = (8, 4, 16, 2, 32, 1)
TILES: Final = (64, 16, 32, 128, 256)


def unroll_pragma(view: View) -> Iterator[Site]:
    """``#pragma unroll N`` with a tunable N, on innermost loops that have none."""
    for loop in view.long_loops():
        if (
            next(view.find("for_statement", under=loop.body), None)
            or view.source.start(loop.node) != loop.node.start_byte
        ):
            continue
        yield Site(f"pragma unroll on the loop over {loop.variable}", partial(_with_pragma, view, loop))


def _with_pragma(view: View, loop: Loop) -> Kernel:
    name = view.fresh("UNROLL")
    edit = view.before(loop.node, f"#pragma unroll {name}")
    edits = (
        [edit]
        if _starts_line(view, loop)
        else [view.replace(loop.node, f"\n#pragma unroll {name}\n{view.of(loop.node)}")]
    )
    return view.edited(edits, tunables={name: FACTORS})


def _starts_line(view: View, loop: Loop) -> bool:
    before = view.source.text[: loop.node.start_byte].rpartition("\n")[2]
    return not before.strip()


def unroll(view: View) -> Iterator[Site]:
    """Several iterations a turn, in the same order, and a remainder loop: needs no help of the compiler's."""
    for loop in view.long_loops():
        if "break_statement" in loop.effects.jumps or next(view.find("for_statement", under=loop.body), None):
            continue
        yield Site(f"unroll the loop over {loop.variable}", partial(_unrolled, view, loop))


def _unrolled(view: View, loop: Loop) -> Kernel:
    name, base, step = view.fresh("UNROLL"), view.fresh(f"{loop.variable}_base"), view.fresh("step")
    body = view.inside(loop.body)
    text = strip(loop, name, base, step, body, body, [], [])
    return view.edited([view.replace(loop.node, text)], tunables={name: FACTORS})


def strip(
    loop: Loop, factor: str, base: str, lane: str, body: str, rest: str, before: list[str], after: list[str]
) -> str:
    """`loop` in strips of `factor` iterations that run `body`, and a remainder loop that runs `rest`."""
    stride = factor if loop.step == "1" else f"{factor} * ({loop.step})"
    offset = lane if loop.step == "1" else f"{lane} * ({loop.step})"
    last = f"({factor} - 1)" if loop.step == "1" else f"({factor} - 1) * ({loop.step})"
    kind = loop.type.removeprefix("const ")
    lines = [
        "{",
        *_indent(before),
        f"  {kind} {base} = {loop.start};",
        f"  for (; {base} + {last} < {loop.stop}; {base} += {stride}) {{",
        f"#pragma unroll {factor}",
        f"    for (int {lane} = 0; {lane} < {factor}; ++{lane}) {{",
        f"      const {kind} {loop.variable} = {base} + {offset};",
        textwrap.indent(body, "      "),
        "    }",
        "  }",
        *_indent(after),
        f"  {loop.head(base, loop.stop, loop.step)} {{",
        textwrap.indent(rest, "    "),
        "  }",
        "}",
    ]
    return "\n".join(lines)


def _indent(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def lanes(view: View) -> Iterator[Site]:
    """Several accumulators for a reduction, so that one addition does not wait for the one before it."""
    for loop in view.long_loops():
        found = reductions(view, loop)
        if found:
            listed = ", ".join(one.variable for one in found)
            yield Site(f"several accumulators for {listed}", partial(_with_lanes, view, loop, found))


def _with_lanes(view: View, loop: Loop, found: tuple[Reduction, ...]) -> Kernel:
    name, base, lane = view.fresh("LANES"), view.fresh(f"{loop.variable}_base"), view.fresh("lane")
    arrays = {one.variable: view.fresh(f"{one.variable}_lanes") for one in found}
    each = f"for (int {lane} = 0; {lane} < {name}; ++{lane})"
    before = [f"{one.type} {arrays[one.variable]}[{name}];" for one in found]
    before += [f"{each} {arrays[one.variable]}[{lane}] = {one.start()};" for one in found]
    after = [f"{each} {one.combine(one.variable, f'{arrays[one.variable]}[{lane}]')}" for one in found]
    body = renamed(view, loop.body, {variable: f"{array}[{lane}]" for variable, array in arrays.items()})
    text = strip(loop, name, base, lane, body, view.inside(loop.body), before, after)
    return view.edited([view.replace(loop.node, text)], tunables={name: LANES})


def _nests(view: View) -> Iterator[tuple[Loop, Loop]]:
    """Two loops with nothing between them, of which the inner one's range does not depend on the outer one."""
    for outer in view.loops():
        lines = view.lines(outer.body)
        inner = view.loop(lines[0]) if len(lines) == 1 else None
        if inner is None or reductions(view, outer) is None or reductions(view, inner) is None:
            continue
        bounds = {
            view.of(node)
            for node in view.find("identifier", under=inner.node)
            if node.end_byte <= inner.body.start_byte
        }
        if outer.variable not in bounds and not inner.effects.stores:
            yield outer, inner


def interchange(view: View) -> Iterator[Site]:
    """Swap two loops of a reduction, so that the inner one walks memory in another order."""
    for outer, inner in _nests(view):
        text = f"{inner.header} {{\n  {outer.header} {{\n{textwrap.indent(view.inside(inner.body), '    ')}\n  }}\n}}"
        edit = view.replace(outer.node, text)
        yield Site(f"swap the loops over {outer.variable} and {inner.variable}", partial(view.edited, [edit]))


def tile(view: View) -> Iterator[Site]:
    """Walk the inner range of a nest in tiles that stay in cache while the outer loop runs over each."""
    for outer, inner in _nests(view):
        yield Site(f"tile the loop over {inner.variable}", partial(_tiled, view, outer, inner))


def _tiled(view: View, outer: Loop, inner: Loop) -> Kernel:
    name, base, end = view.fresh("TILE"), view.fresh(f"{inner.variable}_tile"), view.fresh(f"{inner.variable}_end")
    kind = inner.type.removeprefix("const ")
    stride = name if inner.step == "1" else f"{name} * ({inner.step})"
    lines = [
        f"for ({kind} {base} = {inner.start}; {base} < {inner.stop}; {base} += {stride}) {{",
        f"  const {kind} {end} = {base} + {stride} < {inner.stop} ? {base} + {stride} : {inner.stop};",
        f"  {outer.header} {{",
        f"    {inner.head(base, end, inner.step)} {{",
        textwrap.indent(view.inside(inner.body), "      "),
        "    }",
        "  }",
        "}",
    ]
    return view.edited([view.replace(outer.node, "\n".join(lines))], tunables={name: TILES})
