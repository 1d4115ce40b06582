# /// kernel
# language = "triton"
# [tune]
# ROWS = [16, 8, 32]
# PAIRS = [64, 32, 128]
# [[launch]]
# entry = "rope_rows"
# grid = ["cdiv(batch * heads * length, ROWS)"]
# args = { rows = "batch * heads * length" }
# ///
# A program takes ROWS vectors and turns pairs of elements that lie half a vector apart.
import triton
import triton.language as tl


@triton.jit
def rope_rows(x, cos, sin, y, rows, length, half, ROWS: tl.constexpr, PAIRS: tl.constexpr):
    row = (tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS))[:, None]
    table = (row % length) * half
    for start in range(0, half, PAIRS):
        pair = start + tl.arange(0, PAIRS)[None, :]
        inside = (row < rows) & (pair < half)
        at = row * (2 * half) + pair
        first = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        second = tl.load(x + at + half, mask=inside, other=0.0).to(tl.float32)
        c = tl.load(cos + table + pair, mask=inside, other=0.0).to(tl.float32)
        s = tl.load(sin + table + pair, mask=inside, other=0.0).to(tl.float32)
        tl.store(y + at, first * c - second * s, mask=inside)
        tl.store(y + at + half, second * c + first * s, mask=inside)
