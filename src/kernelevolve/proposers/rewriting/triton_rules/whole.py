"""A row that fits in one block is loaded once, and its loops become straight code."""

from __future__ import annotations

__all__ = ["single_pass"]

from collections.abc import Iterator, Sequence
from functools import partial

import libcst as cst
from attrs import frozen

from kernelevolve.kernel import Kernel, Launch
from kernelevolve.proposers.rewriting.python_edits import Edit, Statement, block_of, indented
from kernelevolve.proposers.rewriting.python_flow import Kind
from kernelevolve.proposers.rewriting.triton_rules.accesses import Access
from kernelevolve.proposers.rewriting.triton_rules.bounds import header_text
from kernelevolve.proposers.rewriting.triton_rules.forms import ZERO, Atom, Form
from kernelevolve.proposers.rewriting.triton_rules.headers import Fitting, fitted, fitting
from kernelevolve.proposers.rewriting.triton_rules.loops import always_runs, carried, trips
from kernelevolve.proposers.rewriting.triton_rules.view import Loop, TritonView, tried
from kernelevolve.proposers.rewriting.view import Site


@frozen(eq=False)
class _Region:
    """Loops over the same blocks in one list of statements, with what stands between them."""

    statements: tuple[Statement, ...]
    loops: tuple[Loop, ...]
    #: The size and the width of the blocks, as expressions of the header.
    size: str
    width: str
    #: Loads that read the same elements, for each set of them with more than one.
    shared: tuple[tuple[Access, ...], ...]


def single_pass(view: TritonView) -> Iterator[Site]:
    """Straight code that loads each element once, for sizes that one block covers; the loops stay for larger ones."""
    for region in _regions(view):
        note = f"{region.size} in one block where it fits"
        yield from tried(f"{note}, {region.width} as it is", partial(_straight, view, region))
        for found in fitting(view):
            if (found.size, found.tunable) == (region.size, region.width):
                yield from tried(
                    f"{note}, {region.width} follows it", partial(_straight_and_fitted, view, region, found)
                )


def _regions(view: TritonView) -> Iterator[_Region]:
    for statements in _blocks(view):
        kinds: dict[tuple[Form, Form], list[Loop]] = {}
        for loop in (view.loop(one) for one in statements):
            bounds = None if loop is None else trips(view, loop)
            if loop is not None and bounds is not None and always_runs(view, loop) and _is_whole(view, loop):
                kinds.setdefault(bounds[1:], []).append(loop)
        for (stop, step), loops in kinds.items():
            size, width = header_text(stop), header_text(step)
            first, last = statements.index(loops[0].node), statements.index(loops[-1].node)
            region = statements[first : last + 1]
            effects = view.memory.effects(*region)
            if size is None or width is None or effects.opaque or effects.jumps or step.constant is not None:
                continue
            if _has_flag(view, f"{size} <= {width}"):
                continue
            shared = tuple(_shared(view, region, loops))
            if shared:
                yield _Region(region, tuple(loops), size, width, shared)


def _has_flag(view: TritonView, text: str) -> bool:
    return any(one.text == text for launch in view.launches for one in launch.args.values())


def _blocks(view: TritonView) -> Iterator[tuple[Statement, ...]]:
    yield view.body
    for node in view.find(cst.IndentedBlock):
        yield block_of(node)


def _is_whole(view: TritonView, loop: Loop) -> bool:
    """Whether nothing after the loop reads its counter."""
    return not any(one.kind is Kind.INDEX for one in carried(view, loop.node).others)


def _shared(view: TritonView, region: Sequence[Statement], loops: Sequence[Loop]) -> Iterator[tuple[Access, ...]]:
    """Loads that every run of the straight code makes, by what they read."""
    counters = {one for loop in loops for one in view.flow.made[loop.node] if one.kind is Kind.INDEX}
    labels = {form.atom.label for one in counters for use in one.uses if (form := view.indices.form(use)) and form.atom}
    blocks = {view.parents[region[0]], *(loop.node.body for loop in loops)}

    def at_zero(atom: Atom) -> Form | None:
        return ZERO if atom.kind == "index" and atom.label in labels else None

    found: dict[object, list[Access]] = {}
    for access in view.memory.effects(*region).loads:
        if access.address is None or view.parents[view.statement(access.call)] not in blocks:
            continue
        known = list(view.indices.conditions(access.mask)) if access.mask is not None else []
        conditions = [one.replaced(at_zero) for one in known if one is not None]
        whole = len(conditions) == len(known) and view.memory.is_read_only(access.root)
        simple = all(one.keyword is None or one.keyword.value in ("mask", "other") for one in access.call.args)
        always = not any(isinstance(one, cst.IfExp) for one in view.around(access.call))
        if whole and simple and always:
            key = (access.root, access.address.offset.replaced(at_zero), frozenset(conditions))
            found.setdefault(key, []).append(access)
    for alike in found.values():
        if len(alike) > 1:
            yield tuple(alike)


def _straight_text(view: TritonView, region: _Region) -> str:
    edits: list[Edit] = []
    taken: set[str] = set()
    for alike in region.shared:
        name = view.fresh(f"{alike[0].root}_row")
        while name in taken:
            name = f"{name}_"
        taken.add(name)
        first = alike[0]
        edits.append(Edit(view.statement(first.call), before=f"{name} = {view.text(first.call)}\n"))
        edits.append(Edit(first.call, text=name))
        edits += [Edit(one.call, text=_again(view, name, first, one)) for one in alike[1:]]
    loops: dict[cst.CSTNode, Loop] = {loop.node: loop for loop in region.loops}
    text = ""
    for one in region.statements:
        loop = loops.get(one)
        if loop is not None:
            text += f"{loop.variable} = 0\n" + view.lines(loop.body, edits)
        else:
            text += view.lines([one], edits)
    return text


def _again(view: TritonView, name: str, first: Access, one: Access) -> str:
    """What a load gives, from what an earlier one gave: they differ at most in what stands for masked elements."""
    if one.other is None or one.mask is None:
        return name
    if first.other is not None and view.flat(first.other) == view.flat(one.other):
        return name
    return f"tl.where({view.text(one.mask)}, {name}, {view.text(one.other)})"


def _straight(view: TritonView, region: _Region) -> Kernel:
    flag = view.fresh("ONE_BLOCK")
    text = f"if {flag}:\n{indented(_straight_text(view, region))}else:\n{indented(view.lines(region.statements))}"
    first, *rest = region.statements

    def launched(launch: Launch) -> tuple[Launch, ...]:
        return (view.with_args(launch, {flag: f"{region.size} <= {region.width}"}),)

    edits = [Edit(first, text=text), *(Edit(one, text="") for one in rest)]
    return view.edited(edits, parameters=[f"{flag}: tl.constexpr"], launches=launched)


def _straight_and_fitted(view: TritonView, region: _Region, found: Fitting) -> Kernel:
    return fitted(view, _straight(view, region), found)
