"""What runs have learnt: the one part of the store that a user may change, since no number is in it that is not also
in an evaluation.
"""

from __future__ import annotations

__all__ = ["Lessons"]

from collections.abc import Callable
from typing import Any

from attrs import evolve
from sqlalchemy import Connection, Engine, delete, insert, select, update

from kernelevolve.store.engine import reading, writing
from kernelevolve.store.errors import StoreError
from kernelevolve.store.records import Lesson
from kernelevolve.store.rows import record, row
from kernelevolve.store.schema import lessons


class Lessons:
    """The lessons of one store."""

    def __init__(self, engine: Engine, clock: Callable[[], float]) -> None:
        self._engine, self._clock = engine, clock

    def add(self, lesson: Lesson) -> Lesson:
        """Keep `lesson`; the record that is returned carries its id. One that is there already (same run, same text)
        is returned as it is.
        """

        def work(connection: Connection) -> Lesson:
            same = select(lessons).where(
                lessons.c.run == lesson.run, lessons.c.text == lesson.text, lessons.c.problem == lesson.problem
            )
            held = connection.execute(same).first()
            if held is not None:
                return record(held, Lesson)
            made = evolve(lesson, created=self._clock())
            values = row(made)
            del values["id"]
            key = connection.execute(insert(lessons).values(**values)).inserted_primary_key
            return evolve(made, id=key[0] if key else made.id)

        return writing(self._engine, work)

    def all(
        self, *, problem: str | None = None, accelerator: str | None = None, active: bool | None = None
    ) -> tuple[Lesson, ...]:
        """Every lesson, the oldest first; of one problem, on one accelerator, only (in)active ones where asked."""
        query = select(lessons).order_by(lessons.c.id)
        if problem is not None:
            query = query.where(lessons.c.problem == problem)
        if accelerator is not None:
            query = query.where(lessons.c.accelerator == accelerator)
        if active is not None:
            query = query.where(lessons.c.active == active)
        with reading(self._engine) as connection:
            return tuple(record(found, Lesson) for found in connection.execute(query))

    def get(self, number: int) -> Lesson:
        """The lesson with this id. Raises `StoreError` where there is none."""
        with reading(self._engine) as connection:
            found = connection.execute(select(lessons).where(lessons.c.id == number)).first()
        if found is None:
            raise StoreError(f"there is no lesson {number}; see: kernelevolve knowledge lessons")
        return record(found, Lesson)

    def change(self, number: int, *, text: str | None = None, active: bool | None = None) -> Lesson:
        """Reword a lesson, or switch it on or off. Raises `StoreError` where there is none."""
        self.get(number)
        wanted: dict[str, Any] = {"text": text, "active": active}
        values = {name: value for name, value in wanted.items() if value is not None}
        if values:
            statement = update(lessons).where(lessons.c.id == number).values(**values)
            writing(self._engine, lambda connection: connection.execute(statement))
        return self.get(number)

    def remove(self, number: int) -> Lesson:
        """Forget a lesson, and return what it was. Raises `StoreError` where there is none."""
        gone = self.get(number)
        statement = delete(lessons).where(lessons.c.id == number)
        writing(self._engine, lambda connection: connection.execute(statement))
        return gone
