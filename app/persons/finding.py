"""Finding a person: which nodes are theirs, and which rows name them. Reads only.

A person is what the identity graph says (identity.store): nodes for good, and shared devices for a while.
Identifiers that reported one order are one person's too, unless the order names two users or very many: then
its number is no sign of anybody. What joins nobody (a shop's own address) is nobody's.
"""

from collections.abc import Generator, Iterable
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, func, select

from app import bulk, tables
from app.conversions import reading
from app.conversions import store as conversions
from app.errors import Conflict, NotFound
from app.events.relational import during
from app.identity import blocks
from app.identity.graph import chunks, edges_of
from app.identity.rules import EVER
from app.identity.store import resolve, strangers
from app.model import DOORS, KINDS
from app.persons import clicks
from app.persons.rules import Names, Wanted, intervals, named, nodes_named, texts_of, wanted
from app.workspaces import settings_of

AMBIGUOUS = "person_ambiguous"
BLOCKED = "identifier_blocked"
ROUNDS = 20  # orders by which further identifiers are found, one after the other

_numbers = msgspec.json.Decoder(list[int]).decode


class Found(msgspec.Struct, frozen=True):
    """A person: `own` nodes, devices `shared` with others ((node, since, until)), all nodes beside theirs
    (`others`, the shared devices among them); the `mine` conversions, and those `near` on shared devices.
    Events in the rows `nameless` are of no visitor and name one of their clicks.
    Events `through` this row are looked at (0: all); what is stored later is a new person's."""

    workspace: int
    own: frozenset[int]
    shared: tuple[tuple[int, int, int], ...] = ()
    others: frozenset[int] = frozenset()
    click: tuple[int, int] | None = None
    mine: tuple[int, ...] = ()
    near: tuple[int, ...] = ()
    through: int = 0
    nameless: tuple[int, ...] = ()

    @property
    def anybody(self) -> bool:
        return bool(self.own or self.shared or self.mine or self.click)


def asked(connection: Connection, workspace: int, name: str, value: str, *, store: str = "") -> Wanted:
    """Who is meant, in numbers. An order without its store is looked up. Errors: InvalidInput, Conflict."""
    w = tables.workspaces.c
    secret = connection.scalar(select(w.secret).where(w.id == workspace))
    found = wanted(workspace, name, value, store=store, secret=bytes(secret or b""))
    if name == "order_id" and not store:
        try:
            return Wanted(conversion=reading.find(connection, workspace, value).id)
        except NotFound:
            pass
    return found


def find(connection: Connection, workspace: int, who: Wanted) -> Found:
    """The person. Errors: Conflict: what names them names several (person_ambiguous), or is blocked."""
    text = connection.scalar(select(tables.workspaces.c.settings).where(tables.workspaces.c.id == workspace))
    limit = settings_of(str(text)).join_limit
    asks = _asks(connection, workspace, who, limit)
    members: set[tuple[int, int, int]] = set()
    found = Found(workspace, frozenset(), click=who.click)
    mine = {who.conversion} if who.conversion is not None else set()
    followed: set[tuple[int, int]] = set()
    for _ in range(ROUNDS):
        members |= {m for person in resolve(connection, workspace, asks) for m in person.members}
        found = _known(connection, found, members, limit)
        fresh = {id_ for _, id_, _ in conversions.of_nodes(connection, workspace, found.own)} - mine
        mine |= fresh
        asks = _orders(connection, workspace, fresh, limit)
        if not asks:
            found, clickers = _by_clicks(connection, found, mine, limit)
            asks = [(at, [visitor]) for at, visitor in sorted(clickers - followed)]
            followed |= clickers
        if not asks:
            break
    mine |= _nameless(connection, found)
    more, near = _on_shared(connection, found, mine)
    known = conversions.load(connection, workspace, mine | more)
    return msgspec.structs.replace(found, mine=tuple(sorted(known)), near=tuple(sorted(near)))


def _known(connection: Connection, found: Found, members: set[tuple[int, int, int]], limit: int) -> Found:
    """The person with all nodes of these memberships."""
    workspace = found.workspace
    whole = {node for node, since, until in members if (since, until) == (-EVER, EVER)}
    own = whole - strangers(connection, workspace, whole, limit=limit)
    shared = tuple(sorted(m for m in members if (m[1], m[2]) != (-EVER, EVER)))
    others = {other for _, _, other, _, _ in edges_of(connection, workspace, own)} - own
    return msgspec.structs.replace(
        found, own=frozenset(own), shared=shared, others=frozenset(others | {m[0] for m in shared})
    )


def _by_clicks(
    connection: Connection, found: Found, mine: set[int], limit: int
) -> tuple[Found, set[tuple[int, int]]]:
    """The person with the events of no visitor that name their clicks; and who clicked, and when."""
    theirs = msgspec.structs.replace(found, mine=tuple(sorted(mine)))
    rows = (*events_of(connection, theirs), *their_sightings(connection, theirs))
    followed = clicks.follow(
        connection,
        found.workspace,
        (row.click_id for row in rows if row.click_id),
        theirs=found.own | {node for node, _, _ in found.shared},
        click=found.click,
    )
    shut = strangers(connection, found.workspace, {node for _, node in followed.clickers}, limit=limit)
    return (
        msgspec.structs.replace(found, nameless=tuple(sorted(followed.rows))),
        {(at, node) for at, node in followed.clickers if node not in shut},
    )


def _asks(connection: Connection, workspace: int, who: Wanted, limit: int) -> list[tuple[int, list[int]]]:
    if not blocks.active(connection, workspace).keys().isdisjoint(who.nodes):
        raise Conflict(BLOCKED, "a block says that this identifier is nobody's: lift the block first")
    if strangers(connection, workspace, who.nodes, limit=limit):
        raise Conflict(AMBIGUOUS, "several people share this identifier: name a person by another one")
    asks = [(0, list(who.nodes))]
    if who.click is not None:
        asks += [(at, [node]) for at, node in _clicked(connection, workspace, who.click)]
    if who.conversion is not None:
        found = _orders(connection, workspace, [who.conversion], limit)
        if not found and sightings_of(connection, workspace, [who.conversion]):
            raise Conflict(
                AMBIGUOUS, "several people used this order id: name a person by another identifier"
            )
        asks += found
    return asks


def _clicked(connection: Connection, workspace: int, click: tuple[int, int]) -> list[tuple[int, int]]:
    e = tables.events.c
    rows = connection.execute(
        select(e.occurred_at, e.visitor).where(
            e.workspace == workspace, e.occurred_at == click[0], e.no == click[1], e.visitor != 0
        )
    )
    return [(at, visitor) for at, visitor in rows]


def _orders(
    connection: Connection, workspace: int, ids: Iterable[int], limit: int
) -> list[tuple[int, list[int]]]:
    """(when, nodes) of those conversions that are one person's for certain."""
    rows: dict[int, list[Row[Any]]] = {}
    for row in sightings_of(connection, workspace, ids):
        rows.setdefault(row.conversion, []).append(row)
    found = []
    for reports in rows.values():
        nodes = {node for row in reports for node in _numbers(row.nodes or "[]")}
        users = {str(msgspec.json.decode(row.details or "{}").get("user_id", "")) for row in reports}
        if len(users - {""}) < 2 and len(nodes) <= limit:
            found.append((min(row.occurred_at for row in reports), sorted(nodes)))
    return found


def _nameless(connection: Connection, found: Found) -> set[int]:
    """Conversions without identifiers of their own that brought one of the person's click ids."""
    numbers = {row.no for row in events_of(connection, found) if _is_redirect(row)}
    numbers |= {found.click[1]} if found.click else set()
    naming = {id_ for _, id_, _ in conversions.of_nodes(connection, found.workspace, numbers)}
    return {id_ for id_, c in conversions.load(connection, found.workspace, naming).items() if not c.nodes}


def _is_redirect(row: Row[Any]) -> bool:
    return bool(row.kind == KINDS["click"] and row.door == DOORS["redirect"])


def _on_shared(connection: Connection, found: Found, mine: set[int]) -> tuple[set[int], set[int]]:
    """Conversions on shared devices: the person's, and the others'."""
    devices = {node for node, _, _ in found.shared}
    there = {id_ for _, id_, _ in conversions.of_nodes(connection, found.workspace, devices)} - mine
    known = conversions.load(connection, found.workspace, there)
    persons = resolve(connection, found.workspace, [(c.occurred_at, c.nodes) for c in known.values()])
    theirs = {
        id_
        for id_, person in zip(known, persons, strict=True)
        if not found.own.isdisjoint(node for node, _, _ in person.members)
    }
    return theirs, known.keys() - theirs


# --- Rows that name them ------------------------------------------------------------------------------


def events_of(connection: Connection, found: Found) -> Generator[Row[Any]]:
    """Every event that is theirs, and those in somebody else's time on a shared device that name them."""
    e = tables.events.c
    here: tuple[ColumnElement[bool], ...] = (e.workspace == found.workspace,)
    ends = select(func.min(e.occurred_at), func.max(e.occurred_at)).where(*here)
    low, high = connection.execute(ends).one()
    if found.through:
        here = (*here, e.id <= found.through)
    nodes = sorted(found.own | found.others)
    if low is not None and nodes:
        time = during(connection, low - 1, high)
        statement = select(tables.events).where(*here, *time, bulk.among(connection, e.visitor, nodes))
        times = intervals(found.shared)
        for row in connection.execute(statement.execution_options(yield_per=1000)):
            if holds(found, times, row) or not found.own.isdisjoint(nodes_named(found.workspace, row)):
                yield row
    known: set[int] = set()
    for part in chunks(found.nameless):
        for row in connection.execute(
            select(tables.events).where(bulk.among(connection, e.id, part), e.visitor == 0, e.click_id != "")
        ):
            known.add(row.id)
            yield row
    if found.click is not None:
        at, no = found.click
        nobody = (e.occurred_at == at, e.no == no, e.visitor == 0, e.click_id != "")
        rows = connection.execute(select(tables.events).where(*here, *nobody)).all()
        yield from (row for row in rows if row.id not in known)


def holds(found: Found, times: dict[int, list[tuple[int, int]]], row: Any) -> bool:
    """Whether the event is the person's, and not only names them."""
    if row.visitor in found.own or not row.visitor:
        return True
    return any(since <= row.occurred_at < until for since, until in times.get(row.visitor, ()))


def sightings_of(connection: Connection, workspace: int, ids: Iterable[int]) -> list[Row[Any]]:
    s = tables.sightings.c
    part = bulk.among(connection, s.conversion, sorted(set(ids)))
    return list(connection.execute(select(tables.sightings).where(s.workspace == workspace, part)))


def adjustments_of(connection: Connection, workspace: int, ids: Iterable[int]) -> list[Row[Any]]:
    a = tables.adjustments.c
    part = bulk.among(connection, a.conversion, sorted(set(ids)))
    return list(connection.execute(select(tables.adjustments).where(a.workspace == workspace, part)))


def their_sightings(connection: Connection, found: Found) -> list[Row[Any]]:
    """The reports of their conversions; of an order that names others too, only those that name them."""
    rows: dict[int, list[Row[Any]]] = {}
    for row in sightings_of(connection, found.workspace, found.mine):
        rows.setdefault(row.conversion, []).append(row)
    theirs: list[Row[Any]] = []
    for reports in rows.values():
        nodes = [frozenset(_numbers(row.nodes or "[]")) for row in reports]
        foreign = any(one - found.own - found.others for one in nodes)
        theirs += [r for r, one in zip(reports, nodes, strict=True) if not foreign or one & found.own]
    return theirs


def links(connection: Connection, found: Found) -> int:
    """How many edges of the graph are theirs."""
    edges = edges_of(connection, found.workspace, found.own)
    return len({frozenset((node, other)) for node, _, other, _, _ in edges})


def names_of(connection: Connection, found: Found) -> Names:
    """What rejected records may call them by."""
    texts: set[str] = set()
    for row in (
        *events_of(connection, found),
        *their_sightings(connection, found),
        *adjustments_of(connection, found.workspace, found.mine),
    ):
        texts |= texts_of(row)
    return named(found.workspace, found.own, frozenset(texts))
