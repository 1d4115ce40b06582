"""The real SDK against a local server: a kernel through the tool, look-ups, one repair, and then a failed proposal."""

from __future__ import annotations

import pytest
from messages_events import Message, submit, text, thinking, tool

from kernelevolve import parse_kernel, registry
from kernelevolve.evolution.proposal import Failed, Parent, Proposal, Proposer, ProposesConcurrently, Remembers
from kernelevolve.kernel import render_kernel
from kernelevolve.outcome import Outcome
from kernelevolve.proposers.anthropic import AnthropicProposer
from kernelevolve.testing import samples

GOOD_EDIT = [{"search": "* 20", "replace": "* 10"}]


def results(call) -> list[dict]:
    """The tool results that a call's last message brings."""
    return [block for block in call.body["messages"][-1]["content"] if block["type"] == "tool_result"]


def test_it_is_a_proposer_that_remembers_and_proposes_concurrently() -> None:
    made = registry.load("proposer", "anthropic")()
    assert isinstance(made, AnthropicProposer)
    assert isinstance(made, Proposer)
    assert isinstance(made, Remembers)
    assert isinstance(made, ProposesConcurrently)
    assert made.operators(samples.problem(), "triton") == ("model",)
    assert made.operators(samples.problem(), "replay") == ()
    assert made.remembers("model")
    assert made.concurrent("model")


def test_a_whole_file_becomes_a_proposal_with_its_prediction(server, proposer, request_for, desk) -> None:
    server.script = [submit(samples.GOOD, change="halve  the\ncost", bottleneck="arithmetic", predicted_gain=2)]
    made = proposer().propose(request_for())
    assert isinstance(made, Proposal)
    assert made.kernel == parse_kernel(samples.GOOD)
    assert (made.note, made.bottleneck, made.predicted, made.parents) == ("halve the cost", "arithmetic", 2.0, (0,))
    assert desk.compiled == 1


def test_edits_are_made_on_the_parent_as_it_was_shown(server, proposer, request_for) -> None:
    tuned = Parent(4, parse_kernel(samples.TUNED), Outcome.CORRECT, 1.0, configuration={"LANES": 4, "DEPTH": 2})
    shown = render_kernel(tuned.kernel.with_default(tuned.configuration))
    server.script = [submit(edits=[{"search": "LANES = [4, 1, 2, 8]", "replace": "LANES = [4, 2]"}])]
    made = proposer().propose(request_for(parents=(tuned,)))
    assert isinstance(made, Proposal)
    assert made.kernel.default == {"LANES": 4, "DEPTH": 2}
    assert shown in server.calls[0].body["messages"][0]["content"][0]["text"]


def test_a_checked_draft_can_be_handed_in_without_writing_it_again(server, proposer, request_for) -> None:
    check = Message([text("let me see"), tool("check_kernel", {"file": samples.GOOD, "base": "parent", "edits": []})])
    server.script = [check, submit(base="draft")]
    made = proposer().propose(request_for())
    assert isinstance(made, Proposal)
    assert made.kernel == parse_kernel(samples.GOOD)
    answer = results(server.calls[1])[0]
    assert answer["content"].startswith("It compiles.")
    assert not answer["is_error"]


def test_thinking_goes_back_word_for_word_with_its_signature(server, proposer, request_for) -> None:
    thought = thinking("what limits it?", "sig-123")
    ask = tool("list_candidates", {}, "toolu_7")
    server.script = [Message([thought, ask]), submit(samples.GOOD)]
    assert isinstance(proposer().propose(request_for()), Proposal)
    turn = server.calls[1].body["messages"][1]
    assert turn == {"role": "assistant", "content": [thought, ask]}
    assert results(server.calls[1])[0]["tool_use_id"] == "toolu_7"


def test_candidates_can_be_looked_at(server, proposer, request_for, desk) -> None:
    desk.parents[3] = Parent(3, parse_kernel(samples.GOOD), Outcome.CORRECT, 2.0, message="12 GB/s")
    looks = [
        tool("look_at_candidate", {"candidate": 3, "what": what}, f"t{what}") for what in ("source", "profile", "diff")
    ]
    server.script = [Message([tool("list_candidates", {}, "t0"), *looks]), submit(edits=GOOD_EDIT)]
    assert isinstance(proposer().propose(request_for()), Proposal)
    listed, source, profile, diff = (one["content"] for one in results(server.calls[1]))
    assert listed.index("candidate 3: 2 ×") < listed.index("candidate 0: 1 ×")
    assert samples.GOOD.strip() in source
    assert "12 GB/s" in profile
    assert "COST" not in profile
    assert '-COST = "rows * cols * 20"' in diff
    assert '+COST = "rows * cols * 10"' in diff


def test_pages_can_be_listed_read_and_searched(server, proposer, request_for, library) -> None:
    asks = [
        tool("list_pages", {}, "t1"),
        tool("read_page", {"page": "guidance/spills"}, "t2"),
        tool("search_pages", {"query": "memory access"}, "t3"),
        tool("read_page", {"page": "no/such/page"}, "t4"),
    ]
    server.script = [Message(asks), submit(samples.GOOD)]
    assert isinstance(proposer(library).propose(request_for()), Proposal)
    listed, read, found, missing = results(server.calls[1])
    assert "`guidance/spills`: Registers that spill" in listed["content"]
    assert "What there is to say about spills." in read["content"]
    assert found["content"] == "- `guidance/coalescing`: Coalesced access to memory"
    assert missing["is_error"]


def test_knowledge_that_is_switched_off_is_not_given(server, proposer, request_for, library) -> None:
    server.script = [Message([tool("list_pages", {})]), submit(samples.GOOD)]
    made = proposer(library).propose(request_for(knowledge=False))
    assert isinstance(made, Proposal)
    assert "switched off" in results(server.calls[1])[0]["content"]


WRONG = {
    "no header": (submit("def affine(x): ..."), "no header"),
    "wrong language": (submit(samples.GOOD.replace('"reference"', '"opencl"')), 'needs language = "reference"'),
    "an edit that does not match": (
        submit(edits=[{"search": "absent", "replace": "x"}]),
        "edit 1: the search text is not",
    ),
    "an edit that matches twice": (submit(edits=[{"search": "row", "replace": "x"}]), "places"),
    "nothing": (submit(), "neither"),
    "both": (submit(samples.GOOD, edits=GOOD_EDIT), "both"),
    "the gate": (submit(samples.GOOD.replace("2 * x", "open('/etc/passwd') + x")), "REJECTED"),
    "unchanged": (submit(samples.SLOW + "\n# another comment\n"), "unchanged"),
    "an unbound parameter": (submit(samples.GOOD.replace("(x, y,", "(x, y, z,")), "'z'"),
    "no object": (Message([tool("submit_kernel", [1])]), "no object"),
    "no JSON": (Message([tool("submit_kernel", {})], raw_input='{"file": "half'), "no valid JSON"),
    "a draft that is not there": (submit(base="draft"), "no draft"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_repaired_in_one_more_turn_with_the_error(case, server, proposer, request_for) -> None:
    wrong, why = WRONG[case]
    server.script = [wrong, submit(samples.GOOD)]
    assert isinstance(proposer().propose(request_for()), Proposal)
    told = results(server.calls[1])[0]
    assert told["is_error"]
    assert why in told["content"]


@pytest.mark.parametrize("case", WRONG)
def test_a_second_mistake_is_a_failed_proposal(case, server, proposer, request_for) -> None:
    wrong, why = WRONG[case]
    server.script = [wrong, wrong, submit(samples.GOOD)]
    failed = proposer().propose(request_for())
    assert isinstance(failed, Failed)
    assert why in failed.reason
    assert len(server.calls) == 2
    assert failed.usage is not None
    assert failed.usage.calls == 2


BARREN = {
    "refusal": Message(
        [], stop_reason="refusal", stop_details={"type": "refusal", "category": "cyber", "explanation": "no"}
    ),
    "cut off": Message([tool("submit_kernel", {})], stop_reason="max_tokens", raw_input='{"file": "# /// ker'),
    "context full": Message([text("…")], stop_reason="model_context_window_exceeded"),
    "only words": Message([text("Here is a kernel: …")], stop_reason="end_turn"),
    "nothing at all": Message([], stop_reason="end_turn"),
}


@pytest.mark.parametrize("case", BARREN)
def test_a_reply_without_a_kernel_is_asked_for_once_more(case, server, proposer, request_for) -> None:
    server.script = [BARREN[case], submit(samples.GOOD)]
    assert isinstance(proposer().propose(request_for()), Proposal)
    assert "submit_kernel" in server.calls[1].body["messages"][-1]["content"][-1]["text"]


@pytest.mark.parametrize("case", BARREN)
def test_two_replies_without_a_kernel_are_a_failed_proposal(case, server, proposer, request_for) -> None:
    server.script = [BARREN[case], BARREN[case], submit(samples.GOOD)]
    failed = proposer().propose(request_for())
    assert isinstance(failed, Failed)
    assert len(server.calls) == 2


def test_a_refusal_names_its_category_and_the_refused_turn_is_not_sent_back(server, proposer, request_for) -> None:
    server.script = [BARREN["refusal"], BARREN["refusal"]]
    failed = proposer().propose(request_for())
    assert isinstance(failed, Failed)
    assert "cyber" in failed.reason
    assert [message["role"] for message in server.calls[1].body["messages"]] == ["user"]


def test_an_empty_turn_is_never_sent_back(server, proposer, request_for) -> None:
    """The API refuses messages without content."""
    server.script = [BARREN["nothing at all"], submit(samples.GOOD)]
    assert isinstance(proposer().propose(request_for()), Proposal)
    assert all(message["content"] for message in server.calls[1].body["messages"])


def test_turns_are_bounded_and_the_last_one_is_announced(server, proposer, request_for) -> None:
    ask = Message([tool("list_candidates", {})])
    server.script = [ask] * 10
    failed = proposer(turns=3).propose(request_for())
    assert isinstance(failed, Failed)
    assert "within 3 turns" in failed.reason
    assert len(server.calls) == 3
    assert "last look-up" in server.calls[2].body["messages"][-1]["content"][-1]["text"]
    assert "last look-up" not in str(server.calls[1].body["messages"][-1])


def test_a_mistake_in_the_last_turn_may_still_be_mended(server, proposer, request_for) -> None:
    server.script = [WRONG["no header"][0], submit(samples.GOOD)]
    assert isinstance(proposer(turns=1).propose(request_for()), Proposal)


def test_an_unknown_tool_and_a_pause_end_nothing(server, proposer, request_for) -> None:
    pause = Message([text("…")], stop_reason="pause_turn")
    server.script = [Message([tool("rm", {})]), pause, submit(samples.GOOD)]
    assert isinstance(proposer().propose(request_for()), Proposal)
    assert "there is no tool 'rm'" in results(server.calls[1])[0]["content"]


def test_without_a_workbench_the_gate_alone_judges(server, proposer, request_for) -> None:
    wrong = submit(samples.GOOD.replace("2 * x", "open('/etc/passwd') + x"))
    server.script = [wrong, Message([tool("list_candidates", {})]), submit(samples.GOOD)]
    assert isinstance(proposer().propose(request_for(workbench=None)), Proposal)
    assert "REJECTED" in results(server.calls[1])[0]["content"]
    assert results(server.calls[2])[0]["is_error"]
