"""Finding pages: facets, search, and what a proposal is shown."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve import registry
from kernelevolve.accelerator import Device, Target
from kernelevolve.errors import UnknownNameError
from kernelevolve.knowledge import (
    Bottleneck,
    Diagnosis,
    Kind,
    Library,
    Page,
    Phase,
    hardware_names,
    parse_page,
    retrieve,
)
from kernelevolve.knowledge.hardware import family_of

MakeLibrary = Callable[[Mapping[str, Mapping[str, str]]], Library]


@pytest.fixture(scope="session")
def library(page_text: Callable[..., str]) -> MakeLibrary:
    """A library of pages, given as their fields by id; ``body`` is the text."""

    def make(pages: Mapping[str, Mapping[str, str]]) -> Library:
        made = [
            parse_page(page_text(**{"body": "Text.", "title": name, **fields}), name) for name, fields in pages.items()
        ]
        return Library({page.id: page for page in sorted(made, key=lambda page: page.id)})

    return make


def ids(pages: tuple[Page, ...]) -> list[str]:
    return [page.id for page in pages]


# --- hardware


@pytest.mark.parametrize(
    ("accelerator", "target", "names"),
    [
        ("triton-cuda", "cuda:sm_90", {"nvidia", "sm_90", "cuda", "triton-cuda"}),
        ("numba-cuda", "cuda:sm_100", {"nvidia", "sm_100", "cuda", "numba-cuda"}),
        ("triton-rocm", "hip:gfx942", {"amd", "gfx942", "hip", "triton-rocm"}),
        ("mtia", "mtia:mtia2i", {"mtia", "mtia2i"}),
        ("npu", "npu:v2", {"npu", "v2"}),
    ],
)
def test_a_device_answers_to_its_family_and_its_chip(
    h100: Device, accelerator: str, target: str, names: set[str]
) -> None:
    assert hardware_names(evolve(h100, accelerator=accelerator, target=Target(target))) == names


def test_opencl_is_called_by_what_runs_it(cpu: Device) -> None:
    assert hardware_names(cpu) == {"opencl", "opencl-cpu"}
    discrete = evolve(cpu, host_threads=None)
    assert hardware_names(discrete) == {"opencl"}
    assert hardware_names(evolve(discrete, name="NVIDIA T4")) == {"opencl", "nvidia"}
    assert hardware_names(evolve(discrete, description={"vendor": "Advanced Micro Devices"})) == {"opencl", "amd"}


def test_every_installed_device_has_a_family_that_pages_name() -> None:
    named = {
        "triton-cuda": "nvidia",
        "numba-cuda": "nvidia",
        "triton-rocm": "amd",
        "opencl": "opencl-cpu",
        "mtia": "mtia",
    }
    for name, family in named.items():
        for one in registry.accelerator(name).devices():
            assert family in hardware_names(one)


def test_a_chip_s_family_is_known_by_its_name() -> None:
    assert [family_of(name) for name in ("sm_90", "sm_90a", "gfx90a", "mtia300", "nvidia", "sm90")] == [
        "nvidia", "nvidia", "amd", "mtia", None, None,
    ]  # fmt: skip


# --- facets

FACETS = {
    "guidance/any": {},
    "guidance/triton": {"languages": "[triton]"},
    "hardware/nvidia/architecture/family": {"kind": "architecture", "hardware": "[nvidia]"},
    "hardware/nvidia/architecture/ninety": {"kind": "architecture", "hardware": "[sm_90]"},
    "hardware/nvidia/architecture/eighty": {"kind": "architecture", "hardware": "[sm_80]"},
    "hardware/amd/architecture/family": {"kind": "architecture", "hardware": "[amd]"},
    "guidance/memory": {"bottleneck": "[memory-bound]", "phase": "[improve]"},
}


def test_a_page_holds_for_what_it_names_and_for_all_where_it_names_nothing(library: MakeLibrary) -> None:
    made = library(FACETS)
    assert ids(made.select()) == sorted(FACETS)
    assert ids(made.select(kind=Kind.GUIDANCE, language="opencl")) == ["guidance/any", "guidance/memory"]
    chip = {"nvidia", "sm_90", "cuda"}
    assert ids(made.select(kind=Kind.ARCHITECTURE, hardware=chip)) == [
        "hardware/nvidia/architecture/family",
        "hardware/nvidia/architecture/ninety",
    ]
    assert "guidance/memory" not in ids(made.select(bottleneck=Bottleneck.SPILLING))
    assert "guidance/memory" not in ids(made.select(phase=Phase.DRAFT))
    assert ids(made.select(kind=Kind.GUIDANCE, bottleneck=Bottleneck.MEMORY_BOUND, phase=Phase.IMPROVE)) == [
        "guidance/any", "guidance/memory", "guidance/triton",
    ]  # fmt: skip


def test_a_family_alone_finds_the_pages_on_all_its_chips(library: MakeLibrary) -> None:
    found = ids(library(FACETS).select(kind=Kind.ARCHITECTURE, hardware={"nvidia"}))
    assert found == [f"hardware/nvidia/architecture/{name}" for name in ("eighty", "family", "ninety")]


def test_a_device_without_pages_gets_those_on_everything(library: MakeLibrary) -> None:
    assert ids(library(FACETS).select(kind=Kind.ARCHITECTURE, hardware={"npu"})) == []
    assert ids(library(FACETS).select(kind=Kind.GUIDANCE, hardware={"npu"})) != []


# --- search


def test_a_search_finds_words_in_titles_and_texts_whatever_their_ending(library: MakeLibrary) -> None:
    made = library(
        {
            "guidance/spill": {"title": "Avoiding spills", "body": "Use smaller tiles."},
            "guidance/mention": {"title": "Warps", "body": "Registers may spill where a tile is large. " * 2},
            "guidance/other": {"title": "Launches", "body": "Nothing of the kind."},
        }
    )
    for query in ("spilling", "SPILLED", "spill_store"):
        assert [match.page.id for match in made.search(query)] == ["guidance/spill", "guidance/mention"], query
    assert made.search("quaternion") == made.search("") == made.search("the of and") == ()
    assert [match.page.id for match in made.search("quaternion launch")] == ["guidance/other"]


def test_equals_come_in_the_order_of_their_ids(library: MakeLibrary) -> None:
    made = library({f"guidance/{name}": {"title": "Same", "body": "Same text."} for name in "fde"})
    assert [match.page.id for match in made.search("same")] == ["guidance/d", "guidance/e", "guidance/f"]
    assert [match.page.id for match in made.search("same", limit=2)] == ["guidance/d", "guidance/e"]
    assert len({match.score for match in made.search("same")}) == 1


def test_a_search_stays_among_the_pages_that_are_given(library: MakeLibrary) -> None:
    made = library({"guidance/a": {"body": "tile"}, "guidance/b": {"body": "tile tile"}})
    assert [match.page.id for match in made.search("tile", among=made.select()[:1])] == ["guidance/a"]
    assert made.search("tile", among=()) == ()


def test_an_empty_library_finds_nothing(library: MakeLibrary) -> None:
    assert library({}).search("tile") == ()


def test_searching_prints_nothing(library: MakeLibrary) -> None:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        library(FACETS).search("guidance")
    assert (out.getvalue(), err.getvalue()) == ("", "")


@given(order=st.permutations(sorted(FACETS)), query=st.sampled_from(["nvidia", "memory triton", "family", "text"]))
def test_the_order_in_which_pages_came_changes_nothing(library: MakeLibrary, order: list[str], query: str) -> None:
    made = library({name: FACETS[name] for name in order})
    assert made.search(query) == library(FACETS).search(query)


def test_a_page_is_found_by_its_id_or_by_the_end_of_it(library: MakeLibrary) -> None:
    made = library(FACETS)
    for name in ("hardware/nvidia/architecture/ninety", "hardware/nvidia/architecture/ninety.md", "ninety"):
        assert made.page(name).id == "hardware/nvidia/architecture/ninety"
    with pytest.raises(UnknownNameError, match="hardware/amd/architecture/family, hardware/nvidia/architecture/family"):
        made.page("family")
    with pytest.raises(UnknownNameError, match="unknown page 'memori'"):
        made.page("memori")


def test_the_index_lists_every_page_once_under_its_folder(library: MakeLibrary) -> None:
    index = library(FACETS).index()
    assert [index.count(f"`{name}`") for name in FACETS] == [1] * len(FACETS)
    assert "## hardware/nvidia/architecture\n- `hardware/nvidia/architecture/eighty`" in index
    assert "(memory-bound; improve)" in index


# --- retrieval

SOFTMAX = registry.problem("softmax")
SPILLING = Diagnosis(Bottleneck.SPILLING, "It spills.", ("spill", "registers"))


def test_constraints_come_always_and_the_diagnosis_chooses_the_rest(library: MakeLibrary, h100: Device) -> None:
    made = library(
        {
            "constraints/all": {"kind": "constraint"},
            "constraints/opencl": {"kind": "constraint", "languages": "[opencl]"},
            "constraints/memory": {"kind": "constraint", "bottleneck": "[memory-bound]"},
            "guidance/named": {"bottleneck": "[spilling]", "body": "Nothing in common."},
            "guidance/words": {"body": "Registers that spill."},
            "guidance/else": {"body": "Something."},
            "guidance/memory": {"bottleneck": "[memory-bound]", "body": "Registers spill spill spill."},
            "hardware/amd/debugging/spill": {"kind": "debugging", "hardware": "[amd]", "bottleneck": "[spilling]"},
        }
    )
    found = ids(retrieve(made, SPILLING, language="triton", device=h100, problem=SOFTMAX, limit=2))
    assert found == ["constraints/all", "constraints/memory", "guidance/named", "guidance/words"]
    everything = ids(retrieve(made, SPILLING, language="triton", device=h100, problem=SOFTMAX, limit=10))
    assert everything == [*found, "guidance/else"]


def test_what_a_page_names_raises_its_rank(library: MakeLibrary, h100: Device) -> None:
    fields = {"body": "Same."}
    made = library(
        {
            "guidance/plain": fields,
            "guidance/problem": {**fields, "problems": "[softmax]"},
            "guidance/chip": {**fields, "hardware": "[sm_90]"},
            "guidance/language": {**fields, "languages": "[triton]"},
        }
    )
    found = ids(retrieve(made, SPILLING, language="triton", device=h100, problem=SOFTMAX))
    assert found[0] == "guidance/problem"
    assert found[-1] == "guidance/plain"


def test_a_diagnosis_that_says_nothing_excludes_nothing(library: MakeLibrary, h100: Device) -> None:
    made = library({"guidance/a": {"bottleneck": "[memory-bound]"}, "guidance/b": {}})
    for bottleneck in (Bottleneck.CORRECT, Bottleneck.UNKNOWN):
        found = retrieve(made, Diagnosis(bottleneck, ""), language="triton", device=h100, problem=SOFTMAX)
        assert ids(found) == ["guidance/a", "guidance/b"]


def test_a_phase_excludes_pages_for_others(library: MakeLibrary, h100: Device) -> None:
    made = library({"guidance/draft": {"phase": "[draft]"}, "guidance/repair": {"phase": "[repair]"}})
    found = retrieve(made, SPILLING, language="triton", device=h100, problem=SOFTMAX, phase=Phase.REPAIR)
    assert ids(found) == ["guidance/repair"]


@given(budget=st.integers(0, 3000), limit=st.integers(0, 6))
def test_a_budget_bounds_all_but_the_constraints(library: MakeLibrary, h100: Device, budget: int, limit: int) -> None:
    sizes = {"a": 100, "b": 900, "c": 300, "d": 50}
    made = library(
        {
            "constraints/rule": {"kind": "constraint", "body": "x" * 200},
            **{f"guidance/{name}": {"body": "y" * size} for name, size in sizes.items()},
        }
    )
    found = retrieve(made, SPILLING, language="triton", device=h100, problem=SOFTMAX, limit=limit, budget_chars=budget)
    rule, *others = found
    assert rule.id == "constraints/rule"
    assert len(others) <= limit
    assert not others or sum(len(page.text) for page in found) <= budget
    left_out = [page for page in made.select() if page not in found]
    room = budget - sum(len(page.text) for page in found)
    assert len(others) == limit or all(len(page.text) > room for page in left_out)


# --- the built-in pages


@pytest.mark.parametrize(
    ("query", "word"),
    [("register spills", "spill"), ("odd sizes mask tail", "mask"), ("race between work-items barrier", "barrier")],
)
def test_built_in_pages_answer_common_questions(query: str, word: str) -> None:
    best = Library.load(environment=False).search(query, limit=3)
    assert any(word in match.page.body.lower() for match in best)
