"""Message batches: one request for a generation, polled for, at half the price, cancelled at the provider too."""

from __future__ import annotations

import asyncio
import time

import pytest
from messages_events import Message, submit, tool
from messages_server import Refused

from kernelevolve.errors import KernelEvolveError
from kernelevolve.evolution.proposal import Failed, Proposal
from kernelevolve.proposers.anthropic import ModelSettings
from kernelevolve.testing import samples

GOOD = submit(samples.GOOD)


def collected(made, count: int) -> dict[int, Proposal | Failed]:
    found = [made.finished(20) for _ in range(count)]
    assert None not in found
    return dict(found)


def never_short(naps: list[float]):
    """A sleep in which a batch waits for all of its requests, and looks at it take no time."""

    async def nap(seconds: float) -> None:
        if seconds == ModelSettings().batch_wait:
            await asyncio.Event().wait()
        naps.append(seconds)

    return nap


def created(server) -> list[list[str]]:
    """The requests' names, batch by batch."""
    posts = [one for one in server.requests if one.path == "/v1/messages/batches" and one.method == "POST"]
    return [[entry["custom_id"] for entry in one.body["requests"]] for one in posts]


def test_a_generation_goes_out_as_one_batch_at_half_the_price(server, proposer, request_for, desk, naps) -> None:
    server.script = [Message(GOOD.content, input_tokens=1000 * n, output_tokens=10) for n in (1, 2, 3)]
    made = proposer(batch=True, width=3, batch_poll=30, sleep=never_short(naps))
    tickets = [made.begin(request_for(seed=n)) for n in range(3)]
    found = collected(made, 3)
    assert sorted(found) == tickets
    assert all(isinstance(one, Proposal) for one in found.values())
    assert [len(names) for names in created(server)] == [3]
    assert server.calls == []
    assert naps == [30.0, 30.0]
    assert sum(one.dollars for one in desk.paid) == pytest.approx((6000 * 4 + 30 * 20) / 1e6 / 2)
    assert len(desk.paid) == desk.asked == 3


def test_results_find_their_requests_though_they_come_in_another_order(server, proposer, request_for) -> None:
    """The server returns them from the last to the first."""
    server.script = [submit(samples.GOOD, predicted_gain=1 + n) for n in range(3)]
    made = proposer(batch=True, width=3, sleep=never_short([]))
    tickets = [made.begin(request_for(seed=n, operator=f"model-{n}")) for n in range(3)]
    found = collected(made, 3)
    assert sorted(found[ticket].predicted for ticket in tickets) == [1, 2, 3]
    assert [found[ticket].operator for ticket in tickets] == ["model-0", "model-1", "model-2"]


def test_a_few_requests_wait_for_others_and_then_go(server, proposer, request_for, naps) -> None:
    server.script = [GOOD]
    made = proposer(batch=True, width=8, batch_wait=7)
    assert isinstance(made.propose(request_for()), Proposal)
    assert naps[0] == 7.0
    assert [len(names) for names in created(server)] == [1]


def test_each_turn_of_a_conversation_is_a_batch(server, proposer, request_for) -> None:
    server.script = [Message([tool("list_candidates", {})]), GOOD]
    assert isinstance(proposer(batch=True, width=1).propose(request_for()), Proposal)
    assert [len(names) for names in created(server)] == [1, 1]


def test_what_the_provider_could_not_answer_is_asked_again_or_given_up(server, proposer, request_for, desk) -> None:
    server.script = [
        Refused(529, "overloaded_error"),
        GOOD,
        "expired",
        Refused(400, "invalid_request_error", "too long"),
    ]
    made = proposer(batch=True, width=1)
    assert isinstance(made.propose(request_for()), Proposal)
    expired = made.propose(request_for())
    assert isinstance(expired, Failed)
    assert "expired" in expired.reason
    refused = made.propose(request_for())
    assert isinstance(refused, Failed)
    assert "too long" in refused.reason
    assert len(desk.paid) == desk.asked == 4


def test_a_batch_that_cannot_be_made_is_tried_again_unless_it_is_hopeless(server, proposer, request_for, naps) -> None:
    made = proposer(batch=True, width=1)
    server.script = [Refused(429, "rate_limit_error", headers={"retry-after": "11"}), GOOD]
    assert isinstance(made.propose(request_for()), Proposal)
    assert naps[0] == 11.0
    server.script = [Refused(401, "authentication_error")]
    with pytest.raises(KernelEvolveError, match="401"):
        made.propose(request_for())


def test_cancel_tells_the_provider(server, proposer, request_for) -> None:
    async def patient(seconds: float) -> None:
        await asyncio.sleep(60)

    server.script = [GOOD]
    made = proposer(batch=True, width=1, sleep=patient)
    made.begin(request_for())
    deadline = time.monotonic() + 10
    while not any(one.path.endswith("msgbatch_1") for one in server.requests):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    made.cancel()
    assert server.cancelled_batches == ["msgbatch_1"]
    assert made.finished(0) is None
