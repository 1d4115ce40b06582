"""Root-mean-square normalisation of rows (Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019)."""

from __future__ import annotations

__all__ = ["problem"]

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812  # its name everywhere

from kernelevolve.problem import InputRequest, Problem, ScalarSpec, TensorSpec, Workload
from kernelevolve.problems.seeds import seed

_FP16: Final = "x:float16,weight:float16,y:float16"
_BF16: Final = "x:bfloat16,weight:bfloat16,y:bfloat16"


def _reference(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    return F.rms_norm(x, weight.shape, weight, eps)


def _generate(request: InputRequest) -> Mapping[str, torch.Tensor]:
    """Hostile rows for ``adversarial``: all zero, so small that only `eps` counts, one outlier, large beside small."""
    if request.distribution != "adversarial":
        return {}
    rows, cols = request.axes["rows"], request.axes["cols"]
    x = torch.randn(rows, cols, generator=request.rng)
    x[1::4] *= 1e-3
    outlier = torch.randint(cols, (len(x[2::4]),), generator=request.rng)
    outlier[1::4], outlier[3::4] = cols - 1, 0  # also at either end
    x[2::4].scatter_(1, outlier.unsqueeze(1), 1e3)
    x[3::4] = 0.0
    return {"x": x}


problem = Problem(
    name="rms_norm",
    axes=("rows", "cols"),
    inputs=(TensorSpec("x", "rows, cols"), TensorSpec("weight", "cols")),
    outputs=(TensorSpec("y", "rows, cols"),),
    scalars=(ScalarSpec("eps", 1e-6),),
    reference=_reference,
    generate=_generate,
    distributions=("normal", "large", "constant", "adversarial"),
    workloads=(
        Workload.parse("rows=64,cols=256", ["smoke"]),
        Workload.parse("rows=2304,cols=1024", ["emulated"]),
        Workload.parse("rows=4096,cols=1024", ["cpu"]),
        Workload.parse(f"rows=8192,cols=4096,{_BF16}", ["gpu"]),
        Workload.parse("rows=4096,cols=4096", ["gpu"]),
    ),
    hidden=(
        "rows=1,cols=1",
        "rows=3,cols=7",
        "rows=127,cols=1",
        "rows=1,cols=1021",
        "rows=33,cols=1025",
        "rows=129,cols=257",
        "rows=61,cols=4099",
        "rows=65537,cols=3",
        "rows=2,cols=65539",
        f"rows=7,cols=33,{_FP16}",
        f"rows=33,cols=4099,{_FP16}",
        f"rows=3,cols=11,{_BF16}",
        f"rows=83,cols=4099,{_BF16}",
    ),
    operations="4*rows*cols",  # square, add, scale, weight
    seeds={"opencl": seed("rms_norm.cl"), "triton": seed("triton/rms_norm.py"), "numba": seed("numba/rms_norm.py")},
    pattern="row_reduction",
    description="y[r, :] = x[r, :] / sqrt(mean(x[r, :]**2) + eps) * weight",
)
