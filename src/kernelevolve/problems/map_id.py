"""Identifiers to dense indices: each value is looked up in a sorted table.

The index is the value's position in the table, or -1 where the table does not hold it; the table is strictly
increasing.
"""

from __future__ import annotations

__all__ = ["problem"]

from collections.abc import Mapping
from typing import Final

import torch

from kernelevolve.problem import InputRequest, Problem, TensorSpec, Workload
from kernelevolve.problems.seeds import seed

INT32: Final = torch.iinfo(torch.int32)


def _reference(values: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    position = torch.searchsorted(table, values).clamp_(max=table.numel() - 1)
    return torch.where(table[position] == values, position, -1).to(torch.int32)


def _generate(request: InputRequest) -> Mapping[str, torch.Tensor]:
    """Half of the values are in the table; ``large`` spans all of int32, ``constant`` asks for one value only."""
    count, size, rng = request.axes["count"], request.axes["size"], request.rng
    table = _table(size, wide=request.distribution == "large", rng=rng)
    values = table[torch.randint(size, (count,), generator=rng)]
    if request.distribution == "constant":
        values[:] = table[size // 2]
    elif request.distribution == "adversarial":
        values = _edges(table)[torch.randint(8, (count,), generator=rng)]
    else:
        values += torch.randint(2, (count,), generator=rng)  # gaps are at least 2: the next number is absent
    return {"values": values.to(torch.int32), "table": table.to(torch.int32)}


def _table(size: int, *, wide: bool, rng: torch.Generator) -> torch.Tensor:
    """A strictly increasing table (int64) with gaps of at least 2, around zero or over all of int32."""
    most = min(2**32 // (size + 1), 2**30) if wide else 16
    steps = torch.randint(2, max(most, 3), (size,), generator=rng).cumsum(0)
    return steps + INT32.min if wide else steps - 8 * size


def _edges(table: torch.Tensor) -> torch.Tensor:
    """Where searches go wrong: both ends of the table and of the type, and their neighbours."""
    first, last = int(table[0]), int(table[-1])
    edges = [first, last, first - 1, first + 1, last - 1, last + 1, INT32.min, INT32.max]
    return torch.tensor(edges)


#: ceil(log2(size)) for sizes up to 2**30: a comparison counts as 0 or 1 in an expression.
STEPS: Final = "+".join(f"(size>2**{power})" for power in range(30))

problem = Problem(
    name="map_id",
    axes=("count", "size"),
    inputs=(TensorSpec("values", "count", "int32"), TensorSpec("table", "size", "int32")),
    outputs=(TensorSpec("index", "count", "int32"),),
    reference=_reference,
    generate=_generate,
    distributions=("normal", "large", "constant", "adversarial"),
    workloads=(
        Workload.parse("count=4096,size=1000", ["smoke"]),
        Workload.parse("count=1000000,size=50000", ["cpu", "gpu", "emulated"]),
        Workload.parse("count=16000000,size=1000000", ["gpu"]),
    ),
    hidden=(
        "count=1,size=1",
        "count=7,size=2",
        "count=1021,size=1",
        "count=1,size=4097",
        "count=31,size=33",
        "count=37,size=5",
        "count=255,size=3",
        "count=4099,size=1023",
        "count=10007,size=1025",
        "count=65537,size=257",
        "count=8191,size=65537",
    ),
    operations=f"count*({STEPS})",
    seeds={"opencl": seed("map_id.cl"), "triton": seed("triton/map_id.py"), "numba": seed("numba/map_id.py")},
    pattern="search",
    description="index[i] = j with table[j] == values[i], or -1 where there is none; table is strictly increasing",
)
