#: note a few programs per multiprocessor walk over the rows; asynchronous copies bring the next ones to shared memory
#: rank 20
# /// kernel
# language = "triton"
# when = "cols <= 8192"
# [tune]
# GROUPS = [2, 1, 4]
# COLS = [32, 64]
# STAGES = [2, 3]
# num_warps = [8, 16]
# [scratch.partial]
# shape = ["min(rows, num_units * GROUPS)", "cols"]
# [[launch]]
# entry = "backward_walk"
# grid = ["min(rows, num_units * GROUPS)"]
# [launch.args]
# WIDTH = "next_pow2(cols)"
# EXACT = "cols == next_pow2(cols)"
# [[launch]]
# entry = "sum_partial"
# grid = ["cdiv(cols, COLS)"]
# args = { parts = "min(rows, num_units * GROUPS)" }
# ///
# As `prefetch`, but rows that are on their way take shared memory and no registers: 16 KB for each of STAGES - 1 rows.
# The compiler makes copies of 16 bytes (cp.async) of the loads and moves them STAGES - 1 turns ahead.
import triton
import triton.language as tl


@triton.jit
def add_pairs(left, right, more_left, more_right):
    return left + more_left, right + more_right


@triton.jit
def backward_walk(
    x, weight, dy, dx, partial, rows, cols, eps, WIDTH: tl.constexpr, EXACT: tl.constexpr, STAGES: tl.constexpr
):
    first, step = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, WIDTH)
    limit = WIDTH if EXACT else cols
    factor = tl.load(weight + col, mask=col < limit, other=0.0)
    gathered = tl.zeros((WIDTH,), tl.float32)
    for turn in tl.range(0, rows - first, step, num_stages=STAGES):
        row = first + turn
        at = row.to(tl.int64) * cols + col
        value = tl.load(x + at, mask=col < limit, other=0.0)
        gradient = tl.load(dy + at, mask=col < limit, other=0.0)
        value, gradient = value.to(tl.float32), gradient.to(tl.float32)
        weighted = gradient * factor.to(tl.float32)
        squares, products = tl.reduce((value * value, weighted * value), 0, add_pairs)
        scale = 1.0 / tl.sqrt(squares / cols + eps)
        normal = value * scale
        gathered += gradient * normal
        result = (scale * (weighted - normal * (products * scale / cols))).to(dx.dtype.element_ty)
        tl.store(dx + at, result, mask=col < limit, eviction_policy="evict_first")
    tl.store(partial + first.to(tl.int64) * cols + col, gathered, mask=col < limit)


@triton.jit
def sum_partial(partial, dweight, parts, cols, COLS: tl.constexpr):
    col = tl.program_id(0) * COLS + tl.arange(0, COLS)[None, :]
    sums = tl.zeros((128, COLS), tl.float32)
    for start in range(0, parts, 128):
        part = start + tl.arange(0, 128)[:, None]
        inside = (part < parts) & (col < cols)
        sums += tl.load(partial + part.to(tl.int64) * cols + col, mask=inside, other=0.0)
    tl.store(dweight + col, tl.sum(sums, axis=0)[None, :], mask=col < cols)
