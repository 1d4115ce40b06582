"""Header expressions: the integers they stand for, and everything else they refuse."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kernelevolve.errors import KernelEvolveError
from kernelevolve.expressions import FUNCTIONS, MAX_DEPTH, MAX_MAGNITUDE, Expression, ExpressionError, parse

SCOPE = {"rows": 4096, "cols": 1000, "LANES": 8, "zero": 0}


def cdiv(a, b):
    return -(-a // b)


def next_pow2(a):
    return 1 if a <= 1 else 2 ** (a - 1).bit_length()


#: What Python itself needs to compute the same text.
PYTHON = {"cdiv": cdiv, "next_pow2": next_pow2, "min": min, "max": max, "__builtins__": {}}

leaves = st.integers(0, 10**6).map(str) | st.sampled_from([*SCOPE, "True", "False"])
operators = st.sampled_from(["+", "-", "*", "//", "%", "==", "!=", "<", "<=", ">", ">="])


def _compounds(inner):
    pair = st.tuples(inner, operators, inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})")
    power = st.tuples(inner, st.integers(0, 3)).map(lambda p: f"({p[0]} ** {p[1]})")
    unary = st.tuples(st.sampled_from(["-", "+", "not "]), inner).map(lambda p: f"({p[0]}{p[1]})")
    logic = st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda p: f"(bool({p[0]}) {p[1]} bool({p[2]}))")
    call = st.tuples(st.sampled_from(["cdiv", "min", "max"]), inner, inner).map(lambda p: f"{p[0]}({p[1]}, {p[2]})")
    return pair | power | unary | logic | call | inner.map(lambda one: f"next_pow2({one})")


generated = st.recursive(leaves, _compounds, max_leaves=12)


@given(generated)
def test_a_generated_expression_has_the_value_that_python_gives_it(text):
    ours = text.replace("bool", "")
    try:
        want = int(eval(text, {**PYTHON, "bool": bool}, SCOPE))
    except ZeroDivisionError:
        want = None
    try:
        got = parse(ours).evaluate(SCOPE)
    except ExpressionError as error:
        # Python goes on where this stops: at any value beyond 63 bits, and at any text beyond the limit.
        assert want is None or "63 bits" in str(error) or len(ours) > 400  # noqa: PT017
    else:
        assert got == want


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("rows", 4096),
        ("cdiv(rows, cols)", 5),
        ("cdiv(-7, 2)", -3),
        ("next_pow2(cols)", 1024),
        ("next_pow2(1024)", 1024),
        ("next_pow2(0)", 1),
        ("next_pow2(-5)", 1),
        ("min(rows, cols, 3)", 3),
        ("max(1, LANES, 2)", 8),
        ("-7 // 2", -4),
        ("-7 % 3", 2),
        ("2 ** 10", 1024),
        ("1 < LANES <= 8", 1),
        ("1 < LANES < 8", 0),
        ("3 and 5", 1),
        ("zero or 7", 1),
        ("not zero", 1),
        ("zero and rows // zero", 0),
        ("  rows  ", 4096),
        ("True + True", 2),
        (str(MAX_MAGNITUDE), MAX_MAGNITUDE),
    ],
)
def test_expressions_have_these_values(text, value):
    got = parse(text).evaluate(SCOPE)
    assert got == value
    assert type(got) is int


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("row", "unknown name 'row'; it sees LANES, cols, rows, zero. Did you mean 'rows'?"),
        ("rows // zero", "divides by zero"),
        ("rows % zero", "divides by zero"),
        ("cdiv(rows, zero)", "divides by zero"),
        ("2 ** -1", "raises to the power -1; 0 to 63 are allowed"),
        ("2 ** 64", "raises to the power 64; 0 to 63 are allowed"),
        ("2 ** 63", "is beyond 63 bits"),
        ("rows * 2 ** 62", "is beyond 63 bits"),
        ("9" * 100, "is beyond 63 bits"),
        (f"next_pow2({MAX_MAGNITUDE})", "is beyond 63 bits"),
        ("dtype(x)", "is the name of a type, not a number; compare it: dtype(x) == 'float16'"),
        ("dtype(x) + 1", "calculates with a type name; it can only be compared"),
        ("not dtype(x)", "calculates with a type name; it can only be compared"),
        ("dtype(x) and 1", "calculates with a type name; it can only be compared"),
        ("min(dtype(x), 1)", "calculates with a type name; it can only be compared"),
        ("dtype(x) == 3", "compares a type name with a number"),
        ("dtype(x) < 'float64'", "compares a type name with a number"),
        ("dtype(z) == 'int8'", "unknown tensor 'z'; there is x"),
    ],
)
def test_expressions_without_a_value_say_why(text, says):
    with pytest.raises(ExpressionError) as caught:
        parse(text).evaluate(SCOPE, {"x": "float32"})
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"expression {text!r}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "cannot be read"),
        ("rows +", "cannot be read"),
        ("rows = 3", "cannot be read"),
        ("a\0b", "cannot be read"),
        ("(" * 300, "cannot be read"),
        ("\ud800", "cannot be read"),
        ("rows / 2", "'/' (write // for whole numbers)"),
        ("rows << 2", "uses an operator"),
        ("rows & 2", "uses an operator"),
        ("~rows", "uses what Python calls UnaryOp"),
        ("1.5", "uses the value 1.5"),
        ("'float16'", "uses text outside a comparison with dtype(tensor)"),
        ("None", "uses the value None"),
        ("rows is 3", "a comparison other than"),
        ("rows in cols", "a comparison other than"),
        ("rows if cols else 1", "uses 'if … else'"),
        ("lambda: 1", "uses what Python calls Lambda"),
        ("[1, 2]", "uses what Python calls List"),
        ("rows.real", "uses the attribute .real"),
        ("rows[0]", "uses an index [ ]"),
        ("(a := 3)", "uses what Python calls NamedExpr"),
        ("f'{rows}'", "uses what Python calls JoinedStr"),
        ("().__class__", "uses the attribute .__class__"),
        ("cdib(rows, 2)", "unknown function 'cdib'; there is cdiv, max, min, next_pow2, dtype. Did you mean 'cdiv'?"),
        ("eval('1')", "unknown function 'eval'"),
        ("__import__('os')", "unknown function '__import__'"),
        ("cdiv(rows)", "cdiv takes 2 arguments, not 1"),
        ("min(rows)", "min takes two or more arguments, not 1"),
        ("next_pow2()", "next_pow2 takes 1 arguments, not 0"),
        ("min(*rows)", "min takes two or more arguments, not 1"),
        ("min(*rows, 1)", "uses what Python calls Starred"),
        ("cdiv(rows, b=2)", "a call of something that is no function here"),
        ("rows.bit_length()", "a call of something that is no function here"),
        ("dtype('x')", "dtype takes the name of one tensor, as in dtype(x)"),
        ("dtype(x, y)", "dtype takes the name of one tensor, as in dtype(x)"),
        ("1+" * 200 + "1", "characters; at most 400 are allowed"),
        ("-" * 399 + "1", f"is nested more than {MAX_DEPTH} levels deep"),
    ],
)
def test_text_that_is_no_expression_is_refused_with_a_sentence(text, says):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert says in str(caught.value)


@pytest.mark.parametrize("value", [None, 3, True, ["rows"], {"rows": 1}, b"rows"])
def test_only_text_can_be_parsed(value):
    with pytest.raises(ExpressionError, match="an expression is text, not "):
        parse(value)


@given(st.text(max_size=80) | st.text(alphabet="rowscl019+-*/%()<>=!,' andotmixdtype._[]", max_size=80))
@example("0 if(")
@example("\x0c1")
def test_no_text_raises_anything_but_an_expression_error(text):
    try:
        value = parse(text).evaluate(SCOPE, {"x": "float32"})
    except ExpressionError as error:
        assert "expression" in str(error)  # noqa: PT017
    else:
        assert abs(value) <= MAX_MAGNITUDE


def test_a_type_name_can_be_compared_and_combined():
    expression = parse("dtype(x) == 'float16' and cols % 8 == 0 or dtype(x) != dtype(y)")
    assert expression.evaluate(SCOPE, {"x": "float16", "y": "float16"}) == 1
    assert expression.evaluate(SCOPE, {"x": "float32", "y": "float32"}) == 0
    assert expression.evaluate(SCOPE, {"x": "float32", "y": "float16"}) == 1


def test_names_are_what_is_looked_up_functions_and_tensors_excluded():
    assert parse("cdiv(rows, LANES) * (dtype(x) == 'int8') + min(cols, 3)").names == {"rows", "LANES", "cols"}


def test_the_walk_needs_no_more_stack_than_the_depth_limit_allows():
    nested = "-" * (MAX_DEPTH - 1) + "1"
    assert parse(nested).evaluate({}) == -1
    with pytest.raises(ExpressionError, match="nested"):
        parse("-" + nested)


def test_expressions_are_equal_by_text_and_survive_pickling():
    assert parse("rows+1") == parse(" rows+1 ")
    assert parse("rows+1") != parse("rows + 1")
    copy = pickle.loads(pickle.dumps(parse("cdiv(rows, 2)")))
    assert isinstance(copy, Expression)
    assert (copy, copy.evaluate({"rows": 5}), str(copy)) == (parse("cdiv(rows, 2)"), 3, "cdiv(rows, 2)")


def test_the_error_is_one_that_is_shown_to_people():
    assert issubclass(ExpressionError, KernelEvolveError)
    assert set(FUNCTIONS) == {"cdiv", "max", "min", "next_pow2"}
