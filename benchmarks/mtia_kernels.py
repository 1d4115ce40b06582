# ruff: noqa: N803
# mypy: ignore-errors
"""Triton kernels that get near the published efficiencies on the MTIA emulator: the anchors of its calibration."""

from __future__ import annotations

__all__ = ["add", "matmul", "search", "softmax"]

import triton
import triton.language as tl


@triton.jit
def matmul(a, b, c, m, n, k, PROGRAMS: tl.constexpr, TILE_M: tl.constexpr, TILE_N: tl.constexpr, TILE_K: tl.constexpr):
    """``c[m, n] = a[m, k] @ b[k, n]`` by one program for each element, which walks over tiles of the product.

    `m` and `k` are multiples of the tiles.
    """
    down = m // TILE_M
    for tile in range(tl.program_id(0), down * tl.cdiv(n, TILE_N), PROGRAMS):
        rows = tile % down * TILE_M + tl.arange(0, TILE_M)
        cols = tile // down * TILE_N + tl.arange(0, TILE_N)
        left = a + rows[:, None] * k + tl.arange(0, TILE_K)[None, :]
        inside = cols[None, :] < n
        right = b + tl.arange(0, TILE_K)[:, None] * n + cols[None, :]
        total = tl.zeros((TILE_M, TILE_N), tl.float32)
        for _ in range(0, k, TILE_K):
            total = tl.dot(tl.load(left), tl.load(right, mask=inside, other=0.0), total)
            left += TILE_K
            right += TILE_K * n
        tl.store(c + rows[:, None] * n + cols[None, :], total.to(c.dtype.element_ty), mask=inside)


@triton.jit
def add(x, y, out, count, PROGRAMS: tl.constexpr, BLOCK: tl.constexpr):
    """``out = x + y`` by one program for each element."""
    for start in range(tl.program_id(0) * BLOCK, count, PROGRAMS * BLOCK):
        place = start + tl.arange(0, BLOCK)
        inside = place < count
        tl.store(out + place, tl.load(x + place, mask=inside) + tl.load(y + place, mask=inside), mask=inside)


@triton.jit
def softmax(x, y, rows, cols, PROGRAMS: tl.constexpr, BLOCK: tl.constexpr):
    """Softmax of each row, by one program for each element; a row fits into a tile."""
    lanes = tl.arange(0, BLOCK)
    for row in range(tl.program_id(0), rows, PROGRAMS):
        value = tl.load(x + row * cols + lanes, mask=lanes < cols, other=float("-inf")).to(tl.float32)
        share = tl.exp(value - tl.max(value, axis=0))
        tl.store(y + row * cols + lanes, share / tl.sum(share, axis=0), mask=lanes < cols)


@triton.jit
def search(values, table, index, size, BLOCK: tl.constexpr):
    """The position of each value's last entry in `table` (ascending) that is not above it, by bisection."""
    item = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(values + item)
    low = tl.zeros((BLOCK,), tl.int32)
    left = size
    while left > 1:
        half = left // 2
        middle = tl.load(table + low + half)
        low = tl.where(middle <= value, low + half, low)
        left -= half
    tl.store(index + item, low)
