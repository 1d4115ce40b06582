"""Result files: nothing measured is lost, nothing is measured twice, and merging does not depend on the order."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from benchmarks.gpu.__main__ import main, without_places
from benchmarks.gpu.results import Results, load, merged, rounded, write
from hypothesis import given
from hypothesis import strategies as st


def _run(name: str, when: str = "2026-01-01T00:00:00+00:00") -> dict[str, Any]:
    return {"id": name, "when": when, "command": f"python -m benchmarks.gpu {name}"}


def _document(*records: tuple[str, str, str, int]) -> dict[str, Any]:
    """Records as (key, run, when, value)."""
    runs = {run: _run(run, when) for _, run, when, _ in records}
    listed = [{"key": key, "kind": "table", "run": run, "when": when, "value": v} for key, run, when, v in records]
    return {"schema": 1, "runs": runs, "records": listed}


def test_a_record_is_on_disk_before_the_next_one_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "new" / "r.json"
    results = Results(path, _run("a"))
    results.add({"key": "table/x", "kind": "table", "samples": [1 / 3]})
    assert load(path)["records"] == [
        {"key": "table/x", "kind": "table", "samples": [0.333333], "run": "a", "when": _run("a")["when"]}
    ]
    assert [one.name for one in path.parent.iterdir()] == ["r.json"]


def test_a_second_call_goes_on_with_the_file_and_with_what_others_know(tmp_path: Path) -> None:
    path, other = tmp_path / "r.json", tmp_path / "other.json"
    Results(path, _run("a")).add({"key": "table/x", "kind": "table"})
    Results(other, _run("b")).add({"key": "table/y", "kind": "table"})
    again = Results(path, _run("c", "2026-01-02T00:00:00+00:00"), known=[other])
    assert again.find("table/x") is not None
    assert again.find("table/y") is not None
    assert again.find("table/z") is None
    again.add({"key": "table/z", "kind": "table"})
    assert [one["key"] for one in load(path)["records"]] == ["table/x", "table/z"]  # the known ones stay where they are
    assert set(load(path)["runs"]) == {"a", "c"}
    assert [one["key"] for one in again.of_kind("table")] == ["table/x", "table/y", "table/z"]


_RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["table/a", "table/b", "evolve/c"]),
        st.sampled_from(["r1", "r2", "r3"]),
        st.just(""),
        st.integers(0, 99),
    ),
    max_size=12,
    unique_by=lambda record: record[:2],
)
_WHEN = {"r1": "2026-01-01", "r2": "2026-01-02", "r3": "2026-01-03"}


@given(records=_RECORDS, order=st.randoms(use_true_random=False))
def test_merging_keeps_the_latest_of_each_key_in_any_order(
    records: list[tuple[str, str, str, int]], order: Any
) -> None:
    dated = [(key, run, _WHEN[run], value) for key, run, _, value in records]
    parts = [_document(record) for record in dated]
    found = merged(parts)
    order.shuffle(parts)
    assert merged(parts) == found
    assert merged([found, *parts]) == found
    latest = {key: (run, value) for key, run, _, value in sorted(dated, key=lambda record: record[1])}
    assert {one["key"]: (one["run"], one["value"]) for one in found["records"]} == latest
    assert set(found["runs"]) == {run for run, _ in latest.values()}


def test_a_file_is_readable_json_with_a_record_a_line(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    document = _document(("table/a", "r1", "2026", 1), ("table/b", "r1", "2026", 2))
    write(path, document)
    assert load(path) == document
    assert sum('"key"' in line for line in path.read_text().splitlines()) == 2


@pytest.mark.parametrize(("text", "message"), [("{", "not JSON"), ('{"schema": 99}', "schema 1"), ("[]", "schema 1")])
def test_a_file_that_holds_no_results_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


@given(st.floats(1e-9, 1e3))
def test_times_keep_six_digits(value: float) -> None:
    assert math.isclose(rounded({"a": [value]})["a"][0], value, rel_tol=1e-5)


def test_a_ranking_goes_on_knowing_what_former_ones_of_its_key_kept() -> None:
    ranked = [_document(("candidates/a", run, when, 0)) for run, when in _WHEN.items()]
    for day, document in enumerate(ranked, 1):
        document["records"][0]["kept"] = {"origin": f"{day}.py", "digest": f"d{day}"}
    for order in itertools.permutations(ranked):
        (found,) = merged(order)["records"]
        assert found["kept"] == {"origin": "3.py", "digest": "d3"}
        assert [one["digest"] for one in found["kept_before"]] == ["d1", "d2"]
        assert merged([merged(order), *order])["records"] == [found]


def test_merge_writes_one_file_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "parts"
    write(folder.joinpath("1.json") if folder.mkdir() is None else folder, _document(("table/a", "r1", "2026-1", 1)))
    write(folder / "2.json", _document(("table/a", "r2", "2026-2", 2), ("evolve/b", "r2", "2026-2", 3)))
    assert main(["merge", str(folder), "--out", str(tmp_path / "all.json")]) == 0
    assert [one["value"] for one in json.loads((tmp_path / "all.json").read_text())["records"]] == [3, 2]
    assert capsys.readouterr().out.startswith("2 records of 1 calls")


def test_the_command_is_recorded_without_where_files_lie() -> None:
    given = ["table", "--out", "/x/r.json", "--quick", "--known", "/a.json", "/b.json", "--kernels", "/far/kernels"]
    assert without_places(given) == ["table", "--quick", "--kernels", "kernels"]
