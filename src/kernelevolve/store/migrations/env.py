"""Alembic's entry: migrates over the connection that `kernelevolve.store.migrate` hands in, inside its transaction."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from kernelevolve.store.schema import metadata

connection: Connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
