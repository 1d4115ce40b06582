"""What the language model of a run has cost, and what came of it."""

from __future__ import annotations

__all__ = ["cost_record", "cost_sentence"]

from collections.abc import Iterable, Mapping
from typing import Any

from kernelevolve.evolution.search import OUTSIDE
from kernelevolve.store import Candidate, Evaluation


def cost_record(
    spent: Mapping[str, Any] | None, candidates: Iterable[Candidate], evaluations: Iterable[Evaluation]
) -> dict[str, Any]:
    """Tokens and dollars of a run; dollars per accepted candidate, and per 1 % that the best one gained on the seed.

    Accepted is a candidate that a model or somebody outside proposed and that was right. Failed proposals are in the
    sum. Ratios are None where there is nothing to divide by.
    """
    proposed = {
        one.number
        for one in candidates
        if one.operator == OUTSIDE or one.proposal.get("tokens") or one.proposal.get("dollars")
    }
    best: dict[int, float] = {}
    for one in evaluations:
        best[one.candidate] = max(best.get(one.candidate, 0.0), (one.fitness or 0.0) if one.outcome.right else 0.0)
    accepted = sum(best.get(number, 0.0) > 0 for number in proposed)
    dollars = float((spent or {}).get("dollars", 0.0))
    gain = max((100 * (fitness - 1) for fitness in best.values()), default=0.0)
    return {
        "tokens": int((spent or {}).get("tokens", 0)),
        "dollars": dollars,
        "proposed": len(proposed),
        "accepted": accepted,
        "dollars_per_accepted": dollars / accepted if dollars and accepted else None,
        "dollars_per_percent": dollars / gain if dollars and gain > 0 else None,
    }


def cost_sentence(record: Mapping[str, Any]) -> str:
    """``cost_record`` in words; the empty string for a run without a model."""
    if not record["tokens"]:
        return ""
    text = f"model: {record['tokens']:,} tokens, ${record['dollars']:.2f}"
    text += f"; {record['accepted']} of {record['proposed']} kernels right"
    if record["dollars_per_accepted"] is not None:
        text += f", ${record['dollars_per_accepted']:.3f} each"
    if record["dollars_per_percent"] is not None:
        text += f"; ${record['dollars_per_percent']:.4f} per 1 % gained on the seed"
    return text
