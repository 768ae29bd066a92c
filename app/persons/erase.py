"""Erasing a person: rows stay, and what tells whose they are goes.

What an event was (kind, time, campaign, place, device, flags) and what a conversion is worth stay, so all
numbers stay; BLANK is what goes. Conversions are frozen first, their own and those that others made on a
device they shared: what earned is not known any more afterwards. Nothing here commits.

    searched  some rejected records, which may be very many, each batch in a transaction of its own
    person    everything but events, in one transaction under the leader's and the pipelines' locks
    events    some of their events, until there are none
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Table, and_, bindparam, delete, func, select, update

from app import bulk, db, tables
from app.attribution.leader import Notes, catch_up, derive
from app.attribution.tasks import settle_these
from app.conversions import store as conversions
from app.identity.graph import chunks
from app.identity.store import replace_nodes
from app.model import HALF_HOUR
from app.persons.finding import (
    Found,
    adjustments_of,
    events_of,
    find,
    holds,
    links,
    names_of,
    their_sightings,
)
from app.persons.rules import Names, Wanted, intervals, names_person
from app.pipeline.landings import Landing
from app.pipeline.store import explained_by, tell

#: What is emptied, table by table. Every other column stays as it is; a test holds this against the schema.
BLANK: dict[str, dict[str, object]] = {
    "events": {"visitor": 0, "visitor_id": "", "user_id": "", "click_id": "", "details": ""},
    "sightings": {
        "visitor": 0, "event_id": "", "order_id": "", "click_id": "", "lead_id": "", "nodes": "[]",
        "clicks": "[]", "details": "",
    },
    "adjustments": {"event_id": ""},
    "rejected": {"event_id": "", "body": "", "message": ""},
}  # fmt: skip

BEFORE_ALL = -1  # a row number

BATCH = 2_000  # events erased in one transaction


@dataclass(frozen=True, slots=True)
class Search:
    """How far rejected records were searched before the person's transaction, and for what. Never written."""

    last: int = 0
    nodes: frozenset[int] = frozenset()
    texts: frozenset[str] = frozenset()


Rebuild = Callable[[Connection, int, str], None]
Counts = dict[str, int]


def person(
    connection: Connection,
    workspace: int,
    who: Wanted,
    *,
    rebuild: Rebuild,
    fresh: Callable[[], int],
    before: Search = Search(),
) -> tuple[Found, Counts] | None:
    """Erase all of a person but their events; who that was, and how many rows of what. None: not now, since
    much waits to be derived. `before` says which rejected records are done already; `fresh` gives numbers of
    nobody. Errors: Conflict, as finding.find.
    """
    db.lock(connection, db.Lock.FACTS, workspace)  # no pipeline adds meanwhile
    if not catch_up(connection, rebuild):
        return None
    found = find(connection, workspace, who)
    if not found.anybody:
        return msgspec.structs.replace(found, through=BEFORE_ALL), {}
    touched = [*found.mine, *found.near]
    settle_these(connection, workspace, touched)
    conversions.freeze(connection, workspace, touched)
    names = names_of(connection, found)
    counts = {
        "conversions": len(found.mine),
        "sightings": _blank(connection, tables.sightings, their_sightings(connection, found)),
        "adjustments": _blank(
            connection, tables.adjustments, adjustments_of(connection, workspace, found.mine)
        ),
        "edges": links(connection, found),
        "rejected": _rejected(connection, names, before),
    }
    _landings(connection, found)
    instead = {node: fresh() for node in found.own}
    replace_nodes(connection, workspace, instead)
    _lifted_blocks(connection, workspace, instead)
    notes = Notes(conversions=set(found.mine), nodes={*found.own, *found.others, *instead.values()})
    derive(connection, workspace, notes, rebuild)
    settle_these(connection, workspace, touched)  # a leader of an older version would not leave them alone
    return msgspec.structs.replace(found, through=_last_event(connection)), counts


def _last_event(connection: Connection) -> int:
    """What was stored after it is not the erased person's: no instants of several machines are compared."""
    return int(connection.scalar(select(func.max(tables.events.c.id))) or 0) or BEFORE_ALL


def events(connection: Connection, found: Found) -> int:
    """Empty up to BATCH of their events; returns how many: fewer than BATCH when these were the last."""
    times = intervals(found.shared)
    with closing(events_of(connection, found)) as theirs:
        rows = list(islice(theirs, BATCH))
    mine = [row for row in rows if holds(found, times, row)]
    named = [row for row in rows if not holds(found, times, row)]
    _blank_events(connection, mine, tuple(BLANK["events"]))
    _blank_events(connection, named, ("user_id", "details"))
    _note(connection, found.workspace, mine)
    return len(rows)


def _note(connection: Connection, workspace: int, rows: Iterable[Row[Any]]) -> None:
    """A sale that came since may have been credited to what is emptied now: the leader looks again."""
    earliest: dict[int, int] = {}
    for row in rows:
        if row.visitor:
            earliest[row.visitor] = min(row.occurred_at, earliest.get(row.visitor, row.occurred_at))
    if earliest:
        tell(connection, workspace, "touches", [number for pair in earliest.items() for number in pair])


def _blank_events(connection: Connection, rows: list[Row[Any]], columns: tuple[str, ...]) -> None:
    if not rows:
        return
    e = tables.events.c
    values: dict[str, Any] = {name: BLANK["events"][name] for name in columns} | {
        "details": bindparam("kept")
    }
    connection.execute(
        update(tables.events)
        .where(e.id == bindparam("row"), e.occurred_at == bindparam("at"))
        .values(values),
        [{"row": row.id, "at": row.occurred_at, "kept": _hints(row.details)} for row in rows],
    )


def _hints(details: str) -> str:
    """Of the details only what the door noticed: whether a click is billed is judged by it once more."""
    hints = msgspec.json.decode(details or "{}").get("hints")
    return msgspec.json.encode({"hints": hints}).decode() if hints else ""


def _blank(connection: Connection, table: Table, rows: Sequence[Any]) -> int:
    for part in chunks(row.id for row in rows):
        here = bulk.among(connection, table.c.id, part)
        connection.execute(update(table).where(here).values(BLANK[table.name]))
    return len(rows)


def searched(connection: Connection, names: Names, *, after: int, limit: int) -> tuple[int, list[int]]:
    """Look through some rejected records, the oldest after `after` first: (the last one looked at, 0 at the
    end; those that name the person). What could not be decoded is of no workspace."""
    r = tables.rejected.c
    here = select(r.id, r.kind, r.body).where(r.id > after, r.workspace.in_((names.workspace, 0)))
    rows = connection.execute(here.where(r.body != "").order_by(r.id).limit(limit)).all()
    last = rows[-1].id if len(rows) == limit else 0
    return last, [row.id for row in rows if names_person(row.body, row.kind, names)]


def forget(connection: Connection, ids: Iterable[int]) -> int:
    """Rejected records lose what they hold; how many did."""
    gone = 0
    for part in chunks(ids):
        r = tables.rejected.c
        here = update(tables.rejected).where(bulk.among(connection, r.id, part), r.body != "")
        gone += connection.execute(here.values(BLANK["rejected"])).rowcount
    return gone


def _rejected(connection: Connection, names: Names, before: Search) -> int:
    """The rest: what came in since they were searched, or all once more where not all names were known."""
    last = before.last if names.texts <= before.texts and names.nodes <= before.nodes else 0
    found: list[int] = []
    while True:
        last, theirs = searched(connection, names, after=last, limit=BATCH)
        found += theirs
        if not last:
            return forget(connection, found)


def _lifted_blocks(connection: Connection, workspace: int, instead: Mapping[int, int]) -> None:
    """A block that was lifted goes on telling which identifier it was of. One in force is nobody's."""
    c = tables.identifier_blocks.c
    for node, stranger in instead.items():
        here = (c.workspace == workspace, c.node == node)
        blank = {"node": stranger, "value": "", "note": ""}
        connection.execute(update(tables.identifier_blocks).where(*here).values(blank))


def _landings(connection: Connection, found: Found) -> None:
    """Landings stand or do not as they did: those that a click explains, which nobody sees once it is
    emptied, go; the others lose their visitor, and nothing explains them ever."""
    table, c = tables.landings, tables.landings.c
    times = intervals(found.shared)
    for part in chunks([*found.own, *times]):
        here = select(c.key, c.occurred_at, c.no, c.visitor, c.campaign_id).where(
            c.workspace == found.workspace, bulk.among(connection, c.visitor, part)
        )
        rows = connection.execute(bulk.found_by(here, table, "landings_visitor")).all()
        known = explained_by(connection, found.workspace, [Landing(*row[1:]) for row in rows])
        for row in rows:
            this = and_(
                c.workspace == found.workspace,
                c.key == row.key,
                c.occurred_at == row.occurred_at,
                c.no == row.no,
            )
            if (row.visitor, row.campaign_id, row.occurred_at // HALF_HOUR) in known:
                connection.execute(delete(table).where(this))
            elif holds(found, times, row):
                connection.execute(update(table).where(this).values(visitor=0))
