"""How long each class of data is kept, who sees to it, and the proof that nothing is kept longer.

CLASSES is the whole list. What is kept for ever is named too: books and digests, and the identifiers of
persons until they are erased (docs/rights.md). Raw events are events.retention's; what goes by age alone is
deleted here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, delete, func, select

from app import bulk, db, tables
from app.collect.visitor import MAX_AGE
from app.events import months
from app.model import DAY, HOUR, SECOND

RECEIPT_DAYS = 7
SOURCE_HOURS_DAYS, SOURCE_DAYS_DAYS = 60, 400  # as far as the list of silent sources looks back

BATCH = 2_000  # rows deleted in one transaction, and those of the same instant
NO_WORKSPACE = 0  # of records that nobody could read
NOTED_EVERY = HOUR  # how often a run that found nothing is written down


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings say."""

    retention_months: int
    rejected_days: int
    audit_days: int


@dataclass(frozen=True, slots=True)
class Class:
    """A class of data. `before` gives the instant before which nothing may be held (None: kept for ever)."""

    what: str
    kept: Callable[[Limits], str]
    setting: str
    before: Callable[[int, Limits], int | None]
    table: Table | None = None
    time: str = ""
    unit: int = 1  # us of one unit of that column


def _days(days: int) -> str:
    return f"{days} days" if days else "for ever"


def _since(now: int, days: int) -> int | None:
    return now - days * DAY if days else None


def _events_before(now: int, limits: Limits) -> int | None:
    return months.begin(now, -limits.retention_months) if limits.retention_months else None


def _never(_now: int, _limits: Limits) -> None:
    return None


CLASSES: tuple[Class, ...] = (
    Class(
        "raw events",
        lambda limits: f"{limits.retention_months} whole months" if limits.retention_months else "for ever",
        "CLICKTRAIL_RETENTION_MONTHS",
        _events_before,
        tables.events,
        "occurred_at",
    ),
    Class("visitor cookie", lambda limits: f"{MAX_AGE * SECOND // DAY} days, in the browser", "", _never),
    Class(
        "receipts",
        lambda limits: _days(RECEIPT_DAYS),
        "",
        lambda now, limits: _since(now, RECEIPT_DAYS),
        tables.outcomes,
        "at",
    ),
    Class(
        "rejected records",
        lambda limits: _days(limits.rejected_days),
        "CLICKTRAIL_REJECTED_DAYS",
        lambda now, limits: _since(now, limits.rejected_days),
        tables.rejected,
        "at",
    ),
    Class(
        "audit log",
        lambda limits: _days(limits.audit_days),
        "CLICKTRAIL_AUDIT_DAYS",
        lambda now, limits: _since(now, limits.audit_days),
        tables.audit_log,
        "at",
    ),
    Class(
        "who sends, by the hour",
        lambda limits: _days(SOURCE_HOURS_DAYS),
        "",
        lambda now, limits: _since(now, SOURCE_HOURS_DAYS),
        tables.source_hours,
        "hour",
        unit=HOUR,
    ),
    Class(
        "who sends, by the day",
        lambda limits: _days(SOURCE_DAYS_DAYS),
        "",
        lambda now, limits: _since(now, SOURCE_DAYS_DAYS),
        tables.source_days,
        "day",
        unit=DAY,
    ),
    Class("salt of visitors without cookies", lambda limits: "until its day (UTC) is over", "", _never),
    Class("leads and sales", lambda limits: "until erased", "", _never, tables.sightings, "occurred_at"),
    Class("identities", lambda limits: "until erased", "", _never, tables.edges, "first_seen"),
    Class("books (credits, bookings, totals) and digests of ids", lambda limits: "for ever", "", _never),
)

#: Deleted here, by age alone.
AGED = (
    "receipts", "rejected records", "audit log", "who sends, by the hour", "who sends, by the day",
)  # fmt: skip


def drop_old(engine: Engine, now: int, limits: Limits) -> int:
    """Delete all that is past its time, in batches; returns how many rows went."""
    gone = 0
    for one in CLASSES:
        before = one.before(now, limits)
        if one.what in AGED and before is not None and one.table is not None:
            removed = sum(_batches(engine, one.table, one.time, before // one.unit))
            ran(engine, one.what, removed=removed, now=now)
            gone += removed
    return gone


def _batches(engine: Engine, table: Table, time: str, before: int) -> Iterator[int]:
    """The oldest BATCH rows at a time, workspace by workspace, until none is left; how many each time."""
    if "workspace" not in table.c:
        yield from _oldest(engine, table, table.c[time], before)
        return
    with db.reading(engine) as connection:
        workspaces = list(connection.scalars(select(tables.workspaces.c.id)))
    for workspace in (NO_WORKSPACE, *workspaces):
        yield from _oldest(engine, table, table.c[time], before, table.c.workspace == workspace)


def _oldest(
    engine: Engine, table: Table, time: ColumnElement[int], before: int, *of: ColumnElement[bool]
) -> Iterator[int]:
    while True:
        with db.reading(engine) as connection:
            old = select(time).where(*of, time < before).order_by(time).limit(BATCH)
            instants = list(connection.scalars(old))
        if not instants:
            return
        with db.begin(engine) as connection:
            yield connection.execute(delete(table).where(*of, time <= instants[-1])).rowcount


def _unnoted(engine: Engine, what: str, now: int) -> bool:
    k = tables.keeping_runs.c
    with db.reading(engine) as connection:
        ran = connection.scalar(select(k.ran_at).where(k.what == what))
    return ran is None or abs(now - ran) > NOTED_EVERY


def ran(engine: Engine, what: str, *, removed: int, now: int) -> None:
    """Write down that a class was looked through, at most once an hour when nothing went."""
    if removed or _unnoted(engine, what, now):
        with db.begin(engine) as connection:
            note(connection, what, removed=removed, now=now)


def note(connection: Connection, what: str, *, removed: int, now: int) -> None:
    k = tables.keeping_runs.c
    statement = bulk.insert(connection, tables.keeping_runs).values(what=what, ran_at=now, removed=removed)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[k.what], set_={"ran_at": now, "removed": k.removed + statement.excluded.removed}
        )
    )


def report(connection: Connection, workspace: int, *, now: int, limits: Limits) -> list[dict[str, Any]]:
    """Per class: its limit, the oldest row still held, rows past their time, and when it was looked through.

    Rows without a workspace (receipts) are everybody's.
    """
    k = tables.keeping_runs.c
    runs = {row.what: row for row in connection.execute(select(tables.keeping_runs).order_by(k.what))}
    found = []
    for one in CLASSES:
        before = one.before(now, limits)
        oldest, past = _held(connection, one, workspace, before)
        run = runs.get(one.what)
        found.append(
            {
                "what": one.what,
                "kept": one.kept(limits),
                "setting": one.setting,
                "before": before,
                "oldest": oldest,
                "past": past,
                "looked_through_at": run.ran_at if run else None,
                "removed": run.removed if run else 0,
            }
        )
    return found


def _held(connection: Connection, one: Class, workspace: int, before: int | None) -> tuple[int | None, int]:
    if one.table is None:
        return None, 0
    time = one.table.c[one.time]
    own = [one.table.c.workspace == workspace] if "workspace" in one.table.c else []
    first = connection.scalar(select(func.min(time)).where(*own))
    if first is None:
        return None, 0
    if before is None or first >= before // one.unit:
        return first * one.unit, 0
    past = select(func.count()).where(*own, time < before // one.unit)
    return first * one.unit, int(connection.scalar(past) or 0)
