"""Matrix product of two dense matrices: bound by arithmetic, and by how well the caches are used."""

from __future__ import annotations

__all__ = ["problem"]

from typing import Final

import torch

from kernelevolve.problem import Problem, TensorSpec, Workload
from kernelevolve.problems.seeds import seed

_FP16: Final = "a:float16,b:float16,c:float16"
_BF16: Final = "a:bfloat16,b:bfloat16,c:bfloat16"


def _reference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a @ b


problem = Problem(
    name="matmul",
    axes=("m", "n", "k"),
    inputs=(TensorSpec("a", "m, k"), TensorSpec("b", "k, n")),
    outputs=(TensorSpec("c", "m, n"),),
    reference=_reference,
    workloads=(
        Workload.parse("m=64,n=64,k=64", ["smoke"]),
        Workload.parse("m=1024,n=512,k=1024", ["emulated"]),
        Workload.parse(f"m=1024,n=1024,k=1024,{_FP16}", ["emulated"]),
        Workload.parse("m=512,n=512,k=512", ["cpu"]),
        Workload.parse(f"m=8192,n=8192,k=8192,{_BF16}", ["gpu"]),
        Workload.parse(f"m=4096,n=4096,k=4096,{_FP16}", ["gpu"]),
        Workload.parse("m=4096,n=4096,k=4096", ["gpu"]),
    ),
    hidden=(
        "m=1,n=1,k=1",
        "m=3,n=5,k=7",
        "m=1,n=129,k=33",
        "m=127,n=1,k=65",
        "m=17,n=19,k=1031",
        "m=65,n=63,k=257",
        "m=131,n=137,k=139",
        "m=2,n=3,k=65537",
        "m=65537,n=3,k=2",
        f"m=5,n=37,k=18,{_FP16}",
        f"m=19,n=9,k=33,{_BF16}",
        f"m=33,n=17,k=1031,{_FP16}",
        f"m=67,n=129,k=513,{_BF16}",
    ),
    operations="2*m*n*k",
    seeds={"opencl": seed("matmul.cl"), "triton": seed("triton/matmul.py"), "numba": seed("numba/matmul.py")},
    pattern="matmul",
    description="c = a @ b, accumulated in float32 or better",
)
