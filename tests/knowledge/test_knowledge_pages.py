"""Pages: what a front matter may say, what is wrong with a bad one, and that every built-in page is a good one."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve import registry
from kernelevolve.knowledge import Bottleneck, Kind, Library, Page, PageError, Phase, examples_of, parse_page
from kernelevolve.knowledge.library import PAGES
from kernelevolve.knowledge.page import KINDS, LANGUAGES, MAX_LINES, MEASURED

HEADER = "---\ntitle: t\nkind: guidance\nsources: [https://example.org]\n---\n"
PageText = Callable[..., str]
ROOT = Path(__file__).resolve().parents[2]
PATHS = {path.relative_to(PAGES).with_suffix("").as_posix(): path for path in sorted(PAGES.rglob("*.md"))}


def built_in(name: str) -> Page:
    path = PATHS[name]
    return parse_page(path.read_text(encoding="utf-8"), name, origin=str(path))


# --- the built-in pages


@pytest.mark.parametrize("name", PATHS)
def test_a_built_in_page_is_in_order(name: str) -> None:
    """`parse_page` checks the front matter; the rest is what only the project can know."""
    page = built_in(name)
    folders = page.id.split("/")
    assert (folders[2] if folders[0] == "hardware" else folders[0]) in KINDS, "built-in pages stand in known folders"
    for source in page.sources:
        if source.startswith(MEASURED):
            assert (ROOT / source.removeprefix(MEASURED)).exists(), source
    for problem in (*page.problems, *(example.problem for example in examples_of(page))):
        assert registry.problem(problem).name == problem
    assert not re.search(r"/(?:home|root|work|tmp|Users)/", page.body), "no paths of a machine"


@pytest.mark.parametrize("name", PATHS)
def test_a_built_in_page_s_links_lead_somewhere(name: str) -> None:
    page = built_in(name)
    for target in re.findall(r"\[[^\]]+\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", page.body, flags=re.DOTALL)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        if path:
            assert path.endswith(".md"), target
            found = (PAGES / page.id).parent.joinpath(path).resolve()
            assert found.is_relative_to(PAGES), f"{target} leads out of the pages"
            assert found.exists(), target
        else:
            anchors = {re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
                       for line in page.body.splitlines() if line.startswith("#")}  # fmt: skip
            assert anchor in anchors, target


@pytest.mark.parametrize("name", PATHS)
def test_python_fragments_of_a_built_in_page_parse(name: str) -> None:
    for fragment in re.findall(r"^```python[^\n]*\n(.*?)^```", built_in(name).body, flags=re.DOTALL | re.MULTILINE):
        ast.parse(fragment)


def test_titles_of_built_in_pages_tell_them_apart() -> None:
    titles = [page.title for page in Library.load(environment=False).pages.values()]
    assert sorted(titles) == sorted(set(titles))


# --- parsing


def test_a_page_says_what_it_is_about(page_text: PageText) -> None:
    text = page_text(
        kind="optimization",
        languages="[triton]",
        hardware="[nvidia, sm_90]",
        bottleneck="[memory-bound, spilling]",
        phase="[improve]",
        problems="[softmax]",
        examples="problem=softmax",
    )
    page = parse_page(text, "hardware/nvidia/optimization/rows-2")
    assert page == Page(
        id="hardware/nvidia/optimization/rows-2",
        title="A title",
        kind=Kind.OPTIMIZATION,
        body="# A title\n\nText.\n",
        languages=("triton",),
        hardware=("nvidia", "sm_90"),
        bottlenecks=(Bottleneck.MEMORY_BOUND, Bottleneck.SPILLING),
        phases=(Phase.IMPROVE,),
        problems=("softmax",),
        sources=("https://example.org",),
        examples="problem=softmax",
        first_line=12,
    )
    assert page.about == "triton; nvidia, sm_90; memory-bound, spilling; improve"
    assert page.text.splitlines()[page.text.splitlines().index("# A title")] == text.splitlines()[page.first_line - 1]


def test_a_page_without_facets_is_about_everything_and_shows_its_title(page_text: PageText) -> None:
    page = parse_page(page_text("Only text."), "guidance/plain")
    assert page.about == ""
    assert page.text == "<!-- guidance/plain -->\n# A title\n\nOnly text.\n"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"title": None}, "title: .*it has 0"),
        ({"title": "x" * 101}, "title: .*it has 101"),
        ({"title": "[a, b]"}, "title: one line of text"),
        ({"kind": None}, "kind: '' is not one of constraint, guidance"),
        ({"kind": "guidanc"}, "kind: 'guidanc' .* Did you mean 'guidance'"),
        ({"kind": "constraint"}, "kind: pages in guidance/ are of kind guidance, not constraint"),
        ({"languages": "triton"}, "languages: a list of words"),
        ({"languages": "[cuda]"}, "languages: 'cuda' is not one of opencl, triton, numba"),
        ({"languages": "[1]"}, "languages: a list of words"),
        ({"hardware": "[nvida]"}, "hardware: 'nvida' .* Did you mean 'nvidia'"),
        ({"hardware": "[sm90]"}, "hardware: 'sm90'"),
        ({"bottleneck": "[memory]"}, "bottleneck: 'memory'"),
        ({"phase": "[fix]"}, "phase: 'fix' is not one of draft, improve, repair, tune"),
        ({"sources": None}, "sources: a list of https"),
        ({"sources": "[]"}, "sources: a list of https"),
        ({"sources": "['http://example.org']"}, "sources: 'http://example.org' is neither"),
        ({"tags": "[a]"}, "tags: no such field"),
        ({"language": "[triton]"}, "language: no such field.*Did you mean 'languages'"),
        ({"title": "a: b: c"}, ":2: the front matter is not YAML"),
    ],
)
def test_a_bad_front_matter_is_an_error_with_file_and_field(
    fields: dict[str, str | None], says: str, page_text: PageText
) -> None:
    with pytest.raises(PageError, match=f"^folder/page.md.*{says}"):
        parse_page(page_text(**fields), "guidance/page", origin="folder/page.md")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("# Title\n", "begins with a front matter"),
        ("", "begins with a front matter"),
        ("---\ntitle: a\n", "begins with a front matter"),
        (f"{HEADER}  \n", "no text"),
        (HEADER + "line\n" * MAX_LINES, f"less than {MAX_LINES}"),
    ],
)
def test_a_page_that_is_none_is_an_error(text: str, says: str) -> None:
    with pytest.raises(PageError, match=says):
        parse_page(text, "guidance/page")


def test_a_page_may_have_one_line_less_than_the_limit(page_text: PageText) -> None:
    lines = page_text("").count("\n")
    text = page_text("line\n" * (MAX_LINES - 1 - lines))
    assert parse_page(text, "guidance/page").body
    with pytest.raises(PageError, match="less than"):
        parse_page(text + "line\n", "guidance/page")


@pytest.mark.parametrize("name", ["Guidance/page", "guidance/a b", "guidance/é", "guidance/", "a_b", "../a"])
def test_a_page_s_path_is_plain(name: str, page_text: PageText) -> None:
    with pytest.raises(PageError, match="lower-case letters, digits and hyphens"):
        parse_page(page_text(), name)


def test_a_page_below_hardware_names_that_hardware(page_text: PageText) -> None:
    with pytest.raises(PageError, match="under hardware/amd/ names amd or a chip of it"):
        parse_page(page_text(kind="debugging", hardware="[nvidia]"), "hardware/amd/debugging/page")
    assert parse_page(page_text(kind="debugging", hardware="[gfx942]"), "hardware/amd/debugging/page")


def test_hardware_of_a_user_s_own_is_declared_by_its_folder(page_text: PageText) -> None:
    own = page_text(kind="architecture", hardware="[npu, npu-v2]")
    assert parse_page(own, "hardware/npu/architecture/units").hardware == ("npu", "npu-v2")
    with pytest.raises(PageError, match="hardware: 'npu'"):
        parse_page(page_text(hardware="[npu]"), "guidance/page")


def test_other_folders_hold_pages_of_any_kind(page_text: PageText) -> None:
    assert parse_page(page_text(kind="debugging"), "team/notes/page").kind is Kind.DEBUGGING
    assert parse_page(page_text(kind="language"), "page").kind is Kind.LANGUAGE


WORD = st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,4})?", fullmatch=True)


@given(
    title=st.text(st.characters(categories=["L", "Nd"], include_characters=" '\"#:-"), min_size=1, max_size=80).filter(
        lambda text: text == text.strip()
    ),
    kind=st.sampled_from(Kind),
    languages=st.lists(st.sampled_from(LANGUAGES), unique=True),
    bottleneck=st.lists(st.sampled_from(Bottleneck), unique=True, max_size=3),
    name=WORD,
    body=st.text(st.characters(codec="utf-8", exclude_characters="\r", exclude_categories=["Cs", "Zl", "Zp", "Cc"]))
    .map(lambda text: text.replace("---", ""))
    .filter(str.strip),
)
def test_what_is_written_is_what_is_read(
    title: str,
    kind: Kind,
    languages: list[str],
    bottleneck: list[Bottleneck],
    name: str,
    body: str,
    page_text: PageText,
) -> None:
    text = page_text(
        body,
        title="'" + title.replace("'", "''") + "'",
        kind=kind.value,
        languages=f"[{', '.join(languages)}]",
        bottleneck=f"[{', '.join(bottleneck)}]",
    )
    page = parse_page(text, f"own/{name}")
    assert (page.title, page.kind, page.languages) == (title, kind, tuple(languages))
    assert (page.bottlenecks, page.body) == (tuple(bottleneck), body)


# --- folders


def test_a_folder_of_one_s_own_is_added_and_replaces_pages_of_the_same_name(write: Callable[..., Path]) -> None:
    first = write("guidance/mine", title="first", folder="one")
    second = write("guidance/mine", title="second", folder="two")
    assert Library.load([first], environment=False).page("guidance/mine").title == "first"
    both = Library.load([first, second], environment=False)
    assert both.page("guidance/mine").title == "second"
    assert set(both.pages) >= {"guidance/mine", *PATHS}


def test_folders_come_from_the_environment_too(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = write("a/page", folder="one"), write("b/page", folder="two")
    monkeypatch.setenv("KERNELEVOLVE_KNOWLEDGE", f"{one}:{two}")
    assert list(Library.load(builtin=False).pages) == ["a/page", "b/page"]
    assert len(Library.load(builtin=False, environment=False)) == 0


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=f"no folder of knowledge at {tmp_path / 'none'}"):
        Library.load([tmp_path / "none"])


def test_a_bad_page_names_its_file(write: Callable[..., Path]) -> None:
    folder = write("guidance/mine", kind="guide")
    with pytest.raises(PageError, match=f"{folder / 'guidance' / 'mine.md'}: kind: 'guide'"):
        Library.load([folder])


def test_a_page_that_is_no_text_names_its_file(write: Callable[..., Path]) -> None:
    folder = write("guidance/mine")
    (folder / "guidance" / "mine.md").write_bytes(b"---\n\xff\n---\n")
    with pytest.raises(PageError, match=r"mine\.md: cannot be read"):
        Library.load([folder])


def test_hidden_files_and_readmes_are_no_pages(write: Callable[..., Path]) -> None:
    folder = write("guidance/mine")
    for name in ("README.md", ".git/x.md", "notes.txt"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("no page")
    assert list(Library.load([folder], builtin=False, environment=False).pages) == ["guidance/mine"]
