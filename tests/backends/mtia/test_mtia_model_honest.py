"""Kernels that would only look fast: each costs what the same work costs when it is written plainly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
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
