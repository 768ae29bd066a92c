"""All that is held of a person, as one document: every column of every row, names instead of numbers. It only
reads.

Times are RFC 3339, money in whole units, as everywhere in the API. A test holds COLUMNS_LEFT_OUT against the
schema: a column that is added is exported.
"""

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Table, select

from app import bulk, tables
from app.attribution import explain
from app.campaigns.fields import moment_text
from app.conversions import reading
from app.identity.graph import edges_of
from app.model import (
    DEVICE_NAMES,
    DOOR_NAMES,
    FLAGS,
    KIND_NAMES,
    NODES,
    QUALITY,
    country_code,
)
from app.money import MICROS
from app.persons.finding import (
    Found,
    adjustments_of,
    events_of,
    holds,
    links,
    names_of,
    sightings_of,
)
from app.persons.rules import intervals, names_person

#: Our own row numbers, and the workspace, which the document names once.
LEFT_OUT = frozenset({"id", "workspace"})

MONEY = frozenset({"value", "tax", "shipping", "cost_of_goods", "payout"})
DECODED = frozenset({"details", "nodes", "clicks"})
NAMED: dict[str, Table] = {
    "channel_id": tables.channels, "campaign_id": tables.campaigns, "ad_id": tables.ads,
    "partner_id": tables.partners, "goal_id": tables.goals,
}  # fmt: skip
NODE_KINDS = {number: name for name, number in NODES.items()}
QUALITY_NAMES = {number: name for name, number in QUALITY.items()}

Names = dict[str, dict[int, str]]


def document(connection: Connection, found: Found, *, now: int) -> dict[str, Any]:
    """The document of a person who was found."""
    workspace = found.workspace
    w = tables.workspaces.c
    known = names(connection, workspace)
    times = intervals(found.shared)
    events = list(events_of(connection, found))
    rejected = _rejected(connection, found)
    return {
        "workspace": connection.scalar(select(w.slug).where(w.id == workspace)),
        "exported_at": moment_text(now),
        "identifiers": _identifiers(connection, found),
        "events": [told(row, known) | {"only_names_them": not holds(found, times, row)} for row in events],
        "landings": [told(row, known) for row in _landings(connection, found)],
        "conversions": [_conversion(connection, row, known) for row in _conversions(connection, found)],
        "rejected": [told(row, known) for row in rejected],
    }


def counts(connection: Connection, found: Found) -> dict[str, int]:
    """How many rows an export would hold."""
    workspace = found.workspace
    return {
        "edges": links(connection, found),
        "events": sum(1 for _ in events_of(connection, found)),
        "conversions": len(found.mine),
        "sightings": len(sightings_of(connection, workspace, found.mine)),
        "adjustments": len(adjustments_of(connection, workspace, found.mine)),
        "rejected": len(_rejected(connection, found)),
    }


def told(row: Row[Any], known: Names) -> dict[str, Any]:
    """A row with the words that its numbers stand for."""
    return {
        name.removesuffix("_id") if name in NAMED else name: _value(name, value, known)
        for name, value in row._mapping.items()
        if name not in LEFT_OUT
    }


def _value(name: str, value: Any, known: Names) -> Any:
    if value is None:
        return None
    if name.endswith("_at"):
        return moment_text(value)
    if name in NAMED:
        return known[name].get(value, "")
    if name in MONEY:
        return value / MICROS
    if name in DECODED:
        return msgspec.json.decode(value) if value else None
    if name in ("no", "visitor", "node", "key", "conversion"):
        return f"{value:016x}"
    if name == "flags":
        return [flag for flag, bit in FLAGS.items() if value & bit]
    if name == "country":
        return country_code(value)
    words = {"kind": KIND_NAMES, "door": DOOR_NAMES, "device": DEVICE_NAMES, "quality": QUALITY_NAMES}
    return words[name].get(value, value) if name in words else value


def names(connection: Connection, workspace: int) -> Names:
    """Slugs of a workspace by number, by the column that holds the number."""
    return {
        column: dict(connection.execute(select(t.c.id, t.c.slug).where(t.c.workspace == workspace)).all())
        for column, t in NAMED.items()
    }


def _identifiers(connection: Connection, found: Found) -> dict[str, Any]:
    """What they are known by: texts as they stand in the rows, and the graph of their numbers."""
    edges = edges_of(connection, found.workspace, found.own)
    kinds = {node: kind for node, kind, _, _, _ in edges}
    return {
        "texts": sorted(names_of(connection, found).texts),
        "nodes": [
            {"node": f"{node:016x}", "kind": NODE_KINDS.get(kinds.get(node, 0), "")}
            for node in sorted(found.own)
        ],
        "shared_devices": [
            {"node": f"{node:016x}", "since": _bound(since), "until": _bound(until)}
            for node, since, until in found.shared
        ],
        "edges": [
            {
                "node": f"{node:016x}", "kind": NODE_KINDS.get(kind, ""), "other": f"{other:016x}",
                "other_kind": NODE_KINDS.get(other_kind, ""), "first_seen": moment_text(at),
            }
            for node, kind, other, other_kind, at in sorted(edges)
        ],
    }  # fmt: skip


def _bound(at: int) -> str | None:
    return moment_text(at) if abs(at) < 2**61 else None


def _landings(connection: Connection, found: Found) -> list[Row[Any]]:
    table, c = tables.landings, tables.landings.c
    here = select(table).where(
        c.workspace == found.workspace, bulk.among(connection, c.visitor, sorted(found.own))
    )
    return list(connection.execute(bulk.found_by(here, table, "landings_visitor")))


def _conversions(connection: Connection, found: Found) -> list[Row[Any]]:
    c = tables.conversions.c
    here = select(tables.conversions).where(
        c.workspace == found.workspace, bulk.among(connection, c.id, found.mine)
    )
    return list(connection.execute(here.order_by(c.occurred_at, c.id)))


def _conversion(connection: Connection, row: Row[Any], known: Names) -> dict[str, Any]:
    """One conversion with every report and change of it, and why its credit went where it went."""
    shown = reading.shown(row, known["goal_id"])
    money = (*MONEY, "refunded", "net_value", "reported_value")
    shown |= {name: shown[name] / MICROS for name in money if shown.get(name) is not None}
    shown |= {name: moment_text(shown[name]) for name in ("occurred_at", "received_at")}
    why = explain.why(connection, row, model="last_click")
    touches = [touch | {"occurred_at": moment_text(touch["occurred_at"])} for touch in why["touches"]]
    return shown | {
        "nodes": msgspec.json.decode(row.nodes or "[]"),
        "clicks": msgspec.json.decode(row.clicks),
        "sightings": [told(one, known) for one in sightings_of(connection, row.workspace, [row.id])],
        "adjustments": [told(one, known) for one in adjustments_of(connection, row.workspace, [row.id])],
        "touches": touches,
        "credits": why["models"],
    }


def _rejected(connection: Connection, found: Found) -> list[Row[Any]]:
    known, r = names_of(connection, found), tables.rejected.c
    here = select(tables.rejected).where(r.workspace.in_((found.workspace, 0)), r.body != "")
    rows = connection.execute(here.order_by(r.id).execution_options(yield_per=1000))
    return [row for row in rows if names_person(row.body, row.kind, known)]
