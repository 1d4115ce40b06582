"""The documentation holds: examples run from the top to the bottom of a page, and links lead somewhere."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import kernelevolve
from kernelevolve import KernelEvolveError, Store, registry

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
#: Pages whose examples are run from the top to the bottom.
GUIDES = sorted([*(DOCS / "tutorial").glob("*.md"), *(DOCS / "how-to").glob("*.md")])
WALKED = [*GUIDES, DOCS / "explanation" / "measuring.md", DOCS / "reference" / "outcomes.md"]
#: Every page that a reader comes across.
ALL = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")


class Block(NamedTuple):
    """One fenced block: ``python``, ``console``…, with the file it is to be saved as, if any."""

    language: str
    file: str | None
    text: str
    line: int


class Command(NamedTuple):
    """One ``$ …`` line of a console block, and the status that an ``echo $?`` behind it shows."""

    text: str
    status: int


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        language, _, rest = match["info"].partition(" ")
        file = rest.removeprefix("file=") if rest.startswith("file=") else None
        yield Block(language, file, match["text"], text.count("\n", 0, match.start()) + 2)


def commands(block: Block) -> list[Command]:
    found: list[Command] = []
    lines = iter(block.text.splitlines())
    for line in lines:
        if line == "$ echo $?":
            found[-1] = found[-1]._replace(status=int(next(lines)))
        elif line.startswith("$ "):
            found.append(Command(line.removeprefix("$ "), 0))
    return found


def links(page: Path) -> set[str]:
    """Targets of links and pictures outside fenced blocks."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {match["target"] for match in _LINK.finditer(prose)}


def linked_files(page: Path) -> dict[str, Path]:
    """Relative targets, as written, with the files they mean."""
    relative = {target for target in links(page) if not re.match(r"\w+:|#", target)}
    return {target: (page.parent / target.partition("#")[0]).resolve() for target in relative}


needs_opencl = pytest.mark.skipif(
    not find_spec("pyopencl"), reason="the examples run on OpenCL; pip install pyopencl[pocl]"
)
#: How often a command may answer UNSTABLE, which is what it should say on a busy machine, before that is a failure.
TRIES = 3


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh working directory with a store of its own, as a reader would have; everything is taken back after."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERNELEVOLVE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KERNELEVOLVE_SPACES", "")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    modules, plugins = set(sys.modules), {kind: set(registry.names(kind)) for kind in registry.GROUPS}
    yield tmp_path
    for kind, known in plugins.items():
        for name in set(registry.names(kind)) - known:
            registry.unregister(kind, name)
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def run_console(command: str, status: int) -> None:
    """Run one line of a console block and compare its status; ``RUN`` in it is the latest run's id."""
    words = shlex.split(command)
    assert words[0] == "kernelevolve", f"console blocks hold kernelevolve's commands; use ```sh for {command!r}"
    if "RUN" in words:
        with Store.open() as store:
            words[words.index("RUN")] = store.runs()[-1].id
    for _ in range(TRIES):
        done = subprocess.run(
            [sys.executable, "-m", "kernelevolve", *words[1:]],
            check=False,
            capture_output=True,
            text=True,
            env=os.environ,
            timeout=200,
        )
        if "UNSTABLE" not in done.stdout.partition("\n")[0] + done.stderr:
            break
    assert done.returncode == status, f"$ {command}\n{done.stdout}{done.stderr}"


def run_python(block: Block, page: Path, namespace: dict[str, Any]) -> None:
    """Run one Python block; a traceback names the page and its line."""
    code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
    for left in reversed(range(TRIES)):
        try:
            exec(code, namespace)
            break
        except KernelEvolveError as error:
            if "UNSTABLE" not in str(error) or not left:
                raise


@pytest.mark.opencl
@needs_opencl
@pytest.mark.slow
@pytest.mark.parametrize("page", WALKED, ids=lambda page: page.stem)
def test_the_examples_of_the_page_run(page: Path, folder: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "example"}
    for block in blocks(page):
        if block.file:
            (folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            run_python(block, page, namespace)
        elif block.language == "console":
            for command in commands(block):
                run_console(command.text, command.status)


def test_every_page_of_the_tutorial_and_the_how_to_has_something_to_run() -> None:
    kinds = {page.stem: {block.language for block in blocks(page)} for page in GUIDES}

    assert {name for name, found in kinds.items() if not found & {"python", "console"}} == set()


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    assert [target for target, file in linked_files(page).items() if not file.exists()] == []


def test_every_page_is_reached_from_the_index() -> None:
    seen: set[Path] = set()
    ahead = [DOCS / "index.md"]
    while ahead:
        page = ahead.pop()
        seen.add(page)
        ahead += [
            file for file in linked_files(page).values() if file.suffix == ".md" and file.exists() and file not in seen
        ]

    assert [str(page.relative_to(ROOT)) for page in DOCS.rglob("*.md") if page not in seen] == []


def test_the_readme_leads_to_the_index() -> None:
    assert DOCS / "index.md" in linked_files(ROOT / "README.md").values()


def test_the_readme_s_python_calls_what_there_is_with_arguments_it_takes() -> None:
    example = next(block for block in blocks(ROOT / "README.md") if block.language == "python")
    calls = [node for node in ast.walk(ast.parse(example.text)) if isinstance(node, ast.Call)]
    ours = [call for call in calls if ast.unparse(call.func).startswith("kernelevolve.")]

    assert len(ours) >= 3
    for call in ours:
        function = getattr(kernelevolve, ast.unparse(call.func).removeprefix("kernelevolve."))
        inspect.signature(function).bind(*call.args, **{keyword.arg: keyword.value for keyword in call.keywords})


def test_the_readme_s_kernel_file_is_one_and_passes_the_gate() -> None:
    example = next(block for block in blocks(ROOT / "README.md") if block.language == "c")
    kernel = kernelevolve.parse_kernel(example.text)
    language = registry.language(kernel.language)
    language.gate(kernel.body)

    assert kernel.launches[0].entry in language.entries(kernel.body)
