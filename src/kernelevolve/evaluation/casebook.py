"""The secret cases of one run, prepared once: inputs as bytes, the oracle on first use, both kept in the engine."""

from __future__ import annotations

__all__ = ["CaseBook", "PreparedCase", "default_workload"]

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import torch

from kernelevolve.accelerator import Device, Realm
from kernelevolve.evaluation.cases import (
    InputCase,
    case_seed,
    check_plan,
    expect,
    make_inputs,
    run_reference,
    shrunk_workloads,
    tensor_bytes,
)
from kernelevolve.evaluation.correctness import Expected, compare, wrong_result
from kernelevolve.evaluation.runner import Staged
from kernelevolve.problem import Problem, Workload

#: Timed launches run on what a user would have: independent normal elements, or what the problem's generator makes of
#: that.
TIMED = "normal"


class PreparedCase:
    """One case, ready for a worker; its expected outputs never leave this object."""

    def __init__(self, case: InputCase, key: str) -> None:
        self.case = case
        self._key = key

    @property
    def workload(self) -> Workload:
        """The sizes and types."""
        return self.case.workload

    @property
    def label(self) -> str:
        """Workload and distribution, for messages."""
        return self.case.label

    @property
    def nbytes(self) -> int:
        """Bytes of all inputs and outputs."""
        return sum(self.case.problem.nbytes(spec, self.workload) for spec in self.case.problem.tensors)

    @cached_property
    def inputs(self) -> dict[str, torch.Tensor]:
        """The inputs on the host."""
        return make_inputs(self.case)

    @cached_property
    def staged(self) -> Staged:
        """The inputs as a worker gets them."""
        return Staged(self._key, {name: bytes(tensor_bytes(tensor)) for name, tensor in self.inputs.items()})

    @cached_property
    def expected(self) -> Expected:
        """The oracle with its bounds."""
        return expect(self.case, self.inputs)

    def check(self, output: str, got: bytes | bytearray | memoryview) -> None:
        """Raise `WrongResult` unless `got` is right."""
        comparison = compare(got, self.expected, output)
        if not comparison.ok:
            raise wrong_result(comparison, self.expected)


def default_workload(problem: Problem, device: Device) -> Workload:
    """What is timed where nobody says: the first workload tagged for this kind of device whose element types it has.

    Where no workload carries the tag, or none of them fits, a smoke one, or any.
    """
    hardware = "cpu" if device.host_threads else "gpu"
    tag = {Realm.HARDWARE: hardware, Realm.EMULATED: "emulated"}.get(device.realm, "smoke")
    for group in (problem.tagged(tag), problem.tagged("smoke"), problem.workloads):
        fitting = [one for one in group if set(problem.dtypes(one).values()) <= device.dtypes]
        if fitting:
            return fitting[0]
    return problem.workloads[0]  # no type fits: the compiler will say which one the device lacks


class CaseBook:
    """All cases of one run on one device; `secret` seeds them and is known to nobody else.

    `timed` seeds the inputs of timed launches in its place, where the same ones are wanted in every run.
    """

    def __init__(
        self, problem: Problem, secret: int, *, limit_bytes: int, dtypes: Iterable[str], timed: int | None = None
    ) -> None:
        self._problem, self._secret = problem, secret
        self._timed = secret if timed is None else timed
        self._limit_bytes, self._dtypes = limit_bytes, frozenset(dtypes)
        self._checks: tuple[PreparedCase, ...] | None = None
        self._rotations: dict[tuple[str, int], PreparedCase] = {}
        self._like: dict[str, tuple[PreparedCase, ...]] = {}

    def checks(self) -> tuple[PreparedCase, ...]:
        """The cases of the correctness check, cheap first; those whose types the device lacks are left out."""
        if self._checks is None:
            plan = check_plan(self._problem, self._secret, limit_bytes=self._limit_bytes, dtypes=self._dtypes)
            self._checks = tuple(PreparedCase(case, f"check{index}") for index, case in enumerate(plan))
        return self._checks

    def rotations(self, workload: Workload, count: int) -> tuple[PreparedCase, ...]:
        """`count` sets of inputs for timed launches on `workload`."""
        return tuple(self._rotation(workload, index) for index in range(count))

    def like(self, workload: Workload) -> tuple[PreparedCase, ...]:
        """Cases for kernels that serve little more than `workload`: its sizes shrunk, with every kind of inputs.

        Where it cannot be shrunk, at its own size.
        """
        if workload.label not in self._like:
            sizes = shrunk_workloads(self._problem, workload, self._limit_bytes) or (workload,)
            cases = [
                InputCase(self._problem, one, kind, case_seed(self._secret, "like", one.label, kind))
                for one in sizes
                for kind in self._problem.distributions
            ]
            self._like[workload.label] = tuple(PreparedCase(case, f"like/{case.seed:x}") for case in cases)
        return self._like[workload.label]

    def _rotation(self, workload: Workload, index: int) -> PreparedCase:
        key = (workload.label, index)
        if key not in self._rotations:
            seed = case_seed(self._timed, "timed", workload.label, index)
            case = InputCase(self._problem, workload, TIMED, seed)
            self._rotations[key] = PreparedCase(case, f"{seed:x}")
        return self._rotations[key]

    def run_reference(self, case: PreparedCase) -> Any:
        """The problem's own reference on one case, as eager PyTorch runs it."""
        return run_reference(self._problem, case.workload, case.inputs)
