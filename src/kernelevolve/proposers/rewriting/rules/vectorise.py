"""Explicit vectors: loops over contiguous elements with ``vloadN``, ``floatN`` arithmetic and ``vstoreN``."""

from __future__ import annotations

__all__ = ["vectorise"]

import textwrap
from collections.abc import Iterator
from functools import partial
from typing import Final

from attrs import frozen
from tree_sitter import Node

from kernelevolve.kernel import Kernel
from kernelevolve.languages.opencl_c.names import NATIVE
from kernelevolve.proposers.rewriting.analysis import identifiers, is_invariant, literal
from kernelevolve.proposers.rewriting.reductions import Reduction, contiguous, reductions
from kernelevolve.proposers.rewriting.view import Edit, Loop, Site, View

WIDTHS: Final = (8, 4, 16, 2)
#: Built-in functions that work on ``floatN`` as they do on ``float``.
_MATHS: Final = frozenset(
    ("exp", "exp2", "expm1", "log", "log2", "log1p", "sqrt", "rsqrt", "fabs", "fmax", "fmin", "max", "min", "fma",
     "mad", "tanh", "erf", "sin", "cos", "pow", "powr", "floor", "ceil", "rint", "round", "trunc", "clamp", *NATIVE)
)  # fmt: skip
_EXTREMES: Final = {"max": "fmax", "min": "fmin"}


class _NotVectorisable(Exception):  # a signal inside this module, never seen outside
    pass


def vectorise(view: View) -> Iterator[Site]:
    """Loops over contiguous floats: a main loop on vectors, and a scalar one for what is left."""
    known = "VEC" in view.kernel.tunables and "VEC_FLOAT" in view.words
    name = "VEC" if known else view.fresh("VEC")
    first = [] if known else [Edit(0, 0, preamble(name))]
    edits = []
    for loop in view.long_loops():
        edit = _edit(view, loop, name)
        if edit is not None:
            edits.append(edit)
            note = f"vectors for the loop over {loop.variable}"
            yield Site(note, partial(_with_vectors, view, [*first, edit], name))
    if len(edits) > 1:  # loops that have a vector form have no loops inside, so these do not overlap
        yield Site("vectors for every loop", partial(_with_vectors, view, [*first, *edits], name))


def _with_vectors(view: View, edits: list[Edit], name: str) -> Kernel:
    return view.edited(edits, tunables={name: view.kernel.tunables.get(name, WIDTHS)})


def _edit(view: View, loop: Loop, name: str) -> Edit | None:
    """`loop` on vectors, or None where it has no such form."""
    found = reductions(view, loop)
    if found is None or any(one.type != "float" for one in found) or not _walks(view, loop):
        return None
    try:
        return _vectorised(view, loop, found, name, _Body(view, loop, found, name).lines())
    except _NotVectorisable:
        return None


def _walks(view: View, loop: Loop) -> bool:
    """Whether the loop visits every element, or shares them out among a group that then meets at a barrier.

    With vectors, other items visit an element than before; so no item may rely on having written it itself.
    """
    return loop.step == "1" or (view.shared_out(loop) and not view.read_back)


def _bounds(loop: Loop, name: str, base: str) -> tuple[str, str, str]:
    """Where the vectors start, how far they step, and where the scalar loop over the rest starts."""
    if loop.step == "1":
        return loop.start, name, base
    return f"{loop.start} * {name}", f"{loop.step} * {name}", f"{loop.stop} - {loop.stop} % {name} + {loop.start}"


def _vectorised(view: View, loop: Loop, found: tuple[Reduction, ...], name: str, lines: list[str]) -> Edit:
    base, lane = view.fresh(f"{loop.variable}_base"), view.fresh("lane")
    kind = loop.type.removeprefix("const ")
    parts, array = {one.variable: f"{one.variable}_{name.lower()}" for one in found}, view.fresh("lanes")
    start, step, rest = _bounds(loop, name, base)
    text = ["{"]
    text += [f"  {name}_FLOAT {parts[one.variable]} = ({name}_FLOAT)({one.start()});" for one in found]
    text += [
        f"  {kind} {base} = {start};",
        f"  for (; {base} + ({name} - 1) < {loop.stop}; {base} += {step}) {{",
        f"    const {kind} {loop.variable} = {base};",
        *(f"    {line}" for line in lines),
        "  }",
    ]
    if found:
        text.append(f"  float {array}[{name}];")
    for one in found:
        text.append(f"  {name}_STORE({parts[one.variable]}, 0, {array});")
        text.append(
            f"  for (int {lane} = 0; {lane} < {name}; ++{lane}) {one.combine(one.variable, f'{array}[{lane}]')}"
        )
    text += [
        f"  {loop.head(rest, loop.stop, loop.step)} {{",
        textwrap.indent(view.inside(loop.body), "    "),
        "  }",
        "}",
    ]
    return view.replace(loop.node, "\n".join(text))


def preamble(name: str) -> str:
    """Names of the vector type and its functions for each value of the tunable: the gate allows no ``##``."""
    lines = []
    for index, width in enumerate(sorted(WIDTHS, reverse=True)):
        lines += [
            f"#{'if' if index == 0 else 'elif'} {name} == {width}",
            f"#define {name}_FLOAT float{width}",
            f"#define {name}_LOAD vload{width}",
            f"#define {name}_STORE vstore{width}",
            f"#define {name}_CONVERT convert_float{width}",
        ]
    return "\n".join([*lines, "#endif", ""])


@frozen
class _Body:
    """Turns the statements of a loop into ones on vectors; raises `_NotVectorisable` where one has no such form."""

    view: View
    loop: Loop
    found: tuple[Reduction, ...]
    name: str

    def lines(self) -> list[str]:
        """The vector loop's body."""
        return [line for node in self.view.lines(self.loop.body) for line in self.statement(node)]

    def statement(self, node: Node) -> list[str]:
        for one in self.found:
            if one.statement == node:
                variable = f"{one.variable}_{self.name.lower()}"
                combine = _EXTREMES.get(one.operator, one.operator)
                term = self.vector(one.term)
                return [f"{variable} += {term};" if combine == "+" else f"{variable} = {combine}({variable}, {term});"]
        if node.type == "declaration":
            return self.declaration(node)
        if node.type == "expression_statement" and node.named_children[0].type == "assignment_expression":
            return self.store(node.named_children[0])
        raise _NotVectorisable

    def declaration(self, node: Node) -> list[str]:
        kind, declarators = node.child_by_field_name("type"), node.children_by_field_name("declarator")
        if kind is None or self.view.of(kind) != "float":
            raise _NotVectorisable
        lines = []
        for declarator in declarators:
            name, value = declarator.child_by_field_name("declarator"), declarator.child_by_field_name("value")
            if name is None or value is None or name.type != "identifier":
                raise _NotVectorisable
            lines.append(f"const {self.name}_FLOAT {self.view.of(name)} = {self.vector(value)};")
        return lines

    def store(self, node: Node) -> list[str]:
        left, right = (node.child_by_field_name(part) for part in ("left", "right"))
        operator = node.child_by_field_name("operator")
        assert left is not None and right is not None and operator is not None  # noqa: PT018
        if left.type != "subscript_expression" or self.view.of(operator) != "=":
            raise _NotVectorisable
        array, index = left.child_by_field_name("argument"), left.child_by_field_name("index")
        assert array is not None and index is not None  # noqa: PT018
        if not contiguous(self.view.source, index, self.loop.variable):
            raise _NotVectorisable
        value, kind = self.vector(right), self.view.names.type_of(left)
        place = f"{self.view.of(array)} + ({self.view.of(index)})"
        if kind == "float":
            return [f"{self.name}_STORE({value}, 0, {place});"]
        if kind is None:
            raise _NotVectorisable
        part, lane = self.view.fresh("part"), self.view.fresh("lane")
        return [
            f"{{ float {part}[{self.name}];",
            f"  {self.name}_STORE({value}, 0, {part});",
            f"  for (int {lane} = 0; {lane} < {self.name}; ++{lane}) ({place})[{lane}] = ({kind})({part}[{lane}]); }}",
        ]

    def vector(self, node: Node) -> str:
        """`node` as an expression of type ``floatN``."""
        view, source = self.view, self.view.source
        if node.type == "identifier" and view.of(node) in self.loop.effects.declared:
            return view.of(node)
        if node.type == "number_literal":
            return self.number(node)
        if not ({self.loop.variable} | self.loop.effects.declared) & set(identifiers(source, node)):
            kind = view.names.type_of(node)
            if not is_invariant(source, node, self.loop.effects) or not _floating(kind):
                raise _NotVectorisable
            return f"({self.name}_FLOAT)((float)({view.of(node)}))"
        match node.type:
            case "parenthesized_expression":
                return f"({self.vector(node.named_children[0])})"
            case "subscript_expression":
                return self.load(node)
            case "unary_expression" if source.text[node.start_byte] in "+-":
                return f"({source.text[node.start_byte]}{self.vector(node.named_children[-1])})"
            case "cast_expression":
                return self.cast(node)
            case "binary_expression":
                return self.binary(node)
            case "call_expression":
                return self.call(node)
        raise _NotVectorisable

    def number(self, node: Node) -> str:
        text = self.view.of(node)
        suffix = "f" if literal(text) == "double" else ""
        return f"({self.name}_FLOAT)({text}{suffix})"

    def cast(self, node: Node) -> str:
        kind, value = node.child_by_field_name("type"), node.child_by_field_name("value")
        assert kind is not None and value is not None  # noqa: PT018
        if not _floating(self.view.of(kind)):
            raise _NotVectorisable
        return self.vector(value)

    def binary(self, node: Node) -> str:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        operator = node.child_by_field_name("operator")
        assert left is not None and right is not None and operator is not None  # noqa: PT018
        if self.view.of(operator) not in "+-*/":
            raise _NotVectorisable
        return f"{self.vector(left)} {self.view.of(operator)} {self.vector(right)}"

    def call(self, node: Node) -> str:
        callee, arguments = node.child_by_field_name("function"), node.child_by_field_name("arguments")
        assert callee is not None and arguments is not None  # noqa: PT018
        name = self.view.of(callee)
        if (
            callee.type == "parenthesized_expression"
            and _floating(name[1:-1].strip())
            and arguments.named_child_count == 1
        ):
            return f"({self.vector(arguments.named_children[0])})"
        if name not in _MATHS:
            raise _NotVectorisable
        listed = ", ".join(self.vector(argument) for argument in arguments.named_children)
        return f"{_EXTREMES.get(name, name)}({listed})"

    def load(self, node: Node) -> str:
        array, index = node.child_by_field_name("argument"), node.child_by_field_name("index")
        assert array is not None and index is not None  # noqa: PT018
        kind = self.view.names.type_of(node)
        if not contiguous(self.view.source, index, self.loop.variable) or not _floating(kind):
            raise _NotVectorisable
        if self.view.of(array) in self.loop.effects.declared:
            raise _NotVectorisable
        return f"{self.name}_CONVERT({self.name}_LOAD(0, {self.view.of(array)} + ({self.view.of(index)})))"


def _floating(kind: str | None) -> bool:
    return kind is not None and (kind == "float" or kind.endswith("_t")) and kind not in ("size_t", "ptrdiff_t")
