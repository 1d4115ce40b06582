"""``runs``, ``show`` and ``best``."""

from __future__ import annotations

__all__ = ["show_best", "show_candidate", "show_run", "show_runs"]

import datetime as dt
from collections import Counter
from pathlib import Path
from typing import Any

from rich.table import Table

from kernelevolve.cli.output import Output, seconds_text
from kernelevolve.cli.progress import sparkline
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.wire import unstructure
from kernelevolve.kernel import configuration_label, parse_kernel, render_kernel
from kernelevolve.outcome import Outcome
from kernelevolve.reports.cost import cost_record, cost_sentence
from kernelevolve.reports.curve import write_curve
from kernelevolve.reports.run_folder import write_run
from kernelevolve.store import Evaluation, EventKind, Run, Store


def _when(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def _status(store: Store, run: str) -> str:
    found = store.status(run)
    return found.value if found else "unknown"


def show_runs(output: Output, url: str | None) -> None:
    """Print one line per run."""
    with Store.open(url) as store:
        records = [_run_record(store, run) for run in store.runs()]
    if output.json:
        output.document({"runs": records})
        return
    table = Table("run", "when", "problem", "device", "evaluations", "best", "status", box=None, pad_edge=False)
    for record in records:
        best = f"{record['best_fitness']:.2f}×" if record["best_fitness"] else "–"
        device = f"{record['accelerator']}: {record['device']}"
        count = str(record["evaluations"])
        table.add_row(record["run"], _when(record["created"]), record["problem"], device, count, best, record["status"])
    output.table(table)


def _run_record(store: Store, run: Run) -> dict[str, Any]:
    evaluations = list(store.evaluations(run.id))
    return {
        "run": run.id,
        "created": run.created,
        "problem": run.problem,
        "accelerator": run.accelerator,
        "device": run.device,
        "realm": run.description.get("realm"),
        "proposer": run.proposer,
        "policy": run.policy,
        "seed": run.seed,
        "evaluations": len(evaluations),
        "best_fitness": max((evaluation.fitness or 0.0 for evaluation in evaluations), default=0.0),
        "status": _status(store, run.id),
    }


def _result(store: Store, run: str) -> dict[str, Any]:
    finished = store.events(run, EventKind.FINISHED)
    return dict(finished[-1].data) if finished else {}


def show_run(
    output: Output, run_id: str, url: str | None, plot: Path | None, save: Path | None = None, made_by: str = ""
) -> None:
    """Print a run: what it is, its outcomes, its candidates, what was confirmed; write it to the folder `save`."""
    with Store.open(url) as store:
        run = store.run(run_id)
        if save is not None:
            output.note(f"wrote {write_run(store, run_id, save, made_by=made_by)}")
        evaluations = list(store.evaluations(run.id))
        candidates = list(store.candidates(run.id))
        record = _run_record(store, run)
        result = _result(store, run.id)
        cost = cost_record(store.spent(run.id), candidates, evaluations)
    if plot is not None:
        write_curve(plot, evaluations, title=f"{run.problem} on {run.device} ({run.id})")
        output.note(f"wrote {plot}")
    best = _best_by_candidate(evaluations)
    rows: list[dict[str, Any]] = [
        {
            "candidate": candidate.number,
            "operator": candidate.operator,
            "parents": list(candidate.parents),
            "note": candidate.note,
            "evaluations": sum(evaluation.candidate == candidate.number for evaluation in evaluations),
            "outcome": best[candidate.number].outcome if candidate.number in best else None,
            "fitness": best[candidate.number].fitness if candidate.number in best else None,
            "configuration": dict(best[candidate.number].configuration) if candidate.number in best else {},
            "message": best[candidate.number].message if candidate.number in best else "",
            "memory": candidate.memory,
            "proposal": dict(candidate.proposal),
        }
        for candidate in candidates
    ]
    outcomes = dict(Counter(str(evaluation.outcome) for evaluation in evaluations))
    if output.json:
        software = {
            "kernelevolve": run.version,
            "driver": run.description.get("description", {}).get("driver"),
            "toolchain": dict(run.toolchain),
        }
        output.document(
            record | {"software": software, "outcomes": outcomes, "cost": cost, "candidates": rows, "result": result}
        )
        return
    output.line(f"run {run.id}: {run.problem} on {run.accelerator}, {run.device} ({record['status']})")
    output.line(f"{run.proposer} proposer, {run.policy} policy, seed {run.seed}; {record['evaluations']} evaluations")
    output.line(", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items(), key=lambda i: -i[1])))
    if cost["tokens"]:
        output.line(cost_sentence(cost))
    output.line(sparkline(_curve(evaluations)))
    table = Table("#", "parents", "operator", "outcome", "fitness", "configuration / why it fell", box=None)
    for row in rows:
        fitness = f"{row['fitness']:.2f}×" if row["fitness"] else ""
        why = configuration_label(row["configuration"]) if row["fitness"] else row["message"]
        parents = ",".join(map(str, row["parents"]))
        table.add_row(
            str(row["candidate"]), parents, row["operator"], str(row["outcome"] or ""), fitness, str(why)[:90]
        )
    output.table(table)
    for confirmation in result.get("confirmations", []):
        for one in confirmation["comparisons"]:
            interval = f"[{one['low']:.2f}, {one['high']:.2f}]"
            against = f"against {one['baseline']}"
            output.line(
                f"{confirmation['workload']}: {one['side']} {one['ratio']:.2f}× {interval} {against}: {one['verdict']}"
            )


def _curve(evaluations: list[Evaluation]) -> list[float]:
    curve, best = [], 0.0
    for evaluation in evaluations:
        best = max(best, evaluation.fitness or 0.0)
        curve.append(best)
    return curve


def _best_by_candidate(evaluations: list[Evaluation]) -> dict[int, Evaluation]:
    best: dict[int, Evaluation] = {}
    for evaluation in evaluations:
        known = best.get(evaluation.candidate)
        if known is None or (evaluation.fitness or 0.0) > (known.fitness or 0.0):
            best[evaluation.candidate] = evaluation
    return best


def show_candidate(output: Output, run_id: str, number: int, url: str | None) -> None:
    """Print one candidate: where it comes from, every evaluation, its source."""
    with Store.open(url) as store:
        store.run(run_id)
        candidate = store.candidate(run_id, number)
        evaluations = list(store.evaluations(run_id, number))
        kernel = parse_kernel(store.kernel_text(run_id, number))
    best = max(evaluations, key=lambda one: one.fitness or 0.0, default=None)
    text = render_kernel(kernel.with_default(best.configuration if best else {}))
    if output.json:
        output.document(
            {
                "candidate": unstructure(candidate),
                "evaluations": [unstructure(evaluation) for evaluation in evaluations],
                "kernel": text,
            }
        )
        return
    output.note(f"candidate {number} of {run_id}: {candidate.operator} on {list(candidate.parents)}. {candidate.note}")
    if "predicted" in candidate.proposal:
        output.note(f"  predicted: {candidate.proposal['predicted']:.2f}× candidate {candidate.parents[0]}")
    for evaluation in evaluations:
        label = configuration_label(evaluation.configuration) or "no tunables"
        speed = f"{evaluation.fitness:.2f}×" if evaluation.fitness else evaluation.message
        output.note(f"  {evaluation.outcome} {label}: {speed}")
    output.line(text)


def show_best(output: Output, problem: str, accelerator: str | None, device: str | None, url: str | None) -> None:
    """Print the best kernel with its best configuration as the default."""
    with Store.open(url) as store:
        standings = tuple(
            one
            for one in store.best(problem, accelerator=accelerator)
            if one.evaluation.outcome is Outcome.CORRECT and (device or "").lower() in one.run.device.lower()
        )
        if not standings:
            where = f" on {accelerator}" if accelerator else ""
            raise KernelEvolveError(
                f"no run has a right kernel for {problem!r}{where} yet; start one: kernelevolve evolve {problem}"
            )
        texts = [store.kernel_text(one.run.id, one.candidate) for one in standings]
    best, text = standings[0], texts[0]
    kernel = parse_kernel(text).with_default(best.evaluation.configuration)
    if output.json:
        document = {
            "run": best.run.id,
            "candidate": best.candidate,
            "accelerator": best.run.accelerator,
            "device": best.run.device,
            "fitness": best.evaluation.fitness,
            "configuration": dict(best.evaluation.configuration),
            "kernel": render_kernel(kernel),
        }
        output.document(document)
        return
    times = next(iter(best.evaluation.times.items()), None)
    time = f"; {times[0]}: {seconds_text(sorted(times[1].seconds)[len(times[1].seconds) // 2])}" if times else ""
    output.note(f"{problem} on {best.run.device}: candidate {best.candidate} of run {best.run.id}{time}")
    for other in standings[1:]:
        output.note(f"(also, not comparable: run {other.run.id} on {other.run.device})")
    output.line(render_kernel(kernel))
