"""``evolve`` and ``resume``."""

from __future__ import annotations

__all__ = ["evolve_problem", "print_result", "resume_run"]

import signal
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import attrs
from rich.table import Table

from kernelevolve import api
from kernelevolve.cli.output import Exit, Output, seconds_text
from kernelevolve.cli.progress import ProgressDisplay
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.confirm import Confirmation
from kernelevolve.evaluation.measure import Comparison, Verdict
from kernelevolve.evolution.budget import Budget, budget_from
from kernelevolve.evolution.loop import Progress
from kernelevolve.kernel import configuration_label, read_kernel, render_kernel
from kernelevolve.outcome import Outcome
from kernelevolve.store import Store


def evolve_problem(
    output: Output,
    problem: str,
    accelerator: str,
    *,
    device: str | None,
    target: str | None,
    workloads: Sequence[str] | None,
    evaluations: int | None,
    seconds: float | None,
    seed: int,
    proposer: str,
    model: Mapping[str, Any],
    max_cost: float | None,
    max_tokens: int | None,
    policy: str,
    search: Mapping[str, Any],
    start: Path | None,
    transfer: bool,
    store_url: str | None,
    out: Path | None,
    eager: bool,
) -> None:
    """Evolve, with progress on standard error and the result on standard output."""
    _check_writable(out)
    with (
        Store.open(store_url) as store,
        _stoppable(output) as under_way,
        ProgressDisplay(f"{problem} on {accelerator}") as show,
    ):

        def observe(progress: Progress) -> None:
            under_way.append(progress.run)
            show(progress)

        result = api.evolve(
            problem,
            accelerator,
            device=device,
            target=target,
            budget=_budget(evaluations, seconds, max_cost, max_tokens) or Budget(evaluations=150),
            seed=seed,
            proposer=proposer,
            model={name: value for name, value in model.items() if value is not None},
            policy=policy,
            search=api.SearchSettings(**search),
            transfer=transfer,
            workloads=workloads,
            start=read_kernel(start) if start else None,
            store=store,
            eager=eager,
            observer=observe,
        )
    print_result(output, result, out)


def resume_run(
    output: Output,
    run: str,
    *,
    evaluations: int | None,
    seconds: float | None,
    max_cost: float | None,
    max_tokens: int | None,
    store_url: str | None,
    out: Path | None,
) -> None:
    """Resume, with progress on standard error and the result on standard output."""
    _check_writable(out)
    with Store.open(store_url) as store, _stoppable(output) as under_way, ProgressDisplay(f"run {run}") as show:
        before = budget_from(store.run(run).budget)
        under_way.append(run)
        limits = _budget(evaluations, seconds, max_cost, max_tokens)
        if limits is not None:  # a cap on money is not lifted by the way
            limits = attrs.evolve(
                limits, dollars=limits.dollars or before.dollars, tokens=limits.tokens or before.tokens
            )
        result = api.resume(run, budget=limits, store=store, observer=show)
    print_result(output, result, out)


def _check_writable(out: Path | None) -> None:
    """Refuse a place for the kernel before the run and not after it."""
    if out is None:
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise KernelEvolveError(
            f"--out {out}: cannot be written ({error.strerror}); name a file in a folder of yours"
        ) from None
    if not out.stat().st_size:
        out.unlink()


def _budget(evaluations: int | None, seconds: float | None, dollars: float | None, tokens: int | None) -> Budget | None:
    if evaluations is None and seconds is None and dollars is None and tokens is None:
        return None
    return Budget(evaluations=evaluations, seconds=seconds, dollars=dollars, tokens=tokens)


@contextmanager
def _stoppable(output: Output) -> Iterator[deque[str]]:
    """Ctrl-C and SIGTERM stop a run cleanly, and say how to go on: with the run that stands last in what is given."""
    under_way: deque[str] = deque(maxlen=1)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield under_way
    except KeyboardInterrupt:
        if under_way:
            output.note(f"stopped; everything so far is kept. Go on with: kernelevolve resume {under_way[0]}")
        else:
            output.note("stopped before anything was evaluated")
        raise SystemExit(Exit.INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def print_result(output: Output, result: api.RunResult, out: Path | None) -> None:
    """The table at a run's end; the best kernel goes to `out` where given."""
    text = render_kernel(result.kernel.with_default(result.configuration))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    if output.json:
        output.document(api.result_record(result) | {"kernel": text})
        return
    for confirmation in result.confirmations:
        output.table(_confirmation_table(result, confirmation))
    for choice in result.table if len(result.table) > 1 else ():
        configured = configuration_label(choice.configuration) or "no tunables"
        output.line(
            f"{choice.workload}: candidate {choice.candidate} with {configured} ({choice.speedup:.2f}× the seed)"
        )
    output.line(_fallen(result))
    if result.speedup is None:
        output.line(_unmeasured(result))
        return
    output.line(f"best: candidate {result.best} with {configuration_label(result.configuration) or 'no tunables'}")
    output.line(f"run {result.run}: {result.reason}; {result.evaluations} evaluations in {result.seconds:.0f} s")
    shown = f"kernelevolve show {result.run} --candidate {result.best}"
    output.line(f"look at it: kernelevolve show {result.run}   the kernel: {out or shown}")


def _unmeasured(result: api.RunResult) -> str:
    right = result.outcomes.get("UNMEASURED", 0)
    return (
        f"run {result.run}: {result.reason}\n{right} evaluations were right; {result.device.name} has no clock, so no "
        f"kernel is better than another here.\nlook at them: kernelevolve show {result.run}   measure one where there "
        f"is a device: kernelevolve evaluate FILE --problem … --accelerator {result.device.accelerator}"
    )


def _confirmation_table(result: api.RunResult, one: Confirmation) -> Table:
    title = f"{one.workload} on {result.device.name}, fresh process, fresh inputs, interleaved"
    eager = ["against PyTorch eager"] if one.eager else []
    table = Table("", "median", "against the seed", *eager, title=title, title_justify="left", box=None)
    names = {"seed": "seed", f"#{result.best}": f"best (candidate {result.best})"}
    for name in sorted(one.timings, key=lambda n: (n not in names, n != "seed", n)):
        to_seed, to_eager = one.comparisons.get(("seed", name)), one.comparisons.get(("eager", name))
        time = seconds_text(one.timings[name].seconds)
        beside = [ratio_text(to_eager)] if one.eager else []
        table.add_row(names.get(name, f"candidate {name[1:]}"), time, ratio_text(to_seed), *beside)
    if one.eager:
        table.add_row(one.eager_description, seconds_text(one.eager.seconds), "", "")
    return table


def ratio_text(comparison: Comparison | None) -> str:
    """``6.12× [6.05, 6.20] FASTER``, or a dash."""
    if comparison is None:
        return "–"
    text = f"{comparison.ratio:.2f}× [{comparison.low:.2f}, {comparison.high:.2f}] {comparison.verdict}"
    return (
        f"[dim]{text.replace('[', chr(92) + '[', 1)}[/dim]"
        if comparison.verdict is Verdict.UNCLEAR
        else text.replace("[", "\\[", 1)
    )


def _fallen(result: api.RunResult) -> str:
    right = sum(count for outcome, count in result.outcomes.items() if Outcome(outcome).right)
    fallen = [(o, n) for o, n in sorted(result.outcomes.items(), key=lambda i: -i[1]) if not Outcome(o).right]
    wrong = ", ".join(f"{n} {o}" for o, n in fallen)
    stages = ", ".join(f"{count} at {stage}" for stage, count in result.stages.items())
    caught = f"; fell: {stages} ({wrong})" if wrong else "; none fell"
    return f"{result.candidates} candidates, {result.evaluations} evaluations: {right} right{caught}"
