"""Tokens of OpenCL C, with their places; what the gate, the normal form and the syntax tree are built on."""

from __future__ import annotations

__all__ = ["MAX_BYTES", "Token", "lex", "line_at"]

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from kernelevolve.outcome import Rejected

#: A kernel is a page of code; generated ones that unroll by hand stay well below.
MAX_BYTES: Final = 128 * 1024

_TOKEN: Final = re.compile(
    r"""(?P<comment>//(?:[^\n\\]|\\(?!\s*\n))*(?:\\(?=\s*\n))?|/\*[\s\S]*?\*/)
      | (?P<unclosed>/\*)
      | (?P<directive>\#(?:/\*[\s\S]*?\*/|\\[ \t]*\r?\n|(?!//|/\*)[^\n])*)
      | (?P<word>[A-Za-z_]\w*)
      | (?P<number>\.?[0-9](?:[eEpP][+-]|[\w.])*)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<joined>\\[ \t]*\r?\n)
      | (?P<punctuation><<=|>>=|\.\.\.|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|[-+*/%&|^~!<>=?:;,.(){}\[\]])
      | (?P<other>\S)""",
    re.VERBOSE | re.ASCII,
)
#: Spellings of ``#``, ``\`` and brackets that would hide them from a reader.
_DISGUISED: Final = re.compile(r"\?\?[=/'()!<>-]|%:")
_COMMENT_JOINED: Final = re.compile(r"\\\s*\Z")


class Token(NamedTuple):
    """One token: its kind (``word``, ``number``, ``string``, ``punctuation``…), text, and first character."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """One past its last character."""
        return self.start + len(self.text)


def line_at(text: str, offset: int) -> int:
    """The line (from 1) that holds the character at `offset`."""
    return text.count("\n", 0, offset) + 1


def lex(text: str, *, directive: bool = False) -> list[Token]:
    """The tokens of `text`, comments included; a preprocessor directive is one token.

    With `directive`, `text` is the inside of one. Raises `Rejected` for a character that no token starts with, for
    digraphs and trigraphs, and for lines joined where that would hide a token.
    """
    disguise = _DISGUISED.search(text)
    if disguise:
        raise _refuse(
            text, disguise.start(), "characters", f"{disguise[0]!r} disguises another character; write that one"
        )
    return list(_tokens(text, directive))


def _tokens(text: str, directive: bool) -> Iterator[Token]:
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        token = Token(kind, match[0], match.start())
        if kind in _SUSPECT:
            _check(text, token, directive)
            if kind == "joined":
                continue
        yield token


_SUSPECT: Final = frozenset({"comment", "joined", "other", "directive", "unclosed"})


def _check(text: str, token: Token, directive: bool) -> None:
    match token.kind:
        case "comment":
            if token.text.startswith("//") and _COMMENT_JOINED.search(token.text):
                raise _refuse(
                    text, token.start, "characters", "a comment ends in a backslash; the next line would vanish"
                )
        case "joined":
            before = text[token.start - 1] if token.start else " "
            if not directive or not (before.isspace() or before in "{};,()"):
                what = "a backslash joins two lines; only a #define may, with a space before it"
                raise _refuse(text, token.start, "characters", what)
        case "directive" if directive:
            raise _refuse(text, token.start, "macro", "# and ## make new names in a macro; write the names out")
        case "unclosed":
            raise _refuse(text, token.start, "characters", "a comment that is never closed")
        case "other":
            what = f"unexpected character {token.text!r}; OpenCL C outside comments is plain ASCII"
            raise _refuse(text, token.start, "characters", what)


def _refuse(text: str, offset: int, rule: str, message: str) -> Rejected:
    line = line_at(text, offset)
    return Rejected(f"line {line}: {message}", rule=rule, line=line)
