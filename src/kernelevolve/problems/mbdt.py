"""Bucketising by a few sorted borders (the pre-processing that Meta's "MBDT" does for decision trees).

With so few borders, counting those below a value beats searching among them.
"""

from __future__ import annotations

__all__ = ["problem"]

from collections.abc import Mapping
from typing import Final

import torch

from kernelevolve.problem import InputRequest, Problem, TensorSpec, Workload
from kernelevolve.problems.seeds import seed


def _reference(x: torch.Tensor, border: torch.Tensor) -> torch.Tensor:
    return torch.bucketize(x, border, out_int32=True)


def _generate(request: InputRequest) -> Mapping[str, torch.Tensor]:
    """Sorted borders; ``constant`` puts every value on one border, ``adversarial`` on borders and the numbers next to
    them, below and above all, with some borders equal.
    """
    rows, cols, count, rng = request.axes["rows"], request.axes["cols"], request.axes["borders"], request.rng
    border = torch.randn(count, generator=rng)
    if request.distribution == "large":
        border *= 1e4
    if request.distribution == "adversarial":
        border = border[torch.randint(count, (count,), generator=rng)]
    border = border.sort().values
    if request.distribution == "constant":
        return {"x": border[torch.randint(count, (1, 1), generator=rng)].expand(rows, cols), "border": border}
    if request.distribution != "adversarial":
        return {"border": border}
    ends = torch.tensor([-3e38, 3e38])
    edges = torch.cat((border, _next(border, -torch.inf), _next(border, torch.inf), ends))
    return {"x": edges[torch.randint(len(edges), (rows, cols), generator=rng)], "border": border}


def _next(values: torch.Tensor, towards: float) -> torch.Tensor:
    return torch.nextafter(values, torch.tensor(towards))


#: ceil(log2(borders + 1)) for fewer than 2**16 borders: what a search needs, and counting exceeds from 3 borders on.
STEPS: Final = "+".join(f"(borders>={2**power})" for power in range(16))

problem = Problem(
    name="mbdt",
    axes=("rows", "cols", "borders"),
    inputs=(TensorSpec("x", "rows, cols"), TensorSpec("border", "borders")),
    outputs=(TensorSpec("bucket", "rows, cols", "int32"),),
    reference=_reference,
    generate=_generate,
    distributions=("normal", "large", "constant", "adversarial"),
    workloads=(
        Workload.parse("rows=64,cols=512,borders=8", ["smoke"]),
        Workload.parse("rows=576,cols=512,borders=10", ["emulated"]),
        Workload.parse("rows=2048,cols=512,borders=8", ["cpu"]),
        Workload.parse("rows=16384,cols=512,borders=8", ["gpu"]),
    ),
    hidden=(
        "rows=1,cols=1,borders=1",
        "rows=3,cols=7,borders=2",
        "rows=5,cols=33,borders=10",
        "rows=1,cols=1021,borders=9",
        "rows=33,cols=17,borders=257",
        "rows=37,cols=3,borders=5",
        "rows=129,cols=257,borders=7",
        "rows=61,cols=1025,borders=1031",
        "rows=65537,cols=3,borders=4",
        "rows=2,cols=65539,borders=17",
    ),
    operations=f"rows*cols*({STEPS})",
    seeds={"opencl": seed("mbdt.cl"), "triton": seed("triton/mbdt.py"), "numba": seed("numba/mbdt.py")},
    pattern="search",
    description="bucket[r, c] = number of borders below x[r, c]; border is sorted ascending and may hold equal values",
)
