"""Index arithmetic: what is kept as a sum of a row and a column is the same integer as if it were not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kernelevolve.backends._triton.sources import load_source

if TYPE_CHECKING:
    from conftest import Emulate

SOURCE = """import triton
import triton.language as tl


@triton.jit
def kernel(y, n, A: tl.constexpr, B: tl.constexpr):
    p = tl.program_id(0)
    i = tl.arange(0, A)[:, None]
    j = tl.arange(0, B)[None, :]
    value = {expression}
    at = p * A * B + i * B + j
    tl.store(y + at, tl.broadcast_to(value.to(tl.int64), (A, B)))
"""
A, B, PROGRAMS = 8, 4, 5
LEAVES = st.sampled_from(["i", "j", "(p + i)", "(i * n + j)", "(p * 8 + i)", "(j - p)", "(n + j)"])
NUMBERS = st.sampled_from(["1", "3", "-2", "16", "1000003", "536870912", "2147483647"])


def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} + {})".format, inner, inner),
        st.builds("({} - {})".format, inner, inner),
        st.builds("({} * {})".format, inner, NUMBERS),
        st.builds("({} * p)".format, inner),
        st.builds("({} // 7)".format, inner),
        st.builds("({} % 5)".format, inner),
        st.builds("({} << 3)".format, inner),
        st.builds("({} & 12)".format, inner),
        st.builds("tl.maximum({}, {})".format, inner, inner),
        st.builds("tl.where({} < {}, {}, {})".format, inner, inner, inner, inner),
        st.builds("({} >= n).to(tl.int32)".format, inner),
        st.builds("(6 > {}).to(tl.int32)".format, inner),
        st.builds("({} == {}).to(tl.int32)".format, inner, inner),
        st.builds("({}).to(tl.int64).to(tl.int32)".format, inner),
        st.builds("({}).to(tl.int8).to(tl.int32)".format, inner),
    )


class Int32(np.ndarray):
    """int32 whose ``//`` and ``%`` truncate, as Triton's do."""

    def __floordiv__(self, other: int) -> Int32:
        exact = np.asarray(self).astype(np.int64)
        return (np.abs(exact) // other * np.sign(exact)).astype(np.int32).view(Int32)

    def __mod__(self, other: int) -> Int32:
        return np.fmod(np.asarray(self), np.int32(other)).view(Int32)

    def to(self, kind: type) -> Int32:
        return np.asarray(self).astype(np.int8 if kind is np.int8 else np.int32).astype(np.int32).view(Int32)


class Language:
    """The few functions of ``tl`` that the expressions use."""

    int8, int32, int64 = np.int8, np.int32, np.int64

    @staticmethod
    def maximum(a: Int32, b: Int32) -> Int32:
        return np.maximum(a, b).view(Int32)

    @staticmethod
    def where(condition: np.ndarray, a: Int32, b: Int32) -> Int32:
        return np.where(condition, a, b).astype(np.int32).view(Int32)


@example(expression="((i * n + j) * 1000003)", n=70000)
@example(expression="((p * 8 + i) * 536870912)", n=1)
@example(expression="((i * n + j) * 1000003 < n).to(tl.int32)", n=70000)
@given(expression=st.recursive(LEAVES, grow, max_leaves=6), n=st.sampled_from([1, 7, 16, 70000]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_index_expressions(expression: str, n: int, emulate: Emulate) -> None:
    y = np.full((PROGRAMS, A, B), -1, np.int64)

    with load_source(SOURCE.format(expression=expression)) as module:
        trace = emulate(module.kernel, (PROGRAMS,), y=y, n=n, A=A, B=B)

    p, i, j = (axis.astype(np.int32).view(Int32) for axis in np.indices(y.shape))
    scope = {"p": p, "i": i, "j": j, "n": np.int32(n), "tl": Language}
    with np.errstate(over="ignore"):
        wanted = eval(expression.replace("2147483647", "np.int32(2147483647)"), {**scope, "np": np})
    assert np.array_equal(y, np.broadcast_to(np.asarray(wanted).astype(np.int64), y.shape))
    assert not trace.findings
