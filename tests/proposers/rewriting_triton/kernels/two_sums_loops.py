# /// kernel
# language = "triton"
# [[launch]]
# entry = "sums"
# grid = ["rows"]
# ///
# ruff: noqa: ERA001
# The sum and the sum of squares of each row, in a loop each; the width of the blocks is a constant of the file.
import triton
import triton.language as tl

WIDTH = tl.constexpr(64)


@triton.jit
def sums(x, y, cols):
    row = tl.program_id(0).to(tl.int64)
    total = 0.0
    for start in range(0, cols, WIDTH):
        col = start + tl.arange(0, WIDTH)
        total += tl.sum(tl.load(x + row * cols + col, mask=col < cols, other=0.0).to(tl.float32), axis=0)
    squares = 0.0
    for start in range(0, cols, WIDTH):
        col = start + tl.arange(0, WIDTH)
        value = tl.load(x + row * cols + col, mask=col < cols, other=0.0).to(tl.float32)
        squares += tl.sum(value * value, axis=0)
    tl.store(y + row * 2, total)
    tl.store(y + row * 2 + 1, squares)
