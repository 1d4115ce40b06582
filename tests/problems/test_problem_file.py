"""The examples of the page on problem files work as they stand, and the page lists what there is."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

from kernelevolve import registry
from kernelevolve.evaluation.cases import check_plan, expect
from kernelevolve.evaluation.lint import lint
from kernelevolve.problem import DTYPES, Problem

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "problem-file.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def load(example: str, folder: Path) -> Problem:
    file = folder / "example.py"
    file.write_text(example, encoding="utf-8")
    return registry.problem(str(file))


@pytest.mark.parametrize("example", EXAMPLES, ids=["first", "generator"])
def test_an_example_declares_a_problem_the_linter_has_nothing_against(example: str, tmp_path: Path) -> None:
    assert lint(load(example, tmp_path)) == ()


@pytest.mark.parametrize("example", EXAMPLES, ids=["first", "generator"])
def test_every_checking_case_of_an_example_has_an_oracle(example: str, tmp_path: Path) -> None:
    problem = load(example, tmp_path)
    output = problem.outputs[0]

    for case in check_plan(problem, 11):
        assert expect(case).outputs[output.name].shape == output.sizes(case.workload.axes)


def test_the_first_example_has_fifteen_lines() -> None:
    assert len(EXAMPLES[0].strip().splitlines()) <= 15


def test_the_page_lists_every_field_and_every_element_type() -> None:
    text = PAGE.read_text(encoding="utf-8")
    names = [*(field.name for field in attrs.fields(Problem)), *DTYPES]

    assert [name for name in names if f"`{name}`" not in text] == []
