"""Lessons: kept, reworded, switched off, forgotten."""

from __future__ import annotations

import pytest
from attrs import evolve

from kernelevolve.store import Candidate, Lesson, Memory, Run, Store, StoreError, sqlite_url

LESSON = Lesson(
    "vectorise by 4: 3 of 4 gained, median 1.3x", "softmax", "opencl", "cpu", "opencl", run="r", data={"n": 4}
)


def test_a_lesson_comes_back_as_it_went_in(store: Store) -> None:
    kept = store.lessons.add(LESSON)
    assert evolve(kept, id=LESSON.id, created=0.0) == LESSON
    assert store.lessons.all() == (kept,)
    assert store.lessons.get(kept.id) == kept


def test_the_same_lesson_of_the_same_run_is_kept_once(store: Store) -> None:
    first = store.lessons.add(LESSON)
    assert store.lessons.add(LESSON) == first
    assert store.lessons.add(evolve(LESSON, run="other")).id != first.id


def test_lessons_are_found_by_problem_accelerator_and_state(store: Store) -> None:
    one = store.lessons.add(LESSON)
    two = store.lessons.add(evolve(LESSON, problem="matmul", accelerator="mtia"))
    assert store.lessons.all(problem="matmul") == store.lessons.all(accelerator="mtia") == (two,)
    off = store.lessons.change(one.id, active=False)
    assert not off.active
    assert off.text == LESSON.text
    assert store.lessons.all(active=True) == (two,)


def test_a_lesson_can_be_reworded_and_forgotten(store: Store) -> None:
    kept = store.lessons.add(LESSON)
    assert store.lessons.change(kept.id, text="shorter") == evolve(kept, text="shorter")
    assert store.lessons.remove(kept.id).text == "shorter"
    for ask in (store.lessons.get, store.lessons.remove, lambda number: store.lessons.change(number, active=True)):
        with pytest.raises(StoreError, match=f"no lesson {kept.id}"):
            ask(kept.id)


def test_how_a_candidate_was_proposed_is_kept(store: Store) -> None:
    run = store.create_run(Run("softmax", "f", "a", "d", "l", "random", "p", 1))
    made = Candidate(run=run.id, operator="model", memory=Memory.BOTH, proposal={"predicted": 1.5, "dollars": 0.02})
    number = store.add_candidate(made, "text")
    found = store.candidate(run.id, number)
    assert (found.proposal, found.memory) == (made.proposal, Memory.BOTH)


def test_a_store_of_the_first_version_gains_both(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from kernelevolve.store.engine import connect
    from kernelevolve.store.migrate import MIGRATIONS, migrate

    url = sqlite_url(tmp_path / "s.db")
    engine = connect(url)
    migrate(engine, scripts=MIGRATIONS, head=1)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO runs VALUES ('r','softmax','f','a','d','l','p','p','1','{}','{}','{}','{}','',0)"
        )
        connection.exec_driver_sql("INSERT INTO kernels VALUES ('k', 'text')")
        connection.exec_driver_sql(
            "INSERT INTO candidates VALUES ('r', 0, 'k', 'n', 'seed', '[]', '', 'none', 0, NULL, 0)"
        )
    engine.dispose()
    with Store.open(url) as store:
        assert store.candidate("r", 0).proposal == {}
        assert store.lessons.all() == ()
