# /// kernel
# language = "triton"
# when = "size <= 65536 and dtype(table) == 'int32'"
# [tune]
# BLOCK = [1024, 512, 2048]
# num_stages = [2, 1]
# use_dual_core = [false, true]
# [scratch.leaves]
# shape = ["cdiv(size, 8) * 8"]
# dtype = "int32"
# [scratch.eights]
# shape = ["cdiv(size, 64) * 8"]
# dtype = "int32"
# [scratch.sixties]
# shape = ["cdiv(size, 512) * 8"]
# dtype = "int32"
# [scratch.hundreds]
# shape = ["128"]
# dtype = "int32"
# [scratch.top]
# shape = ["16"]
# dtype = "int32"
# [[launch]]
# entry = "build"
# grid = ["cdiv(size, 1024)"]
# [[launch]]
# entry = "map_id"
# grid = ["min(num_units, cdiv(count, BLOCK))"]
# ///
# A tree with eight keys in a node, each the last entry of what is below it; past the end stands the last entry again.
# Values are cut to the last entry, so that every step finds a key that is not below the value.
import triton
import triton.language as tl


@triton.jit
def build(table, leaves, eights, sixties, hundreds, top, size):
    program = tl.program_id(0)
    slot = program * 1024 + tl.arange(0, 1024)
    tl.store(leaves + slot, tl.load(table + tl.minimum(slot, size - 1)), mask=slot < tl.cdiv(size, 8) * 8)
    slot = program * 128 + tl.arange(0, 128)
    tl.store(eights + slot, tl.load(table + tl.minimum(slot * 8 + 7, size - 1)), mask=slot < tl.cdiv(size, 64) * 8)
    slot = program * 16 + tl.arange(0, 16)
    tl.store(sixties + slot, tl.load(table + tl.minimum(slot * 64 + 63, size - 1)), mask=slot < tl.cdiv(size, 512) * 8)
    if program == 0:
        slot = tl.arange(0, 128)
        tl.store(hundreds + slot, tl.load(table + tl.minimum(slot * 512 + 511, size - 1)))
        slot = tl.arange(0, 16)
        tl.store(top + slot, tl.load(table + tl.minimum(slot * 4096 + 4095, size - 1)))


@triton.jit
def step(level, node, value):
    line = tl.load(level + node[:, None] * 8 + tl.arange(0, 8)[None, :])
    below = tl.where(line < value[:, None], 1.0, 0.0)
    return node * 8 + tl.sum(below, axis=1).to(tl.int32)


@triton.jit
def map_id(values, table, leaves, eights, sixties, hundreds, top, index, count, size, BLOCK: tl.constexpr):
    lane = tl.arange(0, 8)
    rank = 8.0 - lane.to(tl.float32)
    head = tl.load(top + tl.arange(0, 16))
    last = tl.load(table + size - 1)
    for block in tl.range(tl.program_id(0), tl.cdiv(count, BLOCK), tl.num_programs(0)):
        item = block * BLOCK + tl.arange(0, BLOCK)
        inside = item < count
        value = tl.load(values + item, mask=inside, other=0)
        cut = tl.minimum(value, last)
        node = tl.sum(tl.where(head[None, :] < cut[:, None], 1.0, 0.0), axis=1).to(tl.int32)
        node = step(hundreds, node, cut)
        node = step(sixties, node, cut)
        node = step(eights, node, cut)
        line = tl.load(leaves + node[:, None] * 8 + lane[None, :])
        best = tl.max(tl.where(line == value[:, None], rank[None, :], 0.0), axis=1)
        place = node * 8 + 8 - best.to(tl.int32)
        tl.store(index + item, tl.where(best > 0.0, place, -1), mask=inside)
