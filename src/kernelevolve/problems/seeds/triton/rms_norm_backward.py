# /// kernel
# language = "triton"
# constraints = ["ROWS * BLOCK <= 4096"]
# [tune]
# ROWS = [8, 4, 16, 32]
# BLOCK = [256, 128, 512, 1024]
# [scratch.partial]
# shape = ["cdiv(rows, ROWS)", "cols"]
# dtype = "float32"
# [[launch]]
# entry = "rms_norm_backward_rows"
# grid = ["cdiv(rows, ROWS)"]
# [[launch]]
# entry = "sum_partial"
# grid = ["cdiv(cols, BLOCK)"]
# args = { parts = "cdiv(rows, ROWS)" }
# ///
# A program takes ROWS rows. It first reduces each to two numbers, then writes their dx and adds up what they give to
# dweight, column by column. The second launch adds up what the programs found, always in the same order.
import triton
import triton.language as tl


@triton.jit
def rms_norm_backward_rows(x, weight, dy, dx, partial, rows, cols, eps, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    part = tl.program_id(0).to(tl.int64)
    row = (part * ROWS + tl.arange(0, ROWS))[:, None]
    lanes = tl.arange(0, BLOCK)[None, :]

    squares = tl.zeros((ROWS, BLOCK), tl.float32)
    products = tl.zeros((ROWS, BLOCK), tl.float32)
    for start in range(0, cols, BLOCK):
        col = start + lanes
        inside = (row < rows) & (col < cols)
        value = tl.load(x + row * cols + col, mask=inside, other=0.0).to(tl.float32)
        gradient = tl.load(dy + row * cols + col, mask=inside, other=0.0).to(tl.float32)
        squares += value * value
        products += gradient * tl.load(weight + col, mask=col < cols, other=0.0).to(tl.float32) * value
    scale = 1.0 / tl.sqrt(tl.sum(squares, axis=1) / cols + eps)[:, None]
    mean = tl.sum(products, axis=1)[:, None] * scale / cols

    for start in range(0, cols, BLOCK):
        col = start + lanes
        inside = (row < rows) & (col < cols)
        value = tl.load(x + row * cols + col, mask=inside, other=0.0).to(tl.float32)
        gradient = tl.load(dy + row * cols + col, mask=inside, other=0.0).to(tl.float32)
        factor = tl.load(weight + col, mask=col < cols, other=0.0).to(tl.float32)
        normal = value * scale
        tl.store(dx + row * cols + col, scale * (gradient * factor - normal * mean), mask=inside)
        total = tl.sum(gradient * normal, axis=0)[None, :]
        tl.store(partial + part * cols + col, total, mask=col < cols)


@triton.jit
def sum_partial(partial, dweight, parts, cols, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    col = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK))[None, :]
    sums = tl.zeros((ROWS, BLOCK), tl.float32)
    for start in range(0, parts, ROWS):
        part = (start + tl.arange(0, ROWS).to(tl.int64))[:, None]
        sums += tl.load(partial + part * cols + col, mask=(part < parts) & (col < cols), other=0.0)
    tl.store(dweight + col, tl.sum(sums, axis=0)[None, :], mask=col < cols)
