"""``devices`` and ``problems``."""

from __future__ import annotations

__all__ = ["device_record", "show_devices", "show_problem", "show_problems"]

from typing import Any

from rich.table import Table

from kernelevolve import registry
from kernelevolve.accelerator import Device, Status
from kernelevolve.cli.output import Output
from kernelevolve.errors import KernelEvolveError, UnknownNameError
from kernelevolve.evaluation.wire import unstructure


def device_record(device: Device) -> dict[str, Any]:
    """A device as JSON values."""
    record: dict[str, Any] = unstructure(device)
    return record | {"dtypes": sorted(device.dtypes)}


def accelerator_record(name: str) -> dict[str, Any]:
    """One accelerator's status, devices and targets; a broken one says why instead of raising."""
    record: dict[str, Any] = {"name": name, "status": Status.BROKEN, "message": "", "devices": [], "targets": []}
    try:
        made = registry.accelerator(name)
        found = made.probe()
        record |= {"status": found.status, "message": found.message, "languages": sorted(made.languages)}
        if found.status is Status.OK:
            record["devices"] = [device_record(device) for device in made.devices()]
            record["targets"] = [target.name for target in made.targets()]
    except KernelEvolveError as error:
        record["message"] = str(error)
    except Exception as error:  # a plugin may raise anything; the others go on
        record["message"] = f"{type(error).__name__}: {error}"
    return record


def show_devices(output: Output) -> None:
    """Print every accelerator."""
    records = [accelerator_record(name) for name in registry.accelerator_names()]
    if output.json:
        output.document({"accelerators": records})
        return
    table = Table("accelerator", "status", "device", "realm", "what it has", box=None, pad_edge=False)
    for record in records:
        if not record["devices"]:
            table.add_row(record["name"], record["status"], "", "", record["message"])
        for device in record["devices"]:
            facts, memory = device["facts"], device["memory"]
            has = f"{facts.get('num_units', '?')} units, {memory.get('global', 0) / 2**30:.1f} GiB"
            table.add_row(
                record["name"], record["status"], f"{device['index']}: {device['name']}", device["realm"], has
            )
    output.table(table)


def show_problems(output: Output) -> None:
    """Print one line per problem."""
    found = [registry.problem(name) for name in registry.problem_names()]
    if output.json:
        output.document({"problems": [problem_record(problem) for problem in found]})
        return
    table = Table("problem", "axes", "inputs → outputs", "seeds", "what", box=None, pad_edge=False)
    for problem in found:
        names = f"{', '.join(s.name for s in problem.inputs)} → {', '.join(s.name for s in problem.outputs)}"
        table.add_row(problem.name, ", ".join(problem.axes), names, ", ".join(problem.seeds), problem.description)
    output.table(table)


def problem_record(problem: Any) -> dict[str, Any]:
    """A problem's declaration as JSON values; hidden workloads stay hidden."""
    return {
        "name": problem.name,
        "description": problem.description,
        "axes": list(problem.axes),
        "inputs": [_tensor(spec) for spec in problem.inputs],
        "outputs": [_tensor(spec) for spec in problem.outputs],
        "scalars": {spec.name: spec.value for spec in problem.scalars},
        "workloads": [{"workload": w.label, "tags": sorted(w.tags)} for w in problem.workloads],
        "seeds": sorted(problem.seeds),
        "operations": problem.operations.text if problem.operations else None,
    }


def _tensor(spec: Any) -> dict[str, Any]:
    return {"name": spec.name, "shape": [part.text for part in spec.shape], "dtype": spec.dtype}


def show_problem(output: Output, name: str, seed: str | None = None) -> None:
    """Print one problem with the task linter's findings, or its seed kernel in the language `seed`."""
    from kernelevolve.evaluation.lint import lint

    problem = registry.problem(name)
    if seed is not None:
        if seed not in problem.seeds:
            raise UnknownNameError("seed language", seed, sorted(problem.seeds), where=f"problem {name!r}")
        text = problem.seeds[seed]
        if output.json:
            output.document({"problem": problem.name, "language": seed, "kernel": text})
        else:
            output.line(text.rstrip("\n"))
        return
    findings = lint(problem)
    record = problem_record(problem) | {"findings": [str(finding) for finding in findings]}
    if output.json:
        output.document(record)
        return
    output.line(f"{problem.name}: {problem.description}")
    for kind in ("inputs", "outputs"):
        for spec in record[kind]:
            output.line(f"  {kind[:-1]} {spec['name']}: {spec['dtype']}[{', '.join(spec['shape'])}]")
    for scalar, value in record["scalars"].items():
        output.line(f"  scalar {scalar} = {value}")
    for workload in record["workloads"]:
        output.line(f"  workload {workload['workload']}  ({', '.join(workload['tags'])})")
    output.line(f"  seeds: {', '.join(record['seeds']) or 'none'}")
    for finding in findings:
        output.line(f"  lint {finding}")
