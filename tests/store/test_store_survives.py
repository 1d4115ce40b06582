"""What a killed process acknowledged is there, what it did not is absent or whole, and several processes may write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

from sqlalchemy import text

from kernelevolve.store import Run, Store
from kernelevolve.store.schema import HEAD

WRITER = Path(__file__).with_name("writer_process.py")
ROUNDS = 10


def start(store: Store, run: Run, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(WRITER), store.url, run.id, name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill_after(process: subprocess.Popen[str], lines: int) -> list[str]:
    """Kill the process once it has written so many lines; all whole lines that it wrote."""
    assert process.stdout is not None
    seen = [process.stdout.readline() for _ in range(lines)]
    process.kill()
    seen += process.stdout.read().splitlines(keepends=True)
    process.wait()
    process.stdout.close()
    return [line.strip() for line in seen if line.endswith("\n")]


def test_everything_acknowledged_survives_a_kill(store: Store, run: Run) -> None:
    rng = Random(20250101)
    acknowledged: list[tuple[int, int, str]] = []
    for _ in range(ROUNDS):
        # The pipe's reader and the writer run at once, so the kill falls anywhere within an insertion.
        lines = kill_after(start(store, run, "killed", 100_000), rng.randrange(2, 60))
        for line in lines[1:]:
            number, key, artifact = line.split()
            acknowledged.append((int(number), int(key), artifact))
    evaluations = {evaluation.candidate: evaluation for evaluation in store.evaluations(run.id)}
    candidates = list(store.candidates(run.id))
    assert len(acknowledged) >= ROUNDS
    for number, key, artifact in acknowledged:
        assert evaluations[number].id == key
        assert store.artifacts.get(artifact).startswith(b"killed")
    assert [candidate.number for candidate in candidates] == list(range(len(candidates)))
    assert all(len(evaluation.times["rows=1"].seconds) == 100 for evaluation in evaluations.values())
    assert len(candidates) - len(evaluations) == len(store.pending(run.id)) <= ROUNDS
    assert len(store.events(run.id)) == len(evaluations)
    with store._engine.connect() as connection:
        assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
        assert connection.execute(text("PRAGMA foreign_key_check")).all() == []


def test_two_processes_write_to_one_run(store: Store, run: Run) -> None:
    writers = [start(store, run, name, 100) for name in ("one", "two")]
    outputs = [writer.communicate(timeout=60)[0].splitlines() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    numbers = [int(line.split()[0]) for output in outputs for line in output[1:]]
    assert sorted(numbers) == list(range(200))
    for name, output in zip(("one", "two"), outputs, strict=True):
        for line in output[1:]:
            assert store.candidate(run.id, int(line.split()[0])).operator == name


def test_two_processes_may_make_the_same_store_at_once(tmp_path: Path) -> None:
    script = "import sys; from kernelevolve.store import Store; print(Store.open(sys.argv[1]).schema_version)"
    command = [sys.executable, "-c", script, f"sqlite:///{tmp_path}/fresh/store.db"]
    makers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [maker.communicate(timeout=60)[0].strip() for maker in makers] == [str(HEAD)] * 4
