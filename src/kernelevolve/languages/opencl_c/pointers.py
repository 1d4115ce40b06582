"""The gate's rules about pointers: they come from parameters and arrays, never from numbers."""

from __future__ import annotations

__all__ = ["check_pointers"]

from collections.abc import Mapping, Sequence

from tree_sitter import Node

from kernelevolve.languages.opencl_c.source import Source
from kernelevolve.outcome import Rejected

_Nodes = Mapping[str, Sequence[Node]]


def check_pointers(source: Source, nodes: _Nodes) -> None:
    """Raise `Rejected` where an address could be made of a number: casts, unions, pointers to pointers, assignments."""
    names = _Names(source, nodes)
    for node in nodes.get("cast_expression", ()):
        kind, value = node.child_by_field_name("type"), node.child_by_field_name("value")
        if kind is not None and value is not None and _declares_pointer(kind):
            _check(source, node, value, names.at(node))
    for node in nodes.get("init_declarator", ()):
        declarator, value = node.child_by_field_name("declarator"), node.child_by_field_name("value")
        if declarator is not None and value is not None and declarator.type == "pointer_declarator":
            _check(source, node, value, names.at(node))
    for node in nodes.get("assignment_expression", ()):
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        operator = node.child_by_field_name("operator")
        if left is None or right is None or operator is None or source.of(operator) != "=":
            continue
        if left.type == "identifier" and source.of(left) in names.at(node):
            _check(source, node, right, names.at(node))
    _check_indirection(source, nodes)


class _Names:
    """Which names are pointers or arrays, by the function that declares them."""

    def __init__(self, source: Source, nodes: _Nodes) -> None:
        self._spans = [(node.start_byte, node.end_byte) for node in source.functions()]
        self._pointers: dict[int, set[str]] = {}
        self._numbers: dict[int, set[str]] = {}
        for kind in ("pointer_declarator", "array_declarator"):
            for node in nodes.get(kind, ()):
                place = self._place(node)
                whole = -1 if node.parent is not None and node.parent.type == "function_definition" else place
                self._pointers.setdefault(whole, set()).add(_name(source, node))
        for kind in ("parameter_declaration", "init_declarator", "declaration"):
            for node in nodes.get(kind, ()):
                for declarator in node.children_by_field_name("declarator"):
                    if declarator.type == "identifier":
                        self._numbers.setdefault(self._place(node), set()).add(source.of(declarator))

    def _place(self, node: Node) -> int:
        return next((start for start, end in self._spans if start <= node.start_byte < end), -1)

    def at(self, node: Node) -> frozenset[str]:
        """The pointers and arrays that `node` sees; a name that is a number as well is none."""
        place = self._place(node)
        pointers = self._pointers.get(place, set()) | self._pointers.get(-1, set())
        return frozenset(pointers - self._numbers.get(place, set()))


def _fail(source: Source, node: Node, rule: str, message: str) -> Rejected:
    line = source.line(node)
    return Rejected(f"line {line}: {message}", rule=rule, line=line)


def _check(source: Source, node: Node, value: Node, pointers: frozenset[str]) -> None:
    if not _is_pointer(source, value, pointers):
        what = f"{source.of(value)[:40]!r} is a number and would become an address; start from a buffer: x + offset"
        raise _fail(source, node, "pointer", what)


def _check_indirection(source: Source, nodes: _Nodes) -> None:
    for kind in ("pointer_declarator", "abstract_pointer_declarator"):
        for node in nodes.get(kind, ()):
            inner = node.child_by_field_name("declarator")
            if inner is not None and inner.type in ("pointer_declarator", "abstract_pointer_declarator"):
                raise _fail(source, node, "pointer", "a pointer to a pointer is not allowed; buffers are flat")
            if inner is not None and inner.type == "array_declarator":
                raise _fail(source, node, "pointer", "an array of pointers is not allowed; compute the offset instead")
    for node in (*nodes.get("field_declaration", ()), *nodes.get("type_definition", ())):
        if any(inner.type == "pointer_declarator" for inner in source.walk(node)):
            what = "a pointer in a struct, union or typedef hides where it comes from; write the pointer type out"
            raise _fail(source, node, "pointer", what)
    for node in nodes.get("pointer_expression", ()):
        operand = node.child_by_field_name("argument")
        address = source.text[node.start_byte] == "&"
        if address and operand is not None and operand.type == "identifier" and _plain(source, operand, nodes):
            raise _fail(source, node, "pointer", f"the address of pointer {source.of(operand)} is not allowed")


def _plain(source: Source, name: Node, nodes: _Nodes) -> bool:
    declared = (n for n in nodes.get("pointer_declarator", ()) if _name(source, n) == source.of(name))
    return next(declared, None) is not None


def _name(source: Source, declarator: Node) -> str:
    node = declarator
    while (inner := node.child_by_field_name("declarator")) is not None:
        node = inner
    return source.of(node)


def _declares_pointer(kind: Node) -> bool:
    return any(child.type == "abstract_pointer_declarator" for child in kind.children)


def _is_pointer(source: Source, node: Node, pointers: frozenset[str]) -> bool:
    """Whether `node` is an address that the file was given; numbers, and what cannot be told, are not."""

    def part(field: str) -> bool:
        inner = node.child_by_field_name(field)
        return inner is not None and _is_pointer(source, inner, pointers)

    match node.type:
        case "identifier":
            return source.of(node) in pointers
        case "parenthesized_expression":
            return node.named_child_count == 1 and _is_pointer(source, node.named_children[0], pointers)
        case "binary_expression":
            operator = node.child_by_field_name("operator")
            sign = "" if operator is None else source.of(operator)
            if sign == "-":
                return part("left") and not part("right")
            return sign == "+" and part("left") != part("right")
        case "pointer_expression":
            return source.text[node.start_byte] == "&"
        case "cast_expression":
            return part("value")
        case "conditional_expression":
            return part("consequence") and part("alternative")
        case "call_expression":
            return part("function")
        case "update_expression":
            return part("argument")
        case "assignment_expression":
            return part("right")
    return False
