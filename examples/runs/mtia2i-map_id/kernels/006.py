# /// kernel
# language = "triton"
# when = "size <= 65536 and dtype(table) == 'int32'"
# [tune]
# BLOCK = [512, 256]
# SHIFT = [0, 4]
# [scratch.leaves]
# shape = ["cdiv(size, 1024) * 1024 + 8"]
# dtype = "int32"
# [scratch.eights]
# shape = ["cdiv(size, 8192) * 1024 + 8"]
# dtype = "int32"
# [scratch.sixties]
# shape = ["1032"]
# dtype = "int32"
# [scratch.hundreds]
# shape = ["1032"]
# dtype = "int32"
# [scratch.top]
# shape = ["1032"]
# dtype = "int32"
# [[launch]]
# entry = "build"
# grid = ["cdiv(size, 1024)"]
# [[launch]]
# entry = "map_id"
# grid = ["min(num_units, cdiv(count, 2 * BLOCK))"]
# ///
# Two tiles of values take turns, half a search apart and across the turns of the loop, so that one is always being
# fetched while the other is compared.
# A tree with eight keys in a node, each the last entry of what is below it; past the end stands the last entry again.
# Values are cut to the last entry, so that every step finds a key that is not below the value.
# Where a node begins is reckoned in float32, exactly, as all of it is below 2**24.
import triton
import triton.language as tl


@triton.jit
def build(table, leaves, eights, sixties, hundreds, top, size, SHIFT: tl.constexpr):
    program = tl.program_id(0)
    slot = program * 1024 + tl.arange(0, 1024)
    tl.store(leaves + SHIFT + slot, tl.load(table + tl.minimum(slot, size - 1)), mask=slot < tl.cdiv(size, 8) * 8)
    slot = program * 128 + tl.arange(0, 128)
    tl.store(
        eights + SHIFT + slot, tl.load(table + tl.minimum(slot * 8 + 7, size - 1)), mask=slot < tl.cdiv(size, 64) * 8
    )
    slot = program * 16 + tl.arange(0, 16)
    tl.store(
        sixties + SHIFT + slot,
        tl.load(table + tl.minimum(slot * 64 + 63, size - 1)),
        mask=slot < tl.cdiv(size, 512) * 8,
    )
    if program == 0:
        slot = tl.arange(0, 128)
        tl.store(hundreds + SHIFT + slot, tl.load(table + tl.minimum(slot * 512 + 511, size - 1)))
        slot = tl.arange(0, 16)
        tl.store(top + slot, tl.load(table + tl.minimum(slot * 4096 + 4095, size - 1)))


@triton.jit
def root(head, value):
    return tl.sum(tl.where(head[None, :] < value[:, None], 8.0, 0.0), axis=1)


@triton.jit
def fetch(level, first):
    return tl.load(level + first.to(tl.int32)[:, None] + tl.arange(0, 8)[None, :])


@triton.jit
def below(line, value, first):
    return first * 8.0 + tl.sum(tl.where(line < value[:, None], 8.0, 0.0), axis=1)


@triton.jit
def finish(line, value, first):
    rank = 8.0 - tl.arange(0, 8).to(tl.float32)
    best = tl.max(tl.where(line == value[:, None], rank[None, :], 0.0), axis=1)
    return tl.where(best > 0.0, first + 8.0 - best, -1.0).to(tl.int32)


@triton.jit
def map_id(
    values, table, leaves, eights, sixties, hundreds, top, index, count, size, BLOCK: tl.constexpr, SHIFT: tl.constexpr
):
    head = tl.load(top + tl.arange(0, 16))
    last = tl.load(table + size - 1)
    hop = tl.num_programs(0) * (2 * BLOCK)
    there = tl.program_id(0) * (2 * BLOCK) + BLOCK + tl.arange(0, BLOCK)
    b = tl.load(values + there, mask=there < count, other=0)
    low_b = tl.minimum(b, last)
    node_b = root(head, low_b)
    node_b = below(fetch(hundreds + SHIFT, node_b), low_b, node_b)
    line_b = fetch(sixties + SHIFT, node_b)
    for block in tl.range(tl.program_id(0), tl.cdiv(count, 2 * BLOCK), tl.num_programs(0)):
        here = block * (2 * BLOCK) + tl.arange(0, BLOCK)
        there = here + BLOCK
        next = there + hop
        a = tl.load(values + here, mask=here < count, other=0)
        c = tl.load(values + next, mask=next < count, other=0)
        low_a = tl.minimum(a, last)
        node_a = root(head, low_a)
        line_a = fetch(hundreds + SHIFT, node_a)
        node_b = below(line_b, low_b, node_b)
        leaf_b = fetch(eights + SHIFT, node_b)
        node_a = below(line_a, low_a, node_a)
        line_a = fetch(sixties + SHIFT, node_a)
        node_b = below(leaf_b, low_b, node_b)
        leaf_b = fetch(leaves + SHIFT, node_b)
        node_a = below(line_a, low_a, node_a)
        line_a = fetch(eights + SHIFT, node_a)
        tl.store(index + there, finish(leaf_b, b, node_b), mask=there < count)
        b = c
        low_b = tl.minimum(b, last)
        node_b = root(head, low_b)
        line_b = fetch(hundreds + SHIFT, node_b)
        node_a = below(line_a, low_a, node_a)
        line_a = fetch(leaves + SHIFT, node_a)
        node_b = below(line_b, low_b, node_b)
        line_b = fetch(sixties + SHIFT, node_b)
        tl.store(index + here, finish(line_a, a, node_a), mask=here < count)
