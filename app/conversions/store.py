"""Conversions in tables: their facts (sightings, adjustments) read, what they add up to written."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, select, update

from app import bulk, tables
from app.conversions.rules import Adjustment, Conversion, Sighting
from app.money import converted

CHUNK = 10_000

CONVERSION_COLUMNS = (
    "workspace", "id", "kind", "goal_id", "labels", "order_id", "store", "occurred_at", "no", "received_at",
    "value", "currency", "tax", "shipping", "cost_of_goods", "payout", "reported", "reported_cogs", "fx",
    "state", "initial_state", "verified", "setbacks", "refunded", "adjusted", "visitor", "new_customer",
    "country", "device", "consent_denied", "nodes", "clicks", "lead_id", "issues",
)  # fmt: skip

_json = msgspec.json.Encoder().encode
_numbers = msgspec.json.Decoder(tuple[int, ...])
_words = msgspec.json.Decoder(tuple[str, ...])
_clicks = msgspec.json.Decoder(tuple[tuple[int, int, int, int, int], ...])

CLICK_FIELDS = ("no", "occurred_at", "campaign_id", "ad_id", "partner_id")


def facts(
    connection: Connection, workspace: int, ids: Iterable[int]
) -> dict[int, tuple[list[Sighting], list[Adjustment]]]:
    """All sightings and adjustments of the conversions `ids`."""
    s = tables.sightings.c
    found: dict[int, tuple[list[Sighting], list[Adjustment]]] = defaultdict(lambda: ([], []))
    wanted = sorted(set(ids))
    for start in range(0, len(wanted), CHUNK):
        part = wanted[start : start + CHUNK]
        for row in connection.execute(
            select(tables.sightings).where(
                s.workspace == workspace, bulk.among(connection, s.conversion, part)
            )
        ):
            found[row.conversion][0].append(_sighting(row))
    for id_, adjustments in changes(connection, workspace, wanted).items():
        found[id_][1].extend(adjustments)
    return dict(found)


def _sighting(row: Any) -> Sighting:
    return Sighting(
        no=row.no, kind=row.kind, goal_id=row.goal_id, door=row.door, occurred_at=row.occurred_at,
        received_at=row.received_at, event_id=row.event_id, order_id=row.order_id, store=row.store,
        value=row.value, currency=row.currency, tax=row.tax, shipping=row.shipping,
        cost_of_goods=row.cost_of_goods, payout=row.payout, status=row.status, flags=row.flags,
        new_customer=row.new_customer, visitor=row.visitor, country=row.country, device=row.device,
        consent_denied=row.consent_denied, lead_id=row.lead_id, nodes=_numbers.decode(row.nodes or "[]"),
        clicks=_clicks.decode(row.clicks),
    )  # fmt: skip


def changes(connection: Connection, workspace: int, ids: Iterable[int]) -> dict[int, list[Adjustment]]:
    """The refunds and state changes that name the conversions `ids`."""
    wanted = sorted(set(ids))
    a = tables.adjustments.c
    found: dict[int, list[Adjustment]] = defaultdict(list)
    columns = (a.conversion, a.no, a.kind, a.occurred_at, a.value, a.currency, a.status, a.event_id)
    for start in range(0, len(wanted), CHUNK):
        part = wanted[start : start + CHUNK]
        for id_, *change in connection.execute(
            select(*columns).where(a.workspace == workspace, bulk.among(connection, a.conversion, part))
        ):
            found[id_].append(Adjustment(*change))
    return dict(found)


def load(connection: Connection, workspace: int, ids: Iterable[int]) -> dict[int, Conversion]:
    """The conversions `ids` as they stand in the table."""
    c = tables.conversions.c
    wanted = sorted(set(ids))
    found: dict[int, Conversion] = {}
    for start in range(0, len(wanted), CHUNK):
        part = wanted[start : start + CHUNK]
        for row in connection.execute(
            select(tables.conversions).where(c.workspace == workspace, bulk.among(connection, c.id, part))
        ):
            found[row.id] = conversion(row)
    return found


def conversion(row: Any) -> Conversion:
    """A row of tables.conversions as the noun."""
    clicks = msgspec.json.decode(row.clicks, type=list[dict[str, int]])
    return Conversion(
        id=row.id, kind=row.kind, goal_id=row.goal_id, occurred_at=row.occurred_at, no=row.no,
        received_at=row.received_at, state=row.state, verified=row.verified,
        labels=_numbers.decode(row.labels or "[]"), order_id=row.order_id, store=row.store,
        value=row.value, currency=row.currency, tax=row.tax, shipping=row.shipping,
        cost_of_goods=row.cost_of_goods, payout=row.payout, rate=read_rate(row.fx),
        setbacks=row.setbacks, refunded=row.refunded, adjusted=row.adjusted, visitor=row.visitor,
        new_customer=row.new_customer, country=row.country, device=row.device,
        consent_denied=row.consent_denied, lead_id=row.lead_id, nodes=_numbers.decode(row.nodes or "[]"),
        clicks=tuple(tuple(click[name] for name in CLICK_FIELDS) for click in clicks),  # type: ignore[misc]
        issues=_words.decode(row.issues or "[]"), initial_state=row.initial_state, frozen=row.frozen,
    )  # fmt: skip


def save(
    connection: Connection,
    workspace: int,
    conversions: Iterable[Conversion],
    rated_on: Mapping[int, int],
) -> None:
    """Write conversions whole, and which nodes have them. `rated_on`: the day of each one's rate."""
    rows = [_row(workspace, c, rated_on.get(c.id, 0)) for c in sorted(conversions, key=lambda c: c.id)]
    if not rows:
        return
    table = tables.conversions
    statement = bulk.insert(connection, table)
    statement = statement.on_conflict_do_update(
        index_elements=[table.c.workspace, table.c.id],
        set_={name: statement.excluded[name] for name in CONVERSION_COLUMNS[2:]},
    )
    connection.execute(statement, rows)
    _save_nodes(connection, workspace, conversions)


def _save_nodes(connection: Connection, workspace: int, conversions: Iterable[Conversion]) -> None:
    c = tables.conversion_nodes.c
    whole = list(conversions)
    for start in range(0, len(whole), CHUNK):
        part = [x.id for x in whole[start : start + CHUNK]]
        gone = delete(tables.conversion_nodes).where(
            c.workspace == workspace, bulk.among(connection, c.conversion, part)
        )
        connection.execute(bulk.found_by(gone, tables.conversion_nodes, "conversion_nodes_conversion"))
    # A click the conversion names makes it due like a node does: its record may come, or change, later.
    rows = sorted(
        (workspace, node, x.id, x.occurred_at)
        for x in whole
        for node in {*x.nodes, *(click[0] for click in x.clicks)}
    )
    bulk.append(connection, tables.conversion_nodes, ("workspace", "node", "conversion", "occurred_at"), rows)


def _row(workspace: int, c: Conversion, rated_on: int) -> dict[str, object]:
    known = c.rate is not None
    return {
        "workspace": workspace, "id": c.id, "kind": c.kind, "goal_id": c.goal_id,
        "labels": _text(c.labels), "order_id": c.order_id, "store": c.store, "occurred_at": c.occurred_at,
        "no": c.no, "received_at": c.received_at, "value": c.value, "currency": c.currency, "tax": c.tax,
        "shipping": c.shipping, "cost_of_goods": c.cost_of_goods, "payout": c.payout,
        "reported": converted(c.value, c.rate) if c.rate is not None and c.value is not None else None,
        "reported_cogs": converted(c.cost_of_goods, c.rate)
        if c.rate is not None and c.cost_of_goods is not None
        else None,
        "fx": f"{c.rate}@{rated_on}" if known else "", "state": c.state, "initial_state": c.initial_state,
        "verified": c.verified, "setbacks": c.setbacks, "refunded": c.refunded, "adjusted": c.adjusted,
        "visitor": c.visitor, "new_customer": c.new_customer, "country": c.country, "device": c.device,
        "consent_denied": c.consent_denied, "nodes": _text(c.nodes),
        "clicks": _text([dict(zip(CLICK_FIELDS, click, strict=True)) for click in c.clicks]),
        "lead_id": c.lead_id, "issues": _text(c.issues),
    }  # fmt: skip


def _text(value: object) -> str:
    return _json(value).decode()


def read_rate(text: str) -> Fraction | None:
    """The rate in a conversion's `fx` ("numerator/denominator@day"); None for none."""
    return Fraction(text.partition("@")[0]) if text else None


def of_nodes(connection: Connection, workspace: int, nodes: Iterable[int]) -> list[tuple[int, int, int]]:
    """(node, conversion, occurred_at) of every conversion that names one of `nodes`."""
    c = tables.conversion_nodes.c
    wanted = sorted(set(nodes))
    return [
        (node, id_, at)
        for start in range(0, len(wanted), CHUNK)
        for node, id_, at in connection.execute(
            select(c.node, c.conversion, c.occurred_at).where(
                c.workspace == workspace, bulk.among(connection, c.node, wanted[start : start + CHUNK])
            )
        )
    ]


def mark_due(connection: Connection, workspace: int, moments: Mapping[int, int]) -> None:
    """These conversions ({id: occurred_at}) must have their credits computed again."""
    if moments:
        statement = bulk.insert(connection, tables.due)
        statement = statement.on_conflict_do_update(
            index_elements=[tables.due.c.workspace, tables.due.c.conversion],
            set_={"occurred_at": statement.excluded.occurred_at},
        )
        connection.execute(
            statement,
            [
                {"workspace": workspace, "conversion": i, "occurred_at": at}
                for i, at in sorted(moments.items())
            ],
        )


def give_up(connection: Connection, workspace: int, id_: int) -> None:
    """A conversion that cannot be settled as it is: no longer due, and its issues say so."""
    c, d = tables.conversions.c, tables.due.c
    this = (c.workspace == workspace, c.id == id_)
    issues = set(_words.decode(connection.scalar(select(c.issues).where(*this)) or "[]"))
    connection.execute(
        update(tables.conversions).where(*this).values(issues=_text(sorted(issues | {"unsettled"})))
    )
    connection.execute(delete(tables.due).where(d.workspace == workspace, d.conversion == id_))


def freeze(connection: Connection, workspace: int, ids: Iterable[int]) -> None:
    """From now on the credits and setbacks of these conversions stand as they are."""
    c = tables.conversions.c
    wanted = sorted(set(ids))
    for start in range(0, len(wanted), CHUNK):
        here = (c.workspace == workspace, bulk.among(connection, c.id, wanted[start : start + CHUNK]))
        connection.execute(update(tables.conversions).where(*here).values(frozen=1))


def frozen(connection: Connection, workspace: int, ids: Iterable[int]) -> dict[int, int]:
    """Those of `ids` that are frozen, with their setbacks."""
    c = tables.conversions.c
    wanted = sorted(set(ids))
    found: dict[int, int] = {}
    for start in range(0, len(wanted), CHUNK):
        part = bulk.among(connection, c.id, wanted[start : start + CHUNK])
        rows = select(c.id, c.setbacks).where(c.workspace == workspace, part, c.frozen != 0)
        found.update(connection.execute(rows).all())
    return found


def set_back(connection: Connection, workspace: int, setbacks: Mapping[int, int]) -> None:
    """Change why these conversions ({id: bits}) do not count."""
    c = tables.conversions.c
    for id_, bits in sorted(setbacks.items()):
        connection.execute(
            update(tables.conversions).where(c.workspace == workspace, c.id == id_).values(setbacks=bits)
        )
