#: note FlashAttention-2, a program per multiprocessor: a warp group fetches (TMA), two compute
#: rank 15
#: targets cuda:sm_90
# /// kernel
# language = "triton"
# when = 'dtype(q) != "float32" and dim % 8 == 0 and length % 128 == 0'
# constraints = ["BLOCK_N * num_stages <= 256", "BLOCK_N * num_stages < 256 or BLOCK_N == 128 or dim <= 64"]
# [tune]
# BLOCK_M = [128]
# BLOCK_N = [128, 64]
# GROUP = [4, 8, 1]
# num_warps = [4]
# num_stages = [2, 3, 4]
# [[launch]]
# entry = "attention"
# grid = ["min(num_units, batch * heads * cdiv(length, BLOCK_M))"]
# args = { DIM = "max(16, next_pow2(dim))", count = "batch * heads" }
# ///
# The compiler gives the copies to one warp group and 64 queries to each of two others, so that one computes its softmax
# while the other multiplies. It wants num_warps = 4, plain matrices (so a head is a range of rows, and its length a
# multiple of the block), one inner loop, and no branch in it: every block is masked, by the smaller of a logit and a
# bound, which costs one multiply-add where a comparison and a choice would both wait for the integer units. GROUP heads
# run together, longest rows first, so that the last programs are short and keys and values stay in L2.
# A program per multiprocessor makes its descriptors once and fetches the next block's queries while the last ones
# finish; against that, equal shares of 4096 blocks leave 3 % of the programs' time idle.
# Floor for 4 x 32 x 4096 x 128 on an H100: 550 GFLOP at 800 TFLOP/s are 687 us.
import triton
import triton.language as tl

# What a bound falls by from one key to the next: far more than any logit.
FAR = tl.constexpr(1e36)


@triton.jit
def attention(
    q, k, v, o, count, length, dim, DIM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, GROUP: tl.constexpr
):
    blocks = tl.cdiv(length, BLOCK_M)
    queries = tl.make_tensor_descriptor(q, [count * length, dim], [dim, 1], [BLOCK_M, DIM])
    keys = tl.make_tensor_descriptor(k, [count * length, dim], [dim, 1], [BLOCK_N, DIM])
    values = tl.make_tensor_descriptor(v, [count * length, dim], [dim, 1], [BLOCK_N, DIM])
    results = tl.make_tensor_descriptor(o, [count * length, dim], [dim, 1], [BLOCK_M, DIM])
    scale = 1.4426950408889634 / tl.sqrt(dim.to(tl.float32))
    columns = tl.arange(0, BLOCK_N).to(tl.float32) * FAR
    for tile in range(tl.program_id(0), count * blocks, tl.num_programs(0)):
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
        for start in tl.range(0, tl.minimum(first + BLOCK_M, length), BLOCK_N, warp_specialize=True):
            key = keys.load([head * length + start, 0])
            logits = tl.dot(query, key.T)
            bound = ((rows - start).to(tl.float32) + 0.5)[:, None] * FAR - columns[None, :]
            logits = tl.minimum(logits, bound, propagate_nan=tl.PropagateNan.ALL)
            new_peak = tl.maximum(peak, tl.max(logits, axis=1) * scale)
            share = tl.exp2(logits * scale - new_peak[:, None])
            rescale = tl.exp2(peak - new_peak)
            peak = new_peak
            total = total * rescale + tl.sum(share, axis=1)
            value = values.load([head * length + start, 0])
            result = tl.dot(share.to(query.dtype), value, result * rescale[:, None])
        results.store([head * length + first, 0], (result / total[:, None]).to(query.dtype))
