"""Results as a file: what kernels did on a device, to be carried to where the run is kept.

A document says which device, toolchain, problem, workloads and protocol it is of, holds the seed that all kernels were
paired with, and for each kernel its text and its whole evaluation, raw samples included. Checksums find what was
changed by accident. They are no signature: whoever hands over results answers for them.
"""

from __future__ import annotations

__all__ = ["FORMAT", "Measurement", "Results", "read_results", "write_results"]

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import evolve, field, frozen

from kernelevolve.accelerator import Device
from kernelevolve.api.devices import changed_software, same_device
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.pipeline import Settings
from kernelevolve.evaluation.records import Evaluation
from kernelevolve.evaluation.wire import WireError, finite_seconds, structure, unstructure
from kernelevolve.kernel import Kernel, parse_kernel, render_kernel
from kernelevolve.outcome import Outcome

#: What a document starts with; the number changes when an older reader would misread a newer one.
FORMAT: Final = "kernelevolve results 1"


@frozen
class Measurement:
    """One kernel, evaluated in its default configuration."""

    kernel: Kernel
    #: Without the compiled stages.
    evaluation: Evaluation
    #: Seconds since 1970 at its end.
    measured: float
    #: Wall seconds it took.
    seconds: float


@frozen
class Results:
    """A batch of measurements from one device."""

    problem: str
    #: `Problem.fingerprint`.
    fingerprint: str
    device: Device
    toolchain: Mapping[str, str] = field(hash=False)
    #: Labels of what was timed.
    workloads: tuple[str, ...]
    settings: Settings
    #: The version of kernelevolve that measured.
    version: str
    #: What the others are paired with; None until it is measured.
    seed: Measurement | None = None
    #: By file name.
    kernels: Mapping[str, Measurement] = field(factory=dict, hash=False)
    #: Files that are no kernels of this device, with the sentence that says why.
    refused: Mapping[str, str] = field(factory=dict, hash=False)

    def with_kernel(self, file: str, measurement: Measurement) -> Results:
        """With one more, or a newer, measurement."""
        refused = {name: why for name, why in self.refused.items() if name != file}
        return evolve(self, kernels={**self.kernels, file: measurement}, refused=refused)

    def with_refused(self, file: str, why: str) -> Results:
        """With a file that was not measured; what it was measured as before is gone with its text."""
        kernels = {name: one for name, one in self.kernels.items() if name != file}
        return evolve(self, kernels=kernels, refused={**self.refused, file: why})

    def difference(self, other: Results) -> str | None:
        """Why the two cannot stand in one document, in words; None where they can."""
        if self.fingerprint != other.fingerprint:
            return f"they are of another declaration of problem {other.problem!r}"
        if not same_device(self.device, other.device):
            return f"they are of {other.device.label}, not of {self.device.label}"
        changed = changed_software(other.device, other.toolchain, self.device, self.toolchain)
        if changed:
            return f"the software was another then: {changed}"
        if self.workloads != other.workloads:
            return f"they are of {' and '.join(other.workloads)}"
        if self.settings != other.settings:
            return "they were measured by another protocol"
        return None


def write_results(path: Path, results: Results) -> None:
    """Put the whole document in place of what is there. Raises `KernelEvolveError` where that cannot be written."""
    document = {
        "format": FORMAT,
        "problem": results.problem,
        "fingerprint": results.fingerprint,
        "device": unstructure(results.device) | {"dtypes": sorted(results.device.dtypes)},
        "toolchain": dict(results.toolchain),
        "workloads": list(results.workloads),
        "settings": unstructure(results.settings),
        "version": results.version,
        "seed": None if results.seed is None else _record(results.seed),
        "kernels": {file: _record(one) for file, one in results.kernels.items()},
        "refused": dict(results.refused),
    }
    text = json.dumps(document, indent=1, ensure_ascii=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".results-", suffix=".part")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        Path(temporary).replace(path)
    except OSError as error:
        raise KernelEvolveError(f"{path}: cannot be written ({error.strerror}); name a file of yours") from None


def _record(one: Measurement) -> dict[str, Any]:
    record = {
        "digest": one.kernel.digest,
        "text": render_kernel(one.kernel),
        "measured": one.measured,
        "seconds": one.seconds,
        "evaluation": unstructure(one.evaluation),
    }
    return record | {"checksum": _checksum(record)}


def _checksum(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def read_results(path: Path) -> Results:
    """The results in the file at `path`. Raises `KernelEvolveError` where it holds none, or changed ones."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise KernelEvolveError(f"{path}: cannot be read ({error.strerror}); give what evaluate-batch wrote") from None
    except ValueError as error:
        raise KernelEvolveError(f"{path}: not JSON ({error}); give what evaluate-batch wrote") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise KernelEvolveError(f"{path}: not a file of the format {FORMAT!r}; give what evaluate-batch wrote")
    try:
        timed = tuple(document["workloads"])
        return Results(
            problem=document["problem"],
            fingerprint=document["fingerprint"],
            device=structure(document["device"], Device),
            toolchain=document["toolchain"],
            workloads=timed,
            settings=structure(document["settings"], Settings),
            version=document["version"],
            seed=None if document["seed"] is None else _measurement(document["seed"], f"{path}: the seed", timed),
            kernels={file: _measurement(one, f"{path}: {file}", timed) for file, one in document["kernels"].items()},
            refused=dict(document["refused"]),
        )
    except (KeyError, TypeError, AttributeError, WireError) as error:
        raise KernelEvolveError(f"{path}: not the results of a batch ({error}); measure again") from None


def _measurement(record: Mapping[str, Any], where: str, timed: tuple[str, ...]) -> Measurement:
    if record["checksum"] != _checksum({name: value for name, value in record.items() if name != "checksum"}):
        raise KernelEvolveError(f"{where} was changed after it was measured; measure it again")
    kernel = parse_kernel(record["text"], name=where)
    if kernel.digest != record["digest"]:
        raise KernelEvolveError(f"{where} is not the kernel that its digest names; measure it again")
    evaluation = structure(record["evaluation"], Evaluation)
    if not (math.isfinite(evaluation.fitness) and evaluation.fitness >= 0):
        raise WireError(f"{where}: {evaluation.fitness} is no fitness")
    for timing in evaluation.timings:
        for sample in timing.samples:
            finite_seconds(sample)
    if evaluation.outcome is Outcome.CORRECT and sorted(timing.workload for timing in evaluation.timings) != sorted(
        timed
    ):
        raise WireError(f"{where}: not every workload was timed")
    return Measurement(kernel, evaluation, float(record["measured"]), float(record["seconds"]))
