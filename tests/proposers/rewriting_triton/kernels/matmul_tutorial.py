# /// kernel
# language = "triton"
# [tune]
# BLOCK_M = [32, 64]
# BLOCK_N = [32, 64]
# BLOCK_K = [32, 16]
# [[launch]]
# entry = "matmul_kernel"
# grid = ["cdiv(m, BLOCK_M)", "cdiv(n, BLOCK_N)"]
# args = { stride_am = "k", stride_bk = "n", stride_cm = "n" }
# ///
# ruff: noqa: ERA001, PIE808
import triton
import triton.language as tl


@triton.jit
def matmul_kernel(
    a,
    b,
    c,
    m,
    n,
    k,
    stride_am,
    stride_bk,
    stride_cm,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    pid_m = tl.program_id(axis=0)
    pid_n = tl.program_id(axis=1)
    offs_am = (pid_m * BLOCK_M + tl.arange(0, BLOCK_M)) % m
    offs_bn = (pid_n * BLOCK_N + tl.arange(0, BLOCK_N)) % n
    offs_k = tl.arange(0, BLOCK_K)
    a_ptrs = a + (offs_am[:, None] * stride_am + offs_k[None, :])
    b_ptrs = b + (offs_k[:, None] * stride_bk + offs_bn[None, :])
    accumulator = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for i in range(0, tl.cdiv(k, BLOCK_K)):
        x = tl.load(a_ptrs, mask=offs_k[None, :] < k - i * BLOCK_K, other=0.0)
        y = tl.load(b_ptrs, mask=offs_k[:, None] < k - i * BLOCK_K, other=0.0)
        accumulator += tl.dot(x, y, input_precision="ieee")
        a_ptrs += BLOCK_K
        b_ptrs += BLOCK_K * stride_bk
    offs_cm = pid_m * BLOCK_M + tl.arange(0, BLOCK_M)
    offs_cn = pid_n * BLOCK_N + tl.arange(0, BLOCK_N)
    c_ptrs = c + stride_cm * offs_cm[:, None] + offs_cn[None, :]
    c_mask = (offs_cm[:, None] < m) & (offs_cn[None, :] < n)
    tl.store(c_ptrs, accumulator, mask=c_mask)
