"""Journeys of a batch, gathered as columns: two selects (who has which nodes, their touches), whatever
the number of conversions; and what earlier conversions have used up, where a workspace asks for that.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Connection, select

from app import bulk, tables
from app.attribution.journeys import CLICK, NEVER, Bits, Ints, Journeys, Touches, joined
from app.attribution.ledger import Conversions
from app.events.relational import JOURNEY, journeys, recorded
from app.identity.rules import EVER
from app.identity.store import BLOCKED, Person, kept_apart, resolve

NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class People:
    """The people of a batch. `members` are columns (person, node, since, until), half-open."""

    of: Ints  # per conversion, the index of its person
    members: Ints

    def nodes(self, which: Bits) -> list[int]:
        """The distinct nodes of the people of these conversions."""
        found: list[int] = np.unique(self.members[1][np.isin(self.members[0], self.of[which])]).tolist()
        return found


def people(connection: Connection, workspace: int, conversions: Conversions) -> People:
    """Who made these conversions, as people are known now: identity.store.resolve, mostly as columns.

    Nearly every conversion names one node, of one person or of nobody known; those are resolved all at
    once, and only the others one by one. A test holds both to be the same.
    """
    c = tables.people.c
    sizes = np.array([len(nodes) for nodes in conversions.nodes], dtype=np.int64)
    every = np.array([node for nodes in conversions.nodes for node in nodes], dtype=np.int64)
    known = _memberships(connection, workspace, c.node, np.unique(every))
    node, first, times = np.unique(known[0], return_index=True, return_counts=True)
    nobody = [n for n, why in kept_apart(connection, workspace, every.tolist()).items() if why == BLOCKED]
    simple = sizes == 1
    special = np.concatenate([node[times > 1], np.array(nobody, dtype=np.int64)])
    simple[simple] &= ~np.isin(every[np.repeat(simple, sizes)], special)
    own = every[np.repeat(simple, sizes)]

    place = np.minimum(np.searchsorted(node, own), max(0, len(node) - 1))
    linked = np.isin(own, node)
    number = own.copy()
    number[linked] = known[3][first[place[linked]]]
    persons, index = np.unique(number, return_inverse=True)
    rows = _memberships(connection, workspace, c.person, np.unique(number[linked]))
    alone = np.flatnonzero(~np.isin(persons, number[linked]))
    forever = np.full(len(alone), EVER)
    members = np.concatenate(
        [
            np.array([np.searchsorted(persons, rows[3]), *rows[:3]]),
            np.array([alone, persons[alone], -forever, forever]),
        ],
        axis=1,
    )
    of = np.zeros(len(sizes), dtype=np.int64)
    of[simple] = index
    return _others(connection, workspace, conversions, np.flatnonzero(~simple), People(of, members))


def _others(
    connection: Connection, workspace: int, conversions: Conversions, which: Ints, found: People
) -> People:
    """`found` with the people of the conversions at `which` as well, resolved one by one."""
    if not len(which):
        return found
    asks = [(int(conversions.occurred_at[i]), conversions.nodes[i]) for i in which.tolist()]
    start = int(found.members[0].max(initial=-1)) + 1
    numbers: dict[Person, int] = {}
    of = found.of.copy()
    of[which] = [
        start + numbers.setdefault(person, len(numbers)) for person in resolve(connection, workspace, asks)
    ]
    rows = [(start + i, *member) for person, i in numbers.items() for member in person.members]
    more = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    return People(of, np.concatenate([found.members, more], axis=1))


def _memberships(connection: Connection, workspace: int, by: ColumnElement[int], values: Ints) -> Ints:
    """(node, since, until, person) of tables.people where `by` is one of `values`."""
    c = tables.people.c
    statement = select(c.node, c.since, c.until, c.person)
    if by is c.person:
        statement = bulk.found_by(statement, tables.people, "people_person")
    return bulk.integers(
        connection, statement.where(c.workspace == workspace, bulk.among(connection, by, values.tolist()))
    )


def touches_of(found: Ints) -> tuple[Ints, Touches]:
    """(visitors, touches) of what the event store gives."""
    by = dict(zip(JOURNEY, found, strict=True))
    names = ("no", "kind", "occurred_at", "flags", "direct", "channel_id", "campaign_id", "ad_id",
             "partner_id", "country", "device")  # fmt: skip
    return by["visitor"], Touches(*(by[name] for name in names))


def held(visitor: Ints, at: Ints, members: Ints) -> tuple[Ints, Ints, Bits]:
    """(person, touch, is it the person's) of everyone who shares the node of each touch.

    A touch of a shared device is that of whoever's interval it falls in.
    """
    person, node, since, until = members[:, np.argsort(members[1], kind="stable")]
    low = np.searchsorted(node, visitor, side="left")
    size = np.searchsorted(node, visitor, side="right") - low
    touch = np.repeat(np.arange(len(visitor)), size)
    member = np.arange(len(touch)) + np.repeat(low - np.cumsum(size) + size, size)
    return person[member], touch, (since[member] <= at[touch]) & (at[touch] < until[member])


def valid(
    connection: Connection, members: Ints, nodes: Sequence[int], *, since: Mapping[int, int], until: int
) -> Journeys:
    """The valid touches of these people, of each kind in `since` after its instant; none signed."""
    visitor, touches = touches_of(journeys(connection, nodes, since=since, until=until, flags=0))
    person, touch, mine = held(visitor, touches.at, members)
    return Journeys(touches, person[mine], touch[mine], NONE, NONE)


def with_signed(
    connection: Connection,
    workspace: int,
    found: Journeys,
    clicks: Sequence[Sequence[Mapping[str, int]]],
) -> Journeys:
    """`found` with the clicks that the conversions brought themselves.

    Same `no`, same touch: one that is there already is that touch; else its record is looked up; if that
    is lost, the touch is rebuilt from what was signed.
    """
    named = {(bearer, click["no"]): click for bearer, own in enumerate(clicks) for click in own}
    if not named:
        return found
    index = {no: i for i, no in enumerate(found.touches.no.tolist())}
    missing = {no: click for (_, no), click in named.items() if no not in index}
    more = _looked_up(connection, workspace, missing)
    index |= {no: len(index) + i for i, no in enumerate(more.no.tolist())}
    bearer, touch = np.array(sorted((b, index[no]) for b, no in named), dtype=np.int64).T
    return replace(found, touches=joined(found.touches, more), bearer=bearer, signed=touch)


def _looked_up(connection: Connection, workspace: int, clicks: Mapping[int, Mapping[str, int]]) -> Touches:
    _, there = touches_of(
        recorded(connection, workspace, [(click["occurred_at"], no) for no, click in clicks.items()])
    )
    lost = [click for no, click in clicks.items() if no not in set(there.no.tolist())]
    c = tables.campaigns.c
    campaigns = sorted({click["campaign_id"] for click in lost})
    channels = dict(
        connection.execute(
            select(c.id, c.channel_id).where(c.workspace == workspace, c.id.in_(campaigns))
        ).all()
    )

    def column(name: str) -> Ints:
        return np.array([click[name] for click in lost], dtype=np.int64)

    zero = np.zeros(len(lost), dtype=np.int64)
    rebuilt = Touches(
        no=column("no"),
        kind=zero + CLICK,
        at=column("occurred_at"),
        flags=zero,
        direct=zero,
        channel=np.array([channels.get(click["campaign_id"], 0) for click in lost], dtype=np.int64),
        campaign=column("campaign_id"),
        ad=column("ad_id"),
        partner=column("partner_id"),
        country=zero,
        device=zero,
    )
    return joined(there, rebuilt)


# --- Conversions that use touches up ----------------------------------------------------------------


class Result(NamedTuple):
    """A conversion of a person, as later ones see it."""

    at: int
    id: int
    goal: int
    counts: int


def results(connection: Connection, workspace: int, who: People) -> dict[int, list[Result]]:
    """Per person all their conversions, in order; one made on a shared device is of whose time it was."""
    n, c = tables.conversion_nodes.c, tables.conversions.c
    rows = bulk.integers(
        connection,
        select(n.node, c.occurred_at, c.id, c.goal_id, c.setbacks == 0)
        .join(tables.conversions, (c.workspace == n.workspace) & (c.id == n.conversion))
        .where(n.workspace == workspace, bulk.among(connection, n.node, np.unique(who.members[1]).tolist())),
    )
    person, row, mine = held(rows[0], rows[1], who.members)
    found: dict[int, set[Result]] = defaultdict(set)
    for p, *result in zip(person[mine].tolist(), *rows[1:, row[mine]].tolist(), strict=True):
        found[p].add(Result(*result))
    return {p: sorted(own) for p, own in found.items()}


def spent(conversions: Conversions, who: People, known: Mapping[int, list[Result]], goals: Ints) -> Ints:
    """Per conversion, the instant of its person's counted conversion before it; NEVER if there is none.

    `goals`: for each conversion the one goal whose conversions use its touches up, or -1 for any.
    """
    found = np.full(len(conversions.id), NEVER, dtype=np.int64)
    columns = (conversions.occurred_at, conversions.id, goals, who.of)
    for i, (at, id_, goal, person) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        own = known.get(person, [])
        before = own[: bisect_left(own, (at, id_))]
        found[i] = next((r.at for r in reversed(before) if r.counts and goal in (-1, r.goal)), NEVER)
    return found
