# /// kernel
# language = "triton"
# [[launch]]
# entry = "softmax_kernel"
# grid = ["rows"]
# args = { n_cols = "cols", BLOCK = "next_pow2(cols)" }
# ///
# ruff: noqa: ERA001
import triton
import triton.language as tl


@triton.jit
def softmax_kernel(y, x, n_cols, BLOCK: tl.constexpr):
    row_idx = tl.program_id(0)
    col_offsets = tl.arange(0, BLOCK)
    x_ptrs = x + row_idx.to(tl.int64) * n_cols + col_offsets
    mask = col_offsets < n_cols
    row = tl.load(x_ptrs, mask=mask, other=-float("inf")).to(tl.float32)
    row_minus_max = row - tl.max(row, axis=0)
    numerator = tl.exp(row_minus_max)
    denominator = tl.sum(numerator, axis=0)
    softmax_output = numerator / denominator
    tl.store(y + row_idx.to(tl.int64) * n_cols + col_offsets, softmax_output, mask=mask)
