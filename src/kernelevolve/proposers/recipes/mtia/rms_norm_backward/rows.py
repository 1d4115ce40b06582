#: note a program for each element takes blocks of whole rows once, and gathers its part of dweight in local memory
#: rank 10
# /// kernel
# language = "triton"
# when = "cols <= 4096"
# [tune]
# TILE = [2048, 4096, 1024, 512, 8192]
# use_dual_core = [1, 0]
# cb_multiplier = [1, 2]
# num_stages = [2, 1]
# [scratch.partial]
# shape = ["min(num_units, cdiv(rows, max(1, TILE // next_pow2(cols))))", "cols"]
# [[launch]]
# entry = "backward_rows"
# grid = ["min(num_units, cdiv(rows, max(1, TILE // next_pow2(cols))))"]
# args = { ROWS = "max(1, TILE // next_pow2(cols))", WIDTH = "next_pow2(cols)" }
# [[launch]]
# entry = "sum_partial"
# grid = ["cdiv(cols, 128)"]
# [launch.args]
# parts = "min(num_units, cdiv(rows, max(1, TILE // next_pow2(cols))))"
# PARTS = "next_pow2(num_units)"
# COLS = "min(next_pow2(cols), 128)"
# ///
# x and dy are read once and dx is written once: what bounds it is DRAM. Each program keeps its share of dweight and
# writes it once, so the second launch adds up one row for each element. The next block's rows come in while one is
# computed. Programs take fixed rows and sums a fixed order: the result is the same every time.
import triton
import triton.language as tl


@triton.jit
def backward_rows(x, weight, dy, dx, partial, rows, cols, eps, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    part, parts = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, WIDTH)[None, :]
    factor = tl.load(weight + col, mask=col < cols, other=0.0).to(tl.float32)
    gathered = tl.zeros((ROWS, WIDTH), tl.float32)
    for first in tl.range(part * ROWS, rows, parts * ROWS):
        row = (first + tl.arange(0, ROWS))[:, None]
        at = row.to(tl.int64) * cols + col
        inside = (row < rows) & (col < cols)
        value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        gradient = tl.load(dy + at, mask=inside, other=0.0).to(tl.float32)
        weighted = gradient * factor
        scale = 1.0 / tl.sqrt(tl.sum(value * value, axis=1) / cols + eps)
        mean = tl.sum(weighted * value, axis=1) * scale / cols
        normal = value * scale[:, None]
        result = scale[:, None] * (weighted - normal * mean[:, None])
        tl.store(dx + at, result.to(dx.dtype.element_ty), mask=inside)
        gathered += gradient * normal
    total = tl.sum(gathered, axis=0)[None, :]
    tl.store(partial + part.to(tl.int64) * cols + col, total, mask=col < cols)


@triton.jit
def sum_partial(partial, dweight, parts, cols, PARTS: tl.constexpr, COLS: tl.constexpr):
    col = (tl.program_id(0) * 128 + tl.arange(0, COLS))[None, :]
    part = tl.arange(0, PARTS)[:, None]
    inside = (part < parts) & (col < cols)
    sums = tl.load(partial + part.to(tl.int64) * cols + col, mask=inside, other=0.0)
    tl.store(dweight + col, tl.sum(sums, axis=0)[None, :].to(dweight.dtype.element_ty), mask=col < cols)
