"""Real compiles without a device: every target, element types, memory, options, and what the binaries use."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from attrs import evolve

from kernelevolve.accelerator import Artifact, Target
from kernelevolve.backends._gpu.entries import read_entries
from kernelevolve.backends.numba_cuda import NumbaCUDA
from kernelevolve.outcome import CompileError, ResourceExceeded
from kernelevolve.plan import LaunchPlan, LocalArgument

from .conftest import plan_of

ACCELERATOR = NumbaCUDA()
SM_90 = Target("cuda:sm_90")
F32 = ((64,), "float32")

SCALE = """
@cuda.jit
def k(x, y, n, factor):
    i = cuda.grid(1)
    if i < n:
        y[i] = x[i] * factor
"""
STAGED = """
@cuda.jit
def k(x):
    t = cuda.shared.array({size}, float32)
    t[cuda.threadIdx.x] = x[0]
    cuda.syncthreads()
    x[0] = t[5]
"""
SCALED = {"x": F32, "y": F32, "n": 64, "factor": 2.0}


def compiled(source: str, arguments: dict[str, Any], target: Target = SM_90, **shape: Any) -> Artifact:
    return ACCELERATOR.compile(plan_of(source, arguments, **shape), target)


def ptx(artifact: Artifact, entry: str = "k") -> str:
    return artifact.stages[f"ptx:{entry}"].decode()


@pytest.mark.parametrize("name", [target.name for target in ACCELERATOR.targets()])
def test_every_target_gives_a_binary_for_it(name: str) -> None:
    artifact = compiled(SCALE, SCALED, Target(name))
    assert f".target {name.removeprefix('cuda:')}" in ptx(artifact)
    cubin = artifact.stages["cubin:k"]
    assert cubin[:4] == b"\x7fELF"
    assert b"numba_k\0" in cubin
    used = artifact.resources["k"]
    assert 8 <= used["registers"] <= 64
    assert used["active_blocks"] >= 1
    assert used["spill_store_bytes"] == used["private_bytes"] == used["local_bytes"] == 0
    assert artifact.toolchain["numba-cuda"]


def test_the_targets_are_those_the_toolkit_knows() -> None:
    names = [target.name for target in ACCELERATOR.targets()]
    assert {"cuda:sm_80", "cuda:sm_86", "cuda:sm_89", "cuda:sm_90", "cuda:sm_100", "cuda:sm_120"} <= set(names)
    for target in ("cuda:sm_20", "hip:gfx942"):
        with pytest.raises(CompileError, match=f"does not compile for '{target}'; there is cuda:sm_"):
            compiled(SCALE, SCALED, Target(target))


def test_other_targets_of_the_toolkit_are_compiled_for_too() -> None:
    target = Target("cuda:sm_110")  # in no table of occupancy
    artifact = compiled(SCALE, SCALED, target)
    assert ".target sm_110" in ptx(artifact)
    assert "active_blocks" not in artifact.resources["k"]
    assert artifact.resources["k"]["threads"] == 32


@pytest.mark.parametrize(
    ("dtype", "load"),
    [
        ("float64", "ld.global.f64"),
        ("float32", "ld.global.f32"),
        ("float16", "ld.global.u16"),
        ("bfloat16", "ld.global.u16"),
        ("int64", "ld.global.u64"),
        ("int32", "ld.global.u32"),
        ("int16", "ld.global.u16"),
        ("int8", "ld.global.u8"),
        ("uint8", "ld.global.u8"),
        ("bool", "ld.global.u8"),
    ],
)
def test_every_element_type_is_compiled_as_itself(dtype: str, load: str) -> None:
    source = """
@cuda.jit
def k(x, y, n):
    i = cuda.grid(1)
    if i < n:
        y[i] = float32(x[i]) * float32(2.0)
"""
    text = ptx(compiled(source, {"x": ((64,), dtype), "y": F32, "n": 64}))
    width = {"u8": "(?:u8|s8)", "u16": "(?:u16|s16|b16)", "u32": "(?:u32|s32|b32)", "u64": "(?:u64|s64|b64)"}
    kind = load.rpartition(".")[2]
    assert re.search(rf"ld\.global\.(?:nc\.)?{width.get(kind, kind)}", text)
    assert "call" not in text  # conversions are inlined


def test_float16_and_bfloat16_arithmetic_is_inlined() -> None:
    source = "@cuda.jit\ndef k(x, y):\n    i = cuda.grid(1)\n    y[i] = x[i] * x[i] + math.exp(x[i])\n"
    for dtype in ("float16", "bfloat16"):
        text = ptx(compiled(source, {"x": ((64,), dtype), "y": ((64,), dtype)}))
        assert "call" not in text
        assert "ex2.approx" in text
        assert compiled(source, {"x": ((64,), dtype), "y": ((64,), dtype)}).resources["k"]["private_bytes"] == 0


def test_tunables_are_constants_of_the_compiled_code() -> None:
    source = """
WIDTH = 3
LOUD = False

@cuda.jit
def k(y):
    i = cuda.grid(1)
    y[i] = WIDTH
    if LOUD:
        y[i] = 12345
"""
    text = ptx(compiled(source, {"y": ((64,), "int32")}, constants={"WIDTH": 77, "LOUD": True}))
    assert "12345" in text
    quiet = ptx(compiled(source, {"y": ((64,), "int32")}, constants={"WIDTH": 77, "LOUD": False}))
    assert "12345" not in quiet
    assert re.search(r"\b77\b", quiet)


def test_static_and_dynamic_shared_memory_are_told_apart() -> None:
    source = """
@cuda.jit
def k(x, y):
    fixed = cuda.shared.array((8, 16), float32)
    tile = cuda.shared.array(0, float32)
    i = cuda.threadIdx.x
    fixed[i % 8, i % 16] = x[i]
    tile[i] = x[i]
    cuda.syncthreads()
    y[i] = fixed[(i + 1) % 8, i % 16] + tile[31 - i]
"""
    artifact = compiled(source, {"x": F32, "y": F32, "tile": LocalArgument("tile", 128)})
    used = artifact.resources["k"]
    assert used["static_local_bytes"] == 512
    assert used["dynamic_local_bytes"] == 128
    assert used["local_bytes"] == 640
    entry = read_entries(artifact.extra)["k"]
    assert entry.shared == 0  # the plan's argument is the session's to add
    assert entry.threads is None
    assert [one for one in entry.layout if getattr(one, "of", "") == "tile"] == []


def test_local_arrays_are_counted() -> None:
    source = """
@cuda.jit
def k(x, y, n):
    own = cuda.local.array(256, float32)
    i = cuda.grid(1)
    for j in range(n):
        own[(j * i) % 256] = x[j]
    y[i] = own[n % 256]
"""
    assert compiled(source, {"x": F32, "y": F32, "n": 64}).resources["k"]["private_bytes"] >= 1024


def many_values(options: str) -> str:
    """A kernel that holds 100 numbers at once."""
    lines = "\n".join(f"    v{i} = x[i + {i}]" for i in range(100))
    total = " + ".join(f"v{i} * v{(i * 7) % 100}" for i in range(100))
    head = f"@cuda.jit{options}\ndef k(x, y):\n    i = cuda.grid(1)\n"
    return f"{head}{lines}\n    cuda.syncthreads()\n    y[i] = {total}\n"


def test_a_limit_on_registers_is_kept_and_spills_are_counted() -> None:
    free = compiled(many_values(""), {"x": F32, "y": F32}).resources["k"]
    tight = compiled(many_values("(max_registers=32)"), {"x": F32, "y": F32}).resources["k"]
    assert tight["registers"] <= 32 < free["registers"]
    assert free["spill_store_bytes"] == free["spill_load_bytes"] == 0
    assert tight["spill_store_bytes"] > 0
    assert tight["spill_load_bytes"] > 0


def test_device_functions_are_compiled_in() -> None:
    source = """
@cuda.jit(device=True)
def square(value):
    return value * value

@cuda.jit(device=True, inline="always")
def shifted(value, by):
    return value + by

@cuda.jit(device=True, forceinline=True)
def halved(value):
    return value * float32(0.5)

@cuda.jit
def k(x, y):
    i = cuda.grid(1)
    y[i] = halved(shifted(square(x[i]), float32(3.0)))
"""
    text = ptx(compiled(source, {"x": F32, "y": F32}))
    assert "call" not in text
    assert re.search(r"fma\.rn\.f32", text)


def test_fast_mathematics_reaches_the_binary_and_the_record() -> None:
    source = "@cuda.jit{options}\ndef k(x, y):\n    i = cuda.grid(1)\n    y[i] = math.sqrt(x[i]) / x[i + 1] + x[i]\n"
    exact = compiled(source.format(options=""), {"x": F32, "y": F32})
    fast = compiled(source.format(options="(fastmath=True)"), {"x": F32, "y": F32})
    assert "sqrt.rn.f32" in ptx(exact)
    assert "div.rn.f32" in ptx(exact)
    assert "sqrt.approx.ftz.f32" in ptx(fast)
    assert re.search(r"div\.(approx|full)\.ftz\.f32", ptx(fast))
    assert "add.ftz.f32" in ptx(fast)
    assert "add.f32" in ptx(exact)
    assert exact.extra["numerics"]["k"] == {
        "fastmath": False,
        "ftz": False,
        "prec_div": True,
        "prec_sqrt": True,
        "fma": True,
    }
    assert fast.extra["numerics"]["k"]["ftz"] is True


def test_fast_mathematics_changes_the_compile_key() -> None:
    plans = [
        plan_of(f"@cuda.jit{options}\ndef k(x):\n    x[0] = 1\n", {"x": F32}) for options in ("", "(fastmath=True)")
    ]
    keys = [json.dumps(ACCELERATOR.compile_key(plan), sort_keys=True) for plan in plans]
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    "change",
    [
        {"x": ((64,), "float16")},
        {"x": ((8, 8), "float32")},
        {"x": ((65,), "float32")},
        {"n": 2**31},
    ],
)
def test_the_compile_key_holds_types_and_extents(change: dict[str, Any]) -> None:
    base = json.dumps(ACCELERATOR.compile_key(plan_of(SCALE, SCALED)), sort_keys=True)
    other = json.dumps(ACCELERATOR.compile_key(plan_of(SCALE, {**SCALED, **change})), sort_keys=True)
    assert base != other
    assert base == json.dumps(ACCELERATOR.compile_key(plan_of(SCALE, SCALED)), sort_keys=True)


def test_the_key_and_the_binary_depend_on_block_and_tunables() -> None:
    first = plan_of(SCALE, SCALED)
    for other in (plan_of(SCALE, SCALED, block=(64,)), plan_of(SCALE, SCALED, constants={"WIDTH": 1})):
        assert ACCELERATOR.compile_key(first) != ACCELERATOR.compile_key(other)
    assert ".maxntid 64" in ptx(compiled(SCALE, SCALED, block=(8, 8)))


def test_launch_bounds_of_the_source_are_kept() -> None:
    source = SCALE.replace("@cuda.jit", "@cuda.jit(launch_bounds=(128, 4))")
    text = ptx(compiled(source, SCALED))
    assert ".maxntid 128" in text
    assert ".minnctapersm 4" in text


def test_a_block_never_needs_more_registers_than_it_may_have() -> None:
    small = compiled(many_values(""), {"x": F32, "y": F32}, block=(32,)).resources["k"]
    large = compiled(many_values(""), {"x": F32, "y": F32}, block=(1024,)).resources["k"]
    assert small["registers"] > 64 >= large["registers"]
    assert large["active_blocks"] >= 1


@pytest.mark.parametrize(
    ("source", "arguments", "shape", "resource"),
    [
        (STAGED.format(size=20_000), {"x": F32}, {}, "static shared memory"),
        (STAGED.format(size=0), {"x": F32, "t": LocalArgument("t", 300_000)}, {}, "shared memory"),
        (SCALE, SCALED, {"block": (2048,)}, "threads per block"),
    ],
)
def test_what_does_not_fit_is_said_with_numbers(
    source: str, arguments: dict[str, Any], shape: dict[str, Any], resource: str
) -> None:
    with pytest.raises(ResourceExceeded) as caught:
        compiled(source, arguments, **shape)
    details = caught.value.details
    assert details["resource"] == resource
    assert details["needed"] > details["limit"] > 0
    assert str(details["needed"]) in str(caught.value)
    assert str(details["limit"]) in str(caught.value)


def test_the_same_source_gives_the_same_binary_and_text() -> None:
    first, second = (NumbaCUDA().compile(plan_of(SCALE, SCALED), SM_90) for _ in range(2))
    assert dict(first.stages) == dict(second.stages)
    assert not re.search(rb"_ZN|_cudapy_", first.stages["ptx:k"])


def test_another_extent_needs_no_second_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    made = NumbaCUDA()
    first = made.compile(plan_of(SCALE, SCALED), SM_90)
    monkeypatch.setattr("kernelevolve.backends.numba_cuda.build", None)
    other = made.compile(plan_of(SCALE, {**SCALED, "x": ((1000,), "float32"), "n": 1000}), SM_90)
    assert other.stages["cubin:k"] == first.stages["cubin:k"]
    values = [one.value for one in read_entries(other.extra)["k"].layout if hasattr(one, "value")]
    assert values[2] == values[4] == 1000


def test_blocks_that_wait_for_each_other_are_launched_cooperatively() -> None:
    source = """
@cuda.jit
def k(x, y):
    i = cuda.grid(1)
    x[i] = i
    cuda.cg.this_grid().sync()
    y[i] = x[63 - i]
"""
    artifact = compiled(source, {"x": F32, "y": F32})
    assert read_entries(artifact.extra)["k"].cooperative
    assert not read_entries(compiled(SCALE, SCALED).extra)["k"].cooperative


def test_several_entries_have_a_binary_each() -> None:
    source = SCALE + "\n@cuda.jit\ndef second(y):\n    y[cuda.grid(1)] += 1\n"
    plan = plan_of(source, SCALED)
    more = plan_of(source, {"y": F32}, entry="second")
    both = evolve(plan, launches=(*plan.launches, *more.launches))
    artifact = ACCELERATOR.compile(both, SM_90)
    assert set(artifact.stages) == {"ptx:k", "cubin:k", "ptx:second", "cubin:second"}
    assert read_entries(artifact.extra)["second"].symbol == "numba_second"
    assert set(artifact.resources) == {"k", "second"}


def test_launches_of_one_entry_on_other_extents_need_an_entry_each() -> None:
    source = "@cuda.jit\ndef k(x):\n    x[cuda.grid(1)] = 1\n"
    first, second = plan_of(source, {"x": F32}), plan_of(source, {"x": ((32,), "float32")})
    renamed = evolve(second.buffers[0], name="z")
    argument = evolve(second.launches[0].arguments[0], buffer="z")
    launches = (*first.launches, evolve(second.launches[0], arguments=(argument,)))
    plan: LaunchPlan = evolve(first, buffers=(*first.buffers, renamed), launches=launches)
    with pytest.raises(
        CompileError, match=r"k is launched with float32\[64\] and with float32\[32\] for parameter 'x'"
    ):
        ACCELERATOR.compile(plan, SM_90)
