"""What a context is made of: sections of Markdown, a stable prefix and a changing part, and how both are written."""

from __future__ import annotations

__all__ = ["Context", "Section", "clipped", "fenced", "markdown", "render_json", "render_markdown"]

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import field, frozen

_TICKS: Final = re.compile(r"^\s*(`{3,})", re.MULTILINE)


@frozen
class Section:
    """One titled piece of Markdown."""

    #: Short and unique within a context: ``problem``, ``parent``.
    key: str
    title: str
    text: str


@frozen
class Context:
    """Everything that whoever proposes is told, in the order in which it is told."""

    #: The same bytes for every proposal of a run, so that a provider can cache them.
    stable: tuple[Section, ...]
    #: What belongs to this one proposal.
    changing: tuple[Section, ...]
    #: What the proposal is for, as JSON values: problem, device, language, operator, parents.
    about: Mapping[str, Any] = field(factory=dict, hash=False)


def clipped(text: str, limit: int) -> str:
    """`text`, or its beginning and end with a line between them that says how much was left out."""
    if len(text) <= limit:
        return text
    head, tail = limit * 2 // 3, limit - limit * 2 // 3
    left_out = len(text) - head - tail
    return f"{text[:head]}\n[… {left_out} characters are left out here …]\n{text[len(text) - tail :]}"


def fenced(text: str, language: str = "") -> str:
    """`text` in a Markdown code block whose fence is longer than any that `text` holds."""
    longest = max((len(match[1]) for match in _TICKS.finditer(text)), default=2)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip(chr(10))}\n{fence}"


def markdown(sections: Iterable[Section]) -> str:
    """The sections under headings of the first level."""
    return "\n\n".join(f"# {section.title}\n\n{section.text.strip()}" for section in sections) + "\n"


def render_markdown(context: Context) -> str:
    """The whole context as one Markdown document, the stable prefix first."""
    return markdown((*context.stable, *context.changing))


def render_json(context: Context) -> str:
    """The whole context as one JSON document: ``about``, ``stable`` and ``changing`` with key, title and text."""
    document = {
        "about": dict(context.about),
        "stable": [_record(section) for section in context.stable],
        "changing": [_record(section) for section in context.changing],
    }
    return json.dumps(document, indent=2, sort_keys=False, ensure_ascii=False, default=str) + "\n"


def _record(section: Section) -> dict[str, str]:
    return {"key": section.key, "title": section.title, "text": section.text}
