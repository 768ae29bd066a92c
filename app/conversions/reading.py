"""Conversions as a reader sees them: one, by id or order id, or a page of the latest. SQL and shapes."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, and_, or_, select

from app import tables
from app.campaigns.paging import Key, key_of, next_cursor
from app.conversions.schemas import ConversionPage
from app.conversions.store import read_rate
from app.errors import Conflict, NotFound
from app.model import DEVICE_NAMES, DOOR_NAMES, KIND_NAMES, KINDS, SETBACKS, STATE_NAMES, STATES, country_code

PUBLIC_ID = re.compile(r"cv_[0-9a-f]{16}")


def public_id(number: int) -> str:
    return f"cv_{number:016x}"


def find(connection: Connection, workspace: int, name: str, store: str = "") -> Row[Any]:
    """The conversion with this id, or else this order id. Errors: NotFound, Conflict (several stores)."""
    c = tables.conversions.c
    own = select(tables.conversions).where(c.workspace == workspace)
    if PUBLIC_ID.fullmatch(name) and int(name[3:], 16) < 2**63:
        row = connection.execute(own.where(c.id == int(name[3:], 16))).first()
        if row is not None:
            return row
    if "\0" in name + store:  # no text to PostgreSQL: not even to be asked for
        raise NotFound("conversion_not_found", "no conversion has this id or order id", field="id")
    by_order = own.where(c.order_id == name, c.order_id != "").order_by(c.id).limit(2)
    found = connection.execute(by_order.where(c.store == store) if store else by_order).all()
    if not found:
        raise NotFound("conversion_not_found", "no conversion has this id or order id", field="id")
    if len(found) > 1:
        raise Conflict("order_ambiguous", "several stores have this order id: name the store", field="store")
    return found[0]


def latest(connection: Connection, workspace: int, page: ConversionPage) -> tuple[list[Row[Any]], str | None]:
    """A page of conversions, latest first, and the cursor of the next one."""
    c = tables.conversions.c
    statement = select(tables.conversions).where(c.workspace == workspace)
    if page.kind is not None:
        statement = statement.where(c.kind == KINDS[page.kind])
    if page.state is not None:
        statement = statement.where(c.state == STATES[page.state])
    after = key_of(page.cursor, int, int)
    if after is not None:
        at, id_ = after
        statement = statement.where(
            c.occurred_at <= at, or_(c.occurred_at < at, and_(c.occurred_at == at, c.id < id_))
        )
    rows = connection.execute(
        statement.order_by(c.occurred_at.desc(), c.id.desc()).limit(page.limit + 1)
    ).all()
    keys: list[Key] = [(row.occurred_at, row.id) for row in rows]
    return list(rows[: page.limit]), next_cursor(keys, page.limit)


def goal_names(connection: Connection, workspace: int) -> dict[int, str]:
    g = tables.goals.c
    return dict(connection.execute(select(g.id, g.slug).where(g.workspace == workspace)).all())


def shown(row: Row[Any], goals: dict[int, str]) -> dict[str, Any]:
    """A row as schemas.Conversion."""
    rate = read_rate(row.fx)
    return {
        "id": public_id(row.id),
        "kind": KIND_NAMES[row.kind],
        "goal": goals.get(row.goal_id, KIND_NAMES[row.kind]),
        "labels": [goals.get(id_, "") for id_ in msgspec.json.decode(row.labels or "[]")],
        "verified": bool(row.verified),
        "counted": row.setbacks == 0,
        "setbacks": [name for name, bit in SETBACKS.items() if row.setbacks & bit],
        "state": STATE_NAMES[row.state],
        "net_value": None if row.value is None else row.value - row.refunded,
        "reported_value": row.reported,
        "fx": None if rate is None else {"rate": float(rate), "date": int(row.fx.partition("@")[2])},
        "new_customer": None if row.new_customer is None else bool(row.new_customer),
        "country": country_code(row.country),
        "device": DEVICE_NAMES[row.device],
        "issues": msgspec.json.decode(row.issues or "[]"),
        **_same(row, "order_id", "store", "lead_id", "occurred_at", "received_at", "value", "currency",
                "refunded", "tax", "shipping", "cost_of_goods", "payout"),
    }  # fmt: skip


def detailed(connection: Connection, row: Row[Any], goals: dict[int, str]) -> dict[str, Any]:
    """A row as schemas.ConversionDetail: with every report and every change of it, earliest first."""
    s, a = tables.sightings, tables.adjustments
    sightings = connection.execute(
        select(s)
        .where(s.c.workspace == row.workspace, s.c.conversion == row.id)
        .order_by(s.c.occurred_at, s.c.no)
    )
    adjustments = connection.execute(
        select(a)
        .where(a.c.workspace == row.workspace, a.c.conversion == row.id)
        .order_by(a.c.occurred_at, a.c.no)
    )
    told = ("event_id", "occurred_at", "received_at", "value", "currency", "status")
    return shown(row, goals) | {
        "sightings": [
            _same(r, *told)
            | {"door": DOOR_NAMES.get(r.door, ""), "goal": goals.get(r.goal_id, KIND_NAMES[r.kind])}
            for r in sightings
        ],
        "adjustments": [
            _same(r, *told) | {"door": DOOR_NAMES.get(r.door, ""), "kind": KIND_NAMES[r.kind]}
            for r in adjustments
        ],
    }


def _same(row: Row[Any], *names: str) -> dict[str, Any]:
    values = row._mapping
    return {name: values[name] for name in names}


def page_of(rows: Iterable[Row[Any]], goals: dict[int, str], cursor: str | None) -> dict[str, Any]:
    return {"items": [shown(row, goals) for row in rows], "next_cursor": cursor}
