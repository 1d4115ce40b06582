from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from kernelevolve.store import Candidate, Run, SchemaError, Store, StoreError, default_url, home, sqlite_url
from kernelevolve.store.engine import connect
from kernelevolve.store.migrate import MIGRATIONS, migrate, schema_version
from kernelevolve.store.schema import HEAD, metadata

NEXT = f'''
"""A column more."""
import sqlalchemy as sa
from alembic import op
revision, down_revision = "{HEAD + 1:04d}", "{HEAD:04d}"
def upgrade():
    op.add_column("runs", sa.Column("label", sa.Text, nullable=False, server_default="none"))
'''


def set_version(path: Path, version: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    connection.commit()
    connection.close()


def test_a_new_store_has_the_newest_schema(store: Store) -> None:
    assert store.schema_version == HEAD


def test_the_newest_schema_is_the_last_migration() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == f"{HEAD:04d}"


def test_the_migrations_make_the_tables_that_the_code_declares(url: str) -> None:
    engine = connect(url)
    migrate(engine)
    found = inspect(engine)
    assert set(found.get_table_names()) == {*metadata.tables, "alembic_version"}
    for table in metadata.tables.values():
        columns = {c["name"]: (str(c["type"]), c["nullable"]) for c in found.get_columns(table.name)}
        declared = {c.name: (str(c.type.compile(engine.dialect)), c.nullable) for c in table.columns}
        assert columns == declared
        assert {
            index["name"] for index in found.get_indexes(table.name) if not str(index["name"]).startswith("sqlite_")
        } == {index.name for index in table.indexes}
        assert len(found.get_foreign_keys(table.name)) == len(table.foreign_key_constraints)
    engine.dispose()


def test_a_store_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    Store.open(sqlite_url(path)).close()
    set_version(path, "0099")
    with pytest.raises(
        SchemaError, match=f"has schema 99, written by a newer kernelevolve; this one knows up to {HEAD}"
    ):
        Store.open(sqlite_url(path))


def test_an_older_store_is_migrated_with_its_data(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "s.db")
    with Store.open(url) as store:
        run = store.create_run(Run("softmax", "f", "a", "d", "l", "random", "p", 1))
    newer = tmp_path / "newer"
    shutil.copytree(MIGRATIONS, newer)
    (newer / "versions" / f"{HEAD + 1:04d}_label.py").write_text(NEXT)
    engine = connect(url)
    assert migrate(engine, scripts=newer, head=HEAD + 1) == HEAD
    assert schema_version(engine) == HEAD + 1
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT id, label FROM runs").all() == [(run.id, "none")]
    engine.dispose()
    with pytest.raises(SchemaError, match=f"has schema {HEAD + 1}"):
        Store.open(url)


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "s.db")
    Store.open(url).close()
    newer = tmp_path / "newer"
    shutil.copytree(MIGRATIONS, newer)
    (newer / "versions" / f"{HEAD + 1:04d}_label.py").write_text(NEXT + "    raise RuntimeError('half way')\n")
    engine = connect(url)
    with pytest.raises(RuntimeError, match="half way"):
        migrate(engine, scripts=newer, head=HEAD + 1)
    assert schema_version(engine) == HEAD
    assert "label" not in {column["name"] for column in inspect(engine).get_columns("runs")}
    engine.dispose()


def test_a_database_of_something_else_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks (id INTEGER)")
    connection.close()
    with pytest.raises(SchemaError, match=r"holds other tables \(bookmarks\)"):
        Store.open(sqlite_url(path))


def test_another_programs_alembic_database_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    Store.open(sqlite_url(path)).close()
    set_version(path, "ae1027a6acf")
    with pytest.raises(SchemaError, match="'ae1027a6acf', which is none of kernelevolve's"):
        Store.open(sqlite_url(path))


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "sqlite:///:memory:", "nosuchdatabase://here/there"])
def test_what_can_hold_no_store_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(StoreError, match=r"sqlite:///"):
        Store.open(url)


def test_the_safety_settings_are_in_force(store: Store, url: str) -> None:
    engine = connect(url)
    with engine.connect() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        }
    engine.dispose()
    assert pragma == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 1, "busy_timeout": 30_000}


def test_the_default_place_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERNELEVOLVE_HOME", str(tmp_path / "here"))
    assert home() == tmp_path / "here"
    assert default_url() == f"sqlite:///{tmp_path}/here/store.db"
    with Store.open() as store:
        run = store.create_run(Run("softmax", "f", "a", "d", "l", "random", "p", 1))
        store.add_candidate(Candidate(run.id, "seed"), "text")
        name = store.artifacts.put(b"binary")
    assert (tmp_path / "here" / "store.db").is_file()
    assert (tmp_path / "here" / "store.artifacts" / name[:2] / name[2:4] / name).read_bytes() == b"binary"


def test_without_the_variable_the_place_is_the_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERNELEVOLVE_HOME", raising=False)
    assert home().name == "kernelevolve"
