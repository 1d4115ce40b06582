"""The `Language` plugin for OpenCL C."""

from __future__ import annotations

__all__ = ["OpenCLC"]

from collections.abc import Mapping
from typing import Final

from tree_sitter import Node

from kernelevolve.kernel import Value
from kernelevolve.language import Parameter, ParameterKind
from kernelevolve.languages.opencl_c.definitions import check_definition
from kernelevolve.languages.opencl_c.gate import check, function_name
from kernelevolve.languages.opencl_c.lexing import lex
from kernelevolve.languages.opencl_c.source import Source, parse
from kernelevolve.outcome import Rejected

_LOCAL: Final = frozenset(("__local", "local"))
_KERNEL: Final = frozenset(("__kernel", "kernel"))


class OpenCLC:
    """OpenCL C. Entries are ``__kernel`` functions; the gate is in `kernelevolve.languages.opencl_c.gate`."""

    name: str = "opencl"
    comment: str = "//"
    suffix: str = ".cl"

    def check_tunable(self, name: str, value: Value) -> None:
        """A tunable becomes a macro: its name must not be a word of the language, nor its value be code."""
        check_definition(name, value)

    def entries(self, body: str) -> Mapping[str, tuple[Parameter, ...]]:
        """Every kernel function, with its parameters in order. Raises `Rejected` where the source cannot be lexed."""
        source = parse(body)
        found: dict[str, tuple[Parameter, ...]] = {}
        for node in source.functions():
            name = function_name(source, node)
            if not any(
                source.of(child) in _KERNEL for child in node.children if child.type == "storage_class_specifier"
            ):
                continue
            if name in found:
                line = source.line(node)
                raise Rejected(f"line {line}: kernel {name} is defined twice", rule="entry", line=line)
            found[name] = _parameters(source, node)
        return found

    def gate(self, body: str) -> None:
        """Return if the source may be compiled and run; raise `Rejected` with rule, line and reason."""
        check(parse(body))

    def normalize(self, body: str) -> str:
        """The tokens, one space between them; directives on lines of their own."""
        parts: list[str] = []
        for token in lex(body):
            if token.kind == "directive":
                parts.append(f"\n#{_normal_directive(token.text[1:])}\n")
            elif token.kind != "comment":
                parts.append(token.text)
        return " ".join(parts).replace(" \n", "\n").replace("\n ", "\n").strip()


def _normal_directive(text: str) -> str:
    """Gaps shrink and do not vanish: ``#define F(x)`` and ``#define F (x)`` differ."""
    words, end = "", 0
    for token in lex(text, directive=True):
        if token.kind != "comment":
            words += (" " if token.start > end and words else "") + token.text
            end = token.end
    return words


def _parameters(source: Source, function: Node) -> tuple[Parameter, ...]:
    declarator = function.child_by_field_name("declarator")
    while declarator is not None and declarator.type != "function_declarator":
        declarator = declarator.child_by_field_name("declarator")
    listed = None if declarator is None else declarator.child_by_field_name("parameters")
    if listed is None:
        return ()
    declared = (node for node in listed.named_children if node.type == "parameter_declaration")
    return tuple(found for node in declared if (found := _parameter(source, node)) is not None)


def _parameter(source: Source, node: Node) -> Parameter | None:
    declarator = node.child_by_field_name("declarator")
    if declarator is None:  # (void)
        return None
    name = declarator
    while (inner := name.child_by_field_name("declarator")) is not None:
        name = inner
    pointer = declarator.type in ("pointer_declarator", "array_declarator")
    if name.type != "identifier":
        names = [child for child in source.walk(declarator) if child.type == "identifier"]
        name = names[-1] if names else name
    words = {source.of(child) for child in node.children if child.type == "type_qualifier"}
    kind = ParameterKind.SCALAR
    if pointer:
        kind = ParameterKind.LOCAL if words & _LOCAL else ParameterKind.POINTER
    written = source.text[node.start_byte : name.start_byte] + source.text[name.end_byte : node.end_byte]
    return Parameter(name=source.of(name), kind=kind, type=" ".join(written.split()))
