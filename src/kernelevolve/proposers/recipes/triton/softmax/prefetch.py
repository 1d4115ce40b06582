#: note a few programs per multiprocessor walk over the rows; each loads its next row before it reduces the present one
#: rank 20
# /// kernel
# language = "triton"
# when = "cols <= 16384"
# [tune]
# GROUPS = [4, 3, 7, 8, 2]
# STREAM = [2, 0, 1, 3]
# num_warps = [4, 8, 16]
# [[launch]]
# entry = "softmax_walk"
# grid = ["min(rows, num_units * GROUPS)"]
# [launch.args]
# WIDTH = "next_pow2(cols)"
# EXACT = "cols == next_pow2(cols)"
# ///
# Bytes and floor as in one pass over the matrix. The loads never wait for a reduction: GROUPS rows of 8 KB are on their
# way at any time in each multiprocessor, beside those that other programs begin. GROUPS such that few rows are left for
# the last turn: 8192 rows are 15.5 turns for 4 x 132 programs, 8.9 for 7 x 132.
# STREAM: 1 sends what is read and written out of the caches first, 2 only what is read, so that the last of what is
# written stays in the second-level cache; 3 asks for that.
import triton
import triton.language as tl
from triton.language.extra import libdevice

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def fetch(x, row, rows, cols, WIDTH: tl.constexpr, EXACT: tl.constexpr, STREAM: tl.constexpr):
    col = tl.arange(0, WIDTH)
    limit = tl.where(row < rows, WIDTH if EXACT else cols, 0)
    policy: tl.constexpr = "evict_first" if STREAM else ""
    return tl.load(x + row.to(tl.int64) * cols + col, mask=col < limit, other=float("-inf"), eviction_policy=policy)


@triton.jit
def softmax_walk(x, y, rows, cols, WIDTH: tl.constexpr, EXACT: tl.constexpr, STREAM: tl.constexpr):
    first, step = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, WIDTH)
    limit = WIDTH if EXACT else cols
    kept: tl.constexpr = "evict_last" if STREAM == 3 else ("evict_first" if STREAM == 1 else "")
    upcoming = fetch(x, first, rows, cols, WIDTH, EXACT, STREAM)
    for turn in tl.range(0, rows - first, step):
        row = first + turn
        value = upcoming.to(tl.float32)
        upcoming = fetch(x, row + step, rows, cols, WIDTH, EXACT, STREAM)
        power = libdevice.exp2((value - tl.max(value, axis=0)) * LOG2E)
        result = (power * (1.0 / tl.sum(power, axis=0))).to(y.dtype.element_ty)
        at = y + row.to(tl.int64) * cols + col
        tl.store(at, result, mask=col < limit, eviction_policy=kept)
