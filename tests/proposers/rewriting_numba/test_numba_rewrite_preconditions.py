"""Where a rewrite would change what a kernel computes, it is not offered."""

from __future__ import annotations

from typing import Final

import pytest

from kernelevolve import registry
from kernelevolve.kernel import Kernel, parse_kernel
from kernelevolve.outcome import Rejected
from kernelevolve.proposers.rewriting.numba_rules import REWRITES, promotions, sites

from .running import found, seed

_SUM: Final = "        total += math.exp(float32(x[row, col]) - peak)\n"
_PEAK: Final = "        peak = max(peak, float32(x[row, col]))\n"
_LAST: Final = "        y[row, col] = math.exp(float32(x[row, col]) - peak) / total"
_GUARD: Final = "    if sample >= batch:\n        return\n"
#: Why not, the rewrite, the problem whose seed is changed, what is replaced, and at how many places it still applies.
CASES: Final = [
    ("no change", "shuffle", "softmax", (), 2),
    ("another element is read", "shuffle", "softmax", (("peak = partial[0]", "peak = partial[1]"),), 0),
    ("blocks have half a warp", "shuffle", "softmax", (("[128, 64, 256, 512]", "[16]"),), 0),
    ("the array is larger", "shuffle", "softmax", (("array(THREADS, float32)", "array(1024, float32)"),), 0),
    ("the barrier is missing", "shuffle", "softmax", (("= peak\n    cuda.syncthreads()\n", "= peak\n"),), 0),
    (
        "a third thing is added up",
        "shuffle",
        "softmax",
        (("+= partial[lane + half]", "+= partial[lane + half + 1]"),),
        0,
    ),
    ("the parts differ", "online-softmax", "softmax", ((_SUM, _SUM.replace("]", "] * 2")),), 0),
    ("the peak is changed between", "online-softmax", "softmax", (("peak = partial[0]", "peak = partial[0] + 1"),), 0),
    (
        "a turn reads the sum",
        "accumulators",
        "softmax",
        ((_SUM, "        total += total * float32(x[row, col])\n"),),
        1,
    ),
    ("the sum is halved", "accumulators", "softmax", ((_SUM, _SUM + "        total *= float32(0.5)\n"),), 1),
    ("the sum is a double", "accumulators", "softmax", (("total = float32(0.0)", "total = 0.0"),), 1),
    ("the loop is left", "unroll", "softmax", ((_SUM, _SUM + "        if total > 9:\n            break\n"),), 2),
    (
        "the loop leaves the kernel",
        "unroll",
        "softmax",
        ((_SUM, _SUM + "        if total > 9:\n            return\n"),),
        2,
    ),
    (
        "the counter is used later",
        "unroll",
        "softmax",
        (("    total = partial[0]\n", "    total = partial[0] + col\n"),),
        2,
    ),
    ("the bound changes", "unroll", "softmax", ((_SUM, _SUM + "        cols -= 1\n"),), 2),
    (
        "the step is negative",
        "hoist",
        "embedding_bag",
        (("range(first, last)", "range(last, first, -1)"), ("float32(table", "float32(offsets[0]) * float32(table")),
        0,
    ),
    ("the thread matters", "consecutive", "softmax", ((_LAST, _LAST + " * lane"),), 2),
    (
        "a value of the thread's own",
        "consecutive",
        "softmax",
        (("    total = partial[0]\n", "    total = partial[0] + lane\n"),),
        2,
    ),
    (
        "some threads only",
        "consecutive",
        "softmax",
        (("    partial[lane] = peak\n", "    if lane > 3:\n        return\n    partial[lane] = peak\n"),),
        0,
    ),
    ("written twice", "consecutive", "softmax", ((_SUM, _SUM + "        y[row, col] = total\n"),), 1),
    (
        "not all that is done with a sum",
        "consecutive",
        "softmax",
        (("    partial[lane] = total\n", "    y[row, lane] = total\n    partial[lane] = total\n"),),
        1,
    ),
    (
        "a sum of which the largest is taken",
        "consecutive",
        "softmax",
        (("partial[lane] += partial[lane + half]", "partial[lane] = max(partial[lane], partial[lane + half])"),),
        2,
    ),
    ("written meanwhile", "keep-registers", "softmax", ((_SUM, _SUM + "        x[row, col] = total\n"),), 0),
    (
        "another row",
        "keep-registers",
        "softmax",
        ((_PEAK, _PEAK.replace("row", "row + 1")), (_SUM, _SUM.replace("row", "row + 2"))),
        0,
    ),
    (
        "the row changes",
        "keep-registers",
        "softmax",
        (("    total = float32(0.0)\n", "    total = float32(0.0)\n    row += 1\n"),),
        0,
    ),
    (
        "only in some turns",
        "keep-shared",
        "softmax",
        ((_SUM, "        if col > 3:\n    " + _SUM), (_LAST, "        if col > 3:\n    " + _LAST)),
        0,
    ),
    ("where to is read: only the indices", "batch-loads", "embedding_bag", (), 1),
    ("written by the loop", "batch-loads", "softmax", ((_LAST, "        x[row, col] = float32(x[row, col])"),), 0),
    (
        "in place",
        "rows-per-block",
        "softmax",
        (
            (
                "    for col in range(lane, cols, THREADS):\n" + _LAST,
                "    for col in range(lane, cols, THREADS):\n        y[row, col] += 1",
            ),
        ),
        0,
    ),
    ("barriers as often as the row says", "rows-per-block", "attention", (), 0),
    ("barriers in a function", "rows-per-block", "pffn", (), 0),
    (
        "leaves before a barrier",
        "rows-per-block",
        "softmax",
        (("    peak = float32", "    if row > 3:\n        return\n    peak = float32"),),
        0,
    ),
    (
        "atomics",
        "rows-per-block",
        "swiglu",
        (("y[row, col] =", "cuda.atomic.add(y, (row, col), 1)\n        y[row, col] ="),),
        0,
    ),
    (
        "barriers behind a guard",
        "persistent",
        "softmax",
        (("    peak = float32(-", "    if row > 3:\n        return\n    peak = float32(-"),),
        0,
    ),
    ("a guard inside a loop", "persistent", "map_id", (("            low = middle + 1\n", "            return\n"),), 0),
    (
        "the grid's size is asked for",
        "coarsen",
        "swiglu",
        (("row = cuda.blockIdx.x", "row = cuda.blockIdx.x % cuda.gridDim.x"),),
        0,
    ),
    ("two dimensions", "coarsen", "swiglu", (("row = cuda.blockIdx.x", "row, other = cuda.grid(2)"),), 0),
    (
        "waits for other blocks",
        "persistent",
        "map_id",
        (
            (
                "    while low < high:\n",
                "    while cuda.atomic.cas(index, 0, 0, 1) == 0:\n        pass\n    while low < high:\n",
            ),
        ),
        0,
    ),
    ("no product", "swap-dimensions", "conv1d", (), 0),
    (
        "written by the entry",
        "hoist",
        "rms_norm_backward",
        (("        partial[part, col] = total\n", "        weight[col] = total\n"),),
        0,
    ),
    (
        "where to changes",
        "hoist",
        "rms_norm_backward",
        (("float32(weight[col]) - normal", "float32(weight[row]) - normal"),),
        0,
    ),
    ("the divisor changes", "reciprocal", "softmax", ((_LAST, _LAST + "\n        total += float32(1.0)"),), 0),
    ("whole numbers", "reciprocal", "softmax", (("    total = partial[0]\n", "    total = int32(partial[0])\n"),), 0),
    ("part of an index", "pad", "matmul", (("left[y, i] * right[i, x]", "left[y, i] * right[i][x]"),), 1),
    ("another constant counts on it", "threads", "attention", (), 0),
    ("other elements have none", "jam", "conv1d", ((_GUARD, "    if sample >= 3:\n        return\n"),), 0),
    ("it leaves for another reason", "jam", "conv1d", ((_GUARD, _GUARD + "    if place == 3:\n        return\n"),), 0),
    (
        "the place is asked for",
        "jam",
        "conv1d",
        (("place = item % length", "place = (item + cuda.laneid) % length"),),
        0,
    ),
    ("it reads what it writes", "jam", "conv1d", (("= total\n", "= total + y[0, 0, 0]\n"),), 0),
    (
        "options that exclude each other",
        "registers",
        "softmax",
        (("@cuda.jit\n", "@cuda.jit(launch_bounds=128)\n"),),
        0,
    ),
    ("fast already", "fast-math", "softmax", (("@cuda.jit\n", "@cuda.jit(fastmath=True)\n"),), 0),
]


def changed(problem_name: str, replacements: tuple[tuple[str, str], ...]) -> Kernel:
    text = registry.problem(problem_name).seeds["numba"]
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new)
    return parse_kernel(text)


@pytest.mark.parametrize(("why", "rewrite", "name", "replacements", "places"), CASES, ids=[one[0] for one in CASES])
def test_it_is_offered_where_it_is_right_alone(
    why: str, rewrite: str, name: str, replacements: tuple[tuple[str, str], ...], places: int
) -> None:
    problem = registry.problem(name)
    assert len(found(changed(name, replacements), problem, rewrite)) == places, why


def test_indices_that_may_be_negative_keep_their_sign() -> None:
    problem = registry.problem("conv1d")
    (site,) = found(seed(problem), problem, "unsigned-indices")
    assert "x[uint64(sample), uint64(c), source]" in site.make().body


def test_a_shuffle_waits_where_the_array_is_written_again() -> None:
    problem = registry.problem("softmax")
    first, _ = found(seed(problem), problem, "shuffle")
    assert first.make().body.count("cuda.syncthreads()") == seed(problem).body.count("cuda.syncthreads()") - 1
    text = problem.seeds["numba"].replace("    peak = partial[0]\n    cuda.syncthreads()\n", "    peak = partial[0]\n")
    assert found(parse_kernel(text), problem, "shuffle")[0].make().body.count("cuda.syncthreads()") == 4


def test_a_source_that_is_no_python_is_rejected() -> None:
    problem = registry.problem("softmax")
    broken = seed(problem).with_body("def softmax_rows(:\n")
    for rewrite in REWRITES:
        with pytest.raises(Rejected):
            sites(broken, problem, rewrite)
    with pytest.raises(Rejected):
        list(promotions(broken, problem))
