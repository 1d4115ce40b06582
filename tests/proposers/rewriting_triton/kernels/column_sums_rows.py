# /// kernel
# language = "triton"
# [tune]
# BLOCK = [64, 32]
# [[launch]]
# entry = "column_sums"
# grid = ["cdiv(cols, BLOCK)"]
# ///
# ruff: noqa: ERA001
# Adds up the columns, row by row; a weight is loaded again for each row.
import triton
import triton.language as tl


@triton.jit
def column_sums(x, weight, y, rows, cols, BLOCK: tl.constexpr):
    col = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for row in tl.range(rows, num_stages=2):
        factor = tl.load(weight + col, mask=col < cols, other=0.0).to(tl.float32)
        total += tl.load(x + row * cols + col, mask=col < cols, other=0.0).to(tl.float32) * factor
    tl.store(y + col, total, mask=col < cols)
