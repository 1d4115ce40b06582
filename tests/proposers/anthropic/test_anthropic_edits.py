"""Search and replace: exactly what was meant, or a sentence that says why not."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kernelevolve.proposers.anthropic.edits import Edit, EditError, apply_edits

#: Few letters, so that texts repeat themselves.
TEXT = st.text(alphabet="ab \n", max_size=60)


def places(text: str, search: str) -> list[int]:
    return [start for start in range(len(text)) if text.startswith(search, start)]


@given(text=TEXT, search=TEXT, replace=TEXT)
def test_an_edit_is_made_where_its_text_stands_once_and_refused_elsewhere(text: str, search: str, replace: str) -> None:
    where = places(text, search) if search else []
    if len(where) == 1:
        start = where[0]
        assert apply_edits(text, [Edit(search, replace)]) == text[:start] + replace + text[start + len(search) :]
    else:
        with pytest.raises(EditError, match="edit 1"):
            apply_edits(text, [Edit(search, replace)])


@given(lines=st.lists(st.text(alphabet="xyz(){};", min_size=1, max_size=8), min_size=1, max_size=20), data=st.data())
def test_edits_of_numbered_lines_give_the_file_that_was_meant(lines: list[str], data: st.DataObject) -> None:
    """However many lines are rewritten, in whatever order, and whatever the new ones hold."""
    source = [f"{number}: {line}\n" for number, line in enumerate(lines)]
    chosen = data.draw(st.lists(st.sampled_from(range(len(lines))), unique=True))
    new = {number: data.draw(st.text(alphabet="xyz\n$\\g<0>", max_size=10)) for number in chosen}
    text = "".join(source)
    assume(all(len(places(text, source[number])) == 1 for number in chosen))
    wanted = "".join(new.get(number, line) for number, line in enumerate(source))
    assert apply_edits(text, [Edit(source[number], new[number]) for number in chosen]) == wanted


@given(text=TEXT)
def test_no_edits_change_nothing(text: str) -> None:
    assert apply_edits(text, []) == text


def test_each_edit_sees_what_the_one_before_left() -> None:
    assert apply_edits("a b", [Edit("a", "b c"), Edit("c b", "d")]) == "b d"


def test_overlapping_places_are_several() -> None:
    with pytest.raises(EditError, match=r"edit 2: .* 2 places"):
        apply_edits("x ababa", [Edit("x", "y"), Edit("aba", "c")])


def test_a_text_that_is_not_there_is_answered_with_the_nearest_line() -> None:
    with pytest.raises(EditError, match=r"edit 2: .* line 2: '  float sum = 0;'"):
        apply_edits("int a;\n  float sum = 0;\n", [Edit("int a", "int b"), Edit("  float sum = 0.0f;", "x")])
