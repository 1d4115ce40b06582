"""The two ceilings of a roofline as problems: a copy, and a product of matrices by the vendor's library.

They are timed by the protocol that PyTorch's baselines are timed by: cold caches, device events, the host hidden.
"""

from __future__ import annotations

__all__ = ["copy", "copy_workload", "measure", "product", "product_workload"]

import secrets
import statistics
from pathlib import Path
from typing import Any

import torch

from kernelevolve.evaluation.casebook import CaseBook
from kernelevolve.evaluation.torch_baseline import TorchBaseline
from kernelevolve.problem import DTYPES, Problem, TensorSpec, Workload

#: Samples of one ceiling.
_SAMPLES = 30


def _copy(x: torch.Tensor) -> torch.Tensor:
    return x.clone()


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a @ b


copy = Problem(
    name="copy",
    axes=("count",),
    inputs=(TensorSpec("x", "count"),),
    outputs=(TensorSpec("y", "count"),),
    reference=_copy,
    workloads=("count=1024",),
    pattern="elementwise",
)
product = Problem(
    name="product",
    axes=("m", "n", "k"),
    inputs=(TensorSpec("a", "m, k"), TensorSpec("b", "k, n")),
    outputs=(TensorSpec("c", "m, n"),),
    reference=_product,
    workloads=("m=64,n=64,k=64",),
    operations="2*m*n*k",
    pattern="matmul",
)


def copy_workload(nbytes: int) -> Workload:
    """A copy that reads `nbytes` and writes as many."""
    return Workload({"count": max(1, nbytes // 4)})


def product_workload(size: int, dtype: str) -> Workload:
    """A square product of so many rows in `dtype`."""
    return Workload({"m": size, "n": size, "k": size}, dict.fromkeys("abc", dtype))


def measure(problem: Problem, workload: Workload, baseline: TorchBaseline) -> dict[str, Any]:
    """Seconds of one ceiling in eager PyTorch, raw samples included, and the rate that the median comes to."""
    book = CaseBook(problem, secrets.randbits(62), limit_bytes=0, dtypes=DTYPES)
    baseline.enter(f"{Path(__file__).resolve()}:{problem.name}", problem, book.rotations(workload, 1), ["eager"])
    if baseline.failures:
        return {"workload": workload.label, "error": baseline.failures["eager"]}
    samples = [baseline.sample("eager", turn, flush=True) for turn in range(_SAMPLES)]
    seconds = [sample.seconds for sample in samples]
    middle, operations = statistics.median(seconds), problem.operation_count(workload)
    return {
        "workload": workload.label,
        "samples": seconds,
        "seconds": middle,
        "source": samples[0].source,
        "bytes_per_second": problem.compulsory_bytes(workload) / middle,
        "operations_per_second": operations / middle if operations else None,
        "torch": dict(baseline.settings),
    }
