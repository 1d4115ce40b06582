"""Connections: the settings that make SQLite safe against a killed process and open to several writers."""

from __future__ import annotations

__all__ = ["WRITING", "connect", "reading", "writing"]

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, OperationalError

from kernelevolve.store.errors import StoreError

#: Execution option of connections that will write.
WRITING: Final = "kernelevolve_writing"
#: How long a writer waits for another one. A writer holds the database for well under a millisecond.
BUSY_SECONDS: Final = 30.0
#: Times that a transaction is begun anew because another process inserted the same key between its look and its write.
_ATTEMPTS: Final = 8

Result = TypeVar("Result")


def connect(url: str) -> Engine:
    """An engine for ``sqlite:///path`` or ``postgresql+driver://…``.

    Raises `StoreError` where the URL cannot be read or its driver is not installed.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _connect_sqlite(parsed)
        return create_engine(parsed, json_serializer=dump)
    except (ArgumentError, NoSuchModuleError):
        message = f"{url!r} is no store; give sqlite:///path/to/store.db or a postgresql URL"
        raise StoreError(message) from None
    except ImportError as error:
        message = f"{url!r} needs the database driver {error.name!r}, which is not installed"
        raise StoreError(message) from None


def _connect_sqlite(url: URL) -> Engine:
    if url.database in (None, "", ":memory:"):
        message = f"{url.render_as_string()!r} keeps nothing; a store needs a file, as in sqlite:///store.db"
        raise StoreError(message)
    Path(url.database).expanduser().parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, json_serializer=dump, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: Any, _record: object) -> None:
    # The driver's own transactions begin too late to see what they are about to change; `_begin` does it instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails at once when another process wrote in between.
    writes = connection.get_execution_options().get(WRITING, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one state of the database throughout."""
    with engine.connect() as connection, connection.begin():
        yield connection


def writing(engine: Engine, work: Callable[[Connection], Result]) -> Result:
    """Run `work` in one transaction that is on the disk's side of a crash when this returns.

    `work` may run several times: it is begun anew where another process took the same key first. Raises
    `IntegrityError` where it still does not fit, `StoreError` where the database stays locked.
    """
    for attempt in range(_ATTEMPTS):
        try:
            with engine.connect().execution_options(**{WRITING: True}) as connection, connection.begin():
                return work(connection)
        except IntegrityError:
            if attempt == _ATTEMPTS - 1:
                raise
        except OperationalError as error:
            if "locked" not in str(error.orig):
                raise
            message = f"{engine.url!r} was locked by another process for {BUSY_SECONDS:.0f} s; end that process"
            raise StoreError(message) from error
    raise AssertionError("unreachable")


def dump(value: object) -> str:
    """JSON text of `value`; numbers that JSON lacks become the words ``nan``, ``inf`` and ``-inf``."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
