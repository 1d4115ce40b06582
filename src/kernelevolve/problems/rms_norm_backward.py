"""The backward pass of root-mean-square normalisation: a reduction along rows and one along columns in one problem."""

from __future__ import annotations

__all__ = ["problem"]

from collections.abc import Mapping
from typing import Final

import torch

from kernelevolve.problem import InputRequest, Problem, ScalarSpec, TensorSpec, Workload
from kernelevolve.problems.seeds import seed

EPS: Final = 1e-6
#: The outlier of an ``adversarial`` row. Its square overflows float16. In float32 it is so small that its dx, where the
#: mean takes much of the gradient away, keeps its digits after a serial sum.
OUTLIER: Final[Mapping[str, float]] = {"float16": 1e3, "bfloat16": 1e3, "float32": 10.0}

_FP16: Final = "x:float16,weight:float16,dy:float16,dx:float16,dweight:float16"
_BF16: Final = "x:bfloat16,weight:bfloat16,dy:bfloat16,dx:bfloat16,dweight:bfloat16"


def _reference(
    x: torch.Tensor, weight: torch.Tensor, dy: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    wide = torch.promote_types(x.dtype, torch.float32)
    value, gradient = x.to(wide), dy.to(wide)
    scale = torch.rsqrt(value.square().mean(dim=-1, keepdim=True) + eps)
    normal = value * scale
    weighted = gradient * weight
    dx = scale * (weighted - normal * (weighted * normal).mean(dim=-1, keepdim=True))
    return dx.to(x.dtype), (gradient * normal).sum(dim=0).to(weight.dtype)


def _generate(request: InputRequest) -> Mapping[str, torch.Tensor]:
    """Hostile rows for ``adversarial``: so small that only `eps` counts, one outlier, equal, all zero.

    A row of one element has dx = weight * dy * eps / sqrt(x^2 + eps)^3: a difference of equal terms unless x^2 is about
    as large as `eps`, so that is where such rows are drawn from.
    """
    rows, cols, rng = request.axes["rows"], request.axes["cols"], request.rng
    if cols == 1:
        return {"x": torch.randn(rows, cols, generator=rng) * (0.5 * EPS**0.5)}
    if request.distribution != "adversarial":
        return {}
    x = torch.randn(rows, cols, generator=rng)
    x[1::5] *= 1e-3
    outlier = torch.randint(cols, (len(x[2::5]),), generator=rng)
    outlier[1::4], outlier[3::4] = cols - 1, 0  # also at either end
    x[2::5].scatter_(1, outlier.unsqueeze(1), OUTLIER.get(request.dtypes["x"], 10.0))
    x[3::5] = torch.randint(4, 13, (len(x[3::5]), 1), generator=rng) / 8  # sums of their squares are exact
    x[4::5] = 0.0
    return {"x": x}


problem = Problem(
    name="rms_norm_backward",
    axes=("rows", "cols"),
    inputs=(TensorSpec("x", "rows, cols"), TensorSpec("weight", "cols"), TensorSpec("dy", "rows, cols")),
    outputs=(TensorSpec("dx", "rows, cols"), TensorSpec("dweight", "cols")),
    scalars=(ScalarSpec("eps", EPS),),
    reference=_reference,
    generate=_generate,
    # No ``constant``: with equal x, weight and dy, dx is the difference of two equal terms and only rounding is left.
    distributions=("normal", "large", "adversarial"),
    workloads=(
        Workload.parse("rows=64,cols=256", ["smoke"]),
        Workload.parse("rows=32768,cols=16", ["emulated"]),
        Workload.parse("rows=4096,cols=1024", ["cpu"]),
        Workload.parse(f"rows=8192,cols=4096,{_BF16}", ["gpu"]),
        Workload.parse("rows=4096,cols=4096", ["gpu"]),
    ),
    hidden=(
        "rows=1,cols=1",
        "rows=3,cols=7",
        "rows=9,cols=65",
        "rows=1,cols=1021",
        "rows=33,cols=1025",
        "rows=61,cols=4099",
        "rows=65537,cols=9",
        "rows=2,cols=65539",
        f"rows=3,cols=13,{_FP16}",
        f"rows=4099,cols=117,{_FP16}",
        f"rows=3,cols=11,{_BF16}",
        f"rows=8191,cols=33,{_BF16}",
    ),
    # square, add; normal; weighted, product, add; product, subtract, scale; product, add
    operations="11*rows*cols",
    seeds={
        "opencl": seed("rms_norm_backward.cl"),
        "triton": seed("triton/rms_norm_backward.py"),
        "numba": seed("numba/rms_norm_backward.py"),
    },
    pattern="row_reduction",
    description=(
        "With s = 1 / sqrt(mean(x[r, :]**2) + eps), n = x[r, :] * s and g = dy[r, :] * weight: "
        "dx[r, :] = s * (g - n * mean(g * n)); dweight = sum over rows r of dy[r, :] * n, "
        "accumulated in float32 or better"
    ),
)
