"""What ``start``, ``ask``, ``tell``, ``evaluate-batch`` and ``finish`` do."""

from __future__ import annotations

__all__ = ["ask_run", "batch", "confirm_run", "decline_proposal", "show_open", "start_run", "tell_file", "tell_results"]

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kernelevolve.api.answers import asked_record, context_markdown, run_record, told_record
from kernelevolve.api.asking import Asked, ask, decline, tell
from kernelevolve.api.batches import Batched, evaluate_batch, write_batch_file
from kernelevolve.api.bookkeeping import Refused, Status, open_asks
from kernelevolve.api.ingesting import ingest
from kernelevolve.api.results import read_results
from kernelevolve.api.running import SearchSettings
from kernelevolve.api.starting import confirm, start
from kernelevolve.cli.evolving import print_result
from kernelevolve.cli.output import Output, seconds_text
from kernelevolve.cli.progress import ProgressDisplay
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evolution.budget import Budget
from kernelevolve.kernel import parse_kernel, read_kernel
from kernelevolve.registry import language
from kernelevolve.store import Store


def start_run(
    output: Output,
    problem: str,
    accelerator: str,
    *,
    device: str | None,
    target: str | None,
    workloads: Sequence[str] | None,
    evaluations: int | None,
    seed: int,
    policy: str,
    search: Mapping[str, Any],
    start: Path | None,
    results: Path | None,
    store_url: str | None,
) -> None:
    """Start a run and print its id."""
    with Store.open(store_url) as store:
        run = _start(
            problem,
            accelerator,
            device=device,
            target=target,
            workloads=workloads,
            budget=Budget(evaluations=evaluations),
            seed=seed,
            policy=policy,
            search=SearchSettings(**search),
            start=read_kernel(start) if start else None,
            results=read_results(results) if results else None,
            store=store,
            waiting=output.note,
        )
        record = run_record(store, run.id)
    if output.json:
        output.document(record)
        return
    output.note(f"{run.problem} on {run.device}: the seed is {record['seed']['outcome']}")
    output.note(f"ask for what to write: kernelevolve ask {run.id}")
    output.line(run.id)


_start = start


def ask_run(
    output: Output, run: str, *, count: int, expires: float, folder: Path | None, store_url: str | None
) -> bool:
    """Print contexts, or write them to `folder`; whether there were any."""
    with Store.open(store_url) as store:
        record = store.run(run)
        try:
            given = ask(run, count=count, expires=expires, store=store, waiting=output.note)
        except Refused as error:
            return _refused(output, error)
        if len(given) < count:
            output.note(f"{len(given)} of {count}: the budget of the run has room for no more")
        suffix = language(record.language).suffix
        texts = {one.proposal: context_markdown(one, _how(one, suffix, folder)) for one in given}
        if folder is not None:
            _write(folder, texts)
            seed = parse_kernel(store.kernel_text(run, 0), name="seed")
            write_batch_file(folder, record, seed)
    if output.json:
        proposals = [
            asked_record(one) | ({"file": str(folder / f"{one.proposal}.md")} if folder else {}) for one in given
        ]
        output.document({"run": run, "proposals": proposals})
    elif folder is not None:
        for proposal in texts:
            output.line(str(folder / f"{proposal}.md"))
    else:
        output.line("\n".join(texts.values()).rstrip("\n"))
        output.note(f"proposals: {', '.join(texts)}")
    return True


def _how(asked: Asked, suffix: str, folder: Path | None) -> str:
    if folder is not None:
        return (
            f"Write the kernel to the file `{asked.proposal}{suffix}` in this folder. It is measured with "
            f"`kernelevolve evaluate-batch FOLDER --out results.json` and taken in with `kernelevolve tell {asked.run} "
            "--results results.json`."
        )
    return (
        f"Write the kernel to a file and tell it:\n\n    kernelevolve tell {asked.run} {asked.proposal} FILE "
        "--note 'what was changed' --predicted FACTOR\n\nWhere nothing comes of it:\n\n    "
        f"kernelevolve tell {asked.run} {asked.proposal} --decline 'why'"
    )


def _write(folder: Path, texts: dict[str, str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for proposal, text in texts.items():
            (folder / f"{proposal}.md").write_text(text, encoding="utf-8")
    except OSError as error:
        raise KernelEvolveError(f"--to {folder}: cannot be written ({error.strerror}); name a folder") from None


def show_open(output: Output, run: str, store_url: str | None) -> None:
    """Print the proposals that are open."""
    now = time.time()
    with Store.open(store_url) as store:
        store.run(run)
        found = [
            {
                "proposal": one["id"],
                "parent": one["action"]["parent"],
                "draft": one["action"]["draft"],
                "expired": one["expires"] < now,
            }
            for one in open_asks(store, run)
        ]
    if output.json:
        output.document({"run": run, "open": found})
        return
    for one in found:
        what = "a draft" if one["draft"] else f"on candidate {one['parent']}"
        output.line(f"{one['proposal']}  {what}{'  (expired)' if one['expired'] else ''}")
    if not found:
        output.note("nothing is open")


def tell_file(
    output: Output,
    run: str,
    proposal: str,
    file: Path,
    *,
    note: str,
    predicted: float | None,
    bottleneck: str,
    store_url: str | None,
) -> bool:
    """Tell one kernel and print what came of it; whether it was recorded."""
    with Store.open(store_url) as store, ProgressDisplay(f"run {run}") as show:
        try:
            told = tell(
                run,
                proposal,
                file,
                note=note,
                predicted=predicted,
                bottleneck=bottleneck,
                store=store,
                observer=show,
                waiting=output.note,
            )
        except Refused as error:
            return _refused(output, error)
        record = told_record(store, told)
    if output.json:
        output.document(record)
    else:
        _print(output, record)
    return True


def decline_proposal(output: Output, run: str, proposal: str, reason: str, store_url: str | None) -> bool:
    """Record that nothing came of a proposal; whether that was possible."""
    with Store.open(store_url) as store:
        try:
            told = decline(run, proposal, reason, store=store, waiting=output.note)
        except Refused as error:
            return _refused(output, error)
        record = told_record(store, told)
    if output.json:
        output.document(record)
    else:
        _print(output, record)
    return True


def tell_results(output: Output, run: str, file: Path, store_url: str | None) -> bool:
    """Take in a file of results; whether any of it belonged to the run."""
    results = read_results(file)
    with Store.open(store_url) as store:
        try:
            found = ingest(run, results, store=store, waiting=output.note)
        except Refused as error:
            return _refused(output, error)
        records = [told_record(store, told) for told in found.told]
    if output.json:
        output.document({"run": run, "told": records, "left": dict(found.left)})
    else:
        for record in records:
            _print(output, record)
        for name, why in found.left.items():
            output.note(f"{name} was left out: {why}")
    return bool(records)


def confirm_run(output: Output, run: str, *, tune: int, out: Path | None, eager: bool, store_url: str | None) -> None:
    """Tune and confirm a run's best kernels, and print the result."""
    with Store.open(store_url) as store, ProgressDisplay(f"run {run}") as show:
        result = confirm(run, tune=tune, eager=eager, store=store, observer=show, waiting=output.note)
    print_result(output, result, out)


def _refused(output: Output, error: Refused) -> bool:
    if output.json:
        output.document({"status": "refused", "error": str(error)})
    output.note(f"refused: {error}")
    return False


def _print(output: Output, record: dict[str, Any]) -> None:
    """What became of a proposal, for people."""
    again = " (recorded before)" if record["repeated"] else ""
    match record["status"]:
        case Status.DECLINED:
            output.line(f"{record['proposal']}: declined{again}: {record['message']}")
        case Status.PENDING:
            output.line(f"{record['proposal']}: waits for results{again}: {record['message']}")
        case _:
            same = ", the same kernel" if record["status"] == Status.DUPLICATE else ""
            output.line(f"{record['proposal']}: candidate {record['candidate']}{same}: {record['outcome']}{again}")
            if record["message"]:
                output.line(f"  {record['stage']}: {record['message']}")
            for line in record["log"].splitlines()[:40]:
                output.line(f"  | {line}")
            for label, times in record["times"].items():
                output.line(f"  {label}: {seconds_text(times['median_seconds'])} ({times['source']})")
            if record["fitness"]:
                gain = f", {record['gain']:.2f}× its parent" if record["gain"] else ""
                said = f" (predicted {record['predicted']:.2f}×)" if record["predicted"] else ""
                output.line(f"  {record['fitness']:.2f}× the seed{gain}{said}")


def batch(
    output: Output,
    folder: Path,
    out: Path,
    problem: str | None,
    accelerator: str,
    *,
    device: str | None,
    target: str | None,
    workloads: Sequence[str] | None,
    start: Path | None,
    run_seconds: float | None,
    compile_seconds: float | None,
) -> None:
    """Evaluate a folder's kernels, a line for each on standard error, and say where the results are."""

    def show(step: Batched) -> None:
        one = step.measurement
        what = step.message if one is None else str(one.evaluation.outcome)
        if one is not None and one.evaluation.fitness:
            what += f", {one.evaluation.fitness:.2f}× the seed"
        elif one is not None and one.evaluation.message:
            what += f": {one.evaluation.message}"
        output.note(f"{step.done}/{step.total} {step.file}: {what}")

    results = evaluate_batch(
        folder,
        problem,
        accelerator,
        out=out,
        device=device,
        target=target,
        workloads=workloads,
        start=read_kernel(start) if start else None,
        run_seconds=run_seconds,
        compile_seconds=compile_seconds,
        observer=show,
    )
    record = {
        "results": str(out),
        "device": results.device.label,
        "kernels": {
            file: {
                "outcome": one.evaluation.outcome,
                "fitness": one.evaluation.fitness,
                "message": one.evaluation.message,
            }
            for file, one in results.kernels.items()
        },
        "refused": dict(results.refused),
    }
    if output.json:
        output.document(record)
        return
    right = sum(one.evaluation.outcome.right for one in results.kernels.values())
    output.line(f"{out}: {len(results.kernels)} kernels on {results.device.label}, {right} of them right")
