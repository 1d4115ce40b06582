"""Read a row once: what the first pass of a block loads stays in registers or in shared memory for the others."""

from __future__ import annotations

__all__ = ["keep_in_registers", "keep_in_shared"]

from collections.abc import Iterator
from functools import partial
from typing import Final

import libcst as cst
from attrs import frozen

from kernelevolve.kernel import Kernel
from kernelevolve.proposers.rewriting.numba_rules.loads import Load, loads_of
from kernelevolve.proposers.rewriting.numba_rules.view import Loop, NumbaView
from kernelevolve.proposers.rewriting.python_edits import Edit, atomic, indented, names_in
from kernelevolve.proposers.rewriting.view import Site

_ITEMS: Final = (8, 4, 16, 2)
#: Elements of 4 bytes that the static shared memory of a block holds, with room left for what it has (CUDA: 48 KiB).
_MOST_SHARED: Final = 8192


@frozen(eq=False)
class _Pass:
    """A loop over a row, and its loads of one expression."""

    loop: Loop
    loads: tuple[Load, ...]


def _passes(view: NumbaView) -> Iterator[tuple[str, tuple[_Pass, ...]]]:
    """By expression: the loops of one block that load it, two or more, which share out the same elements alike."""
    found: dict[tuple[str, cst.CSTNode, str, str, str], list[_Pass]] = {}
    for loop in view.loops:
        done = view.effects(*loop.body)
        if not view.is_strided(loop) or done.jumps or done.together or not view.is_counter_local(loop):
            continue
        loads: dict[str, list[Load]] = {}
        for load in loads_of(view, loop):
            loads.setdefault(_shape(view, loop, load), []).append(load)
        for shape, listed in loads.items():
            key = (shape, view.parents[loop.node], loop.start, loop.stop, loop.step)
            found.setdefault(key, []).append(_Pass(loop, tuple(listed)))
    for key, passes in found.items():
        first = passes[0]
        same = [
            one
            for one in passes
            if all(view.flow.means_the_same(name, first.loop.node) for name in _without_counter(one))
            and view.flow.means_the_same(one.loop.node.iter, first.loop.node)
        ]
        if len(same) > 1 and view.is_plain and not view.is_inside_loop(first.loop.node):
            yield key[0], tuple(same)


def _without_counter(one: _Pass) -> Iterator[cst.Name]:
    """The names of the loads beside the loop's counter."""
    for load in one.loads:
        for name in names_in(load.node):
            if name.value != one.loop.variable:
                yield name


def _shape(view: NumbaView, loop: Loop, load: Load) -> str:
    edits = [Edit(name, text="_i") for name in names_in(load.node) if name.value == loop.variable]
    return "".join(view.changed(load.node, edits).split())


def keep_in_registers(view: NumbaView) -> Iterator[Site]:
    """The first elements of a row that a thread reads stay in its registers; a longer row is read again from there."""
    for _, passes in _passes(view):
        load = passes[0].loads[0]
        yield Site(f"keep {load.text} in registers for {len(passes)} passes", partial(_registers, view, passes))


def _registers(view: NumbaView, passes: tuple[_Pass, ...]) -> Kernel:
    size, kept, item = view.fresh("ITEMS"), view.fresh(f"{passes[0].loads[0].array}_kept"), view.fresh("item")
    edits = [Edit(view.body[0], before=f"{kept} = cuda.local.array({size}, {passes[0].loads[0].dtype})\n")]
    for one in passes:
        loop = one.loop
        changes = [Edit(load.node, text=f"{kept}[{item}]") for load in one.loads]
        body = view.lines(loop.body, changes)
        if one is passes[0]:
            body = f"{kept}[{item}] = {one.loads[0].text}\n{body}"
        counted = f"{loop.variable} = {loop.start} + {item} * {atomic(loop.step)}\n"
        inner = f"{counted}if {loop.variable} < {loop.stop}:\n{indented(body)}"
        left = f"range({loop.start} + {size} * {atomic(loop.step)}, {loop.stop}, {loop.step})"
        rest = f"for {loop.variable} in {left}:\n{indented(view.lines(loop.body))}"
        edits.append(Edit(loop.node, text=f"for {item} in range({size}):\n{indented(inner)}{rest}"))
    return view.edited(edits, tunables={size: _ITEMS})


def keep_in_shared(view: NumbaView) -> Iterator[Site]:
    """The same in shared memory, where each thread reads back what it wrote, so that no barrier is needed."""
    values = view.values(view.threads or "")
    if not values:
        return
    for _, passes in _passes(view):
        load = passes[0].loads[0]
        yield Site(f"keep {load.text} in shared memory for {len(passes)} passes", partial(_shared, view, passes))


def _shared(view: NumbaView, passes: tuple[_Pass, ...]) -> Kernel:
    array = passes[0].loads[0].array
    size, kept, width = view.fresh("ITEMS"), view.fresh(f"{array}_kept"), view.fresh(f"{array.upper()}_KEPT")
    dtype = passes[0].loads[0].dtype
    edits = [Edit(view.body[0], before=f"{kept} = cuda.shared.array({width}, {dtype})\n")]
    edits.append(view.before_entry(f"{width} = {size} * {view.threads}\n"))
    for one in passes:
        loop = one.loop
        place = f"{kept}[{loop.variable}]"
        if one is passes[0]:
            value = view.fresh("element")
            filled = f"{value} = {one.loads[0].text}\nif {loop.variable} < {width}:\n    {place} = {value}\n"
            body = filled + view.lines(loop.body, [Edit(load.node, text=value) for load in one.loads])
        else:
            value = view.fresh("element")
            read = f"if {loop.variable} < {width}:\n    {value} = {place}\nelse:\n    {value} = {one.loads[0].text}\n"
            body = read + view.lines(loop.body, [Edit(load.node, text=value) for load in one.loads])
        edits.append(Edit(loop.node, text=f"for {loop.variable} in {view.text(loop.node.iter)}:\n{indented(body)}"))
    constraints = [f"{size} * {view.threads} <= {_MOST_SHARED}"]
    return view.edited(edits, tunables={size: _ITEMS}, constraints=constraints)
