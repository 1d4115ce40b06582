"""A feed-forward layer with weights per sample: product, GELU, RMSNorm, product, RMSNorm."""

from __future__ import annotations

__all__ = ["problem"]

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812  # its name everywhere

from kernelevolve.problem import InputRequest, Problem, ScalarSpec, TensorSpec, Workload
from kernelevolve.problems.seeds import seed

_FP16: Final = "x:float16,w1:float16,g1:float16,w2:float16,g2:float16,y:float16"


def _reference(
    x: torch.Tensor, w1: torch.Tensor, g1: torch.Tensor, w2: torch.Tensor, g2: torch.Tensor, eps: float
) -> torch.Tensor:
    inner = F.rms_norm(F.gelu(torch.bmm(x, w1)), g1.shape, g1, eps)
    return F.rms_norm(torch.bmm(inner, w2), g2.shape, g2, eps)


def _generate(request: InputRequest) -> Mapping[str, torch.Tensor]:
    """Hostile tokens for ``adversarial``: all zero, so faint that `eps` counts, one outlier, plain."""
    if request.distribution != "adversarial":
        return {}
    axes, rng = request.axes, request.rng
    x = torch.randn(axes["batch"], axes["tokens"], axes["width"], generator=rng)
    outlier = torch.randint(axes["width"], (), generator=rng)
    x[:, 1::4] *= 1e-4
    x[:, 2::4, outlier] *= 50.0
    x[:, 3::4] = 0.0
    return {"x": x}


problem = Problem(
    name="pffn",
    axes=("batch", "tokens", "width", "hidden"),
    inputs=(
        TensorSpec("x", "batch, tokens, width"),
        TensorSpec("w1", "batch, width, hidden"),
        TensorSpec("g1", "hidden"),
        TensorSpec("w2", "batch, hidden, width"),
        TensorSpec("g2", "width"),
    ),
    outputs=(TensorSpec("y", "batch, tokens, width"),),
    scalars=(ScalarSpec("eps", 1e-6),),
    reference=_reference,
    generate=_generate,
    distributions=("normal", "large", "constant", "adversarial"),
    workloads=(
        Workload.parse("batch=2,tokens=8,width=16,hidden=16", ["smoke"]),
        Workload.parse(f"batch=24,tokens=64,width=192,hidden=192,{_FP16}", ["emulated"]),
        Workload.parse("batch=8,tokens=64,width=192,hidden=192", ["cpu"]),
        Workload.parse(f"batch=128,tokens=64,width=192,hidden=192,{_FP16}", ["gpu"]),
        Workload.parse(f"batch=512,tokens=64,width=192,hidden=192,{_FP16}", ["gpu"]),
        Workload.parse("batch=128,tokens=64,width=192,hidden=192", ["gpu"]),
    ),
    hidden=(
        "batch=1,tokens=1,width=1,hidden=1",
        f"batch=3,tokens=5,width=19,hidden=17,{_FP16}",
        "batch=1,tokens=7,width=17,hidden=33",
        f"batch=1,tokens=17,width=33,hidden=31,{_FP16}",
        "batch=2,tokens=61,width=37,hidden=131",
        f"batch=2,tokens=65,width=193,hidden=191,{_FP16}",
        "batch=3,tokens=33,width=257,hidden=129",
        f"batch=1,tokens=31,width=96,hidden=256,{_FP16}",
        "batch=1,tokens=3,width=1031,hidden=65",
        "batch=1,tokens=65537,width=5,hidden=7",
    ),
    operations="4*batch*tokens*width*hidden",  # the two products; the rest is small beside them
    seeds={"opencl": seed("pffn.cl"), "triton": seed("triton/pffn.py"), "numba": seed("numba/pffn.py")},
    pattern="fused_matmul",
    description=(
        "y[b] = rms(rms(gelu(x[b] @ w1[b])) * g1 @ w2[b]) * g2 with rms(v) = v / sqrt(mean(v**2) + eps) over the last "
        "axis and the exact GELU, v * (1 + erf(v / sqrt(2))) / 2; what lies between may be float32 or the inputs' type"
    ),
)
