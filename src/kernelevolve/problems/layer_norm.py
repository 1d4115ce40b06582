"""Layer normalisation of rows (Ba, Kiros and Hinton, "Layer Normalization", 2016), with weight and bias."""

from __future__ import annotations

__all__ = ["problem"]

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812  # its name everywhere

from kernelevolve.problem import InputRequest, Problem, ScalarSpec, TensorSpec, Workload
from kernelevolve.problems.seeds import seed

#: How far ``adversarial`` rows of the narrow types lie from zero, in standard deviations: a variance taken as
#: E[x^2] - E[x]^2 loses the square of this. In float32 a plain serial sum would lose more than the tolerance as well.
OFFSET: Final[Mapping[str, float]] = {"float16": 500.0, "bfloat16": 100.0}
#: A row of fewer elements may lie so close together by chance that the offset leaves it no digits.
FEWEST: Final = 16

_FP16: Final = "x:float16,weight:float16,bias:float16,y:float16"
_BF16: Final = "x:bfloat16,weight:bfloat16,bias:bfloat16,y:bfloat16"


def _reference(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
    return F.layer_norm(x, weight.shape, weight, bias, eps)


def _generate(request: InputRequest) -> Mapping[str, torch.Tensor]:
    """Hostile rows for ``adversarial``: far from zero, so small that `eps` counts, one outlier, all zero.

    Where a row has no variance, the last bit of the mean counts 1 / sqrt(eps) = 316 times: ``constant`` rows and rows
    of one element are small.
    """
    rows, cols, rng = request.axes["rows"], request.axes["cols"], request.rng
    if request.distribution == "constant":
        return {"x": torch.full((rows, cols), float(torch.randint(4, 13, (), generator=rng)) / 512)}
    if cols == 1:
        return {"x": torch.randn(rows, cols, generator=rng) * 1e-3}
    if request.distribution != "adversarial":
        return {}
    x = torch.randn(rows, cols, generator=rng)
    if cols >= FEWEST:
        x[0::4] += OFFSET.get(request.dtypes["x"], 0.0)
    x[1::4] *= 1e-3
    outlier = torch.randint(cols, (len(x[2::4]),), generator=rng)
    outlier[1::4], outlier[3::4] = cols - 1, 0  # also at either end
    x[2::4].scatter_(1, outlier.unsqueeze(1), 1e3)
    x[3::4] = 0.0
    return {"x": x}


problem = Problem(
    name="layer_norm",
    axes=("rows", "cols"),
    inputs=(TensorSpec("x", "rows, cols"), TensorSpec("weight", "cols"), TensorSpec("bias", "cols")),
    outputs=(TensorSpec("y", "rows, cols"),),
    scalars=(ScalarSpec("eps", 1e-5),),
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
        "rows=9,cols=129",
        "rows=1,cols=1021",
        "rows=33,cols=1025",
        "rows=61,cols=4099",
        "rows=65537,cols=3",
        "rows=2,cols=65539",
        f"rows=7,cols=33,{_FP16}",
        f"rows=33,cols=2049,{_FP16}",
        f"rows=3,cols=11,{_BF16}",
        f"rows=111,cols=4099,{_BF16}",
    ),
    operations="7*rows*cols",  # mean: add; variance: subtract, square, add; scale, weight, bias
    seeds={
        "opencl": seed("layer_norm.cl"),
        "triton": seed("triton/layer_norm.py"),
        "numba": seed("numba/layer_norm.py"),
    },
    pattern="row_reduction",
    description=(
        "y[r, :] = (x[r, :] - mean(x[r, :])) / sqrt(var(x[r, :]) + eps) * weight + bias; "
        "var is the mean squared deviation"
    ),
)
