"""One-dimensional convolution over channels, padded so that the length stays: a layer of temporal models."""

from __future__ import annotations

__all__ = ["problem"]

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812  # its name everywhere

from kernelevolve.problem import InputRequest, Problem, TensorSpec, Tolerance, Workload
from kernelevolve.problems.seeds import seed

_FP16: Final = "x:float16,weight:float16,y:float16"


def _reference(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return F.conv1d(x, weight, padding="same")


def _conv2d(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The work-around for a slow `conv1d`: the same convolution over images of height one."""
    return F.conv2d(x.unsqueeze(2), weight.unsqueeze(2), padding=(0, weight.shape[-1] // 2)).squeeze(2)


def _generate(request: InputRequest) -> Mapping[str, torch.Tensor]:
    """``adversarial``: of each three samples one holds a single element per channel, which shows where every tap lands,
    and one is zero, which shows what a sum starts from.
    """
    if request.distribution != "adversarial":
        return {}
    axes, rng = request.axes, request.rng
    x = torch.randn(axes["batch"], axes["cin"], axes["length"], generator=rng)
    alone = torch.randint(axes["length"], (axes["cin"], 1), generator=rng)
    x[0::3] *= torch.arange(axes["length"]) == alone
    x[1::3] = 0.0
    return {"x": x}


problem = Problem(
    name="conv1d",
    axes=("batch", "cin", "cout", "length", "taps"),
    inputs=(TensorSpec("x", "batch, cin, length"), TensorSpec("weight", "cout, cin, taps")),
    outputs=(TensorSpec("y", "batch, cout, length"),),
    reference=_reference,
    baselines={"conv2d": _conv2d},
    generate=_generate,
    distributions=("normal", "large", "constant", "adversarial"),
    requires="taps % 2 == 1",
    workloads=(
        Workload.parse("batch=2,cin=8,cout=8,length=50,taps=3", ["smoke"]),
        Workload.parse(f"batch=16,cin=96,cout=96,length=200,taps=3,{_FP16}", ["emulated"]),
        Workload.parse("batch=16,cin=96,cout=96,length=200,taps=3", ["cpu"]),
        Workload.parse(f"batch=2048,cin=96,cout=96,length=200,taps=3,{_FP16}", ["gpu"]),
        Workload.parse("batch=2048,cin=96,cout=96,length=200,taps=3", ["gpu"]),
    ),
    hidden=(
        "batch=1,cin=1,cout=1,length=1,taps=1",
        f"batch=3,cin=5,cout=7,length=9,taps=3,{_FP16}",
        "batch=1,cin=2,cout=3,length=2,taps=7",
        f"batch=2,cin=17,cout=3,length=33,taps=5,{_FP16}",
        "batch=5,cin=31,cout=37,length=61,taps=3",
        "batch=1,cin=257,cout=3,length=131,taps=9",
        "batch=2,cin=96,cout=97,length=200,taps=3",
        f"batch=3,cin=97,cout=65,length=129,taps=3,{_FP16}",
        "batch=1,cin=3,cout=2,length=65539,taps=5",
        f"batch=65537,cin=1,cout=2,length=3,taps=3,{_FP16}",
    ),
    # A multiplication and an addition for every tap that meets an element; taps // 2 per side meet padding at the ends.
    operations="2*batch*cin*cout*max(length, taps*length - taps//2*(taps//2 + 1))",
    # The rule grants a sum as long as the longest axis; here one has cin * taps terms. Its error grows with the square
    # root, so twice as much (of a default of 4) serves up to nine taps with a serial sum over all channels.
    tolerance=Tolerance(summation_roundings=8.0),
    seeds={"opencl": seed("conv1d.cl"), "triton": seed("triton/conv1d.py"), "numba": seed("numba/conv1d.py")},
    pattern="convolution",
    description=(
        "y[b, o, l] = sum over c and t of weight[o, c, t] * x[b, c, l + t - taps // 2], where x is 0 outside; "
        "accumulated in float32 or better"
    ),
)
