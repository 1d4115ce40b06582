"""A run as a folder to hand on: every kernel as a file, every sample as JSON, the curve, and a page that reads."""

from __future__ import annotations

__all__ = ["write_run"]

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.wire import unstructure
from kernelevolve.kernel import configuration_label
from kernelevolve.registry import language
from kernelevolve.reports.cost import cost_record, cost_sentence
from kernelevolve.reports.curve import write_curve
from kernelevolve.store import Candidate, Evaluation, EventKind, Run, Store

#: Of a message in the table: the rest is in ``run.json``.
_SHOWN: Final = 160


def write_run(store: Store, run_id: str, folder: Path, *, made_by: str = "") -> Path:
    """Write run `run_id` to `folder`, which must be empty or absent, and return it.

    `made_by` is a sentence on how the kernels came about, for the page. Raises `KernelEvolveError` where the folder
    holds something else.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise KernelEvolveError(f"{folder} is not empty; name a folder that is not there yet")
    run = store.run(run_id)
    candidates = list(store.candidates(run_id))
    evaluations = list(store.evaluations(run_id))
    (folder / "kernels").mkdir(parents=True, exist_ok=True)
    suffix = language(run.language).suffix
    for candidate in candidates:
        name = f"{candidate.number:03d}{suffix}"
        (folder / "kernels" / name).write_text(store.kernel_text(run_id, candidate.number), encoding="utf-8")
    write_curve(folder / "curve.svg", evaluations, title=f"{run.problem} on {run.device} ({run.id})")
    finished = [event.data for event in store.events(run_id, EventKind.FINISHED)]
    cost = cost_record(store.spent(run_id), candidates, evaluations)
    document = {
        "run": unstructure(run),
        "candidates": [unstructure(candidate) for candidate in candidates],
        "evaluations": [unstructure(evaluation) for evaluation in evaluations],
        "declined": [dict(event.data) for event in store.events(run_id, EventKind.DECLINED)],
        "cost": cost,
        "result": dict(finished[-1]) if finished else None,
    }
    (folder / "run.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    page = _page(run, candidates, evaluations, finished[-1] if finished else {}, cost, made_by, suffix)
    (folder / "README.md").write_text(page, encoding="utf-8")
    return folder


def _page(
    run: Run,
    candidates: Sequence[Candidate],
    evaluations: Sequence[Evaluation],
    result: Mapping[str, Any],
    cost: Mapping[str, Any],
    made_by: str,
    suffix: str,
) -> str:
    outcomes = Counter(str(one.outcome) for one in evaluations)
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items(), key=lambda one: -one[1]))
    realm = run.description.get("realm")
    setup = (
        f"{run.accelerator} ({realm}), {run.language}, {run.proposer} proposer, {run.policy} policy, seed {run.seed}"
    )
    lines = [
        f"# {run.problem} on {run.device}",
        "",
        f"Run `{run.id}`: {setup}; {len(candidates)} candidates, {len(evaluations)} evaluations ({told}).",
        "",
        *([made_by, ""] if made_by else []),
        *([cost_sentence(cost) + ".", ""] if cost["tokens"] else []),
        "![Best speed-up over the seed against evaluations](curve.svg)",
        "",
        *_confirmed(result),
        "Fitness is the seed's time over the kernel's. Predicted is the gain over the parent that was announced with",
        "the kernel; gain is what came of it. Raw samples and profiles are in [run.json](run.json).",
        "",
        "| # | parent | memory | predicted | gain | fitness | configuration, or why it fell | what was changed |",
        "|---|---|---|---|---|---|---|---|",
        *_rows(candidates, evaluations, suffix),
        "",
    ]
    return "\n".join(lines)


def _confirmed(result: Mapping[str, Any]) -> list[str]:
    lines = [
        f"- {one['workload']}: {pair['side']} {pair['ratio']:.2f}× [{pair['low']:.2f}, {pair['high']:.2f}] against "
        f"{pair['baseline']}: {pair['verdict']}"
        for one in result.get("confirmations", [])
        for pair in one["comparisons"]
    ]
    return ["Confirmed in a fresh process on fresh inputs, interleaved:", "", *lines, ""] if lines else []


def _rows(candidates: Sequence[Candidate], evaluations: Sequence[Evaluation], suffix: str) -> list[str]:
    first: dict[int, Evaluation] = {}
    best: dict[int, Evaluation] = {}
    for one in evaluations:
        first.setdefault(one.candidate, one)
        if one.candidate not in best or (one.fitness or 0.0) > (best[one.candidate].fitness or 0.0):
            best[one.candidate] = one
    rows = []
    for candidate in candidates:
        found = best.get(candidate.number)
        parent = candidate.parents[0] if candidate.parents else None
        predicted = candidate.proposal.get("predicted")
        gain = _gain(first, candidate.number, parent)
        why = "not evaluated"
        if found is not None:
            label = configuration_label(found.configuration) or "no tunables"
            why = label if found.outcome.right else f"{found.outcome}: {found.message}"
        cells = (
            f"[{candidate.number}](kernels/{candidate.number:03d}{suffix})",
            "" if parent is None else str(parent),
            "draft" if candidate.proposal.get("draft") else str(candidate.memory),
            "" if predicted is None else f"{predicted:.2f}×",
            "" if gain is None else f"{gain:.2f}×",
            f"{found.fitness:.2f}×" if found is not None and found.fitness else "",
            _cell(why),
            _cell(candidate.note),
        )
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def _gain(first: Mapping[int, Evaluation], number: int, parent: int | None) -> float | None:
    """Both as they were first evaluated, as predictions mean it."""
    if parent is None or number not in first or parent not in first:
        return None
    mine, before = first[number].fitness, first[parent].fitness
    return mine / before if mine and before else None


def _cell(text: str) -> str:
    flat = " ".join(text.split()).replace("|", "\\|")
    return flat if len(flat) <= _SHOWN else flat[: _SHOWN - 1] + "…"
