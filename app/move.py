"""From SQLite to PostgreSQL: every table copied in one transaction, then read again on both sides.

The source is held against writers and read as one snapshot; the target must be empty, and is so again when
anything fails. Where each inbox file stood goes along, so the same data folder is drained on from there.
"""

import fcntl
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, Table, delete, func, make_url, select, text

from app import bulk, db, tables
from app.events import months
from app.metrics import formats, query, run
from app.metrics.catalogue import METRICS
from app.migrate import migrate
from app.model import DAY
from app.settings import Settings

CHUNK = 10_000
OLDEST = 5 * 366 * DAY  # events older than this before the newest get no month of their own

#: What the check asks of every workspace, for all time: each total and each day of every metric.
REPORTS: tuple[dict[str, object], ...] = (
    {},
    {"dimensions": ["time:month"]},
    {"dimensions": ["campaign"], "by": "touch"},
    {"dimensions": ["channel"], "by": "booking"},
)

#: told(what, done, of): how far it is.
Told = Callable[[str, int, int], None]


class Refused(RuntimeError):
    """Nothing was moved; the message says why."""


def move(settings: Settings, target: str, *, now: int, told: Told) -> dict[str, int]:
    """Copy everything into the empty PostgreSQL database `target` and compare; returns rows by table."""
    if not settings.database.startswith("sqlite"):
        raise Refused("the present database is not SQLite")
    if not target.startswith("postgresql"):
        raise Refused("the target must be a postgresql:// URL")
    if not (path := Path(make_url(settings.database).database or "")).is_file():
        raise Refused(f"there is no database at {path}")
    with _worker_stopped(settings):
        migrate(settings.database)
        migrate(target)
        here, there = db.connect(settings.database, pool=1), db.connect(target, pool=1)
        try:
            # Two write transactions: meanwhile nothing is configured here, and nobody starts there.
            with db.begin(here) as source, db.begin(there) as connection:
                copied = _move(source, connection, now, told)
        finally:
            here.dispose()
            there.dispose()
    return {table.name: count for table, (count, _) in copied.items()}


def _move(source: Connection, target: Connection, now: int, told: Told) -> dict[Table, tuple[int, bytes]]:
    """Copy and compare, inside two transactions; returns rows and digest by table."""
    db.lock(target, db.Lock.SETTINGS)
    every = tables.metadata.sorted_tables
    if full := [table.name for table in every if target.execute(select(table).limit(1)).first()]:
        raise Refused(f"the target is not empty: {full[0]} holds rows")
    target.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    copied = {table: _copy(source, target, table, told) for table in every}
    target.execute(text("ANALYZE"))
    for table, (count, digest) in copied.items():
        if digest != _digest(target, table, told, count):
            raise Refused(f"{table.name} is not equal after the copy; nothing was moved")
    _compare_reports(source, target, now)
    # How far this worker had drained everything: on PostgreSQL each worker says it under a name of its own,
    # and one that never speaks again would hold back what all of them are known to have in.
    target.execute(delete(tables.cursors).where(tables.cursors.c.file == b""))
    return copied


@contextmanager
def _worker_stopped(settings: Settings) -> Iterator[None]:
    """Keep the worker out: what it would still drain into the old database would be missing in the new."""
    with (settings.data / "worker.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"a worker runs on {settings.data}: stop Clicktrail first") from None
        yield


def _rows(connection: Connection, table: Table) -> Iterator[list[tuple[object, ...]]]:
    """A table in the order of its key, by chunks."""
    statement = select(table).order_by(*table.primary_key).execution_options(yield_per=CHUNK)
    with connection.execute(statement) as result:
        for part in result.partitions():
            yield [tuple(row) for row in part]


def _copy(source: Connection, target: Connection, table: Table, told: Told) -> tuple[int, bytes]:
    """Copy a table; returns how many rows, and their digest."""
    total = int(source.scalar(select(func.count()).select_from(table)) or 0)
    if table is tables.events and total:
        c = table.c.occurred_at
        first, last = source.execute(select(func.min(c), func.max(c))).one()
        months.make_months_between(target, max(first, last - OLDEST), last)
    names = [column.name for column in table.columns]
    digest, done = hashlib.sha256(), 0
    told(table.name, 0, total)
    for rows in _rows(source, table):
        bulk.append(target, table, names, rows)
        for row in rows:
            digest.update(msgspec.msgpack.encode(row))
        done += len(rows)
        told(table.name, done, total)
    if done and "id" in table.c and target.scalar(sequence := _sequence(table)):
        highest = select(func.max(table.c.id)).scalar_subquery()
        target.execute(select(func.setval(sequence.scalar_subquery(), highest)))
    return done, digest.digest()


def _sequence(table: Table) -> Select[Any]:
    """Where the next id of a table comes from; NULL when ids are given from elsewhere."""
    return select(func.pg_get_serial_sequence(table.name, "id"))


def _digest(target: Connection, table: Table, told: Told, total: int) -> bytes:
    digest, done = hashlib.sha256(), 0
    for rows in _rows(target, table):
        for row in rows:
            digest.update(msgspec.msgpack.encode(row))
        done += len(rows)
        told(f"compare {table.name}", done, total)
    return digest.digest()


def _compare_reports(source: Connection, target: Connection, now: int) -> None:
    for workspace in source.scalars(select(tables.workspaces.c.id)).all():
        for asked in REPORTS:
            if report(source, workspace, asked, now) != report(target, workspace, asked, now):
                raise Refused(f"a report of workspace {workspace} is not equal; nothing was moved")


def report(connection: Connection, workspace: int, asked: dict[str, object], now: int) -> bytes:
    """Every metric of a workspace for all time, as bytes."""
    house = run.house(connection, workspace)
    context = run.context(connection, house, now=now, everything=True)
    raw = {"metrics": [metric.slug for metric in METRICS], "date_range": "all", **asked}
    answer = run.answer(connection, house, query.parse(raw, context))
    return formats.FORMATS[answer.query.format][1](answer)
