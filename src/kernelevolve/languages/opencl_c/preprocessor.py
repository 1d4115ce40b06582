"""What the preprocessor may do in a kernel: the file's own macros, of a bounded size, that hide nothing from the gate.

The syntax tree is read before macros are expanded. That is sound because a macro may not change the structure around it
(its brackets balance), may not rename a word of the language, and may not make new names.
"""

from __future__ import annotations

__all__ = ["Directive", "Macro", "check_macros", "read_directives"]

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from attrs import frozen

from kernelevolve.languages.opencl_c.lexing import Token, lex
from kernelevolve.languages.opencl_c.names import BUILTINS, KEYWORDS, TYPES
from kernelevolve.outcome import Rejected

MAX_MACROS: Final = 128
MAX_MACRO_LENGTH: Final = 4096
#: Tokens after expansion; a hundred times what a long kernel has, and milliseconds for any compiler.
MAX_EXPANDED: Final = 200_000
MAX_UNROLL: Final = 256

_CONDITIONALS: Final = frozenset(("if", "ifdef", "ifndef", "elif", "else", "endif"))
_ALLOWED: Final = _CONDITIONALS | {"define", "undef", "pragma"}
_EXTENSION: Final = re.compile(
    r"OPENCL\s+EXTENSION\s+(cl_khr_fp16|cl_khr_fp64|cl_khr_(?:int64|global_int32|local_int32)_(?:base|extended)_atomics"
    r"|cl_khr_subgroups\w*|cl_khr_subgroup_\w+|cl_intel_subgroups\w*|cl_khr_byte_addressable_store)\s*:\s*enable"
)
_UNROLL: Final = re.compile(r"unroll(?:\s+(\w+)|\s*\(\s*(\w+)\s*\))?")


@frozen
class Macro:
    """One ``#define``: parameters are None for one without parentheses."""

    name: str
    parameters: tuple[str, ...] | None
    body: tuple[Token, ...]
    line: int


@frozen
class Directive:
    """One preprocessor line: its name and the tokens after it."""

    name: str
    tokens: tuple[Token, ...]
    line: int
    text: str


def _fail(line: int, rule: str, message: str) -> Rejected:
    return Rejected(f"line {line}: {message}", rule=rule, line=line)


def read_directives(tokens: Iterable[Token], lines: Sequence[int]) -> tuple[Directive, ...]:
    """Every directive, checked on its own; `lines` has the line of each directive. Raises `Rejected`."""
    directives = [token for token in tokens if token.kind == "directive"]
    return tuple(_directive(token, line) for token, line in zip(directives, lines, strict=True))


def _directive(token: Token, line: int) -> Directive:
    text = token.text[1:].strip()
    name = (re.match(r"\w*", text) or [""])[0]
    if name == "include":
        raise _fail(line, "include", "#include is not allowed; a kernel is one file, and OpenCL C needs no headers")
    if name not in _ALLOWED:
        raise _fail(
            line, "directive", f"#{name or text[:20]} is not allowed; there is #define, #undef, #if and #pragma"
        )
    if name == "pragma":
        _check_pragma(text.removeprefix("pragma").strip(), line)
        return Directive(name, (), line, text)
    inside = [one for one in _lex_inside(text, line) if one.kind != "comment"]
    return Directive(name, tuple(inside[1:]), line, text)


def _lex_inside(text: str, line: int) -> list[Token]:
    try:
        return lex(text, directive=True)
    except Rejected as error:
        raise _fail(line, str(error.details["rule"]), error.message.split(": ", 1)[-1]) from None


def _check_pragma(text: str, line: int) -> None:
    unroll = _UNROLL.fullmatch(text)
    if unroll:
        count = unroll[1] or unroll[2] or ""
        if count.isdigit() and int(count) > MAX_UNROLL:
            raise _fail(line, "pragma", f"#pragma unroll {count} is beyond {MAX_UNROLL}; the compiler would not return")
        return
    if not _EXTENSION.fullmatch(text):
        what = f"#pragma {text[:60]} is not allowed; there is unroll, and OPENCL EXTENSION … : enable for numeric types"
        raise _fail(line, "pragma", f"{what}, atomics and subgroups")


def read_macros(directives: Iterable[Directive]) -> tuple[Macro, ...]:
    """The file's macros, each checked on its own. Raises `Rejected`."""
    macros = tuple(_macro(one) for one in directives if one.name == "define")
    if len(macros) > MAX_MACROS:
        raise _fail(macros[MAX_MACROS].line, "macro", f"{len(macros)} macros; at most {MAX_MACROS} are allowed")
    return macros


def _macro(directive: Directive) -> Macro:
    line, tokens = directive.line, directive.tokens
    if not tokens or tokens[0].kind != "word":
        raise _fail(line, "macro", "#define needs a name")
    if len(directive.text) > MAX_MACRO_LENGTH:
        raise _fail(line, "macro", f"a macro of {len(directive.text)} characters; at most {MAX_MACRO_LENGTH}")
    name, rest = tokens[0].text, tokens[1:]
    if name in KEYWORDS or name in TYPES or name in BUILTINS:
        raise _fail(line, "macro", f"#define {name} would give a word of OpenCL C another meaning; choose a new name")
    parameters = None
    if rest and rest[0].text == "(" and rest[0].start == tokens[0].end:
        closing = next((i for i, token in enumerate(rest) if token.text == ")"), None)
        if closing is None:
            raise _fail(line, "macro", f"the parameters of {name} have no closing parenthesis")
        parameters = _parameters(rest[1:closing], name, line)
        rest = rest[closing + 1 :]
    _check_balance(rest, name, line)
    return Macro(name, parameters, tuple(rest), line)


def _parameters(tokens: Sequence[Token], name: str, line: int) -> tuple[str, ...]:
    words = tuple(token.text for token in tokens if token.text != ",")
    if any(not word.isidentifier() for word in words):
        raise _fail(line, "macro", f"the parameters of {name} must be plain names; '...' is not allowed")
    return words


def _check_balance(tokens: Iterable[Token], name: str, line: int) -> None:
    closing = {"(": ")", "[": "]", "{": "}"}
    stack: list[str] = []
    before = ""
    for token in tokens:
        if token.text in closing:
            stack.append(closing[token.text])
        elif token.text in closing.values() and (not stack or stack.pop() != token.text):
            raise _fail(line, "macro", f"the brackets of macro {name} do not balance; a macro is a whole expression")
        elif token.text == ";" and not stack:
            message = f"macro {name} holds several statements; put them into do {{ … }} while (0)"
            raise _fail(line, "macro", message)
        elif token.text == ")" and before == "*":
            raise _fail(line, "macro", f"macro {name} hides a pointer cast; write it where it takes effect")
        before = token.text
    if before == "*":
        raise _fail(line, "macro", f"macro {name} hides a pointer type; write it where it takes effect")
    if stack:
        raise _fail(line, "macro", f"the brackets of macro {name} do not balance; it lacks {stack[-1]!r}")


def check_macros(directives: Iterable[Directive], tokens: Sequence[Token]) -> tuple[Macro, ...]:
    """The file's macros. Raises `Rejected` where one recurses, or where all of them expand beyond the limit."""
    macros = read_macros(directives)
    if macros:
        _Sizes(macros).check(tokens)
    return macros


@frozen
class _Size:
    """How many tokens an expansion has: a constant, and how often each parameter is repeated."""

    constant: int
    repeats: tuple[int, ...] = ()


class _Sizes:
    """Bounds the expansion without expanding: each macro's size is linear in the sizes of its arguments."""

    def __init__(self, macros: Sequence[Macro]) -> None:
        self._variants: dict[str, list[Macro]] = {}
        for macro in macros:
            self._variants.setdefault(macro.name, []).append(macro)
        self._known: dict[str, _Size] = {}
        self._open: list[str] = []

    def check(self, tokens: Sequence[Token]) -> None:
        """Raise `Rejected` where the source, or a macro of it, is too large once expanded."""
        for name, variants in self._variants.items():
            self._bounded(self._size(name).constant, variants[0])
        code = [token for token in tokens if token.kind != "directive"]
        whole = self._measure(code, {}, next(iter(self._variants.values()))[0])
        self._bounded(whole.constant, next(iter(self._variants.values()))[0])

    def _bounded(self, size: int, macro: Macro) -> int:
        if size > MAX_EXPANDED:
            message = f"macro {macro.name} expands to over {MAX_EXPANDED} tokens (a preprocessor bomb); use a loop"
            raise _fail(macro.line, "macro", message)
        return size

    def _size(self, name: str) -> _Size:
        if name not in self._known:
            variants = self._variants[name]
            if name in self._open:
                raise _fail(variants[0].line, "macro", f"macro {name} refers to itself; macros do not recurse")
            self._open.append(name)
            sizes = [self._of(variant) for variant in variants]
            self._open.pop()
            longest = max(len(size.repeats) for size in sizes)
            repeats = [max((s.repeats[i] for s in sizes if i < len(s.repeats)), default=0) for i in range(longest)]
            self._known[name] = _Size(max(size.constant for size in sizes), tuple(repeats))
        return self._known[name]

    def _of(self, macro: Macro) -> _Size:
        places = {name: index for index, name in enumerate(macro.parameters or ())}
        return self._measure(macro.body, places, macro)

    def _measure(self, tokens: Sequence[Token], places: Mapping[str, int], macro: Macro) -> _Size:
        constant, repeats, index = 0, [0] * len(places), 0
        while index < len(tokens):
            token = tokens[index]
            index += 1
            if token.text in places:
                repeats[places[token.text]] += 1
            elif token.text not in self._variants:
                constant += 1
            else:
                size = self._size(token.text)
                constant += size.constant + 1
                if any(variant.parameters is not None for variant in self._variants[token.text]):
                    arguments, index = self._arguments(tokens, index, token.text, macro)
                    for argument, times in zip(arguments, size.repeats, strict=False):
                        inner = self._measure(argument, places, macro)
                        constant += inner.constant * times
                        repeats = [a + b * times for a, b in zip(repeats, inner.repeats, strict=True)]
            self._bounded(constant + sum(repeats), macro)
        return _Size(constant, tuple(repeats))

    def _arguments(
        self, tokens: Sequence[Token], index: int, name: str, macro: Macro
    ) -> tuple[list[Sequence[Token]], int]:
        if index >= len(tokens) or tokens[index].text != "(":
            raise _fail(macro.line, "macro", f"macro {name} takes arguments; it cannot be named without calling it")
        depth, start, arguments = 0, index + 1, []
        while index < len(tokens):
            text = tokens[index].text
            if text in "([{":
                depth += 1
            elif text in ")]}":
                depth -= 1
            if depth == 0 or (depth == 1 and text == ","):
                arguments.append(tokens[start:index])
                start = index + 1
            index += 1
            if depth == 0:
                break
        return arguments, index
