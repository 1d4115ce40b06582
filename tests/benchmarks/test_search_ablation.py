"""The ablation: what its proposals do, that it repeats itself, goes on where it stopped, and that the page shows it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

import pytest
from attrs import evolve
from benchmarks.ablation import mtia
from benchmarks.ablation.driver import DRAFTS, Arm, simulate
from benchmarks.ablation.intervals import mean_of, paired
from benchmarks.ablation.landscape import Landscape, Point, mtia_landscape
from benchmarks.ablation.picture import curves_of, panels_svg
from benchmarks.ablation.proposals import ORIGINS, History, ProposalModel, draft, propose, rewrite
from benchmarks.ablation.running import Settings, run_tasks, tasks
from benchmarks.ablation.studies import STUDIES, VARIATIONS, Study
from benchmarks.ablation.tables import tables, written_into

from benchmarks import search_ablation
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evolution.descriptors import cell_index
from kernelevolve.evolution.memory import MEMORIES
from kernelevolve.evolution.policies import POLICIES
from kernelevolve.store import Memory

SIZES = (6, 5, 4, 3)
MODEL = ProposalModel()


def seconds(point: Point) -> float | None:
    """A valley at (2, 3, 1, 0), and one value of the last dimension that falls where the first is large."""
    if point[3] == 2 and point[0] == 5:
        return None
    best = (2, 3, 1, 0)
    return 1e-6 * 1.3 ** sum(abs(one - other) for one, other in zip(point, best, strict=True))


@pytest.fixture(scope="module")
def valley() -> Landscape:
    points = itertools.product(*map(range, SIZES))
    return Landscape("valley", "made up", SIZES, (True, True, True, False), {point: seconds(point) for point in points})


def changes(answer: Callable[[Random], Point | None], parent: Point, count: int = 2000) -> tuple[float, float, float]:
    """Share of broken answers; of the others, the mean number of changed dimensions and the mean length of a change."""
    answers = [answer(Random(seed)) for seed in range(count)]
    good = [one for one in answers if one is not None]
    apart = [[abs(a - b) for a, b in zip(one, parent, strict=True)] for one in good]
    dimensions = mean(sum(step > 0 for step in steps) for steps in apart)
    return 1 - len(good) / count, dimensions, mean(sum(steps) for steps in apart)


def test_every_parameter_of_the_model_has_an_origin() -> None:
    assert set(ORIGINS) == {attribute.name for attribute in ProposalModel.__attrs_attrs__}
    assert {name for name, origin in ORIGINS.items() if origin.startswith("published")} == {
        "broken_clean",
        "broken_remembering",
    }


@pytest.mark.parametrize(
    ("memory", "knowledge", "broken"),
    [
        (Memory.NONE, False, 0.55),
        (Memory.PARENT, False, 0.21),
        (Memory.SIBLINGS, False, 0.38),
        (Memory.BOTH, False, 0.21),
        (Memory.NONE, True, 0.385),
    ],
)
def test_proposals_are_broken_as_often_as_the_model_says(
    valley: Landscape, memory: Memory, knowledge: bool, broken: float
) -> None:
    history = History((0, 0, 0, 1), memory=memory)
    found, _, _ = changes(lambda rng: propose(MODEL, valley, history, knowledge=knowledge, rng=rng), history.parent)
    assert found == pytest.approx(broken, abs=0.04)


def test_history_anchors_a_proposal_to_its_parent(valley: Landscape) -> None:
    parent = (0, 0, 0, 1)
    model = evolve(MODEL, misjudgement=100.0)  # blind, so that only the steps differ

    def steps(memory: Memory) -> tuple[float, float, float]:
        history = History(parent, memory=memory)
        return changes(lambda rng: propose(model, valley, history, knowledge=False, rng=rng), parent)

    clean, anchored = steps(Memory.NONE), steps(Memory.PARENT)
    assert anchored[1] < clean[1] - 0.5
    assert anchored[2] < clean[2] / 2


def test_siblings_in_view_are_not_repeated_where_they_lost(valley: Landscape) -> None:
    parent = (2, 3, 1, 1)
    losses = frozenset(point for point in valley.seconds if point[0] in (1, 3))
    history = History(parent, losses, Memory.BOTH)
    blind = History(parent, losses, Memory.PARENT)

    def repeated(one: History) -> float:
        made = [propose(MODEL, valley, one, knowledge=False, rng=Random(seed)) for seed in range(1500)]
        return mean(point in losses for point in made if point is not None)

    assert repeated(history) < 0.5 * repeated(blind)


def test_good_judgement_finds_faster_kernels_than_poor(valley: Landscape) -> None:
    def share(error: float) -> float:
        model = evolve(MODEL, ideas=4, misjudgement=error)
        history = History((5, 0, 3, 1))
        made = [propose(model, valley, history, knowledge=False, rng=Random(seed)) for seed in range(800)]
        return mean(valley.share(point) for point in made if point is not None)

    assert share(0.01) > 1.3 * share(10.0)


def test_a_rewrite_changes_one_thing_a_little_and_a_draft_changes_much(valley: Landscape) -> None:
    parent = (3, 2, 2, 1)
    assert changes(lambda rng: rewrite(valley, parent, rng), parent)[:2] == (0.0, 1.0)
    far = changes(lambda rng: draft(evolve(MODEL, draft_reach=1.0), valley, parent, knowledge=False, rng=rng), parent)
    assert far[1] > 2.0


def test_a_landscape_knows_its_optimum_its_failures_and_its_cells(valley: Landscape) -> None:
    assert valley.right[0] == (2, 3, 1, 0)
    assert valley.share((2, 3, 1, 0)) == 1.0
    assert valley.share((5, 0, 0, 2)) == 0.0
    assert valley.describe()["fell"] == 5 * 4
    assert len({cell_index(valley.cell(point)) for point in valley.seconds}) > 20
    starts = {valley.start(seed) for seed in range(30)}
    assert len(starts) > 10
    assert max(valley.share(start) for start in starts) < 0.5


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("memory", MEMORIES)
def test_the_same_seed_gives_the_same_run_and_the_best_never_falls(valley: Landscape, policy: str, memory: str) -> None:
    arm = Arm(policy, memory, restarts=8)
    one, two, other = (simulate(valley, arm, seed, 30) for seed in (3, 3, 4))
    assert one == two != other
    assert len(one.best) == 31
    assert list(one.best) == sorted(one.best)
    assert one.best[0] == one.start == valley.share(valley.start(3))
    assert one.best[-1] > one.start


def test_drafts_come_first_and_cost_what_a_model_costs(valley: Landscape) -> None:
    assert simulate(valley, Arm(), 0, DRAFTS).dollars == pytest.approx(DRAFTS * MODEL.dollars, rel=0.3)
    assert simulate(valley, Arm(proposer="rewriting"), 0, 20).dollars == 0.0
    model, mixed = (simulate(valley, Arm(proposer=name), 0, 60) for name in ("model", "mixed"))
    assert 0.0 < mixed.dollars < model.dollars


def test_a_run_with_nothing_left_to_try_keeps_its_best_to_the_end() -> None:
    points: dict[Point, float | None] = {(0,): 2e-6, (1,): 1e-6}
    trace = simulate(Landscape("two", "made up", (2,), (False,), points), Arm(proposer="rewriting"), 0, 25)
    assert trace.best[1:] == (1.0,) * 25


def small(valley: Landscape) -> tuple[list[Any], Settings]:
    study = Study("small", {"a": Arm("greedy", "none"), "b": Arm("beam", "both")})
    settings = Settings(evaluations=20, seeds=3)
    return tasks([study], [valley, evolve(valley, name="other")], settings), settings


def test_a_stopped_ablation_goes_on_where_it_was(valley: Landscape, tmp_path: Path) -> None:
    todo, _ = small(valley)
    landscapes = [valley, evolve(valley, name="other")]
    state = tmp_path / "kept" / "state.jsonl"
    whole = run_tasks(todo, landscapes, state=state, processes=1, quiet=True)
    lines = state.read_text().splitlines()
    assert len(lines) == len(todo) == 4
    state.write_text("\n".join(lines[:2]) + "\n" + lines[2][:40])  # killed while it wrote the third
    again = run_tasks(todo, landscapes, state=state, processes=1, quiet=True)
    assert again == whole
    assert state.read_text().splitlines()[3:] == lines[2:]
    assert run_tasks(todo, landscapes, state=state, processes=1, quiet=True) == whole
    assert len(state.read_text().splitlines()) == 5


def test_two_processes_give_what_one_gives(valley: Landscape) -> None:
    todo, _ = small(valley)
    landscapes = [valley, evolve(valley, name="other")]
    one = run_tasks(todo, landscapes, state=None, processes=1, quiet=True)
    assert run_tasks(todo, landscapes, state=None, processes=2, quiet=True) == one


def test_an_interval_holds_the_mean_and_narrows_with_the_sample() -> None:
    rng = Random(1)
    few, many = ([rng.gauss(5.0, 1.0) for _ in range(count)] for count in (10, 1000))
    narrow, wide = mean_of(many), mean_of(few)
    assert wide.low < wide.value < wide.high
    assert narrow.high - narrow.low == pytest.approx(2 * 1.96 / 1000**0.5, rel=0.15)
    assert narrow.low < 5.0 < narrow.high
    assert paired([1.0, 2.0, 3.0], [0.5, 1.5, 2.5]).record() == [0.5, 0.5, 0.5]
    assert paired([1.0, 2.0], [1.0, 2.0]).text(signed=True) == "+.000 [+.000, +.000]"


def test_the_studies_cover_what_there_is() -> None:
    factorial = STUDIES["factorial"].arms.values()
    assert {arm.policy for arm in factorial} == set(POLICIES)
    assert {arm.memory for arm in factorial} == set(MEMORIES)
    assert len(factorial) == 2 * len(POLICIES) * len(MEMORIES)
    assert len(set(VARIATIONS.values())) == len(VARIATIONS)


def test_the_command_runs_without_recorded_spaces_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, state = tmp_path / "result.json", tmp_path / "state.jsonl"
    options = ["--seeds", "2", "--evaluations", "20", "--spaces", str(tmp_path / "none"), "--state", str(state)]
    status = search_ablation.main(["--only", "proposers", *options, "--json", str(found)])
    out, err = capsys.readouterr()
    assert status == 0
    assert "skipped: no T4 files" in err
    assert "| `mixed` |" in out
    result = json.loads(found.read_text())
    assert list(result["landscapes"]) == ["matmul_mtia2i"]
    assert "no language model was asked" in result["what"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "1"], "at least 2 seeds"),
        (["--page", "--json", "nowhere.json"], "nowhere.json is not there"),
    ],
)
def test_what_cannot_be_run_is_said_in_words(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search_ablation.main(options) == 2
    assert message in capsys.readouterr().err


def test_tables_go_between_the_marks_of_a_page_and_nowhere_else() -> None:
    page = f"before\n{search_ablation.BEGIN}\nold\n{search_ablation.END}\nafter\n"
    new = written_into(page, "new\n")
    assert written_into(new, "new\n") == new
    assert new.startswith("before\n")
    assert new.endswith("\nafter\n")
    assert "old" not in new
    with pytest.raises(KernelEvolveError, match="the page has no lines"):
        written_into("a page", "new")


def test_the_page_and_the_picture_are_those_of_the_kept_result() -> None:
    result = json.loads(search_ablation.RESULT.read_text(encoding="utf-8"))
    page = search_ablation.PAGE.read_text(encoding="utf-8")
    assert written_into(page, tables(result)) == page
    title = search_ablation.title(result)
    drawn = panels_svg(result["settings"]["checkpoints"], curves_of(result), title=title)
    assert search_ablation.PICTURE.read_text(encoding="utf-8") == drawn


def test_the_kept_table_of_mtia_is_what_its_machine_model_says() -> None:
    pytest.importorskip("triton")
    constants = {"TILE_M": 128, "TILE_N": 128, "TILE_K": 64, "PROGRAMS": 32}
    place = 0
    for name, values in mtia.FAMILY.items():
        place = place * len(values) + (values.index(constants[name]) if name in constants else 0)
    options = 18
    assert mtia.measure_family(constants) == mtia.read_family()[place : place + options]


def test_mtia_s_landscape_has_every_member_of_the_family() -> None:
    landscape = mtia_landscape()
    assert len(landscape.seconds) == 3456
    assert landscape.sizes == (4, 4, 4, 3, 3, 3, 2)
    assert landscape.describe()["origin"].startswith("estimated")
