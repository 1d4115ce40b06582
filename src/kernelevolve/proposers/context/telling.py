"""How history is told: one line for each candidate, and for a draft what the other drafts are."""

from __future__ import annotations

__all__ = ["drafts_text", "history_text"]

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from kernelevolve.evolution.proposal import Relation, Relative
from kernelevolve.outcome import Outcome

#: Lines shown at most, and characters of a note or a message in one.
MOST: Final = 40
NOTE: Final = 200
#: What is said of a time that was not taken side by side with another kernel's.
UNPAIRED: Final = "unpaired: a rough time of that moment"
#: Kernels of a run that are no answer to a proposal.
_SEED: Final = "seed"

_Quiet = Callable[[str], str]


def history_text(relatives: Sequence[Relative], quiet: _Quiet) -> str:
    """A line for each: what was tried, and what came of it; `quiet` keeps back what only checking may know."""
    shown = relatives[-MOST:]
    left_out = len(relatives) - len(shown)
    first = [f"The {left_out} oldest are left out.", ""] if left_out else []
    if any(one.relation is Relation.ELSEWHERE for one in shown):
        first += ["Elsewhere are the best and the latest kernels of the run that were made from others.", ""]
    told = {one.operator for one in shown} - {_SEED}
    return "\n".join([*first, *(_line(one, quiet, operator=len(told) > 1) for one in shown)])


def _line(one: Relative, quiet: _Quiet, *, operator: bool) -> str:
    by = f" [{one.operator}]" if operator else ""
    why = _short(one.message, quiet)
    message = f" ({why})" if why and one.outcome is not None and not one.outcome.right else ""
    return f"- {one.relation} {one.candidate}{by}: {_short(one.note, quiet) or 'no note'} → {_came(one)}{message}"


def _came(one: Relative) -> str:
    came = f"{one.outcome}"
    if one.outcome is Outcome.CORRECT and one.fitness:
        came = f"{one.fitness:.4g} × the start"
        if one.gain is not None:
            came = f"{one.gain:.3g} × its parent, {came}"
        if not one.paired:
            came += f" ({UNPAIRED})"
    return came + (f"; {one.predicted:.3g} × was predicted" if one.predicted is not None else "")


def drafts_text(relatives: Iterable[Relative], quiet: _Quiet) -> str:
    """What the other drafts are, without what came of them; empty where there are none."""
    drafts = [one for one in relatives if one.relation is Relation.DRAFT]
    lines = [
        f"- {'waits for its results' if one.candidate is None else f'draft {one.candidate}'}: {_short(one.note, quiet)}"
        for one in drafts
        if one.note
    ]
    silent = len(drafts) - len(lines)
    if silent:
        lines.append(
            f"- {silent} more, of which nothing was said, or which {'is' if silent == 1 else 'are'} being written"
        )
    return "\n".join(lines)


def _short(text: str, quiet: _Quiet) -> str:
    told = quiet(" ".join(text.split()))
    return told if len(told) <= NOTE else f"{told[: NOTE - 1]}…"
