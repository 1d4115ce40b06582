# /// kernel
# language = "triton"
# [tune]
# BLOCK_M = [64, 32, 128]
# BLOCK_N = [32, 16, 64]
# num_stages = [2, 1, 3]
# [[launch]]
# entry = "attention"
# grid = ["batch * heads * cdiv(length, BLOCK_M)"]
# args = { DIM = "max(16, next_pow2(dim))" }
# ///
# One program per block of queries of one head. It walks over blocks of keys up to the diagonal and keeps a running
# maximum and a running sum of the softmax (Milakov and Gimelshein, 2018; Dao et al., 2022).
import triton
import triton.language as tl


@triton.jit
def attention(q, k, v, o, length, dim, DIM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    blocks = tl.cdiv(length, BLOCK_M)
    tile = tl.program_id(0)
    first = tile % blocks * BLOCK_M
    head = (tile // blocks).to(tl.int64) * length
    rows = first + tl.arange(0, BLOCK_M)
    part = tl.arange(0, DIM)
    place = (head + rows[:, None]) * dim + part[None, :]
    inside = (rows[:, None] < length) & (part[None, :] < dim)
    query = tl.load(q + place, mask=inside, other=0.0)
    scale = 1.0 / tl.sqrt(dim.to(tl.float32))

    peak = tl.full((BLOCK_M,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_M,), tl.float32)
    result = tl.zeros((BLOCK_M, DIM), tl.float32)
    for start in range(0, tl.minimum(first + BLOCK_M, length), BLOCK_N):
        keys = start + tl.arange(0, BLOCK_N)
        key_inside = (keys[None, :] < length) & (part[:, None] < dim)
        key = tl.load(k + (head + keys[None, :]) * dim + part[:, None], mask=key_inside, other=0.0)
        logits = tl.dot(query, key, input_precision="ieee") * scale
        logits = tl.where(keys[None, :] <= rows[:, None], logits, float("-inf"))

        new_peak = tl.maximum(peak, tl.max(logits, axis=1))
        share = tl.exp(logits - new_peak[:, None])
        rescale = tl.exp(peak - new_peak)
        peak = new_peak
        total = total * rescale + tl.sum(share, axis=1)
        value_inside = (keys[:, None] < length) & (part[None, :] < dim)
        value = tl.load(v + (head + keys[:, None]) * dim + part[None, :], mask=value_inside, other=0.0)
        result = tl.dot(share.to(value.dtype), value, result * rescale[:, None], input_precision="ieee")

    tl.store(o + place, result / total[:, None], mask=inside)
