"""Rewrites that take work out of loops: loads that are the same each turn, addresses that only move on."""

from __future__ import annotations

__all__ = ["hoist", "walk_pointers"]

from collections.abc import Iterator
from functools import partial

import libcst as cst
from attrs import frozen

from kernelevolve.kernel import Kernel
from kernelevolve.proposers.rewriting.python_edits import Edit, atomic, indented, names_in
from kernelevolve.proposers.rewriting.python_flow import Definition, Kind
from kernelevolve.proposers.rewriting.triton_rules.accesses import Access
from kernelevolve.proposers.rewriting.triton_rules.forms import ONE, ZERO
from kernelevolve.proposers.rewriting.triton_rules.loops import always_runs, trips
from kernelevolve.proposers.rewriting.triton_rules.view import Loop, TritonView, is_static
from kernelevolve.proposers.rewriting.view import Site

_MAX_DEPTH = 12


@frozen(eq=False)
class _Moved:
    """An expression of a loop's body as code for the place before the loop."""

    text: str
    #: The loads in it, those that were written out for the body's own variables included.
    loads: tuple[Access, ...]

    def stays_right(self, view: TritonView, loop: Loop) -> bool:
        """Whether each load gives there what it gives in every turn, and reaches nothing that no turn would."""
        inside = all(load.mask is not None for load in self.loads) or always_runs(view, loop)
        return inside and all(view.memory.is_read_only(load.root) for load in self.loads)


def _outside(
    view: TritonView, node: cst.BaseExpression, loop: Loop, index: str | None, depth: int = 0
) -> _Moved | None:
    """`node`, an expression of the loop's body, for the place before the loop.

    The body's own variables are written out, and its counter is `index`; None where the value depends on what a turn
    leaves, or on the counter where `index` is None.
    """
    if depth > _MAX_DEPTH:
        return None
    edits: list[Edit] = []
    loads = list(view.memory.effects(node).loads)
    for name in names_in(node):
        definition = view.flow.of(name)
        if definition is None or not _is_inside(definition, loop):
            continue
        text = index if definition.kind is Kind.INDEX and definition.node is loop.node else None
        if definition.kind is Kind.VALUE and definition.value is not None:
            moved = _outside(view, definition.value, loop, index, depth + 1)
            if moved is not None:
                text = moved.text
                loads += moved.loads
        if text is None:
            return None
        edits.append(Edit(name, text=text))
    if not edits:
        return _Moved(view.text(node), tuple(loads))
    whole = edits[0].text if isinstance(node, cst.Name) else view.changed(node, edits)
    assert whole is not None  # every edit made here has a text
    return _Moved(whole, tuple(loads))


def _is_inside(definition: Definition, loop: Loop) -> bool:
    return definition.node is loop.node or loop.node in definition.loops


@frozen(eq=False)
class _Fixed:
    """Loads that are the same each turn of a loop: one, or a choice of the compiler's between two."""

    node: cst.BaseExpression
    accesses: tuple[Access, ...]
    #: The branches of the compiler's around it, inside the loop, the outermost first: a test, and which side.
    branches: tuple[str, ...]
    #: The load as code for the place before the loop.
    text: str


def hoist(view: TritonView) -> Iterator[Site]:
    """Load before a loop what is the same each turn."""
    for loop in view.loops:
        found = [one for node in _candidates(view, loop) if (one := _fixed(view, loop, node)) is not None]
        if found:
            roots = ", ".join(sorted({str(access.root) for one in found for access in one.accesses}))
            note = f"load {roots} before the loop over {view.text(loop.stop)[:40]}"
            yield Site(note, partial(_hoisted, view, loop, found))


def _candidates(view: TritonView, loop: Loop) -> Iterator[cst.BaseExpression]:
    """Loads of the loop's body, and choices that the compiler makes between loads."""
    chosen: set[cst.CSTNode] = set()
    for access in view.memory.effects(*loop.body).loads:
        outer = next((one for one in view.around(access.call) if isinstance(one, cst.IfExp)), None)
        node = access.call if outer is None else outer
        if node not in chosen:
            chosen.add(node)
            yield node


def _fixed(view: TritonView, loop: Loop, node: cst.BaseExpression) -> _Fixed | None:
    branches: list[str] = []
    inner: cst.CSTNode = node
    for one in view.around(node):
        if one is loop.node:
            break
        if isinstance(one, cst.If):
            if not is_static(view, one):
                return None
            test = view.text(one.test)
            branches.insert(0, test if inner is one.body else f"not ({test})")
        elif isinstance(one, cst.IfExp | cst.For | cst.While):
            return None
        inner = one
    accesses = view.memory.effects(node).loads
    if isinstance(node, cst.IfExp) and not (is_static(view, node) and {node.body, node.orelse} <= _calls(accesses)):
        return None
    moved = _outside(view, node, loop, None) if accesses else None
    if moved is None or not moved.stays_right(view, loop):
        return None
    return _Fixed(node, accesses, tuple(branches), moved.text)


def _calls(accesses: tuple[Access, ...]) -> set[cst.CSTNode]:
    return {access.call for access in accesses}


def _hoisted(view: TritonView, loop: Loop, found: list[_Fixed]) -> Kernel:
    edits, before = [], ""
    names: dict[tuple[str, tuple[str, ...]], str] = {}
    for one in found:
        key = (one.text, one.branches)
        if key not in names:
            name = view.fresh(f"{one.accesses[0].root}_kept")
            while name in names.values():
                name += "_"
            names[key] = name
            line = f"{name} = {one.text}\n"
            for test in reversed(one.branches):
                line = f"if {test}:\n{indented(line)}"
            before += line
        edits.append(Edit(one.node, text=names[key]))
    return view.edited([Edit(loop.node, before=before), *edits])


@frozen(eq=False)
class _Walk:
    """A pointer that moves by the same amount each turn."""

    access: Access
    #: Where it points in the first turn, and what each turn adds.
    start: str
    step: str


def walk_pointers(view: TritonView) -> Iterator[Site]:
    """Pointers that move on each turn, in place of addresses computed each turn."""
    for loop in view.loops:
        effects = view.memory.effects(*loop.body)
        walks = [walk for access in effects.loads if (walk := _walk(view, loop, access)) is not None]
        if walks and not effects.jumps:
            roots = ", ".join(sorted({str(walk.access.root) for walk in walks}))
            note = f"pointers into {roots} that move with the loop over {view.text(loop.stop)[:40]}"
            yield Site(note, partial(_walked, view, loop, walks))


def _walk(view: TritonView, loop: Loop, access: Access) -> _Walk | None:
    bounds = trips(view, loop)
    counters = [one for one in view.flow.made[loop.node] if one.kind is Kind.INDEX]
    if bounds is None or access.address is None or not counters[0].uses or isinstance(access.pointer, cst.Name):
        return None
    if view.parents[view.statement(access.call)] is not loop.node.body:
        return None
    index = view.indices.form(counters[0].uses[0])
    parts = None if index is None or index.atom is None else access.address.offset.split(index.atom)
    if parts is None or parts[0] == ZERO or parts[0].is_tensor or any(leaf.kind != "name" for leaf in parts[0].leaves):
        return None
    moved = parts[0] * bounds[2]
    scale, width = view.form_text(parts[0]), "" if loop.step is None else view.text(loop.step)
    start = _outside(view, access.pointer, loop, "0" if loop.start is None else atomic(view.text(loop.start)))
    if scale is None or start is None or not start.stays_right(view, loop):
        return None
    # In 64 bits: a row of a wide matrix times a block of rows may not fit in 32.
    wide = [] if parts[0] == ONE else [scale if parts[0].constant is not None else f"tl.cast({scale}, tl.int64)"]
    step = " * ".join([*wide, *([atomic(width)] if width else [])]) or "1"
    return _Walk(access, start.text, str(moved.constant) if moved.constant is not None else step)


def _walked(view: TritonView, loop: Loop, walks: list[_Walk]) -> Kernel:
    edits: list[Edit] = []
    before, after = "", ""
    taken: set[str] = set()
    for walk in walks:
        name = view.fresh(f"{walk.access.root}_at")
        while name in taken:
            name += "_"
        taken.add(name)
        before += f"{name} = {walk.start}\n"
        after += f"{name} += {walk.step}\n"
        edits.append(Edit(walk.access.pointer, text=name))
    return view.edited([Edit(loop.node, before=before), Edit(loop.body[-1], after=after), *edits])
