"""How large the forms of an entry can be, and forms as text again."""

from __future__ import annotations

__all__ = ["grid_forms", "header_text", "holds_if", "largest", "loop_of"]

from typing import TYPE_CHECKING

from kernelevolve.proposers.rewriting.python_flow import Kind
from kernelevolve.proposers.rewriting.triton_rules.forms import ONE, ZERO, Atom, Form, number, operation
from kernelevolve.proposers.rewriting.triton_rules.header_forms import header_form
from kernelevolve.proposers.rewriting.triton_rules.loops import at_least_one, trips

if TYPE_CHECKING:
    from kernelevolve.proposers.rewriting.triton_rules.view import Loop, TritonView


def grid_forms(view: TritonView) -> tuple[Form, ...] | None:
    """The sizes of the entry's grid; None where its launches differ in them, or one is not understood."""
    grids = {tuple(header_form(one) for one in launch.grid) for launch in view.launches}
    if len(grids) != 1:
        return None
    grid = grids.pop()
    known = tuple(form for form in grid if form is not None)
    return known if len(known) == len(grid) else None


def header_text(form: Form) -> str | None:
    """A form as an expression of the header; None where it holds what the header does not see."""
    parts = []
    for atoms, factor in form.terms:
        texts = [_atom_text(atom) for atom in atoms]
        known = [text for text in texts if text is not None]
        if len(known) != len(texts):
            return None
        size = abs(factor)
        parts.append(
            ("-" if factor < 0 else "+", " * ".join([*([str(size)] if size != 1 or not known else []), *known]))
        )
    if not parts:
        return "0"
    parts.sort(key=lambda part: part[0] == "-")
    sign, first = parts[0]
    return ("-" if sign == "-" else "") + first + "".join(f" {sign} {text}" for sign, text in parts[1:])


def _atom_text(atom: Atom) -> str | None:
    if atom.kind == "name":
        return atom.label
    args = [header_text(arg) for arg in atom.args]
    known = [arg for arg in args if arg is not None]
    if len(known) != len(args) or not known:
        return None
    if atom.kind in ("//", "%"):
        return f"(({known[0]}) {atom.kind} ({known[1]}))"
    return f"{atom.kind}({', '.join(known)})" if atom.kind in ("cdiv", "min", "max", "next_pow2") else None


def largest(view: TritonView, form: Form) -> Form | None:
    """A form that is never below `form`, without program ids, counters and ranges; None where there is none.

    It relies on all of these being at least zero, and on what the header names being at least one.
    """
    whole = ZERO
    for atoms, factor in form.terms:
        term = number(factor)
        for atom in atoms:
            bound = _largest(view, atom)
            if bound is None:
                return None
            moving = bound.atom != atom
            if factor < 0:
                bound = ZERO if moving else bound
            term = term * bound
        whole = whole + term
    return whole


def _largest(view: TritonView, atom: Atom) -> Form | None:
    match atom.kind:
        case "name":
            return Form((((atom,), 1),))
        case "arange":
            return atom.args[0] - ONE
        case "%":
            return atom.args[1] - ONE if _is_counting(view, atom.args[0]) else None
        case "//":
            return _quotient(view, *atom.args)
        case "pid":
            grid = grid_forms(view)
            axis = int(atom.label)
            return None if grid is None or axis >= len(grid) else grid[axis] - ONE
        case "index":
            return _last_turn(view, atom)
        case "cdiv" | "next_pow2" | "max" | "min":
            fixed = all(leaf.kind == "name" or leaf.args for leaf in atom.leaves)
            return Form((((atom,), 1),)) if fixed else None
    return None


def _quotient(view: TritonView, left: Form, right: Form) -> Form | None:
    """The largest ``id // b`` of a grid of ``n * b`` programs."""
    atom, grid = left.atom, grid_forms(view)
    if atom is None or atom.kind != "pid" or grid is None or int(atom.label) >= len(grid):
        return None
    rest = grid[int(atom.label)].divided(right)
    return None if rest is None else rest - ONE


def _is_counting(view: TritonView, form: Form) -> bool:
    """Whether a form is at least zero: counters, ids and ranges, added and multiplied."""
    counting = ("pid", "index", "arange", "name", "programs", "cdiv", "next_pow2")
    return all(factor > 0 and all(_counts(view, atom, counting) for atom in atoms) for atoms, factor in form.terms)


def _counts(view: TritonView, atom: Atom, counting: tuple[str, ...]) -> bool:
    if atom.kind in counting:
        return atom.kind != "index" or _last_turn(view, atom) is not None
    return atom.kind in ("//", "%") and all(_is_counting(view, arg) for arg in atom.args)


def _last_turn(view: TritonView, atom: Atom) -> Form | None:
    """The counter's value in the last turn of a loop that starts at zero or at a program id."""
    loop = loop_of(view, atom)
    bounds = None if loop is None else trips(view, loop)
    if bounds is None:
        return None
    start, stop, step = bounds
    if start == ZERO and stop.constant is None:
        return operation("cdiv", stop, step) * step - step if step != ONE else stop - ONE
    return stop - ONE if _is_counting(view, start) and _is_counting(view, stop) else None


def loop_of(view: TritonView, atom: Atom) -> Loop | None:
    """The loop that an index counts."""
    place = int(atom.label.rpartition("#")[2])
    definition = view.flow.definitions[place]
    return view.loop(definition.node) if definition.kind is Kind.INDEX else None


def holds_if(view: TritonView, positive: Form) -> str | None:
    """The condition, of the header, under which `positive` is above zero everywhere.

    The empty text: it always is; None: nothing makes sure of that.
    """
    top = largest(view, -positive)
    if top is None:
        return None
    if at_least_one(view, -top):
        return ""
    least, found = _rounded(-top)
    if least.constant is not None:
        return " and ".join(sorted(found)) if least.constant >= 1 else None
    text = header_text(-top - ONE)
    return None if text is None else f"{text} >= 0"


def _factor(form: Form) -> str | None:
    """The text of a form that something is to be divided by, or that is divided."""
    text = header_text(form)
    return text if text is None or len(form.terms) <= 1 else f"({text})"


def _rounded(form: Form) -> tuple[Form, frozenset[str]]:
    """The form with ``cdiv(n, b) * b`` taken as ``n``, and the conditions that make it so."""
    terms, found = ZERO, set()
    for atoms, factor in form.terms:
        rest = list(atoms)
        term = number(factor)
        for atom in atoms:
            if atom.kind != "cdiv" or atom not in rest:
                continue
            others = list(rest)
            others.remove(atom)
            quotient = Form(((tuple(others), 1),)).divided(atom.args[1])
            texts = [_factor(arg) for arg in atom.args]
            if quotient is not None and len(quotient.terms) == 1 and None not in texts:
                found.add(f"{texts[0]} % {texts[1]} == 0")
                term = term * atom.args[0] * number(quotient.terms[0][1])
                rest = list(quotient.terms[0][0])
        terms = terms + term * Form(((tuple(rest), 1),))
    return terms, frozenset(found)
