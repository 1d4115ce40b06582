# ruff: noqa: E501  # a sample on one line reads better than C in pieces
"""Where a rewrite would change the result, it must find no place."""

import pytest

from kernelevolve import registry
from kernelevolve.kernel import Kernel, parse_kernel
from kernelevolve.proposers.rewriting.table import REWRITES, sites

HEADER = """// /// kernel
// language = "opencl"
// [[launch]]
// entry = "k"
// grid = ["{grid}"]
// block = ["{block}"]
// ///
"""


def kernel(body: str, *, grid: str = "cdiv(rows, 8)", block: str = "8", before: str = "") -> Kernel:
    head = "__kernel void k(__global const float *x, __global float *y, int rows, int cols)"
    return parse_kernel(f"{HEADER.format(grid=grid, block=block)}{before}{head} {{\n{body}\n}}\n")


def notes(name: str, made: Kernel) -> list[str]:
    rewrite = next(rewrite for rewrite in REWRITES if rewrite.name == name)
    return [site.note for site in sites(made, registry.problem("softmax"), rewrite)]


SUM = "float s = 0.0f; for (int c = 0; c < cols; ++c) {{ {} }} y[0] = s;"
REFUSED = {
    "an order that matters": (("lanes", "vectorise"), SUM.format("s = s * 0.5f + x[c];")),
    "a prefix sum": (("lanes", "vectorise", "fuse"), SUM.format("s += x[c]; y[c] = s;")),
    "two operators on one variable": (("lanes", "vectorise"), SUM.format("s += x[c]; s = fmax(s, x[c]);")),
    "a loop that stops early": (("lanes", "vectorise", "unroll"), SUM.format("s += x[c]; if (s > 3.0f) break;")),
    "a neighbour that is written": (("lanes", "vectorise"), SUM.format("s += y[c + 1]; y[c] = x[c];")),
    "one element that all write": (("lanes", "vectorise"), SUM.format("y[0] = x[c];")),
    "strides": (("vectorise",), SUM.format("s += x[c * 2];")),
    "an index that is looked up": (("vectorise",), SUM.format("s += x[(int)x[c]];")),
    "integers": (("vectorise",), "int s = 0; for (int c = 0; c < cols; ++c) { s += c; } y[0] = s;"),
    "a bound that the loop moves": (
        ("lanes", "unroll", "unroll-pragma", "hoist"),
        "float s = 0.0f; for (int c = 0; c < cols; ++c) { s += x[c] + cols * 2; cols -= 1; } y[0] = s;",
    ),
    "a barrier in the loop": (("lanes", "fuse", "vectorise"), SUM.format("s += x[c]; barrier(CLK_LOCAL_MEM_FENCE);")),
    "an atomic in the loop": (("lanes",), SUM.format("s += x[c]; atomic_add((__global int *)y, 1);")),
    "a second loop that needs the first one's result": (
        ("fuse",),
        (
            "float m = 0.0f; for (int c = 0; c < cols; ++c) { m = fmax(m, x[c]); }"
            " for (int c = 0; c < cols; ++c) { y[c] = x[c] - m; }"
        ),
    ),
    "a second loop that reads the first one's neighbours": (
        ("fuse",),
        "for (int c = 0; c < cols; ++c) { y[c] = x[c]; } for (int c = 0; c < cols; ++c) { x2[c] = y[c + 1]; }",
    ),
    "loops over different ranges": (
        ("fuse",),
        "for (int c = 0; c < cols; ++c) { y[c] = x[c]; } for (int c = 1; c < cols; ++c) { y[c + 9] = x[c]; }",
    ),
    "an inner range that the outer loop sets": (
        ("interchange", "tile"),
        "float s = 0.0f; for (int r = 0; r < rows; ++r) { for (int c = 0; c < r; ++c) { s += x[c]; } } y[0] = s;",
    ),
    "a value that changes in the loop": (("hoist", "reciprocal"), SUM.format("s += x[c] / (s + 1.0f);")),
    "a whole-number division": (("hoist", "reciprocal"), SUM.format("s += x[c + rows / cols];")),
    "a branch that guards a load": (("branchless",), "float v = 0.0f; if (rows < cols) v = x[rows]; y[0] = v;"),
    "a branch that writes memory": (("branchless",), "if (rows < cols) y[0] = 1.0f;"),
    "a branch that guards a division": (("branchless",), "int v = 0; if (rows > 0) v = cols / rows; y[0] = v;"),
    "local memory": (
        ("coarsen", "jam", "group-size", "row-per-group"),
        "__local float t[8]; int i = get_global_id(0); t[get_local_id(0)] = x[i]; barrier(CLK_LOCAL_MEM_FENCE); y[i] = t[0];",
    ),
    "an index that moves": (("coarsen", "jam"), "int i = get_global_id(0); i += 3; y[i] = x[i];"),
    "a return inside a loop": (
        ("coarsen", "jam", "row-per-group"),
        "int i = get_global_id(0); if (i >= rows) return; for (int c = 0; c < cols; ++c) { if (x[c] > 1.0f) return; y[i] = x[c]; }",
    ),
    "a row that is read after it was written": (
        ("jam", "row-per-group"),
        (
            "int i = get_global_id(0); if (i >= rows) return; for (int c = 0; c < cols; ++c) { y[i * cols + c] = x[c]; }"
            " for (int c = 0; c < cols; ++c) { y[i * cols + c] = y[i * cols + c] * 2.0f; }"
        ),
    ),
    "a row that is read back under another name": (
        ("jam", "row-per-group", "lanes", "vectorise"),
        (
            "int i = get_global_id(0); if (i >= rows) return; __global float *row = y + i * cols; float s = 0.0f;"
            " for (int c = 0; c < cols; ++c) { row[c] = x[c]; s += y[i * cols + c + 1]; } y[i] = s;"
        ),
    ),
    "an output that no name reaches yet": (
        ("reuse-output",),
        (
            "float s = 0.0f; for (int c = 0; c < cols; ++c) { s += exp(x[c]); } __global float *row = y + cols;"
            " for (int c = 0; c < cols; ++c) { row[c] = exp(x[c]) / s; }"
        ),
    ),
    "an output whose place is not known yet": (
        ("reuse-output",),
        (
            "float s = 0.0f; for (int c = 0; c < cols; ++c) { s += exp(x[c]); } const int at = cols * 2;"
            " for (int c = 0; c < cols; ++c) { y[at + c] = exp(x[c]) / s; }"
        ),
    ),
    "one dimension": (("swap-dimensions",), "y[get_global_id(0)] = 1.0f;"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_leaves_alone(what: str) -> None:
    names, body = REFUSED[what]
    for name in names:
        assert notes(name, kernel(body)) == [], name


def test_online_softmax_needs_a_sum_that_starts_at_zero() -> None:
    body = (
        "float m = -INFINITY; for (int c = 0; c < cols; ++c) { m = fmax(m, x[c]); } float s = START;"
        " for (int c = 0; c < cols; ++c) { s += exp(x[c] - m); } y[0] = s + m;"
    )
    assert len(notes("online-softmax", kernel(body.replace("START", "0.0f")))) == 2
    assert notes("online-softmax", kernel(body.replace("START", "1.0f"))) == []
    assert (
        notes("online-softmax", kernel(body.replace("START", "0.0f").replace("s += exp(x[c]", "s += exp(x[c + 1]")))
        == []
    )


def test_a_promise_about_the_group_size_is_made_once_and_for_known_sizes_only() -> None:
    made = kernel("y[get_global_id(0)] = 1.0f;")
    assert notes("required-size", made) == ["reqd_work_group_size(8, 1, 1)"]
    assert notes("required-size", kernel("y[get_global_id(0)] = 1.0f;", block="min(rows, 8)")) == []
    promised = kernel("y[get_global_id(0)] = 1.0f;", before="__attribute__((reqd_work_group_size(8, 1, 1)))\n")
    assert notes("required-size", promised) == []
    assert notes("group-size", promised) == []


def test_const_is_added_to_pointers_that_are_only_read() -> None:
    made = parse_kernel(
        HEADER.format(grid="1", block="1")
        + "__kernel void k(__global float *x, __global float *y, __global float *z) { __global float *p = z; y[0] = x[0]; }\n"
    )
    rewrite = next(rewrite for rewrite in REWRITES if rewrite.name == "qualify")
    body = sites(made, registry.problem("softmax"), rewrite)[0].make().body
    assert "__global const float *restrict x, __global float *restrict y, __global float *restrict z" in body


def test_a_file_without_the_launched_entry_has_no_sites() -> None:
    made = parse_kernel(HEADER.format(grid="1", block="1") + "__kernel void other(__global float *y) { y[0] = 1; }\n")
    assert all(notes(rewrite.name, made) == [] for rewrite in REWRITES)


@pytest.mark.parametrize(
    "body", ["", ";", "for (;;) { }", "if (rows) { } else { }", "return;", "#if A\nint a;\n#endif", "{ { } }"]
)
def test_odd_statements_are_no_error(body: str) -> None:
    for rewrite in REWRITES:
        for site in sites(kernel(body), registry.problem("softmax"), rewrite):
            assert site.make() is not None
