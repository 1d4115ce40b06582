"""Brings a database to the schema that this code knows, or says why it cannot."""

from __future__ import annotations

__all__ = ["MIGRATIONS", "migrate", "schema_version"]

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, inspect, text

from kernelevolve.store.engine import reading, writing
from kernelevolve.store.errors import SchemaError
from kernelevolve.store.schema import HEAD

#: The migrations that ship with the package.
MIGRATIONS: Final = Path(__file__).parent / "migrations"


def schema_version(engine: Engine) -> int:
    """The number of the last migration that ran; 0 for an empty database.

    Raises `SchemaError` where the database is not one of kernelevolve's.
    """
    with reading(engine) as connection:
        return _version(connection)


def migrate(engine: Engine, *, scripts: Path = MIGRATIONS, head: int = HEAD) -> int:
    """Run every migration that has not run, in one transaction, and return the version that was there before.

    Raises `SchemaError` where the database is newer than `head`.
    """
    before = schema_version(engine)
    if before > head:
        raise _too_new(engine, before, head)
    if before < head:
        writing(engine, lambda connection: _upgrade(connection, scripts, head))
    return before


def _version(connection: Connection) -> int:
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        if tables:
            message = f"{connection.engine.url!r} holds other tables ({', '.join(tables[:3])}); choose another place"
            raise SchemaError(message)
        return 0
    number = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "0"
    if not number.isdigit():
        message = (
            f"{connection.engine.url!r} has the schema {number!r}, which is none of kernelevolve's; choose another"
        )
        raise SchemaError(message)
    return int(number)


def _upgrade(connection: Connection, scripts: Path, head: int) -> None:
    # Looked at again inside the write lock: another process may have opened the same empty database.
    if _version(connection) >= head:
        return
    from alembic import command  # noqa: PLC0415  (a database that is up to date never needs it)
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, f"{head:04d}")


def _too_new(engine: Engine, found: int, head: int) -> SchemaError:
    return SchemaError(
        f"{engine.url!r} has schema {found}, written by a newer kernelevolve; this one knows up to {head}: "
        "upgrade kernelevolve, or name another store"
    )
