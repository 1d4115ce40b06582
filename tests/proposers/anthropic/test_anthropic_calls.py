"""Calls: repeated where that helps, paid whatever becomes of them, cached, concurrent, and cancelled at once."""

from __future__ import annotations

import email.utils
import threading
import time

import pytest
from messages_events import Message, submit, text, tool
from messages_server import Cut, Hang, Refused

from kernelevolve.errors import KernelEvolveError
from kernelevolve.evolution.budget import Budget, Ledger
from kernelevolve.evolution.proposal import Failed, Proposal
from kernelevolve.testing import samples

GOOD = submit(samples.GOOD)
PASSING = {
    "rate limit": Refused(429, "rate_limit_error"),
    "server error": Refused(500),
    "overloaded": Refused(529, "overloaded_error"),
    "gateway": Refused(504, "timeout_error"),
    "cut at once": Cut(),
    "cut before the first event": Cut(0, GOOD),
    "cut after the start": Cut(1, GOOD),
    "cut within the tool's input": Cut(5, GOOD),
    "ended regularly, with events missing": Cut(5, GOOD, clean=True),
    "an error within the stream": Message(GOOD.content, error_after=(3, "overloaded_error")),
}


@pytest.mark.parametrize("case", PASSING)
def test_what_passes_is_tried_again_with_growing_pauses(case, server, proposer, request_for, naps, desk) -> None:
    server.script = [PASSING[case], PASSING[case], PASSING[case], GOOD]
    assert isinstance(proposer().propose(request_for()), Proposal)
    assert len(server.calls) == 4
    assert len(naps) == 3
    for number, nap in enumerate(naps):
        assert 0.75 * 2**number <= nap <= 1.25 * 2**number
    assert desk.asked == len(desk.paid) == 4


def test_retry_after_is_honoured_in_seconds_milliseconds_and_as_a_date(server, proposer, request_for, naps) -> None:
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    headers = [{"retry-after": "7"}, {"retry-after-ms": "1500", "retry-after": "9"}, {"retry-after": date}]
    server.script = [*(Refused(429, "rate_limit_error", headers=one) for one in headers), GOOD]
    assert isinstance(proposer().propose(request_for()), Proposal)
    assert naps[:2] == [7.0, 1.5]
    assert 25 < naps[2] <= 30


def test_a_pause_of_hours_is_not_waited_for(server, proposer, request_for, naps) -> None:
    server.script = [Refused(429, "rate_limit_error", headers={"retry-after": "7200"}), GOOD]
    failed = proposer().propose(request_for())
    assert isinstance(failed, Failed)
    assert "pause of 7200 s" in failed.reason
    assert naps == []


def test_attempts_are_bounded(server, proposer, request_for, naps) -> None:
    server.script = [Refused(529, "overloaded_error", "busy")] * 9
    failed = proposer(retries=2).propose(request_for())
    assert isinstance(failed, Failed)
    assert "529 overloaded_error: busy" in failed.reason
    assert "3 attempts" in failed.reason
    assert len(server.calls) == 3
    assert len(naps) == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, "authentication_error"), (402, "billing_error"), (403, "permission_error"), (404, "not_found_error")],
)
def test_a_wrong_key_or_model_ends_the_run_and_not_one_proposal(status, kind, server, proposer, request_for) -> None:
    server.script = [Refused(status, kind, "that will not do")]
    with pytest.raises(KernelEvolveError, match=f"{status} {kind}: that will not do"):
        proposer().propose(request_for())
    assert len(server.calls) == 1


def test_a_request_that_is_refused_is_fatal_only_where_none_was_ever_answered(server, proposer, request_for) -> None:
    refused = Refused(400, "invalid_request_error", "effort: not for this model")
    server.script = [refused, GOOD, refused]
    made = proposer()
    with pytest.raises(KernelEvolveError, match="effort: not for this model"):
        made.propose(request_for())
    assert isinstance(made.propose(request_for()), Proposal)
    assert isinstance(made.propose(request_for()), Failed)


def test_a_fatal_answer_is_raised_to_whoever_collects(server, proposer, request_for) -> None:
    server.script = [Refused(401, "authentication_error")]
    made = proposer()
    made.begin(request_for())
    with pytest.raises(KernelEvolveError, match="401"):
        made.finished(10)


# --- budget


def test_every_call_is_paid_with_its_own_tokens_and_price(server, proposer, request_for, desk) -> None:
    ask = Message([tool("list_candidates", {})], input_tokens=10, output_tokens=20, cache_write=3000)
    server.script = [ask, Message(GOOD.content, input_tokens=5, output_tokens=40, cache_read=3000)]
    made = proposer(model="claude-opus-5-5").propose(request_for())
    assert isinstance(made, Proposal)
    first, second = desk.paid
    assert (first.input_tokens, first.output_tokens, first.cache_write_tokens, first.calls) == (10, 20, 3000, 1)
    assert (second.input_tokens, second.output_tokens, second.cache_read_tokens) == (5, 40, 3000)
    assert first.dollars == pytest.approx((10 * 4 + 20 * 20 + 3000 * 5) / 1e6)
    assert second.dollars == pytest.approx((5 * 4 + 40 * 20 + 3000 * 0.2) / 1e6)
    assert made.usage == first + second
    assert desk.ledger.dollars == pytest.approx(made.usage.dollars)
    assert desk.ledger.tokens == 6075


def test_a_broken_stream_is_paid_as_far_as_it_was_reported(server, proposer, request_for, desk) -> None:
    expensive = Message(GOOD.content, input_tokens=700, cache_read=50)
    server.script = [Cut(4, expensive), Refused(529), GOOD]
    made = proposer().propose(request_for())
    assert isinstance(made, Proposal)
    broken, refused, whole = desk.paid
    assert (broken.calls, broken.input_tokens, broken.cache_read_tokens, broken.output_tokens) == (1, 700, 50, 1)
    assert broken.dollars > 0
    assert (refused.calls, refused.tokens, refused.dollars) == (0, 0, 0)
    assert made.usage == broken + refused + whole


def test_no_call_is_made_once_the_budget_is_spent(server, proposer, request_for, desk) -> None:
    desk.ledger = Ledger(Budget(dollars=0.004))
    ask = Message([tool("list_candidates", {})], input_tokens=100, output_tokens=100)  # 0.0024 dollars
    server.script = [ask] * 9
    failed = proposer().propose(request_for())
    assert isinstance(failed, Failed)
    assert "0.00 dollars is spent" in failed.reason
    assert len(server.calls) == 2
    assert desk.ledger.dollars == pytest.approx(0.0048)
    assert failed.usage is not None
    assert failed.usage.dollars == pytest.approx(0.0048)
    again = proposer().propose(request_for())
    assert isinstance(again, Failed)
    assert len(server.calls) == 2


def test_attempts_count_against_the_budget_too(server, proposer, request_for, desk) -> None:
    desk.ledger = Ledger(Budget(tokens=150))
    server.script = [Cut(3, Message(GOOD.content, input_tokens=200)), GOOD]
    failed = proposer().propose(request_for())
    assert isinstance(failed, Failed)
    assert "150 tokens is spent" in failed.reason
    assert len(server.calls) == 1


def test_calls_side_by_side_never_exceed_the_budget_by_more_than_one(server, proposer, request_for, desk) -> None:
    """Each costs 0.0024 dollars: four may be made of 0.008, and no fifth, however many are open."""
    desk.ledger = Ledger(Budget(dollars=0.008))
    server.script = [Message([tool("list_candidates", {})], input_tokens=100, output_tokens=100)] * 30
    made = proposer(width=6)
    for seed in range(6):
        made.begin(request_for(seed=seed))
    found = [made.finished(20) for _ in range(6)]
    assert all(isinstance(one[1], Failed) and "is spent" in one[1].reason for one in found)
    assert len(server.calls) == 4
    assert desk.ledger.dollars == pytest.approx(4 * 0.0024)


def test_cancel_frees_whoever_waits_for_the_budget(server, proposer, request_for, desk) -> None:
    """The first call might spend it all, so the others wait; every call that was let begin is paid."""
    desk.ledger = Ledger(Budget(dollars=0.01))
    server.script = [Hang()] * 5
    made = proposer(width=4)
    for seed in range(4):
        made.begin(request_for(seed=seed))
    wait_for(lambda: len(server.calls) == 1 and desk.asked == 4)
    before = time.monotonic()
    made.cancel()
    assert time.monotonic() - before < 2
    assert len(server.calls) == 1
    assert desk.ledger.begin_call() is None  # it would wait for ever, were one begun and not paid
    assert [thread for thread in threading.enumerate() if thread.name.startswith("kernelevolve-")] == []


def test_no_call_costs_more_than_was_said_before_it(server, proposer, request_for, desk) -> None:
    server.script = [Message([tool("list_candidates", {})], input_tokens=4000, output_tokens=900), GOOD]
    proposer().propose(request_for())
    assert len(desk.paid) == 2
    for paid, most in zip(desk.paid, desk.most, strict=True):
        assert most.dollars >= paid.dollars > 0
        assert most.tokens >= paid.tokens


# --- the request


def marked(body) -> list[tuple[str, ...]]:
    """Where a request has cache breakpoints."""
    places = [("tools", str(n)) for n, one in enumerate(body["tools"]) if "cache_control" in one]
    places += [("system", str(n)) for n, one in enumerate(body["system"]) if "cache_control" in one]
    for number, message in enumerate(body["messages"]):
        blocks = message["content"]
        places += [("messages", str(number), str(n)) for n, one in enumerate(blocks) if "cache_control" in one]
    return places


def test_the_prefix_is_byte_identical_and_marked_and_so_is_each_turn(server, proposer, request_for) -> None:
    ask = Message([text("hm"), tool("list_candidates", {})])
    server.script = [ask, ask, GOOD, GOOD]
    made = proposer()
    assert isinstance(made.propose(request_for()), Proposal)
    assert isinstance(made.propose(request_for(draft=True, seed=2, relatives=())), Proposal)
    bodies = [call.body for call in server.calls]
    for body in bodies[1:]:
        assert body["system"] == bodies[0]["system"]
        assert body["tools"] == bodies[0]["tools"]
    assert marked(bodies[0]) == [("system", "0"), ("messages", "0", "0")]
    assert marked(bodies[2]) == [("system", "0"), ("messages", "0", "0"), ("messages", "4", "0")]
    assert bodies[0]["messages"][0] == bodies[2]["messages"][0]
    assert bodies[3]["messages"][0] != bodies[0]["messages"][0]


def test_settings_reach_the_request_as_the_model_takes_them(server, proposer, request_for) -> None:
    server.script = [GOOD] * 3
    proposer(effort="high", max_tokens=9000, cache_ttl="1h").propose(request_for())
    proposer(model="claude-sonnet-5-5").propose(request_for())
    always, adaptive = (call.body for call in server.calls)
    assert (always["model"], always["max_tokens"]) == ("claude-opus-5-5", 9000)
    assert always["output_config"] == {"effort": "high"}
    assert "thinking" not in always
    assert always["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert always["tool_choice"] == {"type": "auto"}
    assert adaptive["thinking"] == {"type": "adaptive"}
    assert "output_config" not in adaptive


def test_schemas_are_closed_and_kernels_come_through_strict_ones(server, proposer, request_for) -> None:
    server.script = [GOOD]
    proposer().propose(request_for())
    offered = server.calls[0].body["tools"]
    assert [one["name"] for one in offered if one.get("strict")] == ["submit_kernel", "check_kernel"]
    objects = [one["input_schema"] for one in offered]
    while objects:
        schema = objects.pop()
        if schema["type"] == "object":
            assert schema["additionalProperties"] is False
            assert sorted(schema["required"]) == sorted(schema["properties"])
            objects += schema["properties"].values()
        elif schema["type"] == "array":
            objects.append(schema["items"])


# --- concurrency and cancellation


def test_proposals_are_open_side_by_side_and_each_ticket_comes_once(server, proposer, request_for) -> None:
    held = Message(GOOD.content, hold_after=1)
    server.script = [held] * 3
    made = proposer(width=3)
    assert made.width == 3
    tickets = [made.begin(request_for(seed=seed)) for seed in range(3)]
    assert len(set(tickets)) == 3
    assert made.finished(0) is None
    wait_for(lambda: server.open == 3)
    server.let_go()
    found = [made.finished(10) for _ in tickets]
    assert sorted(one[0] for one in found) == sorted(tickets)
    assert all(isinstance(one[1], Proposal) for one in found)
    assert server.most_open == 3
    assert made.finished(0) is None


def test_cancel_returns_at_once_and_leaves_nothing_under_way(server, proposer, request_for, desk) -> None:
    server.script = [Hang(), Hang(), Message(GOOD.content, input_tokens=33, hold_after=2)]
    made = proposer()
    for seed in range(3):
        made.begin(request_for(seed=seed))
    wait_for(lambda: server.open == 3)
    time.sleep(0.05)  # the held stream's first events arrive
    before = time.monotonic()
    made.cancel()
    assert time.monotonic() - before < 2
    wait_for(lambda: server.open == 0)
    assert made.finished(0) is None
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("kernelevolve-")]
    assert len(desk.paid) == desk.asked == 3
    assert sum(one.input_tokens for one in desk.paid) == 33


def test_cancel_cuts_a_pause_between_attempts_short(server, key, request_for) -> None:
    from kernelevolve.proposers.anthropic import AnthropicProposer, ModelSettings

    server.script = [Refused(529, headers={"retry-after": "300"})]
    made = AnthropicProposer(ModelSettings(base_url=server.url))
    made.begin(request_for())
    wait_for(lambda: len(server.calls) == 1 and server.open == 0)
    before = time.monotonic()
    made.cancel()
    assert time.monotonic() - before < 2


def test_cancel_waits_for_a_compile_that_a_tool_began(server, proposer, request_for, desk) -> None:
    desk.may_compile.clear()
    server.script = [GOOD]
    made = proposer()
    made.begin(request_for())
    assert desk.compiling.wait(10)
    threading.Timer(0.2, desk.may_compile.set).start()
    made.cancel()
    assert desk.compiled == 1
    assert made.finished(0) is None


def test_after_a_cancel_it_can_be_asked_again(server, proposer, request_for) -> None:
    server.script = [Hang(), GOOD]
    made = proposer()
    made.begin(request_for())
    wait_for(lambda: server.open == 1)
    made.cancel()
    made.cancel()
    assert isinstance(made.propose(request_for()), Proposal)


def test_a_silent_connection_counts_as_lost(server, proposer, request_for) -> None:
    server.script = [Hang(), GOOD]
    assert isinstance(proposer(timeout=0.3).propose(request_for()), Proposal)


def wait_for(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
