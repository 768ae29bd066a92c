"""Deals in their table. A deal that would contradict another is refused, naming that one."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, Select, select, update

from app import tables
from app.campaigns import changes, slugs
from app.campaigns.changes import Desk
from app.campaigns.fields import day_text
from app.campaigns.paging import next_cursor
from app.errors import Conflict, InvalidInput, NotFound
from app.pricing import terms
from app.pricing.rules import Deal
from app.pricing.schemas import DealOut, DealPage

c = tables.deals.c

#: The parts of a deal's scope: the field, its column, and where its slugs live.
SCOPE = (
    ("ad", "ad_id", tables.ads),
    ("partner", "partner_id", tables.partners),
    ("goal", "goal_id", tables.goals),
)


def campaign(desk: Desk, slug: str) -> int:
    """The id of the campaign whose deals these are. Errors: NotFound."""
    return slugs.require(desk.connection, tables.campaigns, desk.workspace, slug, noun="campaign")


def listed(desk: Desk, campaign_id: int, page: DealPage, *, after: int) -> tuple[list[DealOut], str | None]:
    rows = _within(desk, campaign_id).where(c.id > after).order_by(c.id).limit(page.limit + 1)
    rows = rows.where(c.archived_at.is_not(None) if page.archived else c.archived_at.is_(None))
    found = list(desk.connection.execute(rows))
    cursor = next_cursor([(row.id,) for row in found], page.limit)
    return _shown(desk, campaign_id, found[: page.limit]), cursor


def read(desk: Desk, campaign_id: int, id_: int) -> DealOut:
    """Errors: NotFound, for deals of other campaigns and workspaces too."""
    row = desk.connection.execute(_within(desk, campaign_id).where(c.id == id_)).one_or_none()
    if row is None:
        raise NotFound("deal_not_found", f"there is no deal {id_}")
    return _shown(desk, campaign_id, [row])[0]


def create(desk: Desk, campaign_id: int, values: Mapping[str, Any]) -> DealOut:
    """Errors: InvalidInput, Conflict `deal_overlaps`."""
    row = _row(desk, campaign_id, values)
    _refuse_overlap(desk, 0, row)
    statement = tables.deals.insert().values(workspace=desk.workspace, **row).returning(c.id)
    after = read(desk, campaign_id, desk.connection.execute(statement).scalar_one())
    changes.record(desk, "create", _name(after), after=after)
    return after


def change(desk: Desk, campaign_id: int, id_: int, values: Mapping[str, Any]) -> DealOut:
    """Set the terms in `values`; the others stay. Errors: NotFound, InvalidInput, Conflict."""
    before = read(desk, campaign_id, id_)
    if before.archived:
        raise Conflict("deal_archived", f"deal {id_} is archived; make another one")
    standing = {name: getattr(before, name) for name in DealOut.model_fields}
    row = _row(desk, campaign_id, {**standing, **values})
    _refuse_overlap(desk, id_, row)
    desk.connection.execute(update(tables.deals).where(c.id == id_).values(row))
    after = read(desk, campaign_id, id_)
    if after != before:
        changes.record(desk, "change", _name(after), before=before, after=after)
    return after


def archive(desk: Desk, campaign_id: int, id_: int) -> None:
    """As if it had never been agreed: it prices nothing. To end a deal, set its valid_to."""
    before = read(desk, campaign_id, id_)
    if not before.archived:
        desk.connection.execute(update(tables.deals).where(c.id == id_).values(archived_at=desk.now))
        changes.record(desk, "archive", _name(before), before=before, after=read(desk, campaign_id, id_))


def _within(desk: Desk, campaign_id: int) -> Select[Any]:
    return select(tables.deals).where(c.workspace == desk.workspace, c.campaign_id == campaign_id)


def _name(deal: DealOut) -> str:
    return f"campaigns/{deal.campaign}/pricing/{deal.id}"


def _row(desk: Desk, campaign_id: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a deal with these terms, checked."""
    terms.check(values)
    since = values["valid_from"]
    if since is None:
        since = desk.today if values["model"] == "flat" else terms.ALWAYS
        terms.check({**values, "valid_from": since})
    row = {name: values[name] for name in ("model", "side", "rate", "valid_to")}
    row |= {"campaign_id": campaign_id, "valid_from": since}
    row |= {"currency": values["currency"] or "", "per": values["per"] or ""}
    row["options"] = msgspec.json.encode({"every_click": True}).decode() if values["every_click"] else ""
    return row | _scope(desk, campaign_id, values)


def _scope(desk: Desk, campaign_id: int, values: Mapping[str, Any]) -> dict[str, int]:
    """The ids of what the deal is for. What does not exist is refused: its typo would pay nobody."""
    found: dict[str, int] = {}
    for field, column, table in SCOPE:
        slug = values[field]
        below = campaign_id if field == "ad" else 0
        id_ = slug and slugs.find(desk.connection, table, desk.workspace, slug, campaign=below)
        if slug and id_ is None:
            raise InvalidInput(f"{field}_unknown", f"{field}: there is no {field} {slug!r}", field=field)
        found[column] = id_ or 0
    if found["goal_id"]:
        g = tables.goals.c
        goal = desk.connection.execute(select(g.slug, g.kind).where(g.id == found["goal_id"])).one()
        terms.check_goal(values["model"], goal.slug, goal.kind or "lead")
    return found


def _refuse_overlap(desk: Desk, id_: int, row: Mapping[str, Any]) -> None:
    rows = _within(desk, row["campaign_id"]).where(c.archived_at.is_(None), c.side == row["side"])
    others = [_deal(other.id, other._mapping) for other in desk.connection.execute(rows)]
    other = terms.standing_in_the_way(_deal(id_, row), others)
    if other is not None:
        period = f"{day_text(other.valid_from) if other.valid_from else '...'} to "
        period += day_text(other.valid_to) if other.valid_to is not None else "..."
        message = f"deal {other.id} ({other.model}, {period}) prices the same; end it first by its valid_to"
        raise Conflict("deal_overlaps", message, field="valid_from")


def _deal(id_: int, row: Mapping[Any, Any]) -> Deal:
    return Deal(
        id=id_,
        model=row["model"],
        side=row["side"],
        rate=row["rate"],
        currency=row["currency"],
        campaign=row["campaign_id"],
        ad=row["ad_id"],
        partner=row["partner_id"],
        goal=row["goal_id"],
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
    )


def _shown(desk: Desk, campaign_id: int, rows: Sequence[Row[Any]]) -> list[DealOut]:
    names = {
        field: slugs.names(desk.connection, table, [row._mapping[column] for row in rows])
        for field, column, table in SCOPE
    }
    own = slugs.names(desk.connection, tables.campaigns, [campaign_id])[campaign_id]
    return [
        DealOut(
            id=row.id,
            campaign=own,
            model=row.model,
            side=row.side,
            rate=row.rate,
            currency=row.currency or None,
            **{field: names[field].get(row._mapping[column]) for field, column, _ in SCOPE},
            valid_from=row.valid_from or None,
            valid_to=row.valid_to,
            per=row.per or None,
            every_click="every_click" in row.options,
            archived=row.archived_at is not None,
        )
        for row in rows
    ]
