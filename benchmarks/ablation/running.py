"""Runs the arms on the landscapes, keeps what is done as it goes, and goes on where it stopped."""

from __future__ import annotations

__all__ = ["Outcome", "Settings", "Task", "run_tasks", "tasks"]

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Final

from attrs import asdict, frozen

from benchmarks.ablation.driver import Arm, simulate
from benchmarks.ablation.landscape import Landscape
from benchmarks.ablation.studies import Study
from kernelevolve import evolution

#: A run is said to be under way once it is so many times as fast as its seed (as the published study counts steps).
_UNDER_WAY: Final = 1.2
#: At most: the machine has other work.
_PROCESSES: Final = 2


@frozen
class Settings:
    """How much is run."""

    evaluations: int = 100
    seeds: int = 24

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """The evaluations after which the best so far is kept: every twentieth of a run at first, later every tenth."""
        twentieths = [*range(7), *range(8, 21, 2)]
        return tuple(dict.fromkeys(round(part * self.evaluations / 20) for part in twentieths))


@frozen
class Task:
    """One arm on one landscape, over all seeds."""

    study: str
    label: str
    arm: Arm
    landscape: str
    seeds: int
    evaluations: int
    checkpoints: tuple[int, ...]

    def key(self, code: str) -> str:
        """Its name in the file of what is done: the same only for the same work by the same code."""
        text = json.dumps([code, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


@frozen
class Outcome:
    """What became of a task; one entry for each seed."""

    #: Share of the optimum at each checkpoint.
    best: Sequence[Sequence[float]]
    fell: Sequence[float]
    dollars: Sequence[float]
    #: Evaluations until 1.2 times the seed's speed; None where that was not reached.
    under_way: Sequence[int | None]


def tasks(studies: Sequence[Study], landscapes: Sequence[Landscape], settings: Settings) -> list[Task]:
    """Everything there is to do; equal work that two studies ask for is listed for both."""
    return [
        Task(
            study=study.name,
            label=label,
            arm=arm,
            landscape=landscape.name,
            seeds=max(2, settings.seeds // study.thinner),
            evaluations=settings.evaluations,
            checkpoints=settings.checkpoints,
        )
        for study in studies
        for label, arm in study.arms.items()
        for landscape in landscapes
    ]


def run_tasks(
    todo: Sequence[Task], landscapes: Sequence[Landscape], *, state: Path | None, processes: int, quiet: bool = False
) -> list[Outcome]:
    """The outcome of every task, in their order; what the file `state` holds already is not done again."""
    code = _code(landscapes)
    keys = [task.key(code) for task in todo]
    done = _read(state)
    missing = {key: task for key, task in zip(keys, todo, strict=True) if key not in done}
    if state is not None:
        state.parent.mkdir(parents=True, exist_ok=True)
        if state.exists() and not state.read_bytes().endswith(b"\n"):  # a kill cut the last line short
            state.write_text(state.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    for count, (key, outcome) in enumerate(_work(missing, landscapes, processes), 1):
        done[key] = outcome
        if state is not None:
            with state.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, **asdict(outcome)}) + "\n")
        if not quiet and (count % 20 == 0 or count == len(missing)):
            print(f"{count} of {len(missing)} tasks done", file=sys.stderr, flush=True)
    return [done[key] for key in keys]


def _work(
    missing: Mapping[str, Task], landscapes: Sequence[Landscape], processes: int
) -> Iterator[tuple[str, Outcome]]:
    if processes <= 1:
        _prepare(landscapes)
        yield from ((key, _run(task)) for key, task in missing.items())
        return
    with ProcessPoolExecutor(min(processes, _PROCESSES), initializer=_prepare, initargs=(landscapes,)) as pool:
        waiting = {pool.submit(_run, task): key for key, task in missing.items()}
        for future in as_completed(waiting):
            yield waiting[future], future.result()


#: The landscapes of this process, by name: they are too large to travel with every task.
_LANDSCAPES: dict[str, Landscape] = {}


def _prepare(landscapes: Sequence[Landscape]) -> None:
    _LANDSCAPES.clear()
    _LANDSCAPES.update({landscape.name: landscape for landscape in landscapes})


def _run(task: Task) -> Outcome:
    landscape = _LANDSCAPES[task.landscape]
    traces = [simulate(landscape, task.arm, seed, task.evaluations) for seed in range(task.seeds)]
    return Outcome(
        best=[[round(trace.best[at], 5) for at in task.checkpoints] for trace in traces],
        fell=[round(trace.fell, 5) for trace in traces],
        dollars=[round(trace.dollars, 4) for trace in traces],
        under_way=[
            next((at for at, share in enumerate(trace.best) if share >= _UNDER_WAY * trace.start), None)
            for trace in traces
        ],
    )


def _code(landscapes: Sequence[Landscape]) -> str:
    """A digest of all that decides what a run does: this package, the search's, and the landscapes."""
    digest = hashlib.sha256()
    search = Path(next(iter(evolution.__path__)))
    for file in [*sorted(Path(__file__).parent.glob("*.py")), *sorted(search.rglob("*.py"))]:
        digest.update(file.read_bytes())
    for landscape in landscapes:
        digest.update(json.dumps([landscape.name, list(landscape.seconds.values())]).encode())
    return digest.hexdigest()


def _read(state: Path | None) -> dict[str, Outcome]:
    done: dict[str, Outcome] = {}
    lines = state.read_text(encoding="utf-8").splitlines() if state is not None and state.exists() else []
    for line in lines:
        try:
            record: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError:  # cut short by a kill
            continue
        key = record.pop("key")
        done[key] = Outcome(**record)
    return done
