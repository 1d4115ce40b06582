"""What a dot costs in each precision: more products of pieces are never free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pytest
import triton
import triton.language as tl

from kernelevolve.backends.mtia.model import CHIPS, estimate
from kernelevolve.backends.mtia.trace import Trace

if TYPE_CHECKING:
    from conftest import Emulate


@triton.jit
def product(a, b, c, n, k, PRECISION: tl.constexpr, T: tl.constexpr):
    rows = tl.program_id(0) * T + tl.arange(0, T)
    cols = tl.program_id(1) * T + tl.arange(0, T)
    total = tl.zeros((T, T), tl.float32)
    for start in range(0, k, T):
        terms = start + tl.arange(0, T)
        left = tl.load(a + rows[:, None] * k + terms[None, :])
        right = tl.load(b + terms[:, None] * n + cols[None, :])
        total = tl.dot(left, right, total, input_precision=PRECISION)
    tl.store(c + rows[:, None] * n + cols[None, :], total)


PRECISIONS = ("tf32", "tf32x3", "bf16x3", "bf16x6", "ieee")


@pytest.fixture(scope="module")
def size() -> int:
    return 256


@pytest.fixture
def traces(emulate: Emulate, size: int) -> Mapping[str, Trace]:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((size, size)).astype(np.float32) for _ in range(2))
    found = {}
    for precision in PRECISIONS:
        c = np.zeros((size, size), np.float32)
        found[precision] = emulate(
            product, (size // 64, size // 64), a=a, b=b, c=c, n=size, k=size, PRECISION=precision, T=64
        )
        error = np.abs(c - a.astype(np.float64) @ b).max()
        assert error < {"tf32": 0.2, "bf16x3": 2e-2}.get(precision, 1e-3)
    return found


def dots(trace: Trace, chip: str) -> float:
    units = estimate(trace.program, trace, CHIPS[chip]).profile.units
    return units["dot engine"].busy if "dot engine" in units else 0.0


def test_pieces_cost_as_many_products_as_there_are(traces: Mapping[str, Trace]) -> None:
    once = dots(traces["tf32"], "mtia300")
    assert dots(traces["tf32x3"], "mtia300") == pytest.approx(3 * once)
    two_byte = dots(traces["bf16x3"], "mtia300")
    assert dots(traces["bf16x6"], "mtia300") == pytest.approx(2 * two_byte)
    assert two_byte == pytest.approx(3 * once / 2)  # the engine multiplies 2-byte types twice as fast as TF32
    assert dots(traces["ieee"], "mtia300") == 0.0  # exact float32 goes to the SIMD engine


def test_a_chip_without_tf32_computes_its_products_elsewhere(traces: Mapping[str, Trace]) -> None:
    assert dots(traces["tf32"], "mtia2i") == dots(traces["tf32x3"], "mtia2i") == 0.0
    assert dots(traces["bf16x3"], "mtia2i") > 0


@pytest.mark.parametrize("chip", ["mtia2i", "mtia300"])
def test_more_precision_never_takes_less_time(traces: Mapping[str, Trace], chip: str) -> None:
    cycles = {name: estimate(trace.program, trace, CHIPS[chip]).cycles for name, trace in traces.items()}
    assert cycles["tf32"] <= cycles["tf32x3"] <= cycles["ieee"] or chip == "mtia2i"
    assert cycles["bf16x3"] <= cycles["bf16x6"] <= cycles["ieee"]
