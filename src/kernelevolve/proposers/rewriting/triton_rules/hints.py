"""Rewrites that tell the compiler or the caches more, and change nothing that is computed."""

from __future__ import annotations

__all__ = ["caching", "contiguous", "flatten_loops", "narrow", "pipeline", "unroll"]

from collections.abc import Iterator
from functools import partial
from typing import Final

import libcst as cst

from kernelevolve.kernel import Kernel, Launch, Value
from kernelevolve.proposers.rewriting.python_edits import Edit, atomic
from kernelevolve.proposers.rewriting.python_flow import Definition, Kind
from kernelevolve.proposers.rewriting.triton_rules.accesses import Access
from kernelevolve.proposers.rewriting.triton_rules.bounds import header_text, largest, loop_of
from kernelevolve.proposers.rewriting.triton_rules.calls import argument, call_name, keyword
from kernelevolve.proposers.rewriting.triton_rules.forms import Form
from kernelevolve.proposers.rewriting.triton_rules.loops import trips
from kernelevolve.proposers.rewriting.triton_rules.view import Loop, TritonView, tried
from kernelevolve.proposers.rewriting.view import Site

#: Policies of loads and stores, as the keyword that sets them.
_LOADS: Final = (
    ("eviction_policy", "evict_first"),
    ("eviction_policy", "evict_last"),
    ("cache_modifier", ".cg"),
)
_STORES: Final = (("eviction_policy", "evict_first"), ("cache_modifier", ".cs"), ("cache_modifier", ".cg"))
#: Functions whose result is an index as their argument is.
_KEEPING: Final = ("tl.multiple_of", "tl.max_contiguous", "tl.minimum", "tl.maximum", "tl.make_tensor_descriptor")
#: The largest index that 32 bits hold.
_LARGEST: Final = 2**31 - 1


def caching(view: TritonView) -> Iterator[Site]:
    """What the caches do with a buffer's elements: pass them on, keep them, leave out the first level."""
    whole = view.memory.whole
    for accesses, policies, word in ((whole.loads, _LOADS, "loads"), (whole.stores, _STORES, "stores")):
        for root in sorted({one.root for one in accesses if one.root is not None}):
            calls = [one.call for one in accesses if one.root == root and not _has_policy(one)]
            for key, policy in policies if calls else ():
                edits = [Edit(call, arguments={key: f'"{policy}"'}) for call in calls]
                yield Site(f"{policy} for {word} of {root}", partial(view.edited, edits))


def _has_policy(access: Access) -> bool:
    known = ("eviction_policy", "cache_modifier", "volatile")
    described = call_name(access.call) not in ("tl.load", "tl.store")
    return described or any(keyword(access.call, word) is not None for word in known)


def pipeline(view: TritonView) -> Iterator[Site]:
    """How many turns ahead a loop loads, chosen for that loop."""
    for loop in _optionable(view, "num_stages"):
        if view.memory.effects(*loop.body).loads:
            note = f"stages of the loop over {view.text(loop.stop)[:40]}"
            yield Site(note, partial(_with_option, view, loop, "num_stages", "STAGES", (3, 2, 4, 1)))


def unroll(view: TritonView) -> Iterator[Site]:
    """Several turns of a loop written out."""
    for loop in _optionable(view, "loop_unroll_factor"):
        note = f"unroll the loop over {view.text(loop.stop)[:40]}"
        yield Site(note, partial(_with_option, view, loop, "loop_unroll_factor", "UNROLL", (2, 4, 8, 1)))


def flatten_loops(view: TritonView) -> Iterator[Site]:
    """One loop of the compiler's for two nested ones, so that the inner one's loads start before the outer turn."""
    for loop in _optionable(view, "flatten"):
        inner = [one for one in view.loops if one.node is not loop.node and loop.node in view.around(one.node)]
        if len(inner) == 1 and inner[0].node in loop.body:
            note = f"flatten the loops over {view.text(loop.stop)[:40]} and {view.text(inner[0].stop)[:40]}"
            yield Site(note, partial(_with_option, view, loop, "flatten", "", (True,)))


def _optionable(view: TritonView, option: str) -> Iterator[Loop]:
    for loop in view.loops:
        if option not in loop.options and call_name(loop.call) in ("range", "tl.range"):
            yield loop


def _with_option(view: TritonView, loop: Loop, option: str, tunable: str, values: tuple[Value, ...]) -> Kernel:
    name = view.fresh(tunable) if tunable else "True"
    edits = [Edit(loop.call, arguments={option: name})]
    if call_name(loop.call) == "range":
        edits.append(Edit(loop.call.func, text="tl.range"))
    if not tunable:
        return view.edited(edits)
    return view.edited(edits, parameters=[f"{name}: tl.constexpr"], tunables={name: values})


def contiguous(view: TritonView) -> Iterator[Site]:
    """That a vector of indices starts at a multiple of its length and counts up from there."""
    edits = []
    for one in view.flow.definitions:
        value = None if one.value is None else view.types.of(one.value)
        if one.kind is not Kind.VALUE or one.value is None or value is None or len(value.shape) != 1:
            continue
        if call_name(one.value) == "tl.max_contiguous":
            continue
        form = view.indices.form(one.value)
        size = view.size_text(value.shape[0])
        if form is not None and size is not None and _counts_up(view, form, value.shape[0]):
            edits.append(Edit(one.value, wrap=f"tl.max_contiguous(tl.multiple_of({{}}, {size}), {size})"))
    if edits:
        yield Site(f"{len(edits)} vectors of indices count up", partial(view.edited, edits))


def _counts_up(view: TritonView, form: Form, size: Form) -> bool:
    """Whether a form is ``k * size + arange(size)``, and not the range alone."""
    for atom in form.leaves:
        parts = form.split(atom) if atom.kind == "arange" and atom.args[0] == size else None
        if parts is not None and parts[0].constant == 1 and parts[1].terms and not parts[1].is_tensor:
            return all(_is_multiple(view, Form((term,)), size) for term in parts[1].terms)
    return False


def _is_multiple(view: TritonView, term: Form, size: Form) -> bool:
    if term.divided(size) is not None:
        return True
    for atom in term.leaves:
        loop = loop_of(view, atom) if atom.kind == "index" else None
        bounds = None if loop is None else trips(view, loop)
        if bounds is not None and bounds[0].divided(size) is not None and bounds[2].divided(size) is not None:
            return True
    return False


def narrow(view: TritonView) -> Iterator[Site]:
    """Indices of 32 bits where the buffers are small enough, which is known when the kernel is compiled."""
    casts = list(_wide_casts(view))
    limits: set[str] = set()
    accesses = (*view.memory.whole.loads, *view.memory.whole.stores)
    offsets = [None if one.address is None else one.address.offset for one in accesses]
    for form in (*offsets, *(view.indices.form(inner) for _, inner in casts)):
        top = None if form is None else largest(view, form)
        text = None if top is None else header_text(top)
        if text is None:
            return
        limits.add(text)
    condition = " and ".join(f"{text} <= {_LARGEST}" for text in sorted(limits))
    if casts and condition:
        yield from tried(f"{len(casts)} indices of 32 bits", partial(_narrowed, view, casts, condition))


def _wide_casts(view: TritonView) -> Iterator[tuple[cst.Call, cst.BaseExpression]]:
    """Casts to 64 bits of what can only be an index, with what is cast."""
    for call in view.calls:
        inner, kind = None, None
        if isinstance(call.func, cst.Attribute) and call.func.attr.value == "to":
            inner, kind = call.func.value, argument(call, 0, "dtype")
        elif call_name(call) == "tl.cast":
            inner, kind = argument(call, 0, "input"), argument(call, 1, "dtype")
        guarded = any(isinstance(one, cst.IfExp) for one in view.around(call))
        if inner is None or kind is None or view.flat(kind) != "tl.int64" or guarded:
            continue
        form = view.indices.form(inner)
        if form is not None and largest(view, form) is not None and _is_index(view, call, frozenset()):
            yield call, inner


def _is_index(view: TritonView, node: cst.CSTNode, seen: frozenset[Definition]) -> bool:
    """Whether a value goes nowhere but into addresses and masks."""
    inner = node
    for holder in view.around(node):
        match holder:
            case cst.Comparison():
                return True
            case cst.Call() if call_name(holder) in ("tl.load", "tl.store"):
                access = view.memory.access(holder)
                return inner in (access.pointer, access.mask)
            case cst.Call() if call_name(holder) not in _KEEPING:
                return False
            case cst.Assign() | cst.AugAssign():
                made = [one for one in view.flow.made.get(holder, []) if one not in seen]
                known = seen | set(made)
                later = [more for one in made for more in one.into if more not in known and more.is_read]
                uses = [use for one in (*made, *later) for use in one.uses]
                return all(_is_index(view, use, known | set(later)) for use in uses)
            case cst.BaseExpression() | cst.Arg():
                pass
            case _:
                return False
        if isinstance(holder, cst.BaseExpression):
            inner = holder
    return False


def _narrowed(view: TritonView, casts: list[tuple[cst.Call, cst.BaseExpression]], condition: str) -> Kernel:
    flag = view.fresh("NARROW")
    edits = [Edit(call, text=f"{atomic(view.text(inner))} if {flag} else {view.text(call)}") for call, inner in casts]

    def launched(launch: Launch) -> tuple[Launch, ...]:
        return (view.with_args(launch, {flag: condition}),)

    return view.edited(edits, parameters=[f"{flag}: tl.constexpr"], launches=launched)
