"""The tools of the model: one to hand in a kernel, others to look things up. The same bytes all through a run."""

from __future__ import annotations

__all__ = [
    "ANSWER",
    "CHECK",
    "LOOK",
    "PAGE",
    "PAGES",
    "RUN",
    "SEARCH",
    "SUBMIT",
    "Submission",
    "read_kernel_input",
    "tools",
]

import math
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from kernelevolve.errors import KernelEvolveError
from kernelevolve.proposers.anthropic.edits import Edit

SUBMIT: Final = "submit_kernel"
CHECK: Final = "check_kernel"
LOOK: Final = "look_at_candidate"
RUN: Final = "list_candidates"
PAGES: Final = "list_pages"
PAGE: Final = "read_page"
SEARCH: Final = "search_pages"

#: The part of the contract that says how a kernel is handed in.
ANSWER: Final = f"""Hand the kernel in by calling the tool `{SUBMIT}`, once; nothing else that you write is read. Give
either the whole file, or edits of the file shown. `{CHECK}` runs gate and compiler on a file and costs no evaluation:
use it before you hand in. Other tools read pages of the knowledge base and other candidates of this run. Calls are
limited, so look up only what changes your design."""

_LONGEST_LINE: Final = 300
#: Predictions beyond are no predictions.
_MOST_GAIN: Final = 1e4


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    """A strict schema: every property is required and no other is allowed."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


_FILE: Final[Mapping[str, Any]] = {
    "file": _text("The complete kernel file, header and source. Empty where edits are given."),
    "base": {
        "type": "string",
        "enum": ["parent", "draft"],
        "description": "What edits apply to: the kernel file shown first, or the file that you last gave to a tool. "
        "With base draft and no edits, that file is meant as it is.",
    },
    "edits": {
        "type": "array",
        "description": "Made one after the other. Empty where the complete file is given.",
        "items": _object(
            {
                "search": _text("Text that stands exactly once in the file, word for word, with its line breaks."),
                "replace": _text("What takes its place."),
            }
        ),
    },
}


def _tool(name: str, description: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "description": description, "input_schema": _object(properties)}


def _strict(name: str, description: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """A tool whose input the API holds to the schema. For kernels alone: all strict schemas of a request are compiled
    into one grammar, whose size is limited.
    """
    return {**_tool(name, description, properties), "strict": True}


_SUBMIT: Final = _strict(
    SUBMIT,
    "Hand in the kernel. It is gated and compiled at once; where that fails you learn why and may hand in once more.",
    {
        "change": _text("What was changed or how the kernel works, in one line."),
        "bottleneck": _text("The bottleneck that this is aimed at, in a few words."),
        "predicted_gain": {
            "type": "number",
            "description": "How many times as fast as the first parent it should be: 1.3 is 30 % faster. 1 for a first "
            "kernel without a parent.",
        },
        **_FILE,
    },
)
_CHECK: Final = _strict(
    CHECK,
    "Gate and compile a kernel file for the timed workloads, and say what the compiler reports. Runs nothing.",
    _FILE,
)
_RUN_TOOLS: Final = (
    _tool(RUN, "The candidates of this run with outcome and fitness, the fittest first.", {}),
    _tool(
        LOOK,
        "One candidate: its source with what was measured, its profile alone, or its difference from the first parent.",
        {
            "candidate": {"type": "integer", "description": "Its number."},
            "what": {"type": "string", "enum": ["source", "profile", "diff"]},
        },
    ),
)
_KNOWLEDGE_TOOLS: Final = (
    _tool(PAGES, "The index of the knowledge base: ids and titles of all pages.", {}),
    _tool(PAGE, "One page of the knowledge base.", {"page": _text("Its id, as an index or a search gives it.")}),
    _tool(SEARCH, "Pages of the knowledge base that fit a question best.", {"query": _text("A few words.")}),
)


def tools(*, knowledge: bool) -> list[dict[str, Any]]:
    """All tools, in one order; those of the knowledge base where there is one."""
    return [dict(one) for one in (_SUBMIT, _CHECK, *_RUN_TOOLS, *(_KNOWLEDGE_TOOLS if knowledge else ()))]


@frozen
class Submission:
    """What a call of ``submit_kernel`` or ``check_kernel`` holds, read and checked."""

    file: str
    base: str
    edits: tuple[Edit, ...]
    change: str = ""
    bottleneck: str = ""
    #: None where the model gave no number that could be one.
    predicted: float | None = None


def read_kernel_input(given: object) -> Submission:
    """The arguments of a call that carries a kernel. Raises `KernelEvolveError` that says what is missing or wrong.

    The schema is strict, and still nothing is believed: a proxy, another model or a cut reply may not keep to it.
    """
    if not isinstance(given, Mapping):
        raise KernelEvolveError("the tool's input is no object; give file, base and edits")
    file, base, edits = given.get("file", ""), given.get("base", "parent"), given.get("edits", [])
    if not isinstance(file, str):
        raise KernelEvolveError("file is no text; give the complete kernel file, or an empty text with edits")
    if base not in ("parent", "draft"):
        raise KernelEvolveError(f"base is {base!r}; it is parent or draft")
    if not isinstance(edits, list):
        raise KernelEvolveError("edits is no list; give a list of search and replace, or an empty one")
    if file.strip() and edits:
        raise KernelEvolveError("both a complete file and edits are given; give one of them and leave the other empty")
    if not file.strip() and not edits and base == "parent":
        raise KernelEvolveError("neither a complete file nor edits are given; give one of them")
    return Submission(
        file=file,
        base=base,
        edits=tuple(_edit(one, number) for number, one in enumerate(edits, 1)),
        change=_line(given.get("change")),
        bottleneck=_line(given.get("bottleneck")),
        predicted=_gain(given.get("predicted_gain")),
    )


def _edit(given: object, number: int) -> Edit:
    search = given.get("search") if isinstance(given, Mapping) else None
    replace = given.get("replace") if isinstance(given, Mapping) else None
    if not isinstance(search, str) or not isinstance(replace, str):
        raise KernelEvolveError(f"edit {number} is not search and replace, both text")
    return Edit(search, replace)


def _line(value: object) -> str:
    return " ".join(value.split())[:_LONGEST_LINE] if isinstance(value, str) else ""


def _gain(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 0 < value <= _MOST_GAIN else None
