#: note FlashAttention-3 in Gluon: two warp groups take turns, one multiplies while the other computes its softmax
#: rank 5
#: targets cuda:sm_90
# /// kernel
# language = "triton"
# when = 'dtype(q) != "float32" and (dim == 64 or dim == 128) and length % 128 == 0'
# [tune]
# GROUP = [16, 8, 32]
# STAGES = [2]
# num_warps = [4]
# maxnreg = [168]
# [[launch]]
# entry = "attention"
# grid = ["min(num_units, batch * heads * (length // 128))"]
# args = { DIM = "dim", count = "batch * heads" }
# ///
# A program per multiprocessor, in three parts: a warp fetches queries, keys and values (TMA); two warp groups have 64
# queries each. What tl leaves to the compiler is said here (Shah et al., "FlashAttention-3", sections 3.1 and 3.2):
# - turns: a group starts its two products only when the other has started its own, so that one group's exponentials run
#   while the tensor cores have the other's products;
# - inside a group, the product of this block's queries and keys is started together with that of the last block's
#   weights and values, and the softmax of this block needs the first only.
# The block on the diagonal comes first and is the only one that is masked. GROUP heads run together, longest rows
# first, so that the last programs are short and keys and values stay in L2.
# 168 registers x 384 threads are the whole register file; the fetching warp group gives up its own but for 24 a
# thread, which leaves 240 for each of the others.
# Floor for 4 x 32 x 4096 x 128 on an H100: 550 GFLOP at 800 TFLOP/s are 687 us.
import triton.experimental.gluon.language as gl
from triton.experimental import gluon
from triton.experimental.gluon.language.nvidia.hopper import mbarrier, tma, warpgroup_mma, warpgroup_mma_wait

BLOCK = gl.constexpr(128)  # queries of a program, and keys of a step
HALF = gl.constexpr(64)  # queries of a warp group: what one instruction of its tensor cores has


@gluon.jit
def place(tile, count, blocks, GROUP: gl.constexpr):
    group = tile // (GROUP * blocks) * GROUP
    width = gl.minimum(count - group, GROUP)
    inside = tile - group * blocks
    return group + inside % width, blocks - 1 - inside // width


@gluon.jit
def fetch(
    queries, keys, values, q_tiles, k_tiles, v_tiles, q_full, q_empty, k_full, k_empty, v_full, v_empty, count, blocks,
    GROUP: gl.constexpr, STAGES: gl.constexpr,
):  # fmt: skip
    step = 0
    turn = 0
    for tile in range(gl.program_id(0), count * blocks, gl.num_programs(0)):
        head, block = place(tile, count, blocks, GROUP)
        base = head * blocks * BLOCK
        for half in gl.static_range(2):
            mbarrier.wait(q_empty.index(half), (turn & 1) ^ 1)
            mbarrier.expect(q_full.index(half), queries.block_type.nbytes)
            row = base + block * BLOCK + half * HALF
            tma.async_load(queries, [row, 0], q_full.index(half), q_tiles.index(half))
        for back in range(block + 1):
            row = base + (block - back) * BLOCK
            slot = step % STAGES
            phase = ((step // STAGES) & 1) ^ 1
            mbarrier.wait(k_empty.index(slot), phase)
            mbarrier.expect(k_full.index(slot), keys.block_type.nbytes)
            tma.async_load(keys, [row, 0], k_full.index(slot), k_tiles.index(slot))
            mbarrier.wait(v_empty.index(slot), phase)
            mbarrier.expect(v_full.index(slot), values.block_type.nbytes)
            tma.async_load(values, [row, 0], v_full.index(slot), v_tiles.index(slot))
            step += 1
        turn += 1  # noqa: SIM113  # the front end knows range, and no enumerate


@gluon.jit
def attend(
    o, q_tiles, k_tiles, v_tiles, q_full, q_empty, k_full, k_empty, v_full, v_empty, turns, count, blocks, scale,
    HALVES: gl.constexpr, DIM: gl.constexpr, GROUP: gl.constexpr, STAGES: gl.constexpr,
):  # fmt: skip
    LOGITS: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BLOCK, 16])
    RESULT: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, DIM, 16])
    WEIGHTS: gl.constexpr = gl.DotOperandLayout(0, RESULT, 2)
    ROWS: gl.constexpr = gl.SliceLayout(1, RESULT)
    OUT: gl.constexpr = gl.BlockedLayout([1, 8], [2, 16], [4, 1], [1, 0])
    dtype: gl.constexpr = q_tiles.dtype
    query = q_tiles.index(HALVES)
    mine = turns.index(HALVES)
    other = turns.index(1 - HALVES)
    nothing = gl.zeros([HALF, BLOCK], gl.float32, LOGITS)
    rows = HALVES * HALF + gl.arange(0, HALF, gl.SliceLayout(1, LOGITS))
    columns = gl.arange(0, BLOCK, gl.SliceLayout(0, LOGITS))
    out_rows = HALVES * HALF + gl.arange(0, HALF, gl.SliceLayout(1, OUT))
    out_columns = gl.arange(0, DIM, gl.SliceLayout(0, OUT))
    step = 0
    taken = 0
    tiles = 0
    for tile in range(gl.program_id(0), count * blocks, gl.num_programs(0)):
        head, block = place(tile, count, blocks, GROUP)
        slot = step % STAGES
        phase = (step // STAGES) & 1
        mbarrier.wait(q_full.index(HALVES), tiles & 1)
        mbarrier.wait(k_full.index(slot), phase)
        logits = warpgroup_mma(query, k_tiles.index(slot).permute((1, 0)), nothing, use_acc=False, is_async=True)
        logits = warpgroup_mma_wait(0, (logits,))
        mbarrier.arrive(k_empty.index(slot), count=1)
        logits = gl.where(rows[:, None] >= columns[None, :], logits, float("-inf"))
        peak = gl.max(logits, axis=1) * scale
        share = gl.exp2(logits * scale - peak[:, None])
        total = gl.sum(share, axis=1)
        weights = gl.convert_layout(share.to(dtype), WEIGHTS)
        result = gl.zeros([HALF, DIM], gl.float32, RESULT)
        for _ in range(block):
            next_slot = (step + 1) % STAGES
            next_phase = ((step + 1) // STAGES) & 1
            mbarrier.wait(k_full.index(next_slot), next_phase)
            mbarrier.wait(mine, (taken & 1) ^ (1 - HALVES))
            key = k_tiles.index(next_slot).permute((1, 0))
            logits = warpgroup_mma(query, key, nothing, use_acc=False, is_async=True)
            mbarrier.wait(v_full.index(slot), phase)
            flying = warpgroup_mma(weights, v_tiles.index(slot), result, is_async=True)
            mbarrier.arrive(other, count=1)
            logits = warpgroup_mma_wait(1, (logits,))
            mbarrier.arrive(k_empty.index(next_slot), count=1)
            new_peak = gl.maximum(peak, gl.max(logits, axis=1) * scale)
            share = gl.exp2(logits * scale - new_peak[:, None])
            rescale = gl.exp2(peak - new_peak)
            peak = new_peak
            total = total * rescale + gl.sum(share, axis=1)
            following = gl.convert_layout(share.to(dtype), WEIGHTS)
            # what is waited with is computed before the wait: the exponentials, while the product runs
            result, weights, following = warpgroup_mma_wait(0, (flying, weights, following))
            mbarrier.arrive(v_empty.index(slot), count=1)
            result = result * gl.convert_layout(rescale, ROWS)[:, None]
            weights = following
            step += 1
            taken += 1
            slot = next_slot
            phase = next_phase
        mbarrier.arrive(q_empty.index(HALVES), count=1)
        mbarrier.wait(v_full.index(slot), phase)
        flying = warpgroup_mma(weights, v_tiles.index(slot), result, is_async=True)
        result, weights = warpgroup_mma_wait(0, (flying, weights))
        mbarrier.arrive(v_empty.index(slot), count=1)
        step += 1
        tiles += 1  # noqa: SIM113
        result = (result / gl.convert_layout(total, ROWS)[:, None]).to(dtype)
        place_out = o + (head * blocks + block).to(gl.int64) * (BLOCK * DIM)
        gl.store(place_out + out_rows[:, None] * DIM + out_columns[None, :], gl.convert_layout(result, OUT))


@gluon.jit
def attention(q, k, v, o, count, length, dim, DIM: gl.constexpr, GROUP: gl.constexpr, STAGES: gl.constexpr):
    dtype: gl.constexpr = q.dtype.element_ty
    SHARED: gl.constexpr = gl.NVMMASharedLayout(128, 16, 2)
    queries = tma.make_tensor_descriptor(q, [count * length, dim], [dim, 1], [HALF, DIM], SHARED)
    keys = tma.make_tensor_descriptor(k, [count * length, dim], [dim, 1], [BLOCK, DIM], SHARED)
    values = tma.make_tensor_descriptor(v, [count * length, dim], [dim, 1], [BLOCK, DIM], SHARED)
    q_tiles = gl.allocate_shared_memory(dtype, [2, HALF, DIM], SHARED)
    k_tiles = gl.allocate_shared_memory(dtype, [STAGES, BLOCK, DIM], SHARED)
    v_tiles = gl.allocate_shared_memory(dtype, [STAGES, BLOCK, DIM], SHARED)
    BARRIER: gl.constexpr = mbarrier.MBarrierLayout()
    q_full = gl.allocate_shared_memory(gl.int64, [2, 1], BARRIER)
    q_empty = gl.allocate_shared_memory(gl.int64, [2, 1], BARRIER)
    turns = gl.allocate_shared_memory(gl.int64, [2, 1], BARRIER)
    k_full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], BARRIER)
    k_empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], BARRIER)
    v_full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], BARRIER)
    v_empty = gl.allocate_shared_memory(gl.int64, [STAGES, 1], BARRIER)
    for half in gl.static_range(2):
        mbarrier.init(q_full.index(half), count=1)
        mbarrier.init(q_empty.index(half), count=1)
        mbarrier.init(turns.index(half), count=1)
    for slot in gl.static_range(STAGES):
        mbarrier.init(k_full.index(slot), count=1)
        mbarrier.init(v_full.index(slot), count=1)
        mbarrier.init(k_empty.index(slot), count=2)
        mbarrier.init(v_empty.index(slot), count=2)
    blocks = length // BLOCK
    scale = 1.4426950408889634 / gl.sqrt(dim.to(gl.float32))
    gl.warp_specialize(
        [
            (attend, (o, q_tiles, k_tiles, v_tiles, q_full, q_empty, k_full, k_empty, v_full, v_empty, turns, count,
                      blocks, scale, 0, DIM, GROUP, STAGES)),
            (attend, (o, q_tiles, k_tiles, v_tiles, q_full, q_empty, k_full, k_empty, v_full, v_empty, turns, count,
                      blocks, scale, 1, DIM, GROUP, STAGES)),
            (fetch, (queries, keys, values, q_tiles, k_tiles, v_tiles, q_full, q_empty, k_full, k_empty, v_full,
                     v_empty, count, blocks, GROUP, STAGES)),
        ],
        [4, 1],
        [240, 24],
    )  # fmt: skip
