"""Jagged rows cut to a limit: of each row the last events stay, packed without gaps (event histories of users)."""

from __future__ import annotations

__all__ = ["problem"]

from collections.abc import Mapping
from typing import Final

import torch

from kernelevolve.problem import InputRequest, Problem, TensorSpec, Workload
from kernelevolve.problems._jagged import jagged_offsets
from kernelevolve.problems.seeds import seed

_FP16: Final = "values:float16,kept:float16"


def _ends(offsets: torch.Tensor, limit: int) -> torch.Tensor:
    """Where each row ends once it is cut."""
    return offsets.diff().clamp_(max=limit).cumsum(0, dtype=offsets.dtype)


def _reference(values: torch.Tensor, offsets: torch.Tensor, limit: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Every place of the result looks up its row and from there its event: no size depends on the data.

    What is searched is no slice of another tensor, since torch.compile gets that wrong up to PyTorch 2.11 at least
    (pytorch/pytorch#182343), and a baseline that is wrong is out.
    """
    ends = _ends(offsets, limit)
    place = torch.arange(values.numel(), dtype=offsets.dtype, device=values.device)
    row = torch.searchsorted(ends, place, right=True, out_int32=True).clamp_(max=offsets.numel() - 2)
    source = place + (offsets[1:] - ends)[row]
    events = values[source.clamp_(max=values.numel() - 1)]
    return torch.where(place < ends[-1], events, 0), torch.nn.functional.pad(ends, (1, 0))


def _mask(values: torch.Tensor, offsets: torch.Tensor, limit: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Marks the events that stay and selects them, which waits for their number."""
    kept_offsets = torch.nn.functional.pad(_ends(offsets, limit), (1, 0))
    place = torch.arange(values.numel(), dtype=offsets.dtype, device=values.device)
    first = (offsets[1:] - kept_offsets.diff()).repeat_interleave(offsets.diff(), output_size=values.numel())
    events = values[place >= first]
    kept = torch.zeros_like(values)
    kept[: events.numel()] = events
    return kept, kept_offsets


def _generate(request: InputRequest) -> Mapping[str, torch.Tensor]:
    """``adversarial`` lengths lie at the limit and one beside it, or one row has nearly all events."""
    rows, total, limit = (request.axes[name] for name in ("rows", "total", "limit"))
    rng = request.rng
    offsets = jagged_offsets(rows, total, request.distribution, rng)
    if request.distribution == "adversarial" and bool(torch.randint(2, (), generator=rng)):
        lengths = limit - 1 + torch.randint(3, (rows,), generator=rng)
        offsets = torch.cat([torch.tensor([0]), lengths.cumsum(0)]).clamp_(max=total)
        offsets[-1] = total
    return {"offsets": offsets}


problem = Problem(
    name="batch_event_truncate",
    axes=("rows", "limit", "total"),
    inputs=(TensorSpec("values", "total"), TensorSpec("offsets", "rows + 1", "int32")),
    outputs=(TensorSpec("kept", "total"), TensorSpec("kept_offsets", "rows + 1", "int32")),
    reference=_reference,
    baselines={"mask": _mask},
    generate=_generate,
    distributions=("normal", "large", "constant", "adversarial"),
    workloads=(
        Workload.parse("rows=64,limit=10,total=640", ["smoke"]),
        Workload.parse("rows=4608,limit=100,total=460800", ["emulated"]),
        Workload.parse("rows=4096,limit=100,total=409600", ["cpu"]),
        # 16 features of 2048 samples, up to 200 events in each.
        Workload.parse("rows=32768,limit=100,total=3276800", ["gpu"]),
        Workload.parse(f"rows=32768,limit=100,total=3276800,{_FP16}", ["gpu"]),
    ),
    hidden=(
        "rows=1,limit=1,total=1",
        f"rows=3,limit=5,total=37,{_FP16}",
        "rows=37,limit=2,total=39",
        f"rows=17,limit=100,total=33,{_FP16}",
        "rows=31,limit=1,total=7",
        "rows=257,limit=131,total=50021",
        f"rows=1031,limit=7,total=16411,{_FP16}",
        "rows=1,limit=65537,total=70001",
        f"rows=32769,limit=2,total=40009,{_FP16}",
        "rows=65537,limit=3,total=262147",
        "rows=5,limit=4099,total=65539",
    ),
    operations="2*rows",  # a minimum and an addition for each new offset
    # Everything is written, and at least one of two neighbouring rows of timed inputs has as many events as the mean,
    # of which up to the limit are read.
    traffic="(4 - 2*(dtype(values) == 'float16'))*(total + rows//2*min(total//rows, limit)) + 8*(rows + 1)",
    seeds={
        "opencl": seed("batch_event_truncate.cl"),
        "triton": seed("triton/batch_event_truncate.py"),
        "numba": seed("numba/batch_event_truncate.py"),
    },
    pattern="jagged",
    description=(
        "Row r has the events values[offsets[r]] to values[offsets[r + 1] - 1]; its last min(length, limit) stay, in "
        "order. kept holds those of all rows without gaps, then zeros up to total; row r starts at kept_offsets[r], "
        "and kept_offsets[rows] is how many stay; offsets do not decrease, from 0 to total"
    ),
)
