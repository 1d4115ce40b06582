"""What a piece of OpenCL C reads, writes and calls, and of which type it is: enough to say where a rewrite is sound."""

from __future__ import annotations

__all__ = ["Effects", "Names", "effects", "identifiers", "is_invariant", "is_pure", "literal"]

import re
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import field, frozen
from tree_sitter import Node

from kernelevolve.languages.opencl_c.names import PURE, SCALARS
from kernelevolve.languages.opencl_c.source import Source

_VLOAD: Final = re.compile(r"vloada?(_half)?\d*")
_VSTORE: Final = re.compile(r"vstorea?(_half)?\d*(_rt[ezpn])?")
_JUMPS: Final = frozenset({"return_statement", "break_statement", "continue_statement", "goto_statement"})
_INTEGERS: Final = frozenset((*SCALARS[:8], "size_t", "unsigned", "bool", "unsigned int", "ptrdiff_t"))


def identifiers(source: Source, node: Node) -> Iterator[str]:
    """Every variable, constant or function that `node` names, in order."""
    return (source.of(inner) for inner in source.walk(node) if inner.type == "identifier")


@frozen
class Access:
    """One element of an array that is read or written."""

    array: str
    index: str
    node: Node = field(eq=False, repr=False)


@frozen
class Effects:
    """What running a piece of code does."""

    #: Variables that are assigned, those it declares itself included.
    assigned: frozenset[str]
    declared: frozenset[str]
    loads: tuple[Access, ...]
    stores: tuple[Access, ...]
    calls: frozenset[str]
    #: ``break_statement`` and the like.
    jumps: frozenset[str]
    #: Something whose effect is not understood: a barrier, an atomic, a write through a pointer, a function-like macro.
    opaque: bool

    @property
    def written(self) -> frozenset[str]:
        """Variables from outside that change."""
        return self.assigned - self.declared

    @property
    def stored(self) -> frozenset[str]:
        """Arrays that change."""
        return frozenset(access.array for access in self.stores)

    @property
    def loaded(self) -> frozenset[str]:
        """Arrays that are read."""
        return frozenset(access.array for access in self.loads)


def effects(source: Source, *nodes: Node) -> Effects:
    """The effects of `nodes` together."""
    seen = _Collector(source)
    for node in nodes:
        for inner in source.walk(node):
            seen.visit(inner)
    return seen.effects()


class _Collector:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.assigned: set[str] = set()
        self.declared: set[str] = set()
        self.loads: list[Access] = []
        self.stores: list[Access] = []
        self.calls: set[str] = set()
        self.jumps: set[str] = set()
        self.opaque = False
        self._targets: set[int] = set()

    def effects(self) -> Effects:
        return Effects(
            assigned=frozenset(self.assigned | self.declared),
            declared=frozenset(self.declared),
            loads=tuple(self.loads),
            stores=tuple(self.stores),
            calls=frozenset(self.calls),
            jumps=frozenset(self.jumps),
            opaque=self.opaque,
        )

    def visit(self, node: Node) -> None:
        kind = node.type
        if kind in _JUMPS:
            self.jumps.add(kind)
        elif kind == "assignment_expression":
            compound = self.source.of(_field(node, "operator")) != "="
            self._write(_field(node, "left"), also_reads=compound)
        elif kind == "update_expression":
            self._write(_field(node, "argument"), also_reads=True)
        elif kind == "declaration":
            self.declared.update(_declared(self.source, node))
        elif kind == "subscript_expression" and node.start_byte not in self._targets:
            self.loads.append(self._access(node))
        elif kind == "call_expression":
            self._call(node)
        elif kind == "pointer_expression" or kind.startswith("preproc_"):
            self.opaque = True

    def _access(self, node: Node) -> Access:
        array = _field(node, "argument")
        if array.type != "identifier":
            self.opaque = True
        return Access(self.source.of(array), squeeze(self.source.of(_field(node, "index"))), node)

    def _write(self, target: Node, *, also_reads: bool) -> None:
        while target.type in ("parenthesized_expression", "field_expression"):
            target = target.named_children[0]
        if target.type == "identifier":
            self.assigned.add(self.source.of(target))
        elif target.type == "subscript_expression":
            self.stores.append(self._access(target))
            if not also_reads:
                self._targets.add(target.start_byte)
        else:
            self.opaque = True

    def _call(self, node: Node) -> None:
        callee = _field(node, "function")
        name = self.source.of(callee)
        if callee.type == "parenthesized_expression":
            return
        self.calls.add(name)
        arguments = _field(node, "arguments").named_children
        if _VLOAD.fullmatch(name) or _VSTORE.fullmatch(name):
            array = next(iter(identifiers(self.source, arguments[-1])), "?")
            access = Access(array, squeeze(self.source.of(arguments[-2])), node)
            (self.loads if name.startswith("vload") else self.stores).append(access)
        elif name not in PURE and not _is_own_pure(self.source, name):
            self.opaque = True


def _field(node: Node, name: str) -> Node:
    found = node.child_by_field_name(name)
    assert found is not None, (node.type, name)
    return found


def squeeze(text: str) -> str:
    """`text` without white space, so that equal expressions compare equal."""
    return "".join(text.split())


def _declared(source: Source, node: Node) -> Iterator[str]:
    for declarator in node.children_by_field_name("declarator"):
        inner = declarator
        while (deeper := inner.child_by_field_name("declarator")) is not None:
            inner = deeper
        yield source.of(inner)


def _is_own_pure(source: Source, name: str) -> bool:
    """Whether `name` is a function of the file that takes numbers only: it can then change nothing outside."""
    for function in source.functions():
        declarator = _field(function, "declarator")
        if declarator.type != "function_declarator" or source.of(_field(declarator, "declarator")) != name:
            continue
        parameters = _field(declarator, "parameters")
        return "*" not in source.of(parameters) and "[" not in source.of(parameters)
    return False


def is_pure(source: Source, node: Node) -> bool:
    """Whether evaluating `node` changes nothing."""
    found = effects(source, node)
    return not found.assigned and not found.stores and not found.opaque


def is_invariant(source: Source, node: Node, around: Effects) -> bool:
    """Whether `node` has the same value wherever in a region with the effects `around` it is evaluated."""
    own = effects(source, node)
    if own.assigned or own.stores or own.opaque:
        return False
    if around.assigned & set(identifiers(source, node)):
        return False
    return not own.loads or not (around.opaque or own.loaded & around.stored)


def literal(text: str) -> str | None:
    """The type of a number as written, or None where `text` is none."""
    if not re.match(r"\.?\d", text):
        return None
    lower = text.lower()
    if lower.startswith("0x"):
        return "uint" if lower.endswith("u") else "int"
    if lower.endswith("f"):
        return "float"
    if "." in lower or "e" in lower:
        return "double"
    return "uint" if "u" in lower else "int"


@frozen
class Names:
    """The declared type of every variable of one function; one declared with several types is left out."""

    source: Source
    types: Mapping[str, str]

    @classmethod
    def of(cls, source: Source, function: Node) -> Names:
        """Read the parameters and declarations of `function`."""
        found: dict[str, set[str]] = {}
        for node in source.walk(function):
            if node.type in ("declaration", "parameter_declaration"):
                base = _field(node, "type")
                for declarator in node.children_by_field_name("declarator"):
                    name, suffix = _shape(source, declarator)
                    found.setdefault(name, set()).add(source.of(base) + suffix)
        return cls(source, {name: next(iter(kinds)) for name, kinds in found.items() if len(kinds) == 1})

    def type_of(self, node: Node) -> str | None:
        """The scalar type of an expression, or None where it cannot be told. Element types keep their name."""
        source = self.source
        match node.type:
            case "identifier":
                found = self.types.get(source.of(node), "*")
                return None if "*" in found else found
            case "number_literal":
                return literal(source.of(node))
            case "parenthesized_expression":
                return self.type_of(node.named_children[0]) if node.named_child_count == 1 else None
            case "subscript_expression":
                found = self.types.get(source.of(_field(node, "argument")), "")
                return found[:-1].strip() if found.endswith("*") and found.count("*") == 1 else None
            case "unary_expression":
                return self.type_of(_field(node, "argument"))
            case "cast_expression":
                kind = source.of(_field(node, "type"))
                return None if "*" in kind else kind
            case "binary_expression":
                return self._binary(node)
            case "conditional_expression":
                return _wider(self.type_of(_field(node, "consequence")), self.type_of(_field(node, "alternative")))
            case "call_expression":
                return self._call(node)
        return None

    def _binary(self, node: Node) -> str | None:
        if self.source.of(_field(node, "operator")) in ("<", ">", "<=", ">=", "==", "!=", "&&", "||"):
            return "int"
        return _wider(self.type_of(_field(node, "left")), self.type_of(_field(node, "right")))

    def _call(self, node: Node) -> str | None:
        callee = _field(node, "function")
        name = self.source.of(callee)
        if callee.type == "parenthesized_expression":
            return self.source.of(callee.named_children[0])
        if name.startswith("get_"):
            return "size_t"
        kind = re.fullmatch(r"(?:convert|as)_([a-z]+\d*).*", name)
        if kind:
            return kind[1]
        if name not in PURE:
            return None
        kinds = {self.type_of(argument) for argument in _field(node, "arguments").named_children}
        return kinds.pop() if len(kinds) == 1 else ("float" if "float" in kinds and kinds <= {"float", "int"} else None)


def _shape(source: Source, declarator: Node) -> tuple[str, str]:
    suffix, node = "", declarator
    while True:
        if node.type in ("pointer_declarator", "array_declarator"):
            suffix += " *"
        inner = node.child_by_field_name("declarator")
        if inner is None:
            return source.of(node), suffix
        node = inner


def _wider(left: str | None, right: str | None) -> str | None:
    """The type of an arithmetic operation. ``float`` with an element type of unknown width counts as ``float``."""
    if left is None or right is None:
        return None
    if left == right:
        return left
    for one, other in ((left, right), (right, left)):
        if one == "double" and other in _INTEGERS | {"float"}:
            return "double"
        if one == "float" and (other in _INTEGERS or other.endswith("_t")):
            return "float"
    if {left, right} <= _INTEGERS:
        return _widest_integer(left, right)
    return None


def _widest_integer(left: str, right: str) -> str | None:
    for wide in ("size_t", "ulong", "long", "uint", "int"):
        if wide in (left, right):
            return wide
    return None
