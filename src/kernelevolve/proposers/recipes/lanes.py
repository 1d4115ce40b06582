"""From scalar statements to vector statements: LANES neighbouring values of one variable at a time.

The variable is a loop's counter or an item's id. Loads that move with it become vector loads, what depends on them
becomes a vector, the rest stays scalar. The code uses what ``opencl/vectors.h.cl`` defines: ``DIVIDE``, and per
element type, such as float, the vector ``floatv_t``, the same as it lies in a buffer ``floatu_t``, and ``to_float``.
"""

from __future__ import annotations

__all__ = ["Lanes", "Value"]

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from attrs import define, field, frozen
from tree_sitter import Node

from kernelevolve.languages.opencl_c.source import Source
from kernelevolve.proposers.recipes import tree
from kernelevolve.proposers.recipes.reductions import Combination
from kernelevolve.proposers.recipes.strides import Stride, stride
from kernelevolve.proposers.recipes.tree import NotAnalysableError, block, identifiers
from kernelevolve.proposers.recipes.types import TypeNames

_MATH = (
    "acos acosh acospi asin asinh asinpi atan atanh atanpi cbrt ceil cos cosh cospi erf erfc exp exp2 exp10 expm1 fabs "
    "floor lgamma log log2 log10 log1p logb rint round rsqrt sin sinh sinpi sqrt tan tanh tanpi tgamma trunc degrees "
    "radians sign atan2 atan2pi copysign fdim fmax fmin fmod hypot nextafter pow powr remainder maxmag minmag fma mad "
    "clamp mix smoothstep step max min native_cos native_divide native_exp native_exp2 native_exp10 native_log "
    "native_log2 native_log10 native_powr native_recip native_rsqrt native_sin native_sqrt native_tan"
)
#: Functions of OpenCL C that work on vectors element by element, with result and arguments of one type.
ELEMENTWISE: Final = frozenset(_MATH.split())
_JUMPS: Final = frozenset(("break_statement", "continue_statement", "return_statement", "goto_statement"))
_ARITHMETIC: Final = frozenset(("+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"))
_COMPARE: Final = frozenset(("<", "<=", ">", ">=", "==", "!="))


@frozen
class Value:
    """An expression: its text, and the element type where it is a vector (None: a scalar)."""

    text: str
    type: str | None = None
    #: A comparison: all bits set where it holds, in integers as wide as `type`.
    mask: bool = False


@define
class Lanes:
    """Turns statements into vector statements over `variable`."""

    source: Source
    variable: str
    #: Element types of pointers.
    pointers: Mapping[str, str]
    types: TypeNames
    #: Element types of variables that are vectors.
    vectors: dict[str, str] = field(factory=dict)
    #: Index variables that move with `variable`, with their initial values.
    indices: dict[str, Node] = field(factory=dict)
    #: Every element type of which a vector is used.
    used: set[str] = field(factory=set)
    #: How many stores of vectors there are.
    stores: int = 0
    #: Expressions that take the place of nodes, by where these start and end.
    replaced: Mapping[tuple[int, int], Value] = field(factory=dict)

    # --- what moves ---------------------------------------------------------------------------------------------------

    def moves(self, node: Node) -> bool:
        """Whether the value of `node` differs from lane to lane."""
        names = identifiers(self.source, node)
        return bool(names & ({self.variable} | set(self.vectors) | set(self.indices)))

    def discover(self, statements: Iterable[Node]) -> None:
        """Find the variables that become vectors: those that are ever given a value that moves."""
        declared: dict[str, str] = {}
        found = list(statements)
        while True:
            before = (len(self.vectors), len(self.indices))
            for statement in found:
                for node in self.source.walk(statement):
                    self._discover(node, declared)
            if (len(self.vectors), len(self.indices)) == before:
                return

    def _discover(self, node: Node, declared: dict[str, str]) -> None:
        if node.type == "declaration":
            for declarator in node.children_by_field_name("declarator"):
                name = declarator.child_by_field_name("declarator") or declarator
                declared[self.source.of(name)] = self.source.of(tree.field(node, "type"))
                value = declarator.child_by_field_name("value")
                if value is not None and name.type == "identifier" and self.moves(value):
                    self._note(self.source.of(name), value, declared)
        elif node.type == "assignment_expression":
            left, right = tree.field(node, "left"), tree.field(node, "right")
            if left.type == "identifier" and self.moves(right):
                self._note(self.source.of(left), None, declared)

    def _note(self, name: str, value: Node | None, declared: Mapping[str, str]) -> None:
        if name in self.vectors or name in self.indices:
            return
        loads = value is None or any(True for _ in tree.nodes(self.source, value, "subscript_expression"))
        if not loads and value is not None and not identifiers(self.source, value) & set(self.vectors):
            self.indices[name] = value
        elif name in declared:
            self.vectors[name] = declared[name]
        else:
            raise NotAnalysableError(f"{name} outlives the lanes and takes a value of each")

    # --- statements ---------------------------------------------------------------------------------------------------

    def statements(self, statements: Iterable[Node]) -> str:
        """The statements over LANES values; call `discover` first. Raises `NotAnalysableError`."""
        return "\n".join(self._statement(node) for node in statements)

    def _statement(self, node: Node) -> str:
        jump = next((inner.type for inner in self.source.walk(node) if inner.type in _JUMPS), None)
        if jump is not None:
            raise NotAnalysableError(f"a {jump.replace('_', ' ')} among statements over lanes")
        match node.type:
            case "declaration":
                return self._declaration(node)
            case "expression_statement":
                return self._assignment(node.named_children[0]) + ";" if node.named_children else ";"
            case "compound_statement":
                return "{\n" + self.statements(node.named_children) + "\n}"
            case "for_statement":
                return self._loop(node)
        if self.moves(node):
            raise NotAnalysableError(f"a {node.type.replace('_', ' ')} that differs from lane to lane")
        return self.source.of(node)

    def _loop(self, node: Node) -> str:
        body = tree.field(node, "body")
        head = [node.child_by_field_name(name) for name in ("initializer", "condition", "update")]
        if any(part is not None and self.moves(part) for part in head):
            raise NotAnalysableError("a loop whose length differs from lane to lane")
        opening = self.source.text[node.start_byte : body.start_byte]
        return opening + "{\n" + self.statements(block(body)) + "\n}"

    def _declaration(self, node: Node) -> str:
        kind = self.source.of(tree.field(node, "type"))
        lines = []
        for declarator in node.children_by_field_name("declarator"):
            target = declarator.child_by_field_name("declarator") or declarator
            name, value = self.source.of(target), declarator.child_by_field_name("value")
            if name in self.vectors:
                start = "" if value is None else f" = {self.widen(self.value(value), kind)}"
                lines.append(f"{self.vector(kind)} {name}{start};")
            elif name in self.indices or not self.moves(declarator):
                qualifiers = " ".join(self.source.of(c) for c in node.children if c.type == "type_qualifier")
                lines.append(f"{qualifiers} {kind} {self.source.of(declarator)};".strip())
            else:
                raise NotAnalysableError(f"{name} moves with {self.variable} and is no number")
        return "\n".join(lines)

    def _assignment(self, node: Node) -> str:
        if node.type != "assignment_expression":
            if self.moves(node):
                raise NotAnalysableError(f"{node.type.replace('_', ' ')} over lanes")
            return self.source.of(node)
        left, right = tree.field(node, "left"), tree.field(node, "right")
        operator = self.source.of(tree.field(node, "operator"))
        if left.type == "identifier":
            name = self.source.of(left)
            if name not in self.vectors:
                return self.source.of(node)
            value = self.widen(self.value(right), self.vectors[name])
            return f"{name} {operator} {value}"
        place = self._place(left)
        if place is None or operator != "=":
            raise NotAnalysableError(f"a store that is not one vector: {self.source.of(node)[:60]!r}")
        kind, address = place
        self.stores += 1
        return f"*(__global {self.memory(kind)} *)({address}) = {self.widen(self.value(right), kind)}"

    def _place(self, node: Node) -> tuple[str, str] | None:
        """Element type and address of a subscript that moves by one element per lane."""
        if node.type != "subscript_expression":
            return None
        pointer, index = self.source.of(tree.field(node, "argument")), tree.field(node, "index")
        if pointer not in self.pointers or identifiers(self.source, index) & set(self.vectors):
            return None
        if stride(self.source, index, self.variable, self.indices) is not Stride.UNIT:
            return None
        return self.pointers[pointer], f"{pointer} + ({self.source.of(index)})"

    def combine(self, found: Combination, target: str, kind: str) -> str:
        """The statement that combines what `found` combines into `target`, a vector of `kind`."""
        values = [self.value(part) for part in found.parts]
        if len(values) == 1:
            part = self.widen(values[0], kind)
        else:
            part = " * ".join(f"({self.widen(value, kind)})" for value in values)
        return f"{target} = {found.text(target, part)};"

    # --- expressions --------------------------------------------------------------------------------------------------

    def widen(self, value: Value, kind: str) -> str:
        """The text of `value` as a vector of `kind`."""
        if value.mask:
            raise NotAnalysableError("a comparison used as a number")
        if value.type is None:
            return f"({self.vector(kind)})({value.text})"
        if self.types.real(value.type) == self.types.real(kind):
            return value.text
        self.vector(kind)
        return f"to_{self.types.real(kind)}({value.text})"

    def vector(self, kind: str) -> str:
        """The name of the vector type of `kind`."""
        if not self.types.known(kind):
            raise NotAnalysableError(f"a vector of {kind}")
        self.used.add(self.types.real(kind))
        return f"{self.types.real(kind)}v_t"

    def memory(self, kind: str) -> str:
        """The name of the same type as it lies in a buffer."""
        return self.vector(kind).replace("v_t", "u_t")

    def load(self, kind: str, address: str) -> Value:
        """LANES elements from `address` on."""
        return Value(f"(*(__global const {self.memory(kind)} *)({address}))", kind)

    def value(self, node: Node) -> Value:
        """`node` over LANES values. Raises `NotAnalysableError` where it has no vector form."""
        if (node.start_byte, node.end_byte) in self.replaced:
            return self.replaced[node.start_byte, node.end_byte]
        if not self.moves(node):
            return Value(self.source.of(node))
        forms: Mapping[str, Callable[[Node], Value]] = {
            "identifier": self._variable,
            "parenthesized_expression": self._parentheses,
            "subscript_expression": self._subscript,
            "cast_expression": self._cast,
            "unary_expression": self._unary,
            "binary_expression": self._binary,
            "conditional_expression": self._conditional,
            "call_expression": self._call,
        }
        if node.type not in forms:
            raise NotAnalysableError(f"{self.source.of(node)[:60]!r} has no vector form")
        return forms[node.type](node)

    def _variable(self, node: Node) -> Value:
        name = self.source.of(node)
        if name in self.vectors:
            return Value(name, self.vectors[name])
        raise NotAnalysableError(f"the index {name} is used as a value")

    def _parentheses(self, node: Node) -> Value:
        inner = self.value(node.named_children[0])
        return Value(f"({inner.text})", inner.type, inner.mask)

    def _subscript(self, node: Node) -> Value:
        place = self._place(node)
        if place is not None:
            return self.load(*place)
        index = tree.field(node, "index")
        still = stride(self.source, index, self.variable, self.indices) is Stride.NONE
        if still and not identifiers(self.source, index) & set(self.vectors):
            return Value(self.source.of(node))
        raise NotAnalysableError(f"{self.source.of(node)[:60]!r} does not load neighbours")

    def _cast(self, node: Node) -> Value:
        kind = self.source.of(tree.field(node, "type"))
        return Value(self.widen(self.value(tree.field(node, "value")), kind), kind)

    def _unary(self, node: Node) -> Value:
        inner = self.value(tree.field(node, "argument"))
        operator = self.source.of(tree.field(node, "operator"))
        if inner.mask != (operator == "!"):
            raise NotAnalysableError(f"{operator} over lanes")
        return Value(f"{operator}{inner.text}", inner.type, inner.mask)

    def _unified(self, values: Iterable[Value]) -> tuple[str, list[str]]:
        """The type that C would calculate in, and the vectors converted to it; scalars stay."""
        found = list(values)
        kinds = [value.type for value in found if value.type is not None]
        kind = kinds[0]
        for other in kinds[1:]:
            kind = self.types.wider(kind, other)
        texts = [self._scalar(v.text, kind) if v.type is None else self.widen(v, kind) for v in found]
        return kind, texts

    def _scalar(self, text: str, kind: str) -> str:
        """A scalar beside vectors: a double literal would not be taken where the vectors are narrower."""
        plain = text.replace(".", "", 1).replace("e-", "").replace("e", "")
        if "." in text and plain.isdigit() and self.types.real(kind) == "float":
            return f"{text}f"
        return text

    def _binary(self, node: Node) -> Value:
        operator = self.source.of(tree.field(node, "operator"))
        left, right = self.value(tree.field(node, "left")), self.value(tree.field(node, "right"))
        if operator in ("&&", "||"):
            if not (left.mask and right.mask):
                raise NotAnalysableError("a condition of lanes beside one of the item")
            return Value(f"{left.text} {operator} {right.text}", left.type, mask=True)
        kind, (one, two) = self._unified((left, right))
        if operator in _COMPARE:
            return Value(f"{one} {operator} {two}", kind, mask=True)
        if operator not in _ARITHMETIC:
            raise NotAnalysableError(f"operator {operator} over lanes")
        if operator == "/" and right.type is None and self.types.is_float(kind):
            return Value(f"DIVIDE({self.vector(kind)}, {one}, {two})", kind)
        return Value(f"{one} {operator} {two}", kind)

    def _conditional(self, node: Node) -> Value:
        condition = self.value(tree.field(node, "condition"))
        branches = [self.value(tree.field(node, side)) for side in ("consequence", "alternative")]
        typed = [branch for branch in branches if branch.type is not None]
        kind = self._unified(typed)[0] if typed else str(condition.type)
        alike = condition.mask and self.types.size(str(condition.type)) == self.types.size(kind)
        if condition.type is not None and not alike:
            raise NotAnalysableError("a choice between values of another width than what is compared")
        one, two = (self.widen(branch, kind) for branch in branches)
        return Value(f"({condition.text} ? {one} : {two})", kind)

    def _call(self, node: Node) -> Value:
        name = self.source.of(tree.field(node, "function"))
        arguments = [self.value(argument) for argument in tree.field(node, "arguments").named_children]
        if name.startswith("convert_") and len(arguments) == 1:
            kind = name.removeprefix("convert_")
            if self.types.known(kind):
                return Value(self.widen(arguments[0], kind), kind)
        if name not in ELEMENTWISE:
            raise NotAnalysableError(f"{name}(…) has no vector form here")
        kind, _ = self._unified(arguments)
        return Value(f"{name}({', '.join(self.widen(argument, kind) for argument in arguments)})", kind)
