"""Schemas of earlier versions, for tests of upgrades on either engine: down, up, killed, compared."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, func, select, text

from app import db, migrate, tables

#: Bring a database up to date, as every start does; what it needs is loaded before it says so.
PROGRAM = """
import sys
from alembic import command
from app.migrate import migrate
print("begun", flush=True)
migrate(sys.argv[1])
"""


def go(url: str, act: str, to: str) -> None:
    """Bring a database to a revision: go(url, "downgrade", "0001")."""
    config = Config()
    config.set_main_option("script_location", str(migrate.folder()))
    engine = db.connect(url, pool=1)
    with db.begin(engine) as connection:
        config.attributes["connection"] = connection
        getattr(command, act)(config, to)
    engine.dispose()


def stands_at(url: str) -> str:
    with _reading(url) as connection:
        return migrate.revision(connection)


def shape(url: str) -> list[tuple[str, ...]]:
    """All tables, columns and indexes of a database, as its own catalogue tells them."""
    with _reading(url) as connection:
        if connection.dialect.name == "sqlite":
            asked = "SELECT type, name, coalesce(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
        else:
            asked = """
                SELECT table_name, column_name, data_type || is_nullable || coalesce(column_default, '')
                FROM information_schema.columns WHERE table_schema = 'public'
                UNION ALL SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
                UNION ALL SELECT relname, relkind::text, coalesce(reloptions::text, '') FROM pg_class
                WHERE relnamespace = 'public'::regnamespace
            """
        return sorted(tuple(row) for row in connection.execute(text(asked)))


def unlike_the_tables(url: str) -> list[object]:
    """What differs from app/tables.py, as alembic sees it."""
    with _reading(url) as connection:
        return list(compare_metadata(MigrationContext.configure(connection), tables.metadata))


def counts(url: str) -> dict[str, int]:
    with _reading(url) as connection:
        there = {name for name, *_ in shape(url)} | {name for _, name, *_ in shape(url)}
        known = [table for table in tables.metadata.sorted_tables if table.name in there]
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0 for table in known
        }


@contextmanager
def _reading(url: str) -> Iterator[Connection]:
    engine = db.connect(url, pool=1)
    with db.reading(engine) as connection:
        yield connection
    engine.dispose()


def killed(url: str, moment: float) -> bool:
    """Bring it up to date and kill that after so many seconds; whether it was still at it."""
    words = [sys.executable, "-c", PROGRAM, url]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        under_way = process.poll() is None
        process.kill()
    return under_way
