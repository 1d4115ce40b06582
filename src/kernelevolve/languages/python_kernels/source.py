"""Reading a kernel written in Python: the text is checked first, so that every tool that splits it sees one program.

Triton does not compile the tree that Python ran: it asks `inspect` for a function's lines, and takes the text from the
first line that looks like a ``def`` (its interpreter: from the last). A text that two tools split differently would be
checked as one program and run as another. So lines end in one way, nothing but a function starts with ``def``, and code
is ASCII.
"""

from __future__ import annotations

__all__ = ["MAX_CHARACTERS", "MAX_MESSAGE", "Source", "parse", "read", "refuse", "too_deep"]

import ast
import io
import re
import tokenize
import warnings
from functools import lru_cache
from typing import Final

from attrs import field, frozen

from kernelevolve.outcome import Rejected

#: A longer source is a reply that repeats itself.
MAX_CHARACTERS: Final = 64 * 1024
#: Of a rejection, in characters.
MAX_MESSAGE: Final = 500

_PLAIN: Final = re.compile(r"[\n\t -~]*")
_TABBED: Final = re.compile(r"^ *\t", re.MULTILINE)
#: PEP 263: how a file on disk would name another encoding for itself.
_CODING: Final = re.compile(r"^[ \t]*#.*?coding[:=][ \t]*([-\w.]+)")
_DEF: Final = re.compile(r"def\b")
_HEAD: Final = re.compile(r"def [A-Za-z_]\w*\(", re.ASCII)


@frozen(eq=False)
class Source:
    """One source that has been read, and not yet judged."""

    text: str
    tree: ast.Module = field(repr=False)


def refuse(line: int, rule: str, what: str) -> Rejected:
    """The rejection, for the caller to raise. A name that fills pages does not fill the message."""
    text = what if len(what) <= MAX_MESSAGE else f"{what[: MAX_MESSAGE - 1]}…"
    return Rejected(f"line {line}: {text}", rule=rule, line=line)


def too_deep() -> Rejected:
    """The rejection of a source that Python's own recursion does not follow to its end."""
    return Rejected("the source nests too deeply; write flatter code", rule="depth", line=1)


@lru_cache(maxsize=16)  # a tree of the largest source has some 15 MB
def read(body: str) -> Source:
    """Parse `body`; nothing in it is executed. Raises `Rejected` and nothing else.

    The tree is shared between callers, which leave it as it is.
    """
    if len(body) > MAX_CHARACTERS:
        what = f"{len(body)} characters of source; at most {MAX_CHARACTERS} are allowed"
        raise Rejected(what, rule="size", line=1)
    _check_characters(body)
    _check_encoding(body)
    tree = parse(body)
    if not body.isascii():
        _check_ascii(body)
    _check_heads(body, tree)
    return Source(body, tree)


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _check_characters(body: str) -> None:
    if _PLAIN.fullmatch(body) is None:
        for offset, character in enumerate(body):
            if character not in "\n\t" and not character.isprintable():
                hint = "end lines with a line feed alone" if character == "\r" else "remove it"
                what = f"the character {character!a} is invisible or breaks lines for some tools; {hint}"
                raise refuse(_line(body, offset), "characters", what)
    if "\t" in body and (tab := _TABBED.search(body)):
        raise refuse(_line(body, tab.start()), "layout", "indented with a tab; indent with spaces")


def _check_encoding(body: str) -> None:
    lines = [line for line in body.split("\n", 64) if line.strip()][:2]
    for line in lines:
        if _CODING.match(line):
            number = _line(body, body.index(line))
            raise refuse(number, "encoding", "a comment that names an encoding; remove it, kernels are UTF-8")


def parse(body: str) -> ast.Module:
    """A tree of `body` of one's own, whatever the text is. Raises `Rejected`."""
    try:
        with warnings.catch_warnings():  # Python would tell the user of every \d in a docstring, and of every 1if
            warnings.simplefilter("ignore")
            return ast.parse(body)
    except SyntaxError as error:
        line = error.lineno or 1
        raise refuse(line, "syntax", f"{error.msg}; the source must be Python") from None
    except (RecursionError, MemoryError):
        raise too_deep() from None
    except ValueError as error:
        raise Rejected(f"the source cannot be read: {error}", rule="syntax", line=1) from None


def _check_ascii(body: str) -> None:
    """Python folds letters of names (``ｏｓ`` is ``os``); code in ASCII is what it looks like."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(body).readline):
            if token.type not in (tokenize.COMMENT, tokenize.STRING) and not token.string.isascii():
                what = f"{token.string[:20]!a} is not ASCII; outside comments and texts, code is"
                raise refuse(token.start[0], "characters", what)
    except (tokenize.TokenError, SyntaxError) as error:
        raise Rejected(f"the source cannot be read: {error}", rule="syntax", line=1) from None


def _check_heads(body: str, tree: ast.Module) -> None:
    """Every line that starts with ``def`` is the head of a function of the file, written the plain way."""
    functions = {node.lineno: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for match in _DEF.finditer(body):
        start = body.rfind("\n", 0, match.start()) + 1
        if body[start : match.start()].strip() not in ("", "async"):
            continue
        line = _line(body, start)
        if functions.pop(line, None) is None:
            what = "a line starts with 'def' and is no function of the file: functions do not nest, and texts may not "
            raise refuse(line, "layout", what + "look like one")
        if _HEAD.match(body, start) is None:
            raise refuse(line, "layout", "write the head of a function as 'def name(' at the start of a line")
    for line in functions:
        raise refuse(line, "layout", "write the head of a function as 'def name(' at the start of a line")
