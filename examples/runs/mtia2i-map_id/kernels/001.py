# /// kernel
# language = "triton"
# when = "size <= 65536"
# [tune]
# BLOCK = [1024, 512, 2048, 4096]
# [[launch]]
# entry = "map_id"
# grid = ["min(num_units, cdiv(count, BLOCK))"]
# args = { WIDTH = "next_pow2(size)" }
# ///
# Persistent programs; each takes the whole table into local memory once and searches it there.
import triton
import triton.language as tl


@triton.jit
def map_id(values, table, index, count, size, BLOCK: tl.constexpr, WIDTH: tl.constexpr):
    slot = tl.arange(0, WIDTH)
    # Past the end stands the last entry again: the first of equals is the one that is found.
    last = tl.load(table + size - 1)
    local = tl.load(table + slot, mask=slot < size, other=last)
    blocks = tl.cdiv(count, BLOCK)
    for block in tl.range(tl.program_id(0), blocks, tl.num_programs(0)):
        item = block.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        inside = item < count
        value = tl.load(values + item, mask=inside, other=0)
        low = tl.zeros((BLOCK,), tl.int32)
        half = WIDTH // 2
        while half > 0:
            middle = tl.gather(local, low + (half - 1), 0)
            low = tl.where(middle < value, low + half, low)
            half = half // 2
        found = tl.gather(local, low, 0) == value
        tl.store(index + item, tl.where(found, low, -1), mask=inside)
