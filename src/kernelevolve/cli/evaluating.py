"""``evaluate``."""

from __future__ import annotations

__all__ = ["assigned", "evaluate_file", "evaluation_record"]

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kernelevolve import api
from kernelevolve.cli.output import Output, seconds_text
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.wire import unstructure
from kernelevolve.kernel import Kernel, Value, read_kernel


def evaluate_file(
    output: Output,
    file: Path,
    problem: str,
    accelerator: str,
    device: str | None,
    workloads: Sequence[str] | None,
    assignments: Sequence[str],
    *,
    target: str | None,
    run_seconds: float | None,
    compile_seconds: float | None,
    sanitize: bool,
    eager: bool,
) -> bool:
    """Evaluate and print; whether the kernel is right."""
    kernel = read_kernel(file)
    found = api.evaluate(
        kernel,
        problem,
        accelerator,
        device=device,
        configuration=assigned(kernel, assignments),
        workloads=workloads,
        eager=eager,
        sanitize=sanitize,
        target=target,
        run_seconds=run_seconds,
        compile_seconds=compile_seconds,
    )
    record = evaluation_record(found)
    if output.json:
        output.document(record)
    else:
        _print(output, file, record)
    return found.evaluation.outcome.right


def assigned(kernel: Kernel, assignments: Sequence[str]) -> dict[str, Value]:
    """The configuration that ``--set NAME=VALUE`` options ask for. Raises `KernelEvolveError` for another form."""
    values: dict[str, Value] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals:
            raise KernelEvolveError(f"--set {text!r}: write NAME=VALUE, as in --set LANES=8")
        offered = {str(one): one for one in kernel.tunables.get(name, ())}
        values[name] = offered.get(value, value)
    return values


def evaluation_record(found: api.Evaluated) -> dict[str, Any]:
    """The evaluation as JSON values: a stable core of fields, then everything else."""
    evaluation, device = found.evaluation, found.device
    timing = evaluation.timings[0] if evaluation.timings else None
    confirmed = found.confirmations[0] if found.confirmations else None
    own = confirmed.timings["kernel"] if confirmed else timing
    comparisons = api.confirmation_record(confirmed)["comparisons"] if confirmed else []
    speedups = [_speedup(one) for one in comparisons if one["side"] == "kernel"]
    return {
        "outcome": evaluation.outcome,
        "stage": "confirm" if confirmed else evaluation.stage,
        "message": evaluation.message,
        "problem": found.problem,
        "accelerator": device.accelerator,
        "device": device.name,
        "realm": device.realm,
        "configuration": dict(evaluation.configuration),
        "workload": own.workload if own else None,
        "time_seconds": own.seconds if own else None,
        "time_source": own.source if own else None,
        "speedup": speedups[0] if speedups else None,
        "speedups": speedups,
        "details": dict(evaluation.details),
        "checks": unstructure(evaluation.checks),
        "resources": unstructure(evaluation.resources),
        "profile": unstructure(evaluation.profile),
        "spent": dict(evaluation.spent),
        "confirmations": [api.confirmation_record(one) for one in found.confirmations],
    }


def _speedup(comparison: dict[str, Any]) -> dict[str, Any]:
    return {key: comparison[key] for key in ("ratio", "low", "high", "baseline", "verdict", "rounds")}


def _print(output: Output, file: Path, record: dict[str, Any]) -> None:
    output.line(f"{file}: {record['outcome']}  ({record['problem']} on {record['accelerator']}, {record['device']})")
    if record["message"]:
        output.line(f"  {record['stage']}: {record['message']}")
    log = record["details"].get("log")
    if log:
        output.line("\n".join(f"  | {line}" for line in str(log).splitlines()[:40]))
    checks = record["checks"]
    if checks["planned"]:
        unserved = f", {checks['unserved']} not served by this kernel" if checks["unserved"] else ""
        repeat = "" if checks["deterministic"] else "; bits differ from run to run, within tolerance"
        skipped = f", {checks['skipped']} left out for time" if checks["skipped"] else ""
        output.line(f"  checked on {checks['passed']} of {checks['planned']} secret cases{unserved}{skipped}{repeat}")
    if record["time_seconds"]:
        configured = ", ".join(f"{name}={value}" for name, value in record["configuration"].items()) or "no tunables"
        time = seconds_text(record["time_seconds"])
        output.line(f"  {record['workload']}: {time} ({record['time_source']}; {configured})")
    for one in record["speedups"]:
        text = f"{one['ratio']:.2f}× [{one['low']:.2f}, {one['high']:.2f}] against {one['baseline']}: {one['verdict']}"
        output.line(f"  {text}")
    for label, told in record["profile"].get("device", {}).items():
        busy = ", ".join(f"{unit} {use['share']:.0%}" for unit, use in told.get("units", {}).items())
        if busy:
            output.line(f"  {label}: busy: {busy}")
