"""One call of ``python -m benchmarks.gpu``: its options, its results file, its deadline, and what it keeps open."""

from __future__ import annotations

__all__ = ["Call", "say"]

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from attrs import evolve

from benchmarks.gpu.machine import device_record, run_record
from benchmarks.gpu.results import Results
from benchmarks.gpu.subjects import Subject, flush_bytes, open_subject, settings_for
from kernelevolve import registry
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.measure import Protocol
from kernelevolve.evaluation.pipeline import Settings
from kernelevolve.evaluation.torch_baseline import TorchBaseline, torch_device
from kernelevolve.evaluation.wire import unstructure
from kernelevolve.outcome import CandidateError
from kernelevolve.problem import Problem


def say(text: str) -> None:
    """Progress, on standard error: standard output has the table."""
    print(text, file=sys.stderr, flush=True)


class Call:
    """What all subcommands share. A context manager: leaving it ends PyTorch's processes."""

    def __init__(self, options: argparse.Namespace, command: Sequence[str]) -> None:
        self.options = options
        self._begin = time.monotonic()
        self._open = ExitStack()
        self._torch: dict[str, TorchBaseline] = {}
        self.subjects, self.absent = _subjects(options.accelerators, options.device)
        run = {
            **run_record(command),
            "devices": {subject.name: device_record(subject.device) for subject in self.subjects},
            "absent": self.absent,
            "toolchains": {subject.name: dict(subject.made.toolchain()) for subject in self.subjects},
            "protocol": unstructure(self.settings.protocol),
        }
        self.results = Results(options.out, run, known=options.known)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def settings(self) -> Settings:
        """How kernels are evaluated: half a percent of precision, unless the options ask for less."""
        usual = Protocol(precision=self.options.precision, seconds=self.options.ring_seconds)
        few = evolve(usual, warmup=1, first_look=3, screen_rounds=5, confirm_rounds=6, unstable=10.0)
        return settings_for(few if self.options.quick else usual)

    @property
    def late(self) -> bool:
        """Whether the call's time is up: nothing new is begun."""
        return self.left <= 0

    @property
    def left(self) -> float:
        """Seconds until then."""
        return max(0.0, float(self.options.seconds) - (time.monotonic() - self._begin))

    def problems(self) -> Iterator[tuple[str, Problem]]:
        """The problems asked for (all by default), each with how another process finds it."""
        for reference in self.options.problems or registry.problem_names():
            path, colon, name = reference.rpartition(".py")
            yield f"{Path(path + colon).resolve()}{name}" if colon else reference, registry.problem(reference)

    def done(self, key: str) -> bool:
        """Whether this need not be measured (again)."""
        return not self.options.again and self.results.find(key) is not None

    def torch(self, subject: Subject) -> TorchBaseline:
        """PyTorch's process on what the subject's device is, kept for the next one.

        Raises `KernelEvolveError` where PyTorch does not see that device.
        """
        name = torch_device(subject.device)
        if name not in self._torch:
            device = subject.device
            made = TorchBaseline(name, threads=device.host_threads or 0, flush_bytes=flush_bytes(device))
            self._torch[name] = self._open.enter_context(made)
        return self._torch[name]

    def record(self, key: str, common: Mapping[str, Any], measure: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Measure and keep what came of it; a failure is kept as a record too, and the call goes on."""
        begin = time.perf_counter()
        kind = key.partition("/")[0]
        try:
            found = dict(measure())
        except (CandidateError, KernelEvolveError) as error:
            say(f"  {key}: {error}")
            found = {"error": str(error)}
        return self.results.add(
            {"kind": kind, "key": key, **common, **found, "wall_seconds": time.perf_counter() - begin}
        )


def _subjects(names: Sequence[str], device: str | None) -> tuple[list[Subject], dict[str, str]]:
    found, absent = [], {}
    for name in names:
        try:
            found.append(open_subject(name, device))
        except KernelEvolveError as error:
            say(f"without {name}: {error}")
            absent[name] = str(error)
    return found, absent


def known_files(paths: Sequence[Path]) -> list[Path]:
    """Result files among `paths`: folders stand for the ``.json`` files in them."""
    files: list[Path] = []
    for path in paths:
        files += sorted(path.glob("*.json")) if path.is_dir() else [path]
    return files
