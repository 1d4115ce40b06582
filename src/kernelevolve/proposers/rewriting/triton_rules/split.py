"""A long reduction is shared out among programs: each writes what it found, and a second launch puts it together.

The parts are combined in a fixed order, so the result is the same each run.
"""

from __future__ import annotations

__all__ = ["split_reduction"]

from collections.abc import Iterator
from functools import partial
from typing import Final

import libcst as cst
from attrs import evolve, field, frozen

from kernelevolve.expressions import parse as parse_expression
from kernelevolve.kernel import Kernel, Launch, Scratch
from kernelevolve.proposers.rewriting.python_edits import Edit, Statement, atomic, indented, names_in, walk
from kernelevolve.proposers.rewriting.python_flow import Definition
from kernelevolve.proposers.rewriting.triton_rules.bounds import grid_forms, header_text
from kernelevolve.proposers.rewriting.triton_rules.loops import Carried, Reduction, carried, trips
from kernelevolve.proposers.rewriting.triton_rules.view import Loop, TritonView, tried, tuple_text
from kernelevolve.proposers.rewriting.view import Site

_PARTS: Final = (4, 2, 8, 16)
_EXTREMES: Final = {"max": "tl.maximum", "min": "tl.minimum"}


@frozen(eq=False)
class _Part:
    """One variable that is reduced in parts."""

    reduction: Reduction
    #: Its scratch buffer, its sizes in the entry's words and in the header's.
    buffer: str
    sizes: tuple[str, ...]
    header: tuple[str, ...]
    kind: str


@frozen(eq=False)
class _Split:
    loop: Loop = field(repr=False)
    parts: tuple[_Part, ...]
    #: Variables that move on each turn, with what they move by.
    steps: tuple[tuple[Definition, str], ...]


def split_reduction(view: TritonView) -> Iterator[Site]:
    """Several programs for one result, each of which reduces a part, and a second launch that combines the parts."""
    programs, grid = view.programs(), grid_forms(view)
    if programs is None or grid is None or len(view.launches) != 1 or len(grid) > 2 or view.counts() != {}:
        return
    if any(axis >= len(grid) for axis in programs.values()):
        return
    for loop in view.loops:
        found = _split(view, loop)
        if found is not None:
            names = ", ".join(part.reduction.name for part in found.parts)
            yield from tried(f"{names} in parts over {view.text(loop.stop)[:40]}", partial(_made, view, found))


def _split(view: TritonView, loop: Loop) -> _Split | None:
    if loop.node not in view.body or (loop.start is not None and view.flat(loop.start) != "0"):
        return None
    before, after = _around(view, loop)
    quiet = view.memory.effects(*before, *loop.body)
    late = view.memory.effects(*after)
    loops = any(isinstance(node, cst.For | cst.While) for node in walk(*before, *after))
    if quiet.stores or quiet.opaque or late.opaque or late.jumps or loops or not late.stores:
        return None
    if view.memory.effects(*loop.body).jumps or trips(view, loop) is None:
        return None
    found = carried(view, loop.node)
    parts = [_part(view, one) for one in found.reductions]
    steps = _steps(view, loop, found)
    known = tuple(part for part in parts if part is not None)
    if found.others or not known or len(known) != len(parts) or steps is None:
        return None
    return _Split(loop, known, steps)


def _around(view: TritonView, loop: Loop) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
    place = view.body.index(loop.node)
    return view.body[:place], view.body[place + 1 :]


def _part(view: TritonView, one: Reduction) -> _Part | None:
    value = view.types.definition(one.definition)
    if value is None or value.types not in ({"float32"}, {"int32"}) or one.definition.entry is None:
        return None
    sizes = [view.size_text(size) for size in value.shape]
    header = [header_text(size) for size in value.shape]
    if None in sizes or None in header or len(value.shape) > 2:
        return None
    buffer = view.fresh(f"{one.name}_parts")
    kind = next(iter(value.types))
    return _Part(one, buffer, tuple(map(str, sizes)), tuple(map(str, header)), kind)


def _steps(view: TritonView, loop: Loop, found: Carried) -> tuple[tuple[Definition, str], ...] | None:
    """What moves each turn, and by how much as code; None where one is moved in a way that cannot be skipped."""
    made = []
    for one in found.steps:
        last = one.sources[-1]
        if last is None or not isinstance(last.node, cst.AugAssign) or last.value is None:
            return None
        local = [view.flow.of(name) for name in names_in(last.value)]
        if any(each is not None and loop.node in each.loops for each in local):
            return None
        made.append((one, view.text(last.value)))
    return tuple(made)


def _offsets(part: _Part) -> str:
    """The places of a part's elements, behind one another."""
    match part.sizes:
        case ():
            return ""
        case (width,):
            return f" + tl.arange(0, {width})"
        case (height, width):
            return f" + (tl.arange(0, {height})[:, None] * {width} + tl.arange(0, {width})[None, :])"
    raise AssertionError(part.sizes)


def _place(part: _Part, which: str, tiles: str, tile: str) -> str:
    """Where a part begins: the parts of one tile lie `tiles` blocks apart."""
    size = " * ".join(["", *part.sizes])
    return f"{part.buffer} + ({which} * {tiles} + {tile}){size}{_offsets(part)}"


def _made(view: TritonView, found: _Split) -> Kernel:
    count, tile, tiles, part = (view.fresh(word) for word in ("PARTS", "tile", "tiles", "part"))
    buffers = [one.buffer for one in found.parts]
    grid, across = view.launch.grid, view.fresh("across")
    given = {tiles: " * ".join(atomic(size.text) for size in grid)}
    linear = "tl.program_id(0).to(tl.int64)"
    if len(grid) > 1:
        given[across] = grid[0].text
        linear = f"tl.program_id(1).to(tl.int64) * {across} + tl.program_id(0)"
    extra = [*buffers, *given, f"{count}: tl.constexpr"]
    where = f"{tile} = {linear}\n"
    name = view.fresh(f"{view.name}_parts")
    one = view.function_text(name, _partial(view, found, where, tile, tiles, part, count), extra)
    edits = _combined(found, where, tile, tiles, part, count)

    def launched(launch: Launch) -> tuple[Launch, ...]:
        bound = view.with_args(launch, given)
        first = evolve(bound, entry=name, grid=(*launch.grid, parse_expression(count)))
        return first, bound

    shapes = {
        each.buffer: Scratch(tuple(parse_expression(size) for size in (count, given[tiles], *each.header)), each.kind)
        for each in found.parts
    }
    return view.edited(
        edits, functions=one, parameters=extra, launches=launched, scratch=shapes, tunables={count: _PARTS}
    )


def _partial(view: TritonView, found: _Split, where: str, tile: str, tiles: str, part: str, count: str) -> str:
    """The body of the entry that reduces a part."""
    loop = found.loop
    before, _ = _around(view, loop)
    edits = []
    for each in found.parts:
        entry = each.reduction.definition.entry
        assert entry is not None
        if each.reduction.operator in ("+", "dot"):  # the start counts once, when the parts are combined
            edits.append(f"{each.reduction.name} = {_zero(each)}\n")
    step = "1" if loop.step is None else atomic(view.text(loop.step))
    stop = atomic(view.text(loop.stop))
    turns, first, last = view.fresh("turns"), view.fresh("first_turn"), view.fresh("last_turn")
    lines = [
        f"{part} = tl.program_id({len(view.launch.grid)})",
        f"{turns} = tl.cdiv({_turns(stop, step)}, {count})",
        f"{first} = {part} * {turns} * {step}" if step != "1" else f"{first} = {part} * {turns}",
        f"{last} = tl.minimum({first} + {turns} * {step}, {stop})"
        if step != "1"
        else f"{last} = tl.minimum({first} + {turns}, {stop})",
        *(f"{moved.name} += tl.cast({part} * {turns}, tl.int64) * {atomic(by)}" for moved, by in found.steps),
    ]
    text = view.lines(before) + "".join(edits) + "\n".join(lines) + "\n"
    head = loop.head(first, last, "" if loop.step is None else view.text(loop.step))
    text += head + indented(view.lines(loop.body)) + where
    for each in found.parts:
        text += f"tl.store({_place(each, part, tiles, tile)}, {each.reduction.name})\n"
    return text


def _turns(stop: str, step: str) -> str:
    return stop if step == "1" else f"tl.cdiv({stop}, {step})"


def _zero(part: _Part) -> str:
    if not part.sizes:
        return "0.0" if part.kind == "float32" else "0"
    return f"tl.zeros({tuple_text(part.sizes)}, tl.{part.kind})"


def _combined(found: _Split, where: str, tile: str, tiles: str, part: str, count: str) -> list[Edit]:
    """The entry with the loop over parts in place of the loop over what is reduced."""
    body = ""
    for each in found.parts:
        name, loaded = each.reduction.name, f"tl.load({_place(each, part, tiles, tile)})"
        function = _EXTREMES.get(each.reduction.operator)
        body += f"{name} = {function}({name}, {loaded})\n" if function else f"{name} += {loaded}\n"
    return [Edit(found.loop.node, text=f"{where}for {part} in range({count}):\n{indented(body)}")]
