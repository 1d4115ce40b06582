#: note a program turns several heads at the same positions at once, so that their cosines and sines are loaded once
#: rank 10
# /// kernel
# language = "triton"
# when = "half <= 4096"
# constraints = ["TILE * HEADS <= 1024 * num_warps", "TILE >= 256 * num_warps"]
# [tune]
# TILE = [1024, 2048, 512]
# HEADS = [2, 4, 1]
# STREAM = [2, 0, 1, 3]
# num_warps = [4, 8, 2]
# [[launch]]
# entry = "rope_tile"
# grid = ["cdiv(length, max(1, TILE // next_pow2(half))) * cdiv(batch * heads, HEADS)"]
# [launch.args]
# vectors = "batch * heads"
# PLACES = "max(1, TILE // next_pow2(half))"
# WIDTH = "next_pow2(half)"
# EXACT = "half == next_pow2(half) and length % max(1, TILE // next_pow2(half)) == 0 and batch * heads % HEADS == 0"
# ///
# STREAM: 1 sends what is read and written out of the caches first, 2 only what is read, so that the last of what is
# written stays in the second-level cache; 3 asks for that.
# x read and y written once: 268 MB at 4 x 32 x 4096 x 128 in bfloat16, 89 us at 3.0 TB/s; the tables are 2 MB and stay
# in the second-level cache. A tile is HEADS x PLACES x half pairs: HEADS loads of 16 bytes from each half of the
# vectors for every thread, all in flight together, and tables for PLACES x half.
import triton
import triton.language as tl


@triton.jit
def rope_tile(
    x,
    cos,
    sin,
    y,
    vectors,
    length,
    half,
    PLACES: tl.constexpr,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    EXACT: tl.constexpr,
    STREAM: tl.constexpr,
):
    blocks = tl.cdiv(length, PLACES)
    vector = (tl.program_id(0) // blocks * HEADS + tl.arange(0, HEADS).to(tl.int64))[:, None, None]
    place = (tl.program_id(0) % blocks * PLACES + tl.arange(0, PLACES))[None, :, None]
    pair = tl.arange(0, WIDTH)[None, None, :]
    policy: tl.constexpr = "evict_first" if STREAM else ""
    kept: tl.constexpr = "evict_last" if STREAM == 3 else ("evict_first" if STREAM == 1 else "")
    at = (vector * length + place) * (2 * half) + pair
    table = place * half + pair
    known = None if EXACT else (place < length) & (pair < half)
    inside = None if EXACT else known & (vector < vectors)
    other = None if EXACT else 0.0
    first = tl.load(x + at, mask=inside, other=other, eviction_policy=policy).to(tl.float32)
    second = tl.load(x + at + half, mask=inside, other=other, eviction_policy=policy).to(tl.float32)
    c = tl.load(cos + table, mask=known, other=other).to(tl.float32)
    s = tl.load(sin + table, mask=known, other=other).to(tl.float32)
    tl.store(y + at, (first * c - second * s).to(y.dtype.element_ty), mask=inside, eviction_policy=kept)
    tl.store(y + at + half, (second * c + first * s).to(y.dtype.element_ty), mask=inside, eviction_policy=kept)
