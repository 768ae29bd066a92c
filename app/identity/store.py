"""The identity graph in tables: edges are facts, people follow from them. See rules.py."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, union_all

from app import bulk
from app.identity.rules import EVER, USER, VISITOR, Membership, Neighbour, joins, people
from app.tables import edges
from app.tables import people as people_table

#: How many ids one IN list may hold (SQLite's limit of variables is 32,766).
CHUNK = 10_000

#: A node with more edges than this joins nobody, whatever they are: it is not read out.
HUB = 5_000


@dataclass(frozen=True, slots=True)
class Person:
    """A person as a set of nodes, each for a time [since, until)."""

    number: int
    members: tuple[tuple[int, int, int], ...]


def chunks(values: Iterable[int]) -> Iterable[list[int]]:
    """`values` without repeats, in lists short enough for one IN."""
    whole = sorted(set(values))
    for start in range(0, len(whole), CHUNK):
        yield whole[start : start + CHUNK]


def resolve(
    connection: Connection, workspace: int, asks: Sequence[tuple[int, Sequence[int]]]
) -> list[Person]:
    """For each ask (instant, nodes of a conversion) the person it is of, with all its nodes.

    A shared device among the nodes counts as the user who is named beside it, else as whoever held it at
    that instant. Nodes that nothing links are persons by themselves.
    """
    rows = _memberships(connection, workspace, {node for _, nodes in asks for node in nodes}, by="node")
    of_node: dict[int, list[Membership]] = defaultdict(list)
    for row in rows:
        of_node[row.node].append(row)
    persons = [_persons(at, nodes, of_node) for at, nodes in asks]
    wanted = {p for found in persons for p in found}
    linked = {m.person for m in rows}
    members: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for row in _memberships(connection, workspace, wanted & linked, by="person"):
        members[row.person].append((row.node, row.since, row.until))
    return [
        Person(
            number=min(found, default=0),
            members=tuple(sorted({m for p in found for m in members.get(p, [(p, -EVER, EVER)])})),
        )
        for found in persons
    ]


def companions(connection: Connection, workspace: int, since: Mapping[int, int]) -> list[tuple[int, int]]:
    """(node, instant) of every other node of the persons of `since` ({node: instant}), with that instant."""
    held: dict[int, int] = {}
    for row in _memberships(connection, workspace, since, by="node"):
        at = since[row.node]
        held[row.person] = min(at, held.get(row.person, at))
    return [(m.node, held[m.person]) for m in _memberships(connection, workspace, held, by="person")]


def linked(connection: Connection, workspace: int) -> set[int]:
    """Every node that an edge names."""
    e = edges.c
    both = union_all(*(select(end).where(e.workspace == workspace) for end in (e.a, e.b)))
    return set(connection.scalars(both))


def members(connection: Connection, workspace: int, nodes: Iterable[int]) -> set[int]:
    """All nodes of all persons that one of `nodes` ever belonged to, and `nodes` themselves."""
    wanted = set(nodes)
    held = {m.person for m in _memberships(connection, workspace, wanted, by="node")}
    return wanted | {m.node for m in _memberships(connection, workspace, held, by="person")}


def strangers(connection: Connection, workspace: int, nodes: Iterable[int], *, limit: int) -> set[int]:
    """Those of `nodes` that join nobody (rules.joins): shared devices, and what would join too many."""
    wanted = set(nodes)
    kinds, graph = _closure(connection, workspace, wanted, limit)
    return {n for n in wanted if n not in graph or not joins(kinds[n], graph[n], limit)}


def edges_of(
    connection: Connection, workspace: int, nodes: Iterable[int]
) -> list[tuple[int, int, int, int, int]]:
    """(node, kind, other, other's kind, first seen) of every edge of `nodes`, from each of its ends that is
    one of them."""
    return list(_edges(connection, workspace, nodes))


def replace_nodes(connection: Connection, workspace: int, instead: Mapping[int, int]) -> None:
    """Take the nodes of `instead` out of the graph. Edges among them go; where one leads to somebody else the
    stranger that `instead` names takes its place, so that whom others are joined with stays as it was."""
    found = edges_of(connection, workspace, instead)
    e = edges.c
    for end in (e.a, e.b):
        for part in chunks(instead):
            gone = delete(edges).where(e.workspace == workspace, bulk.among(connection, end, part))
            connection.execute(bulk.found_by(gone, edges, "edges_back") if end is e.b else gone)
    rows = set()
    for node, kind, other, other_kind, at in found:
        if other not in instead:
            (a, a_kind), (b, b_kind) = sorted(((instead[node], kind), (other, other_kind)))
            rows.add((workspace, a, b, a_kind, b_kind, at))
    columns = ("workspace", "a", "b", "a_kind", "b_kind", "first_seen")
    bulk.append(connection, edges, columns, sorted(rows))


def _persons(at: int, nodes: Sequence[int], of_node: dict[int, list[Membership]]) -> set[int]:
    found = {of_node[n][0].person if n in of_node else n for n in nodes if len(of_node.get(n, ())) < 2}
    for node in nodes:
        held = of_node.get(node, [])
        if len(held) >= 2 and not found & {m.person for m in held}:
            found |= {m.person for m in held if m.since <= at < m.until}
    return found


def _memberships(
    connection: Connection, workspace: int, values: Iterable[int], *, by: str
) -> list[Membership]:
    c = people_table.c
    statement = select(c.node, c.since, c.until, c.person).where(c.workspace == workspace)
    if by == "person":
        statement = bulk.found_by(statement, people_table, "people_person")
    return [
        Membership(*row)
        for part in chunks(values)
        for row in connection.execute(statement.where(bulk.among(connection, c[by], part)))
    ]


def join(connection: Connection, workspace: int, nodes: Iterable[int], *, limit: int) -> set[int]:
    """Bring `people` up to date with the edges of `nodes`; returns every node whose person changed."""
    wanted = set(nodes)
    while True:
        kinds, graph = _closure(connection, workspace, wanted, limit)
        touched = {m.person for m in _memberships(connection, workspace, wanted | graph.keys(), by="node")}
        before = _memberships(connection, workspace, touched, by="person")
        # Who was of the same person before is looked at too, and who is of theirs, until nobody is new.
        reached = graph.keys() | {m.node for m in before}
        if reached <= wanted | graph.keys():
            break
        wanted |= reached
    after = people(kinds, graph, limit)
    old, new = set(before), set(after)
    gone = old - new
    c = people_table.c
    for part in chunks(m.node for m in gone):
        connection.execute(
            delete(people_table).where(c.workspace == workspace, bulk.among(connection, c.node, part))
        )
    kept = {m.node for m in gone}
    fresh = [m for m in after if m not in old or m.node in kept]
    columns = ("workspace", "node", "since", "until", "person")
    rows = [(workspace, m.node, m.since, m.until, m.person) for m in fresh]
    bulk.append(connection, people_table, columns, rows)
    changed = {m.person for m in old ^ new}
    return {m.node for m in old | new if m.person in changed}


def _closure(
    connection: Connection, workspace: int, seeds: Iterable[int], limit: int
) -> tuple[dict[int, int], dict[int, tuple[Neighbour, ...]]]:
    """The graph around `seeds`, closed as rules.people needs it: nodes that join nobody are not passed
    (only a shared device leads to its users), hubs are left out with every edge to them."""
    kinds: dict[int, int] = {}
    graph: dict[int, tuple[Neighbour, ...]] = {}
    hubs: set[int] = set()
    frontier = set(seeds)
    while frontier:
        degrees = dict(_degrees(connection, workspace, frontier))
        hubs |= {node for node, degree in degrees.items() if degree > HUB}
        frontier -= hubs
        near: dict[int, list[Neighbour]] = {node: [] for node in frontier}
        for node, kind, other, other_kind, first_seen in _edges(connection, workspace, frontier):
            kinds[node], kinds[other] = kind, other_kind
            near[node].append(Neighbour(other, other_kind, first_seen))
        graph.update({node: tuple(sorted(found, key=lambda n: n.node)) for node, found in near.items()})
        reached = {
            n.node
            for node, found in near.items()
            for n in found
            if joins(kinds[node], found, limit) or (kinds[node] == VISITOR and n.kind == USER)
        }
        frontier = reached - graph.keys() - hubs
    for node in graph:
        kinds.setdefault(node, 0)
    return kinds, {node: tuple(n for n in near if n.node not in hubs) for node, near in graph.items()}


def _degrees(connection: Connection, workspace: int, nodes: Iterable[int]) -> Iterable[tuple[int, int]]:
    e = edges.c
    for part in chunks(nodes):
        for mine in (e.a, e.b):
            statement = select(mine, func.count()).where(
                e.workspace == workspace, bulk.among(connection, mine, part)
            )
            if mine is e.b:
                statement = bulk.found_by(statement, edges, "edges_back")
            yield from ((n, d) for n, d in connection.execute(statement.group_by(mine)))


def _edges(
    connection: Connection, workspace: int, nodes: Iterable[int]
) -> Iterable[tuple[int, int, int, int, int]]:
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
