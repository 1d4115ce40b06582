"""Kernels as people write them, after Triton's own tutorials: the gate must let every one of them through.

Each has the signature and constants with which it compiles, so that a test can ask the real compiler for its opinion.
"""

from __future__ import annotations

from typing import NamedTuple


class Sample(NamedTuple):
    """A source, and for one of its kernels the arguments' types and the compile-time constants."""

    source: str
    entry: str
    signature: str
    constants: dict[str, int | str | bool]


HEAD = "import triton\nimport triton.language as tl\n"

SOFTMAX = Sample(
    HEAD
    + '''
@triton.jit
def softmax_kernel(output, input, input_row_stride, n_rows, n_cols, BLOCK: tl.constexpr, num_stages: tl.constexpr):
    """Rows in a loop; a line of this text may say try, pass, stream or import."""
    row_start = tl.program_id(0)
    row_step = tl.num_programs(0)
    for row in tl.range(row_start, n_rows, row_step, num_stages=num_stages):
        row_start_ptr = input + row * input_row_stride
        col_offsets = tl.arange(0, BLOCK)
        mask = col_offsets < n_cols
        values = tl.load(row_start_ptr + col_offsets, mask=mask, other=-float("inf"), eviction_policy="evict_first")
        max = tl.max(values, axis=0)  # a name of Python's, as a variable
        numerator = tl.exp(values - max)
        sum = tl.sum(numerator, axis=0)
        tl.store(output + row * input_row_stride + col_offsets, numerator / sum, mask=mask)
''',
    "softmax_kernel",
    "*fp32 *fp32 i32 i32 i32",
    {"BLOCK": 128, "num_stages": 2},
)

MATMUL = Sample(
    HEAD
    + '''
@triton.jit
def leaky_relu(x):
    return tl.where(x >= 0, x, 0.01 * x)


@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr,
    M, N, K,
    stride_am, stride_ak,  #
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,  #
    GROUP_SIZE_M: tl.constexpr,
    ACTIVATION: tl.constexpr = "",
):
    """Kernel for computing the matmul C = A x B."""
    pid = tl.program_id(axis=0)
    num_pid_m = tl.cdiv(M, BLOCK_M)
    num_pid_n = tl.cdiv(N, BLOCK_N)
    num_pid_in_group = GROUP_SIZE_M * num_pid_n
    group_id = pid // num_pid_in_group
    first_pid_m = group_id * GROUP_SIZE_M
    group_size_m = min(num_pid_m - first_pid_m, GROUP_SIZE_M)
    pid_m = first_pid_m + ((pid % num_pid_in_group) % group_size_m)
    pid_n = (pid % num_pid_in_group) // group_size_m
    tl.assume(pid_m >= 0)
    offs_am = (pid_m * BLOCK_M + tl.arange(0, BLOCK_M)) % M
    offs_bn = (pid_n * BLOCK_N + tl.arange(0, BLOCK_N)) % N
    offs_am = tl.max_contiguous(tl.multiple_of(offs_am, BLOCK_M), BLOCK_M)
    offs_k = tl.arange(0, BLOCK_K)
    a_ptrs = a_ptr + (offs_am[:, None] * stride_am + offs_k[None, :] * stride_ak)
    b_ptrs = b_ptr + (offs_k[:, None] * N + offs_bn[None, :])
    accumulator = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k in range(0, tl.cdiv(K, BLOCK_K)):
        a = tl.load(a_ptrs, mask=offs_k[None, :] < K - k * BLOCK_K, other=0.0)
        b = tl.load(b_ptrs, mask=offs_k[:, None] < K - k * BLOCK_K, other=0.0)
        accumulator = tl.dot(a, b, accumulator, input_precision="ieee")
        a_ptrs += BLOCK_K * stride_ak
        b_ptrs += BLOCK_K * N
    if ACTIVATION == "leaky_relu":
        accumulator = leaky_relu(accumulator)
    c = accumulator.to(c_ptr.dtype.element_ty)
    offs_cm = pid_m * BLOCK_M + tl.arange(0, BLOCK_M)
    offs_cn = pid_n * BLOCK_N + tl.arange(0, BLOCK_N)
    c_mask = (offs_cm[:, None] < M) & (offs_cn[None, :] < N)
    tl.store(c_ptr + N * offs_cm[:, None] + offs_cn[None, :], c, mask=c_mask)
''',
    "matmul_kernel",
    "*fp16 *fp16 *fp16 i32 i32 i32 i32 i32",
    {"BLOCK_M": 32, "BLOCK_N": 32, "BLOCK_K": 32, "GROUP_SIZE_M": 8, "ACTIVATION": "leaky_relu"},
)

ATTENTION = Sample(
    HEAD
    + """
LOG2E = tl.constexpr(1.44269504)


@triton.jit
def _attn_fwd_inner(
    acc, l_i, m_i, q, k_ptr, v_ptr, start_m, qk_scale, N_CTX,
    BLOCK_M: tl.constexpr, HEAD_DIM: tl.constexpr, BLOCK_N: tl.constexpr, STAGE: tl.constexpr,
    offs_m: tl.constexpr, offs_n: tl.constexpr,
):
    if STAGE == 1:
        lo, hi = 0, start_m * BLOCK_M
    else:
        lo, hi = start_m * BLOCK_M, (start_m + 1) * BLOCK_M
        lo = tl.multiple_of(lo, BLOCK_M)
    offs_d = tl.arange(0, HEAD_DIM)
    for start_n in tl.range(lo, hi, BLOCK_N):
        start_n = tl.multiple_of(start_n, BLOCK_N)
        cols = start_n + offs_n
        k = tl.load(k_ptr + cols[None, :] * HEAD_DIM + offs_d[:, None])
        qk = tl.dot(q, k)
        if STAGE == 2:
            mask = offs_m[:, None] >= (start_n + offs_n[None, :])
            qk = qk * qk_scale + tl.where(mask, 0, -1.0e6)
            m_ij = tl.maximum(m_i, tl.max(qk, 1))
            qk -= m_ij[:, None]
        else:
            m_ij = tl.maximum(m_i, tl.max(qk, 1) * qk_scale)
            qk = qk * qk_scale - m_ij[:, None]
        p = tl.math.exp2(qk)
        alpha = tl.math.exp2(m_i - m_ij)
        l_i = l_i * alpha + tl.sum(p, 1)
        acc = acc * alpha[:, None]
        v = tl.load(v_ptr + cols[:, None] * HEAD_DIM + offs_d[None, :])
        acc = tl.dot(p.to(v.dtype), v, acc)
        m_i = m_ij
    return acc, l_i, m_i


@triton.jit
def attn_fwd(
    q, k, v, o, sm_scale, N_CTX,
    HEAD_DIM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):
    tl.static_assert(BLOCK_N <= HEAD_DIM, "the tile of keys must not be wider than a head (100 % of it)")
    start_m = tl.program_id(0)
    off_hz = tl.program_id(1)
    base = off_hz.to(tl.int64) * N_CTX * HEAD_DIM
    offs_m = start_m * BLOCK_M + tl.arange(0, BLOCK_M)
    offs_n = tl.arange(0, BLOCK_N)
    offs_d = tl.arange(0, HEAD_DIM)
    m_i = tl.zeros([BLOCK_M], dtype=tl.float32) - float("inf")
    l_i = tl.zeros([BLOCK_M], dtype=tl.float32) + 1.0
    acc = tl.zeros([BLOCK_M, HEAD_DIM], dtype=tl.float32)
    qk_scale = sm_scale * LOG2E
    query = tl.load(q + base + offs_m[:, None] * HEAD_DIM + offs_d[None, :])
    for stage in tl.static_range(1, 3):
        acc, l_i, m_i = _attn_fwd_inner(
            acc, l_i, m_i, query, k + base, v + base, start_m, qk_scale, N_CTX,
            BLOCK_M, HEAD_DIM, BLOCK_N, stage, offs_m, offs_n,
        )
    m_i += tl.math.log2(l_i)
    acc = acc / l_i[:, None]
    tl.store(o + base + offs_m[:, None] * HEAD_DIM + offs_d[None, :], acc.to(o.type.element_ty))
""",
    "attn_fwd",
    "*fp16 *fp16 *fp16 *fp16 fp32 i32",
    {"HEAD_DIM": 64, "BLOCK_M": 64, "BLOCK_N": 32},
)

LAYER_NORM_BACKWARD = Sample(
    HEAD
    + """
@triton.jit
def layer_norm_bwd_dx(
    DX, DY, DW, X, W, Mean, Rstd, Lock, stride, N, GROUP_SIZE_M: tl.constexpr, BLOCK_SIZE_N: tl.constexpr
):
    row = tl.program_id(0)
    cols = tl.arange(0, BLOCK_SIZE_N)
    mask = cols < N
    X += row * stride
    DY += row * stride
    DX += row * stride
    lock_id = row % GROUP_SIZE_M
    Lock += lock_id
    Count = Lock + GROUP_SIZE_M
    DW = DW + lock_id * N + cols
    x = tl.load(X + cols, mask=mask, other=0).to(tl.float32)
    dy = tl.load(DY + cols, mask=mask, other=0).to(tl.float32)
    w = tl.load(W + cols, mask=mask).to(tl.float32)
    mean = tl.load(Mean + row)
    rstd = tl.load(Rstd + row)
    xhat = (x - mean) * rstd
    wdy = w * dy
    xhat = tl.where(mask, xhat, 0.0)
    wdy = tl.where(mask, wdy, 0.0)
    c1 = tl.sum(xhat * wdy, axis=0) / N
    c2 = tl.sum(wdy, axis=0) / N
    dx = (wdy - (xhat * c1 + c2)) * rstd
    tl.store(DX + cols, dx, mask=mask)
    partial_dw = (dy * xhat).to(w.dtype)
    while tl.atomic_cas(Lock, 0, 1) == 1:
        pass
    count = tl.load(Count)
    if count == 0:
        tl.atomic_xchg(Count, 1)
    else:
        partial_dw += tl.load(DW, mask=mask)
    tl.store(DW, partial_dw, mask=mask)
    tl.debug_barrier()
    tl.atomic_xchg(Lock, 0)
""",
    "layer_norm_bwd_dx",
    "*fp16 *fp16 *fp32 *fp16 *fp16 *fp32 *fp32 *i32 i32 i32",
    {"GROUP_SIZE_M": 64, "BLOCK_SIZE_N": 256},
)

PERSISTENT_MATMUL = Sample(
    HEAD
    + """
@triton.jit
def _compute_pid(tile_id, num_pid_in_group, num_pid_m, GROUP_SIZE_M: tl.constexpr):
    group_id = tile_id // num_pid_in_group
    first_pid_m = group_id * GROUP_SIZE_M
    group_size_m = min(num_pid_m - first_pid_m, GROUP_SIZE_M)
    pid_m = first_pid_m + (tile_id % group_size_m)
    pid_n = (tile_id % num_pid_in_group) // group_size_m
    return pid_m, pid_n


@triton.jit(do_not_specialize=["M"])
def matmul_descriptor_persistent(
    a_ptr, b_ptr, c_ptr, M, N, K, NUM_SMS: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_SIZE_M: tl.constexpr,
    FLATTEN: tl.constexpr,
):
    dtype = tl.float16
    start_pid = tl.program_id(axis=0)
    num_pid_m = tl.cdiv(M, BLOCK_M)
    num_pid_n = tl.cdiv(N, BLOCK_N)
    k_tiles = tl.cdiv(K, BLOCK_K)
    num_tiles = num_pid_m * num_pid_n
    a_desc = tl.make_tensor_descriptor(a_ptr, shape=[M, K], strides=[K, 1], block_shape=[BLOCK_M, BLOCK_K])
    b_desc = tl.make_tensor_descriptor(b_ptr, shape=[N, K], strides=[K, 1], block_shape=[BLOCK_N, BLOCK_K])
    c_desc = tl.make_tensor_descriptor(c_ptr, shape=[M, N], strides=[N, 1], block_shape=[BLOCK_M, BLOCK_N])
    num_pid_in_group = GROUP_SIZE_M * num_pid_n
    for tile_id in tl.range(start_pid, num_tiles, NUM_SMS, flatten=FLATTEN, warp_specialize=False):
        pid_m, pid_n = _compute_pid(tile_id, num_pid_in_group, num_pid_m, GROUP_SIZE_M)
        offs_am = pid_m * BLOCK_M
        offs_bn = pid_n * BLOCK_N
        accumulator = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
        for ki in range(k_tiles):
            offs_k = ki * BLOCK_K
            a = a_desc.load([offs_am, offs_k])
            b = b_desc.load([offs_bn, offs_k])
            accumulator = tl.dot(a, b.T, accumulator)
        c_desc.store([offs_am, offs_bn], accumulator.to(dtype))
""",
    "matmul_descriptor_persistent",
    "*fp16 *fp16 *fp16 i32 i32 i32",
    {"NUM_SMS": 132, "BLOCK_M": 64, "BLOCK_N": 64, "BLOCK_K": 64, "GROUP_SIZE_M": 8, "FLATTEN": True},
)

SCAN = Sample(
    HEAD
    + """
@triton.jit
def first_order(fl, xl, fr, xr):
    return fr * fl, fr * xl + xr


@triton.jit
def larger(a, b):
    return tl.maximum(a, b)


@triton.jit
def recurrence(gates, x, y, peaks, length, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    inside = offsets < length
    f = tl.load(gates + offsets, mask=inside, other=1.0)
    v = tl.load(x + offsets, mask=inside, other=0.0)
    _, out = tl.associative_scan((f, v), 0, combine_fn=first_order)
    peak = tl.reduce(out, 0, larger)
    running = tl.cumsum(v, 0)
    ordered = tl.sort(running, descending=True)
    bins = tl.histogram(offsets % 16, 16)
    tl.store(y + offsets, out + ordered * 0, mask=inside)
    tl.store(peaks + tl.arange(0, 16), peak + bins)
""",
    "recurrence",
    "*fp32 *fp32 *fp32 *fp32 i32",
    {"BLOCK": 128},
)

DROPOUT = Sample(
    HEAD
    + """
from triton.language.extra import libdevice
import math

P = tl.constexpr(1 / 4)
SCALE = tl.constexpr(math.sqrt(2.0) / 2)


@triton.jit
def seeded_dropout(x_ptr, output_ptr, n_elements, seed, BLOCK_SIZE: tl.constexpr):
    offsets = tl.program_id(axis=0) * BLOCK_SIZE + tl.arange(0, BLOCK_SIZE)
    mask = offsets < n_elements
    x = tl.load(x_ptr + offsets, mask=mask)
    random = tl.rand(seed, offsets)
    x_keep = random > P
    gelu = 0.5 * x * (1.0 + libdevice.erf(x * SCALE))
    output = tl.where(x_keep, gelu / (1 - P), 0.0)
    tl.store(output_ptr + offsets, output, mask=mask)
""",
    "seeded_dropout",
    "*fp32 *fp32 i32 i32",
    {"BLOCK_SIZE": 256},
)

BLOCK_POINTERS = Sample(
    HEAD
    + """
@triton.jit(noinline=True)
def scale_of(step, TOTAL: tl.constexpr):
    return 1.0 / (step + TOTAL)


@triton.jit
def split_k(a, b, c, M, N, K, SPLIT: tl.constexpr, TILE: tl.constexpr, UNEVEN: tl.constexpr):
    pid_m, pid_n, pid_k = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    a_block = tl.make_block_ptr(
        base=a, shape=(M, K), strides=(K, 1), offsets=(pid_m * TILE, pid_k * TILE),
        block_shape=(TILE, TILE), order=(1, 0),
    )
    acc = tl.full([TILE, TILE], 0.0, tl.float32)
    for k in range(pid_k * TILE, K, SPLIT * TILE):
        if UNEVEN:
            left = tl.load(a_block, boundary_check=(0, 1), padding_option="zero")
        else:
            left = tl.load(a_block)
        rows = (k + tl.arange(0, TILE)).to(tl.int64)
        right = tl.load(b + rows[:, None] * N + (pid_n * TILE + tl.arange(0, TILE))[None, :], cache_modifier=".cg")
        acc += tl.dot(left, right, out_dtype=tl.float32)
        a_block = tl.advance(a_block, (0, SPLIT * TILE)) if UNEVEN else tl.advance(a_block, [0, SPLIT * TILE])
    tiles: tl.constexpr = TILE * TILE
    at = pid_m * TILE * N + pid_n * TILE + tl.arange(0, TILE)[:, None] * N + tl.arange(0, TILE)[None, :]
    tl.static_assert(tiles <= 1 << 14)
    tl.atomic_add(c + at, acc * scale_of(0, 1), sem="relaxed", scope="gpu")
""",
    "split_k",
    "*fp16 *fp16 *fp32 i32 i32 i32",
    {"SPLIT": 4, "TILE": 32, "UNEVEN": True},
)

HONEST = {
    "softmax": SOFTMAX,
    "matmul with grouped order": MATMUL,
    "flash attention with an inner function": ATTENTION,
    "layer norm backward with a lock": LAYER_NORM_BACKWARD,
    "persistent matmul with tensor descriptors": PERSISTENT_MATMUL,
    "scan and reduce with combine functions": SCAN,
    "dropout with libdevice": DROPOUT,
    "split-k with block pointers": BLOCK_POINTERS,
}
