"""Result files: what a call measured, written after every record, so that a call which is killed loses one at most.

A file is one JSON document: ``runs`` (by id: when, by which command, on what machine, with which software) and
``records``, each of which names its run and has a ``key``. Of two records with one key the later one counts.
"""

from __future__ import annotations

__all__ = ["SCHEMA", "Results", "load", "merged", "rounded"]

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

#: Version of the files' form.
SCHEMA: Final = 1
#: Digits that a time keeps: its clock has fewer.
_DIGITS: Final = 6


class Results:
    """One call's results: the file at `path` (or nowhere), with what earlier calls wrote there.

    `known` are records of other files: what they hold need not be measured again.
    """

    def __init__(self, path: Path | None, run: Mapping[str, Any], *, known: Iterable[Path] = ()) -> None:
        self.path, self.run = path, dict(run)
        earlier = [path] if path is not None and path.exists() else []
        self._document = merged([load(one) for one in earlier])
        self._known = merged([load(one) for one in known])
        self.fresh: list[dict[str, Any]] = []

    def add(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Keep a record, on disk before anything else happens; the record as it was kept."""
        made = {**rounded(record), "run": self.run["id"], "when": self.run["when"]}
        self.fresh.append(made)
        self._document = merged([self._document, document([self.run], [made])])
        if self.path is not None:
            write(self.path, self._document)
        return made

    def find(self, key: str) -> dict[str, Any] | None:
        """What is known under `key`, from this file or the known ones."""
        for records in (self._document["records"], self._known["records"]):
            for record in records:
                if record["key"] == key:
                    return dict(record)
        return None

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """Every known record of one kind."""
        both = merged([self._known, self._document])
        return [record for record in both["records"] if record["kind"] == kind]


def document(runs: Iterable[Mapping[str, Any]], records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A results document."""
    return {"schema": SCHEMA, "runs": {run["id"]: dict(run) for run in runs}, "records": [dict(one) for one in records]}


def load(path: Path) -> dict[str, Any]:
    """A results document from a file. Raises ValueError that names the file where it is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise ValueError(f"{path}: no results of this form (schema {SCHEMA})")
    return found


def merged(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One document of many: of records with one key, the one from the latest run; sorted by key, whatever the order.

    It goes on knowing which kernels the others kept: the best that is known may be from any of them.
    """
    runs: dict[str, Any] = {}
    latest: dict[str, dict[str, Any]] = {}
    for one in documents:
        runs |= one["runs"]
        for record in one["records"]:
            other = latest.get(record["key"], record)
            last, former = (other, record) if _age(other) > _age(record) else (record, other)
            latest[record["key"]] = _knowing(last, former)
    records = [latest[key] for key in sorted(latest)]
    used = {record["run"] for record in records}
    return document([run for name, run in sorted(runs.items()) if name in used], records)


def _age(record: Mapping[str, Any]) -> tuple[str, str]:
    return record["when"], record["run"]


def _knowing(record: Mapping[str, Any], former: Mapping[str, Any]) -> dict[str, Any]:
    """`record` with the kernels that a former one of the same key kept."""
    known = {(one["digest"], one["origin"]) for each in (record, former) for one in each.get("kept_before", ())}
    if _age(former) != _age(record) and "kept" in former:
        known.add((former["kept"]["digest"], former["kept"]["origin"]))
    listed = [{"origin": origin, "digest": digest} for digest, origin in sorted(known)]
    return {**record, **({"kept_before": listed} if listed else {})}


def write(path: Path, value: Mapping[str, Any]) -> None:
    """Write a document beside its place and move it there. One record a line: readable, and small as a diff."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text_of(value), encoding="utf-8")
    beside.replace(path)


def text_of(value: Mapping[str, Any]) -> str:
    """The file's text."""
    runs = [f"  {json.dumps(name)}: {json.dumps(run)}" for name, run in value["runs"].items()]
    records = [f"  {json.dumps(record)}" for record in value["records"]]
    listed = ",\n".join(runs), ",\n".join(records)
    return f'{{"schema": {SCHEMA},\n "runs": {{\n{listed[0]}\n }},\n "records": [\n{listed[1]}\n ]}}\n'


def rounded(value: Any) -> Any:
    """`value` with floats to six significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, Mapping):
        return {str(name): rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return value
