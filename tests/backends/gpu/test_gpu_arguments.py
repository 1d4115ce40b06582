"""Kernel parameters in memory: the bytes that a driver reads through the array of pointers."""

from __future__ import annotations

import ctypes
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve.backends._gpu.arguments import FORMATS, pack
from kernelevolve.outcome import LaunchError

SIGNED = {f"i{bits}": st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)}
UNSIGNED = {f"u{bits}": st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64)}
FLOATS = {f"fp{bits}": st.floats(width=bits) for bits in (16, 32, 64)}  # type: ignore[arg-type]
VALUES = {**SIGNED, **UNSIGNED, **FLOATS, "pointer": UNSIGNED["u64"]}
PARAMETER = st.sampled_from(sorted(VALUES)).flatmap(lambda kind: st.tuples(st.just("p"), st.just(kind), VALUES[kind]))


def bytes_at(address: int, types: list[str]) -> list[bytes]:
    pointers = (ctypes.c_void_p * len(types)).from_address(address)
    return [ctypes.string_at(at, struct.calcsize(FORMATS[kind])) for at, kind in zip(pointers, types, strict=True)]


def test_every_type_has_a_strategy() -> None:
    assert set(VALUES) == set(FORMATS)


@settings(deadline=None)
@given(st.lists(PARAMETER, min_size=1, max_size=40))
def test_each_pointer_leads_to_the_little_endian_bytes_of_its_value(parameters: list[tuple[str, str, float]]) -> None:
    packed = pack(parameters)
    found = bytes_at(packed.address, [kind for _, kind, _ in parameters])
    assert found == [struct.pack(FORMATS[kind], value) for _, kind, value in parameters]
    assert packed.count == len(parameters)


def test_values_do_not_overlap() -> None:
    packed = pack([("a", "i8", -1), ("b", "u64", 0), ("c", "i8", -1)])
    assert bytes_at(packed.address, ["i8", "u64", "i8"]) == [b"\xff", bytes(8), b"\xff"]


def test_whole_numbers_fit_float_parameters() -> None:
    packed = pack([("eps", "fp32", 3)])
    assert bytes_at(packed.address, ["fp32"]) == [struct.pack("<f", 3.0)]


def test_infinities_and_nan_are_passed_on() -> None:
    packed = pack([("a", "fp32", math.inf), ("b", "fp16", -math.inf), ("c", "fp64", math.nan)])
    assert bytes_at(packed.address, ["fp32", "fp16"]) == [struct.pack("<f", math.inf), struct.pack("<e", -math.inf)]


@pytest.mark.parametrize(
    ("kind", "value"),
    [("i32", 2**31), ("i32", -(2**31) - 1), ("u32", -1), ("i8", 128), ("i64", 2**63), ("fp16", 1e6), ("fp32", 1e39)],
)
def test_a_value_that_does_not_fit_is_refused_by_name(kind: str, value: float) -> None:
    with pytest.raises(LaunchError, match=rf"parameter 'rows' is of type {kind}, which cannot hold") as caught:
        pack([("rows", kind, value)])
    assert caught.value.details["code"] == "INVALID_ARG_VALUE"


def test_a_fraction_is_no_integer() -> None:
    with pytest.raises(LaunchError, match=r"cannot hold 0\.5"):
        pack([("rows", "i32", 0.5)])


def test_a_kernel_without_parameters_has_an_address_too() -> None:
    assert pack([]).address
