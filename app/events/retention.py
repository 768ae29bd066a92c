"""Raw events have their time: what is older than the months kept is taken away, for good.

On PostgreSQL their months are dropped, which takes a moment; what lies in no month, and all of it on SQLite,
is deleted in small batches. Books stay: rollups, conversions, bookings and credits. From the instant that is
written to `dropped` before anything goes, nothing is counted or credited anew by events that are gone.
"""

from collections.abc import Iterator

from sqlalchemy import Connection, Engine, delete, select

from app import bulk, db, tables
from app.events import months

EVENTS = "events"  # as `dropped` calls them

BATCH = 2_000  # rows deleted in one transaction
BATCHES = 5  # in one turn: the worker has other tasks


def dropped_before(connection: Connection) -> int:
    """Events that occurred before this instant may be gone; 0: all of them are there."""
    c = tables.dropped.c
    return int(connection.scalar(select(c.before).where(c.what == EVENTS)) or 0)


def drop_old(engine: Engine, now: int, keep: int) -> int:
    """Take away what occurred more than `keep` whole months before this one (0: nothing). Some of it each
    turn; returns how many rows were deleted one by one."""
    if not keep:
        return 0
    limit = months.begin(now, -keep)
    with db.reading(engine) as connection:
        before = dropped_before(connection)
    if before < limit:
        with db.begin(engine) as connection:
            _declare(connection, limit)
    return sum(_delete_some(engine, max(before, limit)))


def _declare(connection: Connection, limit: int) -> None:
    """Say that events before `limit` go, and drop their months in the same transaction.

    Nobody may be settling meanwhile: who began before this was written would go on reading what goes.
    """
    months.patiently(connection)
    db.lock(connection, db.Lock.LEADER)
    statement = bulk.insert(connection, tables.dropped).values(what=EVENTS, before=limit)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[tables.dropped.c.what], set_={"before": statement.excluded.before}
        )
    )
    months.drop(connection, limit)


def _delete_some(engine: Engine, limit: int) -> Iterator[int]:
    """Delete what is older, workspace by workspace, the oldest first, a batch in each transaction."""
    left = BATCHES
    with db.reading(engine) as connection:
        workspaces = list(connection.scalars(select(tables.workspaces.c.id)))
    for workspace in workspaces:
        while left and (deleted := _delete(engine, workspace, limit)):
            left -= 1
            yield deleted


def _delete(engine: Engine, workspace: int, limit: int) -> int:
    """Of one workspace some BATCH events. What occurred at one instant goes at once: a visit and the click
    that it stands for are never apart."""
    e = tables.events.c
    with db.reading(engine) as connection:
        instants = oldest(connection, workspace, limit)
    if not instants:
        return 0
    with db.begin(engine) as connection:
        gone = delete(tables.events).where(e.workspace == workspace, e.occurred_at <= instants[-1])
        return connection.execute(gone).rowcount


def oldest(connection: Connection, workspace: int, limit: int) -> list[int]:
    """When the first BATCH events before `limit` occurred."""
    e = tables.events.c
    old = select(e.occurred_at).where(e.workspace == workspace, e.occurred_at < limit)
    return list(connection.scalars(old.order_by(e.occurred_at).limit(BATCH)))
