# /// kernel
# language = "triton"
# [tune]
# BLOCK = [128, 64, 256, 512]
# [[launch]]
# entry = "embedding_bag"
# grid = ["bags"]
# ///
# One program per bag; for each block of columns it adds up the rows that the bag names.
import triton
import triton.language as tl


@triton.jit
def embedding_bag(table, indices, offsets, out, dim, BLOCK: tl.constexpr):
    bag = tl.program_id(0)
    first = tl.load(offsets + bag)
    last = tl.load(offsets + bag + 1)
    for start in range(0, dim, BLOCK):
        col = start + tl.arange(0, BLOCK)
        inside = col < dim
        total = tl.zeros((BLOCK,), tl.float32)
        for item in range(first, last):
            row = tl.load(indices + item).to(tl.int64) * dim
            total += tl.load(table + row + col, mask=inside, other=0.0).to(tl.float32)
        tl.store(out + bag.to(tl.int64) * dim + col, total, mask=inside)
