"""What the analysis takes out of kernels, and the code it must not touch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve.kernel import parse_kernel
from kernelevolve.languages.opencl_c.source import parse
from kernelevolve.proposers.recipes.entry import read_entry
from kernelevolve.proposers.recipes.flattened import unflatten
from kernelevolve.proposers.recipes.instantiate import instantiate
from kernelevolve.proposers.recipes.reductions import combination
from kernelevolve.proposers.recipes.strides import Stride, stride
from kernelevolve.proposers.recipes.tree import NotAnalysableError, canonical


def statement(text: str):
    source = parse(f"void f() {{ {text} }}")
    return source, next(source.functions()).child_by_field_name("body").named_children[0]


def edited(problem, old: str, new: str):
    text = problem.seeds["opencl"]
    assert old in text
    return parse_kernel(text.replace(old, new))


@pytest.mark.parametrize(
    ("text", "name", "family"),
    [
        ("s += x[i];", "s", "add"),
        ("s = x[i] + s;", "s", "add"),
        ("s = fma(x[i], x[i], s);", "s", "add"),
        ("p *= x[i];", "p", "mul"),
        ("m = fmax(x[i], m);", "m", "max"),
        ("m = m > x[i] ? m : x[i];", "m", "max"),
        ("m = x[i] < m ? x[i] : m;", "m", "min"),
        ("if (x[i] > m) m = x[i];", "m", "max"),
        ("if (m > x[i]) { m = x[i]; }", "m", "min"),
    ],
)
def test_combinations_are_recognised_however_they_are_written(text, name, family):
    source, node = statement(text)
    found = combination(source, node)

    assert (found.name, found.family) == (name, family)


@pytest.mark.parametrize(
    "text",
    [
        "s -= x[i];",
        "s = x[i];",
        "s = s * s + x[i];",
        "s += s;",
        "if (x[i] > m) m = i;",
        "m = a > b ? m : x[i];",
        "f(s);",
    ],
)
def test_other_statements_are_no_combinations(text):
    assert combination(*statement(text)) is None


ATOMS = st.sampled_from(["i", "row", "cols", "3", "1"])
INDICES = st.recursive(
    ATOMS,
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    max_leaves=8,
)


@given(INDICES, st.integers(0, 50), st.integers(0, 9), st.integers(1, 20))
def test_a_stride_is_what_the_index_really_moves_by(index, i, row, cols):
    source, node = statement(f"{index};")
    found = stride(source, node.named_children[0], "i", {})

    def at(value):
        return eval(index, {}, {"i": value, "row": row, "cols": cols})

    if found is not Stride.OTHER:
        assert at(i + 1) - at(i) == found.value


def test_the_group_form_becomes_one_serial_item(problems):
    entry = read_entry(parse_kernel(problems["softmax"].seeds["opencl"]), problems["softmax"])
    text = canonical(entry.text(entry.statements))

    assert "barrier" not in text
    assert "partial" not in text
    assert "for(int col=0;col<cols;col++){peak=fmax(peak,(float)x[start+col]);}" in text
    assert [(one.name, one.host) for one in entry.ids] == [("item0", "rows")]


def test_guards_say_how_many_items_there_are(problems):
    entry = read_entry(parse_kernel(problems["matmul"].seeds["opencl"]), problems["matmul"])

    assert [(one.name, one.extent, one.dimension) for one in entry.ids] == [("col", "n", 0), ("row", "m", 1)]


def test_a_grid_without_guard_says_how_many_items_there_are(problems):
    entry = read_entry(parse_kernel(problems["distance"].seeds["opencl"]), problems["distance"])

    assert [(one.name, one.extent) for one in entry.ids] == [("i", "m"), ("j", "n")]
    assert "int m" in entry.parameters


def test_an_id_that_is_only_divided_stands_for_two(problems):
    asked = problems["flat"]
    entry = unflatten(read_entry(parse_kernel(asked.seeds["opencl"]), asked), asked)

    assert [(one.name, one.extent, one.host) for one in entry.ids] == [("col", "n", "n"), ("row", "m", "m")]


def test_an_id_that_is_used_beside_its_parts_stays_one(problems):
    asked = problems["flat"]
    entry = unflatten(read_entry(edited(asked, "c[row * n + col]", "c[id]"), asked), asked)

    assert [one.name for one in entry.ids] == ["id"]


def test_an_id_of_groups_counts_groups(problems):
    asked = problems["row_sum"]
    entry = read_entry(edited(asked, "get_global_id(0);\n    if (row < rows) {", "get_group_id(0);\n    {"), asked)

    assert entry.item(0).host == "cdiv(rows, 64)"


@pytest.mark.parametrize(
    ("problem", "recipe", "old", "new"),
    [
        # A tree that combines otherwise than the loop before it computes something else.
        ("softmax", "rows-lanes", "fmax(partial[lane], partial", "fmin(partial[lane], partial"),
        # A value of one item that another one reads is more than a reduction.
        ("softmax", "rows-lanes", "peak = partial[0];", "peak = partial[1];"),
        # A partial result that the loop itself looks at depends on the order.
        ("row_sum", "rows-lanes", "total = total + x[row * cols + i];", "total = total + x[row * cols + i] * total;"),
        ("layer_norm", "tile", "mean /= cols;", "mean /= rows;"),
        # An iteration that needs the one before, leaves early, or changes what the next one sees.
        ("row_sum", "rows-lanes", "+ x[row * cols + i];", "+ x[row * cols + i], y[i] = y[i - 1] + x[i];"),
        ("row_sum", "rows-lanes", "total = total + x[row * cols + i];", "{ y[i] = y[i - 1] + x[i]; }"),
        ("row_sum", "rows-lanes", "total = total + x[row * cols + i];", "{ total += x[i]; rows = rows * 3 - 1; }"),
        ("row_sum", "rows-lanes", "total = total + x[row * cols + i];", "{ total += x[i]; if (rows > 9) break; }"),
        ("row_sum", "rows-lanes", "y[row] =", "if (total > 0) return; y[row] ="),
        # Neighbours that write elsewhere, or only some of which write.
        ("sigmoid", "lanes", "y[i] =", "y[n - 1 - i] ="),
        ("sigmoid", "lanes", "y[i] =", "if (s > 0) y[i] ="),
        ("sigmoid", "lanes", "x[i])", "x[i] + i)"),
        # The loop's length depends on the row, and the tile shares one loop.
        ("matmul", "tile", "i < k", "i < k - row"),
        ("matmul", "tile", "b[(size_t)i * n + col]", "b[(size_t)i * n + col * 2]"),
        # Halves that overlap, an interval of each item's own, a comparison with the interval.
        ("upper_bound", "search-batch", "lo = mid + 1", "lo = mid"),
        ("upper_bound", "search-batch", "hi = m;", "hi = i;"),
        ("upper_bound", "search-batch", "v < t[mid]", "v < t[mid] || lo > 5"),
        ("upper_bound", "search-batch", "y[i] = lo;", "y[i] = lo + hi;"),
    ],
)
def test_code_of_another_form_is_left_alone(problems, problem, recipe, old, new):
    asked = problems[problem]

    with pytest.raises(NotAnalysableError):
        instantiate(edited(asked, old, new), asked, asked.workloads, recipe)


def test_an_expression_that_changes_in_between_is_not_reused(problems):
    asked = problems["softmax"]
    kernel = edited(asked, "total = partial[0];", "total = partial[0];\n  peak = peak + 1.0f;")

    with pytest.raises(NotAnalysableError, match="share"):
        instantiate(kernel, asked, asked.workloads, "rows-reuse")


def test_names_of_the_skeleton_that_the_kernel_uses_itself_are_refused(problems):
    asked = problems["sigmoid"]
    kernel = edited(asked, "float s =", "float LANES = 1.0f; float s = LANES *")

    with pytest.raises(NotAnalysableError, match="LANES"):
        instantiate(kernel, asked, asked.workloads, "lanes")
