"""What is measured on what: accelerators that work here, workloads that fit them, evaluators with common inputs."""

from __future__ import annotations

__all__ = ["Cases", "Subject", "evaluator", "flush_bytes", "open_subject", "timed_workloads"]

import secrets
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from kernelevolve import registry
from kernelevolve.accelerator import Accelerator, Device, Status
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.cache import CompileCache
from kernelevolve.evaluation.casebook import CaseBook, PreparedCase
from kernelevolve.evaluation.confirm import ROTATIONS
from kernelevolve.evaluation.isolation import Limits
from kernelevolve.evaluation.measure import Protocol
from kernelevolve.evaluation.pipeline import Evaluator, Settings
from kernelevolve.problem import DTYPES, Problem, Workload

#: Inputs of the large workloads are held by the worker as well, several sets of them.
_LIMITS: Final = Limits(start_seconds=120.0, run_seconds=30.0, memory=48 << 30)


@frozen
class Subject:
    """An accelerator and the device on which it is measured."""

    name: str
    made: Accelerator
    device: Device

    @property
    def tag(self) -> str:
        """Which workloads are meant for the device."""
        return "cpu" if self.device.host_threads else "gpu"


def open_subject(name: str, wanted: str | None = None) -> Subject:
    """The accelerator called `name` with a device that has a clock, a GPU before a processor.

    Raises `KernelEvolveError` that says why it cannot be measured here.
    """
    made = registry.accelerator(name)
    status = made.probe()
    if status.status is not Status.OK:
        raise KernelEvolveError(f"{name}: {status.message}")
    if wanted is not None:
        device = registry.find_device(made, wanted)
    else:
        timed = sorted((d for d in made.devices() if d.realm.has_clock), key=lambda one: bool(one.host_threads))
        if not timed:
            raise KernelEvolveError(f"{name}: no device here has a clock")
        device = timed[0]
    if not device.realm.has_clock:
        raise KernelEvolveError(f"{name}: {device.label} has no clock")
    return Subject(name, made, device)


def timed_workloads(
    problem: Problem, subjects: Sequence[Subject], wanted: Sequence[str], *, every: bool
) -> list[Workload]:
    """The workloads to time: those named that have the problem's axes, or those tagged for the subjects' devices.

    Unless `every`, only the first of those that each subject has the element types for.
    """
    if wanted:
        named = [one for label in wanted if set((one := Workload.parse(label)).axes) == set(problem.axes)]
        for workload in named:
            problem.check(workload)
        return named
    chosen: dict[str, Workload] = {}
    for subject in subjects:
        fitting = [one for one in problem.tagged(subject.tag) if serves(problem, subject, one)]
        chosen |= {one.label: one for one in (fitting if every else fitting[:1])}
    return [one for one in problem.workloads if one.label in chosen]


def serves(problem: Problem, subject: Subject, workload: Workload) -> bool:
    """Whether the device has the workload's element types."""
    return set(problem.dtypes(workload).values()) <= subject.device.dtypes


def flush_bytes(device: Device) -> int:
    """What a flush of PyTorch writes at least: what the accelerator's own flush does."""
    return 2 * device.memory.get("cache", 0)


class Cases:
    """The secret inputs of one problem, made once for all accelerators: oracles of large workloads take seconds.

    `timed` are for screens, `last` for the comparison with PyTorch: no candidate sees those before it is timed on them.
    """

    def __init__(self, problem: Problem, settings: Settings) -> None:
        self._problem, self._limit = problem, settings.check_bytes
        self.secret = secrets.randbits(62)
        self._common = CaseBook(problem, self.secret, limit_bytes=0, dtypes=DTYPES)
        self._last = CaseBook(problem, secrets.randbits(62), limit_bytes=0, dtypes=DTYPES)
        self._books: dict[frozenset[str], CaseBook] = {}

    def last(self, workload: Workload) -> tuple[PreparedCase, ...]:
        """Inputs of the comparison with PyTorch."""
        return self._last.rotations(workload, ROTATIONS)

    def book(self, dtypes: frozenset[str]) -> CaseBook:
        """The cases of devices with these element types."""
        if dtypes not in self._books:
            self._books[dtypes] = _Shared(self._problem, self.secret, self._limit, dtypes, self._common)
        return self._books[dtypes]


class _Shared(CaseBook):
    """A case book whose timed inputs are another one's."""

    def __init__(self, problem: Problem, secret: int, limit: int, dtypes: frozenset[str], common: CaseBook) -> None:
        super().__init__(problem, secret, limit_bytes=limit, dtypes=dtypes)
        self._common = common

    def rotations(self, workload: Workload, count: int) -> tuple[PreparedCase, ...]:
        return self._common.rotations(workload, count)


def settings_for(protocol: Protocol) -> Settings:
    """How everything here is evaluated: the usual pipeline with room for large inputs."""
    return Settings(limits=_LIMITS, protocol=protocol)


def evaluator(
    problem: Problem, subject: Subject, workloads: Sequence[Workload], settings: Settings, cases: Cases | None = None
) -> Evaluator:
    """An evaluator of one problem on one subject, its compile cache its own."""
    made = Evaluator(
        problem,
        subject.made,
        subject.device,
        workloads=workloads,
        path=registry.worker_path(subject.name),
        settings=settings,
        cache=CompileCache(),
        secret=cases.secret if cases else secrets.randbits(62),
    )
    if cases is not None:
        made.book = cases.book(subject.device.dtypes)
    return made
