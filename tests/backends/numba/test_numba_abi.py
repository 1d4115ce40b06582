"""The layout of kernel parameters against what the compiler made: in PTX, and in the record of the binary."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve.accelerator import Target
from kernelevolve.backends._gpu.arguments import FORMATS
from kernelevolve.backends._gpu.entries import Constant, Pointer, Scalar, read_entries
from kernelevolve.backends._numba import signature
from kernelevolve.backends._numba.signature import ARRAY_TYPES, layout, ptx_types
from kernelevolve.backends._numba.signature import read_entries as read_plan
from kernelevolve.backends.numba_cuda import NumbaCUDA
from kernelevolve.outcome import CompileError, ToolchainError
from kernelevolve.problem import itemsize

from .conftest import plan_of

ACCELERATOR = NumbaCUDA()
SHAPES = st.lists(st.integers(1, 2**20), min_size=0, max_size=4).map(tuple)
ARRAYS = st.tuples(SHAPES, st.sampled_from(sorted(ARRAY_TYPES)))
NUMBERS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(width=32, allow_nan=False))
SIGNATURES = st.lists(st.one_of(ARRAYS, NUMBERS), min_size=1, max_size=6)
#: Bytes by the type of a PTX parameter.
SIZES = {"u64": 8, "u32": 4, "f32": 4, "f64": 8}


def source_for(count: int) -> str:
    names = ", ".join(f"p{index}" for index in range(count))
    return f"@cuda.jit\ndef k({names}):\n    pass\n"


@settings(max_examples=25, deadline=None)
@given(SIGNATURES, st.sampled_from(["cuda:sm_80", "cuda:sm_90", "cuda:sm_120"]))
def test_the_layout_is_the_parameter_list_of_the_ptx(values: list[Any], target: str) -> None:
    arguments = {f"p{index}": value for index, value in enumerate(values)}
    plan = plan_of(source_for(len(values)), arguments)
    artifact = ACCELERATOR.compile(plan, Target(target))
    parameters = re.search(r"\.entry numba_k\((.*?)\)", artifact.stages["ptx:k"].decode(), re.DOTALL)
    assert parameters is not None
    declared = [SIZES[re.sub("^[sb]", "u", kind)] for kind in re.findall(r"\.param \.(\w+)", parameters[1])]
    entry = read_entries(artifact.extra)["k"]
    sizes = []
    for one in entry.layout:
        kind = "pointer" if isinstance(one, Pointer) else one.type  # type: ignore[union-attr]
        sizes.append({"pointer": 8}.get(kind) or {"i32": 4, "i64": 8, "fp32": 4, "fp64": 8}[kind])
        assert kind in FORMATS
    assert sizes == declared


@settings(max_examples=50, deadline=None)
@given(SIGNATURES)
def test_an_array_is_its_fields_in_numbas_order(values: list[Any]) -> None:
    arguments = {f"p{index}": value for index, value in enumerate(values)}
    entry = read_plan(plan_of(source_for(len(values)), arguments))["k"]
    fields = iter(layout(entry))
    for name, value in arguments.items():
        if not isinstance(value, tuple):
            assert next(fields)["of"] == name
            continue
        shape, dtype = value[0] or (1,), value[1]
        got = [next(fields) for _ in range(5 + 2 * len(shape))]
        size = itemsize(dtype)
        assert [one.get("value") for one in got[:4]] == [0, 0, math.prod(shape), size]
        assert got[4] == {"kind": "pointer", "of": name}
        assert [one["value"] for one in got[5 : 5 + len(shape)]] == list(shape)
        strides = [size * math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        assert [one["value"] for one in got[5 + len(shape) :]] == strides
    assert next(fields, None) is None


def test_numbas_own_record_of_an_array_has_these_fields() -> None:
    """The members of Numba's structure, in its order: what the layout is written after."""
    from kernelevolve.backends._numba.importing import import_cuda

    cuda = import_cuda()
    from numba.cuda.datamodel.models import ArrayModel

    class Recorded(Exception):
        pass

    def members(dimensions: int) -> list[tuple[str, str]]:
        model = ArrayModel.__new__(ArrayModel)
        found: list[tuple[str, str]] = []
        original = ArrayModel.__mro__[1].__init__

        def note(self: Any, dmm: Any, fe_type: Any, listed: Any) -> None:
            found.extend((name, str(kind)) for name, kind in listed)
            raise Recorded

        ArrayModel.__mro__[1].__init__ = note
        try:
            ArrayModel.__init__(model, None, cuda.types.Array(cuda.types.float32, dimensions, "C"))
        except Recorded:
            pass
        finally:
            ArrayModel.__mro__[1].__init__ = original
        return found

    names = [name for name, _ in members(2)]
    assert names == ["meminfo", "parent", "nitems", "itemsize", "data", "shape", "strides"]


@pytest.mark.parametrize(
    ("value", "kind"),
    [(0, "i32"), (2**31 - 1, "i32"), (-(2**31), "i32"), (2**31, "i64"), (-(2**31) - 1, "i64"), (1.5, "fp32")],
)
def test_numbers_take_the_smallest_type_that_holds_them(value: Any, kind: str) -> None:
    entry = read_entries(
        ACCELERATOR.compile(plan_of("@cuda.jit\ndef k(n):\n    pass\n", {"n": value}), Target("cuda:sm_90")).extra
    )
    assert entry["k"].layout == (Scalar("n", kind),)


def test_a_tensor_of_no_dimension_is_one_element() -> None:
    plan = plan_of("@cuda.jit\ndef k(x):\n    x[0] = 2\n", {"x": ((), "float32")})
    layout_of = read_entries(ACCELERATOR.compile(plan, Target("cuda:sm_90")).extra)["k"].layout
    values = [one.value for one in layout_of if isinstance(one, Constant)]
    assert values == [0, 0, 1, 4, 1, 4]


def test_another_order_of_parameters_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernelevolve.backends._numba.build.ptx_types", lambda entry: [*ptx_types(entry), "u64"])
    plan = plan_of("@cuda.jit\ndef k(x):\n    x[0] = 2\n", {"x": ((3,), "float32")})
    with pytest.raises(ToolchainError, match=r"numba-cuda passes the arguments of k as u64, .* was expected"):
        NumbaCUDA().compile(plan, Target("cuda:sm_90"))


def test_element_types_numba_lacks_are_refused_by_name() -> None:
    with pytest.raises(CompileError, match="buffer 'x' is of float8_e5m2, which Numba does not compute with"):
        signature.read_entries(plan_of("@cuda.jit\ndef k(x):\n    pass\n", {"x": ((3,), "float8_e5m2")}))
