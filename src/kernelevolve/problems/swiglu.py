"""The gate of transformer MLPs (Shazeer, "GLU Variants Improve Transformer", 2020): elementwise, bound by memory."""

from __future__ import annotations

__all__ = ["problem"]

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812  # its name everywhere

from kernelevolve.problem import InputRequest, Problem, TensorSpec, Workload
from kernelevolve.problems.seeds import seed

#: Beyond 88.7 exp overflows float32, beyond 11.1 float16: exp(g) / (1 + exp(g)) gives NaN.
STEEP: Final = (-200.0, -120.0, -30.0, -12.0, 12.0, 30.0, 120.0, 200.0)

_FP16: Final = "gate:float16,up:float16,y:float16"
_BF16: Final = "gate:bfloat16,up:bfloat16,y:bfloat16"


def _reference(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    return F.silu(gate) * up


def _generate(request: InputRequest) -> Mapping[str, torch.Tensor]:
    """Hostile rows for ``adversarial``: gates whose exponential overflows, the negative tail, almost zero, zero."""
    if request.distribution != "adversarial":
        return {}
    rows, cols, rng = request.axes["rows"], request.axes["cols"], request.rng
    gate = torch.randn(rows, cols, generator=rng)
    gate[0::4] = torch.tensor(STEEP)[torch.randint(len(STEEP), gate[0::4].shape, generator=rng)]
    gate[1::4] = -8.0 * torch.rand(gate[1::4].shape, generator=rng)
    gate[2::4] *= 1e-3
    gate[3::4, ::2] = 0.0
    return {"gate": gate}


problem = Problem(
    name="swiglu",
    axes=("rows", "cols"),
    inputs=(TensorSpec("gate", "rows, cols"), TensorSpec("up", "rows, cols")),
    outputs=(TensorSpec("y", "rows, cols"),),
    reference=_reference,
    generate=_generate,
    distributions=("normal", "large", "constant", "adversarial"),
    workloads=(
        Workload.parse("rows=64,cols=344", ["smoke"]),
        Workload.parse("rows=1152,cols=2752", ["emulated"]),
        Workload.parse("rows=2048,cols=2752", ["cpu"]),
        Workload.parse(f"rows=8192,cols=11008,{_BF16}", ["gpu"]),
        Workload.parse("rows=4096,cols=11008", ["gpu"]),
    ),
    hidden=(
        "rows=1,cols=1",
        "rows=3,cols=7",
        "rows=127,cols=1",
        "rows=1,cols=1021",
        "rows=33,cols=1025",
        "rows=61,cols=4099",
        "rows=65537,cols=3",
        "rows=2,cols=65539",
        f"rows=7,cols=33,{_FP16}",
        f"rows=67,cols=4099,{_FP16}",
        f"rows=3,cols=11,{_BF16}",
        f"rows=33,cols=4099,{_BF16}",
    ),
    operations="5*rows*cols",  # exp, add, divide; times gate, times up
    seeds={"opencl": seed("swiglu.cl"), "triton": seed("triton/swiglu.py"), "numba": seed("numba/swiglu.py")},
    pattern="elementwise",
    description="y = gate / (1 + exp(-gate)) * up",
)
