"""Buffers of an open GPU: guards, alignment, contents, running out, giving back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve.accelerator import BufferSpec, FlushesCache, Session
from kernelevolve.backends._gpu.driver import Attribute, DriverError, ErrorKind
from kernelevolve.backends._gpu.session import ALIGNMENT, GpuSession
from kernelevolve.outcome import DeviceLost, LaunchError, OutOfMemory
from kernelevolve.plan import PlannedLaunch

from .conftest import Opener
from .fake_driver import BANDWIDTH, MEMORY, FakeDriver, Kernel, artifact_of, device_of


def open_plain() -> tuple[GpuSession, FakeDriver]:
    driver = FakeDriver()
    return GpuSession(device_of(driver), driver), driver


def test_it_is_a_session_that_flushes(opened: Opener) -> None:
    session, _ = opened()
    assert isinstance(session, Session)
    assert isinstance(session, FlushesCache)


@settings(deadline=None)
@given(nbytes=st.integers(1, 5000), guard=st.integers(0, 2000), pattern=st.integers(0, 255), data=st.data())
def test_a_payload_lies_aligned_between_its_guards(nbytes: int, guard: int, pattern: int, data: st.DataObject) -> None:
    session, _ = open_plain()
    payload = data.draw(st.binary(min_size=nbytes, max_size=nbytes))
    buffer = session.allocate(BufferSpec(nbytes, guard))
    session.fill(buffer, pattern, guards=True)
    session.upload(buffer, memoryview(payload))
    whole = session.download(buffer, guards=True)
    front = (len(whole) - nbytes) // 2
    assert front >= guard
    assert front % ALIGNMENT == 0
    assert buffer.address % ALIGNMENT == 0
    assert whole == bytes([pattern]) * front + payload + bytes([pattern]) * front
    assert session.download(buffer) == payload


@settings(deadline=None)
@given(nbytes=st.integers(1, 3000), first=st.integers(0, 255), second=st.integers(0, 255))
def test_filling_without_guards_leaves_them(nbytes: int, first: int, second: int) -> None:
    session, _ = open_plain()
    buffer = session.allocate(BufferSpec(nbytes, 100))
    session.fill(buffer, first, guards=True)
    session.fill(buffer, second, guards=False)
    whole = session.download(buffer, guards=True)
    assert whole == bytes([first]) * buffer.guard + bytes([second]) * nbytes + bytes([first]) * buffer.guard


def test_buffers_do_not_touch_each_other(opened: Opener) -> None:
    session, _ = opened()
    buffers = [session.allocate(BufferSpec(size, 0)) for size in (1, 255, 256, 4096)]
    for index, buffer in enumerate(buffers):
        session.fill(buffer, index, guards=True)
    assert [set(session.download(buffer)) for buffer in buffers] == [{0}, {1}, {2}, {3}]


def test_an_upload_of_another_size_is_refused(opened: Opener) -> None:
    session, _ = opened()
    buffer = session.allocate(BufferSpec(8))
    with pytest.raises(ValueError, match="7 bytes for a buffer of 8"):
        session.upload(buffer, memoryview(b"1234567"))


def test_a_buffer_of_another_session_is_refused(opened: Opener) -> None:
    session, _ = opened()
    with pytest.raises(TypeError, match="no buffer of this session"):
        session.fill(object(), 0, guards=False)  # type: ignore[arg-type]


def test_running_out_of_memory_says_how_much_was_free(opened: Opener) -> None:
    session, _ = opened()
    session.allocate(BufferSpec(MEMORY // 2))
    with pytest.raises(OutOfMemory) as caught:
        session.allocate(BufferSpec(MEMORY // 2 + 1, 256))
    needed, free = MEMORY // 2 + 1 + 512, MEMORY // 2
    assert caught.value.details == {"needed": needed, "limit": free}
    assert str(caught.value) == f"{needed} bytes of device memory are needed; {free} of {MEMORY} are free"


def test_memory_can_be_had_again_after_running_out(opened: Opener) -> None:
    session, _ = opened()
    first = session.allocate(BufferSpec(MEMORY - 1024))
    with pytest.raises(OutOfMemory):
        session.allocate(BufferSpec(2048))
    session.free(first)
    session.fill(session.allocate(BufferSpec(2048)), 0, guards=True)


def test_closing_gives_everything_back(opened: Opener) -> None:
    session, driver = opened()
    session.allocate(BufferSpec(100, 10))
    session.flush()
    session.close()
    assert not any(driver.live.values())
    assert not driver.memory
    assert driver.opened is None


def test_another_error_while_allocating_is_no_lack_of_memory(opened: Opener) -> None:
    session, driver = opened()
    driver.fail["allocate"] = DriverError("allocate", 1, "CUDA_ERROR_INVALID_VALUE", ErrorKind.OTHER)
    with pytest.raises(LaunchError, match="allocating 5 bytes") as caught:
        session.allocate(BufferSpec(5))
    assert caught.value.details["code"] == "CUDA_ERROR_INVALID_VALUE"


def test_a_device_that_does_not_open_is_lost(opened: Opener) -> None:
    driver = FakeDriver()
    driver.fail["open"] = DriverError("open", 46, "CUDA_ERROR_DEVICE_UNAVAILABLE", ErrorKind.LOST)
    with pytest.raises(DeviceLost, match=r"fake:0 \(NVIDIA Fake 100\) could not be opened.*DEVICE_UNAVAILABLE"):
        GpuSession(device_of(driver), driver)


@pytest.mark.parametrize(("cache", "written"), [(20 << 20, 40 << 20), (1 << 20, 32 << 20), (0, 32 << 20)])
def test_the_flush_writes_twice_the_cache_with_another_word_each_time(opened: Opener, cache: int, written: int) -> None:
    session, driver = opened(attributes={Attribute.CACHE: cache})
    words = set()
    for _ in range(3):
        session.flush()
        session.synchronize()
        (memory,) = driver.memory.values()
        assert len(memory) == written
        words |= {bytes(memory[at : at + 4]) for at in (0, written // 2, written - 4)}
    assert len(words) == 3


def test_the_flush_leaves_the_device_busy_and_the_host_free(opened: Opener) -> None:
    session, driver = opened()
    session.flush()
    (stream,) = driver.live["stream"]
    assert [operation.name for operation in stream.queue] == ["set32"]
    assert driver.now < driver.device_now + (32 << 20) / BANDWIDTH


def test_the_flush_resets_marked_lines_after_what_ran_before(opened: Opener) -> None:
    def mark(driver: FakeDriver, values: object, shape: object) -> None:
        driver.marked.add("x")

    session, driver = opened(Kernel("greedy", run=mark))
    program = session.load(artifact_of(greedy={}))
    session.launch(session.bind(program, [PlannedLaunch("greedy", (1,), (), ())], {}))
    session.flush()
    session.synchronize()
    assert not driver.marked
