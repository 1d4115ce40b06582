#: note a few programs per multiprocessor keep weights and bias and walk over the rows, each loading its next row early
#: rank 20
# /// kernel
# language = "triton"
# when = "cols <= 16384"
# [tune]
# GROUPS = [4, 3, 7, 2]
# STREAM = [2, 0, 1, 3]
# num_warps = [8, 4, 16]
# [[launch]]
# entry = "layer_norm_walk"
# grid = ["min(rows, num_units * GROUPS)"]
# [launch.args]
# WIDTH = "next_pow2(cols)"
# EXACT = "cols == next_pow2(cols)"
# ///
# Weights and bias are read once per program and stay in registers; the next row is on its way while the present one is
# reduced. GROUPS such that few rows are left for the last turn: 8192 rows are 15.5 turns for 4 x 132 programs.
# STREAM: 1 sends what is read and written out of the caches first, 2 only what is read, so that the last of what is
# written stays in the second-level cache; 3 asks for that.
import triton
import triton.language as tl


@triton.jit
def fetch(x, row, rows, cols, WIDTH: tl.constexpr, EXACT: tl.constexpr, STREAM: tl.constexpr):
    col = tl.arange(0, WIDTH)
    limit = tl.where(row < rows, WIDTH if EXACT else cols, 0)
    policy: tl.constexpr = "evict_first" if STREAM else ""
    return tl.load(x + row.to(tl.int64) * cols + col, mask=col < limit, other=0.0, eviction_policy=policy)


@triton.jit
def layer_norm_walk(
    x, weight, bias, y, rows, cols, eps, WIDTH: tl.constexpr, EXACT: tl.constexpr, STREAM: tl.constexpr
):
    first, step = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, WIDTH)
    limit = WIDTH if EXACT else cols
    kept: tl.constexpr = "evict_last" if STREAM == 3 else ("evict_first" if STREAM == 1 else "")
    upcoming = fetch(x, first, rows, cols, WIDTH, EXACT, STREAM)
    factor = tl.load(weight + col, mask=col < limit, other=0.0)
    shift = tl.load(bias + col, mask=col < limit, other=0.0)
    for turn in tl.range(0, rows - first, step):
        row = first + turn
        value = upcoming.to(tl.float32)
        upcoming = fetch(x, row + step, rows, cols, WIDTH, EXACT, STREAM)
        value -= tl.sum(value, axis=0) / cols
        if not EXACT:
            value = tl.where(col < cols, value, 0.0)
        scale = 1.0 / tl.sqrt(tl.sum(value * value, axis=0) / cols + eps)
        result = value * scale * factor.to(tl.float32) + shift.to(tl.float32)
        at = y + row.to(tl.int64) * cols + col
        tl.store(at, result.to(y.dtype.element_ty), mask=col < limit, eviction_policy=kept)
