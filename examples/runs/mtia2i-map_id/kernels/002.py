# /// kernel
# language = "triton"
# when = "size <= 131072"
# [tune]
# BLOCK = [128, 64, 256, 32]
# num_stages = [2, 3, 1]
# [scratch.middle]
# shape = ["cdiv(size, 32)"]
# dtype = "int32"
# [scratch.top]
# shape = ["cdiv(size, 1024)"]
# dtype = "int32"
# [[launch]]
# entry = "sample"
# grid = ["cdiv(size, 8192)"]
# [[launch]]
# entry = "map_id"
# grid = ["min(num_units, cdiv(count, BLOCK))"]
# args = { TOP = "next_pow2(cdiv(size, 1024))" }
# ///
# A tree of three levels, 32 wide: its top is compared whole, a line of each lower level is fetched whole.
import triton
import triton.language as tl


@triton.jit
def sample(table, middle, top, size):
    slot = tl.program_id(0) * 256 + tl.arange(0, 256)
    entry = tl.load(table + slot * 32, mask=slot * 32 < size, other=0)
    tl.store(middle + slot, entry, mask=slot * 32 < size)
    slot = tl.program_id(0) * 8 + tl.arange(0, 8)
    entry = tl.load(table + slot * 1024, mask=slot * 1024 < size, other=0)
    tl.store(top + slot, entry, mask=slot * 1024 < size)


@triton.jit
def map_id(values, table, middle, top, index, count, size, BLOCK: tl.constexpr, TOP: tl.constexpr):
    upper = tl.arange(0, TOP)
    heads = tl.cdiv(size, 1024)
    parts = tl.cdiv(size, 32)
    head = tl.load(top + upper, mask=upper < heads, other=0)
    wide = tl.arange(0, 32)
    blocks = tl.cdiv(count, BLOCK)
    for block in tl.range(tl.program_id(0), blocks, tl.num_programs(0)):
        item = block.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        inside = item < count
        value = tl.load(values + item, mask=inside, other=0)
        below = (head[None, :] <= value[:, None]) & (upper[None, :] < heads)
        chunk = tl.maximum(tl.sum(below.to(tl.int32), axis=1) - 1, 0)
        slot = chunk[:, None] * 32 + wide[None, :]
        line = tl.load(middle + slot, mask=slot < parts, other=0)
        below = (line <= value[:, None]) & (slot < parts)
        chunk = chunk * 32 + tl.maximum(tl.sum(below.to(tl.int32), axis=1) - 1, 0)
        slot = chunk[:, None] * 32 + wide[None, :]
        line = tl.load(table + slot, mask=slot < size, other=0)
        same = (line == value[:, None]) & (slot < size)
        tl.store(index + item, tl.max(tl.where(same, slot, -1), axis=1), mask=inside)
