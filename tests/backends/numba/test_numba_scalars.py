"""Numbers of the interpreter against the compiler's type inference, and against the values it would compute."""

from __future__ import annotations

import operator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve.backends._numba.importing import import_cuda
from kernelevolve.backends._numba.interpreter.arrays import array
from kernelevolve.backends._numba.interpreter.mathematics import BUILTINS, LIBRARY, fused, mathematics
from kernelevolve.backends._numba.interpreter.scalars import CASTS, BFloat16, Int32, Unsigned, integer, to_bfloat16

TYPES = ("bool", "uint8", "int32", "uint32", "int64", "uint64", "float16", "bfloat16", "float32", "float64")
ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod")
BITS = ("and_", "or_", "xor", "lshift", "rshift")
#: Numba turns these into float32 first; one rounding of float16 more is all the difference.
HALVES = {
    (name, *pair)
    for name in ("floordiv", "mod")
    for pair in (("float16",) * 2, ("float16", "bool"), ("bool", "float16"))
}


def loaded(dtype: str, value: Any = 3) -> Any:
    """A number of this type, as a kernel gets it from an array."""
    storage = {"bfloat16": "uint16"}.get(dtype, dtype)
    flat = np.zeros(1, storage)
    one = array("x", dtype, flat, (1,), None)
    one[0] = value
    return one[0]


def type_name(value: Any) -> str:
    for kind, name in ((bool, "bool"), (BFloat16, "bfloat16"), (Unsigned, "uint64"), (np.integer, "int64")):
        if isinstance(value, kind):
            return name
    return {int: "int64", float: "float64"}.get(type(value)) or str(value.dtype)


@pytest.fixture(scope="module")
def compiler() -> Any:
    """What Numba's type inference says of an operator."""
    cuda = import_cuda()
    import numba.cuda.dispatcher as dispatcher
    from numba.cuda.descriptor import cuda_target

    context = cuda_target.typing_context
    context.refresh()
    cuda_target.target_context.refresh()
    names = {"bool": "boolean"}

    def infer(function: Any, *types: str) -> str:
        device = dispatcher.get_current_device
        dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=(9, 0))
        try:
            arguments = [getattr(cuda.types, names.get(one, one)) for one in types]
            found = str(context.resolve_function_type(function, arguments, {}).return_type)
        finally:
            dispatcher.get_current_device = device
        return {"__nv_bfloat16": "bfloat16"}.get(found, found)

    return infer


@pytest.mark.parametrize("name", [*ARITHMETIC, *BITS])
def test_operators_have_the_compilers_type(compiler: Any, name: str) -> None:
    kinds = [one for one in TYPES if name in ARITHMETIC or "float" not in one]
    function = getattr(operator, name)
    compared = 0
    for left in kinds:
        for right in kinds:
            if (name, left, right) in HALVES:
                continue
            got = type_name(function(loaded(left), loaded(right)))
            assert got == compiler(function, left, right), f"{left} {name} {right}"
            compared += 1
    assert compared >= 30


@pytest.mark.parametrize("name", ["exp", "sqrt", "floor", "fabs", "erf", "tanh", "log", "ceil", "sin"])
def test_functions_have_the_compilers_type(compiler: Any, name: str) -> None:
    import math

    for kind in ("int32", "float16", "bfloat16", "float32", "float64"):
        got = type_name(getattr(mathematics(), name)(loaded(kind)))
        assert got == compiler(getattr(math, name), kind), kind


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_signed_integers_wrap_at_64_bits(left: int, right: int) -> None:
    with np.errstate(over="ignore"):
        assert int(integer(left) * integer(right)) == ((left * right + 2**63) % 2**64) - 2**63
        assert int(integer(left) + integer(right)) == ((left + right + 2**63) % 2**64) - 2**63


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 63))
def test_unsigned_integers_wrap_and_shift_without_a_sign(left: int, right: int, places: int) -> None:
    cast = CASTS["uint64"]
    assert int(cast(left) * cast(right)) == left * right % 2**64
    assert int(cast(left) - cast(right)) == (left - right) % 2**64
    assert int(cast(left) >> np.int64(places)) == left >> places
    assert (cast(left) < cast(right)) == (left < right)
    assert int(CASTS["uint32"](cast(left))) == left % 2**32


@given(st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1))
def test_a_signed_operand_makes_the_result_signed(left: int, right: int) -> None:
    for result in (CASTS["uint64"](left) + np.int64(right), np.int64(right) + CASTS["uint64"](left)):
        assert isinstance(result, np.int64)
        assert int(result) == ((left + right + 2**63) % 2**64) - 2**63


@given(st.integers(-(2**70), 2**70))
def test_casts_to_32_bits_wrap_and_are_computed_with_in_64(value: int) -> None:
    cast = CASTS["int32"](value)
    assert isinstance(cast, Int32)
    assert int(cast) == ((value + 2**31) % 2**32) - 2**31
    assert int(cast * np.int64(2**31)) == int(cast) * 2**31


@given(st.floats(width=32, allow_nan=False))
def test_bfloat16_rounds_to_nearest_even(value: float) -> None:
    want = torch.tensor(value, dtype=torch.float32).to(torch.bfloat16).float().item()
    assert float(to_bfloat16(np.float32(value))) == want


@given(*[st.floats(width=32, allow_nan=False, allow_infinity=False)] * 3)
def test_fused_multiply_add_rounds_once(first: float, second: float, third: float) -> None:
    from fractions import Fraction

    exact = Fraction(first) * Fraction(second) + Fraction(third)
    with np.errstate(over="ignore"):
        got = fused(np.float32(first), np.float32(second), np.float32(third))
        neighbours = np.nextafter(got, np.float32(np.inf)), np.nextafter(got, np.float32(-np.inf))
    if np.isfinite(got):
        error = abs(Fraction(float(got)) - exact)
        for other in neighbours:
            assert not np.isfinite(other) or error <= abs(Fraction(float(other)) - exact)


def test_what_python_refuses_is_an_infinity_or_no_number_on_a_device() -> None:
    of = mathematics()
    with np.errstate(all="ignore"):
        assert of.log(np.float32(0)) == -np.inf
        assert of.exp(np.float32(1000)) == np.inf
        assert np.isnan(of.sqrt(np.float32(-1)))
        assert LIBRARY["rsqrtf"](0.0) == np.inf
        assert np.isnan(of.pow(np.float64(-1), np.float64(0.5)))


def test_minimum_and_maximum_prefer_a_number() -> None:
    nan, one = np.float32(np.nan), np.float32(1)
    assert BUILTINS["max"](nan, one) == BUILTINS["max"](one, nan) == BUILTINS["min"](nan, one) == 1
    assert BUILTINS["max"](np.int64(1), np.int64(3), np.int64(2)) == 3


@pytest.mark.parametrize(
    ("name", "arguments", "want"),
    [
        ("fmaf", (2.0, 3.0, 4.0), 10.0),
        ("fast_fdividef", (1.0, 4.0), 0.25),
        ("fadd_rn", (1.0, 2.0), 3.0),
        ("float2int_rz", (-1.5,), -1),
        ("float2int_rd", (-1.5,), -2),
        ("round", (2.5,), 3.0),
        ("rint", (2.5,), 2.0),
        ("umulhi", (2**31, 4), 2),
        ("saturatef", (1.5,), 1.0),
    ],
)
def test_the_device_library(name: str, arguments: tuple[Any, ...], want: Any) -> None:
    assert LIBRARY[name](*arguments) == want
