"""Several proposers as one: the real rewriting one beside a small one that works in threads, as a model's would."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from attrs import evolve

import kernelevolve
from kernelevolve import registry
from kernelevolve.accelerator import Device, Realm, Target
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evolution.proposal import (
    Failed,
    Parent,
    Proposal,
    ProposalRequest,
    Proposer,
    ProposesConcurrently,
    Remembers,
)
from kernelevolve.kernel import parse_kernel
from kernelevolve.outcome import Outcome
from kernelevolve.problem import Problem
from kernelevolve.proposers.mixed import Mixed
from kernelevolve.proposers.rewriting import RewritingProposer
from kernelevolve.store import Store
from kernelevolve.testing import samples
from kernelevolve.testing.proposer import SampleProposer

FACTS = {"num_units": 4, "warp_size": 8, "max_group_size": 4096}
DEVICE = Device("opencl", 0, "test", Target("opencl:test"), Realm.HARDWARE, FACTS)


class Threaded:
    """Answers with the parent's kernel and a note once `go` is set; fails where it is told to."""

    def __init__(self, name: str = "threaded", *, width: int = 2, operator: str = "ask") -> None:
        self.name, self.width, self.operator = name, width, operator
        self.go = threading.Event()
        self.go.set()
        self._pool = ThreadPoolExecutor(width)
        self._open: dict[Future[Proposal | Failed | None], int] = {}
        self._tickets = 0

    def operators(self, problem: Problem, language: str) -> tuple[str, ...]:
        return (self.operator,)

    def remembers(self, operator: str) -> bool:
        return operator == self.operator

    def concurrent(self, operator: str) -> bool:
        return operator == self.operator

    def propose(self, request: ProposalRequest) -> Proposal | Failed | None:
        if request.seed == 13:
            return Failed(request.operator, "the model had nothing to say")
        kernel = request.parents[0].kernel
        return Proposal(kernel, request.operator, (request.parents[0].candidate,), note=f"seed {request.seed}")

    def begin(self, request: ProposalRequest) -> int:
        self._tickets += 1
        self._open[self._pool.submit(self._later, request)] = self._tickets
        return self._tickets

    def _later(self, request: ProposalRequest) -> Proposal | Failed | None:
        return self.propose(request) if self.go.wait(10) else None

    def finished(self, timeout: float) -> tuple[int, Proposal | Failed | None] | None:
        done, _ = wait(self._open, timeout, FIRST_COMPLETED)
        if not done:
            return None
        future = min(done, key=lambda one: self._open[one])
        return self._open.pop(future), future.result()

    def cancel(self) -> None:
        for future in self._open:
            future.cancel()
        self.go.set()
        wait(self._open)
        self._open.clear()

    @property
    def under_way(self) -> int:
        return len(self._open)


@pytest.fixture
def threaded() -> Iterator[Threaded]:
    made = Threaded()
    yield made
    made.cancel()


def request(operator: str, seed: int = 0) -> ProposalRequest:
    problem = registry.problem("softmax")
    kernel = parse_kernel(problem.seeds["opencl"])
    return ProposalRequest(
        problem=problem,
        device=DEVICE,
        language="opencl",
        workloads=problem.workloads,
        parents=(Parent(candidate=1, kernel=kernel, outcome=Outcome.CORRECT, fitness=1.0),),
        operator=operator,
        seed=seed,
    )


def collect(mixed: Mixed, count: int) -> dict[int, Proposal | Failed | None]:
    found: dict[int, Proposal | Failed | None] = {}
    until = time.monotonic() + 20
    while len(found) < count:
        assert time.monotonic() < until, f"only {len(found)} of {count} came back"
        done = mixed.finished(1.0)
        if done is not None:
            assert done[0] not in found
            found[done[0]] = done[1]
    return found


def test_it_is_everything_that_its_members_may_be(threaded: Threaded) -> None:
    mixed = Mixed([RewritingProposer(), threaded])
    assert isinstance(mixed, Proposer)
    assert isinstance(mixed, Remembers)
    assert isinstance(mixed, ProposesConcurrently)
    assert (mixed.name, mixed.width) == ("rewriting+threaded", 2)
    assert Mixed([RewritingProposer()]).width == 1


def test_operators_are_everybody_s_and_each_is_answered_by_its_owner(threaded: Threaded) -> None:
    mixed, alone = Mixed([RewritingProposer(), threaded]), RewritingProposer()
    problem = registry.problem("softmax")
    assert mixed.operators(problem, "opencl") == (*alone.operators(problem, "opencl"), "ask")
    assert mixed.propose(request("compose", 5)) == alone.propose(request("compose", 5))
    answer = mixed.propose(request("ask", 5))
    assert isinstance(answer, Proposal)
    assert answer.note == "seed 5"
    assert isinstance(mixed.propose(request("ask", 13)), Failed)


def test_only_the_owner_s_operators_remember_and_wait(threaded: Threaded) -> None:
    mixed = Mixed([RewritingProposer(), threaded])
    operators = mixed.operators(registry.problem("softmax"), "opencl")
    assert [one for one in operators if mixed.remembers(one)] == ["ask"]
    assert [one for one in operators if mixed.concurrent(one)] == ["ask"]
    assert not mixed.remembers("an operator of an earlier session")
    assert not mixed.concurrent("an operator of an earlier session")


def test_a_request_needs_no_question_for_operators_first(threaded: Threaded) -> None:
    assert isinstance(Mixed([RewritingProposer(), threaded]).propose(request("ask")), Proposal)


def test_open_proposals_of_several_proposers_come_back_each_once() -> None:
    one, two = Threaded("one", operator="ask one"), Threaded("two", width=3, operator="ask two")
    mixed = Mixed([one, RewritingProposer(), two])
    assert mixed.width == 5
    seeds = {mixed.begin(request(f"ask {name}", seed)): seed for seed, name in enumerate(["one", "two"] * 4)}
    assert len(seeds) == 8
    found = collect(mixed, 8)
    assert {ticket: getattr(answer, "note", None) for ticket, answer in found.items()} == {
        ticket: f"seed {seed}" for ticket, seed in seeds.items()
    }
    assert mixed.finished(0.0) is None


def test_the_quick_one_does_not_wait_for_the_slow_one() -> None:
    slow, quick = Threaded("slow", operator="slow"), Threaded("quick", operator="quick")
    slow.go.clear()
    mixed = Mixed([slow, quick])
    late, early = mixed.begin(request("slow")), mixed.begin(request("quick"))
    assert set(collect(mixed, 1)) == {early}
    assert mixed.finished(0.0) is None
    slow.go.set()
    assert set(collect(mixed, 1)) == {late}


def test_cancelling_gives_up_whatever_is_open() -> None:
    one, two = Threaded("one", operator="ask one"), Threaded("two", operator="ask two")
    mixed = Mixed([one, two])
    for proposer in (one, two):
        proposer.go.clear()
        mixed.begin(request(proposer.operator))
    mixed.cancel()
    assert (one.under_way, two.under_way) == (0, 0)
    assert mixed.finished(0.0) is None
    mixed.begin(request("ask one"))
    assert len(collect(mixed, 1)) == 1


def test_two_operators_of_one_name_are_an_error_that_names_both_proposers() -> None:
    mixed = Mixed([Threaded("one", operator="compose"), RewritingProposer()])
    with pytest.raises(KernelEvolveError, match="'one' and 'rewriting' both have an operator 'compose'"):
        mixed.operators(registry.problem("softmax"), "opencl")


def test_bad_mixtures_are_errors_in_words(threaded: Threaded) -> None:
    with pytest.raises(KernelEvolveError, match="at least one proposer"):
        Mixed([])
    with pytest.raises(KernelEvolveError, match=r"'rewriting' is named twice in 'rewriting\+rewriting'"):
        Mixed([RewritingProposer(), RewritingProposer()])
    mixed = Mixed([RewritingProposer(), threaded])
    with pytest.raises(KernelEvolveError, match="no proposer of 'rewriting\\+threaded' has an operator 'guess'"):
        mixed.propose(request("guess"))
    with pytest.raises(KernelEvolveError, match="'compose' of 'rewriting' is not concurrent"):
        mixed.begin(request("compose"))


def test_a_run_uses_the_operators_of_both(tmp_path: Path) -> None:
    class Faster(SampleProposer):
        """Under operator names of its own."""

        name = "faster"

        def operators(self, problem: Problem, language: str) -> tuple[str, ...]:
            return ("halve",)

        def propose(self, request: ProposalRequest) -> Proposal | None:
            made = super().propose(evolve(request, operator="cheapen"))
            return None if made is None else evolve(made, operator="halve")

    with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        result = kernelevolve.evolve(
            samples.problem(),
            "reference",
            budget=kernelevolve.Budget(evaluations=25),
            seed=1,
            proposer=Mixed([SampleProposer(), Faster()]),
            store=store,
        )
        used = {candidate.operator for candidate in store.candidates(result.run)}
        assert {"halve", "cheapen"} <= used
        assert store.run(result.run).proposer == "samples+faster"
