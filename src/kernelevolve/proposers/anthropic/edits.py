"""Search and replace: how a model changes a file without writing all of it again."""

from __future__ import annotations

__all__ = ["Edit", "EditError", "apply_edits"]

import difflib
from collections.abc import Sequence

from attrs import frozen

from kernelevolve.errors import KernelEvolveError


class EditError(KernelEvolveError):
    """An edit that does not fit the file; the text says which, and what stands there instead."""


@frozen
class Edit:
    """Replace the one place where `search` stands, word for word, by `replace`."""

    search: str
    replace: str


def apply_edits(text: str, edits: Sequence[Edit]) -> str:
    """`text` with the edits made one after the other, each on what the one before left.

    Raises `EditError` where a search text is empty, is not there, or stands in several places.
    """
    for number, edit in enumerate(edits, 1):
        if not edit.search:
            raise EditError(f"edit {number}: the search text is empty; give the lines to replace, word for word")
        count = _count(text, edit.search)
        if count == 0:
            raise EditError(f"edit {number}: the search text is not in the file.{_nearest(text, edit.search)}")
        if count > 1:
            raise EditError(f"edit {number}: the search text stands in {count} places; add lines until it is unique")
        text = text.replace(edit.search, edit.replace, 1)
    return text


def _count(text: str, search: str) -> int:
    """Places where `search` begins, overlapping ones included."""
    count, start = 0, text.find(search)
    while start >= 0:
        count, start = count + 1, text.find(search, start + 1)
    return count


def _nearest(text: str, search: str) -> str:
    """The line of the file that is most like the first line looked for, as a hint."""
    wanted = next((line for line in search.splitlines() if line.strip()), "")
    lines = text.splitlines()
    found = difflib.get_close_matches(wanted, lines, n=1, cutoff=0.5)
    return f" The nearest line is line {lines.index(found[0]) + 1}: {found[0]!r}" if found else ""
