"""What it costs to keep a past: its size on both engines, the move between them, backup, restore, upgrade.

    python -m benchmarks.keeping [--events 1000000]

The past is that of tests/history.py: stories of visitors with their sales, refunds, spend and deals, taken
in by the pipeline and the leader. Commands are run as operators run them, with every commit on disk.
"""

import argparse
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from alembic import command as alembic
from alembic.config import Config
from sqlalchemy import func, select, text

from app import db, migrate, tables
from benchmarks import stores
from tests import history

MB = 10**6


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--past", type=Path, help="a data folder that was filled before")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clicktrail-keeping-") as folder:
        past = given.past or Path(folder)
        if given.past is None:
            with timed(f"fill {given.events:,} events"):
                history.fill(f"sqlite:///{past}/clicktrail.db", given.events).engine.dispose()
        facts = sizes_of_sqlite(past)
        backup_and_restore(past, Path(folder))
        with stores.store("postgresql") as target:
            with timed("migrate-database, compared"):
                print(clicktrail("migrate-database", "--to", target.url, "--data", str(past)), end="")
            sizes_of_postgresql(target, facts)
            upgrade(target)


@contextmanager
def timed(what: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    show(what, f"{time.monotonic() - begun:,.1f} s")


def show(what: str, value: str) -> None:
    print(f"  {what:<44}{value:>24}", flush=True)


def clicktrail(*arguments: str) -> str:
    words = [sys.executable, "-m", "app.cli", *arguments]
    environment = os.environ | {"CLICKTRAIL_DATABASE_URL": ""}
    done = subprocess.run(words, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    show(f"most memory of a command up to {arguments[0]}", f"{spent} MiB")
    return done.stdout


def sizes_of_sqlite(past: Path) -> int:
    """Bytes by table with its indexes; returns how many facts there are."""
    engine = db.connect(f"sqlite:///{past}/clicktrail.db", pool=1)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").close()
    with db.reading(engine) as connection:
        told = [tables.events, tables.sightings, tables.adjustments]
        facts = sum(connection.scalar(select(func.count()).select_from(table)) or 0 for table in told)
        show("events and reports of results", f"{facts:,}")
        size = (past / "clicktrail.db").stat().st_size
        show("SQLite, a million events", f"{size / facts * 1e6 / MB:,.0f} MB")
    engine.dispose()
    asked = "SELECT tbl_name, sum(pgsize) FROM dbstat JOIN sqlite_master USING (name) GROUP BY 1"
    with sqlite3.connect(f"file:{past}/clicktrail.db?mode=ro", uri=True) as plain:  # Python's own has dbstat
        by_table = dict(plain.execute(asked))
    _largest(by_table, facts)
    return facts


def _largest(by_table: dict[str, int], facts: int) -> None:
    for name, held in sorted(by_table.items(), key=lambda item: -item[1])[:8]:
        show(f"  {name} with its indexes", f"{held / facts:,.0f} bytes an event")


def backup_and_restore(past: Path, folder: Path) -> None:
    size = (past / "clicktrail.db").stat().st_size
    with timed(f"backup of {size / MB:,.0f} MB"):
        clicktrail("backup", str(folder / "saved"), "--data", str(past))
    with timed("restore, verified"):
        clicktrail("restore", str(folder / "saved"), "--data", str(folder / "box"))


def sizes_of_postgresql(target: stores.Store, facts: int) -> None:
    engine = target.connect()
    with db.reading(engine) as connection:
        size = connection.scalar(text("SELECT pg_database_size(current_database())")) or 0
        show("PostgreSQL, a million events", f"{size / facts * 1e6 / MB:,.0f} MB")
        asked = """
            SELECT coalesce(parent.relname, one.relname), sum(pg_total_relation_size(one.oid))
            FROM pg_class one LEFT JOIN pg_inherits ON inhrelid = one.oid
            LEFT JOIN pg_class parent ON parent.oid = inhparent
            WHERE one.relkind = 'r' AND one.relnamespace = 'public'::regnamespace GROUP BY 1
        """
        by_table = {name: int(held) for name, held in connection.execute(text(asked))}
    engine.dispose()
    _largest(by_table, facts)


def upgrade(target: stores.Store) -> None:
    """Down to each earlier revision and up again, with all that is there."""
    engine = target.connect()
    config = Config()
    config.set_main_option("script_location", str(migrate.folder()))

    def go(act: Callable[[Config, str], None], to: str) -> None:
        with db.begin(engine) as connection:
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            config.attributes["connection"] = connection
            act(config, to)

    for earlier, later in reversed([*pairwise(migrate.revisions())]):
        with timed(f"PostgreSQL, schema {later} -> {earlier}"):
            go(alembic.downgrade, earlier)
        with timed(f"PostgreSQL, schema {earlier} -> {later}"):
            go(alembic.upgrade, later)
        go(alembic.downgrade, earlier)
    engine.dispose()


if __name__ == "__main__":
    main()
