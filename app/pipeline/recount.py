"""The traffic rollups, counted again from the events: how a changed time zone is applied, and how a test
proves that what is kept by -old +new is what a count would say."""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Table, delete, func, select

from app import bulk, db, tables
from app.events.retention import dropped_before
from app.model import DAY, QUARTER
from app.pipeline.facts import Cells, Facts, Traffic, cells_rows
from app.tables import TRAFFIC_MEASURES

ROLLUPS = (
    tables.traffic_days, tables.traffic_campaign_days, tables.traffic_places, tables.traffic_quarters,
)  # fmt: skip


def counted(connection: Connection, workspace: int, zone: str) -> tuple[Cells, ...]:
    """The cells of ROLLUPS by a count of all events."""
    e = tables.events.c
    # `//` is integer division in every engine; "/" would not be.
    quarter = (e.occurred_at // QUARTER).label("quarter")
    by = (
        quarter, e.kind, e.flags, e.billable, e.channel_id, e.campaign_id, e.ad_id, e.partner_id, e.country,
        e.device, e.quality,
    )  # fmt: skip
    facts = Facts()
    statement = select(*by, func.count()).where(e.workspace == workspace).group_by(*by)
    for at, kind, flags, billable, *rest, n in connection.execute(statement):
        facts.count(Traffic(workspace, zone, kind, at * QUARTER, flags, billable, *rest), n)
    return facts.days, facts.campaign_days, facts.places, facts.quarters


def rebuild(connection: Connection, workspace: int, zone: str) -> None:
    """Replace the workspace's traffic rollups by a count, in the caller's transaction.

    Days of which retention took events stay as they are. The first day after them begins at another
    midnight now: what lies between the two goes to the day before it, so that no event is lost or doubled.
    """
    db.lock(connection, db.Lock.FACTS, workspace)  # a pipeline that adds meanwhile would be lost or doubled
    dropped = dropped_before(connection)
    for table, cells in zip(ROLLUPS, counted(connection, workspace, zone), strict=True):
        if dropped:
            _rebuild_since(connection, table, workspace, _whole_since(table, dropped), cells)
        else:
            connection.execute(delete(table).where(table.c.workspace == workspace))
            bulk.add(connection, table, list(cells_rows(cells)))


def _whole_since(table: Table, dropped: int) -> int:
    """The first quarter, or day in any zone, that is kept whole, and so is the one before it."""
    return dropped // QUARTER + 1 if "quarter" in table.c else dropped // DAY + 3


def _rebuild_since(connection: Connection, table: Table, workspace: int, since: int, cells: Cells) -> None:
    by, measures = table.primary_key.columns.values()[2:], [table.c[name] for name in TRAFFIC_MEASURES]
    time = table.primary_key.columns.values()[1]
    here = (table.c.workspace == workspace, time >= since)
    booked = connection.execute(select(*by, *(func.sum(m) for m in measures)).where(*here).group_by(*by))
    seam: dict[tuple[int, ...], NDArray[np.int64]] = defaultdict(lambda: np.zeros(len(measures), np.int64))
    for row in booked:
        seam[tuple(row[: len(by)])] += np.array(row[len(by) :], dtype=np.int64)
    kept = {key: cell for key, cell in cells.items() if key[1] >= since}
    for key, cell in kept.items():
        seam[key[2:]] -= np.array(cell)
    kept |= {(workspace, since - 1, *key): left.tolist() for key, left in seam.items() if left.any()}
    connection.execute(delete(table).where(*here))
    bulk.add(connection, table, list(cells_rows(kept)))
