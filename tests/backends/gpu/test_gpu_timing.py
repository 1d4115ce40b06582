"""Times on a GPU: what is in them, what is not, and the host's clock as a witness. All on virtual clocks."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve.accelerator import BufferSpec, Source
from kernelevolve.backends._gpu import gate as gates
from kernelevolve.backends._gpu import stopwatch
from kernelevolve.backends._gpu.calls import GpuCall
from kernelevolve.backends._gpu.driver import Attribute, DriverError, ErrorKind
from kernelevolve.backends._gpu.session import GpuSession
from kernelevolve.outcome import DeviceFault, LaunchError
from kernelevolve.plan import PlannedLaunch

from .conftest import Opener
from .fake_driver import LATENCY, FakeDriver, Kernel, artifact_of, device_of, fault

#: What the host needs to notice that something has happened, in driver calls.
NOTICE = 4 * LATENCY


def bound(session: GpuSession, *entries: str, warm: bool = True) -> GpuCall:
    call = session.bind(
        session.load(artifact_of(**{entry: {} for entry in entries})),
        [PlannedLaunch(entry, (1,), (), ()) for entry in entries],
        {},
    )
    if warm:
        session.launch(call)
        session.synchronize()
    return call


def captures(driver: FakeDriver) -> int:
    return driver.calls.count("begin_capture")


@pytest.mark.parametrize(("gate", "kind"), [("kernel", "kernel"), ("wait", "stream")])
def test_the_hosts_latency_is_not_in_the_time_of_a_short_kernel(opened: Opener, gate: str, kind: str) -> None:
    session, _ = opened(Kernel("k", seconds=LATENCY / 10), gate=gate)
    assert session.gate == kind
    sample = session.time(bound(session, "k"))
    assert sample.seconds == pytest.approx(LATENCY / 10)
    assert sample.source is Source.DEVICE_EVENT
    assert sample.launches == 1


@pytest.mark.parametrize("gate", ["none", "deaf"])
def test_without_a_gate_a_running_flush_hides_the_hosts_latency(opened: Opener, gate: str) -> None:
    session, _ = opened(Kernel("k", seconds=LATENCY / 10), gate=gate)
    assert session.gate == "none"
    call = bound(session, "k")
    assert session.time(call).seconds > LATENCY / 2  # nothing runs: the latency shows, which is no error of the test
    session.flush()
    sample = session.time(call)
    assert sample.seconds == pytest.approx(LATENCY / 10)
    assert sample.host_seconds is not None
    assert sample.seconds <= sample.host_seconds < sample.seconds + NOTICE  # the flush is not in the host's either


def test_what_was_enqueued_before_is_in_neither_clock(opened: Opener) -> None:
    session, _ = opened(Kernel("k", seconds=1e-6), attributes={Attribute.CACHE: 28 << 20})
    call, buffer = bound(session, "k"), session.allocate(BufferSpec(1 << 20))
    session.fill(buffer, 0xFF, guards=False)
    session.flush()
    sample = session.time(call)
    assert sample.seconds == pytest.approx(1e-6)
    assert sample.host_seconds is not None
    assert sample.seconds <= sample.host_seconds < 1e-6 + NOTICE


@settings(deadline=None)
@given(
    seconds=st.lists(st.floats(1e-7, 1e-3), min_size=1, max_size=5),
    launches=st.integers(1, 40),
    gate=st.sampled_from(["kernel", "wait", "none"]),
    flush=st.booleans(),
)
def test_the_time_is_the_kernels_and_the_host_never_sees_less(
    seconds: list[float], launches: int, gate: str, flush: bool
) -> None:
    driver = FakeDriver(*(Kernel(f"k{index}", seconds=one) for index, one in enumerate(seconds)), gate=gate)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=driver.clock))
        session = GpuSession(device_of(driver), driver)
        call = bound(session, *(f"k{index}" for index in range(len(seconds))))
        session.time(call, launches=launches)  # captures
        if flush:
            session.flush()
        sample = session.time(call, launches=launches)
    assert sample.launches == launches
    assert sample.source is Source.DEVICE_EVENT
    assert sample.host_seconds is not None
    assert sample.host_seconds >= sample.seconds * (1 - 1e-9)
    if gate == "none" and not flush:
        assert sample.seconds >= sum(seconds) * (1 - 1e-9)
    else:
        assert sample.seconds == pytest.approx(sum(seconds))


def test_several_launches_are_captured_once_and_played_each_time(opened: Opener) -> None:
    runs: list[str] = []
    kernels = [Kernel(name, run=lambda *_, name=name: runs.append(name), seconds=1e-6) for name in ("a", "b")]
    session, driver = opened(*kernels)
    call = bound(session, "a", "b")
    runs.clear()
    samples = [session.time(call) for _ in range(3)]
    assert captures(driver) == 1
    assert runs == ["a", "b"] * 3
    assert [sample.seconds for sample in samples] == pytest.approx([2e-6] * 3)


def test_one_launch_of_one_kernel_needs_no_graph(opened: Opener) -> None:
    session, driver = opened(Kernel("k"))
    session.time(bound(session, "k"))
    assert captures(driver) == 0


@pytest.mark.parametrize(("launches", "graphs"), [(2, 1), (1024, 1), (1025, 2), (3000, 2)])
def test_long_samples_run_exactly_as_often_as_asked(opened: Opener, launches: int, graphs: int) -> None:
    runs: list[int] = []
    session, driver = opened(Kernel("k", run=lambda *_: runs.append(1), seconds=1e-6))
    call = bound(session, "k")
    runs.clear()
    sample = session.time(call, launches=launches)
    assert len(runs) == launches
    assert sample.seconds == pytest.approx(1e-6)
    assert captures(driver) == graphs
    session.time(call, launches=launches)
    assert captures(driver) == graphs


def test_a_launch_that_cannot_be_captured_is_enqueued_behind_the_gate(opened: Opener) -> None:
    runs: list[int] = []
    session, driver = opened(Kernel("k", run=lambda *_: runs.append(1), seconds=1e-6, capturable=False))
    call = bound(session, "k")
    runs.clear()
    assert session.time(call, launches=5).seconds == pytest.approx(1e-6)
    assert session.time(call, launches=5).seconds == pytest.approx(1e-6)
    assert len(runs) == 10
    assert captures(driver) == 1
    assert not driver.live["graph"]


def test_too_many_launches_for_a_queue_are_not_held_back(opened: Opener) -> None:
    session, driver = opened(Kernel("k", seconds=1e-6, capturable=False))
    call = bound(session, "k")
    session.time(call, launches=1100)
    assert driver.now < gates.LIMIT
    assert [name for name, _, _ in driver.launches].count("k") == 1102  # with the warm-up and the attempt to capture


def test_the_first_run_of_a_call_is_not_held_back(opened: Opener) -> None:
    session, driver = opened(Kernel("k", seconds=1e-6, waits_first=True))
    call = bound(session, "k", warm=False)
    session.time(call)
    assert driver.now < gates.LIMIT
    assert session.time(call).seconds == pytest.approx(1e-6)
    assert driver.now < gates.LIMIT


def test_a_driver_that_waits_inside_a_launch_is_held_back_once_and_never_timed_short(opened: Opener) -> None:
    session, driver = opened(Kernel("k", seconds=1e-3, waits_always=True))
    call = bound(session, "k")
    stuck = session.time(call)
    assert gates.LIMIT <= driver.now < 2 * gates.LIMIT
    assert 1e-3 <= stuck.seconds <= (stuck.host_seconds or 0)
    again = session.time(call)
    assert driver.now < 2 * gates.LIMIT
    assert 1e-3 <= again.seconds <= (again.host_seconds or 0)


def test_a_waiting_stream_is_let_go_by_the_hosts_timer(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "LIMIT", 0.05)
    session, _ = opened(Kernel("k", seconds=1e-6, waits_always=True), gate="wait")
    call = bound(session, "k")
    session.time(call)
    assert call.stalls


def test_a_kernel_that_never_sees_the_hosts_word_is_no_gate(opened: Opener) -> None:
    session, driver = opened(Kernel("k"), gate="deaf")
    begin = driver.now
    assert begin >= gates.LIMIT  # it was tried once
    session.time(bound(session, "k"))
    assert driver.now - begin < 1e-3
    session.close()
    assert not any(driver.live.values())


@pytest.mark.parametrize("claimed", [0.0, -1e-6, 1.0, float("nan")])
def test_device_times_that_make_no_sense_give_way_to_the_hosts(
    opened: Opener, monkeypatch: pytest.MonkeyPatch, claimed: float
) -> None:
    session, driver = opened(Kernel("k", seconds=1e-5))
    call = bound(session, "k")
    monkeypatch.setattr(driver, "elapsed", lambda start, end: claimed)
    sample = session.time(call, launches=2)
    assert sample.source is Source.HOST_WALL
    assert sample.seconds == sample.host_seconds
    assert 1e-5 <= sample.seconds < 1e-5 + NOTICE


def test_an_error_while_enqueueing_opens_the_gate(opened: Opener) -> None:
    session, driver = opened(Kernel("k", seconds=1e-6))
    call = bound(session, "k")
    gate_launch = driver._enter

    def refuse_the_kernel(name: str) -> None:
        gate_launch(name)
        if name == "launch" and driver.calls.count("launch") == count + 2:  # the gate is the first
            raise DriverError("launch", 1, "CUDA_ERROR_INVALID_VALUE", ErrorKind.OTHER)

    count = driver.calls.count("launch")
    driver._enter = refuse_the_kernel  # type: ignore[method-assign]
    with pytest.raises(LaunchError, match="while timing k"):
        session.time(call)
    driver._enter = gate_launch  # type: ignore[method-assign]
    session.synchronize()
    assert driver.now < gates.LIMIT
    assert session.time(call).seconds == pytest.approx(1e-6)


def test_a_fault_while_timing_is_a_device_fault(opened: Opener) -> None:
    broken = False

    def crash(*_: Any) -> None:
        if broken:
            raise fault()

    session, driver = opened(Kernel("k", run=crash))
    call = bound(session, "k")
    broken = True
    with pytest.raises(DeviceFault, match=r"while timing k: .*ILLEGAL_ADDRESS"):
        session.time(call)
    assert driver.now < gates.LIMIT


def test_a_broken_device_is_found_while_looking_for_a_gate(opened: Opener) -> None:
    driver = FakeDriver()
    driver.fail["load"] = fault()
    with pytest.raises(DriverError, match="ILLEGAL_ADDRESS"):
        gates.make_gate(driver, driver.create_stream())


def test_nothing_is_collected_while_the_stream_is_held(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    session, driver = opened(Kernel("k"))
    call = bound(session, "k")
    enabled: list[bool] = []
    record = driver.record
    monkeypatch.setattr(driver, "record", lambda *given: (enabled.append(gc.isenabled()), record(*given)))
    session.time(call)
    assert enabled == [False, False]
    assert gc.isenabled()
