"""Frames survive the wire unchanged, and nothing that is not a frame is believed."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve.accelerator import Sample, Source, Target
from kernelevolve.evaluation.isolation import Worker
from kernelevolve.evaluation.pipeline import Evaluator
from kernelevolve.evaluation.wire import (
    HEADER,
    MAX_JSON,
    Frame,
    WireError,
    encode,
    finite_seconds,
    header,
    sizes_of,
    structure,
    unstructure,
)
from kernelevolve.kernel import Kernel
from kernelevolve.outcome import CandidateError, DeviceFault, Outcome, PluginBug, RunTimeout
from kernelevolve.plan import (
    BufferArgument,
    LaunchPlan,
    LocalArgument,
    PlannedBuffer,
    PlannedLaunch,
    Role,
    ScalarArgument,
)

from .conftest import LIMITS, WORKLOAD

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.from_regex(r"[A-Za-z_]\w{0,8}", fullmatch=True)
SIZES = st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=3).map(tuple)
ARGUMENTS = (
    st.builds(BufferArgument, NAMES, NAMES)
    | st.builds(LocalArgument, NAMES, st.integers(1, 2**40))
    | st.builds(
        ScalarArgument,
        NAMES,
        st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from([None, "float32", "int32"]),
    )
)
PLANS = st.builds(
    LaunchPlan,
    language=NAMES,
    source=st.text(),
    configuration=st.dictionaries(NAMES, st.integers() | st.booleans() | st.text(), max_size=3),
    buffers=st.lists(
        st.builds(PlannedBuffer, NAMES, st.sampled_from(Role), SIZES, st.sampled_from(["float32", "int8"])), max_size=3
    ).map(tuple),
    launches=st.lists(
        st.builds(PlannedLaunch, NAMES, SIZES, SIZES, st.lists(ARGUMENTS, max_size=4).map(tuple)), max_size=3
    ).map(tuple),
)


def read(data: bytes, limit: int) -> tuple[Frame, bytes]:
    """What a reader makes of bytes, and what is left."""
    end = HEADER.size + HEADER.unpack_from(data)[0]
    document = header(data[HEADER.size : end])
    pieces = []
    for size in sizes_of(document, limit):
        pieces.append(data[end : end + size])
        end += size
    return Frame(document["body"], tuple(pieces), document["nonce"]), data[end:]


@given(st.dictionaries(st.text(), JSON, max_size=4), st.lists(st.binary(max_size=64), max_size=4), st.text(max_size=16))
def test_a_frame_comes_out_as_it_went_in(body: dict, pieces: list[bytes], nonce: str) -> None:
    frame = Frame(body, tuple(pieces), nonce)
    data = b"".join(encode(frame))
    assert read(data + b"next", sum(map(len, pieces))) == (frame, b"next")


@given(PLANS)
@settings(max_examples=60)
def test_a_plan_comes_out_as_it_went_in_with_the_types_of_its_numbers(plan: LaunchPlan) -> None:
    back = structure(json.loads(json.dumps(unstructure(plan))), LaunchPlan)
    assert back == plan
    assert back.digest == plan.digest


@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_are_refused(noise: bytes) -> None:
    try:
        body = header(noise)["body"]
    except WireError:
        return
    assert isinstance(body, dict)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"null", b"{}", b'{"body": 3}', b'{"body": ', b"[" * 200_000, b"\xff\xfe", b'{"body": {}} x']
)
def test_a_document_that_is_no_message_is_refused(text: bytes) -> None:
    with pytest.raises(WireError):
        header(text)


@pytest.mark.parametrize("sizes", [None, 3, [-1], [1.0], [True], ["1"], [2**70], [60, 60], [math.nan], [[1]]], ids=repr)
def test_sizes_that_are_none_or_too_large_are_refused(sizes: object) -> None:
    with pytest.raises(WireError):
        sizes_of({"sizes": sizes}, 100)


def test_a_message_beyond_the_limit_is_not_sent() -> None:
    with pytest.raises(WireError, match=str(MAX_JSON)):
        encode(Frame({"log": "x" * MAX_JSON}))


@given(st.floats() | st.integers() | st.text() | st.none() | st.booleans())
def test_a_time_is_positive_finite_and_below_a_day(value: object) -> None:
    good = type(value) in (int, float) and 0 < value < 86400  # type: ignore[operator]
    if good:
        assert finite_seconds(value) == value
    else:
        with pytest.raises(WireError):
            finite_seconds(value)


@pytest.mark.parametrize("record", [{}, {"seconds": 1.0}, {"seconds": 1.0, "source": "wish"}, [], 3, {"secs": 1}])
def test_what_does_not_fit_a_type_is_refused_by_name(record: object) -> None:
    with pytest.raises(WireError, match="not a Sample"):
        structure(record, Sample)


def test_a_sample_and_a_target_travel_whole() -> None:
    sample = Sample(1.5e-6, Source.DEVICE_EVENT, 4, 2e-6, None)
    target = Target("opencl:x:0", {"fast": "1"})
    assert structure(json.loads(json.dumps(unstructure(sample))), Sample) == sample
    assert structure(json.loads(json.dumps(unstructure(target))), Target) == target


def forged(body: str, nonce: str = "guessed", sizes: str = "[]") -> bytes:
    text = f'{{"nonce": "{nonce}", "body": {body}, "sizes": {sizes}}}'.encode()
    return HEADER.pack(len(text)) + text


GARBAGE = {
    "noise": b"\x10\x00\x00\x00this is no json!",
    "wrong nonce": forged("{}"),
    "forged success": forged('{"samples": [{"seconds": 1e-300}]}'),
    "huge length": b"\xff\xff\xff\x7f",
    "just too long": HEADER.pack(MAX_JSON + 1),
    "deeply nested": HEADER.pack(30_000) + b"[" * 30_000,
    "pickle": HEADER.pack(12) + b"cos\nsystem\n(",
    "the first nonce again": forged("{}", "ready"),
    "negative sizes": forged("{}", sizes="[-5]"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_a_worker_that_forges_an_answer_is_a_plugin_bug_and_is_replaced(
    rogue_evaluator: Callable[..., Evaluator], good: Kernel, name: str
) -> None:
    evaluator = rogue_evaluator(f"write:{GARBAGE[name].hex()}")
    found = evaluator.evaluate(good)
    assert found.outcome is Outcome.PLUGIN_BUG, found.message
    assert "protocol" in found.message
    assert evaluator.worker.pid is None


def test_a_torn_answer_is_waited_for_no_longer_than_the_limit(
    rogue_evaluator: Callable[..., Evaluator], good: Kernel
) -> None:
    # Ten of the thousand promised bytes, then the worker's real answer: that is swallowed as part of the thousand.
    evaluator = rogue_evaluator(f"write:{(HEADER.pack(1000) + b'0123456789').hex()}")
    evaluator.worker.limits = LIMITS
    begin = time.monotonic()
    assert evaluator.evaluate(good).outcome is Outcome.RUN_TIMEOUT
    assert time.monotonic() - begin < LIMITS.run_seconds + 4


class Child:
    """Real pipes in place of a process: what `answer` says is what the worker answers."""

    def __init__(self, worker: Worker, answer: Callable[[str], bytes]) -> None:
        worker._source, self.write = os.pipe()
        self.read, worker._sink = os.pipe()
        os.write(self.write, answer(""))
        os.set_blocking(worker._source, False)

    def close(self) -> None:
        os.close(self.write)
        os.close(self.read)


@given(st.binary(min_size=1, max_size=60))
@settings(max_examples=40, deadline=None)
def test_no_bytes_from_a_child_get_past_the_engine(noise: bytes) -> None:
    from kernelevolve import registry

    made = registry.accelerator("reference")
    worker = Worker(made, made.devices()[0], path="reference")
    child = Child(worker, lambda _: noise)
    os.close(child.write)
    with pytest.raises((WireError, EOFError, TimeoutError)):
        worker._receive("0123456789abcdef", time.monotonic() + 0.05, 100)
    for descriptor in (child.read, worker._source, worker._sink):
        os.close(descriptor)


@pytest.mark.parametrize("seconds", ["float('nan')", "float('inf')", "-1.0", "0.0", "'fast'", "None", "1e9", "[1.0]"])
def test_a_sample_that_is_no_time_is_a_plugin_bug(
    rogue_evaluator: Callable[..., Evaluator], good: Kernel, seconds: str
) -> None:
    found = rogue_evaluator(f"sample:{seconds}").evaluate(good)
    assert found.outcome is Outcome.PLUGIN_BUG, found.message
    assert found.fitness == 0.0


def test_a_time_too_good_to_be_true_is_implausible(rogue_evaluator: Callable[..., Evaluator], good: Kernel) -> None:
    assert rogue_evaluator("sample:1e-300").evaluate(good).outcome is Outcome.IMPLAUSIBLE


@pytest.mark.parametrize("habit", ["short-download", "long-download"])
def test_a_buffer_that_comes_back_in_another_size_is_not_believed(
    rogue_evaluator: Callable[..., Evaluator], good: Kernel, habit: str
) -> None:
    found = rogue_evaluator(habit).evaluate(good)
    assert found.outcome in {Outcome.PLUGIN_BUG, Outcome.WRONG_RESULT, Outcome.OUT_OF_BOUNDS}
    assert not found.outcome.right


def test_failures_cross_the_wire_with_their_fields(rogue_evaluator: Callable[..., Evaluator], good: Kernel) -> None:
    evaluator = rogue_evaluator("fault")
    contestant = evaluator.contestant(good, good.default, WORKLOAD)
    with pytest.raises(CandidateError) as caught:
        evaluator.runner.enter(contestant)
    assert isinstance(caught.value, DeviceFault)
    assert not isinstance(caught.value, PluginBug | RunTimeout)
    assert caught.value.details == {"signal": None}
