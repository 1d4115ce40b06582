"""Softmax over the last dimension of a matrix: the classic row reduction, bound by memory."""

from __future__ import annotations

__all__ = ["problem"]

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812  # its name everywhere

from kernelevolve.problem import InputRequest, Problem, TensorSpec, Workload
from kernelevolve.problems.seeds import seed

#: What attention code adds to masked logits: finite, and far below everything else.
MASKED: Final = -1e30
#: Far enough above normal logits that a kernel which does not subtract the row's maximum overflows.
HUGE: Final = 1e4

_FP16: Final = "x:float16,y:float16"
_BF16: Final = "x:bfloat16,y:bfloat16"


def _reference(x: torch.Tensor) -> torch.Tensor:
    return F.softmax(x, dim=-1)


def _generate(request: InputRequest) -> Mapping[str, torch.Tensor]:
    """Hostile rows for ``adversarial``: a lone huge logit, at either end too, equal ones, masked ones, all far down."""
    if request.distribution != "adversarial":
        return {}
    rows, cols = request.axes["rows"], request.axes["cols"]
    x = torch.randn(rows, cols, generator=request.rng)
    lone = torch.randint(cols, (len(x[0::4]),), generator=request.rng)
    lone[1::4], lone[3::4] = cols - 1, 0
    x[0::4].scatter_(1, lone.unsqueeze(1), HUGE)
    x[1::4] = 3.0
    x[2::4, 1::2] = max(MASKED, torch.finfo(getattr(torch, request.dtypes["x"])).min)
    x[3::4] -= HUGE
    return {"x": x}


problem = Problem(
    name="softmax",
    axes=("rows", "cols"),
    inputs=(TensorSpec("x", "rows, cols"),),
    outputs=(TensorSpec("y", "rows, cols"),),
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
        f"rows=67,cols=4099,{_BF16}",
    ),
    operations="5*rows*cols",  # compare, subtract, exp, add, divide
    seeds={"opencl": seed("softmax.cl"), "triton": seed("triton/softmax.py"), "numba": seed("numba/softmax.py")},
    pattern="row_reduction",
    description="y[r, :] = exp(x[r, :] - max(x[r, :])) / sum(exp(x[r, :] - max(x[r, :]))); every logit is finite.",
)
