"""Kernels written as Triton's tutorials write them, and the executor against Triton's own interpreter."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import triton
import triton.language as tl

from kernelevolve.backends.mtia.executor import Options
from kernelevolve.backends.mtia.trace import FindingKind

if TYPE_CHECKING:
    from conftest import Emulate

RNG = np.random.default_rng(7)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@triton.jit
def persistent_softmax(out, x, rows, cols, BLOCK: tl.constexpr, STAGES: tl.constexpr):
    for row in tl.range(tl.program_id(0), rows, tl.num_programs(0), num_stages=STAGES):
        c = tl.arange(0, BLOCK)
        v = tl.load(x + row * cols + c, mask=c < cols, other=-float("inf"))
        e = tl.exp(v - tl.max(v, axis=0))
        tl.store(out + row * cols + c, e / tl.sum(e, axis=0), mask=c < cols)


@pytest.mark.parametrize("programs", [1, 3, 8, 50])
def test_persistent_softmax(programs: int, emulate: Emulate) -> None:
    x, out = normal(37, 100), np.zeros((37, 100), np.float32)
    trace = emulate(persistent_softmax, (programs,), out=out, x=x, rows=37, cols=100, BLOCK=128, STAGES=2)
    e = np.exp(x - x.max(axis=1, keepdims=True))
    np.testing.assert_allclose(out, e / e.sum(axis=1, keepdims=True), rtol=2e-6)
    trips = trace.op_counts(trace.accesses[0].op)
    assert trips.tolist() == [len(range(p, 37, programs)) for p in range(programs)]


@triton.jit
def leaky(x):
    return tl.where(x >= 0, x, 0.01 * x)


@triton.jit
def grouped_matmul(
    a,
    b,
    c,
    m,
    n,
    k,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    GROUP: tl.constexpr,
    ACTIVATION: tl.constexpr,
):
    pid = tl.program_id(0)
    down, across = tl.cdiv(m, BM), tl.cdiv(n, BN)
    in_group = GROUP * across
    first = pid // in_group * GROUP
    height = min(down - first, GROUP)
    pm = first + pid % in_group % height
    pn = pid % in_group // height
    tl.assume(pm >= 0)
    i = (pm * BM + tl.arange(0, BM)) % m
    j = (pn * BN + tl.arange(0, BN)) % n
    d = tl.arange(0, BK)
    left, right = a + i[:, None] * k + d[None, :], b + d[:, None] * n + j[None, :]
    total = tl.zeros((BM, BN), tl.float32)
    for step in range(tl.cdiv(k, BK)):
        x = tl.load(left, mask=d[None, :] < k - step * BK, other=0.0)
        y = tl.load(right, mask=d[:, None] < k - step * BK, other=0.0)
        total = tl.dot(x, y, total)
        left += BK
        right += BK * n
    if ACTIVATION == "leaky":
        total = leaky(total)
    i = pm * BM + tl.arange(0, BM)
    j = pn * BN + tl.arange(0, BN)
    tl.store(c + i[:, None] * n + j[None, :], total.to(tl.float16), mask=(i[:, None] < m) & (j[None, :] < n))


@pytest.mark.parametrize(("m", "n", "k"), [(64, 64, 64), (70, 50, 33), (1, 130, 17)])
def test_grouped_matmul(m: int, n: int, k: int, emulate: Emulate) -> None:
    a, b = normal(m, k).astype(np.float16), normal(k, n).astype(np.float16)
    c = np.zeros((m, n), np.float16)
    grid = (-(-m // 16) * -(-n // 32),)
    emulate(grouped_matmul, grid, a=a, b=b, c=c, m=m, n=n, k=k, BM=16, BN=32, BK=16, GROUP=2, ACTIVATION="leaky")
    wanted = a.astype(np.float32) @ b.astype(np.float32)
    np.testing.assert_allclose(c, np.where(wanted >= 0, wanted, 0.01 * wanted), rtol=2e-3, atol=2e-3)


@triton.jit
def dropout(x, y, n, p, seed, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = tl.rand(seed, i) > p
    tl.store(y + i, tl.where(keep, tl.load(x + i, mask=i < n) / (1 - p), 0.0), mask=i < n)


def philox(seed: int, offset: int) -> int:
    """The first word of Philox 4x32-10 (Salmon et al., 2011) for counter (offset, 0, 0, 0) and a 32-bit key."""
    mask = 0xFFFFFFFF
    c, k = [offset, 0, 0, 0], [seed & mask, seed >> 32]
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(second >> 32) ^ c[1] ^ k[0], second & mask, (first >> 32) ^ c[3] ^ k[1], first & mask]
        k = [(k[0] + 0x9E3779B9) & mask, (k[1] + 0xBB67AE85) & mask]
    return c[0]


def test_dropout_draws_philox_numbers(emulate: Emulate) -> None:
    x, y = np.ones(500, np.float32), np.zeros(500, np.float32)
    emulate(dropout, (4,), x=x, y=y, n=500, p=0.25, seed=1234, BLOCK=128)
    words = np.array([philox(1234, i) for i in range(500)], np.uint32).view(np.int32).astype(np.int64)
    uniform = np.where(words < 0, -words - 1, words) * 4.6566127342e-10
    assert np.array_equal(y != 0, uniform > 0.25)


@triton.jit
def weight_gradient(dy, x, dw, partial, lock, count, rows, cols, GROUPS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    c = tl.arange(0, BLOCK)
    given = tl.load(dy + row * cols + c, mask=c < cols, other=0.0) * tl.load(
        x + row * cols + c, mask=c < cols, other=0.0
    )
    group = row % GROUPS
    while tl.atomic_cas(lock + group, 0, 1) == 1:
        pass
    if tl.load(count + group) == 0:
        tl.atomic_xchg(count + group, 1)
    else:
        given += tl.load(partial + group * cols + c, mask=c < cols, other=0.0)
    tl.store(partial + group * cols + c, given, mask=c < cols)
    tl.debug_barrier()
    tl.atomic_xchg(lock + group, 0)


def test_partial_sums_behind_locks(emulate: Emulate) -> None:
    dy, x, partial = normal(23, 50), normal(23, 50), np.full((4, 50), np.nan, np.float32)
    lock, count, dw = np.zeros(4, np.int32), np.zeros(4, np.int32), np.zeros(50, np.float32)
    emulate(
        weight_gradient, (23,), dy=dy, x=x, dw=dw, partial=partial, lock=lock, count=count, rows=23, cols=50, GROUPS=4,
        BLOCK=64,
    )  # fmt: skip
    np.testing.assert_allclose(partial.sum(axis=0), (dy * x).sum(axis=0), rtol=1e-4, atol=1e-5)
    assert not lock.any()


@triton.jit
def mixed(x, y, out, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    pointer = tl.where(i % 2 == 0, x + i, y + n - 1 - i)
    tl.store(out + i, tl.load(pointer, mask=i < n, other=-1.0))


def test_one_access_may_touch_several_buffers(emulate: Emulate) -> None:
    x, y, out = normal(20), normal(20), np.zeros(32, np.float32)
    emulate(mixed, (1,), x=x, y=y, out=out, n=20, BLOCK=32)
    i = np.arange(20)
    assert out[:20].tolist() == np.where(i % 2 == 0, x, y[::-1]).tolist()
    assert out[20:].tolist() == [-1.0] * 12


@pytest.mark.parametrize("elements", [1, 100, 5000])
def test_results_and_traces_do_not_depend_on_batches(elements: int, emulate: Emulate) -> None:
    x = normal(37, 100)
    results = []
    for options in (Options(batch_elements=elements), Options()):
        out = np.zeros((37, 100), np.float32)
        trace = emulate(persistent_softmax, (5,), out=out, x=x, rows=37, cols=100, BLOCK=128, STAGES=2, options=options)
        access = trace.accesses[0]
        order = np.lexsort((access.ordinal, access.programs))
        columns = [getattr(access, name)[order].tolist() for name in ("programs", "ordinal", "low", "high", "elements")]
        results.append((out.tobytes(), trace.counts.tolist(), columns))
    assert results[0] == results[1]


SCRIPT = """
import pickle, sys
import torch, triton, triton.language as tl
import importlib.util
spec = importlib.util.spec_from_file_location("kernels", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
a, b, x = (torch.tensor(value) for value in pickle.loads(open(sys.argv[2], "rb").read()))
c = torch.zeros((a.shape[0], b.shape[1]), dtype=torch.float16)
out = torch.zeros_like(x)
module.grouped_matmul[(12,)](a, b, c, 45, 60, 33, BM=16, BN=16, BK=16, GROUP=2, ACTIVATION="leaky")
module.persistent_softmax[(3,)](out, x, 9, 33, BLOCK=64, STAGES=2)
open(sys.argv[3], "wb").write(pickle.dumps((c.numpy(), out.numpy())))
"""


def test_the_interpreter_agrees(emulate: Emulate, tmp_path: Path) -> None:
    a, b, x = normal(45, 33).astype(np.float16), normal(33, 60).astype(np.float16), normal(9, 33)
    text = Path(__file__).read_text(encoding="utf-8")
    begin, end = text.index("@triton.jit\ndef persistent_softmax"), text.index("@triton.jit\ndef dropout")
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "kernels.py").write_text(_kernels(text[begin:end]))
    (tmp_path / "in").write_bytes(pickle.dumps((a, b, x)))
    command = [sys.executable, *(str(tmp_path / name) for name in ("script.py", "kernels.py", "in", "out"))]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(Path(triton.__file__).parents[1]), environment.get("PYTHONPATH", "")]
    )
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    if "only 0-dimensional arrays can be converted" in done.stderr and triton.__version__ < "3.7":
        pytest.skip("the interpreter of Triton 3.6 does not work with this NumPy")
    assert done.returncode == 0, done.stderr
    wanted_c, wanted_out = pickle.loads((tmp_path / "out").read_bytes())

    c, out = np.zeros((45, 60), np.float16), np.zeros((9, 33), np.float32)
    emulate(grouped_matmul, (12,), a=a, b=b, c=c, m=45, n=60, k=33, BM=16, BN=16, BK=16, GROUP=2, ACTIVATION="leaky")
    emulate(persistent_softmax, (3,), out=out, x=x, rows=9, cols=33, BLOCK=64, STAGES=2)

    np.testing.assert_allclose(c, wanted_c, rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(out, wanted_out, rtol=1e-6)


def _kernels(text: str) -> str:
    """Only the jitted functions of a piece of this file, as a module."""
    functions = [part.split("\n\n\n")[0] for part in text.split("@triton.jit\n")[1:]]
    return "import triton\nimport triton.language as tl\n" + "".join(f"\n\n@triton.jit\n{one}\n" for one in functions)


@triton.jit
def accumulate(x, y):
    tl.store(y, tl.load(x + tl.program_id(0)))


def test_which_program_wins_a_race_is_always_the_last(emulate: Emulate) -> None:
    x, y = np.arange(50, dtype=np.float32), np.zeros(1, np.float32)
    trace = emulate(accumulate, (50,), x=x, y=y)
    assert y[0] == 49
    assert [one.kind for one in trace.findings] == [FindingKind.RACE]
