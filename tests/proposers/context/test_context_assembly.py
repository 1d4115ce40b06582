"""The context: what a proposer is told, the same bytes for the same request, and never what only checking may know."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from attrs import evolve
from context_requests import LANGUAGES, everything, lesson, relative, request, section

from kernelevolve import parse_kernel, registry
from kernelevolve.accelerator import Realm
from kernelevolve.evolution.proposal import Parent, Relation, Relative
from kernelevolve.kernel import render_kernel
from kernelevolve.knowledge import Library
from kernelevolve.outcome import Outcome
from kernelevolve.proposers.context import assemble, markdown, render_json, render_markdown
from kernelevolve.proposers.context.telling import MOST, UNPAIRED
from kernelevolve.store import Memory
from kernelevolve.testing import samples

# --- stable and deterministic


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_request_gives_the_same_bytes(language: str, library: Library) -> None:
    assert everything(request(language=language), library) == everything(request(language=language), library)


def test_the_stable_part_does_not_change_with_what_a_proposal_is_about(library: Library) -> None:
    """Parents, history, lessons, memory, seeds, drafts and repairs all belong to the changing part."""
    problem = registry.problem("softmax")
    failed = Parent(7, parse_kernel(samples.GOOD), Outcome.WRONG_RESULT, 0.0, message="wrong")
    others = [
        request(seed=99, operator="other"),
        request(parents=(failed,)),
        request(parents=()),
        request(draft=True, memory=Memory.BOTH),
        request(relatives=(relative(3),), lessons=(lesson("tiles help"),)),
    ]
    stable = markdown(assemble(request(), library=library).stable)
    for other in others:
        assert markdown(assemble(other, library=library).stable) == stable
    assert problem.name in stable


def test_element_types_and_facts_come_in_one_order_in_every_process() -> None:
    text = section(request(), "hardware")
    types = re.search(r"computes with (.*)", text)
    assert types
    assert types[1].split(", ") == sorted(types[1].split(", "))


def test_markdown_begins_with_the_stable_part_and_json_holds_all_of_both(library: Library) -> None:
    context = assemble(request(), library=library)
    assert render_markdown(context).startswith(markdown(context.stable).rstrip("\n"))
    document = json.loads(render_json(context))
    assert [one["key"] for one in document["stable"]] == [one.key for one in context.stable]
    assert [one["text"] for one in document["changing"]] == [one.text for one in context.changing]
    assert document["about"]["problem"] == "softmax"
    assert parse_kernel(document["about"]["parents"][0]["kernel"]).language == "triton"


# --- what is told


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_a_guide_whose_example_rules_hold(language: str) -> None:
    text = section(request(language=language), "language")
    assert len(text) > 500
    assert registry.language(language).comment in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_example_of_the_kernel_file_is_in_the_language_that_is_asked_for(language: str) -> None:
    block = re.search(r"```(?:python|c)\n(.*?)```", section(request(language=language), "kernel-file"), re.DOTALL)
    assert block
    lines = [re.sub(r"\s{2,}# .*", "", line) for line in block[1].splitlines()]
    kernel = parse_kernel("\n".join(lines))
    assert kernel.language == language
    assert list(kernel.tunables) == ["BLOCK", "num_warps" if language == "triton" else "LANES"]
    assert list(kernel.scratch) == ["partial"]
    assert bool(kernel.launches[0].block) is (language != "triton")


def test_half_precision_is_told_of_only_where_the_device_has_it() -> None:
    made = request(language="opencl")
    half = made.device.dtypes | {"float16"}
    with_it, without = (evolve(made, device=evolve(made.device, dtypes=one)) for one in (half, half - {"float16"}))
    assert "vload_half" in section(with_it, "language")
    text = section(without, "language")
    assert "half" not in text.replace("halves", "")
    assert "no fast-math" in text


def test_how_times_are_taken_is_told_and_what_changes_no_kernel_is_not() -> None:
    made = request(language="opencl")
    on = evolve(made.device, realm=Realm.HARDWARE, description={"vendor": "V", "platform": "P", "version": "pocl x86"})
    text = section(evolve(made, device=on), "hardware")
    assert "compare no two of them" in text
    assert "paired ratio to the fastest" in text
    assert "version: pocl x86" in text
    assert not {"- vendor: V", "- platform: P"} & set(text.splitlines())


def test_a_language_without_a_guide_still_gets_its_prefix() -> None:
    seed = Parent(0, parse_kernel(samples.GOOD), Outcome.CORRECT, 1.0)
    made = evolve(request(), language="replay", parents=(seed,))
    assert "prefix" in section(made, "language")


def test_the_hardware_page_has_units_peaks_and_the_realm() -> None:
    on = registry.accelerator("reference").devices()[0]
    text = section(evolve(request(), device=on), "hardware")
    assert "64 GB/s" in text
    assert "48 KiB local" in text
    assert "16 operations per byte" in text
    assert "emulated" in text
    assert "nothing is timed" not in text
    interpreted = section(evolve(request(), device=evolve(on, realm=Realm.INTERPRETED, peaks=None)), "hardware")
    assert "no time exists" in interpreted
    assert "no peaks are known" in interpreted


def test_a_parent_is_shown_with_its_best_configuration_first() -> None:
    tuned = Parent(4, parse_kernel(samples.TUNED), Outcome.CORRECT, 2.5, configuration={"LANES": 4, "DEPTH": 2})
    text = section(request(parents=(tuned,)), "parent")
    assert "2.5 × as fast as the kernel that the run started from" in text
    assert "LANES = [4, 1, 2, 8]" in text
    assert "| tunable | best found | offered |" in text
    assert "| `LANES` | 4 | 1, 2, 4, 8 |" in text


def test_nothing_is_called_best_where_one_configuration_was_measured() -> None:
    once = Parent(4, parse_kernel(samples.TUNED), Outcome.CORRECT, 2.5)
    assert "| tunable | measured with | offered |" in section(request(parents=(once,)), "parent")
    tuned = evolve(once, profile={"configurations": 3})
    text = section(request(parents=(tuned,)), "parent")
    assert "| tunable | best found | offered |" in text
    assert "configurations" not in text


def test_measurements_are_shown_with_their_clock_and_interval() -> None:
    label = registry.problem("softmax").workloads[-1].label
    profile = {
        "bottleneck": "200 GB/s",
        "rates": {label: {"bytes_per_second": 2e11, "compulsory_bytes": 1e8}},
        "resources": {"softmax_rows": {"registers": 40}},
        "timings": [
            {"workload": label, "source": "device-event", "paired": {"ratio": 1.25, "low": 1.2, "high": 1.31}},
            {"workload": "rows=3,cols=7", "source": "device-event", "paired": None},
        ],
    }
    shown = Parent(1, request().parents[0].kernel, Outcome.CORRECT, 1.25, message="200 GB/s", profile=profile)
    text = section(request(parents=(shown,)), "parent")
    assert text.count("200 GB/s") == 1
    assert f"`{label}`: 500 µs, 1.25 × the fastest kernel of that moment (1.2 to 1.31, paired) (device-event)" in text
    assert '"registers": 40' in text
    assert "rows=3" not in text


def test_a_time_that_was_not_taken_side_by_side_is_marked() -> None:
    label = registry.problem("softmax").workloads[-1].label
    profile = {
        "rates": {label: {"bytes_per_second": 2e11, "compulsory_bytes": 1e8}},
        "timings": [{"workload": label, "source": "device-event", "paired": None}],
    }
    alone = Parent(1, request().parents[0].kernel, Outcome.CORRECT, 0.5, profile=profile)
    text = section(request(parents=(alone,)), "parent")
    assert f"`{label}`: 500 µs, {UNPAIRED} (device-event)" in text
    assert f"started from ({UNPAIRED})." in text
    for exact in ({**profile, "anchor": True}, {"timings": [{"source": "emulated-cycles"}]}):
        assert "unpaired" not in section(request(parents=(evolve(alone, profile=exact),)), "parent")
    line = section(request(relatives=(relative(1, gain=2.0, paired=False),)), "history")
    assert line == f"- ancestor 1: a change → 2 × its parent, 1 × the start ({UNPAIRED})"


def test_history_has_predictions_beside_measurements() -> None:
    told = (
        relative(1, gain=1.3, fitness=1.3, predicted=2.0, note="wider loads"),
        relative(
            2,
            outcome=Outcome.COMPILE_ERROR,
            fitness=0.0,
            gain=None,
            message="no such function",
            relation=Relation.SIBLING,
        ),
        relative(0, operator="seed", note="what the run starts from"),
    )
    lines = section(request(relatives=told), "history").splitlines()
    assert lines[0] == "- ancestor 1: wider loads → 1.3 × its parent, 1.3 × the start; 2 × was predicted"
    assert lines[1] == "- sibling 2: a change → COMPILE_ERROR (no such function)"


def test_operators_are_named_only_where_there_are_several() -> None:
    text = section(request(relatives=(relative(1), relative(2, operator="rewrite"))), "history")
    assert text.splitlines()[0].startswith("- ancestor 1 [model]: ")


def test_a_draft_is_told_what_the_other_drafts_are_and_not_what_came_of_them() -> None:
    standard = {"relation": Relation.DRAFT, "outcome": None, "fitness": 0.0}
    others = (
        relative(1, note="one item per row", **standard),
        relative(None, note="a tree in local memory", **standard),
        relative(None, note="", **standard),
    )
    made = request(draft=True, relatives=others)
    assert section(made, "history").splitlines() == [
        "- draft 1: one item per row",
        "- waits for its results: a tree in local memory",
        "- 1 more, of which nothing was said, or which is being written",
    ]
    assert "another way than each of the drafts above" in section(made, "wanted")
    assert "drafts above" not in section(request(draft=True), "wanted")


@pytest.mark.parametrize(
    ("told", "said"),
    [((), False), ((relative(0, operator="seed"),), False), ((relative(0), relative(1)), True)],
)
def test_what_was_tried_is_pointed_at_only_where_it_is_shown(told: tuple[Relative, ...], said: bool) -> None:
    assert ("not one of those above" in section(request(relatives=told), "wanted")) is said


def test_lessons_say_where_they_come_from() -> None:
    text = section(request(lessons=(lesson("Two rows per program paid.\nTwice."),)), "lessons")
    assert text.startswith("- Two rows per program paid. Twice. [")
    assert "run r1" in text


def test_pages_fit_the_request_and_constraints_stand_in_the_stable_part(library: Library) -> None:
    context = assemble(request(), library=library)
    stable, changing = markdown(context.stable), markdown(context.changing)
    assert "No program may rely on sizes" in stable
    assert "No program may rely on sizes" not in changing
    assert "neutral `other`" in changing
    assert "neutral `other`" not in section(request(language="opencl"), "knowledge", library)
    for without in (assemble(request(knowledge=False), library=library), assemble(request())):
        assert not {"knowledge", "constraints"} & {one.key for one in (*without.stable, *without.changing)}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "faster than candidate 0"),
        ({"draft": True}, "independent first kernel"),
        ({"parents": ()}, "A first kernel in `triton`"),
    ],
)
def test_what_is_wanted_is_said_last(more: dict[str, Any], said: str) -> None:
    context = assemble(request(**more))
    assert context.changing[-1].key == "wanted"
    assert said in context.changing[-1].text


def test_a_failed_parent_is_to_be_repaired_and_its_failure_is_diagnosed() -> None:
    failed = Parent(5, request().parents[0].kernel, Outcome.COMPILE_ERROR, 0.0, message="line 7: 'foo' is not defined")
    made = request(parents=(failed,))
    assert "A repair: candidate 5 ended as COMPILE_ERROR" in section(made, "wanted")
    assert "compile-name" in section(made, "diagnosis")
    assert "'foo' is not defined" in section(made, "parent")


def test_a_second_parent_is_there_to_take_ideas_from() -> None:
    first, second = request().parents[0], Parent(9, parse_kernel(samples.GOOD), Outcome.CORRECT, 1.1)
    made = request(parents=(first, second))
    assert "Candidate 9" in section(made, "second-parent")
    assert "Candidate 9" in section(made, "wanted")


# --- size


def test_the_changing_part_is_bounded_whatever_is_put_in(library: Library) -> None:
    long = "x" * 200_000
    kernel = parse_kernel(samples.GOOD)
    huge = Parent(
        1, kernel.with_body(f"# {long}\n"), Outcome.WRONG_RESULT, 0.0, message=long, profile={"noise": [long] * 5}
    )
    made = request(
        parents=(huge, evolve(huge, candidate=2)),
        relatives=tuple(relative(n, note=long, message=long) for n in range(300)),
        lessons=tuple(lesson(long) for _ in range(100)),
    )
    text = markdown(assemble(made, library=library).changing)
    assert len(text) < 110_000
    assert "characters are left out here" in text
    assert f"The {300 - MOST} oldest are left out." in text
    assert "ancestor 299" in text


def test_a_fence_holds_whatever_the_source_holds() -> None:
    kernel = parse_kernel(samples.GOOD).with_body("# a\n```\n# escaped?\n````\n")
    text = section(request(parents=(Parent(1, kernel, Outcome.CORRECT, 1.0),)), "parent")
    inside = re.search(r"^(`{5,})python\n(.*?)^\1$", text, re.DOTALL | re.MULTILINE)
    assert inside
    assert inside[2].strip() == render_kernel(kernel).strip()
