"""What the interpreter finds wrong with a kernel, whatever the result: accesses, races, barriers, what it lacks."""

from __future__ import annotations

import numpy as np
import pytest

from kernelevolve.outcome import LaunchError, Nondeterministic, OutOfBounds, ToolchainError

from .conftest import LINES, run


def vector(n: int = 8, dtype: str = "float32") -> np.ndarray:
    return np.arange(n, dtype=dtype)


@pytest.mark.parametrize(
    ("line", "buffer", "side", "what"),
    [
        ("y[i] = x[i + 1]", "x", "back", "a read of x[8], whose shape is (8,)"),
        ("y[i] = x[i - 1]", "x", "front", "a read of x[-1], whose shape is (8,); a negative index wraps"),
        ("y[i + 3] = x[i]", "y", "back", "a write of y[8]"),
        ("y[i - 100] = x[i]", "y", "front", "a write of y[-100]"),
        ("y[i] = x[-9]", "x", "front", "a read of x[-9]"),
        ("cuda.atomic.add(y, i * 2, x[i])", "y", "back", "a atomic update of y[8]"),
        ("tile[i + 1] = x[i]", "tile", "back", "a write of tile[8]"),
        ("own[i] = x[i]", "own", "back", "a write of own[2], whose shape is (2,)"),
        ("y[i] = z[i % 2, i]", "z", "back", "a read of z[0, 4], whose shape is (2, 4)"),
    ],
)
def test_an_access_outside_an_array_is_named_with_line_and_thread(line: str, buffer: str, side: str, what: str) -> None:
    source = f"""@cuda.jit
def k(x, y, z):
    tile = cuda.shared.array(8, float32)
    own = cuda.local.array(2, float32)
    i = cuda.threadIdx.x
    {line}
"""
    arrays = {"x": vector(), "y": vector(), "z": np.zeros((2, 4), np.float32)}
    with pytest.raises(OutOfBounds) as caught:
        run(source, arrays, block=(8,))
    assert caught.value.details["buffer"] == buffer
    assert caught.value.details["side"] == side
    assert what.replace("a atomic", "an atomic") in str(caught.value).replace("a atomic", "an atomic")
    assert str(caught.value).startswith(f"line {LINES + 6}, block 0, thread ")


def test_a_literal_counts_from_the_end() -> None:
    source = """@cuda.jit
def k(x, y):
    y[0] = x[-1] + x[-len(x) + 7]
"""
    with pytest.raises(OutOfBounds):  # computed, so it is no literal any more
        run(source, {"x": vector(), "y": vector()}, block=(1,))
    assert run(source.replace("-len(x) + 7", "-2"), {"x": vector(), "y": vector()}, block=(1,))["y"][0] == 13


RACES = {
    "a barrier is missing": """
    tile[i] = x[i]
    y[i] = tile[63 - i]
""",
    "the reader is overtaken": """
    tile[i] = x[i]
    cuda.syncthreads()
    y[i] = tile[63 - i]
    tile[i] = x[i] + float32(1.0)
""",
    "two threads write": """
    tile[i // 2] = x[i]
""",
    "a warp's barrier is no block's": """
    tile[i] = x[i]
    cuda.syncwarp()
    y[i] = tile[63 - i]
""",
    "an update is lost": """
    y[0] = y[0] + x[i]
""",
}
ORDERED = {
    "a barrier orders": """
    tile[i] = x[i]
    cuda.syncthreads()
    y[i] = tile[63 - i]
""",
    "a warp's barrier orders the warp": """
    tile[i] = x[i]
    cuda.syncwarp()
    y[i] = tile[i ^ 1]
""",
    "all write the same": """
    tile[0] = float32(1.0)
    cuda.syncthreads()
    y[i] = tile[0]
""",
    "atomics order themselves": """
    cuda.atomic.add(y, 0, x[i])
""",
    "each thread has its own": """
    tile[i] = x[i]
    tile[i] += float32(1.0)
    y[i] = tile[i]
""",
}
FRAME = """@cuda.jit
def k(x, y):
    tile = cuda.shared.array(64, float32)
    i = cuda.threadIdx.x
{body}"""


@pytest.mark.parametrize("name", RACES)
def test_a_race_is_found_whether_it_changes_the_result_or_not(name: str) -> None:
    with pytest.raises(
        Nondeterministic, match=r"line \d+: thread \d+ of block 0 \((reading|writing)\) and thread"
    ) as caught:
        run(FRAME.format(body=RACES[name]), {"x": vector(64), "y": vector(64)}, block=(64,))
    assert caught.value.details["output"] in ("tile", "y")


@pytest.mark.parametrize("name", ORDERED)
def test_what_is_ordered_is_no_race(name: str) -> None:
    run(FRAME.format(body=ORDERED[name]), {"x": vector(64), "y": vector(64)}, block=(64,))


def test_blocks_that_write_one_element_race_unless_a_fence_says_otherwise() -> None:
    source = """@cuda.jit
def k(x, y, done):
    y[0] += x[cuda.blockIdx.x]
    {fence}
    cuda.atomic.add(done, 0, 1)
"""
    arrays = {"x": vector(), "y": vector(), "done": np.zeros(1, np.int32)}
    with pytest.raises(Nondeterministic):
        run(source.format(fence=""), arrays, grid=(4,), block=(1,))
    run(source.format(fence="cuda.threadfence()"), arrays, grid=(4,), block=(1,))


@pytest.mark.parametrize(
    "body",
    [
        "if i < 16:\n        cuda.syncthreads()\n    else:\n        cuda.syncthreads()",
        "if i < 8:\n        cuda.syncthreads()\n    else:\n        cuda.syncwarp()",
        "if i == 0:\n        cuda.shfl_sync(0xffffffff, i, 0)\n    else:\n        cuda.syncthreads()",
        "if i < 4:\n        cuda.syncthreads()\n    else:\n        cuda.syncthreads_count(1)",
    ],
)
def test_a_barrier_that_cannot_be_complete_ends_instead_of_hanging(body: str) -> None:
    source = f"@cuda.jit\ndef k(y):\n    i = cuda.threadIdx.x\n    {body}\n    y[i] = i\n"
    with pytest.raises(LaunchError, match="wait for each other at different places") as caught:
        run(source, {"y": vector(32)}, block=(32,))
    assert caught.value.details["code"] == "DEADLOCK"
    assert f"line {LINES + 5}" in str(caught.value)


def test_a_barrier_of_the_grid_that_some_blocks_skip() -> None:
    source = """@cuda.jit
def k(y):
    if cuda.blockIdx.x == 0:
        cuda.cg.this_grid().sync()
    y[cuda.blockIdx.x] = 1
"""
    with pytest.raises(LaunchError, match="1 blocks wait at a barrier of the grid"):
        run(source, {"y": vector(4)}, grid=(4,), block=(1,))


@pytest.mark.parametrize("reads", ["tile[i]", "own[0]"])
def test_memory_that_nothing_was_written_to_is_no_number(reads: str) -> None:
    source = f"""@cuda.jit
def k(y):
    tile = cuda.shared.array(32, float32)
    own = cuda.local.array(1, float32)
    i = cuda.threadIdx.x
    y[i] = {reads}
"""
    assert np.isnan(run(source, {"y": vector(32)})["y"]).all()


def test_a_lane_that_takes_no_part_gives_no_number() -> None:
    source = "@cuda.jit\ndef k(x, y):\n    i = cuda.threadIdx.x\n    y[i] = cuda.shfl_down_sync(0xffffffff, x[i], 8)\n"
    got = run(source, {"x": vector(16), "y": vector(16)}, block=(16,))["y"]
    np.testing.assert_array_equal(got[:8], np.arange(8, 16))
    assert np.isnan(got[8:]).all()


@pytest.mark.parametrize(
    ("call", "missing"),
    [
        ("cuda.libdevice.j0f(x[i])", "cuda.libdevice.j0f"),
        ("libdevice.fadd_rz(x[i], x[i])", "cuda.libdevice.fadd_rz"),
        ("cuda.nanosleep(3)", "cuda.nanosleep"),
    ],
)
def test_what_the_simulator_lacks_is_named(call: str, missing: str) -> None:
    source = f"@cuda.jit\ndef k(x, y):\n    i = cuda.threadIdx.x\n    y[i] = {call}\n"
    with pytest.raises(ToolchainError, match=f"line {LINES + 4}, .*simulator has no {missing}"):
        run(source, {"x": vector(), "y": vector()}, block=(8,))


def test_nothing_of_the_host_can_be_reached() -> None:
    for name in ("open", "__import__", "getattr", "type"):
        source = f"@cuda.jit\ndef k(y):\n    y[0] = {name}('x')\n"
        with pytest.raises(ToolchainError, match="NameError"):
            run(source, {"y": vector()}, block=(1,))
