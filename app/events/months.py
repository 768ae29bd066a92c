"""The months of the event table on PostgreSQL: made ahead, so that nothing waits for one; dropped when old.

What belongs to no month (a clock far off, a month not made yet) lies in `events_rest`, and is moved when
its month is made. SQLite has one table; there is nothing to do here.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import Connection, exists, select, text

from app import db, tables

AHEAD = 3
BEHIND = 1
LOCK_SECONDS = 5  # a report that reads for longer is not made to wait: the next turn tries again

REST = "events_rest"

_start = datetime(1970, 1, 1, tzinfo=UTC)


def make_months(connection: Connection, now: int) -> int:
    """See to last month, this one and the next three; returns how many were made."""
    here = _month(now)
    return make(connection, here - BEHIND, here + AHEAD)


def make_months_between(connection: Connection, first: int, last: int) -> int:
    """See to all months from one instant to another: before old events are copied in."""
    return make(connection, _month(first), _month(last))


def make(connection: Connection, first: int, last: int) -> int:
    if connection.dialect.name != "postgresql":
        return 0
    patiently(connection)
    db.lock(connection, db.Lock.MONTHS)
    known = _parts(connection)
    missing = [(name, low, high) for name, low, high in _months(first, last) if name not in known]
    for name, low, high in missing:
        _make(connection, name, low, high)
    return len(missing)


def drop(connection: Connection, before: int) -> int:
    """Drop the months that lie wholly before an instant; returns how many."""
    if connection.dialect.name != "postgresql":
        return 0
    db.lock(connection, db.Lock.MONTHS)
    old = sorted(name for name in _parts(connection) if name != REST and _end(name) <= before)
    for name in old:
        connection.execute(text(f"DROP TABLE {name}"))
    return len(old)


def patiently(connection: Connection) -> None:
    """Wait for others some seconds and no longer, in this transaction."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))


def begin(now: int, months: int) -> int:
    """The first instant of the month so many months after that of `now` (UTC)."""
    return _instant(_month(now) + months)


def _parts(connection: Connection) -> set[str]:
    parts = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass"
    return set(connection.scalars(text(parts)))


def _end(name: str) -> int:
    """The instant at which the month of this part is over."""
    _, year, month = name.split("_")
    return _instant(int(year) * 12 + int(month))


def _make(connection: Connection, name: str, low: int, high: int) -> None:
    """Make the month beside the table and attach it: unlike PARTITION OF, readers do not wait for that."""
    c = tables.events.c
    connection.execute(text(f"CREATE TABLE {name} (LIKE events INCLUDING DEFAULTS INCLUDING INDEXES)"))
    inside = f"occurred_at >= {low} AND occurred_at < {high}"
    if connection.scalar(select(exists().where(c.occurred_at >= low, c.occurred_at < high))):
        moved = f"DELETE FROM {REST} WHERE {inside} RETURNING *"  # noqa: S608 - numbers of ours
        connection.execute(text(f"WITH moved AS ({moved}) INSERT INTO {name} SELECT * FROM moved"))  # noqa: S608
    connection.execute(text(f"ALTER TABLE {name} ADD CONSTRAINT inside CHECK ({inside})"))  # spares a scan
    connection.execute(
        text(f"ALTER TABLE events ATTACH PARTITION {name} FOR VALUES FROM ({low}) TO ({high})")
    )
    connection.execute(text(f"ALTER TABLE {name} DROP CONSTRAINT inside"))


def _month(at: int) -> int:
    """The month of an instant (UTC), counted from year 0."""
    moment = datetime.fromtimestamp(at // 1_000_000, UTC)
    return moment.year * 12 + moment.month - 1


def _months(first: int, last: int) -> Iterator[tuple[str, int, int]]:
    for month in range(first, last + 1):
        yield f"events_{month // 12}_{month % 12 + 1:02}", _instant(month), _instant(month + 1)


def _instant(month: int) -> int:
    return int((datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC) - _start).total_seconds()) * 1_000_000
