"""On a GPU: the confirmed kernels once more, beside eager PyTorch on the same card, in a process of its own."""

from __future__ import annotations

__all__ = ["beside_torch"]

from collections.abc import Sequence

import torch
from attrs import evolve

from kernelevolve.accelerator import Realm
from kernelevolve.evaluation.confirm import Confirmation, Side
from kernelevolve.evaluation.pipeline import Evaluator
from kernelevolve.evaluation.torch_baseline import TorchBaseline, torch_device
from kernelevolve.evaluation.torch_process import implementation_names
from kernelevolve.evaluation.versus import versus
from kernelevolve.outcome import CandidateError


def beside_torch(
    evaluator: Evaluator, confirmations: Sequence[Confirmation], sides: Sequence[Side], reference: str | None
) -> tuple[Confirmation, ...]:
    """`confirmations` with the paired ratio to the fastest of PyTorch's eager implementations, on the device's clock.

    `reference` is how another process finds the problem: a name or ``/path/to/file.py:name``; a problem that only
    exists here has None, and nothing is compared. Neither is it on the host's processor, where `confirm` has done it,
    nor where PyTorch sees no GPU. Raises `SideError` for a kernel that fails on the fresh inputs used here.
    """
    device = evaluator.device
    if device.realm is not Realm.HARDWARE or device.host_threads or reference is None or not torch.cuda.is_available():
        return tuple(confirmations)
    names = implementation_names(evaluator.problem, ["eager"])
    flush = 2 * device.memory.get("cache", 0)
    workloads = {workload.label: workload for workload in evaluator.workloads}
    with TorchBaseline(torch_device(device), flush_bytes=flush) as baseline:
        found = []
        for one in confirmations:
            ring = [side for side in sides if side.name in one.timings]
            try:
                measured = versus(evaluator, workloads[one.workload], ring, baseline, reference, implementations=names)
            except CandidateError as error:  # PyTorch's own failure: the kernels' figures stand without it
                found.append(evolve(one, eager_description=f"PyTorch could not be timed: {error.message}"))
                continue
            best = measured.best
            if best is None:
                why = next(iter({**measured.failures, **measured.differences}.values()), "no implementation ran")
                found.append(evolve(one, eager_description=f"PyTorch could not be timed: {why}"))
                continue
            paired = {("eager", side.name): measured.comparisons[best, side.name] for side in ring}
            text = f"PyTorch {torch.__version__} {best}, {device.name}"
            found.append(
                evolve(
                    one, comparisons={**one.comparisons, **paired}, eager=measured.torch[best], eager_description=text
                )
            )
    return tuple(found)
