from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve.evolution.archive import Archive, Entry
from kernelevolve.kernel import Kernel, parse_kernel
from kernelevolve.store import Candidate, Run, Store, sqlite_url

KERNEL = '// /// kernel\n// language = "opencl"\n// [[launch]]\n// entry = "f"\n// grid = ["1"]\n// ///\n// {}\n'
fitnesses = st.sampled_from([0.0, 0.0, 0.5, 1.0, 1.5, 2.0]) | st.floats(0, 100)
#: (number, fitness): the same number twice is a revision.
histories = st.lists(st.tuples(st.integers(0, 30), fitnesses), max_size=60)


def filled(history: list[tuple[int, float]]) -> tuple[Archive, dict[int, float]]:
    archive, model = Archive(), {}
    for number, fitness in history:
        if number in model:
            archive.revise(number, fitness)
        else:
            archive.insert(Entry(number, fitness))
        model[number] = fitness
    return archive, model


@given(history=histories, seed=st.integers(0, 1000))
def test_an_archive_is_a_mapping_that_knows_its_best(history: list[tuple[int, float]], seed: int) -> None:
    archive, model = filled(history)
    assert list(archive) == sorted(model)
    assert len(archive) == len(model)
    assert {number: archive.fitness(number) for number in archive} == model
    if model:
        assert model[archive.best] == max(model.values())
        right = {number for number, fitness in model.items() if fitness > 0}
        rng = Random(seed)
        assert {archive.any(rng) for _ in range(20)} <= (right or set(model))


@given(history=histories)
def test_every_right_candidate_can_be_drawn(history: list[tuple[int, float]]) -> None:
    archive, model = filled(history)
    right = {number for number, fitness in model.items() if fitness > 0}
    rng = Random(0)
    if right:
        assert {archive.any(rng) for _ in range(40 * len(right))} == right


def test_an_entry_keeps_what_it_was_given() -> None:
    archive = Archive()
    archive.insert(Entry(5, 1.5, cell=1000, island=3, parent=2))
    assert (archive.fitness(5), archive.cell(5), archive.island(5), archive.parent(5)) == (1.5, 1000, 3, 2)
    archive.revise(5, 0.0, cell=7)
    assert (archive.fitness(5), archive.cell(5)) == (0.0, 7)


def test_of_equals_the_earlier_one_is_best() -> None:
    archive = Archive()
    for number in range(3):
        archive.insert(Entry(number, 1.0))
    assert archive.best == 0
    archive.revise(0, 0.5)
    assert archive.best == 1


def test_where_nothing_is_right_something_wrong_is_drawn_to_be_mended() -> None:
    archive = Archive()
    archive.insert(Entry(0, 0.0))
    assert archive.any(Random(0)) == 0
    assert archive.best == 0


def test_an_empty_archive_says_that_a_seed_is_missing() -> None:
    for question in (lambda: Archive().best, lambda: Archive().any(Random(0))):
        with pytest.raises(ValueError, match="insert the seed kernel first"):
            question()


def test_a_number_is_taken_once() -> None:
    archive = Archive()
    archive.insert(Entry(0, 1.0))
    with pytest.raises(ValueError, match="candidate 0 is in the archive already; use revise"):
        archive.insert(Entry(0, 2.0))


@pytest.mark.parametrize("number", [-1, 1, 99])
def test_what_is_not_there_is_a_key_error(number: int) -> None:
    archive = Archive()
    archive.insert(Entry(0, 1.0))
    archive.insert(Entry(2, 1.0))
    assert number not in archive
    with pytest.raises(KeyError):
        archive.fitness(number)
    with pytest.raises(KeyError):
        archive.revise(number, 1.0)


def test_kernels_come_from_the_store_and_are_read_once(tmp_path: Path) -> None:
    asked: list[int] = []
    with Store.open(sqlite_url(tmp_path / "s.db")) as store:
        run = store.create_run(Run("softmax", "f", "a", "d", "opencl", "random", "p", 1)).id
        for name in "ab":
            store.add_candidate(Candidate(run, "seed"), KERNEL.format(name))

        def fetch(number: int) -> Kernel:
            asked.append(number)
            return parse_kernel(store.kernel_text(run, number))

        archive = Archive(fetch)
        bodies = [archive.kernel(number).body for number in (0, 1, 1, 0)]
    assert bodies == ["// a\n", "// b\n", "// b\n", "// a\n"]
    assert asked == [0, 1]


def test_an_archive_without_a_source_of_kernels_says_so() -> None:
    with pytest.raises(LookupError, match="without a source of kernels; candidate 3"):
        Archive().kernel(3)
