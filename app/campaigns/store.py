"""Channels, campaigns, ads, partners and goals in their tables. One way for all five.

A thing is a dict of its fields as fields.py leaves them (`Values`): days, micro-units, lists. `COLLECTIONS`
says how each is held. What of a campaign stands in other tables is `elsewhere`'s. Nothing here commits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from pydantic import BaseModel
from sqlalchemy import Row, Select, Table, select, update

from app import tables, workspaces
from app.campaigns import changes, elsewhere, rules, schemas, slugs
from app.campaigns.changes import Desk
from app.campaigns.paging import next_cursor
from app.errors import Conflict

Values = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """One kind of thing that has a slug, and how its fields are held."""

    name: str  # the last word of its path, and the first of its objects in the audit log
    noun: str
    table: Table
    shown: type[BaseModel]
    check: Callable[[Mapping[str, Any]], None] = rules.check_nothing
    plain: tuple[str, ...] = ()
    json: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()  # text that is null on the wire when it is "" in the table
    announced: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # setting -> fields that move it
    campaign: int = 0  # of ads: the campaign they hang below
    path: str = ""  # "campaigns/spring/ads"; set with `campaign`


CHANNELS = Collection(
    name="channels", noun="channel", table=tables.channels, shown=schemas.ChannelOut
)  # fmt: skip
CAMPAIGNS = Collection(
    name="campaigns", noun="campaign", table=tables.campaigns, shown=schemas.CampaignOut,
    check=rules.check_campaign,
    plain=("audience", "status", "landing_url", "fallback_url", "margin_rate", "starts_on", "ends_on"),
    json=("allowed_hosts", "match", "windows"),
    flags=("pass_parameters",),
    announced={"attribution": ("windows",)},
)  # fmt: skip
ADS = Collection(
    name="ads", noun="ad", table=tables.ads, shown=schemas.AdOut,
    plain=("ad_group", "creative", "landing_url"),
    json=("segment",),
)  # fmt: skip
PARTNERS = Collection(
    name="partners", noun="partner", table=tables.partners, shown=schemas.PartnerOut,
    plain=("payout_means",),
)  # fmt: skip
GOALS = Collection(
    name="goals", noun="goal", table=tables.goals, shown=schemas.GoalOut, check=rules.check_goal,
    plain=("kind", "count", "value", "probability"),
    json=("windows",),
    flags=("primary",),
    absent=("currency",),
    announced={"attribution": ("windows",), "folding": ("kind", "count", "value", "currency")},
)  # fmt: skip
COLLECTIONS = (CHANNELS, CAMPAIGNS, ADS, PARTNERS, GOALS)


def ads_of(desk: Desk, campaign: str) -> Collection:
    """The ads of one campaign. Errors: NotFound."""
    id_ = slugs.require(desk.connection, tables.campaigns, desk.workspace, campaign, noun="campaign")
    standing = slugs.names(desk.connection, tables.campaigns, [id_])[id_]
    return replace(ADS, campaign=id_, path=f"campaigns/{standing}/ads")


# --- Reading ----------------------------------------------------------------------------------------


def listed(
    desk: Desk, kept: Collection, page: schemas.ThingPage, *, after: int
) -> tuple[list[Values], str | None]:
    """A page of things in the order they became known here, and the cursor of the next."""
    c = kept.table.c
    rows = _within(desk, kept).where(c.id > after).order_by(c.id).limit(page.limit + 1)
    rows = rows.where(c.archived_at.is_not(None) if page.archived else c.archived_at.is_(None))
    if page.known is not None:
        rows = rows.where(c.known == int(page.known))
    found = list(desk.connection.execute(rows))
    cursor = next_cursor([(row.id,) for row in found], page.limit)
    return _values(desk, kept, found[: page.limit]), cursor


def read(desk: Desk, kept: Collection, slug: str) -> Values:
    """One thing, archived or not. Errors: NotFound."""
    return _read(desk, kept, _require(desk, kept, slug))


def _require(desk: Desk, kept: Collection, slug: str) -> int:
    return slugs.require(
        desk.connection, kept.table, desk.workspace, slug, noun=kept.noun, campaign=kept.campaign
    )


def _read(desk: Desk, kept: Collection, id_: int) -> Values:
    row = desk.connection.execute(_within(desk, kept).where(kept.table.c.id == id_)).one()
    return _values(desk, kept, [row])[0]


def _within(desk: Desk, kept: Collection) -> Select[Any]:
    return slugs.within(select(kept.table), kept.table, desk.workspace, campaign=kept.campaign)


def _values(desk: Desk, kept: Collection, rows: Sequence[Row[Any]]) -> list[Values]:
    found = [_of_row(kept, row._mapping) for row in rows]
    if kept is CAMPAIGNS:
        elsewhere.add(desk, found, rows)
    return found


def _of_row(kept: Collection, row: Mapping[Any, Any]) -> Values:
    values: Values = {name: row[name] for name in ("slug", "name", *kept.plain)}
    values |= {name: msgspec.json.decode(row[name]) for name in kept.json}
    values |= {name: bool(row[name]) for name in (*kept.flags, "known")}
    values |= {name: row[name] or None for name in kept.absent}
    values["archived"] = row["archived_at"] is not None
    if kept.campaign:
        values["campaign"] = kept.path.split("/")[1]
    return values


# --- Changing ---------------------------------------------------------------------------------------


def create(desk: Desk, kept: Collection, values: Values) -> Values:
    """Register a thing: a new row, or the one that events already named, which keeps its id.

    Errors: Conflict `<noun>_exists`; InvalidInput.
    """
    slug = values["slug"]
    if kept is GOALS:
        rules.check_goal_name(slug)
    seen = slugs.find(desk.connection, kept.table, desk.workspace, slug, campaign=kept.campaign)
    before = None if seen is None else _read(desk, kept, seen)
    if before is not None and before["known"]:
        hint = ' and archived; PATCH {"archived": false} brings it back' if before["archived"] else ""
        message = f"slug: the {kept.noun} {before['slug']!r} exists{hint}"
        raise Conflict(f"{kept.noun}_exists", message, field="slug")
    if kept is GOALS and values["count"] is None:
        values["count"] = _default_count(desk, values["kind"])
    kept.check(values)
    id_ = slugs.ensure(desk.connection, kept.table, desk.workspace, slug, campaign=kept.campaign)
    _write(desk, kept, id_, values)
    after = _read(desk, kept, id_)
    _tell(desk, kept, "create", before, after)
    return after


def _default_count(desk: Desk, kind: str) -> str:
    """A sale counts each time it is told under an order of its own, a lead as the workspace says."""
    t = tables.workspaces.c
    text = desk.connection.execute(select(t.settings).where(t.id == desk.workspace)).scalar_one()
    return workspaces.settings_of(text).lead_count if kind == "lead" else "every"


def change(desk: Desk, kept: Collection, slug: str, values: Values) -> Values:
    """Set the fields in `values`; the others stay. What was only seen is known from then on.

    Changing nothing writes nothing. Errors: NotFound, InvalidInput.
    """
    id_ = _require(desk, kept, slug)
    before = _read(desk, kept, id_)
    rules.check_same_slug(values.pop("slug", None), before["slug"])
    kept.check({**before, **values})
    _write(desk, kept, id_, values)
    after = _read(desk, kept, id_)
    if after != before:
        _tell(desk, kept, "change", before, after)
    return after


def archive(desk: Desk, kept: Collection, slug: str) -> None:
    """Take a thing out of use; its history stays. Twice is once. Errors: NotFound."""
    id_ = _require(desk, kept, slug)
    before = _read(desk, kept, id_)
    if not before["archived"]:
        _write(desk, kept, id_, {"archived": True}, known=int(before["known"]))
        _tell(desk, kept, "archive", before, _read(desk, kept, id_))


def _write(desk: Desk, kept: Collection, id_: int, values: Values, *, known: int = 1) -> None:
    row: Values = {name: values[name] for name in ("slug", "name", *kept.plain) if name in values}
    row |= {name: msgspec.json.encode(values[name]).decode() for name in kept.json if name in values}
    row |= {name: int(values[name]) for name in kept.flags if name in values}
    row |= {name: values[name] or "" for name in kept.absent if name in values}
    if "archived" in values:
        row["archived_at"] = desk.now if values["archived"] else None
    if kept is CAMPAIGNS:
        row |= elsewhere.put(desk, id_, values)
    desk.connection.execute(update(kept.table).where(kept.table.c.id == id_).values(**row, known=known))


def _tell(desk: Desk, kept: Collection, action: str, before: Values | None, after: Values) -> None:
    """The audit log and the doors; and the leader, where derived numbers hang on what changed."""
    name = f"{kept.path or kept.name}/{after['slug']}"
    old = None if before is None else kept.shown(**before)
    changes.record(desk, action, name, before=old, after=kept.shown(**after))
    for setting, fields in kept.announced.items():
        if before is not None and any(before[f] != after[f] for f in fields):
            changes.announce(desk, setting)
