# ruff: noqa: E501  # a sample on one line reads better than C in pieces
import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve.language import Language, Parameter, ParameterKind
from kernelevolve.languages.opencl_c import OpenCLC
from kernelevolve.outcome import Rejected

LANGUAGE = OpenCLC()


def test_it_is_a_language() -> None:
    assert isinstance(LANGUAGE, Language)
    assert (LANGUAGE.name, LANGUAGE.comment, LANGUAGE.suffix) == ("opencl", "//", ".cl")


def test_entries_lists_kernels_and_not_their_helpers() -> None:
    body = "float f(float a) { return a; }\n__kernel void one(__global float *y) {}\nkernel void two(int n) {}\n"
    assert list(LANGUAGE.entries(body)) == ["one", "two"]


def test_parameters_have_kind_and_declared_type() -> None:
    body = "__kernel void k(__global const x_t * restrict x, __constant float *c, __local float *t, const uint n, float4 v) {}"
    assert LANGUAGE.entries(body)["k"] == (
        Parameter("x", ParameterKind.POINTER, "__global const x_t * restrict"),
        Parameter("c", ParameterKind.POINTER, "__constant float *"),
        Parameter("t", ParameterKind.LOCAL, "__local float *"),
        Parameter("n", ParameterKind.SCALAR, "const uint"),
        Parameter("v", ParameterKind.SCALAR, "float4"),
    )


def test_a_kernel_with_attributes_before_and_after_is_found() -> None:
    body = "__attribute__((reqd_work_group_size(8, 1, 1))) __kernel __attribute__((vec_type_hint(float4))) void k(__global int *y) { y[0] = 1; }"
    assert [parameter.name for parameter in LANGUAGE.entries(body)["k"]] == ["y"]


def test_a_kernel_inside_a_condition_is_found() -> None:
    assert list(LANGUAGE.entries("#if 1\n__kernel void k(int n) {}\n#endif\n")) == ["k"]


def test_layout_and_comments_do_not_change_the_normal_form() -> None:
    one = "#define W  4 // lanes\n__kernel void k(__global int *y){y[0]=W;}"
    two = "/* header */\n#define W 4\n__kernel void k( __global int *y )\n{\n  y[0] = W; // done\n}\n"
    assert LANGUAGE.normalize(one) == LANGUAGE.normalize(two)


def test_a_gap_that_changes_a_macro_changes_the_normal_form() -> None:
    assert LANGUAGE.normalize("#define F(x) 1\n") != LANGUAGE.normalize("#define F (x) 1\n")


def test_the_normal_form_keeps_its_meaning() -> None:
    body = "#define A 1\n#define B \\\n  2\n__kernel void k(__global int *y) { y[0] = A - -B; }"
    normal = LANGUAGE.normalize(body)
    assert LANGUAGE.normalize(normal) == normal
    LANGUAGE.gate(normal)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="abk__kernel void(){}[];*=+-/\\\n#\"'define if 0123?:%<>é", max_size=200))
def test_arbitrary_text_is_read_or_rejected_and_never_breaks(text: str) -> None:
    for question in (LANGUAGE.entries, LANGUAGE.gate, LANGUAGE.normalize):
        with contextlib.suppress(Rejected):
            question(text)
