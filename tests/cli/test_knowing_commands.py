"""``kernelevolve knowledge …``: pages and lessons on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from kernelevolve.cli.knowing import knowledge_app
from kernelevolve.cli.output import Exit
from kernelevolve.errors import KernelEvolveError
from kernelevolve.knowledge import Library
from kernelevolve.store import Lesson, Store, sqlite_url

APP = typer.Typer()
APP.add_typer(knowledge_app, name="knowledge")
PAGE = """---
title: How zebras tile
kind: guidance
languages: [opencl]
bottleneck: [spilling]
sources: [https://example.org]
---
# How zebras tile

Stripes of 8.
"""


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    path = tmp_path / "own" / "guidance" / "zebra.md"
    path.parent.mkdir(parents=True)
    path.write_text(PAGE)
    return tmp_path / "own"


@pytest.fixture
def url(tmp_path: Path) -> str:
    made = sqlite_url(tmp_path / "s.db")
    with Store.open(made) as store:
        store.lessons.add(
            Lesson("vectorise: 1.31x", "softmax", "opencl", "cpu", "opencl", "memory-bound", "r1", {"gains": [1.31]})
        )
        store.lessons.add(Lesson("unroll: slower", "matmul", "mtia", "mtia2i", "triton"))
        store.lessons.change(2, active=False)
    return made


def call(*arguments: Any) -> tuple[int, str, str]:
    """Exit status, standard output, standard error. An error that `kernelevolve` would print is raised."""
    result = CliRunner().invoke(APP, ["knowledge", *map(str, arguments)])
    if isinstance(result.exception, KernelEvolveError):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def document(*arguments: Any) -> Any:
    status, out, _ = call(*arguments, "--json")
    assert status == Exit.DONE
    return json.loads(out)


# --- pages


def test_list_prints_the_index_of_what_is_named(pages: Path) -> None:
    status, out, _ = call("list", "--knowledge", pages, "--language", "opencl", "--bottleneck", "spilling")
    assert status == Exit.DONE
    assert "- `guidance/zebra`: How zebras tile (opencl; spilling)" in out
    assert "zebra" not in call("list", "--knowledge", pages, "--language", "triton")[1]
    assert len(document("list")["pages"]) == len(Library.load())


def test_list_knows_a_chip_s_pages_and_its_family_s() -> None:
    found = document("list", "--hardware", "sm_90")["pages"]
    assert all(not page["hardware"] or {"nvidia", "sm_90"} & set(page["hardware"]) for page in found)
    assert any("nvidia" in page["hardware"] for page in found)


def test_search_prints_the_best_first_and_says_no_where_nothing_fits(pages: Path) -> None:
    status, out, _ = call("search", "zebra stripes", "--knowledge", pages)
    assert (status, out.splitlines()[0].split()[1]) == (Exit.DONE, "guidance/zebra:")
    found = document("search", "tile", "--knowledge", pages, "--limit", "3")
    assert len(found["matches"]) <= 3
    assert [one["score"] for one in found["matches"]] == sorted(
        (one["score"] for one in found["matches"]), reverse=True
    )
    status, out, err = call("search", "quagga", "--knowledge", pages)
    assert (status, out) == (Exit.NO, "")
    assert "has a word of 'quagga'" in err


def test_show_prints_a_page_with_its_sources(pages: Path) -> None:
    status, out, err = call("show", "zebra", "--knowledge", pages)
    assert status == Exit.DONE
    assert out == "# How zebras tile\n\nStripes of 8.\n\nSources:\n- https://example.org\n"
    assert "guidance/zebra (guidance; opencl; spilling)" in err
    shown = document("show", "guidance/zebra", "--knowledge", pages)
    assert (shown["title"], shown["bottleneck"]) == ("How zebras tile", ["spilling"])
    assert shown["file"] == str(pages / "guidance" / "zebra.md")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", "no-such-page"), "unknown page 'no-such-page'"),
        (("list", "--language", "cuda"), "unknown language 'cuda'; there is opencl, triton, numba"),
        (("list", "--kind", "guide"), "unknown kind 'guide'; there is constraint, guidance.*Did you mean 'guidance'"),
        (("list", "--bottleneck", "slow"), "unknown bottleneck 'slow'"),
        (("search", "x", "--phase", "end"), "unknown phase 'end'; there is draft"),
        (("list", "--hardware", "gpu"), "unknown hardware 'gpu'"),
        (("list", "--knowledge", "/no/such/folder"), "no folder of knowledge at /no/such/folder"),
    ],
)
def test_what_does_not_exist_is_one_sentence(arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(KernelEvolveError, match=says):
        call(*arguments)


# --- lessons


def test_lessons_are_listed_without_the_silenced_ones(url: str) -> None:
    status, out, _ = call("lessons", "--store", url)
    assert status == Exit.DONE
    assert "softmax, opencl: cpu, opencl, memory-bound, run r1\n      vectorise: 1.31x" in out
    assert "unroll" not in out
    assert "mtia: mtia2i, triton, by hand, switched off" in call("lessons", "--store", url, "--all")[1]
    assert [one["id"] for one in document("lessons", "--store", url, "--all")["lessons"]] == [1, 2]
    assert document("lessons", "--store", url, "-p", "matmul", "--all")["lessons"][0]["text"] == "unroll: slower"
    assert document("lessons", "--store", url, "-a", "mtia")["lessons"] == []


def test_a_store_without_lessons_says_so(tmp_path: Path) -> None:
    status, out, err = call("lessons", "--store", sqlite_url(tmp_path / "new.db"))
    assert (status, out) == (Exit.DONE, "")
    assert "no lessons yet" in err


def test_a_lesson_is_reworded_silenced_and_brought_back(url: str) -> None:
    assert call("lesson", "edit", 1, "shorter", "--store", url)[1] == "shorter\n"
    assert document("lesson", "off", 1, "--store", url)["active"] is False
    assert document("lessons", "--store", url)["lessons"] == []
    back = document("lesson", "on", 1, "--store", url)
    assert (back["text"], back["active"], back["data"]) == ("shorter", True, {"gains": [1.31]})


def test_a_lesson_is_removed_for_good(url: str) -> None:
    assert "removed lesson 1" in call("lesson", "remove", 1, "--store", url)[2]
    assert [one["id"] for one in document("lessons", "--store", url, "--all")["lessons"]] == [2]


def test_a_lesson_is_added_by_hand(url: str) -> None:
    made = document("lesson", "add", " pad rows ", "-p", "*", "-l", "triton", "-b", "wrong-edges", "--store", url)
    assert (made["text"], made["problem"], made["run"], made["active"]) == ("pad rows", "*", "", True)
    assert document("lessons", "--store", url)["lessons"][-1]["id"] == made["id"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("lesson", "off", 9), "there is no lesson 9"),
        (("lesson", "edit", 1, "  "), "a lesson has a text"),
        (("lesson", "add", "", "-p", "softmax"), "a lesson has a text"),
        (("lesson", "add", "x", "-p", "softmax", "-b", "slow"), "unknown bottleneck 'slow'"),
        (("lesson", "add", "x", "-p", "softmax", "-l", "cuda"), "unknown language 'cuda'"),
    ],
)
def test_a_lesson_that_cannot_be_is_one_sentence_and_changes_nothing(
    url: str, arguments: tuple[Any, ...], says: str
) -> None:
    before = document("lessons", "--all", "--store", url)
    with pytest.raises(KernelEvolveError, match=says):
        call(*arguments, "--store", url)
    assert document("lessons", "--all", "--store", url) == before


def test_a_lesson_without_a_number_is_a_usage_error(url: str) -> None:
    assert call("lesson", "off", "first", "--store", url)[0] == Exit.USAGE
    assert call("lesson", "add", "x", "--store", url)[0] == Exit.USAGE


def test_lessons_are_exported_as_markdown_and_with_their_numbers(url: str, tmp_path: Path) -> None:
    target = tmp_path / "lessons.md"
    status, out, err = call("export", "--all", "--to", target, "--store", url)
    assert (status, out) == (Exit.DONE, "")
    assert f"wrote 2 lessons to {target}" in err
    text = target.read_text()
    assert text == call("export", "--all", "--store", url)[1]
    assert "## softmax on opencl: cpu\n- vectorise: 1.31x (run r1, lesson 1)" in text
    assert "- unroll: slower (by hand, lesson 2, switched off)" in text
    exported = document("export", "--store", url)
    assert [one["data"] for one in exported["lessons"]] == [{"gains": [1.31]}]
    with pytest.raises(KernelEvolveError, match="cannot write"):
        call("export", "--to", tmp_path / "none" / "x.md", "--store", url)
