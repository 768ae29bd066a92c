"""What of a campaign is not in its row: its channel's slug, and the dated source of its media cost.

Read by pages, not by campaign; written with the campaign, in the same transaction.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select

from app import bulk, tables
from app.campaigns import slugs
from app.campaigns.changes import Desk
from app.errors import InvalidInput

DEFAULT = "spend_else_deals"
ALWAYS = 0  # the day from which a campaign's first source holds


def add(desk: Desk, things: list[dict[str, Any]], rows: Sequence[Row[Any]]) -> None:
    """Put `channel`, `cost_source` and `cost_sources` into the things read from `rows`."""
    channels = slugs.names(desk.connection, tables.channels, [row.channel_id for row in rows])
    dated = _cost_sources(desk, [row.id for row in rows])
    for thing, row in zip(things, rows, strict=True):
        history = dated.get(row.id, [])
        in_force = [source for since, source in history if since <= desk.today]
        thing["channel"] = channels.get(row.channel_id)
        thing["cost_source"] = in_force[-1] if in_force else DEFAULT
        thing["cost_sources"] = [
            {"cost_source": source, "cost_source_from": None if since == ALWAYS else since}
            for since, source in history
        ]


def _cost_sources(desk: Desk, campaigns: list[int]) -> dict[int, list[tuple[int, str]]]:
    c = tables.cost_sources.c
    rows = select(c.campaign_id, c.valid_from, c.cost_source).order_by(c.campaign_id, c.valid_from)
    rows = rows.where(c.workspace == desk.workspace, c.campaign_id.in_(campaigns))
    found: dict[int, list[tuple[int, str]]] = {}
    for campaign_id, since, source in desk.connection.execute(rows):
        found.setdefault(campaign_id, []).append((since, source))
    return found


def put(desk: Desk, campaign_id: int, values: dict[str, Any]) -> dict[str, Any]:
    """Write what belongs to other tables; returns what belongs into the campaign's own row.

    A source without a day holds from today, a campaign's first from always. A channel that nobody
    registered yet gets a row of its own, as it would from an event.
    """
    source, since = values.get("cost_source"), values.get("cost_source_from")
    if since is not None and source is None:
        raise InvalidInput(
            "cost_source_missing", "cost_source: is required with cost_source_from", field="cost_source"
        )
    if source is not None:
        _put_source(desk, campaign_id, source, since=since)
    if "channel" not in values:
        return {}
    channel = values["channel"]
    if channel is None:
        return {"channel_id": 0}
    return {"channel_id": slugs.ensure(desk.connection, tables.channels, desk.workspace, channel)}


def _put_source(desk: Desk, campaign_id: int, source: str, *, since: int | None) -> None:
    table = tables.cost_sources
    history = _cost_sources(desk, [campaign_id]).get(campaign_id, [])
    if since is None:
        in_force = [standing for day, standing in history if day <= desk.today]
        if in_force and in_force[-1] == source:
            return
        since = desk.today if history else ALWAYS
    statement = bulk.insert(desk.connection, table).values(
        workspace=desk.workspace, campaign_id=campaign_id, valid_from=since, cost_source=source
    )
    key = [table.c.workspace, table.c.campaign_id, table.c.valid_from]
    desk.connection.execute(statement.on_conflict_do_update(index_elements=key, set_={"cost_source": source}))
    if not history and since != ALWAYS:  # before its first day a new campaign is as every other
        _put_source(desk, campaign_id, DEFAULT, since=ALWAYS)
