"""The gate: what is asked of a candidate before any process is involved."""

from __future__ import annotations

__all__ = ["Gate"]

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from kernelevolve.kernel import Configuration, Kernel
from kernelevolve.language import Parameter
from kernelevolve.outcome import CandidateError, OutOfMemory, Rejected
from kernelevolve.plan import LaunchPlan, make_plan
from kernelevolve.problem import Problem, Workload
from kernelevolve.registry import language

#: Verdicts kept: a tuner asks for the same source again and again.
_REMEMBERED: Final = 4096


class Gate:
    """Language rules by source, then header and constraints by configuration and workload."""

    def __init__(self, problem: Problem, facts: Mapping[str, int], *, memory: int | None = None) -> None:
        self._problem, self._facts, self._memory = problem, facts, memory
        self._known: OrderedDict[tuple[str, str, str], Mapping[str, tuple[Parameter, ...]] | CandidateError] = (
            OrderedDict()
        )

    def admit(self, kernel: Kernel) -> Mapping[str, tuple[Parameter, ...]]:
        """The source's entries. Raises `Rejected` (rule, line) where its language forbids something in it."""
        key = (kernel.language, kernel.body, repr(kernel.tunables))
        if key not in self._known:
            self._known[key] = self._read(kernel)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        found = self._known[key]
        if isinstance(found, CandidateError):
            raise found
        return found

    def _read(self, kernel: Kernel) -> Mapping[str, tuple[Parameter, ...]] | CandidateError:
        reader = language(kernel.language)
        try:
            reader.gate(kernel.body)
            for name, values in kernel.tunables.items():
                for value in values:
                    reader.check_tunable(name, value)
            return reader.entries(kernel.body)
        except Rejected as error:
            return error

    def plan(self, kernel: Kernel, configuration: Configuration, workload: Workload) -> LaunchPlan:
        """The launch plan. Raises `ConstraintViolated`, `Rejected`, `ResourceExceeded` or `OutOfMemory`."""
        plan = make_plan(kernel, self._problem, workload, configuration, self.admit(kernel), self._facts)
        needed = sum(buffer.nbytes for buffer in plan.buffers)
        if self._memory is not None and needed > self._memory:
            message = f"the plan needs {needed} bytes of device memory on {workload.label}; there are {self._memory}"
            raise OutOfMemory(message, needed=needed, limit=self._memory)
        return plan
