"""The planted key is in one header of each request, and nowhere else: bodies, results, errors, logs, store, workers."""

from __future__ import annotations

import logging
import os
import pickle
import traceback
from pathlib import Path

import pytest
from messages_events import Message, submit, text, tool
from messages_server import Cut, Refused

import kernelevolve
from kernelevolve import registry
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.isolation import Limits, Worker
from kernelevolve.evolution.proposal import Failed, Proposal
from kernelevolve.proposers.anthropic import AnthropicProposer, ModelSettings
from kernelevolve.proposers.context import assemble, render_json, render_markdown
from kernelevolve.store import Store
from kernelevolve.testing import samples


def test_it_is_sent_in_one_header_and_in_no_body(server, proposer, request_for, key) -> None:
    server.script = [Message([tool("list_candidates", {})]), Cut(2, Message([text("x")])), submit(samples.GOOD)]
    made = proposer().propose(request_for())
    assert isinstance(made, Proposal)
    assert len(server.requests) == 3
    for one in server.requests:
        assert key.encode() not in one.raw
        assert key not in one.path
        carrying = [name for name, value in one.headers.items() if key in value]
        assert carrying in (["authorization"], ["x-api-key"])  # which one is the SDK's choice


def test_a_server_that_repeats_it_is_not_repeated(server, proposer, request_for, key) -> None:
    """In an error, in a refusal, in what the model writes."""
    echo = submit(samples.GOOD, change=f"used {key}", bottleneck=key)
    refusal = Message([], stop_reason="refusal", stop_details={"type": "refusal", "category": None, "explanation": key})
    server.script = [echo, refusal, refusal, Refused(400, "invalid_request_error", f"your key {key} is odd")]
    made = proposer()
    proposal, refused, failed = (made.propose(request_for()) for _ in range(3))
    assert isinstance(proposal, Proposal)
    assert isinstance(refused, Failed)
    assert isinstance(failed, Failed)
    assert "[key]" in proposal.note
    assert "[key]" in refused.reason
    assert "your key [key] is odd" in failed.reason
    assert key not in repr((proposal, refused, failed))


def test_errors_hold_it_neither_in_their_text_nor_in_what_they_carry(server, proposer, request_for, key) -> None:
    server.script = [Refused(401, "authentication_error", f"invalid x-api-key: {key}")]
    with pytest.raises(KernelEvolveError) as caught:
        proposer().propose(request_for())
    error: BaseException | None = caught.value
    shown = "".join(traceback.format_exception(error)) + repr(error)
    assert key not in shown
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    assert key.encode() not in pickle.dumps(str(error))


@pytest.mark.parametrize("odd", ["sk-ant with space", "sk-ant-\u00e9", "sk-ant-line\nX-Other: 1", "sk-ant-\x00nul"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(odd, monkeypatch: pytest.MonkeyPatch) -> None:
    if "\x00" in odd:
        monkeypatch.setattr(os, "environ", {**os.environ, "ANTHROPIC_API_KEY": odd})
    else:
        monkeypatch.setenv("ANTHROPIC_API_KEY", odd)
    with pytest.raises(KernelEvolveError, match="characters that no key has") as caught:
        AnthropicProposer().check_ready()
    assert odd not in str(caught.value)


def test_logs_at_their_most_talkative_do_not_hold_it(server, proposer, request_for, key, caplog) -> None:
    server.script = [Refused(429, headers={"retry-after": "1"}), Cut(3, submit(samples.GOOD)), submit(samples.GOOD)]
    with caplog.at_level(logging.NOTSET):
        for name in ("anthropic", "httpx2", "httpcore2", "httpx", "httpcore", "asyncio"):
            logging.getLogger(name).setLevel(logging.DEBUG)
        assert isinstance(proposer().propose(request_for()), Proposal)
    assert any(record.name.startswith("anthropic") for record in caplog.records)
    for record in caplog.records:
        assert key not in record.getMessage()
        assert key not in repr(record.args)


def test_neither_proposer_nor_settings_show_it(server, proposer, request_for, key) -> None:
    server.script = [submit(samples.GOOD)]
    made = proposer()
    made.propose(request_for())
    for one in (made, made.settings, vars(made), made._engine, vars(made._engine), made._engine._line.result()):
        assert key not in repr(one)


def test_the_context_does_not_hold_it(request_for, key) -> None:
    context = assemble(request_for())
    assert key not in render_markdown(context) + render_json(context)


def test_a_run_leaves_it_in_no_file_of_its_store(server, key, tmp_path: Path) -> None:
    costs = iter(range(9, 3, -1))

    def cheaper(body) -> Message:
        return submit(samples.GOOD.replace("* 10", f"* {next(costs)}"), change=f"cheaper {key}")

    server.script = [cheaper] * 4
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    made = AnthropicProposer(ModelSettings(base_url=server.url, width=1))
    try:
        result = kernelevolve.evolve(
            samples.problem(),
            "reference",
            store=store,
            seed=1,
            proposer=made,
            budget=kernelevolve.Budget(evaluations=4),
        )
    finally:
        made.cancel()
    assert result.evaluations == 4
    assert result.speedup > 1
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert key.encode() not in path.read_bytes(), path


def test_a_worker_never_gets_it(key) -> None:
    made = registry.accelerator("reference")
    with Worker(made, made.devices()[0], path="reference", limits=Limits(start_seconds=30)) as worker:
        worker.start()
        environment = Path(f"/proc/{worker.pid}/environ").read_bytes()
    assert b"PATH=" in environment
    assert key.encode() not in environment
    assert b"ANTHROPIC" not in environment
