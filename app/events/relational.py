"""The event store in the relational database: what happened, appended in batches, read as journeys."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Integer, and_, literal_column, or_, select

from app import bulk, tables

#: The weeks by which `events_journey` is ordered on SQLite; PostgreSQL has its months.
WEEK = 604_800_000_000

COLUMNS = tuple(column.name for column in tables.events.columns if column.name != "id")


def append(connection: Connection, rows: Sequence[Sequence[object]]) -> None:
    """Add events; `rows` hold tables.events's columns after `id`, in its order."""
    bulk.append(connection, tables.events, COLUMNS, rows)


#: The columns of a journey, all of them in the index `events_journey`: the table itself is not read.
JOURNEY = (
    "visitor", "no", "kind", "occurred_at", "flags", "direct",
    "channel_id", "campaign_id", "ad_id", "partner_id", "country", "device",
)  # fmt: skip


def journeys(
    connection: Connection, visitors: Sequence[int], *, since: Mapping[int, int], until: int, flags: int
) -> NDArray[np.int64]:
    """Events of `visitors` (node numbers) up to `until`, as an array of (JOURNEY, rows).

    Of each kind in `since` those after its instant; without those that have a flag outside the mask
    `flags` (0: only valid ones, -1: all).
    """
    c = tables.events.c
    kinds = [and_(c.kind == kind, c.occurred_at > instant) for kind, instant in since.items()]
    statement = select(*(c[name] for name in JOURNEY)).where(
        *during(connection, min(since.values()), until),
        bulk.among(connection, c.visitor, visitors),
        c.flags.op("|")(flags) == flags,
        or_(*kinds),
    )
    return bulk.integers(connection, statement)


def during(connection: Connection, after: int, until: int) -> list[ColumnElement[bool]]:
    """(after, until] as conditions by which `events_journey` is found: its weeks named one by one."""
    at = tables.events.c.occurred_at
    exact = [at > after, at <= until]
    if connection.dialect.name != "sqlite":
        return exact
    week = literal_column(f"(occurred_at / {WEEK})", Integer())
    weeks = range(max(after, 0) // WEEK, until // WEEK + 1)
    return [*exact, bulk.among(connection, week, weeks)]


def recorded(connection: Connection, workspace: int, clicks: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """The events with these (occurred_at, no), as an array of (JOURNEY, rows)."""
    c = tables.events.c
    wanted = set(clicks)
    statement = select(*(c[name] for name in JOURNEY)).where(
        c.workspace == workspace,
        bulk.among(connection, c.occurred_at, sorted({at for at, _ in wanted})),
        bulk.among(connection, c.no, sorted({no for _, no in wanted})),
    )
    found = bulk.integers(connection, statement)
    at, no = (found[JOURNEY.index(name)].tolist() for name in ("occurred_at", "no"))
    return found[:, [pair in wanted for pair in zip(at, no, strict=True)]]
