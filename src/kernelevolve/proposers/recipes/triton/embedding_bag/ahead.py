#: note one warp per bag, indices of the next block loaded before the rows of the present one
#: rank 20
# /// kernel
# language = "triton"
# constraints = ["ITEMS <= 32 * num_warps"]
# [tune]
# ITEMS = [16, 8]
# num_warps = [1, 2]
# [[launch]]
# entry = "sum_bag"
# grid = ["bags * cdiv(dim, min(next_pow2(dim), 128))"]
# args = { WIDTH = "min(next_pow2(dim), 128)" }
# ///
# As `warp`, for smaller blocks: less is fetched for nothing at the ends of bags, and the wait for the next indices
# falls into the wait for the rows.
import triton
import triton.language as tl


@triton.jit
def sum_bag(table, indices, offsets, out, dim, ITEMS: tl.constexpr, WIDTH: tl.constexpr):
    blocks = tl.cdiv(dim, WIDTH)
    bag = tl.program_id(0) // blocks
    col = tl.program_id(0) % blocks * WIDTH + tl.arange(0, WIDTH)
    first = tl.load(offsets + bag)
    last = tl.load(offsets + bag + 1)
    item = first + tl.arange(0, ITEMS)
    upcoming = tl.load(indices + item, mask=item < last, other=0)
    total = tl.zeros((WIDTH,), tl.float32)
    for start in tl.range(first, last, ITEMS):
        item = start + tl.arange(0, ITEMS)
        place = upcoming.to(tl.int64)[:, None] * dim + col[None, :]
        upcoming = tl.load(indices + item + ITEMS, mask=item + ITEMS < last, other=0)
        inside = (item < last)[:, None] & (col < dim)[None, :]
        total += tl.sum(tl.load(table + place, mask=inside, other=0.0).to(tl.float32), axis=0)
    tl.store(out + bag.to(tl.int64) * dim + col, total.to(out.dtype.element_ty), mask=col < dim)
