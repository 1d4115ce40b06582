"""An open emulated chip: results, times of the model, and what of both may be recalled from an earlier run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from kernelevolve.accelerator import BufferSpec, FlushesCache, Profiles, Session, Source
from kernelevolve.backends.mtia.accelerator import MTIA
from kernelevolve.backends.mtia.session import MTIASession
from kernelevolve.outcome import LaunchError, Nondeterministic, OutOfBounds, OutOfMemory
from kernelevolve.plan import BufferArgument, LaunchPlan, PlannedBuffer, PlannedLaunch, Role, ScalarArgument

Array = npt.NDArray[Any]
GUARD = 256
HEAD = "import triton\nimport triton.language as tl\n\n\n@triton.jit\n"
DOUBLE = """def kernel(x, y, n):
    at = tl.program_id(0) * 64 + tl.arange(0, 64)
    tl.store(y + at, 2 * tl.load(x + at, mask=at < n), mask=at < n)
"""
#: Adds up as many elements as the first one says: how long it takes depends on what memory holds.
COUNTED = """def kernel(x, y, n):
    total = 0.0
    for at in range(tl.load(x).to(tl.int32)):
        total += tl.load(x + at)
    tl.store(y, total)
"""


class Bench:
    """A kernel of parameters ``x``, ``y``, ``n`` on buffers of its own."""

    def __init__(
        self, session: MTIASession, body: str, size: int, *, grid: int = 1, tune: Mapping[str, int] | None
    ) -> None:
        self.session = session
        arguments = (BufferArgument("x", "x"), BufferArgument("y", "y"), ScalarArgument("n", size))
        self.plan = LaunchPlan(
            language="triton",
            source=HEAD + body,
            configuration=dict(tune or {}),
            buffers=(
                PlannedBuffer("x", Role.INPUT, (size,), "float32"),
                PlannedBuffer("y", Role.OUTPUT, (size,), "float32"),
            ),
            launches=(PlannedLaunch("kernel", (grid,), (), arguments),),
        )
        self.program = session.load(MTIA().compile(self.plan, session.device.target))
        self.buffers = {one.name: session.allocate(BufferSpec(one.nbytes, GUARD)) for one in self.plan.buffers}
        self.call = session.bind(self.program, self.plan.launches, self.buffers)

    def reset(self, data: Array) -> None:
        """Poison everything and upload `data` as ``x``."""
        for name in ("x", "y"):
            self.session.fill(self.buffers[name], 0xFF, guards=True)
        self.session.upload(self.buffers["x"], memoryview(data.astype(np.float32)).cast("B"))

    def run(self, data: Array) -> Array:
        """``y`` after a launch."""
        self.reset(data)
        self.session.launch(self.call)
        return self.result

    @property
    def result(self) -> Array:
        return np.frombuffer(self.session.download(self.buffers["y"]), np.float32)

    def cycles(self, data: Array) -> int:
        """Of one run from cold caches."""
        self.reset(data)
        self.session.flush()
        found = self.session.time(self.call).cycles
        assert found is not None
        return found


@pytest.fixture(scope="module")
def session() -> Iterator[MTIASession]:
    made = MTIA()
    with made.open(made.devices()[0]) as opened:
        yield opened


def bench(session: MTIASession, body: str, size: int = 64, **options: Any) -> Bench:
    return Bench(session, body, size, grid=options.get("grid", 1), tune=options.get("tune"))


def test_it_has_the_abilities_that_it_declares(session: MTIASession) -> None:
    for protocol in (Session, FlushesCache, Profiles):
        assert isinstance(session, protocol)


def test_results_are_computed_and_guard_zones_stay_as_they_were(session: MTIASession) -> None:
    one, data = bench(session, DOUBLE, 100, grid=2), np.arange(100.0)
    assert (one.run(data) == 2 * data).all()
    raw = session.download(one.buffers["y"], guards=True)
    assert raw[:GUARD] == raw[-GUARD:] == b"\xff" * GUARD
    assert len(raw) == 400 + 2 * GUARD


def test_a_time_is_cycles_at_the_chips_clock(session: MTIASession) -> None:
    one = bench(session, DOUBLE)
    one.reset(np.ones(64))
    session.flush()
    sample = session.time(one.call)
    assert sample.source is Source.EMULATED_CYCLES
    assert sample.cycles is not None
    assert sample.seconds == pytest.approx(sample.cycles / 1.35e9, rel=1e-12)
    assert (one.result == 2).all()


def test_a_second_launch_finds_the_cache_warm_until_it_is_flushed_or_another_call_runs(session: MTIASession) -> None:
    size = 64 * 256
    one, other, data = bench(session, DOUBLE, size, grid=256), bench(session, DOUBLE), np.ones(size)
    cold = one.cycles(data)
    warm = session.time(one.call).cycles
    assert warm is not None
    assert warm < cold
    both = session.time(one.call, launches=2)
    assert both.cycles == warm
    other.run(np.ones(64))
    assert session.time(one.call, launches=2).cycles == round((cold + warm) / 2)
    assert one.cycles(data) == cold


def test_equal_contents_give_equal_results_and_times_whoever_wrote_them(session: MTIASession) -> None:
    one, data = bench(session, COUNTED), np.arange(64.0) + 7
    first = (one.cycles(data), one.result.tobytes())
    assert (one.cycles(data), one.result.tobytes()) == first
    again = bench(session, COUNTED)
    assert (again.cycles(data), again.result.tobytes()) == first


def test_contents_that_changed_are_executed_anew(session: MTIASession) -> None:
    one, short, long = bench(session, COUNTED), np.full(64, 2.0), np.full(64, 60.0)
    assert one.run(short)[0] == 4
    assert one.run(long)[0] == 3600
    assert one.cycles(long) > 2 * one.cycles(short)
    assert one.result[0] == 4  # of the last run, not of the one before
    last = short.copy()
    last[1] = 5.0
    assert one.run(last)[0] == 7
    session.fill(one.buffers["x"], 0, guards=False)
    session.launch(one.call)
    assert one.result[0] == 0


def test_a_recalled_run_leaves_what_an_executed_one_leaves(session: MTIASession) -> None:
    accumulate = (
        "def kernel(x, y, n):\n    at = tl.arange(0, 64)\n    tl.store(y + at, tl.load(y + at) + tl.load(x + at))\n"
    )
    one = bench(session, accumulate)
    for _ in range(2):
        one.reset(np.ones(64))
        session.upload(one.buffers["y"], memoryview(np.zeros(64, np.float32)).cast("B"))
        for expected in (1, 2, 3):  # each launch finds what the one before wrote
            session.launch(one.call)
            assert (one.result == expected).all()


def test_an_access_outside_its_buffer_has_line_program_and_address(session: MTIASession) -> None:
    one = bench(
        session, DOUBLE.replace(", mask=at < n)", ")").replace("2 * tl.load(x + at", "2 * tl.load(x + at"), 100, grid=2
    )
    with pytest.raises(OutOfBounds) as caught:
        one.run(np.ones(100))
    message = "line 8, program (1, 0, 0): a load outside buffer 'x': at byte 400, and it has 400"
    assert str(caught.value) == message
    assert caught.value.details["offset"] == 400
    good = bench(session, DOUBLE)
    assert (good.run(np.ones(64)) == 2).all()  # nothing sticks


def test_an_address_before_a_buffer_is_found_too(session: MTIASession) -> None:
    one = bench(session, "def kernel(x, y, n):\n    tl.store(y - 1, 0.0)\n")
    with pytest.raises(OutOfBounds, match=r"line 7, program \(0, 0, 0\): a store outside buffer 'y': 4 bytes before"):
        one.run(np.ones(64))


def test_programs_that_store_different_values_at_one_address_are_a_race(session: MTIASession) -> None:
    one = bench(session, "def kernel(x, y, n):\n    tl.store(y, tl.program_id(0).to(tl.float32))\n", grid=3)
    with pytest.raises(Nondeterministic, match=r"line 7: programs .* store different values at byte 0 of 'y'"):
        one.run(np.ones(64))


def test_an_assertion_that_does_not_hold_is_a_launch_error(session: MTIASession) -> None:
    body = "def kernel(x, y, n):\n    tl.device_assert(tl.load(x) > 5, 'too small')\n    tl.store(y, 1.0)\n"
    one = bench(session, body)
    with pytest.raises(LaunchError, match="too small"):
        one.run(np.ones(64))


def test_a_profile_adds_up_and_names_lines_prints_and_what_was_never_written(session: MTIASession) -> None:
    body = """def kernel(x, y, n):
    at = tl.arange(0, 64)
    stale = tl.load(y + at)
    tl.device_print("n", n)
    tl.store(y + at, tl.load(x + at) + tl.minimum(stale, 0.0))
"""
    one = bench(session, body)
    one.reset(np.ones(64))
    session.fill(one.buffers["y"], 0x7F, guards=False)
    found = session.profile(one.call)
    cycles = one.cycles(np.ones(64))
    assert found["cycles"] == cycles
    for unit in found["units"].values():
        assert unit["busy"] + unit["stall"] == pytest.approx(cycles, abs=2)
    assert found["memory_bytes"]["dram"] == {"read": 512, "written": 256}
    assert found["circular_buffers"] == {"used": 3, "available": 14}
    assert found["local_memory"]["bytes"] == 384 * 1024
    assert found["elements"] == {"busy": 1, "available": 64}
    assert "only 1 of 64 elements" in found["bottleneck"]
    assert set(found["lines"]) <= {"7", "8", "9", "10"}
    assert sum(found["lines"].values()) == pytest.approx(1, abs=1e-3)
    assert found["diagnostics"] == ["line 8: program (0, 0, 0) reads byte 0 of 'y', never written"]
    assert any("64" in line for line in found["prints"])


def test_launch_options_change_the_time_and_not_the_result(session: MTIASession) -> None:
    size, data = 4096, np.arange(4096.0)
    body = """def kernel(x, y, n):
    for start in range(0, n, 64):
        at = start + tl.arange(0, 64)
        tl.store(y + at, tl.exp(tl.load(x + at) * 0.0) + 1)
"""
    plain = bench(session, body, size)
    deep = bench(session, body, size, tune={"cb_multiplier": 8, "use_dual_core": 1})
    assert plain.run(data).tobytes() == deep.run(data).tobytes()
    assert deep.cycles(data) < plain.cycles(data)


def test_memory_that_the_device_does_not_have_is_refused_with_the_sizes(session: MTIASession) -> None:
    limit = session.device.memory["global"]
    with pytest.raises(OutOfMemory) as caught:
        session.allocate(BufferSpec(limit + 1))
    assert caught.value.details["limit"] == limit
    assert caught.value.details["needed"] > limit


def test_what_is_not_this_sessions_is_refused(session: MTIASession) -> None:
    one, made = bench(session, DOUBLE), MTIA()
    with made.open(made.devices()[1]) as other:
        with pytest.raises(TypeError, match="another session"):
            other.launch(one.call)
        with pytest.raises(ValueError, match="compiled for mtia2i, this device is mtia300"):
            other.load(made.compile(one.plan, made.targets()[0]))
    session.free(one.buffers["y"])
    with pytest.raises(ValueError, match="y was freed"):
        session.launch(one.call)
    with pytest.raises(ValueError, match="3 bytes for a buffer of 256"):
        session.upload(one.buffers["x"], memoryview(b"abc"))
