"""The schema comes about once, whole, under a lock, and is what app/tables.py says."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from app import db, migrate, tables


def shape(connection: Connection) -> dict[str, str]:
    """The DDL of everything in a SQLite database, by name, on one line each."""
    rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"))
    return {name: " ".join((sql or "").split()) for name, sql in rows if name != "alembic_version"}


# An index on an expression cannot be read back from SQLite; its text is compared in `shape`.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
def test_the_migrations_make_exactly_what_the_tables_say(tmp_path: Path) -> None:
    migrated, created = f"sqlite:///{tmp_path}/migrated.db", f"sqlite:///{tmp_path}/created.db"
    migrate.migrate(migrated)
    with db.begin(db.connect(created)) as connection:
        tables.metadata.create_all(connection)
        wanted = shape(connection)
    with db.reading(db.connect(migrated)) as connection:
        assert shape(connection) == wanted
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []


def test_every_table_is_strict(tmp_path: Path) -> None:
    migrate.migrate(f"sqlite:///{tmp_path}/a.db")
    with db.reading(db.connect(f"sqlite:///{tmp_path}/a.db")) as connection:
        rows = connection.execute(text("SELECT name, strict FROM pragma_table_list WHERE type = 'table'"))
        assert {name for name, strict in rows if not strict} <= {"alembic_version", "sqlite_schema"} | {
            "sqlite_temp_schema", "sqlite_sequence"
        }  # fmt: skip


def test_a_second_run_finds_nothing_to_do(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    head = migrate.revisions()[-1]
    assert migrate.migrate(url) == ("", head)
    assert migrate.migrate(url) == (head, head)


def test_a_failed_upgrade_leaves_nothing_behind(tmp_path: Path) -> None:
    engine = db.connect(f"sqlite:///{tmp_path}/a.db")
    with db.begin(engine) as connection:
        connection.execute(text("CREATE TABLE workspaces (other INTEGER)"))
    with pytest.raises(Exception, match="workspaces already exists"):
        migrate.migrate(f"sqlite:///{tmp_path}/a.db")
    with db.reading(engine) as connection:
        assert set(shape(connection)) == {"workspaces"}


def test_a_schema_newer_than_the_code_is_refused_by_name(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    migrate.migrate(url)
    with db.begin(db.connect(url)) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    with pytest.raises(migrate.SchemaTooNew, match="has schema 0999.* only up to " + migrate.revisions()[-1]):
        migrate.migrate(url)
