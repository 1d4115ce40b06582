"""Proposers that wait, remember, cost and fail, through whole runs on the reference accelerator."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import kernelevolve
from kernelevolve.api import SearchSettings
from kernelevolve.api.running import opened_run
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evolution.budget import Budget, Ledger
from kernelevolve.evolution.proposal import Failed, Proposal, ProposalRequest, Relation, Usage
from kernelevolve.evolution.search import Propose
from kernelevolve.kernel import parse_kernel
from kernelevolve.outcome import Outcome
from kernelevolve.problem import Problem
from kernelevolve.reports.cost import cost_record, cost_sentence
from kernelevolve.store import EventKind, Memory, Store
from kernelevolve.testing import samples
from kernelevolve.testing.proposer import SampleProposer

PRICE = Usage("m-1", calls=1, input_tokens=900, output_tokens=100, dollars=0.02)
Answer = Callable[[ProposalRequest], Proposal | Failed | None]


def cheaper(request: ProposalRequest) -> Proposal:
    """A variant of the sample with a cost of its own, so that hardly any two are the same."""
    text = samples.GOOD.replace("cols * 10", f"cols * {random.Random(request.seed).randrange(3000, 30000)} // 1000")
    parents = tuple(parent.candidate for parent in request.parents[:1])
    return Proposal(parse_kernel(text), request.operator, parents, note="another cost", predicted=1.5, usage=PRICE)


class Waiting:
    """Answers on threads of its own; the order in which answers come back is nobody's choice."""

    name = "waiting"

    def __init__(self, answer: Answer = cheaper, width: int = 3) -> None:
        self.width, self.answer = width, answer
        self.requests: list[ProposalRequest] = []
        self.most_open = self._open = 0
        self._results: queue.Queue[tuple[int, Proposal | Failed | None]] = queue.Queue()
        self._pool = ThreadPoolExecutor(width)
        self.cancelled = False

    def operators(self, problem: Problem, language: str) -> tuple[str, ...]:
        return ("model",)

    def remembers(self, operator: str) -> bool:
        return True

    def concurrent(self, operator: str) -> bool:
        return True

    def propose(self, request: ProposalRequest) -> Proposal | Failed | None:
        raise AssertionError("the loop must begin and collect")

    def begin(self, request: ProposalRequest) -> int:
        self.requests.append(request)
        ticket = len(self.requests)
        self._open += 1
        self.most_open = max(self.most_open, self._open)
        self._pool.submit(self._work, ticket, request)
        return ticket

    def _work(self, ticket: int, request: ProposalRequest) -> None:
        bench = request.workbench
        assert bench is not None
        refused = bench.afford()
        if refused is None:
            bench.pay(PRICE)
            self._results.put((ticket, self.answer(request)))
        else:
            self._results.put((ticket, Failed("model", refused)))

    def finished(self, timeout: float) -> tuple[int, Proposal | Failed | None] | None:
        try:
            found = self._results.get(timeout=timeout) if timeout else self._results.get_nowait()
        except queue.Empty:
            return None
        self._open -= 1
        return found

    def cancel(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.cancelled = True


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"sqlite:///{tmp_path / 'store.db'}")


def evolve(store: Store, proposer: object, evaluations: int = 16, **options: object) -> kernelevolve.api.RunResult:
    given = {"budget": Budget(evaluations=evaluations), "seed": 5, **options}
    return kernelevolve.evolve(samples.problem(), "reference", store=store, proposer=proposer, **given)  # type: ignore[arg-type]


def test_several_proposals_are_open_while_others_are_judged(store: Store) -> None:
    def slowly(request: ProposalRequest) -> Proposal:
        time.sleep(0.3)
        return cheaper(request)

    proposer = Waiting(slowly)
    result = evolve(store, proposer)
    assert (result.evaluations, proposer.most_open, proposer.cancelled) == (16, 3, True)
    assert result.speedup > 1.2
    assert len(proposer.requests) <= 16 + 3  # no more than can still be evaluated, and what a duplicate cost


def test_drafts_come_first_and_see_of_each_other_what_they_are_and_not_what_came_of_them(store: Store) -> None:
    proposer = Waiting()
    result = evolve(store, proposer, search=SearchSettings(drafts=5))
    first, later = proposer.requests[:5], proposer.requests[5:]
    assert all(one.draft and one.memory is Memory.NONE for one in first)
    assert [len(one.relatives) for one in first] == [0, 1, 2, 3, 4]  # also of those that are still open
    shown = [relative for one in first for relative in one.relatives]
    assert {relative.relation for relative in shown} == {Relation.DRAFT}
    assert {(relative.outcome, relative.fitness, relative.gain) for relative in shown} == {(None, 0.0, None)}
    assert all((relative.note == "another cost") is (relative.candidate is not None) for relative in shown)
    assert all(one.parents[0].candidate == 0 for one in first)
    assert not any(one.draft for one in later)
    drafts = [one for one in store.candidates(result.run) if one.proposal.get("draft")]
    assert len(drafts) == 5
    assert {one.island for one in drafts} == {0, 1, 2, 3}


def test_a_fixed_memory_shows_ancestors_with_what_was_predicted_and_what_came(store: Store) -> None:
    proposer = Waiting(width=1)
    result = evolve(store, proposer, search=SearchSettings(drafts=0, memory="both"), policy="greedy")
    shown = {one.candidate: one for request in proposer.requests for one in request.relatives}
    assert shown
    fitness = {one.candidate: one.fitness for one in store.evaluations(result.run)}
    family = {one.number: one for one in store.candidates(result.run)}
    for number, relative in shown.items():
        if number:
            assert relative.predicted == 1.5
            parent = family[number].parents[0]
            assert relative.gain == pytest.approx(fitness[number] / fitness[parent])  # type: ignore[operator]
    kept = {one.memory for one in family.values() if one.number}
    assert Memory.BOTH in kept
    assert Memory.PARENT not in kept  # only the first ones, made of the seed, see less: it has siblings at most


def test_the_bandit_tries_every_memory(store: Store) -> None:
    proposer = Waiting(width=1)
    evolve(store, proposer, evaluations=40, search=SearchSettings(drafts=2), policy="random")
    assert {one.memory for one in proposer.requests} == set(Memory)


def test_what_a_model_cost_is_kept_with_the_candidate_and_in_the_ledger(store: Store) -> None:
    result = evolve(store, Waiting(width=2), evaluations=8)
    candidates = list(store.candidates(result.run))
    assert all(one.proposal["tokens"] == 1000 and one.proposal["dollars"] == 0.02 for one in candidates if one.number)
    spent = store.spent(result.run)
    assert spent is not None
    record = cost_record(spent, candidates, store.evaluations(result.run))
    assert record["dollars"] == pytest.approx(0.02 * record["tokens"] / 1000)
    assert record["accepted"] == record["proposed"] == 7
    assert record["dollars_per_accepted"] == pytest.approx(record["dollars"] / 7)
    assert "7 of 7 kernels right" in cost_sentence(record)


def test_failed_proposals_are_kept_with_their_reason_and_their_price(store: Store) -> None:
    def answer(request: ProposalRequest) -> Proposal | Failed:
        return Failed("model", "no kernel in the reply", PRICE) if request.seed % 2 else cheaper(request)

    result = evolve(store, Waiting(answer))
    declined = [event.data for event in store.events(result.run, EventKind.DECLINED)]
    assert declined
    assert all(one["dollars"] == 0.02 for one in declined)
    assert {one["reason"] for one in declined} <= {"no kernel in the reply"} | {
        one["reason"] for one in declined if one["reason"].startswith("the same kernel")
    }


def test_the_same_kernel_is_not_evaluated_twice(store: Store) -> None:
    kernel = parse_kernel(samples.GOOD.replace("cols * 10", "cols * 7"))

    def answer(request: ProposalRequest) -> Proposal:
        return Proposal(kernel, "model", (0,), usage=PRICE)

    result = evolve(store, Waiting(answer, width=1), evaluations=20)
    assert result.candidates == 2
    reasons = {event.data["reason"] for event in store.events(result.run, EventKind.DECLINED)}
    assert reasons == {"the same kernel as candidate 1"}
    assert "nothing is left" in result.reason


@pytest.mark.parametrize("width", [1, 4])
def test_a_limit_on_dollars_is_passed_by_one_call_at_most(store: Store, width: int) -> None:
    result = evolve(store, Waiting(width=width), evaluations=100, budget=Budget(dollars=0.11))
    spent = store.spent(result.run)
    assert spent is not None
    assert 0.11 <= spent["dollars"] <= 0.11 + 0.02
    assert "dollars is spent" in result.reason


def test_a_resumed_run_knows_what_it_has_spent_and_tried(store: Store) -> None:
    first = evolve(store, Waiting(), evaluations=8)
    before = store.spent(first.run)
    assert before is not None
    again = kernelevolve.resume(
        first.run, problem=samples.problem(), budget=Budget(evaluations=14), store=store, proposer=Waiting()
    )
    after = store.spent(first.run)
    assert after is not None
    assert again.evaluations == 14
    assert after["dollars"] > before["dollars"] > 0
    forms = [one.normal_form for one in store.candidates(first.run)]
    assert len(set(forms)) == len(forms)


def test_rebuilding_restores_bandit_memory_and_drafts(store: Store) -> None:
    result = evolve(store, Waiting(), evaluations=14)
    with (
        opened_run(store, result.run, problem=samples.problem(), proposer=Waiting()) as one,
        opened_run(store, result.run, problem=samples.problem(), proposer=Waiting()) as two,
    ):
        assert one.search.next() == two.search.next()
        assert one.search.memory.scores() == two.search.memory.scores()  # type: ignore[attr-defined]
        assert one.search.ask().draft is False


def test_the_workbench_looks_and_compiles_and_runs_nothing(store: Store) -> None:
    result = evolve(store, SampleProposer(), evaluations=10)
    with opened_run(store, result.run, problem=samples.problem(), proposer=SampleProposer()) as evolution:
        bench = evolution.workbench
        ranked = bench.candidates()
        fitness = [bench.look(number).fitness for number in ranked]
        assert fitness == sorted(fitness, reverse=True)
        with pytest.raises(KernelEvolveError, match=r"no evaluated candidate 999"):
            bench.look(999)
        assert bench.preflight(parse_kernel(samples.GOOD)).failed is None
        wrong = parse_kernel(samples.FAILING[Outcome.WRONG_RESULT])
        assert bench.preflight(wrong).failed is None  # it compiles; nobody has run it
        refused = bench.preflight(parse_kernel(samples.FAILING[Outcome.REJECTED]))
        assert refused.failed is Outcome.REJECTED
        assert refused.message
        before = len(list(store.evaluations(result.run)))
        assert before == 10


def test_a_proposal_is_recorded_and_read_back(store: Store) -> None:
    result = evolve(store, Waiting(), evaluations=6)
    with opened_run(store, result.run, problem=samples.problem(), proposer=Waiting()) as evolution:
        action = evolution.next_proposal()
        assert Propose.from_record(action.record()) == action
        evolution.search.begin("a", action)
        assert evolution.next_proposal().seed != action.seed


def test_calls_wait_while_those_under_way_may_spend_what_is_left() -> None:
    ledger = Ledger(Budget(dollars=1.0))
    assert ledger.begin_call() is None
    started, answers = threading.Event(), queue.Queue()  # type: ignore[var-annotated]

    def second() -> None:
        started.set()
        answers.put(ledger.begin_call())

    thread = threading.Thread(target=second)
    thread.start()
    started.wait()
    with pytest.raises(queue.Empty):  # nobody knows yet what a call costs
        answers.get(timeout=0.2)
    ledger.end_call(dollars=0.3)
    assert answers.get(timeout=10) is None
    assert ledger.begin_call() is None  # 0.3 spent, one under way: 0.6 at most
    ledger.end_call(dollars=0.3)
    ledger.end_call(dollars=0.5)
    thread.join()
    assert ledger.begin_call() == "the budget of 1.00 dollars is spent"
    assert ledger.dollars == pytest.approx(1.1)


@pytest.mark.parametrize("width", [1, 3, 8])
def test_calls_that_say_what_they_can_cost_pass_a_limit_by_one_call_at_most(width: int) -> None:
    """Each costs anything up to that, the dear ones last: what went before says nothing of them."""
    ledger, rng = Ledger(Budget(dollars=1.0)), random.Random(width)

    def call(price: float) -> str | None:
        refused = ledger.begin_call(tokens=1000, dollars=0.3)
        if refused is None:
            time.sleep(rng.random() * 0.01)
            ledger.end_call(tokens=10, dollars=price)
        return refused

    prices = [0.001] * 20 + [0.3] * 20
    with ThreadPoolExecutor(width) as pool:
        found = list(pool.map(call, prices))
    dearest = max(price for price, refused in zip(prices, found, strict=True) if refused is None)
    assert 1.0 <= ledger.dollars < 1.0 + dearest
