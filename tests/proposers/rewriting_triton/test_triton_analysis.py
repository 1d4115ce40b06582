"""What the rewrites know of a kernel: its trees, its values, its indices and their bounds."""

import math

import libcst as cst
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve import registry
from kernelevolve.kernel import parse_kernel
from kernelevolve.proposers.rewriting.python_edits import Apply, Edit, atomic, module_of, names_in, walk
from kernelevolve.proposers.rewriting.python_flow import Flow, Kind
from kernelevolve.proposers.rewriting.python_view import PythonView
from kernelevolve.proposers.rewriting.triton_rules.bounds import header_text, holds_if
from kernelevolve.proposers.rewriting.triton_rules.forms import Atom, Form, name, number, operation
from kernelevolve.proposers.rewriting.triton_rules.loops import always_runs, carried
from kernelevolve.proposers.rewriting.triton_rules.view import TritonView, triton_views

HEADER = """# /// kernel
# language = "triton"
# [tune]
# BLOCK = [128, 64]
# [[launch]]
# entry = "k"
# grid = ["cdiv(rows * cols, BLOCK)"]
# args = { total = "rows * cols" }
# ///
import triton
import triton.language as tl

SCALE = tl.constexpr(2)


@triton.jit
def helper(p, n, B: tl.constexpr):
    at = tl.program_id(0) * B + tl.arange(0, B)
    return tl.load(p + at, mask=at < n, other=0.0), at


"""


def view(body: str) -> TritonView:
    text = f"{HEADER}@triton.jit\ndef k(x, y, rows, cols, total, BLOCK: tl.constexpr):\n"
    lines = "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    return triton_views(parse_kernel(text + lines), registry.problem("softmax"))[0]


def form_of(made: TritonView, variable: str) -> Form | None:
    last = [one for one in made.flow.definitions if one.name == variable and one.kind is Kind.VALUE][-1]
    assert last.value is not None
    return made.indices.form(last.value)


def test_each_use_sees_the_assignment_before_it() -> None:
    made = view("a = rows\nb = a + 1\na = b * 2\nc = a")
    by_name = {(use.value, made.text(made.statement(use))): one for use, one in made.flow.reaching.items()}
    assert by_name["a", "b = a + 1"] is not by_name["a", "c = a"]
    assert str(form_of(made, "c")) == str(form_of(made, "a"))
    assert form_of(made, "c") == (name("rows") + number(1)) * number(2)


def test_loops_and_branches_are_where_values_meet() -> None:
    made = view("s = 0\nfor i in range(rows):\n    if i > 2:\n        s = s + i\n    t = i\ntl.store(y, s)")
    kinds = [(one.name, one.kind) for one in made.flow.definitions]
    assert ("s", Kind.CARRIED) in kinds
    assert ("s", Kind.MERGED) in kinds
    stored = next(use for use in made.flow.reaching if made.text(made.statement(use)).startswith("tl.store"))
    assert {one.kind for use, one in made.flow.reaching.items() if use.value == "s" and use is not stored} >= {
        Kind.CARRIED
    }
    assert not next(one for one in made.flow.definitions if (one.name, one.kind) == ("t", Kind.VALUE)).is_read
    assert next(one for one in made.flow.definitions if (one.name, one.kind) == ("s", Kind.MERGED)).is_read


def test_a_branch_that_returns_leaves_nothing_behind() -> None:
    made = view("a = 1\nif rows > 2:\n    a = 2\n    return\ntl.store(y, a)")
    use = next(use for use in made.flow.reaching if use.value == "a")
    assert made.flow.reaching[use].kind is Kind.VALUE


def test_functions_of_the_file_are_written_out() -> None:
    made = view("value, place = helper(x, total, BLOCK)\ntl.store(y + place, value, mask=place < total)")
    assert "helper" not in made.module.code
    assert {access.root for access in made.memory.whole.loads} == {"x"}
    load, store = made.memory.whole.loads[0], made.memory.whole.stores[0]
    assert load.address is not None
    assert store.address is not None
    assert load.address.offset == store.address.offset


@pytest.mark.parametrize(
    "helper",
    [
        "    if n > 2:\n        return p\n    return n",
        "    return helper(p, n)",
    ],
)
def test_a_function_that_cannot_be_written_out_is_left_as_it_is(helper: str) -> None:
    text = f"{HEADER.partition('@triton.jit')[0]}@triton.jit\ndef helper(p, n):\n{helper}\n\n\n"
    text += "@triton.jit\ndef k(x, y, rows, cols, total, BLOCK: tl.constexpr):\n    tl.store(y, helper(rows, cols))\n"
    made = triton_views(parse_kernel(text), registry.problem("softmax"))[0]
    assert [made.text(call) for call in made.memory.whole.opaque] == ["helper(rows, cols)"]


def test_names_of_a_written_out_function_do_not_meet_the_entrys() -> None:
    made = view("at = 7\nvalue, place = helper(x, at, BLOCK)\ntl.store(y + at, tl.sum(value, axis=0))")
    store = made.memory.whole.stores[0]
    assert store.address is not None
    assert store.address.offset == number(7)


def test_indices_have_one_form_however_they_are_written() -> None:
    one = form_of(view("i = tl.program_id(0) * BLOCK\na = (i + tl.arange(0, BLOCK)) * cols + 2 * rows - rows"), "a")
    other = form_of(view("a = rows + cols * tl.arange(0, BLOCK) + BLOCK * cols * tl.program_id(axis=0)"), "a")
    assert one == other
    assert one is not None
    assert one.is_tensor


def test_parameters_are_what_the_header_binds() -> None:
    assert form_of(view("a = total // cols"), "a") == name("rows")
    assert form_of(view("a = tl.cdiv(total, BLOCK)"), "a") == operation(
        "cdiv", name("rows") * name("cols"), name("BLOCK")
    )
    assert form_of(view("a = x + 1"), "a") is None
    assert form_of(view("a = SCALE * rows"), "a") == number(2) * name("rows")


def test_broadcasting_keeps_dimensions_apart() -> None:
    made = view("r = tl.arange(0, BLOCK)\na = r[:, None] + r[None, :]\nb = r + r")
    matrix, vector = form_of(made, "a"), form_of(made, "b")
    assert matrix is not None
    assert vector is not None
    assert [leaf.dimension for leaf in matrix.leaves if leaf.kind == "arange"] == [-1, -2]
    assert [leaf.dimension for leaf in vector.leaves if leaf.kind == "arange"] == [-1]


def test_a_pointer_that_moves_with_a_loop_is_known_inside_it() -> None:
    made = view("p = x + tl.arange(0, BLOCK)\nfor i in range(0, cols, BLOCK):\n    v = tl.load(p)\n    p += 2 * BLOCK")
    address = made.memory.whole.loads[0].address
    assert address is not None
    (loop,) = made.loops
    index = made.indices.form(cst.ensure_type(loop.node.target, cst.Name))
    assert index is None  # what a loop sets is no use of it
    assert "index:i" in str(address.offset)
    assert [one.name for one in carried(made, loop.node).steps] == ["p"]


def test_what_a_loop_leaves_is_not_known_after_it() -> None:
    made = view("a = 0\nfor i in range(rows):\n    a = i\ntl.store(y + a, 1.0)\ntl.store(y + i, 1.0)")
    first, second = made.memory.whole.stores
    assert first.address is not None
    assert [leaf.kind for leaf in first.address.offset.leaves] == ["value"]
    assert second.address is not None
    assert [leaf.kind for leaf in second.address.offset.leaves] == ["value"]


@pytest.mark.parametrize(
    ("line", "types", "shape"),
    [
        ("a = tl.load(x + tl.arange(0, BLOCK)).to(tl.float32) * 2", {"float32"}, ["BLOCK"]),
        ("a = tl.load(x)", {"float32", "float16", "bfloat16"}, []),
        ("a = tl.sum(tl.zeros((BLOCK, 4), tl.float32), axis=1)", {"float32"}, ["BLOCK"]),
        ("a = tl.max(tl.zeros((BLOCK, 4), tl.float16), axis=0, keep_dims=True)", {"float16", "float32"}, ["1", "4"]),
        ("a = rows / cols", {"float32"}, []),
        ("a = tl.zeros((BLOCK,), tl.float16) + 1.0", {"float16"}, ["BLOCK"]),
        ("a = tl.zeros((BLOCK,), tl.float16)[:, None] / 2.0", {"float32"}, ["BLOCK", "1"]),
        ("a = tl.dot(tl.zeros((16, 32), tl.float16), tl.zeros((32, 64), tl.float16))", {"float32"}, ["16", "64"]),
        ("a = tl.where(tl.arange(0, 4) < 2, 0.0, float('-inf'))", {"float32"}, ["4"]),
        ("a = tl.arange(0, 8) < rows", {"int1"}, ["8"]),
    ],
)
def test_types_and_shapes_follow_tritons_rules(line: str, types: set[str], shape: list[str]) -> None:
    made = view(f"{line}\ntl.store(y, a)")
    value = made.types.definition(next(one for one in made.flow.definitions if one.name == "a"))
    assert value is not None
    assert value.types == types
    assert [header_text(size) for size in value.shape] == shape


@pytest.mark.parametrize(
    ("mask", "condition"),
    [
        ("at < total", "cols * rows % BLOCK == 0"),
        ("at < total + BLOCK * 0", "cols * rows % BLOCK == 0"),
        ("at >= 0", ""),
        ("at < total - 1", None),
        ("tl.arange(0, BLOCK) < cols", "cols - BLOCK >= 0"),
        ("tl.arange(0, BLOCK) < BLOCK", ""),
        ("tl.program_id(0) < tl.cdiv(total, BLOCK)", ""),
        ("at % cols < cols", ""),
        ("at < tl.load(y)", None),
        ("-at < total", ""),
    ],
)
def test_a_mask_holds_under_the_condition_that_its_bounds_say(mask: str, condition: str | None) -> None:
    made = view(f"at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)\ntl.store(y + at, 1.0, mask={mask})")
    given = made.memory.whole.stores[0].mask
    assert given is not None
    (positive,) = made.indices.conditions(given)
    assert (None if positive is None else holds_if(made, positive)) == condition


def test_a_loop_over_an_axis_has_a_turn() -> None:
    bounds = ("rows", "0, rows, BLOCK", "rows - 1", "1, rows", "0", "tl.cdiv(rows, BLOCK)")
    loops = view("\n".join(f"for i in range({one}):\n    pass" for one in bounds))
    assert [always_runs(loops, loop) for loop in loops.loops] == [True, True, False, False, False, True]


SIZES = {"a": 3, "b": 5, "c": 7}
FORMS = st.recursive(
    st.one_of(st.integers(-4, 4).map(number), st.sampled_from(sorted(SIZES)).map(name)),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] + pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] - pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] * pair[1]),
        st.tuples(inner, st.sampled_from(sorted(SIZES)).map(name)).map(lambda pair: operation("//", *pair)),
        st.tuples(inner, inner).map(lambda pair: operation("min", *pair)),
    ),
    max_leaves=6,
)


def value_of(form: Form) -> int:
    return sum(factor * math.prod(map(atom_value, atoms)) for atoms, factor in form.terms)


def atom_value(atom: Atom) -> int:
    if atom.kind == "name":
        return SIZES[atom.label]
    args = [value_of(arg) for arg in atom.args]
    return min(args) if atom.kind == "min" else args[0] // args[1]


@given(FORMS, FORMS)
def test_forms_compute_like_numbers(one: Form, other: Form) -> None:
    assert value_of(one + other) == value_of(one) + value_of(other)
    assert value_of(one - other) == value_of(one) - value_of(other)
    assert value_of(one * other) == value_of(one) * value_of(other)
    quotient = (one * other).divided(other)
    assert quotient is None or value_of(quotient * other) == value_of(one * other)
    text = header_text(one)
    assert text is not None
    assert eval(text, {"min": min}, dict(SIZES)) == value_of(one)


@given(FORMS)
def test_a_linear_form_comes_apart_and_together(form: Form) -> None:
    atom = name("a").atom
    assert atom is not None
    parts = form.split(atom)
    if parts is not None:
        assert parts[0] * name("a") + parts[1] == form
        assert not parts[0].mentions("name", "a")


SOURCE = "def f(a, b):\n    # first\n    c = a + b\n\n    if c: d = 1; e = 2\n    return c * a\n"


def python_view(text: str) -> PythonView:
    kernel = parse_kernel(HEADER.replace('entry = "k"', 'entry = "f"'))
    module = module_of(text)
    return PythonView(kernel, module, cst.ensure_type(module.body[0], cst.FunctionDef))


def test_every_statement_is_a_line_of_a_block() -> None:
    code = python_view(SOURCE).module.code
    assert "        d = 1\n        e = 2\n" in code


def test_an_edit_keeps_what_stands_around_it() -> None:
    made = python_view(SOURCE)
    edits = [Edit(use, text="x + 1") for use in names_in(*made.body) if use.value == "a"]
    code = made.edited(edits).body
    assert "    # first\n    c = (x + 1) + b\n\n    if c:" in code
    assert "return c * (x + 1)" in code


def test_edits_nest_and_blocks_may_lose_every_statement() -> None:
    made = python_view("def f(a):\n    b = g(h(a))\n    if b:\n        c = 1\n    return b\n")
    outer = next(node for node in walk(*made.body) if isinstance(node, cst.Call))
    inner = outer.args[0].value
    body = made.edited(
        [Edit(outer, arguments={"k": "2"}), Edit(inner, wrap="({})[0]"), Edit(made.body[1], before="x = 1\n")]
    )
    assert "b = g((h(a))[0], k=2)\n    x = 1\n    if b:" in body.body
    line = cst.ensure_type(made.body[1], cst.If).body.body[0]
    assert "if b:\n        pass\n" in made.edited([Edit(line, text="")]).body


def test_a_replacement_keeps_the_blank_lines_and_comments_before_it() -> None:
    made = python_view("def f(a):\n    b = 1\n\n    # why\n    c = 2\n    return c\n")
    assert "\n\n    # why\n    d = 3\n" in made.edited([Edit(made.body[1], text="d = 3\n")]).body


def test_parameters_are_added_in_the_style_of_the_list() -> None:
    made = python_view("def f(\n    a,\n    b\n):\n    return a\n")
    assert made.edited([], parameters=["c", "D: int"]).body.startswith("def f(\n    a,\n    b,\n    c,\n    D: int\n):")
    assert made.edited([], parameters=["c"], dropped=["a"]).body.startswith("def f(\n    b,\n    c\n):")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("a", "a"), ("a + b", "(a + b)"), ("(a + b)", "(a + b)"), ("f(a + b)", "f(a + b)"), ("-a", "(-a)")],
)
def test_parentheses_are_put_where_they_are_needed(text: str, wanted: str) -> None:
    assert atomic(text) == wanted


def test_what_holds_no_edit_is_not_copied() -> None:
    made = python_view(SOURCE)
    use = next(use for use in names_in(*made.body) if use.value == "b")
    changed = Apply([Edit(use, text="z")], made.parents).module(made.module)
    function = cst.ensure_type(changed.body[0], cst.FunctionDef)
    assert function.body.body[1] is made.body[1]
    assert function.body.body[0] is not made.body[0]


def test_a_flow_sees_what_it_does_not_understand() -> None:
    function = cst.ensure_type(
        module_of("def f(a):\n    b = [i for i in a]\n    c = lambda: a\n    a[0] = 1\n").body[0], cst.FunctionDef
    )
    assert len(Flow(function).opaque) == 3
