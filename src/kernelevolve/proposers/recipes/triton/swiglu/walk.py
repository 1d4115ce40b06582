#: note a few programs per multiprocessor walk over blocks, each loading its next block before it stores the present one
#: rank 20
# /// kernel
# language = "triton"
# constraints = ["BLOCK <= 1024 * num_warps", "BLOCK >= 256 * num_warps"]
# [tune]
# BLOCK = [2048, 4096, 1024]
# GROUPS = [8, 4, 6, 12]
# num_warps = [4, 8]
# [[launch]]
# entry = "swiglu_walk"
# grid = ["min(cdiv(rows * cols, BLOCK), num_units * GROUPS)"]
# args = { total = "rows * cols" }
# ///
# Bytes and floor as in `flat`; here programs start once, and their loads are always one block ahead.
import triton
import triton.language as tl


@triton.jit
def fetch(x, first, total, BLOCK: tl.constexpr):
    index = first + tl.arange(0, BLOCK)
    return tl.load(x + index, mask=index < total, other=0.0, eviction_policy="evict_first")


@triton.jit
def swiglu_walk(gate, up, y, total, BLOCK: tl.constexpr):
    first = tl.program_id(0).to(tl.int64) * BLOCK
    step = tl.num_programs(0).to(tl.int64) * BLOCK
    next_gate, next_up = fetch(gate, first, total, BLOCK), fetch(up, first, total, BLOCK)
    for turn in tl.range(0, total - first, step):
        left, right = next_gate.to(tl.float32), next_up.to(tl.float32)
        next_gate = fetch(gate, first + turn + step, total, BLOCK)
        next_up = fetch(up, first + turn + step, total, BLOCK)
        result = left / (1.0 + tl.exp(-left)) * right
        index = first + turn + tl.arange(0, BLOCK)
        tl.store(y + index, result.to(y.dtype.element_ty), mask=index < total, eviction_policy="evict_first")
