"""``compile``."""

from __future__ import annotations

__all__ = ["compile_file"]

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from kernelevolve import api
from kernelevolve.accelerator import Artifact
from kernelevolve.cli.evaluating import assigned
from kernelevolve.cli.output import Output, seconds_text
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.isolation import Limits
from kernelevolve.evaluation.wire import unstructure
from kernelevolve.kernel import read_kernel


def compile_file(
    output: Output,
    file: Path,
    problem: str,
    accelerator: str,
    targets: Sequence[str],
    workload: str | None,
    assignments: Sequence[str],
    seconds: float,
    save: Path | None,
) -> bool:
    """Compile and print; whether every target compiled. Stages go to ``save/TARGET/STAGE``."""
    kernel = read_kernel(file)
    found = api.compile_kernel(
        kernel,
        problem,
        accelerator,
        targets=targets,
        configuration=assigned(kernel, assignments),
        workload=workload,
        limits=Limits(compile_seconds=seconds),
    )
    saved = {one.target: _save(save, one) for one in found if save is not None and one.artifact is not None}
    if output.json:
        output.document({"kernel": str(file), "compiled": [_record(one) for one in found], "saved": saved})
    else:
        _print(output, file, found)
        if save is not None:
            output.line(f"stages are in {save}")
    return all(one.outcome is None for one in found)


def _record(one: api.Compiled) -> dict[str, Any]:
    artifact = one.artifact or Artifact({})
    return {
        "target": one.target,
        "workload": one.workload,
        "outcome": one.outcome,
        "message": one.message,
        "seconds": one.seconds,
        "resources": unstructure(artifact.resources),
        "stages": {name: len(blob) for name, blob in artifact.stages.items()},
        "toolchain": dict(artifact.toolchain),
        "log": artifact.log,
        "extra": unstructure(artifact.extra),
    }


def _save(folder: Path, one: api.Compiled) -> str:
    assert one.artifact is not None
    place = folder / re.sub(r"[^\w.-]", "_", one.target)
    try:
        place.mkdir(parents=True, exist_ok=True)
        for name, blob in one.artifact.stages.items():
            (place / re.sub(r"[^\w.-]", "_", name)).write_bytes(blob)
    except OSError as error:
        raise KernelEvolveError(f"--save {folder}: cannot be written ({error.strerror}); name a folder") from None
    return str(place)


def _print(output: Output, file: Path, found: Sequence[api.Compiled]) -> None:
    if not found:
        raise KernelEvolveError("there is no target to compile for here")
    names = list(
        dict.fromkeys(
            name
            for one in found
            if one.artifact
            for used in one.artifact.resources.values()
            for name, value in used.items()
            if value or name in ("registers", "vgprs", "spilled_bytes")
        )
    )
    output.line(f"{file}: {found[0].workload}")
    table = Table("target", "entry", "seconds", *(name.replace("_", " ") for name in names), box=None, pad_edge=False)
    for one in found:
        for entry, used in one.artifact.resources.items() if one.artifact else ():
            numbers = [str(used[name]) if name in used else "" for name in names]
            table.add_row(one.target, entry, seconds_text(one.seconds), *numbers)
    if names:
        output.table(table)
    for one in found:
        if one.outcome is not None:
            output.line(f"{one.target}: {one.outcome}: {one.message}")
