"""The identity graph in tables: edges are facts, people follow from them. See rules.py."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from app import bulk, tables
from app.identity import blocks
from app.identity.graph import Around, around, chunks, edges_of
from app.identity.rules import EVER, EVERY_KIND, REASONS, Membership, joins, people
from app.tables import edges
from app.tables import people as people_table

SHARED, BLOCKED = REASONS["shared"], REASONS["blocked"]


@dataclass(frozen=True, slots=True)
class Person:
    """A person as a set of nodes, each for a time [since, until)."""

    number: int
    members: tuple[tuple[int, int, int], ...]


def resolve(
    connection: Connection, workspace: int, asks: Sequence[tuple[int, Sequence[int]]]
) -> list[Person]:
    """For each ask (instant, nodes of a conversion) the person it is of, with all its nodes.

    A shared device among the nodes counts as the user who is named beside it, else as whoever held it at
    that instant. Nodes that nothing links are persons by themselves. What the operator blocked is nobody;
    what too many share says nothing where another node does.
    """
    shut = kept_apart(connection, workspace, {node for _, nodes in asks for node in nodes})
    rows = _memberships(connection, workspace, {node for _, nodes in asks for node in nodes}, by="node")
    of_node: dict[int, list[Membership]] = defaultdict(list)
    for row in rows:
        of_node[row.node].append(row)
    persons = [_persons(at, _telling(nodes, shut, of_node), of_node) for at, nodes in asks]
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


def kept_apart(connection: Connection, workspace: int, nodes: Iterable[int]) -> dict[int, int]:
    """{node: its reason} of those among `nodes` that are SHARED or BLOCKED."""
    c = tables.unjoined.c
    return {
        node: reason
        for part in chunks(nodes)
        for node, reason in connection.execute(
            select(c.node, c.reason).where(
                c.workspace == workspace,
                bulk.among(connection, c.node, part),
                c.reason.in_((SHARED, BLOCKED)),
            )
        )
    }


def _telling(
    nodes: Sequence[int], shut: Mapping[int, int], of_node: Mapping[int, list[Membership]]
) -> Sequence[int]:
    """Those of a conversion's nodes that tell whose it is."""
    known = [n for n in nodes if shut.get(n) != BLOCKED]
    return [n for n in known if n not in shut or n in of_node] or known


def companions(connection: Connection, workspace: int, since: Mapping[int, int]) -> list[tuple[int, int]]:
    """(node, instant) of every other node of the persons of `since` ({node: instant}), with that instant."""
    held: dict[int, int] = {}
    for row in _memberships(connection, workspace, since, by="node"):
        at = since[row.node]
        held[row.person] = min(at, held.get(row.person, at))
    return [(m.node, held[m.person]) for m in _memberships(connection, workspace, held, by="person")]


def members(connection: Connection, workspace: int, nodes: Iterable[int]) -> set[int]:
    """All nodes of all persons that one of `nodes` ever belonged to, and `nodes` themselves."""
    wanted = set(nodes)
    held = {m.person for m in _memberships(connection, workspace, wanted, by="node")}
    return wanted | {m.node for m in _memberships(connection, workspace, held, by="person")}


def strangers(connection: Connection, workspace: int, nodes: Iterable[int], *, limit: int) -> set[int]:
    """Those of `nodes` that join nobody: shared devices, what would join too many, what was blocked."""
    wanted = set(nodes)
    found = around(connection, workspace, wanted, limit=limit, blocked=blocks.active(connection, workspace))
    return {n for n in wanted if found.lost[n] == EVERY_KIND or not joins(found.kinds[n], found.near[n])}


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
    """Bring `people` and `unjoined` up to date with the edges and blocks of `nodes`.

    Returns every node whose person changed, or which says more or less of whose a conversion is.
    """
    blocked = blocks.active(connection, workspace)
    wanted = set(nodes)
    while True:
        graph = around(connection, workspace, wanted, limit=limit, blocked=blocked)
        met = graph.near.keys()
        touched = {m.person for m in _memberships(connection, workspace, met, by="node")}
        before = _memberships(connection, workspace, touched, by="person")
        # Who was of the same person before is looked at too, and who is of theirs, until nobody is new.
        reached = {m.node for m in before}
        if reached <= met:
            break
        wanted |= met | reached
    old, new = set(before), set(people(graph.kinds, graph.near))
    gone = old - new
    c = people_table.c
    for part in chunks(m.node for m in gone):
        connection.execute(
            delete(people_table).where(c.workspace == workspace, bulk.among(connection, c.node, part))
        )
    kept = {m.node for m in gone}
    fresh = [m for m in new if m not in old or m.node in kept]
    columns = ("workspace", "node", "since", "until", "person")
    rows = sorted((workspace, m.node, m.since, m.until, m.person) for m in fresh)
    bulk.append(connection, people_table, columns, rows)
    changed = {m.person for m in old ^ new}
    return {m.node for m in old | new if m.person in changed} | _note(connection, workspace, graph, blocked)


def _note(connection: Connection, workspace: int, graph: Around, blocked: Mapping[int, int]) -> set[int]:
    """Keep `unjoined` as the graph has it; returns the nodes whose reason is another than before."""
    table, c = tables.unjoined, tables.unjoined.c
    mine = c.workspace == workspace
    new = {(node, *row) for node, row in graph.unjoined(blocked).items()}
    old: set[tuple[int, int, int, int]] = set()
    for part in chunks(graph.near):
        rows = select(c.node, c.kind, c.reason, c.linked).where(mine, bulk.among(connection, c.node, part))
        old |= {(node, kind, why, linked) for node, kind, why, linked in connection.execute(rows)}
    for part in chunks(row[0] for row in old - new):
        connection.execute(delete(table).where(mine, bulk.among(connection, c.node, part)))
    columns = ("workspace", "node", "kind", "reason", "linked")
    bulk.append(connection, table, columns, sorted((workspace, *row) for row in new - old))
    return {node for node, _ in {(n, why) for n, _, why, _ in old} ^ {(n, why) for n, _, why, _ in new}}
