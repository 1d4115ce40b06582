"""Cross entropy of each row's logits with its target class: the loss at the end of a language model."""

from __future__ import annotations

__all__ = ["problem"]

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812  # its name everywhere

from kernelevolve.problem import InputRequest, Problem, TensorSpec, Workload
from kernelevolve.problems.seeds import seed

#: Far enough above normal logits that a kernel which does not subtract the row's maximum overflows, and so near that
#: the rounding of max + log(sum) before the target's logit is subtracted stays inside the tolerance.
HUGE: Final = 200.0
#: What padding of the vocabulary is masked with: finite, and far below everything else.
MASKED: Final = -1e30

_FP16: Final = "logits:float16,loss:float16"
_BF16: Final = "logits:bfloat16,loss:bfloat16"


def _reference(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits, target.long(), reduction="none")


def _generate(request: InputRequest) -> Mapping[str, torch.Tensor]:
    """Hostile rows for ``adversarial``: a huge logit elsewhere, ties, masked padding, all shifted far up.

    Under ``large`` some rows have their maximum at either end, so that no kernel can leave the ends out. Where logits
    differ by much, a row whose target is its maximum has no loss; the first row's target is its minimum, for a scale.
    """
    rows, classes, rng = request.axes["rows"], request.axes["classes"], request.rng
    target = torch.randint(classes, (rows,), generator=rng)
    if request.distribution in ("normal", "constant"):
        return {"target": target}
    logits = torch.randn(rows, classes, generator=rng)
    if request.distribution == "large":
        logits[1::4, -1] += 8.0
        logits[2::4, 0] += 8.0
        logits *= 16.0 if request.dtypes["logits"] == "float16" else 1e4
        target[0] = logits[0].argmin()
        return {"logits": logits, "target": target}
    target = _often_at_an_end(target, classes, rng)
    target[2::4] -= target[2::4] % 2
    huge = _often_at_an_end(torch.randint(classes, (rows,), generator=rng), classes, rng)
    huge = torch.where(huge == target, (target + 1) % classes, huge)
    logits[0::4].scatter_(1, huge[0::4].unsqueeze(1), HUGE)
    logits[1::4] = 3.0
    logits[2::4, 1::2] = max(MASKED, torch.finfo(getattr(torch, request.dtypes["logits"])).min)
    logits[3::4] += HUGE
    return {"logits": logits, "target": target}


def _often_at_an_end(index: torch.Tensor, classes: int, rng: torch.Generator) -> torch.Tensor:
    """Half of the indices moved to the first or the last class, by chance."""
    choice = torch.randint(4, index.shape, generator=rng)
    return torch.where(choice == 0, 0, torch.where(choice == 1, classes - 1, index))


problem = Problem(
    name="cross_entropy",
    axes=("rows", "classes"),
    inputs=(TensorSpec("logits", "rows, classes"), TensorSpec("target", "rows", "int32")),
    outputs=(TensorSpec("loss", "rows"),),
    reference=_reference,
    generate=_generate,
    distributions=("normal", "large", "constant", "adversarial"),
    workloads=(
        Workload.parse("rows=64,classes=250", ["smoke"]),
        Workload.parse("rows=1152,classes=4000", ["emulated"]),
        Workload.parse("rows=1024,classes=8000", ["cpu"]),
        Workload.parse(f"rows=8192,classes=32000,{_BF16}", ["gpu"]),
        Workload.parse("rows=4096,classes=32000", ["gpu"]),
    ),
    hidden=(
        "rows=3,classes=7",
        "rows=3,classes=17",
        "rows=127,classes=2",
        "rows=1,classes=1021",
        "rows=33,classes=1025",
        "rows=61,classes=4099",
        "rows=65537,classes=3",
        "rows=2,classes=65539",
        f"rows=5,classes=33,{_FP16}",
        f"rows=67,classes=4099,{_FP16}",
        f"rows=3,classes=19,{_BF16}",
        f"rows=33,classes=4099,{_BF16}",
    ),
    operations="4*rows*classes",  # compare, subtract, exp, add
    # The loss of a lone class is zero, whatever the logit: nothing to compute.
    requires="classes >= 2",
    seeds={
        "opencl": seed("cross_entropy.cl"),
        "triton": seed("triton/cross_entropy.py"),
        "numba": seed("numba/cross_entropy.py"),
    },
    pattern="row_reduction",
    description=(
        "loss[r] = log(sum(exp(logits[r, :]))) - logits[r, target[r]]; every logit is finite, every target a class"
    ),
)
