# /// kernel
# language = "triton"
# [[launch]]
# entry = "column_sums"
# grid = ["cdiv(cols, 32)"]
# ///
# ruff: noqa: ERA001
# The same with numbers for sizes, and a loop over single elements in each of the blocks of rows.
import triton
import triton.language as tl


@triton.jit
def column_sums(x, weight, y, rows, cols):
    col = tl.program_id(0) * 32 + tl.arange(0, 32)
    inside = col < cols
    total = tl.zeros((32,), tl.float32)
    for start in range(0, rows, 4):
        for row in range(start, tl.minimum(start + 4, rows)):
            total += tl.load(x + row * cols + col, mask=inside, other=0.0).to(tl.float32)
    tl.store(y + col, total * tl.load(weight + col, mask=inside, other=0.0).to(tl.float32), mask=inside)
