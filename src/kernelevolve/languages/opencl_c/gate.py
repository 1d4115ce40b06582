"""The gate: what an OpenCL C source must not contain, found on its tokens and syntax tree before anything runs.

It allows what kernels need rather than listing what attacks use: functions are the language's or the file's, state
lives in buffers, and control flow is structured. The rules are named, so that a rejection says which one it was.
"""

from __future__ import annotations

__all__ = ["check"]

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from attrs import frozen
from tree_sitter import Node

from kernelevolve.languages.opencl_c.lexing import Token, line_at
from kernelevolve.languages.opencl_c.names import BUILTINS, FORBIDDEN, KEYWORDS, RESERVED_OK, TYPES, words
from kernelevolve.languages.opencl_c.pointers import check_pointers
from kernelevolve.languages.opencl_c.preprocessor import Macro, check_macros, read_directives
from kernelevolve.languages.opencl_c.source import Source
from kernelevolve.outcome import Rejected

MAX_DEPTH: Final = 100
#: Attributes that say how to compile or lay out, and nothing about linkage or sections.
ATTRIBUTES: Final = frozenset(
    words(
        "reqd_work_group_size work_group_size_hint vec_type_hint always_inline noinline aligned packed "
        "opencl_unroll_hint intel_reqd_sub_group_size"
    )
)
#: Names of types that the file does not declare: ``x_t`` (an element type), or a tunable such as ``ACC``.
_TYPE_LIKE: Final = re.compile(r"[a-z]\w*_t[0-9]*|[A-Z][A-Z0-9_]*")
_RESERVED: Final = re.compile(r"_[_A-Z]\w*")


def _fail(line: int, rule: str, message: str) -> Rejected:
    return Rejected(f"line {line}: {message}", rule=rule, line=line)


def check(source: Source) -> None:
    """Return if `source` may be compiled and run. Raises `Rejected` with rule and line."""
    text = source.text
    tokens = source.tokens
    lines = [line_at(text, token.start) for token in tokens if token.kind == "directive"]
    directives = read_directives(tokens, lines)
    macros = check_macros(directives, tokens)
    for directive in directives:
        for token in directive.tokens:
            _check_word(token, directive.line)
    for token in tokens:
        if token.kind in _SPOKEN:
            _check_word(token, text)
    _check_attributes(tokens, text)
    _Checker.of(source, macros).check()


_SPOKEN: Final = frozenset({"word", "string"})


def _check_word(token: Token, where: int | str) -> None:
    text = token.text
    if token.kind == "string" and text[0] == '"':
        rule, message = "string", "a string has no use in a kernel; nothing here prints or compiles text"
    elif text in FORBIDDEN:
        rule, reason = FORBIDDEN[text]
        message = f"{text} is not allowed: {reason}"
    elif text.startswith("__builtin"):
        rule, message = "builtin", f"{text} belongs to one compiler; use the OpenCL C function for it"
    elif text[0] == "_" and _RESERVED.fullmatch(text) and text not in RESERVED_OK:
        rule, message = (
            "reserved-name",
            f"{text} is a name of the compiler's own; names do not start with __ or _X here",
        )
    else:
        return
    line = where if isinstance(where, int) else line_at(where, token.start)
    raise _fail(line, rule, message)


def _check_attributes(tokens: Sequence[Token], text: str) -> None:
    for index, token in enumerate(tokens):
        if token.text != "__attribute__":
            continue
        depth = 0
        for inner in tokens[index + 1 :]:
            depth += (inner.text == "(") - (inner.text == ")")
            if inner.kind == "word" and depth == 2 and inner.text not in ATTRIBUTES:
                what = f"attribute {inner.text} is not allowed; there is {', '.join(sorted(ATTRIBUTES))}"
                raise _fail(line_at(text, inner.start), "attribute", what)
            if depth == 0:
                break


@frozen
class _Checker:
    """The rules that need the tree."""

    source: Source
    macros: Mapping[str, Macro]
    functions: frozenset[str]

    @classmethod
    def of(cls, source: Source, macros: Sequence[Macro]) -> _Checker:
        names = (function_name(source, node) for node in source.functions())
        return cls(source, {macro.name: macro for macro in macros}, frozenset(name for name in names if name))

    def fail(self, node: Node, rule: str, message: str) -> Rejected:
        return _fail(self.source.line(node), rule, message)

    def check(self) -> None:
        self._check_syntax()
        for name in self.functions:
            if name in BUILTINS or name in self.macros:
                raise Rejected(
                    f"function {name} has the name of something else; choose a new name", rule="name", line=1
                )
        self._check_top(self.source.root)
        for macro in self.macros.values():
            self._check_macro(macro)
        nodes: dict[str, list[Node]] = {}
        self._collect(nodes)
        for call in nodes.get("call_expression", ()):
            self._check_call(call)
        for node in nodes.get("storage_class_specifier", ()):
            self._check_storage(node)
        for node in nodes.get("function_declarator", ()):
            self._check_declarator(node)
        check_pointers(self.source, nodes)

    def _check_syntax(self) -> None:
        if not self.source.root.has_error:
            return
        node = self.source.root
        while not (node.type == "ERROR" or node.is_missing):
            node = next(child for child in node.children if child.has_error or child.is_missing)
        near = self.source.text[node.start_byte : node.start_byte + 40].split("\n")[0]
        what = f"a {node.type!r} is missing" if node.is_missing else f"cannot be read near {near!r}"
        raise self.fail(node, "syntax", f"not OpenCL C: {what}")

    def _collect(self, nodes: dict[str, list[Node]]) -> None:
        cursor, depth = self.source.root.walk(), 0
        while True:
            node = cursor.node
            if node is not None and node.type in _INTERESTING:
                nodes.setdefault(node.type, []).append(node)
            if cursor.goto_first_child():
                depth += 1
                if depth > MAX_DEPTH:
                    raise _fail(cursor.node.start_point[0] + 1 if cursor.node else 1, "depth", "code nests too deeply")
                continue
            while not cursor.goto_next_sibling():
                if not cursor.goto_parent():
                    return
                depth -= 1

    def _check_top(self, parent: Node) -> None:
        for node in parent.named_children:
            if node.type.startswith("preproc_"):
                if node.type in _BLOCKS:
                    self._check_top(node)
            elif node.type == "declaration":
                self._check_declaration(node)
            elif node.type not in _TOP and not (parent.type in _BLOCKS and node.type in _CONDITIONS):
                what = f"{node.type.replace('_', ' ')} outside a function; a file holds functions, types and constants"
                raise self.fail(node, "program-scope", what)

    def _check_declaration(self, node: Node) -> None:
        text = self.source
        for inner in text.walk(node):
            if inner.type in ("identifier", "type_identifier") and text.of(inner) in self.macros:
                self._check_named(inner, self.macros[text.of(inner)])
        declarators = node.children_by_field_name("declarator")
        if declarators and all(_is_prototype(child) for child in declarators):
            for child in declarators:
                name = _declared_name(text, child)
                if name not in self.functions:
                    what = f"function {name} is declared and not defined in this file; nothing is linked to it"
                    raise self.fail(node, "linkage", what)
            return
        qualifiers = {text.of(child) for child in node.children if child.type == "type_qualifier"}
        if declarators and not qualifiers & {"__constant", "constant"}:
            what = "a variable outside a function would outlive a launch; only __constant tables may stand there"
            raise self.fail(node, "program-scope", what)
        for declarator in declarators:
            self._check_constant(declarator)

    def _check_named(self, node: Node, macro: Macro) -> None:
        """A macro in a declaration outside functions may be a number there, and nothing that declares more."""
        parent = node.parent
        whole = parent is not None and parent.type == "declaration"
        if whole or any(token.text in _STRUCTURE for token in macro.body):
            what = f"macro {macro.name} may not declare anything outside functions; write the declaration out"
            raise self.fail(node, "program-scope", what)

    def _check_constant(self, declarator: Node) -> None:
        value = declarator.child_by_field_name("value")
        if value is None:
            raise self.fail(declarator, "program-scope", "a __constant needs its value where it is declared")
        for node in self.source.walk(value):
            if node.type in ("pointer_expression", "assignment_expression", "update_expression", "string_literal"):
                raise self.fail(node, "program-scope", "a __constant holds numbers only")

    def _check_call(self, node: Node) -> None:
        callee = node.child_by_field_name("function")
        assert callee is not None
        if callee.type == "parenthesized_expression":  # (float4)(a, b): C has no such literal and reads a call
            inner = callee.named_children[0] if callee.named_child_count == 1 else callee
            name = self.source.of(inner)
            if name in TYPES or name in self.macros or _TYPE_LIKE.fullmatch(name):
                return
            raise self.fail(
                node, "call", "only a function's own name can be called; pointers to functions do not exist"
            )
        name = self.source.of(callee)
        if callee.type not in ("identifier", "primitive_type") or not self._known(name):
            what = f"{name[:60]}(…) is neither defined in this file nor a function of OpenCL C"
            raise self.fail(node, "call", what)

    def _known(self, name: str) -> bool:
        return name in BUILTINS or name in self.functions or name in self.macros

    def _check_macro(self, macro: Macro) -> None:
        body = macro.body
        for index, token in enumerate(body):
            called = index + 1 < len(body) and body[index + 1].text == "("
            if token.text in ("static", "__attribute__", "auto", "register"):
                raise _fail(
                    macro.line, "macro", f"macro {macro.name} hides {token.text}; write it where it takes effect"
                )
            if token.kind != "word" or not called or token.text in KEYWORDS or token.text in TYPES:
                continue
            if not self._known(token.text):
                what = (
                    f"macro {macro.name} calls {token.text}, which is neither defined here nor a function of OpenCL C"
                )
                raise _fail(macro.line, "call", what)

    def _check_storage(self, node: Node) -> None:
        word, parent = self.source.of(node), node.parent
        whole = parent is not None and (parent.type == "function_definition" or _at_top(parent))
        if word in ("__kernel", "kernel", "static", "inline") and whole:
            return
        raise self.fail(node, "storage", f"{word} is not allowed here: variables live no longer than one work-item")

    def _check_declarator(self, node: Node) -> None:
        inner = node.child_by_field_name("declarator")
        if inner is None or inner.type != "identifier":
            raise self.fail(node, "function-pointer", "pointers to functions do not exist in OpenCL C")
        parent = node.parent
        while parent is not None and parent.type in ("pointer_declarator", "init_declarator"):
            parent = parent.parent
        if parent is None or (parent.type != "function_definition" and not _at_top(parent)):
            raise self.fail(node, "linkage", "functions are declared outside of functions")


_STRUCTURE: Final = frozenset(("{", "}", ";", *KEYWORDS))
_INTERESTING: Final = frozenset(
    words(
        "call_expression cast_expression storage_class_specifier function_declarator init_declarator "
        "type_definition field_declaration assignment_expression pointer_declarator abstract_pointer_declarator "
        "array_declarator pointer_expression parameter_declaration declaration"
    )
)
_TOP: Final = frozenset(
    words("function_definition type_definition struct_specifier enum_specifier union_specifier comment ;")
)
_BLOCKS: Final = frozenset(words("preproc_if preproc_ifdef preproc_else preproc_elif preproc_elifdef"))
#: What stands in a block as its condition.
_CONDITIONS: Final = frozenset(
    words(
        "identifier number_literal binary_expression unary_expression parenthesized_expression preproc_defined "
        "call_expression char_literal"
    )
)


def _at_top(node: Node) -> bool:
    parent = node.parent
    return node.type == "declaration" and parent is not None and parent.type in {"translation_unit", *_BLOCKS}


def _is_prototype(declarator: Node) -> bool:
    return any(node.type == "function_declarator" for node in _chain(declarator))


def _chain(declarator: Node) -> Iterator[Node]:
    node: Node | None = declarator
    while node is not None:
        yield node
        node = node.child_by_field_name("declarator")


def _declared_name(source: Source, declarator: Node) -> str:
    return source.of(list(_chain(declarator))[-1])


def function_name(source: Source, node: Node) -> str:
    """The name of a ``function_definition``, or the empty string."""
    declarator = node.child_by_field_name("declarator")
    return "" if declarator is None else _declared_name(source, declarator)
