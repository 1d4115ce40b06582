"""``doctor``: what is installed, and the smallest difference that means anything on each device."""

from __future__ import annotations

__all__ = ["examine"]

import importlib.metadata
import platform
import sys
from typing import Any

from rich.table import Table

from kernelevolve import api, registry
from kernelevolve._version import VERSION
from kernelevolve.accelerator import Status
from kernelevolve.cli.listing import accelerator_record
from kernelevolve.cli.output import Output, seconds_text
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.selftest import Resolution, self_test
from kernelevolve.evaluation.wire import unstructure
from kernelevolve.outcome import CandidateError

#: What the project stands on; each may be there or not.
_PACKAGES = (
    "torch",
    "pyopencl",
    "pocl-binary-distribution",
    "triton",
    "numba",
    "numba-cuda",
    "anthropic",
    "sqlalchemy",
)


def examine(output: Output, accelerator: str | None, *, batches: int, quick: bool) -> bool:
    """Print the examination; whether everything asked for works."""
    names = [accelerator] if accelerator else list(registry.accelerator_names())
    for name in names:
        registry.load("accelerator", name)
    records = [accelerator_record(name) for name in names]
    report: dict[str, Any] = {
        "kernelevolve": VERSION,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "accelerators": records,
    }
    if not quick:
        timeable = [(record["name"], index) for record in records for index in _timeable(record)]
        report["resolution"] = [_resolution(output, name, index, batches) for name, index in timeable]
    if output.json:
        output.document(report)
    else:
        _print(output, report)
    ok = [record["status"] for record in records]
    return Status.OK in ok and Status.BROKEN not in ok and (accelerator is None or ok == [Status.OK])


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _timeable(record: dict[str, Any]) -> list[str]:
    """Indices of the devices whose times are real."""
    return [str(device["index"]) for device in record["devices"] if device["realm"] == "hardware"]


def _resolution(output: Output, name: str, device: str, batches: int) -> dict[str, Any]:
    output.note(f"timing identical kernels against each other on {name} device {device}…")
    try:
        found: Resolution = self_test(name, device=device, batches=batches)
        api.remember_resolution(registry.find_device(registry.accelerator(name), device), found.resolution)
    except (CandidateError, KernelEvolveError) as error:
        return {"accelerator": name, "error": str(error)}
    record: dict[str, Any] = unstructure(found)
    return record


def _print(output: Output, report: dict[str, Any]) -> None:
    output.line(f"kernelevolve {report['kernelevolve']}, Python {report['python']}, {report['platform']}")
    installed = ", ".join(f"{name} {version}" for name, version in report["packages"].items() if version)
    missing = ", ".join(name for name, version in report["packages"].items() if not version)
    output.line(f"installed: {installed}")
    output.line(f"not installed: {missing or 'nothing that could be used'}")
    for record in report["accelerators"]:
        output.line(f"{record['name']}: {record['status']} {record['message']}")
    if not report.get("resolution"):
        return
    table = Table("device", "kernel", "median", "resolution", "warm against fresh worker", box=None, pad_edge=False)
    for one in report["resolution"]:
        if "error" in one:
            table.add_row(one["accelerator"], one["error"])
            continue
        fresh = f"{one['fresh_ratio']:.4f}"
        time = seconds_text(one["seconds"])
        table.add_row(one["device"], one["kernel"], time, f"±{100 * one['resolution']:.2f} %", fresh)
    output.table(table)
    output.line("differences below the resolution are noise on that device; verdicts there use it from now on")
