"""Rewrites of expressions: computed once, computed cheaper, or without a branch."""

from __future__ import annotations

__all__ = ["branchless", "contract", "hoist", "native", "reciprocal", "row_pointer"]

from collections.abc import Iterator
from functools import partial
from typing import Final

from tree_sitter import Node

from kernelevolve.kernel import Kernel
from kernelevolve.languages.opencl_c import OpenCLC
from kernelevolve.languages.opencl_c.names import BUILTINS
from kernelevolve.proposers.rewriting.analysis import identifiers, is_invariant, is_pure, squeeze
from kernelevolve.proposers.rewriting.view import Edit, Loop, Site, View

_DECLARABLE: Final = frozenset({"float", "double", "int", "uint", "long", "ulong", "size_t"})


def hoist(view: View) -> Iterator[Site]:
    """Compute once before a loop what does not change in it."""
    for loop in view.loops():
        seen: set[str] = set()
        for node in _invariants(view, loop):
            text = squeeze(view.of(node))
            if text not in seen:
                seen.add(text)
                yield Site(f"hoist {view.of(node)[:40]}", partial(_hoisted, view, loop, node))


def _invariants(view: View, loop: Loop) -> Iterator[Node]:
    """The largest invariant expressions of the loop's body."""
    stack = list(reversed(loop.body.named_children)) if loop.body.type == "compound_statement" else [loop.body]
    while stack:
        node = stack.pop()
        if node.type in ("binary_expression", "call_expression") and _is_hoistable(view, loop, node):
            yield node
        else:
            stack.extend(reversed(node.named_children))


def _is_hoistable(view: View, loop: Loop, node: Node) -> bool:
    kind = view.names.type_of(node)
    if kind not in _DECLARABLE or not is_invariant(view.source, node, loop.effects):
        return False
    local = loop.effects.declared | {loop.variable}
    named = set(identifiers(view.source, node))
    if not named - BUILTINS or named & local or any(view.find("subscript_expression", under=node)):
        return False
    whole = kind not in ("float", "double")  # a whole-number division would fault where the loop does not run
    return not (whole and any(operator in view.of(node) for operator in "/%"))


def _hoisted(view: View, loop: Loop, node: Node) -> Kernel:
    name, wanted = view.fresh("fixed"), squeeze(view.of(node))
    edits = [
        Edit(one.start_byte, one.end_byte, name) for one in _invariants(view, loop) if squeeze(view.of(one)) == wanted
    ]
    declaration = f"const {view.names.type_of(node)} {name} = {view.of(node)};"
    return view.edited([*_before(view, loop, declaration), *edits])


def _before(view: View, loop: Loop, declaration: str) -> list[Edit]:
    """Edits that put a declaration before `loop`, in braces with it where it is no statement of a block."""
    parent = loop.node.parent
    if parent is not None and parent.type == "compound_statement":
        return [view.before(loop.node, declaration)]
    start, end = view.source.start(loop.node), loop.node.end_byte
    return [Edit(start, start, f"{{\n{declaration}\n"), Edit(end, end, "\n}")]


def reciprocal(view: View) -> Iterator[Site]:
    """Divide once, and multiply in the loop."""
    for loop in view.loops():
        seen: set[str] = set()
        for node in _divisions(view, loop):
            divisor = _part(node, "right")
            if squeeze(view.of(divisor)) not in seen:
                seen.add(squeeze(view.of(divisor)))
                note = f"multiply by 1 / {view.of(divisor)[:40]}"
                yield Site(note, partial(_reciprocal, view, loop, divisor))


def _divisions(view: View, loop: Loop) -> Iterator[Node]:
    for node in view.find("binary_expression", under=loop.body):
        if view.of(_part(node, "operator")) != "/":
            continue
        divisor = _part(node, "right")
        local = loop.effects.declared | {loop.variable}
        fixed = is_invariant(view.source, divisor, loop.effects) and not local & set(identifiers(view.source, divisor))
        if fixed and view.names.type_of(divisor) == "float" and divisor.type != "number_literal":
            yield node


def _reciprocal(view: View, loop: Loop, divisor: Node) -> Kernel:
    name, wanted = view.fresh("inverse"), squeeze(view.of(divisor))
    edits = []
    for node in _divisions(view, loop):
        right = _part(node, "right")
        if squeeze(view.of(right)) == wanted:
            operator = _part(node, "operator")
            edits += [Edit(operator.start_byte, operator.end_byte, "*"), Edit(right.start_byte, right.end_byte, name)]
    return view.edited([*_before(view, loop, f"const float {name} = 1.0f / {view.of(divisor)};"), *edits])


def row_pointer(view: View) -> Iterator[Site]:
    """A pointer to where a loop starts to read or write, in place of an index computed in each iteration."""
    declared = {parameter.name: parameter.type for parameter in OpenCLC().entries(view.source.text)[view.name]}
    for loop in view.loops():
        seen: set[tuple[str, str]] = set()
        for node, array, base in _rows(view, loop):
            if array in declared and (array, base) not in seen:
                seen.add((array, base))
                kind = " ".join(declared[array].replace("restrict", "").replace("__restrict", "").split())
                note = f"a pointer to {array} + {base[:40]}"
                yield Site(note, partial(_with_pointer, view, loop, array, base, kind))
                del node


def _rows(view: View, loop: Loop) -> Iterator[tuple[Node, str, str]]:
    """Accesses ``array[base + i]`` with a base that does not change in the loop."""
    local = loop.effects.declared | {loop.variable}
    for node in view.find("subscript_expression", under=loop.body):
        index, array = _part(node, "index"), _part(node, "argument")
        if index.type != "binary_expression" or view.of(_part(index, "operator")) != "+":
            continue
        base, moving = _part(index, "left"), _part(index, "right")
        named = set(identifiers(view.source, base))
        fixed = is_invariant(view.source, base, loop.effects) and not named & local and base.type != "number_literal"
        if array.type == "identifier" and fixed and loop.variable in identifiers(view.source, moving):
            yield node, view.of(array), view.of(base)


def _with_pointer(view: View, loop: Loop, array: str, base: str, kind: str) -> Kernel:
    name = view.fresh(f"{array}_row")
    edits = []
    for node, of, at in _rows(view, loop):
        if (of, at) == (array, base):
            moving = _part(_part(node, "index"), "right")
            edits.append(Edit(node.start_byte, node.end_byte, f"{name}[{view.of(moving)}]"))
    return view.edited([*_before(view, loop, f"{kind} {name} = {array} + ({base});"), *edits])


#: Which functions have a fast, less precise form (OpenCL C, section 6.13.2).
_FAST: Final = frozenset(("cos", "exp", "exp2", "exp10", "log", "log2", "log10", "powr", "rsqrt", "sin", "sqrt", "tan"))


def native(view: View) -> Iterator[Site]:
    """Hardware versions of functions, of a precision that the implementation chooses."""
    calls: dict[str, list[Node]] = {}
    for node in view.find("call_expression"):
        name = view.of(_part(node, "function"))
        kinds = {view.names.type_of(argument) for argument in _part(node, "arguments").named_children}
        if name in _FAST and "double" not in kinds:
            calls.setdefault(name, []).append(_part(node, "function"))
    for name, nodes in calls.items():
        for prefix in ("native", "half"):
            edits = [Edit(node.start_byte, node.end_byte, f"{prefix}_{name}") for node in nodes]
            yield Site(f"{prefix}_{name} for {name}", partial(view.edited, edits))
    yield from _rsqrt(view)
    divisions = list(_float_divisions(view))
    for prefix in ("native", "half"):
        edits = [_divided(view, node, f"{prefix}_divide") for node in divisions]
        if edits:
            yield Site(f"{prefix}_divide for {len(divisions)} divisions", partial(view.edited, edits))


def _float_divisions(view: View) -> Iterator[Node]:
    """Divisions of floats, those inside another one left out."""
    end = -1
    for node in view.find("binary_expression"):
        division = view.of(_part(node, "operator")) == "/" and node.start_byte >= end
        if division and view.names.type_of(node) == "float":
            end = node.end_byte
            yield node


def _divided(view: View, node: Node, function: str) -> Edit:
    left, right = _part(node, "left"), _part(node, "right")
    call = f"{function}({_as_float(view, left)}, {_as_float(view, right)})"
    return Edit(node.start_byte, node.end_byte, call)


def _rsqrt(view: View) -> Iterator[Site]:
    edits = []
    for node in view.find("binary_expression"):
        left, right = _part(node, "left"), _part(node, "right")
        square_root = right.type == "call_expression" and view.of(_part(right, "function")) in ("sqrt", "native_sqrt")
        if view.of(_part(node, "operator")) == "/" and square_root and view.of(left) in ("1.0f", "1.f", "1"):
            function = _part(right, "function")
            edits.append(Edit(node.start_byte, function.end_byte, view.of(function).replace("sqrt", "rsqrt")))
    if edits:
        yield Site("rsqrt for 1 / sqrt", partial(view.edited, edits))


def contract(view: View) -> Iterator[Site]:
    """``fma`` (one rounding) or ``mad`` (as the hardware likes) in place of a product and a sum."""
    for name in ("fma", "mad"):
        edits = list(_contractions(view, name))
        if edits:
            yield Site(f"{name} for {len(edits)} products and sums", partial(view.edited, edits))


def _contractions(view: View, name: str) -> Iterator[Edit]:
    taken_to = -1
    for node in view.find("binary_expression", "assignment_expression"):
        if node.start_byte < taken_to:
            continue
        text = _contracted(view, node, name)
        if text is not None:
            taken_to = node.end_byte
            yield Edit(node.start_byte, node.end_byte, text)


def _contracted(view: View, node: Node, name: str) -> str | None:
    left, right, operator = _part(node, "left"), _part(node, "right"), view.of(_part(node, "operator"))
    if view.names.type_of(left) != "float" and view.names.type_of(node) != "float":
        return None
    if node.type == "assignment_expression":
        if operator != "+=" or left.type != "identifier":
            return None
        parts = _product(view, right)
        call = None if parts is None else f"{name}({parts[0]}, {parts[1]}, {view.of(left)})"
        return None if call is None else f"{view.of(left)} = {call}"
    if operator != "+":
        return None
    for product, other in ((left, right), (right, left)):
        parts = _product(view, product)
        if parts is not None:
            return f"{name}({parts[0]}, {parts[1]}, {_as_float(view, other)})"
    return None


def _product(view: View, node: Node) -> tuple[str, str] | None:
    while node.type == "parenthesized_expression":
        node = node.named_children[0]
    if node.type != "binary_expression" or view.of(_part(node, "operator")) != "*":
        return None
    kinds = {view.names.type_of(_part(node, side)) for side in ("left", "right")}
    if None in kinds or not any(kind == "float" or str(kind).endswith("_t") for kind in kinds) or "double" in kinds:
        return None
    return _as_float(view, _part(node, "left")), _as_float(view, _part(node, "right"))


def _as_float(view: View, node: Node) -> str:
    return view.of(node) if view.names.type_of(node) == "float" else f"(float)({view.of(node)})"


def branchless(view: View) -> Iterator[Site]:
    """A choice between values in place of a branch: ``v = c ? a : v``."""
    for node in view.find("if_statement"):
        text = _selected(view, node)
        if text is not None:
            yield Site(
                f"no branch on line {view.source.line(node)}",
                partial(view.edited, [view.replace(node, text)]),
            )


def _selected(view: View, node: Node) -> str | None:
    condition, other = _part(node, "condition"), node.child_by_field_name("alternative")
    otherwise = other.named_children[0] if other is not None and other.named_child_count == 1 else None
    if (other is not None and otherwise is None) or not is_pure(view.source, condition):
        return None
    yes = _assignments(view, _part(node, "consequence"))
    no = _assignments(view, otherwise) if otherwise is not None else {}
    if not yes or no is None:
        return None
    read = {name for value in (*yes.values(), *no.values()) for name in identifiers(view.source, value)}
    if read & (set(yes) | set(no)) and len(set(yes) | set(no)) > 1:
        return None
    test = view.fresh("taken")
    lines = [f"const int {test} = {view.of(condition)};"]
    for name in {**yes, **no}:
        values = [f"({view.of(side[name])})" if name in side else name for side in (yes, no)]
        lines.append(f"{name} = {test} ? {values[0]} : {values[1]};")
    return "{ " + " ".join(lines) + " }"


def _assignments(view: View, body: Node) -> dict[str, Node] | None:
    """What a branch assigns, where it does nothing but assign variables with values that are safe to compute anyway."""
    found: dict[str, Node] = {}
    for line in view.lines(body):
        inner = line.named_children[0] if line.type == "expression_statement" and line.named_child_count else line
        if inner.type != "assignment_expression" or view.of(_part(inner, "operator")) != "=":
            return None
        target, value = _part(inner, "left"), _part(inner, "right")
        unsafe = any(view.find("subscript_expression", under=value)) or any(sign in view.of(value) for sign in "/%")
        if target.type != "identifier" or view.of(target) in found or unsafe or not is_pure(view.source, value):
            return None
        found[view.of(target)] = value
    return found


def _part(node: Node, name: str) -> Node:
    found = node.child_by_field_name(name)
    assert found is not None, (node.type, name)
    return found
