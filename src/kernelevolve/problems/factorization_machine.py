"""Pairwise interactions of a factorization machine, optimised: X (X^T Y), batched small products (Rendle, 2010).

Either product may be taken first: X X^T is a matrix of `n` by `n` only, X^T Y one of `d` by `k`.
"""

from __future__ import annotations

__all__ = ["problem"]

import math
from collections.abc import Mapping
from typing import Final

import torch

from kernelevolve.problem import InputRequest, Problem, TensorSpec, Workload
from kernelevolve.problems.seeds import seed

_FP16: Final = "x:float16,y:float16,out:float16"
#: ``large`` inputs make results of this magnitude: a sixteenth of what float16 holds leaves room for the largest.
_HIGH: Final = 4096.0


def _reference(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.bmm(x, torch.bmm(x.transpose(1, 2), y))


def _gram(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The other association: fewer operations where `n` is smaller than `d` and `k`."""
    return torch.bmm(torch.bmm(x, x.transpose(1, 2)), y)


def _generate(request: InputRequest) -> Mapping[str, torch.Tensor]:
    """``large`` stays inside float16; ``adversarial`` has zero rows, equal rows, faint ones and one strong feature."""
    axes, rng = request.axes, request.rng
    batch, n, d = axes["batch"], axes["n"], axes["d"]
    if request.distribution == "large":
        # A result is a sum of n * d products of three numbers, and d of them share their sign.
        factor = (_HIGH / math.sqrt(d * d + n * d)) ** (1 / 3) if request.dtypes["out"] == "float16" else 1e4
        x = torch.randn(batch, n, d, generator=rng)
        return {"x": x * factor, "y": torch.randn(batch, n, axes["k"], generator=rng) * factor}
    if request.distribution != "adversarial":
        return {}
    x = torch.randn(batch, n, d, generator=rng)
    x[:, :, d // 2] *= 4.0
    x[:, 1::5] = x[:, 0:1]
    x[:, 2::5] *= 1e-2
    x[:, 3::5] = 0.0
    return {"x": x}


problem = Problem(
    name="factorization_machine",
    axes=("batch", "n", "d", "k"),
    inputs=(TensorSpec("x", "batch, n, d"), TensorSpec("y", "batch, n, k")),
    outputs=(TensorSpec("out", "batch, n, k"),),
    reference=_reference,
    baselines={"gram": _gram},
    generate=_generate,
    distributions=("normal", "large", "constant", "adversarial"),
    workloads=(
        Workload.parse("batch=4,n=8,d=16,k=32", ["smoke"]),
        Workload.parse(f"batch=16,n=24,d=224,k=448,{_FP16}", ["emulated"]),
        Workload.parse("batch=16,n=24,d=224,k=448", ["cpu"]),
        Workload.parse(f"batch=1024,n=24,d=224,k=2198,{_FP16}", ["gpu"]),
        Workload.parse(f"batch=1024,n=40,d=224,k=448,{_FP16}", ["gpu"]),
        Workload.parse("batch=512,n=24,d=224,k=2198", ["gpu"]),
    ),
    hidden=(
        "batch=1,n=1,d=1,k=1",
        f"batch=3,n=5,d=7,k=9,{_FP16}",
        "batch=1,n=17,d=3,k=31",
        f"batch=1,n=24,d=33,k=37,{_FP16}",
        "batch=5,n=41,d=61,k=97",
        f"batch=2,n=23,d=224,k=131,{_FP16}",
        "batch=2,n=97,d=17,k=129",
        f"batch=1,n=129,d=97,k=65,{_FP16}",
        "batch=1,n=3,d=5,k=65537",
        "batch=65537,n=1,d=3,k=2",
    ),
    # The cheaper association: X X^T is symmetric, so half of it is enough.
    operations="batch*min(4*n*d*k, n*(n + 1)*d + 2*n*n*k)",
    seeds={
        "opencl": seed("factorization_machine.cl"),
        "triton": seed("triton/factorization_machine.py"),
        "numba": seed("numba/factorization_machine.py"),
    },
    pattern="batched_matmul",
    description="out[b] = x[b] @ (x[b].T @ y[b]), in either association, accumulated in float32 or better",
)
