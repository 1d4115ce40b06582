"""Where the engine itself computes: on a GPU that PyTorch can use where the work is large, else on the host.

A float64 oracle of a GPU-sized workload takes a processor minutes and an H100 milliseconds. The candidate runs in
another process with a memory of its own: results on the same GPU are as far from it as those in host memory.
"""

from __future__ import annotations

__all__ = ["on_fastest"]

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import torch

from kernelevolve.errors import KernelEvolveError

#: Names the device, ``cpu`` or ``cuda`` (a GPU of PyTorch's); default: a GPU where there is one.
VARIABLE: Final = "KERNELEVOLVE_ORACLE"
#: Bytes of inputs and outputs from which on a GPU is worth the trip.
LARGE: Final = 8 << 20

T = TypeVar("T")


def on_fastest(work: Callable[[str], T], *, nbytes: int) -> T:
    """``work("cuda")`` where the workload has at least `LARGE` bytes and there is a GPU with memory for it, else
    ``work("cpu")``.

    float32 is float32 on both: TF32 and reductions in half precision are off meanwhile. Raises `KernelEvolveError` for
    a device that the environment names and PyTorch lacks.
    """
    if nbytes < LARGE or _wanted() == "cpu":
        return work("cpu")
    try:
        with _exact():
            return work("cuda")
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return work("cpu")


def _wanted() -> str:
    named = os.environ.get(VARIABLE, "")
    there = torch.cuda.is_available()
    if named not in ("", "cpu", "cuda") or (named == "cuda" and not there):
        raise KernelEvolveError(f"{VARIABLE}={named}: PyTorch has no such device here; leave it unset, or write cpu")
    return named or ("cuda" if there else "cpu")


@contextmanager
def _exact() -> Iterator[None]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    switches = ("allow_tf32", "allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction")
    before = [getattr(matmul, name) for name in switches], cudnn.allow_tf32
    try:
        for name in switches:
            setattr(matmul, name, False)
        cudnn.allow_tf32 = False
        yield
    finally:
        for name, value in zip(switches, before[0], strict=True):
            setattr(matmul, name, value)
        cudnn.allow_tf32 = before[1]
