"""Types that NumPy lacks: the same bit patterns and values as PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kernelevolve.backends._triton.floats import SOFT, decode, encode, truncate_tf32

TYPES = {"bf16": torch.bfloat16, "fp8e4nv": torch.float8_e4m3fn, "fp8e5": torch.float8_e5m2}
FLOATS = arrays(np.float32, st.integers(1, 20), elements=st.floats(width=32, allow_nan=True, allow_infinity=True))


def bits(values: torch.Tensor) -> np.ndarray:
    return values.view(torch.uint16 if values.itemsize == 2 else torch.uint8).numpy()


@pytest.mark.parametrize("kind", SOFT)
def test_every_pattern_has_pytorchs_value(kind: str) -> None:
    patterns = np.arange(2 ** SOFT[kind], dtype=np.uint16 if SOFT[kind] == 16 else np.uint8)
    want = torch.from_numpy(patterns).view(TYPES[kind]).float().numpy()
    np.testing.assert_array_equal(decode(patterns, kind), want)


@pytest.mark.parametrize("kind", SOFT)
@given(values=FLOATS)
def test_rounding_is_pytorchs_but_for_what_does_not_fit(kind: str, values: np.ndarray) -> None:
    most = torch.finfo(TYPES[kind]).max
    fits = np.abs(values) <= most
    got = encode(values, kind)
    np.testing.assert_array_equal(got[fits], bits(torch.from_numpy(values).to(TYPES[kind]))[fits])
    assert np.isnan(decode(got, kind)[np.isnan(values)]).all()
    if kind != "bf16":
        beyond = np.abs(values) > most
        np.testing.assert_array_equal(np.abs(decode(got, kind)[beyond]), np.float32(most))


@pytest.mark.parametrize("kind", SOFT)
@given(values=FLOATS)
def test_rounding_toward_zero_never_grows_and_is_next(kind: str, values: np.ndarray) -> None:
    finite = values[np.isfinite(values) & (np.abs(values) <= torch.finfo(TYPES[kind]).max)]
    down, nearest = decode(encode(finite, kind, toward_zero=True), kind), decode(encode(finite, kind), kind)
    assert (np.abs(down) <= np.abs(finite)).all()
    gap = np.abs(encode(finite, kind).astype(np.int32) - encode(finite, kind, toward_zero=True).astype(np.int32))
    assert (gap <= 1).all()
    exact = nearest == finite
    np.testing.assert_array_equal(down[exact], finite[exact])


@given(values=FLOATS)
def test_tf32_keeps_ten_bits(values: np.ndarray) -> None:
    finite = values[np.isfinite(values)]
    got = truncate_tf32(finite)
    assert (got.view(np.uint32) & 0x1FFF == 0).all()
    normal = np.abs(finite) >= np.finfo(np.float32).tiny
    assert (np.abs(got - finite)[normal] < np.abs(finite[normal]) * 2.0**-10).all()
