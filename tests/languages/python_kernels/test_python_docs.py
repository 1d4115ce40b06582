"""The reference pages list what the gates refuse and allow."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import kernelevolve.languages
from kernelevolve.kernel import parse_kernel
from kernelevolve.language import Language
from kernelevolve.languages.numba_lang import NumbaLanguage
from kernelevolve.languages.triton_lang import LAUNCH_OPTIONS, TritonLanguage

DOCS = Path(__file__).resolve().parents[3] / "docs" / "reference"
SOURCES = Path(kernelevolve.languages.__file__).parent
#: Calls that name a rule, and where among their arguments.
NAMING = {"refuse": 1}


def rules() -> Iterator[str]:
    """Every rule that the two languages' code names."""
    for folder in ("python_kernels", "triton_lang", "numba_lang"):
        for file in (SOURCES / folder).glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                given = [keyword.value for keyword in node.keywords if keyword.arg == "rule"]
                position = NAMING.get(ast.unparse(node.func))
                if position is not None and len(node.args) > position:
                    given.append(node.args[position])
                yield from (value.value for value in given if isinstance(value, ast.Constant))


def test_every_rule_is_explained_and_every_explained_rule_exists() -> None:
    page = (DOCS / "triton-kernels.md").read_text(encoding="utf-8").partition("## What a rejection says")[2]
    explained = re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)
    assert len(explained) == len(set(explained))
    assert set(explained) == {*rules(), "call", "builtin"}  # those two are chosen between in one place


@pytest.mark.parametrize(
    ("page", "language"), [("triton", TritonLanguage()), ("numba", NumbaLanguage())], ids=["triton", "numba"]
)
def test_the_example_of_the_page_passes_the_gate(page: str, language: Language) -> None:
    text = (DOCS / f"{page}-kernels.md").read_text(encoding="utf-8")
    example = re.search(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert example is not None
    kernel = parse_kernel(example[1])
    language.gate(kernel.body)
    assert kernel.launches[0].entry in language.entries(kernel.body)


def test_every_launch_option_is_in_the_table() -> None:
    page = (DOCS / "triton-kernels.md").read_text(encoding="utf-8")
    assert {name for name in LAUNCH_OPTIONS if f"| `{name}` |" not in page} == set()
