"""The one place that keeps what was found: append-only, safe against a killed process, open to several writers."""

from __future__ import annotations

__all__ = ["Store"]

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from attrs import AttrsInstance, evolve
from sqlalchemy import Connection, Engine, Select, func, insert, select
from sqlalchemy.exc import IntegrityError

from kernelevolve.errors import UnknownNameError
from kernelevolve.kernel import configuration_label
from kernelevolve.store import queries
from kernelevolve.store.artifacts import Artifacts
from kernelevolve.store.engine import connect, reading, writing
from kernelevolve.store.errors import StoreError
from kernelevolve.store.lessons import Lessons
from kernelevolve.store.location import default_url, home
from kernelevolve.store.migrate import migrate, schema_version
from kernelevolve.store.records import Candidate, Evaluation, Event, EventKind, Outline, Run, Standing
from kernelevolve.store.rows import kernel_digest, new_run_id, record, row
from kernelevolve.store.schema import candidates, evaluations, events, kernels, runs

Record = TypeVar("Record", bound=AttrsInstance)
_CHUNK = 500


class Store:
    """A database of runs, candidates, evaluations and events, and the folder of artifacts beside it.

    Every insertion is one transaction: once the call returns, the record outlives the process. Nothing that was
    measured is ever changed or deleted. A store may be used by several threads and several processes; a forked child
    opens its own.
    """

    def __init__(self, engine: Engine, artifacts: Artifacts, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._clock = clock
        #: Binary things, named by their content.
        self.artifacts = artifacts
        #: What runs have learnt.
        self.lessons = Lessons(engine, clock)

    @classmethod
    def open(
        cls, url: str | None = None, *, artifacts: Path | None = None, clock: Callable[[], float] = time.time
    ) -> Store:
        """Open the store at `url`, made or migrated where needed; the default one without it.

        Raises `StoreError` where there can be none, `SchemaError` where a newer version of kernelevolve wrote it.
        """
        engine = connect(url or default_url())
        try:
            migrate(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, Artifacts(artifacts or _beside(engine)), clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @property
    def url(self) -> str:
        """Where this store is, without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    @property
    def schema_version(self) -> int:
        """The number of the last migration that ran on this store."""
        return schema_version(self._engine)

    # --- runs

    def create_run(self, run: Run) -> Run:
        """Keep `run` under a new id; the record that is returned carries it."""

        def work(connection: Connection) -> Run:
            now = self._clock()
            made = evolve(run, id=new_run_id(now), created=now)
            connection.execute(insert(runs).values(**{**row(made), "seed": str(made.seed)}))
            return made

        return writing(self._engine, work)

    def run(self, id: str) -> Run:  # noqa: A002  (the record's own word)
        """The run called `id`. Raises `UnknownNameError` with the latest ones."""
        found = self._first(select(runs).where(runs.c.id == id), Run)
        if found is None:
            raise UnknownNameError("run", id, [run.id for run in self.runs()[-10:]], where=self.url)
        return found

    def runs(self, *, problem: str | None = None, accelerator: str | None = None) -> tuple[Run, ...]:
        """Every run, the oldest first, of one problem or on one accelerator where named."""
        query = select(runs).order_by(runs.c.created, runs.c.id)
        if problem is not None:
            query = query.where(runs.c.problem == problem)
        if accelerator is not None:
            query = query.where(runs.c.accelerator == accelerator)
        return tuple(self._all(query, Run))

    def best(self, problem: str, *, accelerator: str | None = None, device: str | None = None) -> tuple[Standing, ...]:
        """The best right kernel of each group of runs whose numbers may be compared, the best group first.

        One group is one declaration of the problem, accelerator, device, language and source of the times.
        """
        among = self.runs(problem=problem, accelerator=accelerator)
        with reading(self._engine) as connection:
            return queries.standings(connection, [run for run in among if device in (None, run.device)])

    # --- candidates

    def add_candidate(self, candidate: Candidate, text: str) -> int:
        """Keep `candidate` with its kernel's text and return its number, the next one of its run.

        Raises `StoreError` where the run or a parent does not exist.
        """
        digest = kernel_digest(text)

        def work(connection: Connection) -> int:
            _keep_text(connection, digest, text)
            last = select(func.max(candidates.c.number)).where(candidates.c.run == candidate.run)
            held = connection.scalar(last)
            number = 0 if held is None else int(held) + 1
            for parent in candidate.parents:
                if not 0 <= parent < number:
                    message = f"run {candidate.run}: parent {parent} does not exist; there are {number} candidates"
                    raise StoreError(message)
            made = evolve(candidate, kernel=digest, number=number, created=self._clock())
            connection.execute(insert(candidates).values(**row(made)))
            return number

        try:
            return writing(self._engine, work)
        except IntegrityError as error:
            self.run(candidate.run)
            raise StoreError(f"run {candidate.run}: the candidate does not fit: {error.orig}") from error

    def candidate(self, run: str, number: int) -> Candidate:
        """Candidate `number` of `run`. Raises `StoreError` where there is none."""
        query = select(candidates).where(candidates.c.run == run, candidates.c.number == number)
        found = self._first(query, Candidate)
        if found is None:
            raise self._no_candidate(run, number)
        return found

    def candidates(self, run: str) -> Iterator[Candidate]:
        """Every candidate of `run` in order, fetched as it is needed."""
        return self._all(select(candidates).where(candidates.c.run == run).order_by(candidates.c.number), Candidate)

    def kernel_text(self, run: str, number: int) -> str:
        """The kernel file of candidate `number` of `run`. Raises `StoreError` where there is none."""
        query = (
            select(kernels.c.text)
            .join(candidates, candidates.c.kernel == kernels.c.digest)
            .where(candidates.c.run == run, candidates.c.number == number)
        )
        with reading(self._engine) as connection:
            text: str | None = connection.scalar(query)
        if text is None:
            raise self._no_candidate(run, number)
        return text

    def duplicate(self, run: str, normal_form: str) -> int | None:
        """The first candidate of `run` with this normal form, or None."""
        query = select(func.min(candidates.c.number)).where(
            candidates.c.run == run, candidates.c.normal_form == normal_form
        )
        with reading(self._engine) as connection:
            found: int | None = connection.scalar(query)
        return found

    def outlines(self, run: str) -> Iterator[Outline]:
        """Every candidate of `run` in order, with the fitness it stands at; what `resume` rebuilds the search from."""
        with reading(self._engine) as connection:
            yield from queries.outlines(connection, run)

    def pending(self, run: str) -> tuple[int, ...]:
        """Candidates of `run` that have no fitness yet: what a killed process left to evaluate."""
        with reading(self._engine) as connection:
            return queries.pending(connection, run)

    # --- evaluations

    def add_evaluation(self, evaluation: Evaluation, *, spent: Mapping[str, Any] | None = None) -> Evaluation:
        """Keep `evaluation`, and in the same transaction what the run has `spent` so far.

        Where its key is there already, nothing is written and the one that is there is returned. Raises `StoreError`
        where the candidate does not exist, ValueError where the times come from more than one source.
        """
        source = evaluation.source
        label = configuration_label(evaluation.configuration)

        def work(connection: Connection) -> Evaluation:
            held = connection.execute(_by_key(evaluation.run, evaluation.key)).first()
            if held is not None:
                return record(held, Evaluation)
            now = self._clock()
            values = row(evolve(evaluation, created=now))
            del values["id"]
            statement = insert(evaluations).values(**values, source=source, configuration_label=label)
            key = connection.execute(statement).inserted_primary_key
            if spent is not None:
                _insert_event(connection, Event(evaluation.run, EventKind.SPENT, spent, created=now))
            return evolve(evaluation, id=key[0] if key else evaluation.id, created=now)

        try:
            return writing(self._engine, work)
        except IntegrityError:
            raise self._no_candidate(evaluation.run, evaluation.candidate) from None

    def evaluation(self, run: str, key: str) -> Evaluation | None:
        """The evaluation of `run` that was recorded under `key`, or None."""
        return self._first(_by_key(run, key), Evaluation)

    def evaluations(self, run: str, candidate: int | None = None) -> Iterator[Evaluation]:
        """The evaluations of a run, or of one of its candidates, in the order in which they were recorded."""
        query = select(evaluations).where(evaluations.c.run == run).order_by(evaluations.c.id)
        if candidate is not None:
            query = query.where(evaluations.c.candidate == candidate)
        return self._all(query, Evaluation)

    # --- events

    def add_event(self, run: str, kind: EventKind, data: Mapping[str, Any] | None = None) -> Event:
        """Keep that something happened to `run`. Raises `UnknownNameError` where there is no such run."""
        event = Event(run, kind, data or {}, created=self._clock())
        try:
            return writing(self._engine, lambda connection: _insert_event(connection, event))
        except IntegrityError:
            self.run(run)
            raise

    def events(self, run: str, kind: EventKind | None = None) -> tuple[Event, ...]:
        """What happened to `run`, in order; of one kind where named."""
        query = select(events).where(events.c.run == run).order_by(events.c.id)
        if kind is not None:
            query = query.where(events.c.kind == kind.value)
        return tuple(self._all(query, Event))

    def spent(self, run: str) -> Mapping[str, Any] | None:
        """The last snapshot of what `run` has spent, or None."""
        event = self._last_event(run, (EventKind.SPENT,))
        return None if event is None else event.data

    def status(self, run: str) -> EventKind | None:
        """The last thing that happened to `run`; None before it started.

        STARTED or RESUMED means that a process works on it, or was killed.
        """
        event = self._last_event(run, tuple(kind for kind in EventKind if kind.lifecycle))
        return None if event is None else event.kind

    def _last_event(self, run: str, kinds: tuple[EventKind, ...]) -> Event | None:
        wanted = events.c.kind.in_([kind.value for kind in kinds])
        query = select(events).where(events.c.run == run, wanted).order_by(events.c.id.desc()).limit(1)
        return self._first(query, Event)

    # --- reading

    def _first(self, query: Select[Any], kind: type[Record]) -> Record | None:
        with reading(self._engine) as connection:
            found = connection.execute(query).first()
        return None if found is None else record(found, kind)

    def _all(self, query: Select[Any], kind: type[Record]) -> Iterator[Record]:
        with reading(self._engine) as connection:
            for found in connection.execute(query.execution_options(yield_per=_CHUNK)):
                yield record(found, kind)

    def _no_candidate(self, run: str, number: int) -> StoreError:
        self.run(run)
        with reading(self._engine) as connection:
            count = connection.scalar(select(func.count()).where(candidates.c.run == run))
        return StoreError(f"run {run} has no candidate {number}; it has {count} of them, numbered from 0")


def _beside(engine: Engine) -> Path:
    if engine.url.get_backend_name() == "sqlite" and engine.url.database:
        return Path(engine.url.database).absolute().with_suffix(".artifacts")
    return home() / "artifacts"


def _keep_text(connection: Connection, digest: str, text: str) -> None:
    held = connection.scalar(select(kernels.c.text).where(kernels.c.digest == digest))
    if held is None:
        connection.execute(insert(kernels).values(digest=digest, text=text))
    elif held != text:
        raise StoreError(f"two kernels have the digest {digest}; change a comment in one of them")


def _by_key(run: str, key: str) -> Select[Any]:
    return select(evaluations).where(evaluations.c.run == run, evaluations.c.key == key)


def _insert_event(connection: Connection, event: Event) -> Event:
    values = row(event)
    del values["id"]
    key = connection.execute(insert(events).values(**values)).inserted_primary_key
    return evolve(event, id=key[0] if key else event.id)
