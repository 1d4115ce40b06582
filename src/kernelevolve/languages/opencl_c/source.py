"""The syntax tree of one OpenCL C source, with offsets into the text as it was written.

tree-sitter-c knows C and not OpenCL C. So it is shown the source with each OpenCL word replaced by a C word of at most
the same length (``__global`` by ``const``, ``__kernel`` by ``static``), padded with spaces; comments, attributes and
pragmas are blanked. Every offset and every line stays what it was, and all text is taken from the original.
"""

from __future__ import annotations

__all__ = ["Source", "parse"]

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

import tree_sitter_c
from attrs import field, frozen
from tree_sitter import Language, Node, Parser, Tree

from kernelevolve.languages.opencl_c.lexing import MAX_BYTES, Token, lex, line_at
from kernelevolve.languages.opencl_c.names import QUALIFIERS
from kernelevolve.outcome import Rejected

MAX_TOKENS: Final = 20_000
MAX_BRACKETS: Final = 48
#: ``(a) & b`` is a cast or an operation; the parser follows both, in time quadratic in their number (22 s at 4800).
MAX_UNDECIDED: Final = 128
_parser = Parser(Language(tree_sitter_c.language()))


@frozen(eq=False)
class Source:
    """One parsed source."""

    text: str
    #: Everything but comments.
    tokens: tuple[Token, ...] = field(repr=False)
    tree: Tree = field(repr=False)
    #: Words that the grammar saw as others, by offset.
    replaced: Mapping[int, str] = field(repr=False)
    #: Where an attribute or pragma before a statement starts, by the offset of the statement.
    hints: Mapping[int, int] = field(repr=False)

    @property
    def root(self) -> Node:
        """The whole file."""
        return self.tree.root_node

    def of(self, node: Node) -> str:
        """The node as it was written."""
        word = self.replaced.get(node.start_byte)
        if word is not None and node.type in _WORDS:
            return word
        return self.text[node.start_byte : node.end_byte]

    def line(self, node: Node) -> int:
        """The line (from 1) on which `node` starts."""
        return node.start_point[0] + 1

    def start(self, node: Node) -> int:
        """Where `node` starts, with the pragma or attribute that belongs to it."""
        return self.hints.get(node.start_byte, node.start_byte)

    def functions(self) -> Iterator[Node]:
        """Every function definition, those inside ``#if`` included."""
        return (node for node in self.walk(self.root, skip=_CODE) if node.type == "function_definition")

    def walk(self, node: Node, skip: frozenset[str] = frozenset()) -> Iterator[Node]:
        """`node` and all below it, in the order of the text; does not enter nodes whose type is in `skip`."""
        stack = [node]
        while stack:
            here = stack.pop()
            yield here
            if here.type not in skip:
                stack.extend(reversed(here.named_children))


_WORDS = frozenset({"type_qualifier", "storage_class_specifier", "const", "static", "restrict"})
_CODE = frozenset({"function_definition", "declaration", "type_definition"})


@lru_cache(maxsize=64)
def parse(text: str) -> Source:
    """Lex and parse `text`. Raises `Rejected` where that fails or it is too large; syntax errors stay in the tree."""
    if len(text) > MAX_BYTES:
        raise Rejected(f"{len(text)} characters of source; at most {MAX_BYTES} are allowed", rule="size", line=1)
    tokens = lex(text)
    _check_size(text, tokens)
    masked, replaced, hints = _mask(text, tokens)
    tree = _parser.parse(masked.encode("ascii", "replace"))
    code = tuple(token for token in tokens if token.kind != "comment")
    return Source(text=text, tokens=code, tree=tree, replaced=replaced, hints=hints)


def _check_size(text: str, tokens: list[Token]) -> None:
    """Keep what would take a parser or a compiler long away from both."""
    if len(tokens) > MAX_TOKENS:
        raise Rejected(f"{len(tokens)} tokens; at most {MAX_TOKENS} are allowed", rule="size", line=1)
    depth = undecided = 0
    for index, token in enumerate(tokens):
        if token.text in _ENDS:
            undecided = 0
        elif token.text in _SIGNS and index >= 3 and tokens[index - 1].text == ")" and tokens[index - 3].text == "(":
            undecided += 1
            if undecided > MAX_UNDECIDED:
                line = line_at(text, token.start)
                message = f"line {line}: over {MAX_UNDECIDED} of (name) with a sign behind it in one statement"
                raise Rejected(f"{message}; split it", rule="size", line=line)
        if token.text in _OPENING:
            depth += 1
            if depth > MAX_BRACKETS:
                line = line_at(text, token.start)
                raise Rejected(f"line {line}: brackets nest deeper than {MAX_BRACKETS}", rule="depth", line=line)
        elif token.text in _CLOSING:
            depth -= 1


_ENDS: Final = frozenset(";{}")
_SIGNS: Final = frozenset("&*+-")
_OPENING: Final = frozenset("([{")
_CLOSING: Final = frozenset(")]}")


def _mask(text: str, tokens: list[Token]) -> tuple[str, dict[int, str], dict[int, int]]:
    parts: list[str] = []
    replaced: dict[int, str] = {}
    hints: dict[int, int] = {}
    at, hint, index = 0, -1, 0
    while index < len(tokens):
        kind, word, start = token = tokens[index]
        index += 1
        shown, end = None, token.end
        if kind == "comment":
            shown = _blank(word)
        elif kind == "word" and word in QUALIFIERS:
            shown = QUALIFIERS[word].ljust(len(word))
            replaced[start] = word
        elif kind == "word" and word == "__attribute__":
            index, end = _attribute(text, tokens, index)
            shown = _blank(text[start:end])
        elif kind == "directive" and word[1:].lstrip().startswith("pragma"):
            shown = _blank(word)
        if shown is not None:
            parts += (text[at:start], shown)
            at = end
        if kind != "comment":
            hides = shown is not None and word not in QUALIFIERS
            if not hides and hint >= 0:
                hints[start] = hint
            hint = (start if hint < 0 else hint) if hides else -1
    parts.append(text[at:])
    return "".join(parts), replaced, hints


def _attribute(text: str, tokens: list[Token], index: int) -> tuple[int, int]:
    """The token after ``((…))``, and where the parentheses end."""
    depth, first = 0, index
    while index < len(tokens):
        token = tokens[index]
        index += 1
        if token.kind == "comment":
            continue
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token.text == ")":
            return index, token.end
        if depth <= 0:
            break
    line = line_at(text, tokens[first - 1].start)
    raise Rejected(f"line {line}: __attribute__ needs two closed parentheses: ((name))", rule="attribute", line=line)


def _blank(text: str) -> str:
    return "\n".join(" " * len(line) for line in text.split("\n"))
