# ruff: noqa: E501  # a case on one line reads better than in pieces
"""Where a rewrite would change the result it finds no place: each case differs in one thing from one that it takes."""

import pytest

from kernelevolve import registry
from kernelevolve.kernel import Kernel, parse_kernel
from kernelevolve.outcome import Rejected
from kernelevolve.problem import Problem, TensorSpec
from kernelevolve.proposers.rewriting.triton_rules import TRITON_REWRITES, sites

HEADER = """# /// kernel
# language = "triton"
# [tune]
# BLOCK = [128, 64]
# [[launch]]
# entry = "k"
# grid = ["rows"]
# ///
import triton
import triton.language as tl


@triton.jit
def k(x, y, rows, cols, BLOCK: tl.constexpr):
"""
SOFTMAX = """
    row = tl.program_id(0)
    m = -float("inf")
    for c in range(0, cols, BLOCK):
        offs = c + tl.arange(0, BLOCK)
        v = tl.load(x + row * cols + offs, mask=offs < cols, other=-float("inf")).to(tl.float32)
        m = tl.maximum(m, tl.max(v, axis=0))
    s = 0.0
    for c in range(0, cols, BLOCK):
        offs = c + tl.arange(0, BLOCK)
        w = tl.load(x + row * cols + offs, mask=offs < cols, other=-float("inf")).to(tl.float32)
        s += tl.sum(tl.exp(w - m), axis=0)
    for c in range(0, cols, BLOCK):
        offs = c + tl.arange(0, BLOCK)
        z = tl.load(x + row * cols + offs, mask=offs < cols, other=0.0).to(tl.float32)
        tl.store(y + row * cols + offs, tl.exp(z - m) / s, mask=offs < cols)
"""
MOMENTS = """
    row = tl.program_id(0)
    total = 0.0
    for c in range(0, cols, BLOCK):
        offs = c + tl.arange(0, BLOCK)
        v = tl.load(x + row * cols + offs, mask=offs < cols, other=0.0).to(tl.float32)
        total += tl.sum(v, axis=0)
    mean = total / cols
    squares = 0.0
    for c in range(0, cols, BLOCK):
        offs = c + tl.arange(0, BLOCK)
        w = tl.load(x + row * cols + offs, mask=offs < cols, other=0.0).to(tl.float32)
        d = tl.where(offs < cols, w - mean, 0.0)
        squares += tl.sum(d * d, axis=0)
    root = tl.sqrt(squares / cols + 1.0)
    tl.store(y + row, mean / root)
"""
SUMS = """
    row = tl.program_id(0)
    a = 0.0
    for c in range(0, cols, BLOCK):
        offs = c + tl.arange(0, BLOCK)
        v = tl.load(x + row * cols + offs, mask=offs < cols, other=0.0).to(tl.float32)
        a += tl.sum(v, axis=0)
    b = 0.0
    for c in range(0, cols, BLOCK):
        offs = c + tl.arange(0, BLOCK)
        w = tl.load(x + row * cols + offs, mask=offs < cols, other=0.0).to(tl.float32)
        b += tl.sum(w * w, axis=0)
    tl.store(y + row, a + b)
"""
PLANE = """
    row = tl.program_id(0).to(tl.int64)
    col = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + row * cols + col, mask=col < cols, other=0.0).to(tl.float32)
    tl.store(y + row * cols + col, v * 2.0, mask=col < cols)
"""
COLUMNS = """
    col = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    acc = tl.zeros((BLOCK,), tl.float32)
    for r in range(rows):
        kept = tl.load(x + col, mask=col < cols, other=0.0).to(tl.float32)
        acc += tl.load(x + r * cols + col, mask=col < cols, other=0.0).to(tl.float32) * kept
    tl.store(y + col, acc, mask=col < cols)
"""
NESTED = """
    col = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    acc = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, rows):
        base = i * cols
        for j in range(0, cols):
            acc += tl.load(x + base + j) * 1.0
    tl.store(y + col, acc, mask=col < cols)
"""
PRODUCT = """
    rows_ = tl.program_id(0) * 32 + tl.arange(0, 32)
    cols_ = tl.program_id(1) * 32 + tl.arange(0, 32)
    acc = tl.zeros((32, 32), tl.float32)
    for i in range(0, cols, 16):
        terms = i + tl.arange(0, 16)
        left = tl.load(x + rows_[:, None] * cols + terms[None, :], mask=(rows_[:, None] < rows) & (terms[None, :] < cols), other=0.0)
        right = tl.load(x + cols_[None, :] * cols + terms[:, None], mask=(cols_[None, :] < rows) & (terms[:, None] < cols), other=0.0)
        acc += tl.dot(left, right, input_precision="ieee")
    tl.store(y + rows_[:, None] * cols + cols_[None, :], acc, mask=(rows_[:, None] < rows) & (cols_[None, :] < cols))
"""
TWO_GRID = ('["rows"]', '["rows", "cdiv(cols, BLOCK)"]')
COLUMN_GRID = ('["rows"]', '["cdiv(cols, BLOCK)"]')
PRODUCT_GRID = ('["rows"]', '["cdiv(rows, 32)", "cdiv(cols, 32)"]')
#: Rewrite, body, changes of the header that it takes, and what makes it let go: a name, and texts to replace.
CASES = {
    "warps": (SOFTMAX, (), {"offered already": ("# BLOCK", "# num_warps = [4]\n# BLOCK")}),
    "stages": (SOFTMAX, (), {"offered already": ("# BLOCK", "# num_stages = [3]\n# BLOCK")}),
    "follow-axis": (
        SOFTMAX,
        (),
        {
            "widths that are no powers of two": ("[128, 64]", "[96, 64]"),
            "loops that start elsewhere": ("range(0, cols, BLOCK)", "range(1, cols, BLOCK)"),
            "a width that decides": ("    m = -", "    if BLOCK > 64:\n        row = row + 0\n    m = -"),
            "half a width": ("tl.arange(0, BLOCK)", "tl.arange(0, BLOCK // 2)"),
            "a size that is no axis": ("range(0, cols, BLOCK)", "range(0, cols * BLOCK, BLOCK)"),
        },
    ),
    "single-pass": (
        SOFTMAX,
        (),
        {
            "a row that is written as it is read": ("tl.store(y", "tl.store(x"),
            "a return": ("    s = 0.0", "    s = 0.0\n    if m > 0.0:\n        return"),
            "blocks of their own for each loop": ("range(0, cols, BLOCK)", "range(0, cols - row, BLOCK)"),
        },
    ),
    "online-softmax": (
        SOFTMAX,
        (),
        {
            "a sum that starts elsewhere": ("s = 0.0", "s = 1.0"),
            "other elements": ("w = tl.load(x + row * cols + offs", "w = tl.load(x + row * cols + offs + 1"),
            "another mask": ("mask=offs < cols, other=-float(\"inf\")).to(tl.float32)\n        s", "mask=offs < rows, other=-float(\"inf\")).to(tl.float32)\n        s"),
            "another function": ("tl.exp(w - m), axis", "tl.exp(w - m) * w, axis"),
            "another maximum": ("tl.exp(w - m), axis", "tl.exp(w - 2.0 * m), axis"),
            "a name that the first loop uses": ("        m = tl", "        s = v\n        m = tl"),
            "a store between": ("    s = 0.0", "    tl.store(y, m)\n    s = 0.0"),
            "a type that is not float32": ("s = 0.0", "s = tl.zeros((), tl.float16)"),
        },
    ),
    "online-moments": (
        MOMENTS,
        (),
        {
            "another count": ("total / cols", "total / rows"),
            "elements outside that count": ("other=0.0).to(tl.float32)\n        total", "other=1.0).to(tl.float32)\n        total"),
            "deviations outside that count": ("w - mean, 0.0", "w - mean, 1.0"),
            "a fourth power": ("d * d", "d * d * d * d"),
            "a name that the first loop uses": ("        total += tl", "        mean = v\n        total += tl"),
            "another mask": ("tl.where(offs < cols", "tl.where(offs < cols - 1"),
        },
    ),
    "join": (
        SUMS,
        (),
        {
            "a sum that the second loop needs": ("w * w", "w * w - a"),
            "a name that the second loop sets": ("a += tl.sum(v", "a += tl.sum(v * k", "        b += ", "        k = 2.0\n        b += ", "    a = 0.0", "    k = 1.0\n    a = 0.0"),
            "a name that is set between": ("a += tl.sum(v", "a += tl.sum(v * k", "    b = 0.0", "    k = 2.0\n    b = 0.0", "    a = 0.0", "    k = 1.0\n    a = 0.0"),
            "another range": ("    b = 0.0\n    for c in range(0, cols, BLOCK)", "    b = 0.0\n    for c in range(0, rows, BLOCK)"),
            "a start that the first loop makes": ("b = 0.0", "b = a"),
            "a row that the first loop writes": ("        a += tl.sum(v, axis=0)", "        tl.store(x + row * cols + offs, v, mask=offs < cols)\n        a += tl.sum(v, axis=0)"),
        },
    ),
    "several-rows": (
        SOFTMAX,
        (),
        {
            "a length of its own for each row": ("range(0, cols, BLOCK)", "range(0, row + 1, BLOCK)"),
            "one place for all rows": ("tl.store(y + row * cols + offs", "tl.store(y + offs"),
            "a branch on the row": ("    s = 0.0", "    s = 0.0\n    if m > 0.0:\n        s = 1.0"),
            "matrices": ("tl.arange(0, BLOCK)", "tl.arange(0, BLOCK)[None, :]"),
            "a branch on a sum": ("    s = 0.0", "    s = 0.0\n    if tl.sum(tl.arange(0, BLOCK), axis=0) > 0:\n        s = 0.0"),
            "an atomic": ("    s = 0.0", "    s = 0.0\n    tl.atomic_add(y, m)"),
            "an order that decides": ("s += tl.sum", "s = s + tl.flip(tl.arange(0, 1), 0) + tl.sum"),
        },
    ),
    "several-turns": (
        COLUMNS,
        (COLUMN_GRID,),
        {
            "a step": ("range(rows)", "range(0, rows, 2)"),
            "a store": ("        kept", "        tl.store(y + r, 1.0)\n        kept"),
            "an order that matters": ("acc += tl", "acc = acc * 0.5 + tl"),
            "two that depend on each other": ("acc += tl", "acc += acc * tl"),
            "a branch": ("        kept =", "        if r > 2:\n            col = col\n        kept ="),
            "a bound that moves": ("    for r in range(rows):\n", "    n = rows\n    for r in range(n):\n        n = n - 1\n"),
        },
    ),
    "flatten": (
        PLANE,
        (TWO_GRID,),
        {
            "a sum": ("v * 2.0", "v * tl.sum(v, axis=0)"),
            "elements that are stored elsewhere": ("tl.store(y + row * cols + col", "tl.store(y + row * cols + col + 1"),
            "rows that do not follow one another": ("row * cols", "row * BLOCK"),
            "another mask": ("mask=col < cols, other", "mask=(col < cols) & (row > 2), other"),
            "a neighbour that is written": ("tl.load(x", "tl.load(y + 1"),
            "the number of a block": ("v * 2.0", "v * tl.program_id(1)"),
            "a range of another kind": ("v * 2.0", "v * tl.arange(0, BLOCK)"),
        },
    ),
    "grouped": (
        PLANE,
        (TWO_GRID,),
        {
            "programs that count one another": ("v * 2.0", "v * tl.num_programs(0)"),
            "programs that wait for one another": ("v * 2.0", "v * tl.atomic_add(y, 0.0)"),
            "one dimension": ('["rows", "cdiv(cols, BLOCK)"]', '["rows"]'),
            "groups already": ("BLOCK: tl.constexpr", "BLOCK: tl.constexpr, GROUP: tl.constexpr"),
        },
    ),
    "persistent": (
        SOFTMAX,
        (),
        {
            "tiles already": ("row = tl.program_id(0)", "row = tl.program_id(0) + tl.num_programs(0) * 0"),
            "a parameter that moves": ("    m = ", "    x += row\n    m = "),
            "a return in a loop": ("        s += ", "        if m > 0.0:\n            return\n        s += "),
            "an atomic": ("    s = 0.0", "    s = 0.0\n    tl.atomic_add(y, m)"),
        },
    ),
    "split-reduction": (
        COLUMNS,
        (COLUMN_GRID,),
        {
            "an order that matters": ("acc += tl", "acc = acc * 0.5 + tl"),
            "a store in the loop": ("        kept", "        tl.store(y + r, 1.0)\n        kept"),
            "a loop that starts elsewhere": ("range(rows)", "range(1, rows)"),
            "a counter that is used afterwards": ("y + col, acc", "y + col, acc + r"),
            "a type that is not known": ("tl.zeros((BLOCK,), tl.float32)", "tl.zeros((BLOCK,), x.dtype.element_ty)"),
        },
    ),
    "peel": (
        SUMS,
        (),
        {
            "a mask that ends before the blocks": ("mask=offs < cols", "mask=offs < cols - 1"),
            "a mask of something else": ("mask=offs < cols", "mask=offs < rows"),
            "a loop that starts elsewhere": ("range(0, cols, BLOCK)", "range(1, cols, BLOCK)"),
            "a range that reaches beyond the block": ("tl.arange(0, BLOCK)", "tl.arange(0, 2 * BLOCK)"),
        },
    ),
    "divisible": (
        SUMS,
        (),
        {
            "a mask that ends before the blocks": ("mask=offs < cols", "mask=offs < cols - 1"),
            "a mask of something else": ("mask=offs < cols", "mask=offs < tl.load(y + 1)"),
            "a mask that is looked up": ("mask=offs < cols", "mask=tl.load(y + offs) < cols"),
        },
    ),
    "descriptors": (
        PRODUCT,
        (PRODUCT_GRID,),
        {
            "ones outside": ("other=0.0", "other=1.0"),
            "tiles that are too small": ("16", "8"),
            "every second column": ("i + tl.arange(0, 16)", "i + 2 * tl.arange(0, 16)"),
            "a mask that says more": ("< cols)", "< cols - 1)"),
            "a buffer that is written": ("tl.store(y", "tl.store(x"),
        },
    ),
    "walk-pointers": (
        COLUMNS.replace("        kept = tl.load(x + col, mask=col < cols, other=0.0).to(tl.float32)\n", "").replace(" * kept", ""),
        (COLUMN_GRID,),
        {
            "squares": ("r * cols", "r * r"),
            "a remainder": ("r * cols", "r % 3 * cols"),
            "a row that is looked up": ("r * cols", "tl.load(y + col).to(tl.int32)"),
            "a branch": ("        acc += ", "        if r > 1:\n            acc += "),
        },
    ),
    "hoist": (
        COLUMNS,
        (COLUMN_GRID,),
        {
            "a loop that may not run": ("range(rows)", "range(rows - 1)", "tl.load(x + col, mask=col < cols, other=0.0)", "tl.load(x + col)"),
            "a buffer that is written": ("tl.store(y", "tl.store(x"),
            "a branch": ("        kept = tl.load(x + col, mask=col < cols, other=0.0)", "        kept = acc\n        if r > 1:\n            kept = tl.load(x + col, mask=col < cols, other=0.0)"),
            "an index of the loop": ("tl.load(x + col", "tl.load(x + r + col"),
        },
    ),
    "vector-accumulator": (
        SUMS,
        (),
        {
            "an order that matters": (" += tl.sum", " = 0.5 + tl.sum"),
            "a sum that the loop uses": ("tl.sum(v,", "tl.sum(v * a,", "tl.sum(w * w,", "tl.sum(w * b,"),
            "a type that is not float32": (".to(tl.float32)", ""),
        },
    ),
    "dot-accumulate": (
        PRODUCT,
        (PRODUCT_GRID,),
        {
            "an accumulator already": ('input_precision="ieee")', 'acc, input_precision="ieee")'),
            "something more": ("acc += tl.dot(left, right", "acc += 2.0 * tl.dot(left, right"),
            "another type": ("tl.zeros((32, 32), tl.float32)", "tl.zeros((32, 32), tl.float16)"),
        },
    ),
    "interchange": (
        NESTED,
        (COLUMN_GRID,),
        {
            "an inner range that the outer loop sets": ("range(0, cols)", "range(0, i)"),
            "an order that matters": ("acc += tl", "acc = acc * 0.5 + tl"),
            "a store": ("            acc", "            tl.store(y + j, 1.0)\n            acc"),
            "work behind the inner loop": ("    tl.store(y + col", "        acc += 1.0\n    tl.store(y + col"),
        },
    ),
    "exp2": (PLANE.replace("v * 2.0", "tl.exp(v)"), (TWO_GRID,), {"a type that is not float32": (".to(tl.float32)", "")}),
    "reciprocal": (
        SOFTMAX,
        (),
        {
            "one division for each element": ("/ s", "/ (z + s)"),
            "a type that is not float32": (".to(tl.float32)\n        tl.store(y + row * cols + offs, tl.exp(z - m)", "\n        tl.store(y + row * cols + offs, z"),
        },
    ),
    "rsqrt": (
        MOMENTS,
        (),
        {
            "a root that is used as it is": ("mean / root", "mean / root + root"),
            "a root that is divided": ("mean / root", "root / mean"),
            "whole numbers": ("tl.sqrt(squares / cols + 1.0)", "tl.sqrt(cols)"),
        },
    ),
    "pipeline": (
        SOFTMAX,
        (),
        {
            "chosen already": ("range(0, cols, BLOCK)", "tl.range(0, cols, BLOCK, num_stages=2)"),
            "a loop that is written out": ("range(0, cols, BLOCK)", "tl.static_range(0, 128, BLOCK)"),
        },
    ),
    "unroll": (
        SOFTMAX,
        (),
        {
            "chosen already": ("range(0, cols, BLOCK)", "tl.range(0, cols, BLOCK, loop_unroll_factor=2)"),
            "a loop that is written out": ("range(0, cols, BLOCK)", "tl.static_range(0, 128, BLOCK)"),
        },
    ),
    "flatten-loops": (
        NESTED,
        (COLUMN_GRID,),
        {
            "flat already": ("range(0, rows)", "tl.range(0, rows, flatten=True)"),
            "two inner loops": ("    tl.store(y + col", "        for j in range(0, cols):\n            acc += 1.0\n    tl.store(y + col"),
        },
    ),
    "caching": (
        PLANE,
        (TWO_GRID,),
        {
            "chosen already": ("mask=col < cols", 'eviction_policy="evict_last", mask=col < cols'),
            "volatile": ("other=0.0)", "other=0.0, volatile=True)", "v * 2.0, mask=col < cols)", 'v * 2.0, mask=col < cols, cache_modifier=".cs")'),
        },
    ),
    "contiguous": (
        PLANE,
        (TWO_GRID,),
        {
            "a start between blocks": ("+ tl.arange(0, BLOCK)", "+ 1 + tl.arange(0, BLOCK)"),
            "every second element": ("+ tl.arange(0, BLOCK)", "+ 2 * tl.arange(0, BLOCK)"),
            "a longer range": ("+ tl.arange(0, BLOCK)", "+ tl.arange(0, 2 * BLOCK)"),
            "said already": ("tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)", "tl.max_contiguous(tl.multiple_of(tl.program_id(1) * BLOCK + tl.arange(0, BLOCK), BLOCK), BLOCK)"),
        },
    ),
    "narrow": (
        PLANE,
        (TWO_GRID,),
        {
            "an index that is looked up": ("tl.program_id(0).to(tl.int64)", "tl.load(y).to(tl.int64)"),
            "a place that is not known": ("tl.load(x + row * cols + col", "tl.load(x + tl.load(y + col).to(tl.int64)"),
            "an index that is stored": ("v * 2.0", "v * row"),
            "32 bits already": (".to(tl.int64)", ""),
        },
    ),
}  # fmt: skip


def kernel(body: str, header: str = HEADER) -> Kernel:
    return parse_kernel(header + body.lstrip("\n"))


def notes(name: str, made: Kernel, problem: Problem | None = None) -> list[str]:
    rewrite = next(rewrite for rewrite in TRITON_REWRITES if rewrite.name == name)
    return [site.note for site in sites(made, problem or registry.problem("softmax"), rewrite)]


def changed(text: str, texts: tuple[str, ...]) -> str:
    for old, new in zip(texts[::2], texts[1::2], strict=True):
        assert old in text, old
        text = text.replace(old, new)
    return text


VARIANTS = [(name, what) for name, (_, _, variants) in CASES.items() for what in variants]


@pytest.mark.parametrize(("name", "what"), VARIANTS, ids=[f"{name} with {what}" for name, what in VARIANTS])
def test_leaves_alone(name: str, what: str) -> None:
    body, takes, variants = CASES[name]
    text = HEADER + body.lstrip("\n")
    for texts in takes:
        text = changed(text, texts)
    assert notes(name, parse_kernel(text)), "the case that differs from it has to apply"
    assert notes(name, parse_kernel(changed(text, variants[what]))) == []


def test_every_rewrite_is_refused_somewhere() -> None:
    elsewhere = {"folded-exp2", "fuse-epilogue"}
    assert {rewrite.name for rewrite in TRITON_REWRITES} == set(CASES) | elsewhere


FOLDED = """
    row = tl.program_id(0)
    offs = tl.arange(0, BLOCK)
    v = tl.load(x + row * cols + offs, mask=offs < cols, other=0.0).to(tl.float32)
    z = v * 0.5
    z = tl.where(offs < cols, z, float("-inf"))
    m = tl.max(z, axis=0)
    p = tl.exp(z - m)
    tl.store(y + row * cols + offs, p, mask=offs < cols)
"""


@pytest.mark.parametrize(
    ("what", "old", "new"),
    [
        ("scaled values that are stored", "offs, p,", "offs, p + z,"),
        ("a maximum that is used beside", "offs, p,", "offs, p + m,"),
        ("a condition on them", "tl.exp(z - m)", "tl.exp(tl.where(z > 1.0, z, m))"),
        ("a product under exp", "tl.exp(z - m)", "tl.exp(z * z - m)"),
        ("no factor", "z = v * 0.5", "z = v + 0.5"),
        ("something unscaled", "tl.exp(z - m)", "tl.exp(z - v)"),
        ("a number that does not scale", 'float("-inf")', "-1.0"),
    ],
)
def test_log2e_is_folded_only_where_all_scaled_values_go_under_exp(what: str, old: str, new: str) -> None:
    assert len(notes("folded-exp2", kernel(FOLDED))) == 1
    assert notes("folded-exp2", kernel(changed(FOLDED, (old, new)))) == [], what


FUSED = """# /// kernel
# language = "triton"
# [tune]
# BLOCK = [128, 64]
# [scratch.t]
# shape = ["rows", "cols"]
# [[launch]]
# entry = "first"
# grid = ["rows", "cdiv(cols, BLOCK)"]
# [[launch]]
# entry = "second"
# grid = ["cdiv(rows * cols, BLOCK)"]
# args = { n = "rows * cols" }
# ///
import triton
import triton.language as tl


@triton.jit
def first(x, t, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    col = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + row * cols + col, mask=col < cols, other=0.0).to(tl.float32)
    tl.store(t + row * cols + col, v + 1.0, mask=col < cols)


@triton.jit
def second(t, x, y, n, cols, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(t + i, mask=i < n, other=0.0)
    w = tl.load(x + i % cols, mask=i < n, other=0.0).to(tl.float32)
    tl.store(y + i, v * w, mask=i < n)
"""


@pytest.mark.parametrize(
    ("what", "texts"),
    [
        ("a neighbour", ("tl.load(t + i,", "tl.load(t + i + 1,")),
        ("a sum", ("v * w", "v * tl.sum(w, axis=0)")),
        ("a place that another program writes", ("tl.store(y + i,", "tl.store(x + i,")),
        ("an output that is read back", ("tl.store(t +", "tl.store(y +", "tl.load(t +", "tl.load(y +")),
        ("fewer elements than there are", ('n = "rows * cols"', 'n = "rows"', "cdiv(rows * cols", "cdiv(rows")),
        ("the number of the program", ("v * w", "v * w + tl.program_id(0)")),
        ("two stores", ("    tl.store(t + row * cols + col, v + 1.0, mask=col < cols)\n", "    tl.store(t + row * cols + col, v + 1.0, mask=col < cols)\n    tl.store(t + row * cols + col, v, mask=col < cols)\n")),
        ("names that mean something else", ('args = { n = "rows * cols" }', 'args = { n = "rows * cols", cols = "rows" }')),
    ],
)  # fmt: skip
def test_an_epilogue_is_fused_only_where_it_goes_element_by_element(what: str, texts: tuple[str, ...]) -> None:
    assert len(notes("fuse-epilogue", parse_kernel(FUSED))) == 1
    assert notes("fuse-epilogue", parse_kernel(changed(FUSED, texts))) == [], what


def test_a_buffer_that_a_later_launch_reads_keeps_its_launch() -> None:
    third = FUSED.replace("# ///\nimport", '# [[launch]]\n# entry = "third"\n# grid = ["rows"]\n# ///\nimport')
    third += "\n\n@triton.jit\ndef third(t, y):\n    tl.store(y, tl.load(t))\n"
    assert notes("fuse-epilogue", parse_kernel(third)) == []


@pytest.mark.parametrize("name", [rewrite.name for rewrite in TRITON_REWRITES])
def test_an_entry_that_is_called_or_takes_lists_is_left_alone(name: str) -> None:
    assert notes(name, parse_kernel(HEADER.replace("x, y, rows", "*x, y, rows") + SOFTMAX.lstrip("\n"))) == []
    helper = "\n\n@triton.jit\ndef other(x):\n    k(x, x, 1, 1, 8)\n"
    assert notes(name, kernel(SOFTMAX + helper)) == []


def test_default_values_are_in_nobodys_way() -> None:
    made = parse_kernel(HEADER.replace("BLOCK: tl.constexpr)", "BLOCK: tl.constexpr = 8)") + SOFTMAX.lstrip("\n"))
    rewrite = next(rewrite for rewrite in TRITON_REWRITES if rewrite.name == "persistent")
    (site,) = sites(made, registry.problem("softmax"), rewrite)
    assert "def k(x, y, rows, cols, BLOCK: tl.constexpr, tiles):" in site.make().body


def test_a_source_that_is_no_python_is_rejected() -> None:
    with pytest.raises(Rejected, match="no Python"):
        notes("peel", kernel("    row = (\n"))


def test_a_launch_of_two_shapes_has_no_grid_to_reason_about() -> None:
    twice = HEADER.replace("# ///\nimport", '# [[launch]]\n# entry = "k"\n# grid = ["rows + 1"]\n# ///\nimport')
    made = parse_kernel(twice + SOFTMAX.lstrip("\n"))
    for name in ("persistent", "several-rows", "grouped", "flatten"):
        assert notes(name, made) == []


def test_types_follow_the_workloads() -> None:
    """An element type that is float32 in every workload makes float32 arithmetic; half precision in any does not."""
    body = SOFTMAX.replace(".to(tl.float32)", "").replace("tl.exp(w - m)", "tl.exp(w)").replace("tl.exp(z - m)", "z")
    assert notes("exp2", kernel(body)) == []
    only = Problem(
        name="plain",
        axes=("rows", "cols"),
        inputs=(TensorSpec("x", "rows, cols"),),
        outputs=(TensorSpec("y", "rows, cols"),),
        reference=lambda x: x,
        workloads=("rows=2,cols=2",),
    )
    assert notes("exp2", kernel(body), only) == ["exp2 for 1 exp"]


def test_what_stands_in_the_way_of_one_loop_leaves_the_others() -> None:
    assert len(notes("peel", kernel(SUMS))) == 2
    assert len(notes("peel", kernel(SUMS.replace("a + b", "a + b + c")))) == 1  # the second loop's counter is read
    assert len(notes("single-pass", kernel(SOFTMAX))) == 2
    assert len(notes("single-pass", kernel(SOFTMAX.replace("s = 0.0", "s = 0.0 + c")))) == 2  # of the last two loops


def test_a_load_under_a_branch_of_the_compilers_is_hoisted_with_the_branch() -> None:
    static = COLUMNS.replace("        kept = ", "        kept = acc\n        if BLOCK:\n            kept = ")
    header = changed(HEADER, COLUMN_GRID)
    made = parse_kernel(header + static.lstrip("\n"))
    rewrite = next(rewrite for rewrite in TRITON_REWRITES if rewrite.name == "hoist")
    (site,) = sites(made, registry.problem("softmax"), rewrite)
    assert "    if BLOCK:\n        x_kept = tl.load(x + col, mask=col < cols, other=0.0)\n    for r" in site.make().body
    bare = static.replace("tl.load(x + col, mask=col < cols, other=0.0)", "tl.load(x + col)")
    assert len(notes("hoist", parse_kernel(header + bare.lstrip("\n")))) == 1
    assert notes("hoist", parse_kernel(header + bare.lstrip("\n").replace("range(rows)", "range(rows - 1)"))) == []


def test_what_follows_from_the_grid_needs_no_condition() -> None:
    body = PLANE.replace("mask=col < cols", "mask=(col < cols) & (row < rows)")
    found = notes("divisible", parse_kernel(changed(HEADER, TWO_GRID) + body.lstrip("\n")))
    assert found == ["no masks that always hold", "no masks where cols % BLOCK == 0"]
