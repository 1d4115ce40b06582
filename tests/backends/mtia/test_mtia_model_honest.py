"""Kernels that would only look fast: each costs what the same work costs when it is written plainly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import triton
import triton.language as tl

from kernelevolve.backends.mtia.model import CHIPS, ModelOptions, estimate
from kernelevolve.backends.mtia.model.resources import needs
from kernelevolve.backends.mtia.model.units import Workbook
from kernelevolve.backends.mtia.trace import Trace

if TYPE_CHECKING:
    from conftest import Emulate

CHIP = CHIPS["mtia300"]


@triton.jit
def exp_first(a, b):
    return tl.exp(a)


@triton.jit
def plain_exp(x, y, B: tl.constexpr):
    o = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(y + o, tl.exp(tl.load(x + o)))


@triton.jit
def hidden_exp(x, y, B: tl.constexpr):
    o = tl.program_id(0) * B + tl.arange(0, B)
    v = tl.load(x + o)
    tl.store(y + o, tl.reduce(tl.broadcast_to(v[:, None], (B, 2)), 1, exp_first))


@triton.jit
def centred(x, y, B: tl.constexpr):
    o = tl.program_id(0) * B + tl.arange(0, B)
    v = tl.load(x + o)
    tl.store(y + o, v - tl.sum(v, axis=0))


@triton.jit(noinline=True)
def aside(x, y, B: tl.constexpr):
    o = tl.program_id(0) * B + tl.arange(0, B)
    v = tl.load(x + o)
    tl.store(y + o, v - tl.sum(v, axis=0))


@triton.jit
def centred_aside(x, y, B: tl.constexpr):
    aside(x, y, B)


@triton.jit
def scalar_chain(x, y, n, TIMES: tl.constexpr):
    i = tl.load(x + tl.program_id(0))
    for _ in range(TIMES):
        i = (i * 1103515245 + 12345) % n // 3
    tl.store(y + tl.program_id(0), i)


@triton.jit
def chain_of_one(x, y, n, TIMES: tl.constexpr):
    i = tl.load(x + tl.program_id(0) + tl.arange(0, 1))
    for _ in range(TIMES):
        i = (i * 1103515245 + 12345) % n // 3
    s = tl.sum(i, 0)
    for j in range(s, s + 1):
        tl.store(y + tl.program_id(0), j)


@triton.jit
def mask_of_loaded(x, y, B: tl.constexpr):
    o = tl.arange(0, B)
    tl.store(y + o, tl.full((B,), 1.0, tl.float32), mask=tl.load(x + o) > 0)


@triton.jit
def add_tiles(x, y, B: tl.constexpr):
    o = tl.arange(0, B)
    tl.atomic_add(y + o, tl.load(x + o))


@triton.jit
def add_described(x, y, B: tl.constexpr):
    tile = tl.make_tensor_descriptor(y, [B], [1], [B])
    tile.atomic_add([0], tl.load(x + tl.arange(0, B)))


@triton.jit
def pretend_to_wait(x, y, flag, B: tl.constexpr):
    p = tl.program_id(0)
    while tl.load(flag, volatile=True) < 0:
        p = p + 0
    tl.store(y + p * B + tl.arange(0, B), tl.load(x + p * B + tl.arange(0, B)))


@triton.jit
def sum_in_a_loop(x, y, TIMES: tl.constexpr, B: tl.constexpr):
    lanes = tl.arange(0, B)
    total = tl.zeros((B,), tl.float32)
    for i in range(TIMES):
        total += tl.exp(tl.load(x + i * B + lanes))
    tl.store(y + lanes, total)


@triton.jit
def sum_written_out(x, y, TIMES: tl.constexpr, B: tl.constexpr):
    lanes = tl.arange(0, B)
    total = tl.zeros((B,), tl.float32)
    for i in tl.static_range(TIMES):
        total += tl.exp(tl.load(x + i * B + lanes))
    tl.store(y + lanes, total)


@triton.jit
def copy_some(x, y, HOW: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    r, c = tl.arange(0, R)[:, None], tl.arange(0, C)[None, :]
    if HOW == "all":
        inside = (r < R) & (c < C)
    elif HOW == "box":
        inside = (r < R // 2) & (c < C // 2)
    elif HOW == "triangle":
        inside = r >= c
    else:
        inside = (r + c) % 2 == 0
    tl.store(y + r * C + c, tl.load(x + r * C + c, mask=inside, other=0.0), mask=inside)


@triton.jit
def products(a, b, c, k, SUMS: tl.constexpr, BRANCH: tl.constexpr, T: tl.constexpr):
    i, j = tl.arange(0, T)[:, None], tl.arange(0, T)[None, :]
    first = tl.zeros((T, T), tl.float32)
    second = tl.zeros((T, T), tl.float32)
    for start in range(0, k, T):
        left, right = tl.load(a + i * k + start + j), tl.load(b + (start + i) * T + j)
        first = tl.dot(left, right, first)
        if SUMS == 1:
            first = tl.dot(right, left, first)
        elif SUMS == 0:
            first = tl.dot(right, left, first) if start % (2 * T) == 0 else tl.dot(left, left, first)
        elif BRANCH:
            if start >= 0:
                second = tl.dot(right, left, second)
        else:
            second = tl.dot(right, left, second)
    tl.store(c + i * T + j, first + second)


def cycles(trace: Trace) -> float:
    return estimate(trace.program, trace, CHIP).cycles


def test_functions_in_a_reduction_cost_what_they_cost_elsewhere(emulate: Emulate) -> None:
    count, programs = 4096, 8
    x = np.linspace(-1, 1, count * programs, dtype=np.float32)
    y, z = np.zeros_like(x), np.zeros_like(x)
    plain = emulate(plain_exp, (programs,), x=x, y=y, B=count)
    hidden = emulate(hidden_exp, (programs,), x=x, y=z, B=count)
    assert np.array_equal(y, z)
    assert cycles(hidden) >= 0.95 * cycles(plain)


def test_what_a_called_function_holds_counts(emulate: Emulate) -> None:
    count = 8192
    x = np.ones(count, np.float32)
    found = [
        needs(Workbook(emulate(kernel, (1,), x=x, y=np.zeros_like(x), B=count).program, CHIP), ModelOptions())
        for kernel in (centred, centred_aside)
    ]
    assert found[1].local_bytes >= found[0].local_bytes >= 4 * count
    assert found[1].circular_buffers >= found[0].circular_buffers > 0


def test_a_tile_of_one_number_costs_what_a_number_costs(emulate: Emulate) -> None:
    programs, times = 8, 200
    x = np.arange(programs, dtype=np.int32)
    y, z = np.zeros_like(x), np.zeros_like(x)
    scalar = emulate(scalar_chain, (programs,), x=x, y=y, n=1 << 20, TIMES=times)
    tile = emulate(chain_of_one, (programs,), x=x, y=z, n=1 << 20, TIMES=times)
    assert np.array_equal(y, z)
    assert cycles(tile) >= 0.9 * cycles(scalar)


def test_a_loaded_tile_takes_its_place_even_if_it_is_only_a_mask(emulate: Emulate) -> None:
    count = 4096
    x = np.ones(count, np.float32)
    trace = emulate(mask_of_loaded, (1,), x=x, y=np.zeros_like(x), B=count)
    assert needs(Workbook(trace.program, CHIP), ModelOptions()).local_bytes >= 4 * count


def test_adding_through_a_descriptor_moves_and_writes_as_much(emulate: Emulate) -> None:
    count, programs = 1024, 16
    x = np.ones(count, np.float32)
    y, z = np.zeros_like(x), np.zeros_like(x)
    plain = emulate(add_tiles, (programs,), x=x, y=y, B=count)
    described = emulate(add_described, (programs,), x=x, y=z, B=count)
    assert np.array_equal(y, z)
    moved = [estimate(trace.program, trace, CHIP).profile.memory for trace in (plain, described)]
    assert all(memory["dram"].written >= y.nbytes for memory in moved)
    assert moved[1]["fabric"].written >= 2 * programs * y.nbytes


def test_kernels_that_may_wait_are_marked(emulate: Emulate) -> None:
    from kernelevolve.backends.mtia.executor import prepare

    x, flag = np.ones(64, np.float32), np.zeros(1, np.int32)
    trace = emulate(pretend_to_wait, (4,), x=x, y=np.zeros_like(x), flag=flag, B=16)
    assert prepare(trace.program).ordered
    assert not prepare(emulate(centred, (1,), x=x, y=np.zeros_like(x), B=64).program).ordered


@pytest.mark.parametrize("times", [3, 40])
def test_code_written_out_is_no_faster_than_memory_lets_its_loads_run_ahead(times: int, emulate: Emulate) -> None:
    count = 8192
    x = np.linspace(-1, 1, count * times, dtype=np.float32)
    y, z = np.zeros(count, np.float32), np.zeros(count, np.float32)
    loop = emulate(sum_in_a_loop, (1,), x=x, y=y, TIMES=times, B=count)
    plain = emulate(sum_written_out, (1,), x=x, y=z, TIMES=times, B=count)
    np.testing.assert_allclose(y, z, rtol=1e-6)
    found = needs(Workbook(plain.program, CHIP), ModelOptions())
    assert found.separate == (times == 3)
    if found.separate:
        assert found.local_bytes >= 4 * count * times
        assert found.circular_buffers >= times
    else:
        assert cycles(plain) >= cycles(loop)


def test_a_mask_that_no_descriptor_expresses_takes_a_descriptor_for_each_piece(emulate: Emulate) -> None:
    rows, cols = 64, 128
    x = np.ones((rows, cols), np.float32)
    traces = {
        how: emulate(copy_some, (1,), x=x, y=np.zeros_like(x), HOW=how, R=rows, C=cols)
        for how in ("all", "box", "triangle", "checkerboard")
    }
    tiles = {how: trace.accesses[0].tiles.tolist() for how, trace in traces.items()}
    joined = rows // 2 - 1  # the last of an odd row and the first of the next are neighbours in memory
    assert tiles == {"all": [1], "box": [1], "triangle": [rows], "checkerboard": [rows * cols // 2 - joined]}
    assert cycles(traces["box"]) < cycles(traces["all"]) < cycles(traces["triangle"]) < cycles(traces["checkerboard"])


@pytest.mark.parametrize("branch", [False, True])
def test_sums_of_one_loop_share_the_accumulator(branch: bool, emulate: Emulate) -> None:
    size, depth = 64, 512
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((size, depth)).astype(np.float16), rng.standard_normal((depth, size)).astype(np.float16)

    def reduced(sums: int) -> float:
        c = np.zeros((size, size), np.float32)
        trace = emulate(products, (1,), a=a, b=b, c=c, k=depth, SUMS=sums, BRANCH=branch, T=size)
        units = estimate(trace.program, trace, CHIP).profile.units
        return units["reduction engine"].busy if "reduction engine" in units else 0.0

    assert reduced(0) == reduced(1) == 0.0  # one sum, whichever way it goes on
    assert reduced(2) > 0.0
