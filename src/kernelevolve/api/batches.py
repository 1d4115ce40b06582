"""Batches for a device that is reachable now and then: a folder of kernels in, a file of results out; and back in."""

from __future__ import annotations

__all__ = ["BATCH_FILE", "Batched", "evaluate_batch", "kernel_files", "write_batch_file"]

import json
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import evolve, frozen

from kernelevolve import registry
from kernelevolve._version import VERSION
from kernelevolve.accelerator import Accelerator
from kernelevolve.api.locks import device_lock
from kernelevolve.api.opening import choose_workloads, language_of, open_accelerator, open_problem
from kernelevolve.api.results import Measurement, Results, read_results, write_results
from kernelevolve.api.settings import default_settings, within
from kernelevolve.errors import KernelEvolveError, KernelFileError
from kernelevolve.evaluation.cache import CompileCache
from kernelevolve.evaluation.pipeline import Anchor, Evaluator
from kernelevolve.kernel import Kernel, parse_kernel, read_kernel, render_kernel
from kernelevolve.outcome import Outcome
from kernelevolve.problem import Problem
from kernelevolve.store import Run, home

#: What `ask` writes beside the contexts, so that the device measures what the run times, against the run's own seed.
BATCH_FILE: Final = "batch.json"
_BATCH_FORMAT: Final = "kernelevolve batch 1"
#: What holds contexts, results and notes; kernels are shown in them, and they are none.
_NO_KERNELS: Final = frozenset({".md", ".json", ".txt"})
_HEADER: Final = re.compile(r"^(//|#) /// kernel[ \t\r]*$", re.MULTILINE)
#: How often the seed is measured where the samples say too little.
_SEED_TRIES: Final = 4


@frozen
class Batched:
    """One step of a batch."""

    file: str
    #: Files dealt with so far, this one included, of how many.
    done: int
    total: int
    #: What was measured; None where it was refused, or had been measured before.
    measurement: Measurement | None = None
    #: Why nothing was measured, or why it takes longer.
    message: str = ""


@frozen
class _Batch:
    """What a batch file says: of which run its contexts are."""

    run: str = ""
    problem: str | None = None
    fingerprint: str | None = None
    workloads: tuple[str, ...] = ()
    seed: Kernel | None = None


def evaluate_batch(
    folder: Path,
    problem: Problem | str | None = None,
    accelerator: str = "opencl",
    *,
    out: Path,
    device: str | None = None,
    target: str | None = None,
    workloads: Sequence[str] | None = None,
    start: Kernel | None = None,
    run_seconds: float | None = None,
    compile_seconds: float | None = None,
    observer: Callable[[Batched], None] = lambda _: None,
) -> Results:
    """Evaluate every kernel file in `folder`, each in its default configuration and paired with the seed.

    The seed is `start`, or what the folder's batch file holds, or the problem's. After each kernel, `out` is the whole
    document so far; a batch that was stopped goes on where it was, and what is unchanged since is not measured again.
    Raises `KernelEvolveError` for input that cannot be used, for a seed that is not right, and for an `out` that holds
    results of another device, problem, seed or protocol.
    """
    batch = _read_batch(folder)
    made, on = open_accelerator(accelerator, device, target)
    if problem is None and batch.problem is None:
        raise KernelEvolveError(f"{folder}: no {BATCH_FILE} says which problem its kernels are for; give --problem")
    what = open_problem(problem or str(batch.problem), on)
    if batch.fingerprint not in (None, what.fingerprint):
        raise KernelEvolveError(
            f"{folder / BATCH_FILE}: run {batch.run} is of another declaration of problem {what.name!r}; "
            "install the version of the problem that the run was started with"
        )
    seed = start or batch.seed or _seed(what, made)
    timed = choose_workloads(what, on, workloads or batch.workloads)
    limited = within(default_settings(on), run_seconds, compile_seconds)
    blank = Results(
        problem=what.name,
        fingerprint=what.fingerprint,
        device=on,
        toolchain=dict(made.toolchain()),
        workloads=tuple(workload.label for workload in timed),
        settings=limited,
        version=VERSION,
    )
    results = _resumed(out, blank, seed)
    files = kernel_files(folder)
    if not files:
        raise KernelEvolveError(f"{folder}: no kernel file is in it; one holds a header that starts with /// kernel")
    with Evaluator(
        what,
        made,
        on,
        workloads=timed,
        path=registry.worker_path(made.name),
        settings=limited,
        cache=CompileCache(home() / "cache" / "compile"),
        secret=secrets.randbits(62),
    ) as evaluator:
        work = _Work(evaluator, seed, out, results, len(files), observer)
        for file in files:
            work.one(file)
        return work.results


def kernel_files(folder: Path) -> tuple[Path, ...]:
    """The files in `folder` that hold a kernel's header, by name. Raises `KernelEvolveError` where it is no folder."""
    if not folder.is_dir():
        raise KernelEvolveError(f"{folder}: no such folder; name the one that holds the kernel files")
    visible = (path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith("."))
    return tuple(path for path in visible if path.suffix not in _NO_KERNELS and _HEADER.search(_text(path)))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def write_batch_file(folder: Path, run: Run, seed: Kernel) -> Path:
    """Say in `folder` which run its contexts are of, and what is measured there."""
    document = {
        "format": _BATCH_FORMAT,
        "run": run.id,
        "problem": run.settings["problem"],
        "fingerprint": run.fingerprint,
        "workloads": list(run.settings["workloads"]),
        "seed": render_kernel(seed),
    }
    path = folder / BATCH_FILE
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _read_batch(folder: Path) -> _Batch:
    path = folder / BATCH_FILE
    if not path.is_file():
        return _Batch()
    try:
        document: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != _BATCH_FORMAT:
            raise ValueError(f"its format is {document['format']!r}")
        return _Batch(
            run=document["run"],
            problem=document["problem"],
            fingerprint=document["fingerprint"],
            workloads=tuple(document["workloads"]),
            seed=parse_kernel(document["seed"], name=f"{path}: the seed"),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise KernelEvolveError(f"{path}: not a batch file ({error}); have kernelevolve ask --to write it") from None


def _seed(problem: Problem, made: Accelerator) -> Kernel:
    return parse_kernel(problem.seeds[language_of(problem, made)], name=f"seed of {problem.name}")


def _resumed(out: Path, blank: Results, seed: Kernel) -> Results:
    if not out.exists():
        return blank
    found = read_results(out)
    why = blank.difference(found)
    if why is None and found.seed is not None and found.seed.kernel.digest != seed.digest:
        why = "they are paired with another seed"
    if why is not None:
        raise KernelEvolveError(f"{out} holds other results ({why}); name another file with --out")
    return found


class _Work:
    """The batch under way."""

    def __init__(
        self,
        evaluator: Evaluator,
        seed: Kernel,
        out: Path,
        results: Results,
        total: int,
        observer: Callable[[Batched], None],
    ) -> None:
        self._evaluator, self._seed, self._out, self._observer = evaluator, seed, out, observer
        self._total, self._done = total, 0
        self.results = results

    def one(self, file: Path) -> None:
        self._done += 1
        try:
            kernel = read_kernel(file)
            if kernel.language != self._seed.language:
                raise KernelFileError(
                    f"{file}: written in {kernel.language!r}; this batch is paired with a seed in "
                    f"{self._seed.language!r}"
                )
        except KernelFileError as error:
            self._keep(self.results.with_refused(file.name, str(error)))
            self._say(file.name, message=str(error))
            return
        before = self.results.kernels.get(file.name)
        if before is not None and before.kernel.digest == kernel.digest:
            self._say(file.name, message="measured before")
            return
        measured = self._measure(file.name, kernel, self._anchor(file.name))
        self._keep(self.results.with_kernel(file.name, measured))
        self._say(file.name, measured)

    def _anchor(self, file: str) -> Anchor | None:
        """The seed as it was measured, measured now where it was not yet; None on a device without a clock."""
        if self.results.seed is None:
            seed = self._measure_seed(file)
            if not seed.evaluation.outcome.right:
                raise KernelEvolveError(
                    f"the seed kernel is {seed.evaluation.outcome}, so nothing can be compared with it: "
                    f"{seed.evaluation.message}"
                )
            self._keep(evolve(self.results, seed=seed))
        assert self.results.seed is not None
        kernel, evaluation = self.results.seed.kernel, self.results.seed.evaluation
        if not evaluation.timings:
            return None
        seconds = {timing.workload: timing.seconds for timing in evaluation.timings}
        return Anchor(kernel, kernel.default, 1.0, seconds, evaluation.timings[0].source)

    def _measure_seed(self, file: str) -> Measurement:
        for _ in range(_SEED_TRIES):
            seed = self._measure(file, self._seed, None)
            if seed.evaluation.outcome is not Outcome.UNSTABLE:
                break
        return seed

    def _measure(self, file: str, kernel: Kernel, anchor: Anchor | None) -> Measurement:
        def waiting(sentence: str) -> None:
            self._say(file, message=sentence)

        with device_lock(self._evaluator.device, waiting):
            self._evaluator.warm_up()
            begin = time.perf_counter()
            evaluation = self._evaluator.evaluate(kernel, None, anchor)
            # The compiled stages are bytes that the text makes again.
            return Measurement(kernel, evolve(evaluation, stages={}), time.time(), time.perf_counter() - begin)

    def _keep(self, results: Results) -> None:
        write_results(self._out, results)
        self.results = results

    def _say(self, file: str, measurement: Measurement | None = None, *, message: str = "") -> None:
        self._observer(Batched(file, self._done, self._total, measurement, message))
