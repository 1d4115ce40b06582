"""Rewrites that walk memory less often: loops that are joined, and results that are kept instead of computed again."""

from __future__ import annotations

__all__ = ["fuse", "online_softmax", "reuse_output"]

import re
import textwrap
from collections.abc import Iterator
from functools import partial
from typing import Final

from attrs import frozen
from tree_sitter import Node

from kernelevolve.kernel import Kernel
from kernelevolve.proposers.rewriting.analysis import effects, identifiers, squeeze
from kernelevolve.proposers.rewriting.reductions import Reduction, contiguous, reductions, renamed
from kernelevolve.proposers.rewriting.view import Edit, Loop, Site, View

_EXPONENTIALS: Final = frozenset({"exp", "native_exp", "half_exp"})


@frozen
class _Pair:
    """Two loops over the same range, the second after the first, with only declarations between."""

    first: Loop
    second: Loop
    between: tuple[Node, ...]


def _pairs(view: View) -> Iterator[_Pair]:
    for first in view.loops():
        between: list[Node] = []
        node = first.node.next_named_sibling
        while node is not None and node.type == "declaration":
            between.append(node)
            node = node.next_named_sibling
        second = None if node is None else view.loop(node)
        if second is not None and _same_range(first, second):
            yield _Pair(first, second, tuple(between))


def _same_range(first: Loop, second: Loop) -> bool:
    bounds = [(squeeze(loop.start), squeeze(loop.stop), squeeze(loop.step)) for loop in (first, second)]
    return bounds[0] == bounds[1]


def fuse(view: View) -> Iterator[Site]:
    """One loop in place of two over the same range, where neither needs what the other leaves."""
    for pair in _pairs(view):
        if _independent(view, pair):
            note = f"fuse the loops over {pair.first.variable} and {pair.second.variable}"
            yield Site(note, partial(_fused, view, pair))


def _independent(view: View, pair: _Pair) -> bool:
    one, two = pair.first.effects, pair.second.effects
    if not (pair.first.plain and pair.second.plain) or view.aliased(one, two):
        return False
    names = {
        variable: set(identifiers(view.source, loop.body)) for variable, loop in (("1", pair.first), ("2", pair.second))
    }
    if one.written & names["2"] or two.written & names["1"]:
        return False
    gap = effects(view.source, *pair.between)
    read = {name for node in pair.between for name in identifiers(view.source, node)}
    if gap.opaque or gap.written or gap.loads or read & one.written:
        return False
    to_first = {pair.second.variable: pair.first.variable}
    for array in one.stored | two.stored:
        mine = {a.index for a in (*one.loads, *one.stores) if a.array == array}
        other = {_swap(a.index, to_first) for a in (*two.loads, *two.stores) if a.array == array}
        if mine and other and (len(mine | other) != 1 or pair.first.variable not in next(iter(mine))):
            return False
    return True


def _swap(index: str, names: dict[str, str]) -> str:
    return re.sub(r"[A-Za-z_]\w*", lambda match: names.get(match[0], match[0]), index)


def _fused(view: View, pair: _Pair) -> Kernel:
    first = textwrap.indent(view.inside(pair.first.body), "  ")
    body = renamed(view, pair.second.body, {pair.second.variable: pair.first.variable})
    second = textwrap.indent(body, "    ")
    gap = "".join(view.of(node) + "\n" for node in pair.between)
    text = f"{gap}{pair.first.header} {{\n{first}\n  {{\n{second}\n  }}\n}}"
    return view.edited([_over(view, pair, text)])


def _over(view: View, pair: _Pair, text: str) -> Edit:
    return Edit(view.source.start(pair.first.node), pair.second.node.end_byte, view.indented(pair.first.node, text))


def online_softmax(view: View) -> Iterator[Site]:
    """The maximum and the sum of exponentials in one pass, the sum rescaled whenever the maximum grows.

    Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018.
    """
    for pair in _pairs(view):
        found = _softmax(view, pair)
        if found is not None:
            for branch in (True, False):
                how = "with a branch" if branch else "without a branch"
                note = f"one pass for {found.top.variable} and {found.total.variable}, {how}"
                yield Site(note, partial(_online, view, found, branch=branch))


@frozen
class _Softmax:
    pair: _Pair
    top: Reduction
    total: Reduction
    exponential: str


def _softmax(view: View, pair: _Pair) -> _Softmax | None:
    one, two = reductions(view, pair.first), reductions(view, pair.second)
    if not one or not two or len(one) != 1 or len(two) != 1 or pair.first.effects.stores or pair.second.effects.stores:
        return None
    top, total = one[0], two[0]
    if top.operator not in ("fmax", "max") or total.operator != "+" or {top.type, total.type} != {"float"}:
        return None
    term = _inlined(view, pair.second, total.term)
    wanted = f"({_inlined(view, pair.first, top.term)})-{top.variable}"
    for name in _EXPONENTIALS:
        bare = _swap(term, {pair.second.variable: pair.first.variable})
        if _flat(bare) == _flat(f"{name}({wanted})"):
            return _Softmax(pair, top, total, name) if _starts_at_zero(view, pair, total.variable) else None
    return None


def _flat(text: str) -> str:
    return squeeze(text).replace("(", "").replace(")", "")


def _inlined(view: View, loop: Loop, node: Node) -> str:
    """`node` with the loop's own variables replaced by what they were declared as."""
    values: dict[str, str] = {}
    for declaration in view.find("init_declarator", under=loop.body):
        name, value = declaration.child_by_field_name("declarator"), declaration.child_by_field_name("value")
        if name is not None and value is not None and name.type == "identifier":
            values[view.of(name)] = f"({renamed(view, value, values)})"
    return renamed(view, node, values)


def _starts_at_zero(view: View, pair: _Pair, variable: str) -> bool:
    for node in view.find("init_declarator"):
        name, value = node.child_by_field_name("declarator"), node.child_by_field_name("value")
        if name is not None and value is not None and view.of(name) == variable:
            untouched = variable not in pair.first.effects.written
            return untouched and view.of(value) in ("0", "0.0f", "0.f", "0.0")
    return False


def _online(view: View, found: _Softmax, *, branch: bool) -> Kernel:
    m, s, exponential = found.top.variable, found.total.variable, found.exponential
    value, top = view.fresh("value"), view.fresh("top")
    lines = [f"const float {value} = {_inlined(view, found.pair.first, found.top.term)};"]
    if branch:
        lines += [
            f"if ({value} > {m}) {{",
            f"  {s} = {s} * {exponential}({m} - {value}) + 1.0f;",
            f"  {m} = {value};",
            "} else {",
            f"  {s} += {exponential}({value} - {m});",
            "}",
        ]
    else:
        lines += [
            f"const float {top} = fmax({m}, {value});",
            f"{s} = {s} * {exponential}({m} - {top}) + {exponential}({value} - {top});",
            f"{m} = {top};",
        ]
    body = textwrap.indent("\n".join(lines), "  ")
    gap = "".join(view.of(node) + "\n" for node in found.pair.between)
    text = f"{gap}{found.pair.first.header} {{\n{body}\n}}"
    return view.edited([_over(view, found.pair, text)])


def reuse_output(view: View) -> Iterator[Site]:
    """Keep a costly value in the output while reducing, and read it back instead of computing it again."""
    loops = [loop for loop in view.loops() if reductions(view, loop) is not None]
    for index, first in enumerate(loops):
        for second in loops[index + 1 :]:
            if first.node.parent == second.node.parent and _same_range(first, second):
                yield from _reusable(view, first, second)


def _reusable(view: View, first: Loop, second: Loop) -> Iterator[Site]:
    stores = [node for node in view.find("assignment_expression", under=second.body) if _is_store(view, node, second)]
    if len(stores) != 1 or first.effects.stores:
        return
    target = stores[0].named_children[0]
    array = view.of(target.named_children[0])
    touched = [view.roots.get(access.array, access.array) for access in (*view.effects.stores, *view.effects.loads)]
    if touched.count(array) != 1:
        return
    if array not in view.parameters or not _visible(view, target, first, second):
        return
    changed = _written_between(view, first, second)
    for call in view.find("call_expression", under=second.body):
        wanted = _swap(squeeze(view.of(call)), {second.variable: first.variable})
        twins = [node for node in view.find("call_expression", under=first.body) if squeeze(view.of(node)) == wanted]
        stable = not (changed & set(identifiers(view.source, call)))
        if (
            len(twins) == 1
            and stable
            and view.names.type_of(call) == "float"
            and _statement(view, twins[0]) is not None
        ):
            note = f"keep {view.of(twins[0])[:40]} in {array}"
            yield Site(note, partial(_kept, view, first, second, twins[0], call, target))


def _visible(view: View, target: Node, first: Loop, second: Loop) -> bool:
    """Whether all that the index of `target` needs is declared before the first loop."""
    needed = set(identifiers(view.source, target)) - {second.variable}
    later = effects(
        view.source, *(node for node in view.find("declaration") if node.start_byte > first.node.start_byte)
    )
    return not needed & later.declared


def _is_store(view: View, node: Node, loop: Loop) -> bool:
    target = node.named_children[0]
    if target.type != "subscript_expression":
        return False
    index = target.child_by_field_name("index")
    return index is not None and contiguous(view.source, index, loop.variable)


def _written_between(view: View, first: Loop, second: Loop) -> set[str]:
    changed = set(first.effects.written | second.effects.written)
    node = first.node.next_named_sibling
    while node is not None and node != second.node:
        changed |= effects(view.source, node).written
        node = node.next_named_sibling
    return changed | set(first.effects.declared | second.effects.declared)


def _statement(view: View, node: Node) -> Node | None:
    """The statement in a block that holds `node`."""
    inner: Node | None = node
    while inner is not None and inner.parent is not None and inner.parent.type != "compound_statement":
        inner = inner.parent
    return None if inner is None or inner.start_byte < view.body.start_byte else inner


def _kept(view: View, first: Loop, second: Loop, twin: Node, call: Node, target: Node) -> Kernel:
    kept, statement = view.fresh("kept"), _statement(view, twin)
    assert statement is not None
    place = renamed(view, target, {second.variable: first.variable})
    if statement.start_byte < first.body.start_byte:  # the loop's body has no braces
        body = view.of(first.body)
        at = twin.start_byte - first.body.start_byte
        changed = body[:at] + kept + body[at + len(view.of(twin)) :]
        text = f"{{ const float {kept} = {view.of(twin)}; {place} = {kept}; {changed} }}"
        edits = [Edit(first.body.start_byte, first.body.end_byte, text)]
    else:
        text = f"const float {kept} = {view.of(twin)};\n{place} = {kept};"
        edits = [view.before(statement, text), Edit(twin.start_byte, twin.end_byte, kept)]
    edits.append(Edit(call.start_byte, call.end_byte, f"(float){view.of(target)}"))
    return view.edited(edits)
