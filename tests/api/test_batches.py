"""Batches on the reference accelerator: measured once, stopped anywhere, taken in only where they belong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelevolve import parse_kernel
from kernelevolve.api.answers import candidate_record
from kernelevolve.api.asking import ask, tell
from kernelevolve.api.batches import Batched, evaluate_batch, kernel_files, write_batch_file
from kernelevolve.api.bookkeeping import Refused, Status, open_asks
from kernelevolve.api.ingesting import ingest
from kernelevolve.api.results import Results, read_results, write_results
from kernelevolve.api.running import SearchSettings
from kernelevolve.api.starting import confirm, start
from kernelevolve.errors import KernelEvolveError
from kernelevolve.outcome import Outcome
from kernelevolve.store import Run, Store
from kernelevolve.testing import samples

PROBLEM = samples.problem()


def variant(cost: int) -> str:
    """A right kernel that costs so many cycles per element; the seed's is 10."""
    return samples.GOOD.replace("cols * 10", f"cols * {cost}")


def fill(folder: Path, **kernels: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in kernels.items():
        (folder / f"{name}.ref").write_text(text)
    return folder


def measure(
    folder: Path, out: Path, observer: Callable[[Batched], None] = lambda _: None, **options: object
) -> Results:
    return evaluate_batch(folder, PROBLEM, "reference", out=out, observer=observer, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Results of two right kernels and a wrong one."""
    folder = tmp_path_factory.mktemp("measured")
    kernels = {"fast": variant(5), "slow": variant(15), "wrong": samples.FAILING[Outcome.WRONG_RESULT]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERNELEVOLVE_HOME", str(folder / "home"))
        return measure(fill(folder / "kernels", **kernels), folder / "results.json")


def elsewhere(results: Results) -> Results:
    """The same results, as of a card that is not in this machine."""
    return attrs.evolve(results, device=attrs.evolve(results.device, name="another card"))


def renamed(results: Results, **names: str) -> Results:
    """The results with files called after proposals."""
    stems = {file: Path(file).stem for file in results.kernels}
    kernels = {f"{names.get(stems[file], stems[file])}.ref": one for file, one in results.kernels.items()}
    return attrs.evolve(results, kernels=kernels)


def away(store: Store, results: Results) -> Run:
    return start(PROBLEM, results=results, search=SearchSettings(drafts=0, knowledge=False), store=store)


# --- evaluate_batch


def test_every_kernel_is_measured_against_the_seed_with_raw_samples(measured: Results) -> None:
    assert {file: one.evaluation.outcome for file, one in measured.kernels.items()} == {
        "fast.ref": Outcome.CORRECT,
        "slow.ref": Outcome.CORRECT,
        "wrong.ref": Outcome.WRONG_RESULT,
    }
    assert measured.seed is not None
    assert measured.seed.kernel == parse_kernel(samples.GOOD)
    fast = measured.kernels["fast.ref"].evaluation
    assert fast.fitness == pytest.approx(2.0, rel=0.1)
    assert all(len(timing.samples) > 1 and timing.paired for timing in fast.timings)


def test_results_are_read_as_they_were_written(measured: Results, tmp_path: Path) -> None:
    write_results(tmp_path / "results.json", measured)
    found = read_results(tmp_path / "results.json")

    assert found == measured
    assert {file: one.evaluation.timings for file, one in found.kernels.items()} == {
        file: one.evaluation.timings for file, one in measured.kernels.items()
    }
    assert found.toolchain == measured.toolchain


def test_a_batch_that_was_stopped_goes_on_and_measures_only_what_is_new_or_changed(tmp_path: Path) -> None:
    folder, out = fill(tmp_path / "kernels", a=variant(9), b=variant(8), c=variant(7)), tmp_path / "results.json"

    def impatient(step: Batched) -> None:
        if step.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(folder, out, impatient)
    before = read_results(out)
    assert list(before.kernels) == ["a.ref", "b.ref"]

    fill(folder, b=variant(6), d="# /// kernel\n# nonsense\n# ///\n")
    steps: list[Batched] = []
    after = measure(folder, out, steps.append)

    assert [step.file for step in steps if step.measurement] == ["b.ref", "c.ref"]
    assert [step.message for step in steps if step.file == "a.ref"] == ["measured before"]
    assert after.kernels["a.ref"] == before.kernels["a.ref"]
    assert after.seed == before.seed
    assert after.kernels["b.ref"].kernel == parse_kernel(variant(6))
    assert "not valid TOML" in after.refused["d.ref"]
    assert read_results(out) == after


def test_a_file_in_another_language_is_refused_by_name(tmp_path: Path) -> None:
    folder = fill(tmp_path / "kernels", a=samples.GOOD.replace('language = "reference"', 'language = "triton"'))
    found = measure(folder, tmp_path / "results.json")

    assert found.kernels == {}
    assert "written in 'triton'; this batch is paired with a seed in 'reference'" in found.refused["a.ref"]


def test_contexts_and_notes_beside_the_kernels_are_no_kernels(tmp_path: Path) -> None:
    folder = fill(tmp_path / "kernels", a=samples.GOOD, notes="nothing with a header")
    (folder / "a.md").write_text(samples.GOOD)
    (folder / ".hidden.ref").write_text(samples.GOOD)

    assert [file.name for file in kernel_files(folder)] == ["a.ref"]


@pytest.mark.parametrize(
    ("change", "workload", "why"),
    [
        (lambda one: attrs.evolve(one, fingerprint="0" * 16), None, "another declaration of problem 'affine'"),
        (elsewhere, None, r"they are of reference:0 \(another card\)"),
        (lambda one: attrs.evolve(one, toolchain={"numpy": "1"}), None, "the software was another then: "),
        (lambda one: one, "rows=16,cols=32", "they are of rows=4,cols=8"),
    ],
)
def test_results_of_something_else_are_not_written_over(
    measured: Results, tmp_path: Path, change: Callable[[Results], Results], workload: str | None, why: str
) -> None:
    out = tmp_path / "results.json"
    write_results(out, change(measured))
    before = out.read_bytes()

    with pytest.raises(KernelEvolveError, match=f"holds other results .*{why}"):
        measure(fill(tmp_path / "kernels", a=samples.GOOD), out, workloads=[workload] if workload else None)
    assert out.read_bytes() == before


def test_an_empty_folder_and_none_at_all_are_errors(tmp_path: Path) -> None:
    (tmp_path / "kernels").mkdir()
    with pytest.raises(KernelEvolveError, match="no kernel file is in it"):
        measure(tmp_path / "kernels", tmp_path / "results.json")
    with pytest.raises(KernelEvolveError, match="no such folder"):
        measure(tmp_path / "nowhere", tmp_path / "results.json")


def test_a_seed_that_is_wrong_ends_the_batch_with_its_reason(tmp_path: Path) -> None:
    wrong = parse_kernel(samples.FAILING[Outcome.WRONG_RESULT])
    with pytest.raises(KernelEvolveError, match="the seed kernel is WRONG_RESULT"):
        measure(fill(tmp_path / "kernels", a=samples.GOOD), tmp_path / "results.json", start=wrong)


def _leaves(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Where the numbers and texts of a JSON document are."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inside is None:
        return [path]
    return [leaf for key, one in inside for leaf in _leaves(one, (*path, key))]


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_changed_in_a_measurement_is_noticed(
    measured: Results, tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "results.json"
    write_results(path, measured)
    document = json.loads(path.read_text())
    entry = document["kernels"]["fast.ref"]
    *way, last = data.draw(st.sampled_from(_leaves(entry)))
    place = entry
    for key in way:
        place = place[key]
    place[last] = 2 * place[last] + 1 if type(place[last]) in (int, float) else f"{place[last]}!"
    path.write_text(json.dumps(document))

    with pytest.raises(KernelEvolveError, match=r"fast\.ref was changed after it was measured"):
        read_results(path)


@pytest.mark.parametrize(
    ("evaluation", "why"),
    [
        ({"fitness": float("nan")}, "nan is no fitness"),
        ({"fitness": -1.0}, "-1.0 is no fitness"),
        ({"timings": ()}, "not every workload was timed"),
    ],
)
def test_a_document_that_is_whole_and_says_nonsense_is_an_error(
    measured: Results, tmp_path: Path, evaluation: dict[str, object], why: str
) -> None:
    fast = measured.kernels["fast.ref"]
    nonsense = attrs.evolve(fast, evaluation=attrs.evolve(fast.evaluation, **evaluation))
    write_results(tmp_path / "results.json", measured.with_kernel("fast.ref", nonsense))

    with pytest.raises(KernelEvolveError, match=why):
        read_results(tmp_path / "results.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "kernelevolve results 1"}'])
def test_a_file_that_holds_no_results_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(KernelEvolveError, match=r"results\.json: not"):
        read_results(tmp_path / "results.json")


# --- ingest


def test_results_from_the_run_s_own_device_answer_the_proposals_their_files_name(
    measured: Results, run: Run, store: Store
) -> None:
    one, two = ask(run.id, count=2, problem=PROBLEM, store=store)
    named = renamed(measured, fast=one.proposal, wrong=two.proposal)
    found = ingest(run.id, named, problem=PROBLEM, store=store)

    assert [(told.proposal, told.status, told.candidate) for told in found.told] == [
        (one.proposal, Status.EVALUATED, 1),
        (two.proposal, Status.EVALUATED, 2),
    ]
    assert list(found.left) == ["slow.ref"]
    assert "no proposal has this name" in found.left["slow.ref"]
    kept = found.told[0].evaluation
    assert kept is not None
    source = measured.kernels["fast.ref"].evaluation
    assert (kept.outcome, kept.fitness) == (source.outcome, source.fitness)
    assert {label: times.seconds for label, times in kept.times.items()} == {
        timing.workload: timing.samples for timing in source.timings
    }
    provenance = candidate_record(store, run.id, 1, PROBLEM)["profile"]["provenance"]
    assert provenance["device"] == measured.device.label
    assert provenance["measured"] == measured.kernels["fast.ref"].measured


def test_taking_results_in_again_changes_nothing(measured: Results, run: Run, store: Store) -> None:
    (one,) = ask(run.id, problem=PROBLEM, store=store)
    named = renamed(measured, fast=one.proposal)
    first = ingest(run.id, named, problem=PROBLEM, store=store)
    again = ingest(run.id, named, problem=PROBLEM, store=store)

    assert [told.repeated for told in (*first.told, *again.told)] == [False, True]
    assert len(list(store.evaluations(run.id))) == 2


def _other_seed(results: Results) -> Results:
    assert results.seed is not None
    return attrs.evolve(results, seed=attrs.evolve(results.seed, kernel=parse_kernel(samples.SLOW)))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (elsewhere, r"the results are of reference:0 \(another card\), the run is of reference:0"),
        (lambda one: attrs.evolve(one, fingerprint="0" * 16), "another problem, or another declaration"),
        (lambda one: attrs.evolve(one, workloads=("rows=16,cols=32",)), "the results are of rows=16,cols=32"),
        (lambda one: attrs.evolve(one, seed=None), "the results hold no seed"),
        (_other_seed, "paired with another seed"),
        (lambda one: attrs.evolve(one, toolchain={**one.toolchain, "reference": "0"}), "reference was 1 and is 0"),
    ],
)
def test_results_that_do_not_belong_to_the_run_are_refused_whole(
    measured: Results, run: Run, store: Store, change: Callable[[Results], Results], why: str
) -> None:
    (one,) = ask(run.id, problem=PROBLEM, store=store)

    with pytest.raises(Refused, match=why):
        ingest(run.id, renamed(change(measured), fast=one.proposal), problem=PROBLEM, store=store)
    assert len(list(store.candidates(run.id))) == len(list(store.evaluations(run.id))) == 1
    assert [data["id"] for data in open_asks(store, run.id)] == [one.proposal]


# --- a device that is away


def test_a_run_on_a_device_that_is_away_is_started_asked_and_told_without_it(measured: Results, store: Store) -> None:
    results = elsewhere(measured)
    run = away(store, results)
    (seed,) = store.evaluations(run.id)
    (one,) = ask(run.id, problem=PROBLEM, store=store)
    waits = tell(run.id, one.proposal, variant(5), note="half", predicted=1.8, problem=PROBLEM, store=store)

    assert (run.device, seed.outcome, seed.fitness) == ("another card", Outcome.CORRECT, 1.0)
    assert waits.status is Status.PENDING
    assert "another card is not here" in waits.message
    assert len(list(store.candidates(run.id))) == 1
    found = ingest(run.id, results, problem=PROBLEM, store=store)  # by its kernel: the file is called fast.ref
    assert [(told.proposal, told.status) for told in found.told] == [(one.proposal, Status.EVALUATED)]
    candidate = store.candidate(run.id, 1)
    assert (candidate.note, candidate.proposal["predicted"]) == ("half", 1.8)
    with pytest.raises(KernelEvolveError, match="another card is not here"):
        confirm(run.id, problem=PROBLEM, store=store)


def test_a_kernel_that_waits_may_be_replaced_and_is_not_what_another_was_measured_as(
    measured: Results, store: Store
) -> None:
    results = elsewhere(measured)
    run = away(store, results)
    (one,) = ask(run.id, problem=PROBLEM, store=store)
    assert not tell(run.id, one.proposal, variant(4), problem=PROBLEM, store=store).repeated
    assert tell(run.id, one.proposal, variant(4), problem=PROBLEM, store=store).repeated
    nothing = ingest(run.id, results, problem=PROBLEM, store=store)
    assert nothing.told == ()

    assert not tell(run.id, one.proposal, variant(5), problem=PROBLEM, store=store).repeated
    assert ingest(run.id, results, problem=PROBLEM, store=store).told[0].candidate == 1


def test_a_run_takes_all_that_it_is_from_the_results_it_is_started_with(measured: Results, store: Store) -> None:
    with pytest.raises(KernelEvolveError, match="give none of them beside"):
        start(PROBLEM, results=measured, workloads=["rows=4,cols=8"], store=store)
    with pytest.raises(KernelEvolveError, match="another problem"):
        start(PROBLEM, results=attrs.evolve(measured, fingerprint="0" * 16), store=store)
    with pytest.raises(KernelEvolveError, match="hold no seed"):
        start(PROBLEM, results=attrs.evolve(measured, seed=None), store=store)
    assert store.runs() == ()


def test_a_folder_of_contexts_says_what_is_to_be_measured_in_it(run: Run, store: Store, tmp_path: Path) -> None:
    folder = fill(tmp_path / "kernels", a=variant(5))
    write_batch_file(folder, run, parse_kernel(samples.SLOW))
    found = measure(folder, tmp_path / "results.json")

    assert found.seed is not None
    assert found.seed.kernel == parse_kernel(samples.SLOW)
    assert found.kernels["a.ref"].evaluation.fitness == pytest.approx(4.0, rel=0.1)
    (folder / "batch.json").write_text("{}")
    with pytest.raises(KernelEvolveError, match=r"batch\.json: not a batch file"):
        measure(folder, tmp_path / "results.json")
