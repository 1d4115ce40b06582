"""The reference page of the command line names every command and option there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from kernelevolve.cli.app import app
from kernelevolve.cli.output import Exit
from kernelevolve.outcome import Outcome

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def section(name: str) -> str:
    match = re.search(rf"^## `{name}`.*?(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert match, f"docs/reference/cli.md has no section ## `{name}`"
    return match[0]


def options(name: str) -> set[str]:
    return {
        spelling for one in COMMANDS[name].params for spelling in (*one.opts, *one.secondary_opts) if "-" in spelling
    }


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_s_section_lists_exactly_its_options(name: str) -> None:
    table = "\n".join(line for line in section(name).splitlines() if line.startswith("|"))

    assert set(re.findall(r"`(--?[a-z][a-z-]*)", table)) == options(name)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_s_section_gives_the_defaults_in_force(name: str) -> None:
    defaults = {
        str(one.default)
        for one in COMMANDS[name].params
        if one.default not in (None, True, False, "", ...) and "-" in one.opts[0]
    }

    assert {value for value in defaults if f"`{value}`" not in section(name)} == set()


def test_the_page_has_a_section_per_command_and_no_other() -> None:
    assert set(re.findall(r"^## `([\w-]+)`", PAGE, re.MULTILINE)) == set(COMMANDS)


def test_the_page_gives_every_exit_status() -> None:
    assert [f"| `{int(status)}` |" for status in Exit if f"| `{int(status)}` |" not in PAGE] == []


def test_the_page_on_outcomes_has_one_row_for_each() -> None:
    text = (DOCS / "reference" / "outcomes.md").read_text(encoding="utf-8")

    assert re.findall(r"^\| `([A-Z_]+)` \|", text, re.MULTILINE) == [outcome.value for outcome in Outcome]
