"""A run that was written to a folder: everything is there and says the same as the store."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import kernelevolve
from kernelevolve.errors import KernelEvolveError
from kernelevolve.kernel import read_kernel
from kernelevolve.reports.cost import cost_record, cost_sentence
from kernelevolve.reports.run_folder import write_run
from kernelevolve.store import Store
from kernelevolve.testing import samples
from kernelevolve.testing.proposer import SampleProposer


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, str]:
    store = Store.open(f"sqlite:///{tmp_path_factory.mktemp('store') / 'store.db'}")
    budget = kernelevolve.Budget(evaluations=14)
    result = kernelevolve.evolve(
        samples.problem(), "reference", store=store, proposer=SampleProposer(), budget=budget, seed=3
    )
    return store, result.run


def test_the_folder_holds_every_kernel_and_every_sample(finished: tuple[Store, str], tmp_path: Path) -> None:
    store, run = finished
    folder = write_run(store, run, tmp_path / "out", made_by="By a proposer for tests.")
    candidates = list(store.candidates(run))
    for candidate in candidates:
        file = folder / "kernels" / f"{candidate.number:03d}.py"
        assert file.read_text() == store.kernel_text(run, candidate.number)
    assert read_kernel(folder / "kernels" / "000.py").language == "reference"
    document = json.loads((folder / "run.json").read_text())
    assert len(document["candidates"]) == len(candidates)
    kept = list(store.evaluations(run))
    assert [one["fitness"] for one in document["evaluations"]] == [one.fitness for one in kept]
    assert document["evaluations"][0]["times"]
    assert document["result"]["run"] == run
    ET.parse(folder / "curve.svg")


def test_the_page_tells_what_was_tried_and_what_fell(finished: tuple[Store, str], tmp_path: Path) -> None:
    store, run = finished
    page = (write_run(store, run, tmp_path / "out", made_by="By a proposer for tests.") / "README.md").read_text()
    assert "By a proposer for tests." in page
    rows = [line for line in page.splitlines() if line.startswith("| [")]
    assert len(rows) == len(list(store.candidates(run)))
    fallen = [one for one in store.evaluations(run) if not one.outcome.right]
    assert fallen
    assert all(any(str(one.outcome) in row for row in rows) for one in fallen)
    assert "FASTER" in page


def test_a_folder_with_something_in_it_is_left_alone(finished: tuple[Store, str], tmp_path: Path) -> None:
    store, run = finished
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(KernelEvolveError, match="is not empty"):
        write_run(store, run, tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["mine.txt"]


def test_a_run_without_a_model_has_cost_nothing(finished: tuple[Store, str]) -> None:
    store, run = finished
    record = cost_record(store.spent(run), store.candidates(run), store.evaluations(run))
    assert (record["tokens"], record["accepted"], record["dollars_per_accepted"]) == (0, 0, None)
    assert cost_sentence(record) == ""
