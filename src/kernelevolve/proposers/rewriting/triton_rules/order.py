"""Rewrites of which program does what, and when: grouped order, programs that take several tiles."""

from __future__ import annotations

__all__ = ["grouped", "persistent"]

from collections.abc import Iterator
from functools import partial

import libcst as cst
from attrs import evolve, frozen

from kernelevolve.expressions import parse as parse_expression
from kernelevolve.kernel import Kernel, Launch
from kernelevolve.proposers.rewriting.python_edits import Edit, Statement, assigned, atomic, block_of, indented
from kernelevolve.proposers.rewriting.triton_rules.bounds import grid_forms, header_text
from kernelevolve.proposers.rewriting.triton_rules.forms import Atom, Form, name
from kernelevolve.proposers.rewriting.triton_rules.view import TritonView, tried
from kernelevolve.proposers.rewriting.view import Site

_GROUPS = (8, 4, 16, 2)
_PER_UNIT = (4, 1, 2, 8)


@frozen
class _Plane:
    """A plane of tiles: consecutive programs run along `across`, then down."""

    across: str
    down: str
    #: Whether the header counts the plane's programs in one dimension already.
    is_flat: bool


def grouped(view: TritonView) -> Iterator[Site]:
    """Neighbouring programs take tiles that share rows and columns, so that what they read stays in the cache.

    Programs may run in any order, so any permutation of their ids is the same kernel.
    """
    programs = view.programs()
    if not programs or view.counts() != {} or any(name.startswith("GROUP") for name in view.constexprs):
        return
    if view.memory.whole.opaque:  # programs may wait for one another, or a function may ask for the id itself
        return
    for plane in _planes(view, programs):
        for down in (True, False):
            note = f"groups of {'rows' if down else 'columns'} in a plane of {plane.down} x {plane.across} tiles"
            yield from tried(note, partial(_grouped, view, programs, plane, down=down))


def _planes(view: TritonView, programs: dict[cst.Call, int]) -> Iterator[_Plane]:
    grid = grid_forms(view)
    if grid is None or any(axis >= len(grid) for axis in programs.values()):
        return
    if len(grid) > 1 and {0, 1} <= set(programs.values()):
        texts = header_text(grid[0]), header_text(grid[1])
        if texts[0] is not None and texts[1] is not None and grid[0] != grid[1]:
            yield _Plane(across=texts[0], down=texts[1], is_flat=False)
    elif len(grid) == 1:
        yield from _flat_plane(view, grid[0])


def _flat_plane(view: TritonView, grid: Form) -> Iterator[_Plane]:
    """A plane that the entry itself takes apart: ``id % across`` and ``id // across % down``."""
    whole = name("0", "pid")
    atoms = {leaf for leaf in _all_atoms(view) if leaf.kind in ("%", "//")}
    for across in sorted({atom.args[1] for atom in atoms if atom.kind == "%" and atom.args[0] == whole}, key=str):
        rest = grid.divided(across)
        if rest is None:
            continue
        above = Atom("//", args=(whole, across))
        inner = {atom.args[1] for atom in atoms if atom.kind == "%" and atom.args[0].atom == above}
        down = inner.pop() if len(inner) == 1 else rest
        texts = header_text(across), header_text(down)
        if rest.divided(down) is not None and texts[0] is not None and texts[1] is not None and above in atoms:
            yield _Plane(across=texts[0], down=texts[1], is_flat=True)


def _all_atoms(view: TritonView) -> Iterator[Atom]:
    for access in (*view.memory.whole.loads, *view.memory.whole.stores):
        if access.address is not None:
            yield from access.address.offset.leaves


def _grouped(view: TritonView, programs: dict[cst.Call, int], plane: _Plane, *, down: bool) -> Kernel:
    names = {word: view.fresh(word) for word in ("across", "down", "program", "inside", "first", "size", "tile")}
    group = view.fresh("GROUP")
    long, short = ("across", "down") if down else ("down", "across")
    n = {**names, "group": group, "long": names[long], "short": names[short]}
    lines = [
        "{program} = tl.program_id(0)",
        "{inside} = {program} % ({down} * {across})" if plane.is_flat else "{inside} = {program}",
        "{first} = {inside} // ({group} * {long}) * {group}",
        "{size} = tl.minimum({short} - {first}, {group})",
        "{inside} = {inside} - {first} * {long}",
    ]
    row, column = "{first} + {inside} % {size}", "{inside} // {size}"
    place = f"({row}) * {{across}} + {column}" if down else f"({column}) * {{across}} + {row}"
    lines.append(f"{{tile}} = {{program}} // ({{down}} * {{across}}) * ({{down}} * {{across}}) + {place}")
    if not plane.is_flat:
        lines[-1] = f"{{tile}} = {place}"
    if plane.is_flat:
        becomes = {0: names["tile"]}
    else:
        becomes = {0: "{tile} % {across}", 1: "{tile} // {across} % {down}", 2: "tl.program_id(1)"}
    edits = [Edit(call, text=becomes[axis].format(**n)) for call, axis in programs.items()]
    edits.append(Edit(view.body[0], before="".join(line.format(**n) + "\n" for line in lines)))

    def launched(launch: Launch) -> tuple[Launch, ...]:
        grid = launch.grid
        if not plane.is_flat:
            grid = (parse_expression(f"{atomic(grid[0].text)} * {atomic(grid[1].text)}"), *grid[2:])
        args = {names["across"]: plane.across, names["down"]: plane.down}
        return (view.with_args(evolve(launch, grid=grid), args),)

    return view.edited(
        edits,
        parameters=[names["across"], names["down"], f"{group}: tl.constexpr"],
        launches=launched,
        tunables={group: _GROUPS},
    )


@frozen(eq=False)
class _Body:
    """An entry's statements, around an early return of programs that have nothing to do."""

    #: What is the same for every program, and may stay before the loop.
    shared: tuple[Statement, ...]
    before: tuple[Statement, ...]
    #: ``if row >= rows: return``
    guard: cst.If | None
    after: tuple[Statement, ...]


def persistent(view: TritonView) -> Iterator[Site]:
    """As many programs as the device runs at once, each of which takes tile after tile."""
    programs = view.programs()
    grid = grid_forms(view)
    if not programs or view.counts() != {} or grid is None or view.memory.whole.opaque:
        return
    if any(axis >= len(grid) for axis in programs.values()):
        return
    body = _body(view)
    if body is not None and not assigned(*view.body) & set(view.parameters):  # a tile must not see what another left
        yield from tried("programs that take tile after tile", partial(_persistent, view, programs, body))


def _body(view: TritonView) -> _Body | None:
    """The entry's statements, or None where it returns other than at once."""
    returns = [view.statement(node) for node in view.find(cst.Return)]
    count = _shared(view)
    shared, rest = view.body[:count], view.body[count:]
    if not returns:
        return _Body(shared, (), None, rest)
    guard = view.parents[view.parents[returns[0]]]
    if len(returns) > 1 or not isinstance(guard, cst.If) or guard not in rest:
        return None
    place = rest.index(guard)
    before, after = rest[:place], rest[place + 1 :]
    simple = all(isinstance(one, cst.SimpleStatementLine) for one in before)
    alone = guard.orelse is None and len(block_of(guard.body)) == 1
    return _Body(shared, before, guard, after) if alone and simple and view.memory.effects(*before).is_pure else None


def _shared(view: TritonView) -> int:
    """How many of the first statements make tensor descriptors that no id is part of: they cost too much for a tile."""
    for count, one in enumerate(view.body):
        makes = any(view.called("tl.make_tensor_descriptor", one))
        again = assigned(one) & assigned(*view.body[count + 1 :])
        if not makes or again or view.programs(one) != {} or not view.memory.effects(one).is_pure:
            return count
    return 0


def _persistent(view: TritonView, programs: dict[cst.Call, int], body: _Body) -> Kernel:
    dimensions = len(view.launch.grid)
    tile, tiles, per_unit = view.fresh("tile"), view.fresh("tiles"), view.fresh("PER_UNIT")
    sizes = [view.fresh(f"extent_{axis}") for axis in range(dimensions)] if dimensions > 1 else []
    edits = [_with_tile(view, call, _place(tile, sizes, axis)) for call, axis in programs.items()]
    text = view.lines(body.before, edits)
    after = view.lines(body.after, edits)
    text += f"if not ({view.changed(body.guard.test, edits)}):\n{indented(after)}" if body.guard is not None else after
    head = f"for {tile} in range(tl.program_id(0), {tiles}, tl.num_programs(0)):\n"
    whole = [Edit(view.body[0], text=view.lines(body.shared) + head + indented(text))]
    whole += [Edit(one, text="") for one in view.body[1:]]

    def launched(launch: Launch) -> tuple[Launch, ...]:
        texts = [atomic(one.text) for one in launch.grid]
        total = " * ".join(texts) if sizes else launch.grid[0].text
        made = evolve(launch, grid=(parse_expression(f"min(num_units * {per_unit}, {total})"),))
        return (view.with_args(made, {tiles: total, **dict(zip(sizes, texts, strict=False))}),)

    return view.edited(whole, parameters=[tiles, *sizes], launches=launched, tunables={per_unit: _PER_UNIT})


def _place(tile: str, sizes: list[str], axis: int) -> str:
    """One coordinate of a tile; the last is bounded too, though it need not be: this says how far it goes."""
    if not sizes:
        return tile
    below = "".join(f" // {size}" for size in sizes[:axis])
    return f"{tile}{below} % {sizes[axis]}"


def _with_tile(view: TritonView, call: cst.Call, place: str) -> Edit:
    """`place` for a program's id; as a tensor where a method of it is called."""
    parent = view.parents[call]
    holder = view.parents[parent]
    is_method = isinstance(parent, cst.Attribute) and parent.attr.value == "to"
    if is_method and isinstance(holder, cst.Call) and len(holder.args) == 1:
        return Edit(holder, text=f"tl.cast({place}, {view.text(holder.args[0].value)})")
    return Edit(call, text=place)
