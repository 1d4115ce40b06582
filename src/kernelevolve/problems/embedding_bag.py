"""Sums of embedding rows: each bag adds up the table's rows that its indices name."""

from __future__ import annotations

__all__ = ["problem"]

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812  # its name everywhere

from kernelevolve.problem import InputRequest, Problem, TensorSpec, Workload
from kernelevolve.problems._jagged import jagged_offsets
from kernelevolve.problems.seeds import seed

_FP16: Final = "table:float16,out:float16"


def _reference(table: torch.Tensor, indices: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    return F.embedding_bag(indices, table, offsets, mode="sum", include_last_offset=True)


def _generate(request: InputRequest) -> Mapping[str, torch.Tensor]:
    """``normal`` looks up as many different rows as there are; ``large`` any; ``constant`` one; ``adversarial`` often
    the first and the last one.
    """
    axes, rng = request.axes, request.rng
    entries, count = axes["entries"], axes["count"]
    offsets = jagged_offsets(axes["bags"], count, request.distribution, rng)
    if request.distribution == "constant":
        indices = torch.full((count,), entries // 2)
    elif request.distribution == "normal":
        indices = torch.randperm(entries, generator=rng)[torch.randperm(count, generator=rng) % entries]
    else:
        indices = torch.randint(entries, (count,), generator=rng)
    if request.distribution == "adversarial":
        ends = torch.tensor([0, entries - 1])[torch.randint(2, (count,), generator=rng)]
        indices = torch.where(torch.rand(count, generator=rng) < 0.25, ends, indices)
    return {"indices": indices, "offsets": offsets}


problem = Problem(
    name="embedding_bag",
    axes=("entries", "dim", "bags", "count"),
    inputs=(
        TensorSpec("table", "entries, dim"),
        TensorSpec("indices", "count", "int32"),
        TensorSpec("offsets", "bags + 1", "int32"),
    ),
    outputs=(TensorSpec("out", "bags, dim"),),
    reference=_reference,
    generate=_generate,
    distributions=("normal", "large", "constant", "adversarial"),
    workloads=(
        Workload.parse("entries=1000,dim=16,bags=32,count=256", ["smoke"]),
        Workload.parse("entries=100000,dim=64,bags=1152,count=18432", ["emulated"]),
        Workload.parse("entries=100000,dim=64,bags=2048,count=32768", ["cpu"]),
        Workload.parse(f"entries=1000000,dim=128,bags=4096,count=131072,{_FP16}", ["gpu"]),
        Workload.parse("entries=1000000,dim=128,bags=4096,count=131072", ["gpu"]),
    ),
    hidden=(
        "entries=1,dim=1,bags=1,count=1",
        f"entries=3,dim=5,bags=7,count=9,{_FP16}",
        "entries=17,dim=33,bags=5,count=3",
        f"entries=37,dim=39,bags=13,count=31,{_FP16}",
        "entries=61,dim=7,bags=31,count=137",
        "entries=1021,dim=129,bags=257,count=4099",
        f"entries=509,dim=96,bags=11,count=8191,{_FP16}",
        f"entries=131,dim=257,bags=65,count=1031,{_FP16}",
        "entries=5,dim=3,bags=65537,count=70001",
        "entries=65537,dim=17,bags=3,count=8209",
        "entries=3,dim=65539,bags=2,count=5",
    ),
    operations="count*dim",
    # The rows that timed inputs look up: each is read at least once, however often it is named.
    traffic="4*count + 4*(bags + 1) + (4 - 2*(dtype(table) == 'float16'))*dim*(min(entries, count) + bags)",
    seeds={
        "opencl": seed("embedding_bag.cl"),
        "triton": seed("triton/embedding_bag.py"),
        "numba": seed("numba/embedding_bag.py"),
    },
    pattern="gather_reduction",
    description=(
        "out[b, :] = sum of table[indices[i], :] for i from offsets[b] to offsets[b + 1] - 1, 0 for an empty bag; "
        "offsets do not decrease, from 0 to count; accumulated in float32 or better"
    ),
)
