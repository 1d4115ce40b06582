# /// kernel
# language = "triton"
# [tune]
# BLOCK = [1024, 512, 2048, 4096]
# [[launch]]
# entry = "swiglu"
# grid = ["cdiv(rows * cols, BLOCK)"]
# args = { total = "rows * cols" }
# ///
# One program per block of elements.
import triton
import triton.language as tl


@triton.jit
def swiglu(gate, up, y, total, BLOCK: tl.constexpr):
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    value = tl.load(gate + index, mask=inside, other=0.0).to(tl.float32)
    factor = tl.load(up + index, mask=inside, other=0.0).to(tl.float32)
    tl.store(y + index, value / (1.0 + tl.exp(-value)) * factor, mask=inside)
