#: note a few programs per multiprocessor walk over the rows, gather dweight in registers, load the next row early
#: rank 10
# /// kernel
# language = "triton"
# when = "cols <= 8192"
# [tune]
# GROUPS = [2, 1, 4]
# COLS = [32, 64]
# STREAM = [2, 0, 1, 3]
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
# STREAM: 1 sends what is read and written out of the caches first, 2 only what is read, so that the last of what is
# written stays in the second-level cache; 3 asks for that.
# x and dy are read once, dx written once: 201 MB at 8192 x 4096 in bfloat16, 67 us at 3.0 TB/s. Each program adds up
# its share of dweight in registers; 264 programs leave 4.3 MB of float32, which stay in the second-level cache for the
# second launch. Programs take fixed rows and sums a fixed order: the result is the same every time.
import triton
import triton.language as tl


@triton.jit
def add_pairs(left, right, more_left, more_right):
    return left + more_left, right + more_right


@triton.jit
def fetch(x, row, rows, cols, WIDTH: tl.constexpr, EXACT: tl.constexpr, STREAM: tl.constexpr):
    col = tl.arange(0, WIDTH)
    limit = tl.where(row < rows, WIDTH if EXACT else cols, 0)
    policy: tl.constexpr = "evict_first" if STREAM else ""
    return tl.load(x + row.to(tl.int64) * cols + col, mask=col < limit, other=0.0, eviction_policy=policy)


@triton.jit
def backward_walk(
    x, weight, dy, dx, partial, rows, cols, eps, WIDTH: tl.constexpr, EXACT: tl.constexpr, STREAM: tl.constexpr
):
    first, step = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, WIDTH)
    limit = WIDTH if EXACT else cols
    kept: tl.constexpr = "evict_last" if STREAM == 3 else ("evict_first" if STREAM == 1 else "")
    next_x = fetch(x, first, rows, cols, WIDTH, EXACT, STREAM)
    next_dy = fetch(dy, first, rows, cols, WIDTH, EXACT, STREAM)
    factor = tl.load(weight + col, mask=col < limit, other=0.0)
    gathered = tl.zeros((WIDTH,), tl.float32)
    for turn in tl.range(0, rows - first, step):
        row = first + turn
        value, gradient = next_x.to(tl.float32), next_dy.to(tl.float32)
        next_x = fetch(x, row + step, rows, cols, WIDTH, EXACT, STREAM)
        next_dy = fetch(dy, row + step, rows, cols, WIDTH, EXACT, STREAM)
        weighted = gradient * factor.to(tl.float32)
        squares, products = tl.reduce((value * value, weighted * value), 0, add_pairs)
        scale = 1.0 / tl.sqrt(squares / cols + eps)
        normal = value * scale
        gathered += gradient * normal
        result = (scale * (weighted - normal * (products * scale / cols))).to(dx.dtype.element_ty)
        at = dx + row.to(tl.int64) * cols + col
        tl.store(at, result, mask=col < limit, eviction_policy=kept)
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
