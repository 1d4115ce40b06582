"""The engine's side of PyTorch's baselines: a process of their own, sampled like a candidate's worker.

    with TorchBaseline("cuda:0") as torch:
        torch.enter("softmax", problem, cases)              # compile and warm up every implementation
        sample = torch.sample("compile", turn, flush=True)  # whenever its turn comes
        off = torch.verify()                                # what each left behind, against the oracle

One implementation that does not compile or does not run takes no part; the others do.
"""

from __future__ import annotations

__all__ = ["LIMITS", "TorchBaseline", "torch_device"]

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Self

from kernelevolve import registry
from kernelevolve.accelerator import Device, Sample
from kernelevolve.evaluation.cache import CompileCache
from kernelevolve.evaluation.casebook import PreparedCase
from kernelevolve.evaluation.check import verify
from kernelevolve.evaluation.isolation import Limits, Worker
from kernelevolve.evaluation.runner import Contestant, Runner
from kernelevolve.evaluation.torch_process import PyTorch, implementation_names, plan_of
from kernelevolve.outcome import CandidateError
from kernelevolve.plan import LaunchPlan
from kernelevolve.problem import Problem

#: Autotuning a product of matrices takes minutes; inputs, outputs and compilers of large workloads take memory.
LIMITS: Final = Limits(start_seconds=180.0, compile_seconds=600.0, run_seconds=60.0, memory=64 << 30)
_PATH: Final = f"{PyTorch.__module__}:{PyTorch.__qualname__}"


def torch_device(device: Device) -> str:
    """PyTorch's name of what `device` is: ``cpu`` for the host's own processor, else a GPU, by its index.

    A device of a CUDA or HIP target has the driver's index, as PyTorch's have; any other GPU (OpenCL) is taken to be
    the first.
    """
    if device.host_threads:
        return "cpu"
    return f"cuda:{device.index if device.target.name.startswith(('cuda:', 'hip:')) else 0}"


class TorchBaseline:
    """PyTorch's implementations of one problem after another. A context manager: leaving it ends the process.

    `device` is PyTorch's name of one; on ``cpu``, `threads` (0: PyTorch's choice) is what candidates have too. A flush
    writes `flush_bytes`, and on a GPU at least twice the cache that PyTorch knows of.
    """

    def __init__(
        self, device: str = "cpu", *, threads: int = 0, flush_bytes: int = 0, limits: Limits | None = None
    ) -> None:
        made = PyTorch()
        self.device = registry.find_device(made, device)
        self._threads, self._flush_bytes = threads, flush_bytes
        self._worker = Worker(made, self.device, path=_PATH, limits=limits or LIMITS)
        self._runner = Runner(self._worker, self.device.target, CompileCache())
        self._plans: dict[str, LaunchPlan] = {}
        self._cases: tuple[PreparedCase, ...] = ()
        self._contestants: dict[str, Contestant] = {}
        #: Why an implementation takes no part.
        self.failures: dict[str, str] = {}
        #: What PyTorch says of each one that does: compile seconds, graphs, whether it waits for the device.
        self.built: dict[str, Mapping[str, Any]] = {}
        #: Versions, and the settings that change numerics.
        self.settings: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.stop()

    @property
    def implementations(self) -> tuple[str, ...]:
        """Those that take part."""
        return tuple(self._contestants)

    def enter(
        self,
        reference: str,
        problem: Problem,
        cases: Sequence[PreparedCase],
        implementations: Sequence[str] | None = None,
    ) -> None:
        """Compile each implementation (default: all) for the cases' workload and run it on every one, so that nothing
        is left to warm up. Replaces what an earlier call entered; does nothing where it is the same.

        `reference` is how a process finds the problem: its name, or ``path/to/file.py:name``, absolute. Raises
        `DeviceLost` where the process does not come up.
        """
        workload = cases[0].workload
        names = implementation_names(problem) if implementations is None else implementations
        plans = {
            name: plan_of(problem, reference, workload, name, threads=self._threads, flush_bytes=self._flush_bytes)
            for name in names
        }
        if plans == self._plans and tuple(cases) == self._cases:
            return
        self._worker.start()
        self._leave()
        if plans != self._plans:
            self.failures, self.built = {}, {}
        self._plans, self._cases = plans, tuple(cases)
        staged = tuple(case.staged for case in cases)
        for name, plan in plans.items():
            contestant = Contestant(f"{plan.digest}/{name}", plan, staged)
            if name not in self.failures and self._survives(name, partial(self._warm_up, name, contestant)):
                self._contestants[name] = contestant

    def _leave(self) -> None:
        for contestant in self._contestants.values():
            self._runner.leave(contestant)
        self._runner.unstage([case.staged.key for case in self._cases])
        self._contestants = {}

    def _warm_up(self, name: str, contestant: Contestant) -> None:
        _, artifact = self._runner.program(contestant.plan)
        self.built[name] = {name: artifact.extra[name] for name in _TOLD}
        self.settings = artifact.toolchain
        for _ in range(2):
            self._runner.sample([(contestant, turn) for turn in range(len(self._cases))], flush=False)

    def _survives(self, name: str, work: Callable[[], None]) -> bool:
        try:
            work()
        except CandidateError as error:
            self.failures[name] = f"{error.outcome}: {error.message}"
            self._contestants.pop(name, None)
            return False
        return True

    def sample(self, implementation: str, turn: int, *, flush: bool, launches: int = 1) -> Sample:
        """One sample on the case whose turn it is, in seconds per run; only the first of `launches` runs starts cold.

        Device events on a GPU, the host's wall clock on the processor. Raises the `CandidateError` that it failed with;
        it takes no further part then.
        """
        contestant = self._contestants[implementation]
        try:
            samples, _ = self._runner.sample([(contestant, turn)], flush=flush, launches=launches)
        except CandidateError as error:
            self.failures[implementation] = f"{error.outcome}: {error.message}"
            del self._contestants[implementation]
            raise
        return samples[0]

    def verify(self) -> dict[str, str]:
        """How the results of the last runs differ from the oracle by more than the ordinary tolerance, by
        implementation; empty where all are right.
        """
        off: dict[str, str] = {}
        for name, contestant in self._contestants.items():
            try:
                for rotation, case in enumerate(self._cases):
                    verify(self._runner, contestant.plan, case, contestant.handle(rotation))
            except CandidateError as error:
                off[name] = f"{error.outcome}: {error.message}"
        return off


#: What is kept of an artifact's `extra`.
_TOLD: Final = ("compile_seconds", "synchronises", "graphs", "graph_breaks")
