# /// kernel
# language = "triton"
# when = "dtype(q) != \"float32\" and dim % 8 == 0 and length % 128 == 0"
# constraints = ["BLOCK_N * num_stages <= 256", "dim <= 64 or 64 * QUEUE + BLOCK_N * num_stages + EDGE <= 416"]
# [tune]
# BLOCK_M = [128]
# BLOCK_N = [128, 64]
# EDGE = [64, 32, 128]
# GROUP = [4, 8, 1]
# QUEUE = [1, 2]
# num_warps = [4]
# num_stages = [2, 3, 4]
# [[launch]]
# entry = "attention"
# grid = ["min(num_units, batch * heads * cdiv(length, BLOCK_M))"]
# args = { DIM = "max(16, next_pow2(dim))", count = "batch * heads" }
# ///
#: note FlashAttention-2, a program per multiprocessor: a warp group fetches, two compute; only the diagonal is masked
#: rank 16
#: targets cuda:sm_90
# The compiler gives the copies to one warp group and 64 queries to each of two others. Only the blocks on the diagonal
# carry a mask: they come first, in a loop of their own, EDGE keys at a time, so that the long loop has neither a bound
# nor a minimum per logit (452 to 464 instructions for 128 keys instead of 585). Triton 3.6 takes two loops in a row,
# each with products, on one condition: what a product leaves must not enter a loop as its first value by itself, or the
# compiler opens a channel for it and fails. Hence the factor `one` between the loops, which is 1, and which it cannot
# fold. Results go out by pointers: half the shared memory of a descriptor, and no wait for the copy.
# A program per multiprocessor makes its descriptors once. QUEUE blocks of queries wait in shared memory: with 2 the
# next ones come while the last finish, for which 128 dimensions leave room only beside an edge of 32.
# Floor for 4 x 32 x 4096 x 128 on an H100: 550 GFLOP at 800 TFLOP/s are 687 us.
import triton
import triton.language as tl


@triton.jit
def attention(
    q,
    k,
    v,
    o,
    count,
    length,
    dim,
    DIM: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    EDGE: tl.constexpr,
    GROUP: tl.constexpr,
    QUEUE: tl.constexpr,
):
    blocks = tl.cdiv(length, BLOCK_M)
    queries = tl.make_tensor_descriptor(q, [count * length, dim], [dim, 1], [BLOCK_M, DIM])
    edge_keys = tl.make_tensor_descriptor(k, [count * length, dim], [dim, 1], [EDGE, DIM])
    edge_values = tl.make_tensor_descriptor(v, [count * length, dim], [dim, 1], [EDGE, DIM])
    keys = tl.make_tensor_descriptor(k, [count * length, dim], [dim, 1], [BLOCK_N, DIM])
    values = tl.make_tensor_descriptor(v, [count * length, dim], [dim, 1], [BLOCK_N, DIM])
    scale = 1.4426950408889634 / tl.sqrt(dim.to(tl.float32))
    part = tl.arange(0, DIM)
    for tile in tl.range(tl.program_id(0), count * blocks, tl.num_programs(0), num_stages=QUEUE):
        group = tile // (GROUP * blocks) * GROUP
        width = min(count - group, GROUP)
        inside = tile - group * blocks
        head = group + inside % width
        first = (blocks - 1 - inside // width) * BLOCK_M
        query = queries.load([head * length + first, 0])
        rows = first + tl.arange(0, BLOCK_M)
        peak = tl.full((BLOCK_M,), float("-inf"), tl.float32)
        total = tl.zeros((BLOCK_M,), tl.float32)
        result = tl.zeros((BLOCK_M, DIM), tl.float32)
        for start in tl.range(first, first + BLOCK_M, EDGE, num_stages=1):
            key = edge_keys.load([head * length + start, 0])
            logits = tl.dot(query, key.T)
            visible = start + tl.arange(0, EDGE)[None, :] <= rows[:, None]
            logits = tl.where(visible, logits, float("-inf"))
            new_peak = tl.maximum(peak, tl.max(logits, axis=1) * scale)
            share = tl.exp2(logits * scale - new_peak[:, None])
            rescale = tl.exp2(peak - new_peak)
            peak = new_peak
            total = total * rescale + tl.sum(share, axis=1)
            value = edge_values.load([head * length + start, 0])
            result = tl.dot(share.to(query.dtype), value, result * rescale[:, None])
        one = tl.exp2(peak - peak)
        result = result * one[:, None]
        for start in tl.range(0, first, BLOCK_N, warp_specialize=True):
            key = keys.load([head * length + start, 0])
            logits = tl.dot(query, key.T)
            new_peak = tl.maximum(peak, tl.max(logits, axis=1) * scale)
            share = tl.exp2(logits * scale - new_peak[:, None])
            rescale = tl.exp2(peak - new_peak)
            peak = new_peak
            total = total * rescale + tl.sum(share, axis=1)
            value = values.load([head * length + start, 0])
            result = tl.dot(share.to(query.dtype), value, result * rescale[:, None])
        place = o + (head * length + rows).to(tl.int64)[:, None] * dim + part[None, :]
        tl.store(place, (result / total[:, None]).to(query.dtype), mask=part[None, :] < dim)
