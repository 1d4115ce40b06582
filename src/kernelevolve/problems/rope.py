"""Rotary position embedding (Su et al., "RoFormer", 2021), in the rotate-half layout of GPT-NeoX and Llama."""

from __future__ import annotations

__all__ = ["problem"]

import math
from collections.abc import Mapping
from typing import Final

import torch

from kernelevolve.problem import InputRequest, Problem, TensorSpec, Workload
from kernelevolve.problems.seeds import seed

_FP16: Final = "x:float16,y:float16"
_BF16: Final = "x:bfloat16,y:bfloat16"


def _reference(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)


def _generate(request: InputRequest) -> Mapping[str, torch.Tensor]:
    """Tables of random angles, so that no kernel can do without reading them; one angle for ``constant``.

    ``adversarial`` has quarter turns, and tables that are no rotation (YaRN scales them); beside rows of zeros and rows
    with one outlier.
    """
    length, half, rng = request.axes["length"], request.axes["half"], request.rng
    shape = (1, 1) if request.distribution == "constant" else (length, half)
    angle = torch.rand(shape, generator=rng).mul_(2 * math.pi).expand(length, half)
    cos, sin = angle.cos(), angle.sin()
    if request.distribution != "adversarial":
        return {"cos": cos, "sin": sin}
    turns = torch.randint(4, cos[0::2].shape, generator=rng)
    cos[0::2] = torch.tensor([1.0, 0.0, -1.0, 0.0])[turns]
    sin[0::2] = torch.tensor([0.0, 1.0, 0.0, -1.0])[turns]
    cos[1::2] = 1.5 * torch.randn(cos[1::2].shape, generator=rng)
    sin[1::2] = 1.5 * torch.randn(sin[1::2].shape, generator=rng)
    x = torch.randn(request.axes["batch"] * request.axes["heads"] * length, 2 * half, generator=rng)
    x[1::3] = 0.0
    outlier = torch.randint(2 * half, (len(x[2::3]),), generator=rng)
    x[2::3].scatter_(1, outlier.unsqueeze(1), 1e3)
    return {"x": x.reshape(request.axes["batch"], request.axes["heads"], length, 2 * half), "cos": cos, "sin": sin}


problem = Problem(
    name="rope",
    axes=("batch", "heads", "length", "half"),
    inputs=(
        TensorSpec("x", "batch, heads, length, 2*half"),
        TensorSpec("cos", "length, half"),
        TensorSpec("sin", "length, half"),
    ),
    outputs=(TensorSpec("y", "batch, heads, length, 2*half"),),
    reference=_reference,
    generate=_generate,
    distributions=("normal", "large", "constant", "adversarial"),
    workloads=(
        Workload.parse("batch=1,heads=2,length=64,half=32", ["smoke"]),
        Workload.parse("batch=1,heads=18,length=1024,half=64", ["emulated"]),
        Workload.parse("batch=1,heads=16,length=1024,half=64", ["cpu"]),
        Workload.parse(f"batch=4,heads=32,length=4096,half=64,{_BF16}", ["gpu"]),
        Workload.parse("batch=2,heads=32,length=4096,half=64", ["gpu"]),
    ),
    hidden=(
        "batch=1,heads=1,length=1,half=1",
        "batch=2,heads=3,length=5,half=7",
        "batch=1,heads=5,length=1,half=64",
        "batch=3,heads=1,length=7,half=33",
        "batch=2,heads=3,length=257,half=37",
        "batch=1,heads=1,length=65537,half=3",
        "batch=257,heads=257,length=2,half=1",
        "batch=1,heads=2,length=61,half=1025",
        f"batch=2,heads=1,length=5,half=32,{_FP16}",
        f"batch=2,heads=9,length=251,half=64,{_FP16}",
        f"batch=1,heads=2,length=3,half=17,{_BF16}",
        f"batch=3,heads=5,length=131,half=64,{_BF16}",
    ),
    operations="6*batch*heads*length*half",  # four products and two sums for each pair
    seeds={"opencl": seed("rope.cl"), "triton": seed("triton/rope.py"), "numba": seed("numba/rope.py")},
    pattern="elementwise",
    description=(
        "For every position t and i < half: y[..., t, i] = x[..., t, i] * cos[t, i] - x[..., t, half + i] * sin[t, i] "
        "and y[..., t, half + i] = x[..., t, half + i] * cos[t, i] + x[..., t, i] * sin[t, i]; the tables stay float32"
    ),
)
