"""What whoever drives a run from outside is shown, as JSON values: proposals, judgements, candidates.

Sizes that are only checked, and expected values, are left out, as they are of every context
(`kernelevolve.proposers.context.discreet`): a proposer that knew them could serve just those.
"""

from __future__ import annotations

__all__ = [
    "asked_record",
    "best_record",
    "candidate_record",
    "candidate_rows",
    "context_markdown",
    "run_cost",
    "run_record",
    "told_record",
]

import datetime as dt
import difflib
import json
from collections.abc import Mapping
from typing import Any, Final

from kernelevolve import registry
from kernelevolve.api.asking import Asked
from kernelevolve.api.bookkeeping import Told, open_asks
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evolution.history import best_evaluation
from kernelevolve.evolution.proposal import ProposalRequest
from kernelevolve.evolution.recording import median
from kernelevolve.kernel import parse_kernel, render_kernel
from kernelevolve.knowledge import Library
from kernelevolve.outcome import Outcome
from kernelevolve.problem import Problem, Workload
from kernelevolve.proposers.context import Context, assemble, discreet, render_json, render_markdown
from kernelevolve.reports.cost import cost_record
from kernelevolve.store import Evaluation, Run, Store

#: Characters of a compiler's log: the end has its summary.
_LOG: Final = 4000
#: Parts of a profile that say nothing of sizes that are not timed.
_PROFILE: Final = ("bottleneck", "rates", "resources", "counters", "roofline", "provenance")


def asked_record(asked: Asked) -> dict[str, Any]:
    """A proposal with its context as sections."""
    return {
        "run": asked.run,
        "proposal": asked.proposal,
        "expires": _when(asked.expires),
        "context": json.loads(render_json(_context(asked.request))),
    }


def context_markdown(asked: Asked, how: str) -> str:
    """A proposal's context as one Markdown document that ends with `how` to answer."""
    text = render_markdown(_context(asked.request))
    return (
        f"{text}\n# How to answer\n\nThis is proposal `{asked.proposal}` of run `{asked.run}`. It is counted on until "
        f"{_when(asked.expires)}; a later answer is taken as well.\n\n{how}\n"
    )


def _context(request: ProposalRequest) -> Context:
    """With the pages that fit, where the run shows knowledge: the built-in ones and the user's own."""
    return assemble(request, library=Library.load() if request.knowledge else None)


def told_record(store: Store, told: Told, problem: Problem | None = None) -> dict[str, Any]:
    """What became of a proposal: outcome, times, fitness, and the gain over its parent beside the predicted one."""
    run = store.run(told.run)
    record: dict[str, Any] = {
        "run": told.run,
        "proposal": told.proposal,
        "status": told.status.value,
        "repeated": told.repeated,
        "candidate": told.candidate,
        "message": _Discretion(run, problem).text(told.message),
    }
    if told.candidate is None or told.evaluation is None:
        return record
    candidate = store.candidate(run.id, told.candidate)
    fitness = told.evaluation.fitness
    parents = [best_evaluation(store, run.id, number).fitness for number in candidate.parents]
    gain = fitness / parents[0] if fitness and parents and parents[0] else None
    return {
        **record,
        **_judgement(told.evaluation, _Discretion(run, problem)),
        "parents": list(candidate.parents),
        "gain": gain,
        "predicted": candidate.proposal.get("predicted"),
    }


def candidate_record(store: Store, run_id: str, number: int, problem: Problem | None = None) -> dict[str, Any]:
    """One candidate: where it comes from, its file, its best evaluation with profile, its difference to its parent."""
    run = store.run(run_id)
    candidate = store.candidate(run_id, number)
    evaluations = list(store.evaluations(run_id, number))
    best = best_evaluation(store, run_id, number) if evaluations else None
    text = store.kernel_text(run_id, number)
    kernel = parse_kernel(text, name=f"candidate {number}")
    discretion = _Discretion(run, problem)
    return {
        "run": run_id,
        "candidate": number,
        "operator": candidate.operator,
        "parents": list(candidate.parents),
        "note": candidate.note,
        "predicted": candidate.proposal.get("predicted"),
        "evaluations": len(evaluations),
        **(_judgement(best, discretion) if best else {"outcome": None, "message": "not evaluated yet"}),
        "profile": discretion.values({key: best.profile[key] for key in _PROFILE if key in best.profile})
        if best
        else {},
        "kernel": render_kernel(kernel.with_default(best.configuration if best else {})),
        "diff": _diff(store, run_id, candidate.parents[0], number, text) if candidate.parents else "",
    }


def _diff(store: Store, run: str, parent: int, number: int, text: str) -> str:
    before = store.kernel_text(run, parent).splitlines(keepends=True)
    after = text.splitlines(keepends=True)
    return "".join(difflib.unified_diff(before, after, f"candidate {parent}", f"candidate {number}"))


def candidate_rows(store: Store, run_id: str, problem: Problem | None = None) -> list[dict[str, Any]]:
    """Every candidate in a line, the fittest first, those that wait for their evaluation last."""
    discretion = _Discretion(store.run(run_id), problem)
    best: dict[int, Evaluation] = {}
    for one in store.evaluations(run_id):
        held = best.get(one.candidate)
        if held is None or (one.fitness or 0.0) > (held.fitness or 0.0):
            best[one.candidate] = one
    rows = []
    for candidate in store.candidates(run_id):
        found = best.get(candidate.number)
        rows.append(
            {
                "candidate": candidate.number,
                "operator": candidate.operator,
                "parents": list(candidate.parents),
                "note": candidate.note,
                "outcome": found.outcome.value if found else None,
                "fitness": (found.fitness or 0.0) if found else 0.0,
                "message": discretion.text(found.message) if found else "",
            }
        )
    return sorted(rows, key=lambda row: (row["outcome"] is None, -row["fitness"], row["candidate"]))


def run_record(store: Store, run_id: str) -> dict[str, Any]:
    """A run in a line: what it is of, what it times, how far it is."""
    run = store.run(run_id)
    evaluations = list(store.evaluations(run_id))
    seed = next((one for one in evaluations if one.candidate == 0), None)
    return {
        "run": run.id,
        "problem": run.problem,
        "accelerator": run.accelerator,
        "device": run.device,
        "realm": run.description.get("realm"),
        "language": run.language,
        "workloads": list(run.settings["workloads"]),
        "proposer": run.proposer,
        "evaluations": len(evaluations),
        "seed": None if seed is None else {"outcome": seed.outcome.value, "message": seed.message},
        "best_fitness": max((one.fitness or 0.0 for one in evaluations), default=0.0),
        "open": [str(one["id"]) for one in open_asks(store, run_id)],
    }


def best_record(store: Store, problem: str, accelerator: str | None = None) -> dict[str, Any]:
    """The best right kernel over all runs on comparable devices. Raises `KernelEvolveError` where there is none."""
    for one in store.best(problem, accelerator=accelerator):
        if one.evaluation.outcome is Outcome.CORRECT:
            record = candidate_record(store, one.run.id, one.candidate)
            return {"accelerator": one.run.accelerator, "device": one.run.device, **record}
    where = f" on {accelerator}" if accelerator else ""
    raise KernelEvolveError(f"no run has a right kernel for {problem!r}{where} yet; start one")


def run_cost(store: Store, run_id: str) -> dict[str, Any]:
    """What a run has spent and what came of it."""
    run = store.run(run_id)
    spent = store.spent(run_id) or {}
    evaluations = list(store.evaluations(run_id))
    return {
        "run": run_id,
        "limits": dict(run.budget),
        "evaluations": len(evaluations),
        "seconds": spent.get("seconds", 0.0),
        "device_seconds": spent.get("device_seconds", 0.0),
        "best_fitness": max((one.fitness or 0.0 for one in evaluations), default=0.0),
        **cost_record(spent, store.candidates(run_id), evaluations),
    }


def _judgement(evaluation: Evaluation, discretion: _Discretion) -> dict[str, Any]:
    checks = evaluation.profile.get("checks") or {}
    return {
        "outcome": evaluation.outcome.value,
        "stage": evaluation.stage,
        "message": discretion.text(evaluation.message),
        "log": discretion.text(str(evaluation.details.get("log", ""))[-_LOG:]),
        "fitness": evaluation.fitness or 0.0,
        "configuration": dict(evaluation.configuration),
        "times": {
            label: {"median_seconds": median(times.seconds), "samples": len(times.seconds), "source": times.source}
            for label, times in evaluation.times.items()
        },
        "checks": {name: checks[name] for name in ("passed", "planned", "deterministic") if name in checks},
    }


class _Discretion:
    """Leaves out of one run's records what only checking may know."""

    def __init__(self, run: Run, problem: Problem | None) -> None:
        self._timed = tuple(Workload.parse(label) for label in run.settings["workloads"])
        self._problem = problem or registry.problem(str(run.settings["problem"]))
        if self._problem.fingerprint != run.fingerprint:
            raise KernelEvolveError(f"run {run.id}: problem {run.problem!r} was declared differently then")

    def text(self, text: str) -> str:
        return discreet(text, self._problem, self._timed)

    def values(self, value: Any) -> Any:
        """JSON values without entries by workload that are of workloads which are not timed."""
        timed = {workload.label for workload in self._timed}
        if isinstance(value, Mapping):
            return {k: self.values(v) for k, v in value.items() if "=" not in str(k) or str(k) in timed}
        if isinstance(value, list | tuple):
            return [self.values(one) for one in value]
        return self.text(value) if isinstance(value, str) else value


def _when(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
