"""Whole runs on the reference accelerator with the model at the other end of a socket."""

from __future__ import annotations

import itertools
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from messages_events import Message, submit, tool
from messages_server import Refused

import kernelevolve
from kernelevolve.errors import KernelEvolveError
from kernelevolve.store import EventKind, Store
from kernelevolve.testing import samples


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"sqlite:///{tmp_path / 'store.db'}")


@pytest.fixture(autouse=True)
def _no_pages(monkeypatch: pytest.MonkeyPatch, library: Any) -> None:
    """Which pages there are makes no difference to a run."""
    monkeypatch.setattr("kernelevolve.proposers.anthropic.proposer.Library.load", lambda: library)


def evolve(store: Store, url: str, *, width: int = 1, **more: Any) -> Any:
    return kernelevolve.evolve(
        samples.problem(),
        "reference",
        store=store,
        seed=1,
        start=kernelevolve.parse_kernel(samples.SLOW),
        proposer="anthropic",
        model={"base_url": url, "width": width},
        **more,
    )


def cheaper() -> Any:
    """A model that looks at the run and then halves what it is shown, a little more each time."""
    costs = itertools.count(19, -1)
    lock = threading.Lock()

    def answer(body: Any) -> Message:
        if len(body["messages"]) == 1:
            return Message([tool("list_candidates", {})], input_tokens=1000, output_tokens=100, cache_read=2000)
        with lock:
            text = samples.GOOD.replace("* 10", f"* {max(1, next(costs))}")
        return submit(text, predicted_gain=1.25, bottleneck="arithmetic")

    return answer


def test_a_run_improves_and_keeps_predictions_beside_measurements(server, key, store) -> None:
    server.script = [cheaper()] * 100
    result = evolve(store, server.url, budget=kernelevolve.Budget(evaluations=8))
    assert result.speedup > 1
    made = [one for one in store.candidates(result.run) if one.operator == "model"]
    assert made
    for one in made:
        assert one.proposal["predicted"] == 1.25
        assert one.proposal["bottleneck"] == "arithmetic"
        assert one.proposal["dollars"] > 0


def test_several_are_open_at_once_and_none_is_left(server, key, store) -> None:
    held = [Message(submit(samples.GOOD.replace("* 10", f"* {9 - n}")).content, hold_after=2) for n in range(3)]
    server.script = [*held, *[cheaper()] * 50]
    threading.Timer(0.1, release, [server, 3]).start()
    evolve(store, server.url, width=3, budget=kernelevolve.Budget(evaluations=6))
    assert server.most_open == 3
    assert [one for one in threading.enumerate() if one.name.startswith("kernelevolve-model")] == []


def release(server, count: int) -> None:
    """Let held streams go on once so many are open."""
    while server.most_open < count:
        threading.Event().wait(0.01)
    server.let_go()


@pytest.mark.parametrize("width", [1, 4])
def test_the_cost_never_exceeds_the_limit_by_more_than_one_call(width, server, key, store) -> None:
    call = 0.0064  # 1000 tokens at 4 dollars, 100 at 20 and 2000 at 0.2, a million each
    ask = Message([tool("list_candidates", {})], input_tokens=1000, output_tokens=100, cache_read=2000)
    server.script = [ask] * 100
    result = evolve(store, server.url, width=width, budget=kernelevolve.Budget(evaluations=100, dollars=0.03))
    assert len(server.calls) == 5
    spent = list(store.events(result.run, EventKind.SPENT))[-1].data["dollars"]
    assert spent == pytest.approx(5 * call)


def test_without_a_key_nothing_is_begun(server, monkeypatch: pytest.MonkeyPatch, store) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(KernelEvolveError, match="--proposer rewriting"):
        evolve(store, server.url, budget=kernelevolve.Budget(evaluations=3))
    assert list(store.runs()) == []
    assert server.requests == []


def test_a_wrong_key_ends_the_run_and_it_goes_on_with_a_right_one(server, key, store) -> None:
    server.script = [Refused(401, "authentication_error", "invalid key"), *[cheaper()] * 50]
    with pytest.raises(KernelEvolveError, match="401 authentication_error: invalid key"):
        evolve(store, server.url, budget=kernelevolve.Budget(evaluations=4))
    run = store.runs()[-1]
    assert len(list(store.evaluations(run.id))) == 1
    result = kernelevolve.resume(run.id, problem=samples.problem(), store=store)
    assert result.evaluations == 4


def test_every_body_of_a_run_begins_with_the_same_bytes(server, key, store) -> None:
    server.script = [cheaper()] * 60
    evolve(store, server.url, width=2, budget=kernelevolve.Budget(evaluations=6))
    assert len(server.calls) > 4
    assert len({json.dumps([one.body["system"], one.body["tools"]]) for one in server.calls}) == 1
    ends = {one.raw[one.raw.rindex(b'"system":') :] for one in server.calls}  # tools come behind it
    assert len(ends) == 1
