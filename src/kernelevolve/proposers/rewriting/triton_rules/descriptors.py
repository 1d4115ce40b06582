"""Tensor descriptors in place of pointer arithmetic for tiles, which newer GPUs copy by hardware (TMA)."""

from __future__ import annotations

__all__ = ["descriptors"]

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Final

import libcst as cst
from attrs import field, frozen

from kernelevolve.expressions import Expression
from kernelevolve.kernel import Kernel, Launch
from kernelevolve.proposers.rewriting.python_edits import Edit, Statement, atomic, indented
from kernelevolve.proposers.rewriting.triton_rules.accesses import Access
from kernelevolve.proposers.rewriting.triton_rules.bounds import header_text
from kernelevolve.proposers.rewriting.triton_rules.forms import ONE, ZERO, Atom, Form
from kernelevolve.proposers.rewriting.triton_rules.view import TritonView, is_static, tried
from kernelevolve.proposers.rewriting.view import Site

#: Rows of a descriptor's tensor start at multiples of 16 bytes, so of 16 elements of any type.
_ALIGNMENT: Final = 16
#: The sides of a tile: at least 16 bytes of one-byte elements, and what the hardware copies at once.
_SMALLEST: Final = 16
_LARGEST: Final = 256


@frozen(eq=False)
class _Tile:
    """A load of a tile of a matrix."""

    access: Access = field(repr=False)
    #: Where the matrix starts, as code; empty: at the buffer's start.
    base: str
    rows: str
    cols: str
    #: The tile's first row and column, and its sides.
    row: str
    col: str
    height: str
    width: str
    #: Whether the entry takes the tile with its sides swapped.
    is_turned: bool
    #: The statement of the entry's own list that the load is part of: the descriptor is made before it.
    place: Statement
    #: What must hold for a descriptor to be allowed, as expressions of the header.
    needs: tuple[str, ...]


def descriptors(view: TritonView) -> Iterator[Site]:
    """Loads of tiles through descriptors, where rows are aligned, which is known when the kernel is compiled."""
    if any(view.called("tl.make_tensor_descriptor")) or view.memory.whole.jumps:
        return
    tiles = [tile for access in view.memory.whole.loads if (tile := _tile(view, access)) is not None]
    if tiles:
        roots = ", ".join(sorted({str(tile.access.root) for tile in tiles}))
        yield from tried(f"tiles of {roots} through descriptors", partial(_described, view, tiles))


def _tile(view: TritonView, access: Access) -> _Tile | None:
    value = view.types.of(access.pointer)
    plain = all(one.keyword is None or one.keyword.value in ("mask", "other") for one in access.call.args)
    if access.address is None or value is None or len(value.shape) != 2 or not plain:
        return None
    if not view.memory.is_read_only(access.root) or not _is_zero_filled(view, access):
        return None
    sizes = [view.size_text(size) for size in value.shape]
    needs = [None if size is None else _side(view, size) for size in sizes]
    offset = access.address.offset
    ranges = [_range(offset, dimension, size) for dimension, size in zip((-2, -1), value.shape, strict=True)]
    if ranges[0] is None or ranges[1] is None or None in needs:
        return None
    parts = [offset.split(atom) for atom in ranges if atom is not None]
    if parts[0] is None or parts[1] is None:
        return None
    is_turned = parts[0][0] == ONE != parts[1][0]
    order = (1, 0) if is_turned else (0, 1)
    row, col = (ranges[place] for place in order)
    strides = [parts[place] for place in order]
    if row is None or col is None or strides[0] is None or strides[1] is None or strides[1][0] != ONE:
        return None
    stride, rest = strides[0][0], strides[0][1] - Form((((col,), 1),))
    sides = (str(sizes[order[0]]), str(sizes[order[1]]))
    return _placed(
        view, access, stride, rest, (row, col), sides, is_turned=is_turned, needs=[str(one) for one in needs]
    )


def _is_zero_filled(view: TritonView, access: Access) -> bool:
    """Whether what lies outside is loaded as zero: descriptors do nothing else."""
    return access.other is None or view.flat(access.other) in ("0.0", "0.", "0")


def _side(view: TritonView, size: str) -> str | None:
    """What must hold for a side of a tile to be one that descriptors take; None where it never is, or is not known."""
    bound = None if size.isdigit() else view.binding(size)
    if isinstance(bound, Expression):
        return f"{_SMALLEST} <= {bound.text} <= {_LARGEST}"
    values = view.kernel.tunables.get(size, ()) if bound is not None else (int(size),)
    fits = all(isinstance(value, int) and _SMALLEST <= value <= _LARGEST for value in values)
    return "" if values and fits else None


def _range(offset: Form, dimension: int, size: Form) -> Atom | None:
    """The range along a dimension of the tile, where there is one and it is the only one."""
    found = {leaf for leaf in offset.leaves if leaf.dimension == dimension}
    only = found.pop() if len(found) == 1 else None
    return only if only is not None and only.kind == "arange" and only.args[0] == size else None


def _placed(
    view: TritonView,
    access: Access,
    stride: Form,
    rest: Form,
    ranges: tuple[Atom, Atom],
    sizes: tuple[str, str],
    *,
    is_turned: bool,
    needs: Iterable[str],
) -> _Tile | None:
    """The tile, where its masks say nothing but that its elements are inside of one matrix of the buffer."""
    if rest.is_tensor or stride.constant is not None or stride.is_tensor:
        return None
    bounds = _bounds(view, access, ranges)
    if bounds is None:
        return None
    (row, rows), (col, cols) = bounds
    base = rest - row * stride - col
    at = view.statement(access.call)
    # One that is the same for all programs is made first; another where what says which one has been computed.
    place = view.body[0] if base == ZERO else next(one for one in (at, *view.around(at)) if one in view.body)
    assert isinstance(place, Statement)
    there, here = view.indices.named(place), view.indices.named(at)
    outside = [_code(view, form, there, wide=form is base) for form in (base, rows, stride)]
    texts = [*outside, *(_code(view, form, here) for form in (row, col))]
    width = header_text(stride)
    if None in texts or width is None or cols != stride or any(not _has(term, stride) for term in base.terms):
        return None
    if base.mentions("index"):
        return None  # another matrix each turn of a loop
    start, *code = [str(text) for text in texts]
    aligned = f"{atomic(width)} % {_ALIGNMENT} == 0"
    return _Tile(
        access,
        base="" if base == ZERO else start,
        rows=code[0],
        cols=code[1],
        row=code[2],
        col=code[3],
        height=sizes[0],
        width=sizes[1],
        is_turned=is_turned,
        place=place,
        needs=tuple(one for one in (aligned, *needs) if one),
    )


def _has(term: tuple[tuple[Atom, ...], int], stride: Form) -> bool:
    return Form((term,)).divided(stride) is not None


def _bounds(
    view: TritonView, access: Access, ranges: tuple[Atom, Atom]
) -> tuple[tuple[Form, Form], tuple[Form, Form]] | None:
    """For rows and columns: where the tile starts, and where the matrix ends.

    Both must be masked and nothing else, since a descriptor leaves out just what is not in the matrix.
    """
    known = [] if access.mask is None else list(view.indices.conditions(access.mask))
    found: dict[Atom, tuple[Form, Form]] = {}
    for one in known:
        if one is None:
            return None
        for atom in ranges:
            parts = one.split(atom)
            if parts is None or parts[0].constant != -1 or parts[1].is_tensor:
                continue
            end = _axes(view, parts[1])
            if atom in found or end is None:
                return None
            found[atom] = (end - parts[1], end)
    if len(found) != 2 or len(known) != 2:
        return None
    return found[ranges[0]], found[ranges[1]]


def _axes(view: TritonView, form: Form) -> Form | None:
    """The part of a bound that is the size: the terms of axes alone."""
    axes = [term for term in form.terms if term[1] > 0 and all(_is_axis(view, atom) for atom in term[0]) and term[0]]
    return Form(tuple(axes)) if len(axes) == 1 else None


def _is_axis(view: TritonView, atom: Atom) -> bool:
    return atom.kind == "name" and atom.label in view.problem.axes


def _code(view: TritonView, form: Form, names: Mapping[Form, str], *, wide: bool = False) -> str | None:
    """A number as code, for a place where variables hold what `names` says; in 64 bits where it is `wide`."""
    if form in names and not wide:
        return names[form]
    terms = []
    for atoms, factor in form.terms:
        texts = [_atom(view, atom, names) for atom in atoms]
        known = [text for text in texts if text is not None]
        if len(known) != len(texts):
            return None
        if wide and known:
            known[0] = f"tl.cast({known[0]}, tl.int64)"
        terms.append(" * ".join([*([str(factor)] if factor != 1 or not known else []), *map(atomic, known)]))
    return " + ".join(terms) or "0"


def _atom(view: TritonView, atom: Atom, names: Mapping[Form, str]) -> str | None:
    alone = Form((((atom,), 1),))
    if alone in names:
        return names[alone]
    if atom.kind == "name":
        return view.form_text(alone)
    if atom.kind in ("pid", "index"):
        return atom.text
    parts = [_code(view, arg, names) for arg in atom.args]
    if len(parts) != 2 or parts[0] is None or parts[1] is None:
        return None
    if atom.kind in ("//", "%"):
        return f"{atomic(parts[0])} {atom.kind} {atomic(parts[1])}"
    functions = {"cdiv": "tl.cdiv", "min": "tl.minimum", "max": "tl.maximum"}
    return f"{functions[atom.kind]}({parts[0]}, {parts[1]})" if atom.kind in functions else None


def _whole(view: TritonView, access: Access) -> cst.BaseExpression:
    """The load, or the choice of the compiler's between it and the same load without a mask."""
    holder = view.parents[access.call]
    if isinstance(holder, cst.IfExp) and is_static(view, holder):
        loads = view.memory.effects(holder).loads
        calls = {one.call for one in loads}
        if {holder.body, holder.orelse} == calls and all(one.address == access.address for one in loads):
            return holder
    return access.call


def _described(view: TritonView, tiles: list[_Tile]) -> Kernel:
    flag = view.fresh("DESCRIPTORS")
    edits: list[Edit] = []
    made: dict[tuple[str, ...], str] = {}
    before: dict[Statement, str] = {}
    for tile in tiles:
        key = (str(tile.access.root), tile.base, tile.rows, tile.cols, tile.height, tile.width)
        if key not in made:
            name = view.fresh(f"{tile.access.root}_tiles")
            while name in made.values():
                name += "_"
            made[key] = name
            base = f"{tile.access.root} + {tile.base}" if tile.base else str(tile.access.root)
            before[tile.place] = before.get(tile.place, "") + (
                f"{name} = tl.make_tensor_descriptor({base}, shape=[{tile.rows}, {tile.cols}], "
                f"strides=[{tile.cols}, 1], block_shape=[{tile.height}, {tile.width}])\n"
            )
        load = f"{made[key]}.load([{tile.row}, {tile.col}])"
        load = f"tl.trans({load})" if tile.is_turned else load
        node = _whole(view, tile.access)
        edits.append(Edit(node, text=f"{load} if {flag} else {atomic(view.text(node))}"))
    edits += [Edit(place, before=f"if {flag}:\n{indented(text)}") for place, text in before.items()]
    condition = " and ".join(dict.fromkeys(text for tile in tiles for text in tile.needs))

    def launched(launch: Launch) -> tuple[Launch, ...]:
        return (view.with_args(launch, {flag: condition}),)

    return view.edited(edits, parameters=[f"{flag}: tl.constexpr"], launches=launched)
