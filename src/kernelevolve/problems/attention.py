"""Causal scaled-dot-product attention: the layer that FlashAttention made one kernel (Dao et al., 2022)."""

from __future__ import annotations

__all__ = ["problem"]

import math
from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812  # its name everywhere

from kernelevolve.problem import InputRequest, Problem, TensorSpec, Workload
from kernelevolve.problems.seeds import seed

_FP16: Final = "q:float16,k:float16,v:float16,o:float16"
_BF16: Final = "q:bfloat16,k:bfloat16,v:bfloat16,o:bfloat16"
#: How many standard deviations of logits ``large`` has: their exponentials overflow float32, and a logit's own rounding
#: in float32 stays near 1e-5.
_WIDE: Final = 64.0
#: Where ``adversarial`` moves a query's logits: beyond what exp holds in float32 (-103 to 88) on either side.
_FAR: Final = 128.0


def _reference(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def _generate(request: InputRequest) -> Mapping[str, torch.Tensor]:
    """``large`` spreads the logits; ``adversarial`` has queries whose logits are all far below zero, all far above, and
    all equal, beside plain ones, and keys that outgrow those before them, so that a running maximum moves.
    """
    axes, rng = request.axes, request.rng
    shape = (axes["batch"], axes["heads"], axes["length"], axes["dim"])
    if request.distribution == "large":
        factor = math.sqrt(_WIDE)
        return {name: torch.randn(shape, generator=rng) * factor for name in ("q", "k")}
    if request.distribution != "adversarial":
        return {}
    q, k = torch.randn(shape, generator=rng), torch.randn(shape, generator=rng)
    k *= torch.linspace(0.5, 2.0, axes["length"]).unsqueeze(1)
    # Every key has the same first component, so a query's first component shifts its logits all together.
    k[..., 0] = 4.0
    shift = _FAR * math.sqrt(axes["dim"]) / 4.0
    q[:, :, 1::4, 0] = -shift
    q[:, :, 2::4, 0] = shift
    q[:, :, 3::4] = 0.0
    return {"q": q, "k": k}


problem = Problem(
    name="attention",
    axes=("batch", "heads", "length", "dim"),
    inputs=tuple(TensorSpec(name, "batch, heads, length, dim") for name in ("q", "k", "v")),
    outputs=(TensorSpec("o", "batch, heads, length, dim"),),
    reference=_reference,
    generate=_generate,
    distributions=("normal", "large", "constant", "adversarial"),
    requires="dim <= 128",  # so a block of queries and their results fit what a core holds
    workloads=(
        Workload.parse("batch=1,heads=2,length=64,dim=32", ["smoke"]),
        Workload.parse(f"batch=2,heads=9,length=512,dim=64,{_FP16}", ["emulated"]),
        Workload.parse("batch=1,heads=4,length=512,dim=64", ["cpu"]),
        Workload.parse(f"batch=4,heads=32,length=4096,dim=128,{_BF16}", ["gpu"]),
        Workload.parse(f"batch=4,heads=32,length=4096,dim=64,{_BF16}", ["gpu"]),
        Workload.parse("batch=2,heads=8,length=2048,dim=64", ["gpu"]),
    ),
    hidden=(
        "batch=1,heads=1,length=1,dim=1",
        f"batch=1,heads=1,length=3,dim=7,{_BF16}",
        "batch=1,heads=3,length=5,dim=17",
        f"batch=2,heads=1,length=19,dim=40,{_BF16}",
        "batch=1,heads=1,length=31,dim=32",
        f"batch=1,heads=1,length=37,dim=16,{_FP16}",
        "batch=3,heads=5,length=61,dim=13",
        f"batch=1,heads=2,length=129,dim=128,{_BF16}",
        "batch=1,heads=2,length=257,dim=64",
        f"batch=2,heads=3,length=131,dim=96,{_FP16}",
        f"batch=1,heads=1,length=1031,dim=64,{_BF16}",
        "batch=1,heads=1,length=67,dim=128",
        "batch=1,heads=65537,length=2,dim=3",
    ),
    operations="2*batch*heads*length*length*dim",  # two products over the keys up to each query: half of all
    seeds={"opencl": seed("attention.cl"), "triton": seed("triton/attention.py"), "numba": seed("numba/attention.py")},
    pattern="attention",
    description=(
        "o[b, h, i] = sum over j <= i of p[i, j] * v[b, h, j], where p[i] is the softmax over j <= i of "
        "q[b, h, i] . k[b, h, j] / sqrt(dim); p may be rounded to the inputs' type"
    ),
)
