"""Questions that need more than one table."""

from __future__ import annotations

__all__ = ["outlines", "pending", "standings"]

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from kernelevolve.outcome import Outcome
from kernelevolve.store.records import ALL_WORKLOADS, Evaluation, Outline, Run, Standing
from kernelevolve.store.rows import record
from kernelevolve.store.schema import candidates, evaluations

#: Rows fetched at a time, so that a run of a million candidates is never in memory as a whole.
_CHUNK = 2000
#: Evaluations that settle the fitness of a candidate under one configuration: a number for all workloads, or a failure.
_DECIDED = and_(
    evaluations.c.workload == ALL_WORKLOADS,
    or_(evaluations.c.fitness.is_not(None), evaluations.c.outcome != Outcome.CORRECT.value),
)


def outlines(connection: Connection, run: str) -> Iterator[Outline]:
    """Every candidate of `run` in order, in the few values that a search keeps."""
    here = candidates.c
    measured = evaluations.c
    query = (
        select(
            here.number,
            here.operator,
            here.parents,
            here.island,
            here.descriptor,
            measured.workload,
            measured.configuration_label,
            measured.outcome,
            measured.fitness,
            measured.seconds,
            measured.descriptor,
        )
        .select_from(
            candidates.outerjoin(evaluations, and_(measured.run == here.run, measured.candidate == here.number))
        )
        .where(here.run == run)
        .order_by(here.number, measured.id)
        .execution_options(yield_per=_CHUNK)
    )
    for _, rows in groupby(connection.execute(query), key=itemgetter(0)):
        yield _outline(list(rows))


def _outline(rows: Sequence[Sequence[Any]]) -> Outline:
    number, operator, parents, island, descriptor = rows[0][:5]
    seconds = 0.0
    latest: dict[str, float] = {}
    for _, _, _, _, _, workload, configuration, outcome, fitness, spent, measured in rows:
        seconds += spent or 0.0
        descriptor = measured or descriptor
        if workload != ALL_WORKLOADS:
            continue
        if outcome != Outcome.CORRECT.value:
            latest[configuration] = 0.0
        elif fitness is not None:
            latest[configuration] = fitness
    return Outline(
        number=number,
        operator=operator,
        parents=tuple(parents),
        island=island,
        descriptor=None if descriptor is None else tuple(descriptor),
        fitness=max(latest.values(), default=None),
        seconds=seconds,
    )


def pending(connection: Connection, run: str) -> tuple[int, ...]:
    """Candidates of `run` whose fitness is not known: what a killed process left to do."""
    done = select(evaluations.c.candidate).where(evaluations.c.run == run, _DECIDED)
    query = select(candidates.c.number).where(candidates.c.run == run, candidates.c.number.not_in(done))
    return tuple(connection.scalars(query.order_by(candidates.c.number)))


def standings(connection: Connection, among: Iterable[Run]) -> tuple[Standing, ...]:
    """The best evaluation per group of runs whose fitness may be compared, the best group first.

    Fitness is a ratio to the run's own baseline, so it is compared only where problem, device, language and source of
    the times agree.
    """
    best: dict[tuple[object, ...], Standing] = {}
    for run in among:
        for evaluation in _champions(connection, run.id):
            group = (run.fingerprint, run.accelerator, run.device, run.language, evaluation.source)
            held = best.get(group)
            if held is None or (evaluation.fitness or 0.0) > (held.evaluation.fitness or 0.0):
                best[group] = Standing(run, evaluation.candidate, evaluation)
    return tuple(sorted(best.values(), key=lambda standing: -(standing.evaluation.fitness or 0.0)))


def _champions(connection: Connection, run: str) -> list[Evaluation]:
    """The best evaluation of one run per source, among the latest ones of each configuration."""
    measured = evaluations.c
    latest = (
        select(func.max(measured.id))
        .where(measured.run == run, _DECIDED)
        .group_by(measured.candidate, measured.configuration_label)
    )
    ranked = (
        select(
            measured.id,
            func.row_number()
            .over(partition_by=measured.source, order_by=(measured.fitness.desc(), measured.id))
            .label("rank"),
        )
        .where(
            measured.id.in_(latest),
            measured.outcome == Outcome.CORRECT.value,
            measured.source.is_not(None),
        )
        .subquery()
    )
    query = select(evaluations).join(ranked, ranked.c.id == measured.id).where(ranked.c.rank == 1)
    return [record(found, Evaluation) for found in connection.execute(query.order_by(measured.id))]
