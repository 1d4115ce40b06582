#: note a program for each element walks over blocks; each value is compared with all borders on the SIMD engine
#: rank 10
# /// kernel
# language = "triton"
# when = "borders <= 64"
# [tune]
# BLOCK = [8192, 4096, 2048, 1024, 16384]
# TURNS = [1, 64, 2, 4]
# use_dual_core = [1, 0]
# cb_multiplier = [1, 2, 4]
# [[launch]]
# entry = "count_below"
# grid = ["min(num_units * TURNS, cdiv(rows * cols, BLOCK))"]
# args = { total = "rows * cols" }
# ///
# With few borders, counting beats searching, which needs an address for each load. The count is kept in float32, exact
# for so few: the SIMD engine compares and selects floats, while integers go to the slower vector core. TURNS: where
# DRAM is the limit, programs that start one after the other share it better than programs that run in step.
import triton
import triton.language as tl


@triton.jit
def count_below(x, border, bucket, total, borders, BLOCK: tl.constexpr):
    for start in tl.range(tl.program_id(0) * BLOCK, total, tl.num_programs(0) * BLOCK):
        index = start + tl.arange(0, BLOCK).to(tl.int64)
        value = tl.load(x + index, mask=index < total, other=0.0)
        below = tl.zeros((BLOCK,), tl.float32)
        for i in range(borders):
            below = tl.where(tl.load(border + i) < value, i + 1.0, below)  # borders ascend
        tl.store(bucket + index, below.to(tl.int32), mask=index < total)
