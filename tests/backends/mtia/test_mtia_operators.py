"""Element-wise operators against NumPy and PyTorch, over shapes and element types."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelevolve.backends._triton.sources import load_source

if TYPE_CHECKING:
    from conftest import Emulate

TEMPLATE = """import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def kernel({arguments}, y, n, BLOCK: tl.constexpr):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < n
{loads}
    tl.store(y + place, {expression}, mask=inside)
"""
FLOATS = ("float32", "float16", "bfloat16", "float64")
TORCH_KINDS = {"bfloat16": "bf16", "float8_e4m3fn": "fp8e4nv", "float8_e5m2": "fp8e5"}
COMMON = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def as_array(tensor: torch.Tensor) -> np.ndarray:
    """Bit patterns where NumPy has no such type."""
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(np.uint16)
    if tensor.element_size() == 1 and tensor.is_floating_point():
        return tensor.view(torch.uint8).numpy()
    return tensor.numpy()


def kind_of(tensor: torch.Tensor) -> dict[str, str]:
    name = str(tensor.dtype).removeprefix("torch.")
    return {"kind": TORCH_KINDS[name]} if name in TORCH_KINDS else {}


def compute(emulate: Emulate, expression: str, inputs: list[torch.Tensor], out: torch.dtype) -> torch.Tensor:
    """`expression` of ``a``, ``b``, ``c`` for every element."""
    names = "abc"[: len(inputs)]
    loads = "\n".join(f"    {name} = tl.load({name}_in + place, mask=inside)" for name in names)
    source = TEMPLATE.format(arguments=", ".join(f"{name}_in" for name in names), loads=loads, expression=expression)
    result = torch.zeros(inputs[0].numel(), dtype=out)
    tensors = {**{f"{name}_in": tensor.contiguous() for name, tensor in zip(names, inputs, strict=True)}, "y": result}
    kinds = {name: kind_of(tensor)["kind"] for name, tensor in tensors.items() if kind_of(tensor)}
    arrays = {name: as_array(tensor) for name, tensor in tensors.items()}
    with load_source(source) as module:
        block = 64
        grid = (-(-result.numel() // block),)
        emulate(module.kernel, grid, kinds=kinds, n=result.numel(), BLOCK=block, **arrays)
    return result


def draw(dtype: str, size: int, seed: int, low: float = -4.0, high: float = 4.0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    values = torch.rand(size, generator=rng, dtype=torch.float64) * (high - low) + low
    return values.to(getattr(torch, dtype))


# --- floats

#: Expression, what it is in float64, and the interval of arguments.
UNARY: dict[str, tuple[str, Any, tuple[float, float]]] = {
    "exp": ("tl.exp(a)", torch.exp, (-8, 8)),
    "exp2": ("tl.exp2(a)", torch.exp2, (-8, 8)),
    "log": ("tl.log(a)", torch.log, (0.01, 50)),
    "log2": ("tl.log2(a)", torch.log2, (0.01, 50)),
    "sin": ("tl.sin(a)", torch.sin, (-8, 8)),
    "cos": ("tl.cos(a)", torch.cos, (-8, 8)),
    "sqrt": ("tl.sqrt(a)", torch.sqrt, (0, 50)),
    "rsqrt": ("tl.rsqrt(a)", torch.rsqrt, (0.01, 50)),
    "erf": ("tl.erf(a)", torch.erf, (-5, 5)),
    "abs": ("tl.abs(a)", torch.abs, (-4, 4)),
    "floor": ("tl.floor(a)", torch.floor, (-4, 4)),
    "ceil": ("tl.ceil(a)", torch.ceil, (-4, 4)),
    "negative": ("-a", torch.neg, (-4, 4)),
    "sigmoid": ("tl.sigmoid(a)", torch.sigmoid, (-8, 8)),
}
#: What Triton offers in these types only.
WIDE_ONLY = {"exp", "exp2", "log", "log2", "sin", "cos", "sqrt", "rsqrt", "erf", "floor", "ceil", "sigmoid"}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", UNARY)
def test_unary_floats(name: str, dtype: str, emulate: Emulate) -> None:
    if name in WIDE_ONLY and dtype not in ("float32", "float64"):
        pytest.skip("Triton has it for wide types only")
    expression, function, (low, high) = UNARY[name]
    a = draw(dtype, 333, 1, low, high)

    got = compute(emulate, expression, [a], a.dtype)

    wanted = function(a.double())
    torch.testing.assert_close(
        got.double(), wanted, rtol=4 * torch.finfo(a.dtype).eps, atol=4e-7 if dtype != "float64" else 1e-14
    )


BINARY = {
    "add": ("a + b", torch.add),
    "subtract": ("a - b", torch.sub),
    "multiply": ("a * b", torch.mul),
    "divide": ("a / b", torch.div),
    "maximum": ("tl.maximum(a, b)", torch.maximum),
    "minimum": ("tl.minimum(a, b)", torch.minimum),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", BINARY)
def test_binary_floats_are_rounded_once(name: str, dtype: str, emulate: Emulate) -> None:
    expression, function = BINARY[name]
    a, b = draw(dtype, 1000, 2), draw(dtype, 1000, 3, 0.5, 300.0)
    out = torch.float32 if name == "divide" and dtype in ("float16", "bfloat16") else a.dtype

    got = compute(emulate, expression, [a, b], out)

    wanted = function(a.to(out), b.to(out))  # PyTorch rounds a 16-bit result once, from float32
    assert torch.equal(got, wanted)


def test_fused_multiply_add_is_rounded_once(emulate: Emulate) -> None:
    a, b, c = (draw("float32", 500, seed) for seed in (4, 5, 6))

    got = compute(emulate, "tl.fma(a, b, c)", [a, b, c], torch.float32)

    assert torch.equal(got, (a.double() * b.double() + c.double()).float())


@pytest.mark.parametrize("propagate", ["ALL", "NONE"])
def test_nan_in_maximum_and_clamp(propagate: str, emulate: Emulate) -> None:
    a = torch.tensor([float("nan"), 1.0, -7.0, 9.0] * 20)
    b = torch.tensor([1.0, float("nan"), 2.0, 2.0] * 20)
    flag = f"propagate_nan=tl.PropagateNan.{propagate}"

    top = compute(emulate, f"tl.maximum(a, b, {flag})", [a, b], torch.float32)
    between = compute(emulate, f"tl.clamp(a, -2.0, 5.0, {flag})", [a], torch.float32)

    both = torch.maximum(a, b) if propagate == "ALL" else torch.fmax(a, b)
    assert torch.equal(top.nan_to_num(77), both.nan_to_num(77))
    assert between[1:4].tolist() == [1.0, -2.0, 5.0]
    assert bool(between[0].isnan()) == (propagate == "ALL")


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">=", "==", "!="])
def test_comparisons_with_nan(operator: str, emulate: Emulate) -> None:
    specials = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1.5]
    a = torch.tensor([x for x in specials for _ in specials])
    b = torch.tensor([x for _ in specials for x in specials])

    got = compute(emulate, f"(a {operator} b).to(tl.int32)", [a, b], torch.int32)

    wanted = [int(eval(f"x {operator} y")) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert got.tolist() == wanted


LOOKUPS = {
    "exp": (torch.exp, -10, 10, 1e-5, 0.0),
    "log": (torch.log, 0.001, 100, 0.0, 2e-5),
    "tanh": (torch.tanh, -12, 12, 0.0, 5e-4),
    "sigmoid": (torch.sigmoid, -12, 12, 0.0, 5e-4),
    "gelu": (torch.nn.functional.gelu, -12, 12, 0.0, 5e-4),
}


@pytest.mark.parametrize("name", LOOKUPS)
def test_lookup_tables_are_near_but_not_exact(name: str, emulate: Emulate) -> None:
    function, low, high, relative, absolute = LOOKUPS[name]
    a = draw("float32", 4000, 7, low, high)

    got = compute(emulate, f"libdevice.{name}(a)", [a], torch.float32)

    wanted = function(a.double())
    torch.testing.assert_close(got.double(), wanted, rtol=relative, atol=absolute)
    assert not torch.equal(got, wanted.float())


@pytest.mark.parametrize("name", ["atan", "cosh", "expm1", "log1p", "rsqrt", "erf", "tan", "trunc", "asinh", "log10"])
def test_other_library_functions_are_exact(name: str, emulate: Emulate) -> None:
    a = draw("float32", 500, 8, 0.1, 1.4)

    got = compute(emulate, f"libdevice.{name}(a)", [a], torch.float32)

    torch.testing.assert_close(got.double(), getattr(torch, name)(a.double()), rtol=5e-7, atol=0)


# --- integers

INTEGERS = ("int8", "int16", "int32", "int64")
ON_INTEGERS = {
    "add": ("a + b", lambda a, b: a + b),
    "subtract": ("a - b", lambda a, b: a - b),
    "multiply": ("a * b", lambda a, b: a * b),
    "divide": ("a // b", lambda a, b: int(a / b) if abs(a) < 2**50 else abs(a) // abs(b) * (1 if a * b > 0 else -1)),
    "remainder": ("a % b", lambda a, b: int(math.copysign(abs(a) % abs(b), a))),
    "and": ("a & b", lambda a, b: a & b),
    "or": ("a | b", lambda a, b: a | b),
    "xor": ("a ^ b", lambda a, b: a ^ b),
    "maximum": ("tl.maximum(a, b)", max),
    "minimum": ("tl.minimum(a, b)", min),
    "less": ("(a < b).to(a.dtype)", lambda a, b: int(a < b)),
    "equal": ("(a == b).to(a.dtype)", lambda a, b: int(a == b)),
    "where": ("tl.where(a > b, a, b - 1)", lambda a, b: a if a > b else b - 1),
    "left": ("a << (b & 7)", lambda a, b: a << (b & 7)),
    "right": ("a >> (b & 7)", lambda a, b: a >> (b & 7)),
}


@pytest.mark.parametrize("name", ON_INTEGERS)
@given(data=st.data(), dtype=st.sampled_from(INTEGERS))
@COMMON
def test_integers_wrap_and_divide_as_llvm_does(name: str, data: st.DataObject, dtype: str, emulate: Emulate) -> None:
    bits = np.dtype(dtype).itemsize * 8
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    number = st.integers(low, high) | st.integers(-3, 3)
    pairs = data.draw(st.lists(st.tuples(number, number), min_size=1, max_size=90))
    if name in ("divide", "remainder"):
        pairs = [(a, b if b not in (0, -1) else 1) for a, b in pairs]
    expression, function = ON_INTEGERS[name]
    a, b = (torch.tensor(column, dtype=getattr(torch, dtype)) for column in zip(*pairs, strict=True))

    got = compute(emulate, expression, [a, b], a.dtype)

    exact = [(abs(x) // abs(y)) * (1 if (x < 0) == (y < 0) else -1) for x, y in pairs] if name == "divide" else None
    wanted = exact or [function(x, y) for x, y in pairs]
    assert got.tolist() == [(value - low) % (1 << bits) + low for value in wanted]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize("name", ["//", "%", ">>", "<"])
def test_unsigned_integers(name: str, dtype: str, emulate: Emulate) -> None:
    rng = np.random.default_rng(9)
    top = np.iinfo(dtype).max
    a = rng.integers(0, top, 200, dtype=dtype, endpoint=True)
    b = rng.integers(1, 8 if name == ">>" else top, 200, dtype=dtype)
    expression = f"(a {name} b).to(a.dtype)"
    source = TEMPLATE.format(
        arguments="a_in, b_in",
        loads="    a = tl.load(a_in + place, mask=inside)\n    b = tl.load(b_in + place, mask=inside, other=1)",
        expression=expression,
    )
    y = np.zeros(200, dtype)

    with load_source(source) as module:
        emulate(module.kernel, (4,), a_in=a, b_in=b, y=y, n=200, BLOCK=64)

    wanted = {"//": a // b, "%": a % b, ">>": a >> b, "<": (a < b).astype(dtype)}[name]
    assert y.tolist() == wanted.tolist()


def test_upper_half_of_a_product(emulate: Emulate) -> None:
    rng = np.random.default_rng(10)
    pairs = rng.integers(0, 2**32, (2, 200), dtype=np.uint32)
    y = np.zeros(200, np.uint32)
    source = TEMPLATE.format(
        arguments="a_in, b_in",
        loads="    a = tl.load(a_in + place, mask=inside)\n    b = tl.load(b_in + place, mask=inside)",
        expression="tl.umulhi(a, b)",
    )

    with load_source(source) as module:
        emulate(module.kernel, (4,), a_in=pairs[0], b_in=pairs[1], y=y, n=200, BLOCK=64)

    assert y.tolist() == [int(a) * int(b) >> 32 for a, b in pairs.T]


# --- conversions

NARROW = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")


@pytest.mark.parametrize("dtype", NARROW)
@given(data=st.data())
@COMMON
def test_narrowing_rounds_to_nearest_even(dtype: str, data: st.DataObject, emulate: Emulate) -> None:
    kind = getattr(torch, dtype)
    limit = torch.finfo(kind).max
    number = st.floats(-limit, limit, width=32)
    a = torch.tensor(data.draw(st.lists(number, min_size=1, max_size=70)), dtype=torch.float32)
    target = {
        "float16": "tl.float16",
        "bfloat16": "tl.bfloat16",
        "float8_e4m3fn": "tl.float8e4nv",
        "float8_e5m2": "tl.float8e5",
    }

    got = compute(emulate, f"a.to({target[dtype]}).to(tl.float32)", [a], torch.float32)
    stored = compute(emulate, f"a.to({target[dtype]})", [a], kind)

    assert torch.equal(got, a.to(kind).float())
    assert torch.equal(stored.float(), a.to(kind).float())


@pytest.mark.parametrize("dtype", NARROW)
def test_every_pattern_of_a_narrow_type_widens_exactly(dtype: str, emulate: Emulate) -> None:
    kind = getattr(torch, dtype)
    wide = (
        torch.arange(1 << 16, dtype=torch.int32).to(torch.int16)
        if kind.itemsize == 2
        else torch.arange(256, dtype=torch.uint8)
    )
    a = wide.view(kind)

    got = compute(emulate, "a.to(tl.float32)", [a], torch.float32)

    assert torch.equal(got.nan_to_num(3.5), a.float().nan_to_num(3.5))


def test_rounding_from_float64_happens_once(emulate: Emulate) -> None:
    a = torch.tensor([1 + 2**-9 + 2**-40, 1 + 2**-9 - 2**-40, 1 + 2**-8 + 2**-9, 257.0 + 2**-30], dtype=torch.float64)

    got = compute(emulate, "a.to(tl.bfloat16).to(tl.float32)", [a], torch.float32)

    assert got.tolist() == [1 + 2**-7 if x > 1 + 2**-8 else 1.0 for x in a.tolist()[:2]] + [1 + 2**-7, 258.0] or (
        got.tolist()[0] == 1.0 and got.tolist()[3] == 258.0
    )


def test_toward_zero_rounding(emulate: Emulate) -> None:
    a = draw("float32", 500, 11, -100, 100)

    got = compute(emulate, 'a.to(tl.float16, fp_downcast_rounding="rtz").to(tl.float32)', [a], torch.float32)

    assert bool((got.abs() <= a.abs()).all())
    assert torch.equal((got.half() == a.half()) | (got.abs() < a.abs()), torch.ones(500, dtype=torch.bool))
    assert bool(((a - got).abs() < 2**-10 * a.abs() + 2**-24).all())


@pytest.mark.parametrize("target", ["int8", "int16", "int32", "int64"])
def test_floats_become_integers_toward_zero_and_saturate(target: str, emulate: Emulate) -> None:
    limits = torch.iinfo(getattr(torch, target))
    values = [0.0, 1.9, -1.9, 100.5, -100.5, 1e30, -1e30, float("inf"), -float("inf"), float("nan")]
    a = torch.tensor(values, dtype=torch.float32)

    got = compute(emulate, f"a.to(tl.{target})", [a], getattr(torch, target))

    wanted = [0, 1, -1, 100, -100, limits.max, limits.min, limits.max, limits.min, 0]
    assert got.tolist() == wanted


@pytest.mark.parametrize("target", ["float16", "bfloat16", "float32", "float64"])
@given(numbers=st.lists(st.integers(-(2**62), 2**62) | st.integers(-300, 300), min_size=1, max_size=70))
@COMMON
def test_integers_become_floats(target: str, numbers: list[int], emulate: Emulate) -> None:
    kind = getattr(torch, target)
    if target == "float16":
        numbers = [number % 131072 - 65536 for number in numbers]
        numbers = [number for number in numbers if abs(number) < 65504] or [1]
    a = torch.tensor(numbers, dtype=torch.int64)

    got = compute(emulate, f"a.to(tl.{target})", [a], kind)

    assert torch.equal(got, a.to(torch.float64).to(kind) if target != "float32" else a.to(kind))


@pytest.mark.parametrize(("target", "bits"), [("bfloat16", 8), ("float16", 11)])
def test_large_integers_are_rounded_once(target: str, bits: int, emulate: Emulate) -> None:
    top = 62 if target == "bfloat16" else 15
    half = 2 ** (top - bits)
    numbers = [2**top + half + 1, 2**top + half - 1, 2**top + half, -(2**top) - half - 1]
    a = torch.tensor(numbers, dtype=torch.int64)

    got = compute(emulate, f"a.to(tl.{target}).to(tl.float32)", [a], torch.float32)

    assert got.tolist() == [2**top + 2 * half, 2**top, 2**top, -(2**top) - 2 * half]


def test_bits_are_reinterpreted(emulate: Emulate) -> None:
    a = draw("float32", 300, 12)
    half = draw("bfloat16", 300, 13)

    assert torch.equal(compute(emulate, "a.to(tl.int32, bitcast=True)", [a], torch.int32), a.view(torch.int32))
    assert torch.equal(compute(emulate, "a.to(tl.int16, bitcast=True)", [half], torch.int16), half.view(torch.int16))


@given(size=st.integers(1, 700), seed=st.integers(0, 2**31), dtype=st.sampled_from(FLOATS[:3]))
@COMMON
def test_any_size_is_covered_and_nothing_else(size: int, seed: int, dtype: str, emulate: Emulate) -> None:
    a = draw(dtype, size, seed)

    got = compute(emulate, "a + a * 2", [a], a.dtype)

    assert torch.equal(got, a + a * 2)
