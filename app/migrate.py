"""The one way a database gets its schema: Alembic, under a lock that encloses the look at what is there.

Alembic takes no lock, so eight processes that start on an empty database would all see it empty and all
create it. This file knows nothing of what the tables are for and fills none of them.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, make_url, text

from app import db

#: Any number, the same in every process: the advisory lock of schema changes on PostgreSQL.
ADVISORY_LOCK = 0x636C69636B


#: The oldest PostgreSQL that the tests run on.
OLDEST_POSTGRESQL = (15,)


class SchemaTooNew(RuntimeError):
    """The database was written by a newer Clicktrail than this one."""


def folder() -> Path:
    """Where the migrations are: beside this file in an installed wheel, beside `app/` in a checkout."""
    here = Path(__file__).parent
    packaged = here / "_migrations"
    return packaged if packaged.is_dir() else here.parent / "migrations"


def revisions() -> list[str]:
    """The numbers of all migrations this code has, oldest first: the history has one line, no branches."""
    return sorted(path.name[:4] for path in (folder() / "versions").glob("[0-9][0-9][0-9][0-9]_*.py"))


def revision(connection: Connection) -> str:
    """The migration the database stands at; "" when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return connection.scalar(text("SELECT version_num FROM alembic_version")) or ""


def migrate(url: str) -> tuple[str, str]:
    """Bring the database to this code's schema. Returns the revision (before, after).

    Processes that arrive together queue; the first does the work. The whole upgrade is one transaction,
    so a kill in its midst leaves the old schema. `SchemaTooNew` when the database is ahead of the code.
    """
    engine = db.connect(url)
    try:
        with _lock(engine, url):
            with db.reading(engine) as connection:
                before = revision(connection)
            known = revisions()
            if before and before not in known:
                raise SchemaTooNew(
                    f"the database has schema {before}, and this Clicktrail knows only up to {known[-1]}: "
                    "a newer version has written it. Run that version, or restore a backup made before it"
                )
            if before != known[-1]:
                with db.begin(engine) as connection:
                    _upgrade(connection)
            return before, known[-1]
    finally:
        engine.dispose()


def _upgrade(connection: Connection) -> None:
    # Imported here: it takes as long as everything else together, and most starts have nothing to upgrade.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def _lock(engine: Engine, url: str) -> Iterator[None]:
    """Held by one process at a time, for as long as it looks and works; the system frees it at any death."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        with engine.connect() as connection:  # session-level: it outlives the transactions of the upgrade
            _check_version(connection)
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
            connection.commit()
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
                connection.commit()
    elif parsed.database in (None, "", ":memory:"):
        yield  # nobody else can see it
    else:
        with open(f"{parsed.database}.migrate.lock", "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _check_version(connection: Connection) -> None:
    found = connection.dialect.server_version_info or ()
    if found < OLDEST_POSTGRESQL:
        told, oldest = (".".join(map(str, version)) for version in (found, OLDEST_POSTGRESQL))
        raise RuntimeError(f"the database is PostgreSQL {told}; {oldest} or newer is needed")
