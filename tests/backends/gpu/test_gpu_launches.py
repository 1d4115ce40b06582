"""From artifact and plan to the driver's launch: shapes, parameters, limits, and what fails how."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve.accelerator import Artifact, BufferSpec
from kernelevolve.backends._gpu.driver import Attribute, DriverError, ErrorKind, FunctionAttributes, LaunchShape
from kernelevolve.backends._gpu.session import GpuSession
from kernelevolve.outcome import (
    DeviceFault,
    DeviceLost,
    LaunchError,
    OutOfMemory,
    PluginBug,
    ResourceExceeded,
    ToolchainError,
)
from kernelevolve.plan import Argument, BufferArgument, LocalArgument, PlannedLaunch, ScalarArgument

from .conftest import Opener
from .fake_driver import FakeDriver, Kernel, artifact_of, device_of, fault


def planned(
    entry: str = "k",
    *arguments: Argument,
    grid: tuple[int, ...] = (1,),
    block: tuple[int, ...] = (),
) -> PlannedLaunch:
    return PlannedLaunch(entry, grid, block, tuple(arguments))


def run(session: GpuSession, artifact: Artifact, launch: PlannedLaunch, buffers: Any = None) -> Any:
    call = session.bind(session.load(artifact), [launch], buffers or {})
    session.launch(call)
    session.synchronize()
    return call


def shape_of(driver: FakeDriver) -> LaunchShape:
    (_, _, shape) = driver.launches[-1]
    return shape


# Parameters

SCALARS = st.one_of(
    st.tuples(st.just("i32"), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just("i64"), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just("u32"), st.integers(0, 2**32 - 1)),
    st.tuples(st.just("fp32"), st.floats(width=32, allow_nan=False)),
    st.tuples(st.just("fp64"), st.floats(allow_nan=False)),
)


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("pointer"), st.sampled_from(["x", "y", "z"])),
            st.tuples(st.just("scalar"), SCALARS),
            st.tuples(st.just("value"), SCALARS),
            st.just(("scratch", 0)),
        ),
        max_size=12,
    )
)
def test_a_kernel_gets_what_its_layout_says(items: list[tuple[str, Any]]) -> None:
    layout: list[dict[str, Any]] = []
    arguments: list[Argument] = [BufferArgument(name, f"buffer {name}") for name in "xyz"]
    types: list[str] = []
    for index, (kind, what) in enumerate(items):
        if kind == "pointer":
            layout.append({"kind": kind, "of": what})
        elif kind == "scalar":
            layout.append({"kind": kind, "of": f"n{index}", "type": what[0]})
            arguments.append(ScalarArgument(f"n{index}", what[1]))
        elif kind == "value":
            layout.append({"kind": kind, "type": what[0], "value": what[1]})
        else:
            layout.append({"kind": kind, "bytes_per_block": 0, "align": 1})
        types.append(what[0] if kind in ("scalar", "value") else "pointer")
    driver = FakeDriver(Kernel("k", tuple(types)))
    session = GpuSession(device_of(driver), driver)
    buffers = {f"buffer {name}": session.allocate(BufferSpec(64, 256)) for name in "xyz"}
    run(session, artifact_of(k={"layout": layout}), planned("k", *arguments), buffers)
    addresses = {name: buffers[f"buffer {name}"].address for name in "xyz"}
    expected = [addresses[what] if kind == "pointer" else 0 if kind == "scratch" else what[1] for kind, what in items]
    assert list(driver.launches[0][1]) == expected


def test_kernels_work_on_payloads(opened: Opener) -> None:
    def double(driver: FakeDriver, values: tuple[Any, ...], shape: LaunchShape) -> None:
        source, sink, count = values
        driver.span(sink, count)[:] = bytes(2 * byte for byte in driver.span(source, count))

    session, _ = opened(Kernel("double", ("pointer", "pointer", "i32"), double))
    x, y = session.allocate(BufferSpec(4, 16)), session.allocate(BufferSpec(4, 16))
    session.upload(x, memoryview(b"\x01\x02\x03\x04"))
    layout = [
        {"kind": "pointer", "of": "x"},
        {"kind": "pointer", "of": "y"},
        {"kind": "scalar", "of": "n", "type": "i32"},
    ]
    arguments = (BufferArgument("y", "out"), BufferArgument("x", "in"), ScalarArgument("n", 4))
    run(session, artifact_of(double={"layout": layout}), planned("double", *arguments), {"in": x, "out": y})
    assert session.download(y) == b"\x02\x04\x06\x08"


def test_launches_run_in_the_plans_order(opened: Opener) -> None:
    order: list[str] = []
    kernels = [Kernel(name, run=lambda *_, name=name: order.append(name), seconds=1.0) for name in ("first", "second")]
    session, _ = opened(*kernels)
    program = session.load(artifact_of(second={}, first={}))
    call = session.bind(program, [planned("first"), planned("second"), planned("first")], {})
    session.launch(call)
    session.launch(call)
    assert order == []
    session.synchronize()
    assert order == ["first", "second", "first"] * 2


@pytest.mark.parametrize("item", [{"kind": "pointer", "of": "x"}, {"kind": "scalar", "of": "x", "type": "i32"}])
def test_a_parameter_that_the_plan_does_not_bind_is_the_plugins_fault(opened: Opener, item: dict[str, str]) -> None:
    session, _ = opened(Kernel("k"))
    program = session.load(artifact_of(k={"layout": [item]}))
    with pytest.raises(PluginBug, match="parameter 'x' wants a"):
        session.bind(program, [planned("k", LocalArgument("x", 4))], {})


# Scratch


def test_scratch_is_sized_by_the_blocks_and_aligned_and_zeroed(opened: Opener) -> None:
    seen: list[tuple[int, bytes]] = []

    def look(driver: FakeDriver, values: tuple[Any, ...], shape: LaunchShape) -> None:
        seen.append((values[0], bytes(driver.span(values[0], 96 * 6 * 2))))

    session, driver = opened(Kernel("k", ("pointer",), look))
    entry = {"layout": [{"kind": "scratch", "bytes_per_block": 96, "align": 4096}], "cluster": [2, 1, 1]}
    call = run(session, artifact_of(k=entry), planned(grid=(3, 2)))
    assert seen[0][0] % 4096 == 0
    assert seen[0][1] == bytes(96 * 6 * 2)
    assert len(driver.memory) == 1
    del call
    gc.collect()
    assert not driver.memory


# Shapes


def test_extents_that_are_not_given_are_one(opened: Opener) -> None:
    session, driver = opened(Kernel("k"))
    run(session, artifact_of(k={"threads": 64}), planned(grid=(5, 7)))
    assert shape_of(driver) == LaunchShape((5, 7, 1), (64, 1, 1))


def test_the_plan_gives_the_block_where_the_binary_does_not(opened: Opener) -> None:
    session, driver = opened(Kernel("k"))
    run(session, artifact_of(k={"threads": None}), planned(grid=(2,), block=(8, 4)))
    assert shape_of(driver) == LaunchShape((2, 1, 1), (8, 4, 1))


def test_a_block_that_nobody_gives_is_the_plugins_fault(opened: Opener) -> None:
    session, _ = opened(Kernel("k"))
    with pytest.raises(PluginBug, match="how large a block is"):
        session.bind(session.load(artifact_of(k={"threads": None})), [planned()], {})


def test_a_program_of_a_clustered_kernel_is_one_cluster(opened: Opener) -> None:
    session, driver = opened(Kernel("k"))
    run(session, artifact_of(k={"cluster": [4, 1, 2], "cooperative": True}), planned(grid=(3, 5)))
    assert shape_of(driver) == LaunchShape((12, 5, 2), (128, 1, 1), 0, (4, 1, 2), True)


def test_a_cluster_of_one_block_is_none(opened: Opener) -> None:
    session, driver = opened(Kernel("k"))
    run(session, artifact_of(k={"cluster": [1, 1, 1]}), planned())
    assert shape_of(driver).cluster is None


def test_local_arguments_add_to_the_binarys_shared_memory(opened: Opener) -> None:
    session, driver = opened(Kernel("k"))
    run(session, artifact_of(k={"shared": 1024}), planned("k", LocalArgument("a", 100), LocalArgument("b", 28)))
    assert shape_of(driver).shared == 1152
    assert "allow_shared" not in driver.calls


def test_more_shared_memory_than_the_default_is_asked_for(opened: Opener) -> None:
    kernel = Kernel("k", attributes=FunctionAttributes(32, 0, 1024, 1024))
    session, _ = opened(kernel)
    run(session, artifact_of(k={"shared": 48 << 10}), planned())
    assert kernel.dynamic_shared == (227 << 10) - 1024


@pytest.mark.parametrize(("static", "dynamic"), [(0, (227 << 10) + 1), (1, 227 << 10), (228 << 10, 0)])
def test_more_shared_memory_than_there_is_is_refused_with_both_numbers(
    opened: Opener, static: int, dynamic: int
) -> None:
    session, _ = opened(Kernel("k", attributes=FunctionAttributes(32, 0, static, 1024)))
    with pytest.raises(ResourceExceeded) as caught:
        session.bind(session.load(artifact_of(k={"shared": dynamic})), [planned()], {})
    assert caught.value.details == {"resource": "shared memory", "needed": static + dynamic, "limit": 227 << 10}


def test_more_threads_than_the_registers_allow_are_refused(opened: Opener) -> None:
    session, _ = opened(Kernel("k", attributes=FunctionAttributes(168, 0, 0, 384)))
    with pytest.raises(ResourceExceeded, match="blocks of 512 threads; with the 168 registers") as caught:
        session.bind(session.load(artifact_of(k={"threads": 512})), [planned()], {})
    assert caught.value.details == {"resource": "threads per block", "needed": 512, "limit": 384}


def test_a_block_too_deep_is_refused(opened: Opener) -> None:
    session, _ = opened(Kernel("k"))
    with pytest.raises(ResourceExceeded, match="128 threads along z; the device allows 64"):
        session.bind(session.load(artifact_of(k={"threads": None})), [planned(block=(1, 1, 128))], {})


@pytest.mark.parametrize(("grid", "cluster"), [((1, 65536), None), ((1, 40000), [1, 2, 1]), ((2**31,), None)])
def test_a_grid_too_large_is_refused(opened: Opener, grid: tuple[int, ...], cluster: Any) -> None:
    session, _ = opened(Kernel("k"))
    with pytest.raises(LaunchError, match="the device allows") as caught:
        session.bind(session.load(artifact_of(k={"cluster": cluster})), [planned(grid=grid)], {})
    assert caught.value.details["code"] == "INVALID_GRID"


def test_a_driver_that_tells_no_limits_gets_the_usual_ones(opened: Opener) -> None:
    silent = dict.fromkeys((Attribute.MAX_GRID_Y, Attribute.SHARED_PER_BLOCK_OPTIN, Attribute.MAX_BLOCK_Z))
    session, _ = opened(Kernel("k"), attributes=silent)
    program = session.load(artifact_of(k={"shared": (48 << 10) + 1}))
    with pytest.raises(ResourceExceeded, match="the device has 49152"):
        session.bind(program, [planned()], {})


def test_what_a_failed_bind_allocated_goes_back(opened: Opener) -> None:
    session, driver = opened(Kernel("k"))
    layout = [{"kind": "scratch", "bytes_per_block": 64, "align": 16}, {"kind": "pointer", "of": "x"}]
    program = session.load(artifact_of(k={"layout": layout}))
    with pytest.raises(PluginBug):
        session.bind(program, [planned()], {})
    assert not driver.memory


# Loading


def test_a_binary_that_the_driver_refuses_says_what_is_needed(opened: Opener) -> None:
    session, _ = opened(Kernel("k"))
    artifact = Artifact({"cubin:k": b"\x7fELF", "ptx:k": b".version 9.0"}, extra=artifact_of(k={}).extra)
    with pytest.raises(ToolchainError, match=r"^k: refused for sm_90: CUDA_ERROR_UNSUPPORTED_PTX_VERSION") as caught:
        session.load(artifact)
    assert "UNSUPPORTED_PTX_VERSION" in caught.value.details["log"]


def test_the_binary_of_a_single_entry_may_stand_alone(opened: Opener) -> None:
    session, driver = opened(Kernel("k"))
    run(session, Artifact({"cubin": b"FAKE:k"}, extra=artifact_of(k={}).extra), planned())
    assert len(driver.launches) == 1


def test_an_artifact_without_the_binary_is_the_plugins_fault(opened: Opener) -> None:
    session, _ = opened(Kernel("k"))
    with pytest.raises(PluginBug, match="has no cubin for k"):
        session.load(Artifact({"ptx:k": b""}, extra=artifact_of(k={}).extra))


def test_a_kernel_that_is_not_in_its_binary_is_a_toolchain_error(opened: Opener) -> None:
    session, driver = opened(Kernel("k"))
    artifact = Artifact({"cubin:k": b"FAKE:other"}, extra=artifact_of(k={}).extra)
    with pytest.raises(ToolchainError, match=r"k could not be loaded.*NOT_FOUND"):
        session.load(artifact)
    assert all(symbol == "gate" for _, symbol in driver.live["module"])


@pytest.mark.parametrize(
    "entry",
    [
        {"layout": [{"kind": "pointer"}]},
        {"layout": [{"kind": "scalar", "of": "n", "type": "int"}]},
        {"layout": [{"kind": "value", "type": "i32", "value": "1"}]},
        {"layout": [{"kind": "scratch", "bytes_per_block": 8}]},
        {"cluster": [2, 1]},
        {"threads": "many"},
    ],
)
def test_an_entry_that_says_nonsense_is_the_plugins_fault(opened: Opener, entry: dict[str, Any]) -> None:
    session, _ = opened(Kernel("k"))
    with pytest.raises(PluginBug, match="does not say how its kernels are launched"):
        session.load(artifact_of(k=entry))


def test_modules_stay_while_a_call_needs_them(opened: Opener) -> None:
    session, driver = opened(Kernel("k"))
    call = session.bind(session.load(artifact_of(k={})), [planned()], {})
    gc.collect()
    session.launch(call)
    session.synchronize()
    assert [symbol for _, symbol in driver.live["module"]].count("k") == 1
    del call
    gc.collect()
    assert [symbol for _, symbol in driver.live["module"]].count("k") == 0


def test_closing_gives_back_what_programs_and_calls_hold(opened: Opener) -> None:
    session, driver = opened(Kernel("k", ("pointer",)))
    layout = [{"kind": "scratch", "bytes_per_block": 8, "align": 8}]
    program = session.load(artifact_of(k={"layout": layout}))
    call = session.bind(program, [planned()], {})
    session.time(call, launches=3)
    session.close()
    assert not any(driver.live.values())
    assert not driver.memory
    del call, program
    gc.collect()  # and nothing is given back twice


# Faults


def test_a_fault_is_sticky(opened: Opener) -> None:
    def crash(*_: object) -> None:
        raise fault()

    session, driver = opened(Kernel("k", run=crash))
    buffer = session.allocate(BufferSpec(8))
    call = session.bind(session.load(artifact_of(k={})), [planned()], {})
    session.launch(call)
    with pytest.raises(DeviceFault, match=r"while running kernels: .*CUDA_ERROR_ILLEGAL_ADDRESS"):
        session.synchronize()
    count = len(driver.calls)
    for use in (
        lambda: session.launch(call),
        lambda: session.download(buffer),
        lambda: session.fill(buffer, 0, guards=True),
        lambda: session.allocate(BufferSpec(1)),
        lambda: session.time(call),
        session.flush,
        lambda: session.load(artifact_of(k={})),
    ):
        with pytest.raises(DeviceFault, match="ILLEGAL_ADDRESS"):
            use()
    assert len(driver.calls) == count  # a broken device is left alone
    session.close()


@pytest.mark.parametrize("wait", ["download", "time", "free"])
def test_a_fault_shows_wherever_the_host_waits(opened: Opener, wait: str) -> None:
    def crash(*_: object) -> None:
        raise fault("CUDA_ERROR_MISALIGNED_ADDRESS", 716)

    session, _ = opened(Kernel("k", run=crash, seconds=1.0))
    buffer = session.allocate(BufferSpec(8))
    call = session.bind(session.load(artifact_of(k={})), [planned()], {})
    session.launch(call)
    with pytest.raises(DeviceFault, match="MISALIGNED_ADDRESS"):
        session.time(call) if wait == "time" else getattr(session, wait)(buffer)


def test_a_lost_device_is_lost(opened: Opener) -> None:
    session, driver = opened(Kernel("k"))
    driver.fail["synchronize"] = fault("CUDA_ERROR_DEVICE_UNAVAILABLE", 46, ErrorKind.LOST)
    with pytest.raises(DeviceLost):
        session.synchronize()
    with pytest.raises(DeviceLost):
        session.synchronize()


def test_a_refused_launch_names_the_code_and_breaks_nothing(opened: Opener) -> None:
    session, driver = opened(Kernel("k"))
    call = session.bind(session.load(artifact_of(k={})), [planned()], {})
    driver.fail["launch"] = DriverError("launch", 720, "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", ErrorKind.OTHER)
    with pytest.raises(LaunchError, match="while launching k") as caught:
        session.launch(call)
    assert caught.value.details["code"] == "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE"
    session.launch(call)
    session.synchronize()


def test_a_launch_that_finds_no_memory_is_out_of_memory(opened: Opener) -> None:
    session, driver = opened(Kernel("k"))
    call = session.bind(session.load(artifact_of(k={})), [planned()], {})
    driver.fail["launch"] = DriverError("launch", 2, "CUDA_ERROR_OUT_OF_MEMORY", ErrorKind.MEMORY)
    with pytest.raises(OutOfMemory, match="while launching k"):
        session.launch(call)
