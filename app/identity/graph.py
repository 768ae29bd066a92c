"""The identity graph around some nodes, read as far as people reach, without the edges that are lost.

Only reads, and only edges: what follows from them is rules.py's, who keeps it is store.py.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, func, select, union_all

from app import bulk
from app.identity.rules import EVERY_KIND, NO_KIND, USER, Kinds, Neighbour, joins, reason, refused
from app.tables import edges

#: How many ids one IN list may hold (SQLite's limit of variables is 32,766).
CHUNK = 10_000

#: A node with more edges than this joins nobody, whatever they are: it is not read out.
HUB = 5_000


def chunks(values: Iterable[int]) -> Iterable[list[int]]:
    """`values` without repeats, in lists short enough for one IN."""
    whole = sorted(set(values))
    for start in range(0, len(whole), CHUNK):
        yield whole[start : start + CHUNK]


@dataclass(slots=True)
class Around:
    """What was read. `near` holds only edges that neither end loses, and is closed as rules.people asks."""

    kinds: dict[int, int] = field(default_factory=dict)
    near: dict[int, tuple[Neighbour, ...]] = field(default_factory=dict)
    degrees: dict[int, int] = field(default_factory=dict)  # of every node that was met
    lost: dict[int, Kinds] = field(default_factory=dict)  # rules.refused, of the same

    def unjoined(self, blocked: Container[int]) -> dict[int, tuple[int, int, int]]:
        """(kind, rules.REASONS, how many others it was told with) of the nodes that do not join them all."""
        found = {
            node: (kind, reason(kind, self.near[node], self.lost[node], blocked=node in blocked), degree)
            for node, kind, degree in ((n, self.kinds[n], self.degrees.get(n, 0)) for n in self.near)
        }
        return {node: row for node, row in found.items() if row[1]}


def around(
    connection: Connection, workspace: int, seeds: Iterable[int], *, limit: int, blocked: Mapping[int, int]
) -> Around:
    """The graph around `seeds`. Nodes that join nobody are not passed, but a shared device leads to its
    users; a node that loses every edge stands alone. `blocked`: {node: its kind}."""
    found = Around()
    frontier = set(seeds)
    while frontier:
        _judge(connection, workspace, frontier, limit, blocked, found)
        rows = list(_edges(connection, workspace, [n for n in frontier if found.lost[n] != EVERY_KIND]))
        _judge(connection, workspace, {other for _, _, other, _, _ in rows}, limit, blocked, found)
        near: dict[int, list[Neighbour]] = {node: [] for node in frontier}
        for node, kind, other, other_kind, first_seen in rows:
            found.kinds[node], found.kinds[other] = kind, other_kind
            if other_kind not in found.lost[node] and kind not in found.lost[other]:
                near[node].append(Neighbour(other, other_kind, first_seen))
        found.near.update({n: tuple(sorted(own, key=lambda x: x.node)) for n, own in near.items()})
        reached = {
            n.node
            for node, own in near.items()
            for n in own
            if n.kind == USER or joins(found.kinds[node], own)
        }
        frontier = reached - found.near.keys()
    unknown = found.near.keys() - found.kinds.keys()
    found.kinds |= {node: blocked.get(node, 0) for node in unknown} | _kinds(connection, workspace, unknown)
    return found


def _judge(
    connection: Connection,
    workspace: int,
    nodes: Iterable[int],
    limit: int,
    blocked: Container[int],
    found: Around,
) -> None:
    """Find out how many edges these nodes have, and which of them they lose."""
    fresh = set(nodes) - found.lost.keys()
    for node, degree in _degrees(connection, workspace, fresh):
        found.degrees[node] = found.degrees.get(node, 0) + degree
    found.lost |= {
        node: EVERY_KIND if node in blocked or found.degrees.get(node, 0) > HUB else NO_KIND for node in fresh
    }
    # Few have more edges than the limit; only of these is it asked what they lead to.
    many = [n for n in fresh if not found.lost[n] and found.degrees.get(n, 0) > limit]
    judged = told(connection, workspace, many)
    found.lost |= {node: refused(one.kind, one.kinds, limit) for node, one in judged.items()}


def _kinds(connection: Connection, workspace: int, nodes: Iterable[int]) -> dict[int, int]:
    """The kinds of nodes of which nothing else was read: their neighbours too have lost every edge."""
    e = edges.c
    found: dict[int, int] = {}
    for node in nodes:
        for mine, kind in ((e.a, e.a_kind), (e.b, e.b_kind)):
            one = select(kind).where(e.workspace == workspace, mine == node).limit(1)
            if told := connection.scalar(_back(one, mine)):
                found[node] = told
    return found


def _back(statement: bulk.Found, mine: ColumnElement[int]) -> bulk.Found:
    """By which index SQLite finds the edges of `mine`: its first end is the table's own order."""
    return bulk.found_by(statement, edges, "edges_back") if mine is edges.c.b else statement


def _degrees(connection: Connection, workspace: int, nodes: Iterable[int]) -> Iterable[tuple[int, int]]:
    e = edges.c
    for part in chunks(nodes):
        for mine in (e.a, e.b):
            statement = select(mine, func.count()).where(
                e.workspace == workspace, bulk.among(connection, mine, part)
            )
            rows = connection.execute(_back(statement, mine).group_by(mine))
            yield from ((node, degree) for node, degree in rows)


def edges_of(
    connection: Connection, workspace: int, nodes: Iterable[int]
) -> list[tuple[int, int, int, int, int]]:
    """(node, kind, other, other's kind, first seen) of every edge of `nodes`, from each of its ends that is
    one of them."""
    return list(_edges(connection, workspace, nodes))


def _edges(
    connection: Connection, workspace: int, nodes: Iterable[int]
) -> Iterable[tuple[int, int, int, int, int]]:
    """(node, its kind, other, its kind, first seen) of every edge at either end of `nodes`."""
    e = edges.c
    for part in chunks(nodes):
        yield from connection.execute(
            union_all(
                select(e.a, e.a_kind, e.b, e.b_kind, e.first_seen).where(
                    e.workspace == workspace, bulk.among(connection, e.a, part)
                ),
                bulk.found_by(
                    select(e.b, e.b_kind, e.a, e.a_kind, e.first_seen).where(
                        e.workspace == workspace, bulk.among(connection, e.b, part)
                    ),
                    edges,
                    "edges_back",
                ),
            )
        )


def linked(connection: Connection, workspace: int) -> set[int]:
    """Every node that an edge names."""
    e = edges.c
    both = union_all(*(select(end).where(e.workspace == workspace) for end in (e.a, e.b)))
    return set(connection.scalars(both))


@dataclass(slots=True)
class Told:
    """A node's kind, how many others of each kind it was told with, and since when."""

    kind: int
    kinds: dict[int, int]
    first_seen: int


def told(connection: Connection, workspace: int, nodes: Iterable[int]) -> dict[int, Told]:
    """What these nodes were told with, whatever is lost; counted where the edges are."""
    e = edges.c
    found: dict[int, Told] = {}
    for part in chunks(nodes):
        for mine, own, other in ((e.a, e.a_kind, e.b_kind), (e.b, e.b_kind, e.a_kind)):
            statement = select(mine, own, other, func.count(), func.min(e.first_seen)).where(
                e.workspace == workspace, bulk.among(connection, mine, part)
            )
            rows = connection.execute(_back(statement, mine).group_by(mine, own, other))
            for node, kind, of, count, first in rows:
                one = found.setdefault(node, Told(kind, {}, first))
                one.kinds[of] = one.kinds.get(of, 0) + count
                one.first_seen = min(one.first_seen, first)
    return found
