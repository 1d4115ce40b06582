"""The kernels on a page: whole files in fenced blocks, with the words that say how they are to be tested."""

from __future__ import annotations

__all__ = ["Check", "Example", "examples_of"]

import enum
import re
from typing import Final

from attrs import frozen

from kernelevolve.errors import suggest
from kernelevolve.knowledge.hardware import CHIPS, family_of
from kernelevolve.knowledge.page import LANGUAGES, Page, PageError
from kernelevolve.outcome import Outcome

_BLOCK: Final = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)
_WORD: Final = re.compile(r'(?P<key>[a-z]+)=(?P<value>"[^"]*"|\S+)')
_KEYS: Final = ("problem", "check", "accelerator", "target", "workload", "says")
_TARGETS: Final = {
    "triton-cuda": "cuda:sm_90",
    "numba-cuda": "cuda:sm_90",
    "triton-rocm": "hip:gfx942",
    "mtia": "mtia:mtia2i",
}
_BY_FAMILY: Final = {"mtia": "mtia", "amd": "triton-rocm"}
_PREFIX: Final = {"nvidia": "cuda", "amd": "hip", "mtia": "mtia"}


class Check(enum.StrEnum):
    """How a page's kernel is tested."""

    COMPILE = "compile"
    """Gate and compiler let it pass; nothing is run."""
    EVALUATE = "evaluate"
    """It computes the right result."""
    FAILS = "fails"
    """It ends with a given outcome: a page about a limit shows what breaks it."""


@frozen
class Example:
    """A kernel on a page."""

    page: str
    #: In the page's file, of the block's first line.
    line: int
    language: str
    text: str
    problem: str
    check: Check
    accelerator: str
    #: What to compile for; None where the accelerator has one target only.
    target: str | None
    #: As `Workload.parse` reads it; empty: the problem's smallest.
    workload: str = ""
    #: With `Check.FAILS`.
    outcome: Outcome | None = None
    #: What the message contains.
    says: str = ""

    @property
    def label(self) -> str:
        """``hardware/nvidia/examples/rows:31``."""
        return f"{self.page}:{self.line}"


def examples_of(page: Page) -> tuple[Example, ...]:
    """The kernels of `page` in order. Raises `PageError` for words that mean nothing, or without a problem."""
    found = []
    for block in _BLOCK.finditer(page.body):
        language, _, rest = block["info"].strip().partition(" ")
        if language in LANGUAGES:
            line = page.first_line + page.body[: block.start()].count("\n")
            words = _words(page.examples, page, line) | _words(rest, page, line)
            found.append(_example(page, line, language, block["text"], words))
    return tuple(found)


def _words(text: str, page: Page, line: int) -> dict[str, str]:
    rest = _WORD.sub("", text).strip()
    if rest:
        _fail(page, line, f"{rest!r} is not of the form key=value")
    words = {match["key"]: match["value"].strip('"') for match in _WORD.finditer(text)}
    for key in words:
        if key not in _KEYS:
            _fail(page, line, f"no such key {key!r}; there is {', '.join(_KEYS)}.{suggest(key, _KEYS)}")
    return words


def _example(page: Page, line: int, language: str, text: str, words: dict[str, str]) -> Example:
    if "problem" not in words:
        _fail(page, line, f"a {language} block is a whole kernel and names its problem: ```{language} problem=softmax")
    how, _, ending = words.get("check", Check.COMPILE).partition("=")
    if how not in tuple(Check) or (how == Check.FAILS) != bool(ending) or (ending and ending not in tuple(Outcome)):
        _fail(page, line, f"check={words['check']}: compile, evaluate, or fails=OUTCOME")
    accelerator = words.get("accelerator") or _accelerator(page, language)
    return Example(
        page=page.id,
        line=line,
        language=language,
        text=text,
        problem=words["problem"],
        check=Check(how),
        accelerator=accelerator,
        target=words.get("target") or _target(page, accelerator),
        workload=words.get("workload", ""),
        outcome=Outcome(ending) if ending else None,
        says=words.get("says", "").replace("_", " "),
    )


def _accelerator(page: Page, language: str) -> str:
    if language != "triton":
        return {"opencl": "opencl", "numba": "numba-cuda"}[language]
    families = {family_of(one) or one for one in page.hardware}
    return next((name for family, name in _BY_FAMILY.items() if families == {family}), "triton-cuda")


def _target(page: Page, accelerator: str) -> str | None:
    """The page's first chip of the family that the accelerator serves; without one the usual."""
    usual = _TARGETS.get(accelerator)
    if usual is None:
        return None
    prefix = usual.partition(":")[0]
    family = next(family for family, own in _PREFIX.items() if own == prefix)
    chip = next((one for one in page.hardware if CHIPS[family].fullmatch(one)), None)
    return usual if chip is None else f"{prefix}:{chip}"


def _fail(page: Page, line: int, what: str) -> None:
    raise PageError(f"{page.origin or page.id}:{line}: {what}")
