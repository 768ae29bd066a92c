"""What joins nobody, told to people: junk is counted as it comes, identifiers are listed with their values.

The graph knows identifiers by number only. A value is shown where a stored event still has it and its
number proves it; nothing is kept for the sake of this list, so what was erased is not in it either.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, func, literal, or_, select

from app import bulk, tables
from app.identity import graph
from app.identity.rules import REASON_NAMES, REASONS, USER, VISITOR
from app.model import NODES, node

KIND_NAMES = {number: name for name, number in NODES.items()}

#: Events and reports that are read to find the values of one page; beyond it some are shown without.
LOOKED_AT = 20_000


@dataclass(frozen=True, slots=True)
class Unjoined:
    """An identifier, or a stand-in for one, that joins nobody or not all it was told with."""

    kind: str
    value: str | None
    reason: str
    linked: int  # other identifiers; of junk 0
    visitors: int
    users: int
    events: int | None  # of junk: how many named it
    first_seen: int | None  # None: blocked, and not seen yet
    number: int  # of the node; of junk 0


def count_junk(connection: Connection, counts: Mapping[tuple[int, int, str], tuple[int, int]]) -> None:
    """Add to `junk`: {(workspace, kind, value): (events, first seen)}."""
    if not counts:
        return
    c = tables.junk.c
    earlier = func.min if connection.dialect.name == "sqlite" else func.least
    statement = bulk.insert(connection, tables.junk)
    statement = statement.on_conflict_do_update(
        index_elements=[c.workspace, c.kind, c.value],
        set_={
            "events": c.events + statement.excluded.events,
            "first_seen": earlier(c.first_seen, statement.excluded.first_seen),
        },
    )
    names = ("workspace", "kind", "value", "events", "first_seen")
    connection.execute(
        statement, [dict(zip(names, (*key, *row), strict=True)) for key, row in sorted(counts.items())]
    )


def totals(connection: Connection) -> dict[str, int]:
    """How many identifiers of all workspaces there are by reason; of junk, how many events named it."""
    u, j = tables.unjoined.c, tables.junk.c
    rows = connection.execute(select(u.reason, func.count()).group_by(u.reason))
    found = dict.fromkeys(REASONS, 0) | {REASON_NAMES[why]: count for why, count in rows}
    return found | {"junk": int(connection.scalar(select(func.sum(j.events))) or 0)}


def most_shared(connection: Connection) -> int:
    """With how many others the most shared identifier that nobody blocked was told."""
    u = tables.unjoined.c
    rows = select(func.max(u.linked)).where(u.reason == REASONS["shared"])
    return int(connection.scalar(rows) or 0)


def unjoined(
    connection: Connection,
    workspace: int,
    *,
    reason: str = "",
    kind: str = "",
    after: tuple[int, int] | None,
    limit: int,
) -> list[Unjoined]:
    """Identifiers behind `after` (linked, number), those that were told with most others first."""
    c = tables.unjoined.c
    rows = select(c.node, c.kind, c.reason, c.linked).where(c.workspace == workspace)
    if reason:
        rows = rows.where(c.reason == REASONS[reason])
    if kind:
        rows = rows.where(c.kind == NODES[kind])
    if after is not None:
        linked, number = after
        rows = rows.where(or_(c.linked < linked, (c.linked == linked) & (c.node > number)))
    found = connection.execute(rows.order_by(c.linked.desc(), c.node).limit(limit)).all()
    told = graph.told(connection, workspace, (row.node for row in found))
    seen = {row.node: told[row.node].first_seen if row.node in told else None for row in found}
    values = _values(connection, workspace, seen)
    return [
        Unjoined(
            kind=KIND_NAMES.get(row.kind, ""),
            value=values.get(row.node),
            reason=REASON_NAMES[row.reason],
            linked=row.linked,
            visitors=told[row.node].kinds.get(VISITOR, 0) if row.node in told else 0,
            users=told[row.node].kinds.get(USER, 0) if row.node in told else 0,
            events=None,
            first_seen=seen[row.node],
            number=row.node,
        )
        for row in found
    ]


def junk(
    connection: Connection, workspace: int, *, kind: str = "", after: tuple[int, str], limit: int
) -> list[Unjoined]:
    """Junk behind `after` (kind, value), in that order. There are a few dozen values a kind at most."""
    c = tables.junk.c
    rows = select(tables.junk).where(
        c.workspace == workspace, or_(c.kind > after[0], (c.kind == after[0]) & (c.value > after[1]))
    )
    if kind:
        rows = rows.where(c.kind == NODES[kind])
    return [
        Unjoined(KIND_NAMES[row.kind], row.value, "junk", 0, 0, 0, row.events, row.first_seen, 0)
        for row in connection.execute(rows.order_by(c.kind, c.value).limit(limit))
    ]


def _values(connection: Connection, workspace: int, seen: Mapping[int, int | None]) -> dict[int, str]:
    """{node: value} of those nodes ({node: first seen}) whose value a stored event tells."""
    b = tables.identifier_blocks.c
    blocked = select(b.node, b.value).where(
        b.workspace == workspace, bulk.among(connection, b.node, sorted(seen))
    )
    found = {number: value for number, value in connection.execute(blocked) if value}
    for kind, value in _told(connection, workspace, seen):
        number = node(workspace, kind, value)
        if number in seen:
            found[number] = value
    return found


def _told(
    connection: Connection, workspace: int, seen: Mapping[int, int | None]
) -> Iterator[tuple[str, str]]:
    """(kind, value) of what events told when these nodes were first seen, and what reports of them told."""
    e, s, n = tables.events.c, tables.sightings.c, tables.conversion_nodes.c
    instants = sorted({at for at in seen.values() if at is not None})
    events = select(e.visitor_id, e.user_id, e.details).where(
        e.workspace == workspace, bulk.among(connection, e.occurred_at, instants)
    )
    one_each = select(func.min(n.conversion)).where(
        n.workspace == workspace, bulk.among(connection, n.node, sorted(seen))
    )
    reports = select(literal(""), literal(""), s.details).where(
        s.workspace == workspace, s.conversion.in_(one_each.group_by(n.node))
    )
    for statement in (events, reports):
        for visitor_id, user_id, text in connection.execute(statement.limit(LOOKED_AT)):
            details = msgspec.json.decode(text or "{}")
            told = (
                ("visitor", visitor_id),
                ("user", user_id or details.get("user_id", "")),
                ("email", details.get("email", {}).get("meta", "")),
                ("phone", details.get("phone", {}).get("meta", "")),
            )
            yield from ((kind, value) for kind, value in told if value)
