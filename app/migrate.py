"""The one way a database gets its schema: Alembic, under a lock that encloses the look at what is there.

Alembic takes no lock, so eight processes that start on an empty database would all see it empty and all
create it. This file knows nothing of what the tables are for and fills none of them.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from app import db

#: Any number, the same in every process: the advisory lock of schema changes on PostgreSQL.
ADVISORY_LOCK = 0x636C69636B

#: The oldest PostgreSQL that the tests run on, as `server_version_num` tells it.
OLDEST_POSTGRESQL = 150_000


class DatabaseTooOld(RuntimeError):
    """The database server is older than what the tests run on."""


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
        with _alone(engine) as connection:
            before = revision(connection)
            known = revisions()
            if before and before not in known:
                raise SchemaTooNew(
                    f"the database has schema {before}, and this Clicktrail knows only up to {known[-1]}: "
                    "a newer version has written it. Run that version, or restore a backup made before it"
                )
            if before != known[-1]:
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
def _alone(engine: Engine) -> Iterator[Connection]:
    """A write transaction of one process at a time, for as long as it looks and works; any death ends it."""
    with _file_lock(engine), db.begin(engine) as connection:
        if engine.dialect.name == "postgresql":
            check_version(connection)
            # The transaction's own lock: one of the session would stay behind with whoever PgBouncer hands
            # the connection to. Waiting for it, and a long upgrade, may take longer than any other statement.
            for limit in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
                connection.execute(text(f"SET LOCAL {limit} = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        yield connection


@contextmanager
def _file_lock(engine: Engine) -> Iterator[None]:
    """On SQLite, whose own lock is waited for some seconds only, the lock of a file beside the database."""
    parsed = engine.url
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        yield
    else:
        with open(f"{parsed.database}.migrate.lock", "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def check_version(connection: Connection) -> int:
    """A PostgreSQL server's `server_version_num`; DatabaseTooOld when it is older than what we promise."""
    number = int(connection.scalar(text("SHOW server_version_num")) or 0)
    if told := too_old(number):
        raise DatabaseTooOld(told)
    return number


def too_old(number: int) -> str:
    """What to tell of a server with this `server_version_num`; "" when it is new enough."""
    if number >= OLDEST_POSTGRESQL:
        return ""
    return f"the database is PostgreSQL {version(number)}; {version(OLDEST_POSTGRESQL)} or newer is needed"


def version(number: int) -> str:
    """`server_version_num` as people say it: 150014 is 15.14, 90624 was 9.6.24."""
    major, rest = divmod(number, 10_000)
    return f"{major}.{rest}" if major >= 10 else f"{major}.{rest // 100}.{rest % 100}"
