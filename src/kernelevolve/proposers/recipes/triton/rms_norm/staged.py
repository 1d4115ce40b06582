#: note a few programs per multiprocessor walk over the rows; asynchronous copies bring the next ones to shared memory
#: rank 30
# /// kernel
# language = "triton"
# when = "cols <= 16384"
# [tune]
# GROUPS = [4, 3, 7, 2]
# STAGES = [3, 2, 4]
# num_warps = [4, 8]
# [[launch]]
# entry = "rms_norm_walk"
# grid = ["min(rows, num_units * GROUPS)"]
# [launch.args]
# WIDTH = "next_pow2(cols)"
# EXACT = "cols == next_pow2(cols)"
# ///
# As `prefetch`, but rows that are on their way take shared memory and no registers: STAGES - 1 rows of 8 KB for each
# program. The compiler makes copies of 16 bytes (cp.async) of the load and moves them STAGES - 1 turns ahead.
import triton
import triton.language as tl


@triton.jit
def rms_norm_walk(x, weight, y, rows, cols, eps, WIDTH: tl.constexpr, EXACT: tl.constexpr, STAGES: tl.constexpr):
    first, step = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, WIDTH)
    limit = WIDTH if EXACT else cols
    factor = tl.load(weight + col, mask=col < limit, other=0.0)
    for turn in tl.range(0, rows - first, step, num_stages=STAGES):
        row = first + turn
        at = row.to(tl.int64) * cols + col
        value = tl.load(x + at, mask=col < limit, other=0.0).to(tl.float32)
        scale = 1.0 / tl.sqrt(tl.sum(value * value, axis=0) / cols + eps)
        result = (value * scale * factor.to(tl.float32)).to(y.dtype.element_ty)
        tl.store(y + at, result, mask=col < limit, eviction_policy="evict_first")
