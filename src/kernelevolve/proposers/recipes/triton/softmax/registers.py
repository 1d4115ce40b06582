#: note rows whole in registers: each is read once and written once, many small programs hide each other's reductions
#: rank 10
# /// kernel
# language = "triton"
# when = "cols <= 16384"
# constraints = ["TILE <= 2048 * num_warps", "TILE >= 256 * num_warps"]
# [tune]
# TILE = [4096, 8192, 16384]
# STREAM = [2, 0, 1, 3]
# num_warps = [4, 8, 2, 16]
# [[launch]]
# entry = "softmax_tile"
# grid = ["cdiv(rows, max(1, TILE // next_pow2(cols)))"]
# [launch.args]
# ROWS = "max(1, TILE // next_pow2(cols))"
# WIDTH = "next_pow2(cols)"
# EXACT = "cols == next_pow2(cols) and rows % max(1, TILE // next_pow2(cols)) == 0"
# ///
# STREAM: 1 sends what is read and written out of the caches first, 2 only what is read, so that the last of what is
# written stays in the second-level cache; 3 asks for that.
# One pass: 4 bytes an element of bfloat16, 134 MB at 8192 x 4096, 45 us at 3.0 TB/s. A row of 4096 is 4 loads of 16
# bytes for each of 128 threads, all in flight before the first is used; some ten programs share a multiprocessor.
import triton
import triton.language as tl
from triton.language.extra import libdevice

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def softmax_tile(x, y, rows, cols, ROWS: tl.constexpr, WIDTH: tl.constexpr, EXACT: tl.constexpr, STREAM: tl.constexpr):
    row = (tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS))[:, None]
    col = tl.arange(0, WIDTH)[None, :]
    at = row * cols + col
    inside = (row < rows) & (col < cols)
    policy: tl.constexpr = "evict_first" if STREAM else ""
    kept: tl.constexpr = "evict_last" if STREAM == 3 else ("evict_first" if STREAM == 1 else "")
    if EXACT:
        value = tl.load(x + at, eviction_policy=policy).to(tl.float32)
    else:
        value = tl.load(x + at, mask=inside, other=float("-inf"), eviction_policy=policy).to(tl.float32)
        value = tl.where(row < rows, value, 0.0)
    power = libdevice.exp2((value - tl.max(value, axis=1)[:, None]) * LOG2E)
    result = (power * (1.0 / tl.sum(power, axis=1))[:, None]).to(y.dtype.element_ty)
    if EXACT:
        tl.store(y + at, result, eviction_policy=kept)
    else:
        tl.store(y + at, result, mask=inside, eviction_policy=kept)
