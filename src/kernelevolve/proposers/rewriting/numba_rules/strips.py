"""Rewrites of counted loops: several turns at once, with their loads together or with sums of their own."""

from __future__ import annotations

__all__ = ["accumulators", "batch", "consecutive", "unroll"]

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

import libcst as cst
from attrs import frozen

from kernelevolve.kernel import Kernel
from kernelevolve.proposers.rewriting.numba_rules.effects import call_name
from kernelevolve.proposers.rewriting.numba_rules.kinds import kind_of
from kernelevolve.proposers.rewriting.numba_rules.loads import Load, loads_of
from kernelevolve.proposers.rewriting.numba_rules.trees import trees
from kernelevolve.proposers.rewriting.numba_rules.varying import is_uniform, runs_uniformly
from kernelevolve.proposers.rewriting.numba_rules.view import Loop, NumbaView
from kernelevolve.proposers.rewriting.python_edits import Edit, atomic, indented, names_in, walk
from kernelevolve.proposers.rewriting.python_flow import Definition, Kind
from kernelevolve.proposers.rewriting.view import Site

_TURNS: Final = (4, 2, 8)
_LOADS: Final = (8, 4, 2, 16)
#: Statements of a body beyond which writing out turns makes no sense.
_LONGEST: Final = 24


def _is_plain(view: NumbaView, loop: Loop) -> bool:
    """Whether every turn runs, upwards, and does nothing but what is understood."""
    done = view.effects(*loop.body)
    leaves = [one for one in done.jumps if not isinstance(one, cst.Continue)]
    size = sum(isinstance(node, cst.SimpleStatementLine) for node in walk(loop.node))
    return not leaves and view.counts_up(loop) and size <= _LONGEST and view.is_counter_local(loop) and view.is_plain


def _is_strip(view: NumbaView, loop: Loop) -> bool:
    """Whether a loop is one that a rewrite made: over the turns of a strip, or over what a strip left."""
    return bool(view.values(loop.stop)) and loop.start in ("0", "1")


def _shown(loop: Loop) -> str:
    return f"the loop over {loop.variable} to {loop.stop}"


@frozen
class _Strip:
    """Code for several turns at once, then one by one for those that are left."""

    loop: Loop
    size: str
    base: str
    part: str

    @property
    def counter(self) -> str:
        step = "" if self.loop.step == "1" else f" * {atomic(self.loop.step)}"
        return f"{self.loop.variable} = {self.base} + {self.part}{step}\n"

    def code(self, before: str, turns: tuple[str, ...], after: str, left: str) -> str:
        """`turns` are the bodies of loops over the parts, run one after the other for each strip."""
        step = "" if self.loop.step == "1" else f" * {atomic(self.loop.step)}"
        inner = "".join(f"for {self.part} in range({self.size}):\n{indented(self.counter + turn)}" for turn in turns)
        stride = f"{self.base} += {self.size}{step}\n"
        return (
            f"{before}{self.base} = {self.loop.start}\n"
            f"while {self.base} + ({self.size} - 1){step} < {self.loop.stop}:\n{indented(inner + stride)}{after}"
            f"for {self.loop.variable} in range({self.base}, {self.loop.stop}, {self.loop.step}):\n{indented(left)}"
        )


def _strip(view: NumbaView, loop: Loop, size: str) -> _Strip:
    return _Strip(loop, size, view.fresh(f"{loop.variable}_base"), view.fresh("turn"))


def unroll(view: NumbaView) -> Iterator[Site]:
    """A constant number of turns at once."""
    for loop in view.loops:
        if _is_plain(view, loop) and not _is_strip(view, loop):
            yield Site(f"several turns at once of {_shown(loop)}", partial(_unrolled, view, loop))


def _unrolled(view: NumbaView, loop: Loop) -> Kernel:
    strip = _strip(view, loop, view.fresh("TURNS"))
    body = view.lines(loop.body)
    return view.edited([Edit(loop.node, text=strip.code("", (body,), "", body))], tunables={strip.size: _TURNS})


def batch(view: NumbaView) -> Iterator[Site]:
    """The loads of several turns first, so that they are on their way together."""
    for loop in view.loops:
        found = loads_of(view, loop)
        if found and _is_plain(view, loop) and not _is_strip(view, loop) and not view.effects(*loop.body).together:
            roots = ", ".join(sorted({load.array for load in found}))
            yield Site(f"load {roots} for several turns of {_shown(loop)}", partial(_batched, view, loop, found))


def _batched(view: NumbaView, loop: Loop, found: list[Load]) -> Kernel:
    strip = _strip(view, loop, view.fresh("AHEAD"))
    names: dict[str, str] = {}
    for load in found:
        names.setdefault(load.text, f"{view.fresh(f'{load.array}_ahead')}{'_' * len(names)}")
    first = {load.text: load for load in found}
    before = "".join(f"{name} = cuda.local.array({strip.size}, {first[text].dtype})\n" for text, name in names.items())
    filled = "".join(f"{name}[{strip.part}] = {text}\n" for text, name in names.items())
    edits = [Edit(load.node, text=f"{names[load.text]}[{strip.part}]") for load in found]
    code = strip.code("", (filled, view.lines(loop.body, edits)), "", view.lines(loop.body))
    return view.edited([Edit(loop.node, text=code), Edit(view.body[0], before=before)], tunables={strip.size: _LOADS})


@frozen(eq=False)
class _Reduction:
    """A variable that each turn of a loop only adds to, or takes the maximum with."""

    carried: Definition
    largest: bool
    kind: str
    #: Where the loop names it.
    nodes: tuple[cst.Name, ...]

    @property
    def name(self) -> str:
        return self.carried.name

    def joined(self, other: str) -> str:
        return f"{self.name} = max({self.name}, {other})\n" if self.largest else f"{self.name} += {other}\n"

    @property
    def start(self) -> str:
        return self.name if self.largest else f"{self.kind}(0)"


def _reductions(view: NumbaView, loop: Loop) -> list[_Reduction] | None:
    """What the turns of a loop leave to one another; None where one is no reduction."""
    found = []
    for one in view.flow.made.get(loop.node, ()):
        if one.kind is Kind.CARRIED and _outlives(one):
            made = _reduction(view, loop, one)
            if made is None:
                return None
            found.append(made)
    return found


def _outlives(carried: Definition) -> bool:
    """Whether a turn reads what came before it, or something reads it after the loop."""
    return carried.is_read


def _reduction(view: NumbaView, loop: Loop, carried: Definition) -> _Reduction | None:
    inside = set(walk(*loop.body))
    nodes = [name for name in names_in(*loop.body) if name.value == carried.name]
    updates = [
        one
        for one in view.flow.definitions
        if one.name == carried.name and one.node in inside and one.kind in (Kind.VALUE, Kind.AUGMENTED)
    ]
    covered: set[cst.Name] = set()
    largest: set[bool] = set()
    for one in updates:
        match one.node:
            case cst.AugAssign(target=cst.Name() as target, operator=cst.AddAssign()):
                covered.add(target)
                largest.add(False)
            case cst.Assign(
                targets=[cst.AssignTarget(target=cst.Name() as target)],
                value=cst.Call(args=[cst.Arg(value=cst.Name() as old), cst.Arg()]) as call,
            ) if call_name(call) == "max" and old.value == carried.name:
                covered |= {target, old}
                largest.add(True)
            case _:
                return None
    entry = carried.entry
    value = entry.value if entry is not None and entry.kind is Kind.VALUE else None
    kind = None if value is None else kind_of(view, value)
    if len(largest) != 1 or set(nodes) != covered or kind not in ("float32", "int"):
        return None
    if any(kind_of(view, one.value) != kind for one in updates if one.value is not None):
        return None
    return _Reduction(carried, largest.pop(), "int64" if kind == "int" else kind, tuple(nodes))


def accumulators(view: NumbaView) -> Iterator[Site]:
    """Several turns at once, each with a sum of its own, so that none waits for another."""
    for loop in view.loops:
        found = _reductions(view, loop)
        if found and _is_plain(view, loop) and not _is_strip(view, loop) and not view.effects(*loop.body).together:
            listed = ", ".join(one.name for one in found)
            yield Site(f"several of {listed} in {_shown(loop)}", partial(_accumulated, view, loop, found))


def _accumulated(view: NumbaView, loop: Loop, found: list[_Reduction]) -> Kernel:
    strip = _strip(view, loop, view.fresh("SUMS"))
    arrays = {one.name: view.fresh(f"{one.name}_parts") for one in found}
    declared = "".join(f"{arrays[one.name]} = cuda.local.array({strip.size}, {one.kind})\n" for one in found)
    cleared = "".join(f"{arrays[one.name]}[{strip.part}] = {one.start}\n" for one in found)
    joined = "".join(one.joined(f"{arrays[one.name]}[{strip.part}]") for one in found)
    over = f"for {strip.part} in range({strip.size}):\n"
    edits = [Edit(node, text=f"{arrays[one.name]}[{strip.part}]") for one in found for node in one.nodes]
    body = view.lines(loop.body, edits)
    code = strip.code(over + indented(cleared), (body,), over + indented(joined), view.lines(loop.body))
    edits = [Edit(loop.node, text=code), Edit(view.body[0], before=declared)]
    return view.edited([*edits, *view.importing(*{one.kind for one in found})], tunables={strip.size: _TURNS})


def consecutive(view: NumbaView) -> Iterator[Site]:
    """Threads take neighbouring elements in place of every nth."""
    combined = {update.value: update.operation for tree in trees(view) for update in tree.updates}
    for loop in view.loops:
        found = _reductions(view, loop)
        done = view.effects(*loop.body)
        if found is None or not _is_plain(view, loop) or not view.is_strided(loop) or done.together:
            continue
        if _is_apart(view, loop) and all(_is_combined(one, combined) for one in found):
            yield Site(f"neighbouring elements in {_shown(loop)}", partial(_consecutive, view, loop))


def _is_apart(view: NumbaView, loop: Loop) -> bool:
    """Whether it does not matter which thread takes which element: for nothing that is read, and nothing written."""
    inside = set(walk(loop.node))
    done = view.effects(*loop.body)
    elsewhere = [one for one in view.whole.stores if one not in inside]
    again = {one.value.value for one in elsewhere if isinstance(one.value, cst.Name)} | view.whole.loaded
    outer = [name for name in names_in(*loop.body) if _is_from_outside(view, loop, name)]
    asks = any(
        isinstance(node, cst.Attribute) and node.attr.value in ("threadIdx", "laneid") for node in walk(*loop.body)
    )
    return (
        not (done.stored | done.loaded) & set(view.arrays)
        and not done.stored & again
        and all(is_uniform(view, name) for name in outer)
        and not asks
        and runs_uniformly(view, loop.node)
    )


def _is_from_outside(view: NumbaView, loop: Loop, name: cst.Name) -> bool:
    seen = view.flow.of(name)
    return seen is not None and seen.node is not loop.node and loop.node not in seen.loops


def _is_combined(one: _Reduction, combined: Mapping[cst.BaseExpression, str]) -> bool:
    """Whether all that is done with what a thread found is to combine it with what the others did, the same way."""
    inside = set(one.nodes)
    later = [use for use in one.carried.uses if use not in inside]
    flows = [other for other in one.carried.into if other.node is not one.carried.node and other.is_read]
    operation = "max" if one.largest else "+"
    return not flows and all(combined.get(use) == operation for use in later)


def _consecutive(view: NumbaView, loop: Loop) -> Kernel:
    width, base, part = view.fresh("WIDTH"), view.fresh(f"{loop.variable}_base"), view.fresh("part")
    inner = f"{loop.variable} = {base} + {part}\nif {loop.variable} < {loop.stop}:\n{indented(view.lines(loop.body))}"
    head = f"for {base} in range({atomic(loop.start)} * {width}, {loop.stop}, {atomic(loop.step)} * {width}):\n"
    code = head + indented(f"for {part} in range({width}):\n{indented(inner)}")
    return view.edited([Edit(loop.node, text=code)], tunables={width: _TURNS})
