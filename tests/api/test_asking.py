"""A run driven from outside on the reference accelerator: reserved, told once, refused in a sentence."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelevolve import Budget
from kernelevolve.api.answers import told_record
from kernelevolve.api.asking import Asked, ask, decline, tell
from kernelevolve.api.bookkeeping import Refused, Status, Told, open_asks
from kernelevolve.api.running import SearchSettings
from kernelevolve.api.starting import confirm, start
from kernelevolve.errors import KernelEvolveError, UnknownNameError
from kernelevolve.outcome import Outcome
from kernelevolve.store import EventKind, Run, Store
from kernelevolve.testing import samples

PROBLEM = samples.problem()


def variant(cost: int) -> str:
    """A right kernel that costs so many cycles per element; the seed's is 10."""
    return samples.GOOD.replace("cols * 10", f"cols * {cost}")


def begin(store: Store, **options: object) -> Run:
    search = SearchSettings(drafts=0, knowledge=False)
    return start(PROBLEM, "reference", store=store, **{"search": search, **options})  # type: ignore[arg-type]


def asked(store: Store, run: Run, **options: object) -> tuple[Asked, ...]:
    return ask(run.id, problem=PROBLEM, store=store, **options)  # type: ignore[arg-type]


def told(store: Store, run: Run, proposal: str, kernel: str, **options: object) -> Told:
    return tell(run.id, proposal, kernel, problem=PROBLEM, store=store, **options)  # type: ignore[arg-type]


def test_a_started_run_has_its_seed_evaluated_and_belongs_to_nobody_inside(run: Run, store: Store) -> None:
    (seed,) = store.evaluations(run.id)

    assert (run.proposer, seed.candidate, seed.outcome, seed.fitness) == ("outside", 0, Outcome.CORRECT, 1.0)


def test_a_seed_that_is_wrong_ends_the_start_with_its_reason(store: Store) -> None:
    from kernelevolve import parse_kernel

    wrong = parse_kernel(samples.FAILING[Outcome.WRONG_RESULT])
    with pytest.raises(KernelEvolveError, match="seed kernel is WRONG_RESULT, so nothing can be compared"):
        begin(store, start=wrong)


def test_what_is_told_is_evaluated_and_kept_with_all_that_was_said_of_it(run: Run, store: Store) -> None:
    (one,) = asked(store, run)
    found = told(store, run, one.proposal, variant(5), note="half the work", predicted=1.9, bottleneck="compute")

    assert (found.status, found.candidate, found.repeated) == (Status.EVALUATED, 1, False)
    assert found.evaluation is not None
    assert found.evaluation.fitness == pytest.approx(2.0, rel=0.1)
    candidate = store.candidate(run.id, 1)
    assert (candidate.operator, candidate.parents, candidate.note) == ("outside", (0,), "half the work")
    assert candidate.proposal == {"asked": one.proposal, "predicted": 1.9, "bottleneck": "compute"}
    record = told_record(store, found, PROBLEM)
    assert record["gain"] == pytest.approx(2.0, rel=0.1)
    assert record["predicted"] == 1.9


def test_open_proposals_are_taken_into_account_and_each_is_its_own(run: Run, store: Store) -> None:
    for cost in (9, 8, 7):
        told(store, run, asked(store, run)[0].proposal, variant(cost))
    many = asked(store, run, count=6)

    assert len({one.proposal for one in many}) == 6
    assert len({one.request.seed for one in many}) == 6
    assert len({one.request.parents[0].candidate for one in many}) > 1
    assert [one["id"] for one in open_asks(store, run.id)] == [one.proposal for one in many]


def test_drafts_are_asked_for_first_and_expired_ones_are_asked_for_again(store: Store) -> None:
    run = begin(store, search=SearchSettings(drafts=2, knowledge=False))
    first = asked(store, run, count=3, expires=0.001)
    time.sleep(0.01)
    second = asked(store, run, count=3)

    assert [one.request.draft for one in first] == [True, True, False]
    assert [one.request.draft for one in second] == [True, True, False]


def test_an_answer_may_be_told_after_its_time(run: Run, store: Store) -> None:
    (late,) = asked(store, run, expires=0.001)
    time.sleep(0.01)
    (other,) = asked(store, run)

    assert told(store, run, late.proposal, variant(7)).candidate == 1
    assert told(store, run, other.proposal, variant(6)).candidate == 2


def test_telling_the_same_again_returns_what_was_recorded(run: Run, store: Store) -> None:
    (one,) = asked(store, run)
    first = told(store, run, one.proposal, variant(5))
    again = told(store, run, one.proposal, "\n# another comment\n" + variant(5))

    assert again.repeated
    assert (again.candidate, again.evaluation) == (first.candidate, first.evaluation)
    assert len(list(store.evaluations(run.id))) == 2


def test_another_kernel_for_an_answered_proposal_is_refused(run: Run, store: Store) -> None:
    (one,) = asked(store, run)
    told(store, run, one.proposal, variant(5))

    with pytest.raises(Refused, match=r"answered with another kernel \(candidate 1\)"):
        told(store, run, one.proposal, variant(4))


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.COMPILE_ERROR, Outcome.WRONG_RESULT])
def test_a_kernel_that_fails_is_a_recorded_candidate_with_its_sentence(
    run: Run, store: Store, outcome: Outcome
) -> None:
    (one,) = asked(store, run)
    record = told_record(store, told(store, run, one.proposal, samples.FAILING[outcome]), PROBLEM)

    assert (record["status"], record["outcome"], record["candidate"]) == ("evaluated", outcome, 1)
    assert record["message"]
    assert open_asks(store, run.id) == ()


def test_what_is_said_of_a_failure_names_no_hidden_size_and_no_expected_value(run: Run, store: Store) -> None:
    (one,) = asked(store, run)
    found = told(store, run, one.proposal, samples.FAILING[Outcome.WRONG_RESULT])
    text = str(told_record(store, found, PROBLEM))

    assert found.evaluation is not None
    assert "want" in found.evaluation.message  # the person who looks into the store is told everything
    assert not [hidden for hidden in ("rows=3", "rows=1,", "want") if hidden in text]


@given(text=st.text(max_size=200))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_text_that_is_no_kernel_is_refused_and_nothing_is_lost(run: Run, store: Store, text: str) -> None:
    waiting = open_asks(store, run.id) or [{"id": asked(store, run)[0].proposal}]

    with pytest.raises(Refused):
        told(store, run, waiting[0]["id"], text)
    assert len(open_asks(store, run.id)) == 1
    assert store.pending(run.id) == ()
    assert store.events(run.id, EventKind.TOLD) == ()


def test_a_kernel_in_another_language_is_refused_and_may_be_mended(run: Run, store: Store) -> None:
    (one,) = asked(store, run)

    with pytest.raises(Refused, match="written in 'triton'; this run's language is 'reference'"):
        told(store, run, one.proposal, samples.GOOD.replace('language = "reference"', 'language = "triton"'))
    assert told(store, run, one.proposal, variant(9)).candidate == 1


def test_a_kernel_that_the_run_has_already_is_answered_with_its_numbers(run: Run, store: Store) -> None:
    one, two = asked(store, run, count=2)
    told(store, run, one.proposal, variant(5))
    found = told(store, run, two.proposal, variant(5))

    assert (found.status, found.candidate, found.message) == (Status.DUPLICATE, 1, "the same kernel as candidate 1")
    assert found.evaluation is not None
    assert told(store, run, two.proposal, variant(5)).repeated
    assert [event.data["reason"] for event in store.events(run.id, EventKind.DECLINED)] == [found.message]


def test_a_declined_proposal_is_closed_once(run: Run, store: Store) -> None:
    one, two = asked(store, run, count=2)
    first = decline(run.id, one.proposal, "no idea", problem=PROBLEM, store=store)
    again = decline(run.id, one.proposal, "still none", problem=PROBLEM, store=store)
    told(store, run, two.proposal, variant(5))

    assert (first.status, first.repeated, again.repeated, again.message) == (Status.DECLINED, False, True, "no idea")
    assert len(store.events(run.id, EventKind.DECLINED)) == 1
    with pytest.raises(Refused, match=r"was declined \(no idea\)"):
        told(store, run, one.proposal, variant(4))
    with pytest.raises(Refused, match="cannot be declined any more"):
        decline(run.id, two.proposal, "too late", problem=PROBLEM, store=store)


def test_a_budget_counts_what_is_open_and_says_so_when_it_is_spent(store: Store) -> None:
    run = begin(store, budget=Budget(evaluations=3))
    given_out = asked(store, run, count=5)

    assert len(given_out) == 2
    with pytest.raises(Refused, match="the budget of 3 evaluations is spent, with 2 proposals still open"):
        asked(store, run)
    decline(run.id, given_out[0].proposal, "no", problem=PROBLEM, store=store)
    assert len(asked(store, run, count=5)) == 1


def test_a_proposal_that_was_never_asked_for_is_an_error_that_lists_the_open_ones(run: Run, store: Store) -> None:
    (one,) = asked(store, run)

    with pytest.raises(UnknownNameError, match=f"unknown proposal 'x'; there is {one.proposal}"):
        told(store, run, "x", variant(5))


@pytest.mark.parametrize("predicted", [0.0, -1.0, float("nan"), float("inf")])
def test_a_prediction_is_a_factor(run: Run, store: Store, predicted: float) -> None:
    (one,) = asked(store, run)

    with pytest.raises(KernelEvolveError, match="it is a factor above 0"):
        told(store, run, one.proposal, variant(5), predicted=predicted)


def test_the_best_of_what_was_told_is_confirmed_and_more_can_be_told(run: Run, store: Store) -> None:
    one, two = asked(store, run, count=2)
    told(store, run, one.proposal, variant(5))
    result = confirm(run.id, problem=PROBLEM, store=store, eager=False)

    assert result.best == 1
    assert result.confirmations[0].comparisons["seed", "#1"].verdict == "FASTER"
    assert told(store, run, two.proposal, variant(4)).candidate == 2
