"""An open OpenCL device, driven as the core drives it. Runs on PoCL."""

# ruff: noqa: E501  # kernels in strings read better on one line

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelevolve import Workload, parse_kernel, registry
from kernelevolve.accelerator import BufferSpec, FlushesCache, Session, Source, Status
from kernelevolve.evaluation.gate import Gate
from kernelevolve.outcome import LaunchError, OutOfMemory, ResourceExceeded
from kernelevolve.plan import LaunchPlan
from kernelevolve.problem import Problem, ScalarSpec, TensorSpec

pytestmark = pytest.mark.opencl

PROBLEM = Problem(
    name="scaled",
    axes=("n",),
    inputs=(TensorSpec("x", "n"),),
    outputs=(TensorSpec("y", "n"),),
    scalars=(ScalarSpec("eps", 0.25),),
    reference=lambda x: x,
    workloads=("n=96",),
)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    made = registry.accelerator("opencl")
    found = made.probe()
    if found.status is not Status.OK:
        pytest.skip(f"needs an OpenCL device: {found.message}")
    with made.open(made.devices()[0]) as opened:
        yield opened


def planned(text: str, session: Session, workload: str = "n=96", **configuration: int) -> LaunchPlan:
    kernel = parse_kernel(text)
    return Gate(PROBLEM, session.device.facts).plan(
        kernel, {**kernel.default, **configuration}, Workload.parse(workload)
    )


def file(source: str, launches: str, extra: str = "") -> str:
    header = f'language = "opencl"\n{extra}\n{launches}'
    return "\n".join(f"// {line}".rstrip() for line in f"/// kernel\n{header}\n///".split("\n")) + f"\n{source}\n"


def run(session: Session, plan: LaunchPlan, guard: int = 64) -> dict[str, np.ndarray]:
    """Every buffer's floats after one run with ``x = 0, 1, 2…``."""
    made = registry.accelerator("opencl")
    program = session.load(made.compile(plan, session.device.target))
    buffers = {one.name: session.allocate(BufferSpec(one.nbytes, guard)) for one in plan.buffers}
    for buffer in buffers.values():
        session.fill(buffer, 0xFF, guards=True)
    session.upload(buffers["x"], memoryview(np.arange(plan.buffer("x").nbytes // 4, dtype=np.float32)))
    session.launch(session.bind(program, plan.launches, buffers))
    session.synchronize()
    found = {name: np.frombuffer(session.download(buffer), np.float32) for name, buffer in buffers.items()}
    for buffer in buffers.values():
        session.free(buffer)
    return found


ONE = '[[launch]]\nentry = "k"\ngrid = ["n"]\nblock = ["1"]'
X = np.arange(96, dtype=np.float32)


def test_tunables_types_scalars_and_expressions_reach_the_kernel(session: Session) -> None:
    text = file(
        "__kernel void k(__global const x_t *x, __global y_t *y, float eps, int shift, long wide, uchar small) {"
        " size_t i = get_global_id(0); y[i] = (y_t)(x[i] * F + eps + shift + wide + small); }",
        ONE + '\nargs = { shift = "n - 90", wide = "n * 100000000000", small = "200" }',
        "[tune]\nF = [3, 5]",
    )
    wide = np.float32(96 * 10**11)
    assert run(session, planned(text, session, F=5))["y"] == pytest.approx(X * 5 + 0.25 + 6 + wide + 200, rel=1e-6)


def test_launches_run_in_order_and_hand_over_through_scratch(session: Session) -> None:
    text = file(
        "__kernel void first(__global const float *x, __global float *t) { size_t i = get_global_id(0); t[i] = x[i] + 1; }\n"
        "__kernel void second(__global const float *t, __global float *y, int n) { size_t i = get_global_id(0); y[i] = t[n - 1 - i] * 2; }",
        '[[launch]]\nentry = "first"\ngrid = ["n"]\nblock = ["1"]\n[[launch]]\nentry = "second"\ngrid = ["n // 2"]\nblock = ["2"]',
        '[scratch.t]\nshape = ["n"]',
    )
    found = run(session, planned(text, session))
    assert found["t"].tolist() == (X + 1).tolist()
    assert found["y"].tolist() == ((X + 1) * 2)[::-1].tolist()


def test_local_memory_arrives_as_large_as_declared(session: Session) -> None:
    text = file(
        "__kernel void k(__global const float *x, __global float *y, __local float *t, int size) {"
        " size_t i = get_global_id(0), l = get_local_id(0); t[size - 1 - l] = x[i]; barrier(CLK_LOCAL_MEM_FENCE); y[i] = t[l]; }",
        '[[launch]]\nentry = "k"\ngrid = ["n // 32"]\nblock = ["32"]\nargs = { size = "32" }\nlocal = { t = { shape = ["32"] } }',
    )
    assert run(session, planned(text, session))["y"].tolist() == X.reshape(3, 32)[:, ::-1].reshape(-1).tolist()


def test_grids_of_two_dimensions_count_groups(session: Session) -> None:
    text = file(
        "__kernel void k(__global float *y) { size_t i = get_global_id(1) * get_global_size(0) + get_global_id(0);"
        " y[i] = get_num_groups(0) * 1000 + get_num_groups(1) * 100 + get_local_size(0) * 10 + get_local_size(1); }",
        '[[launch]]\nentry = "k"\ngrid = ["4", "3"]\nblock = ["2", "4"]',
    )
    assert set(run(session, planned(text, session))["y"]) == {4000 + 300 + 20 + 4}


@pytest.mark.parametrize(
    ("declared", "value"), [("int", "2**31"), ("uchar", "256"), ("uint", "-1"), ("short", "40000")]
)
def test_a_number_that_its_parameter_cannot_hold_is_a_launch_error(session: Session, declared: str, value: str) -> None:
    source = f"__kernel void k(__global float *y, {declared} big) {{ y[get_global_id(0)] = big; }}"
    text = file(source, f'{ONE}\nargs = {{ big = "{value}" }}')
    with pytest.raises(LaunchError, match=rf"'big' is declared {declared}, which cannot hold -?\d+") as caught:
        run(session, planned(text, session))
    assert caught.value.details["code"] == "INVALID_ARG_VALUE"


def test_binding_a_group_larger_than_the_kernel_was_compiled_for_is_too_much(session: Session) -> None:
    made = registry.accelerator("opencl")
    source = "__kernel void k(__global float *y) { y[get_global_id(0)] = 1; }"
    small = planned(file(source, ONE), session)
    artifact = made.compile(small, session.device.target)
    limit = artifact.resources["k"]["max_group_size"]
    from attrs import evolve

    large = [evolve(small.launches[0], grid=(1,), block=(limit + 1,))]
    buffers = {one.name: session.allocate(BufferSpec(one.nbytes)) for one in small.buffers}
    with pytest.raises(ResourceExceeded, match="as compiled"):
        session.bind(session.load(artifact), large, buffers)


def test_a_sample_has_a_device_time_within_the_host_time_and_says_which_it_is(session: Session) -> None:
    made = registry.accelerator("opencl")
    text = file(
        "__kernel void k(__global const float *x, __global float *y) { float s = 0; for (int i = 0; i < 50000; ++i) s = sin(s + x[0]); y[get_global_id(0)] = s; }",
        ONE,
    )
    plan = planned(text, session)
    program = session.load(made.compile(plan, session.device.target))
    buffers = {one.name: session.allocate(BufferSpec(one.nbytes)) for one in plan.buffers}
    session.upload(buffers["x"], memoryview(X))
    call = session.bind(program, plan.launches, buffers)
    session.time(call)
    one, three = session.time(call), session.time(call, launches=3)
    assert (one.launches, three.launches) == (1, 3)
    for sample in (one, three):
        assert sample.source in (Source.DEVICE_EVENT, Source.HOST_WALL)
        assert sample.host_seconds is not None
        assert 0 < sample.seconds <= sample.host_seconds * 1.05
    assert three.seconds < 2.5 * one.seconds  # per launch, and not for all three


def test_a_binary_loads_into_a_fresh_session_and_runs(session: Session) -> None:
    made = registry.accelerator("opencl")
    plan = planned(
        file(
            "__kernel void k(__global const float *x, __global float *y) { size_t i = get_global_id(0); y[i] = 7 * x[i]; }",
            ONE,
        ),
        session,
    )
    artifact = made.compile(plan, session.device.target)
    with made.open(session.device) as other:
        program = other.load(artifact)
        buffers = {one.name: other.allocate(BufferSpec(one.nbytes, 16)) for one in plan.buffers}
        other.upload(buffers["x"], memoryview(X))
        other.launch(other.bind(program, plan.launches, buffers))
        assert np.frombuffer(other.download(buffers["y"]), np.float32).tolist() == (7 * X).tolist()


SLOW_FIXTURE = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(
    size=st.integers(1, 5000), guard=st.integers(0, 600), pattern=st.integers(0, 255), seed=st.integers(0, 2**32 - 1)
)
@SLOW_FIXTURE
def test_what_is_uploaded_comes_down_and_guards_keep_their_pattern(
    session: Any, size: int, guard: int, pattern: int, seed: int
) -> None:
    data = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    buffer = session.allocate(BufferSpec(size, guard))
    session.fill(buffer, pattern, guards=True)
    session.upload(buffer, memoryview(data))
    assert session.download(buffer) == data.tobytes()
    everything = session.download(buffer, guards=True)
    around = (len(everything) - size) // 2
    assert around >= guard
    assert everything[around : around + size] == data.tobytes()
    assert set(everything[:around] + everything[around + size :]) <= {pattern}
    session.free(buffer)


@given(size=st.integers(1, 1000), inside=st.integers(0, 255), outside=st.integers(0, 255))
@SLOW_FIXTURE
def test_filling_the_payload_leaves_the_guards(session: Any, size: int, inside: int, outside: int) -> None:
    buffer = session.allocate(BufferSpec(size, 100))
    session.fill(buffer, outside, guards=True)
    session.fill(buffer, inside, guards=False)
    everything = session.download(buffer, guards=True)
    around = (len(everything) - size) // 2
    assert everything == bytes([outside]) * around + bytes([inside]) * size + bytes([outside]) * around
    session.free(buffer)


def test_an_upload_of_another_size_is_refused(session: Session) -> None:
    buffer = session.allocate(BufferSpec(8))
    with pytest.raises(ValueError, match="7 bytes for a buffer of 8"):
        session.upload(buffer, memoryview(bytes(7)))


def test_a_buffer_beyond_the_device_is_out_of_memory_with_both_sizes(session: Session) -> None:
    limit = session.device.memory["max_allocation"]
    with pytest.raises(OutOfMemory) as caught:
        session.allocate(BufferSpec(limit + 1))
    assert caught.value.details["needed"] > caught.value.details["limit"] == limit


def test_the_session_can_flush_caches_again_and_again(session: Session) -> None:
    assert isinstance(session, FlushesCache)
    before = session._flush_count  # type: ignore[attr-defined]
    session.flush()
    session.flush()
    assert session._flush_count == before + 2  # type: ignore[attr-defined]
