"""Failures survive a process boundary with all they know, and records that are none are refused."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve import outcome
from kernelevolve.outcome import CandidateError, CompileError, Outcome, WrongResult, from_record

FAILURES = CandidateError.__subclasses__()
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def test_every_failing_outcome_has_exactly_one_exception():
    without = {Outcome.CORRECT, Outcome.UNMEASURED}
    assert sorted(kind.outcome for kind in FAILURES) == sorted(set(Outcome) - without)
    assert {kind.__name__ for kind in FAILURES} <= set(outcome.__all__)


def test_only_correct_and_unmeasured_are_right():
    assert [one for one in Outcome if one.right] == [Outcome.CORRECT, Outcome.UNMEASURED]


@pytest.mark.parametrize("kind", FAILURES, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_failure_comes_back_from_json_and_from_pickle_as_it_was(kind, data):
    names = st.sampled_from(kind.fields) if kind.fields else st.nothing()
    details = data.draw(st.dictionaries(names, json_values))
    failure = kind(data.draw(st.text()), **details)
    through_json = from_record(json.loads(json.dumps(failure.to_record())))
    for copy in (through_json, pickle.loads(pickle.dumps(failure))):
        assert type(copy) is kind
        assert (copy.message, copy.details, copy.outcome) == (failure.message, failure.details, failure.outcome)
        assert str(copy) == failure.message


def test_a_record_is_plain_and_names_its_outcome():
    failure = CompileError("no", stage="ptx", line=3)
    assert failure.to_record() == {
        "outcome": "COMPILE_ERROR",
        "message": "no",
        "details": {"stage": "ptx", "line": 3},
    }


def test_a_failure_refuses_a_field_that_it_does_not_have_and_lists_its_own():
    with pytest.raises(TypeError, match="CompileError has no field 'lime'; it has stage, log, line"):
        CompileError("no", lime=3)


def test_fields_that_another_version_wrote_are_dropped():
    record = {"outcome": "WRONG_RESULT", "message": "off", "details": {"max_abs": 1.5, "from_the_future": 1}}
    copy = from_record(record)
    assert isinstance(copy, WrongResult)
    assert copy.details == {"max_abs": 1.5}


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"outcome": "CORRECT"},
        {"outcome": "UNMEASURED"},
        {"outcome": "SPLENDID"},
        {"outcome": ["REJECTED"]},
        {"outcome": "REJECTED", "details": [1]},
        {"outcome": "REJECTED", "details": "line"},
        {"outcome": "REJECTED", "details": 3},
        [],
        None,
        "REJECTED",
    ],
)
def test_what_is_no_failure_record_is_refused(record):
    with pytest.raises(ValueError, match="not a failure record"):
        from_record(record)


@given(
    json_values
    | st.fixed_dictionaries({"outcome": st.sampled_from(list(Outcome)) | json_values, "details": json_values})
)
def test_no_record_raises_anything_but_value_error(record):
    try:
        failure = from_record(record)
    except ValueError as error:
        assert "not a failure record" in str(error)  # noqa: PT017
    else:
        assert failure.outcome == record["outcome"]
        assert set(failure.details) <= set(failure.fields)


def test_a_missing_message_is_empty_text():
    assert from_record({"outcome": "UNSTABLE"}).message == ""
