"""The traffic rollups, counted again from the events: how a changed time zone is applied, and how a test
proves that what is kept by -old +new is what a count would say."""

from sqlalchemy import Connection, delete, func, select

from app import db, tables
from app.model import QUARTER
from app.pipeline.facts import Cells, Facts, Traffic, cells_rows

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
        e.device,
    )  # fmt: skip
    facts = Facts()
    statement = select(*by, func.count()).where(e.workspace == workspace).group_by(*by)
    for at, kind, flags, billable, channel, campaign, ad, partner, country, device, n in connection.execute(
        statement
    ):
        facts.count(
            Traffic(
                workspace, zone, kind, at * QUARTER, flags, billable, channel, campaign, ad, partner,
                country, device,
            ),
            n,
        )  # fmt: skip
    return facts.days, facts.campaign_days, facts.places, facts.quarters


def rebuild(connection: Connection, workspace: int, zone: str) -> None:
    """Replace the workspace's traffic rollups by a count, in the caller's transaction."""
    db.lock(connection, db.Lock.FACTS, workspace)  # a pipeline that adds meanwhile would be lost or doubled
    for table, cells in zip(ROLLUPS, counted(connection, workspace, zone), strict=True):
        connection.execute(delete(table).where(table.c.workspace == workspace))
        db.add(connection, table, list(cells_rows(cells)))
