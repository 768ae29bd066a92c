"""What joins nobody, and how it is known: shared, on a shared device, blocked, junk; in any order."""

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import db, tables
from app.identity import graph, store
from app.identity.rules import (
    EVERY_KIND,
    JUNK,
    REASONS,
    REPEATED,
    joins,
    junk,
    kept,
    people,
    refused,
)
from app.model import NODES
from tests import engines
from tests.identity.test_people import E, Edge, U, V, always, graph_of, nodes, persons

P = NODES["phone"]
LIMIT = 2


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> db.Engine:
    return engines.connect(tmp_path_factory.mktemp("unjoined"))


def test_a_visitor_id_that_stands_in_the_pages_source_joins_nobody() -> None:
    edges: list[Edge] = [((n, V), (99, V), 0) for n in range(1, 5)]
    assert persons(edges, limit=3) == set()
    assert len(persons(edges, limit=4)) == 5


def test_users_of_one_e_mail_address_are_counted_like_visitors() -> None:
    assert persons([((n, U), (99, E), 0) for n in range(1, 5)], limit=3) == set()


def test_a_tablet_at_a_fair_loses_the_addresses_and_stays_its_users() -> None:
    addresses: list[Edge] = [((1, V), (20 + n, E), n) for n in range(4)]
    assert persons([*addresses, ((1, V), (9, U), 0)], limit=3) == {always(1, 1), always(9, 1)}


def test_an_agent_who_books_for_others_loses_their_addresses_and_keeps_the_devices() -> None:
    others: list[Edge] = [((9, U), (20 + n, E), n) for n in range(4)]
    devices: list[Edge] = [((n, V), (9, U), 0) for n in (1, 2)]
    assert persons([*others, *devices], limit=3) == {always(n, 1) for n in (1, 2, 9)}


def test_a_user_id_that_too_many_share_makes_no_device_a_shared_one() -> None:
    walk_in: list[Edge] = [((n, V), (9, U), 5) for n in range(1, 5)]
    found = persons([*walk_in, ((1, V), (8, U), 0)], limit=3)
    assert found == {always(1, 1), always(8, 1)}


def test_an_identifier_that_is_blocked_loses_its_edges_and_no_other_does() -> None:
    kinds, near = graph_of([((1, V), (9, U), 0), ((2, V), (9, U), 0), ((2, V), (5, E), 0)])
    assert set(people(kinds, kept(kinds, near, 3, frozenset({9})))) == {always(2, 2), always(5, 2)}


@pytest.mark.parametrize("hashed", ["", "null", "guest"])
def test_the_hash_of_a_stand_in_is_a_stand_in(hashed: str) -> None:
    assert junk(sha256(hashed.encode()).hexdigest().upper()) == f"sha256({hashed})"


@given(st.one_of(st.text(max_size=6), st.characters().map(lambda c: c * 9), st.sampled_from(sorted(JUNK))))
def test_junk_has_few_names_whatever_is_sent(value: str) -> None:
    assert junk(value) in {None, REPEATED, *JUNK}


# --- in tables ------------------------------------------------------------------------------------------

Step = Edge | tuple[int, bool]  # an edge that is told, or a node that is blocked (True) or given back

phones = st.tuples(st.integers(31, 33), st.just(P))
every_node = st.one_of(nodes, phones)
steps = st.lists(
    st.one_of(
        st.tuples(every_node, every_node, st.integers(0, 5)).filter(lambda e: e[0] != e[1]),
        st.tuples(every_node, every_node, st.integers(0, 5)).filter(lambda e: e[0] != e[1]),
        st.tuples(every_node.map(lambda node: node[0]), st.booleans()),
    ),
    max_size=18,
)
KINDS = {range(1, 7): V, range(11, 15): U, range(21, 24): E, range(31, 34): P}


def kind_of(node: int) -> int:
    return next(kind for numbers, kind in KINDS.items() if node in numbers)


def facts(story: Sequence[Step]) -> tuple[dict[tuple[int, int], int], set[int]]:
    """({edge: first seen}, blocked) at the end of a story."""
    edges: dict[tuple[int, int], int] = {}
    blocked: dict[int, bool] = {}
    for step in story:
        if len(step) == 2:
            blocked[step[0]] = step[1]
        else:
            a, b = sorted((step[0][0], step[1][0]))
            edges[a, b] = min(step[2], edges.get((a, b), step[2]))
    return edges, {node for node, shut in blocked.items() if shut}


def played(engine: db.Engine, story: Sequence[Step]) -> tuple[set[tuple[int, ...]], set[tuple[int, ...]]]:
    """`people` and `unjoined` after a story, each step noted to the leader and derived by itself."""
    with db.begin(engine) as connection:
        for table in (tables.edges, tables.people, tables.unjoined, tables.identifier_blocks):
            connection.execute(table.delete())
        for end in range(1, len(story) + 1):
            edges, blocked = facts(story[:end])
            for table in (tables.edges, tables.identifier_blocks):
                connection.execute(table.delete())
            for (a, b), seen in edges.items():
                kinds = {"a_kind": kind_of(a), "b_kind": kind_of(b)}
                row = {"workspace": 1, "a": a, "b": b, "first_seen": seen, **kinds}
                connection.execute(tables.edges.insert().values(row))
            for node in blocked:
                row = {"workspace": 1, "node": node, "kind": kind_of(node), "value": str(node)}
                connection.execute(tables.identifier_blocks.insert().values(row))
            step = story[end - 1]
            told = {step[0]} if len(step) == 2 else {step[0][0], step[1][0]}
            store.join(connection, 1, told, limit=LIMIT)
        found = connection.execute(tables.people.select())
        joined = {(r.node, r.since, r.until, r.person) for r in found}
        return joined, {tuple(row)[1:] for row in connection.execute(tables.unjoined.select())}


def lawful(story: Sequence[Step]) -> tuple[set[tuple[int, ...]], set[tuple[int, ...]]]:
    """The same by the rules, of the whole graph at once."""
    edges, blocked = facts(story)
    kinds, near = graph_of([((a, kind_of(a)), (b, kind_of(b)), seen) for (a, b), seen in edges.items()])
    left = kept(kinds, near, LIMIT, frozenset(blocked))
    joined = {(m.node, m.since, m.until, m.person) for m in people(kinds, left)}
    reasons = dict.fromkeys(blocked, REASONS["blocked"])
    for node, own in near.items():
        told = {kind: sum(n.kind == kind for n in own) for kind in EVERY_KIND}
        fallback = 0 if joins(kinds[node], left[node]) else REASONS["shared_device"]
        why = REASONS["shared"] if refused(kinds[node], told, LIMIT) else fallback
        reasons.setdefault(node, why)
    shown = {(n, kind_of(n), why, len(near.get(n, ()))) for n, why in reasons.items() if why}
    return joined, shown


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=120)
@given(steps)
def test_edges_and_blocks_told_one_by_one_make_what_the_whole_graph_makes(
    engine: db.Engine, story: list[Step]
) -> None:
    assert played(engine, story) == lawful(story)


def test_a_hub_is_not_read_out_and_all_around_it_is_as_if_it_were_not_there(engine: db.Engine) -> None:
    """The order in which the others came once decided, as a hub counted where one looked from afar."""
    hub, device, user, address = 11, 1, 12, 21
    walk_in = [(device, hub), *((n, hub) for n in range(1_000, 1_000 + graph.HUB))]
    beside = [(device, user), (device, address)]
    row = {"workspace": 1, "a_kind": V, "first_seen": 0}
    kinds = {hub: U, user: U, address: E}
    found = []
    for order in ([*walk_in, *beside], [*walk_in, *reversed(beside)], [*beside, *walk_in]):
        with db.begin(engine) as connection:
            for table in (tables.edges, tables.people, tables.unjoined, tables.identifier_blocks):
                connection.execute(table.delete())
            ends = [row | {"a": min(e), "b": max(e), "b_kind": kinds[e[1]]} for e in order]
            ends = [e if e["a"] < 1_000 and e["b"] < 1_000 else e | {"a_kind": U, "b_kind": V} for e in ends]
            connection.execute(tables.edges.insert(), ends)
            for edge in (order[0], order[-2], order[-1]):
                store.join(connection, 1, edge, limit=20)
            rows = connection.execute(tables.people.select()).all()
            shown = connection.execute(tables.unjoined.select()).all()
        found.append(({(r.node, r.person) for r in rows}, [tuple(r)[1:] for r in shown]))
    joined = {(device, device), (user, device), (address, device)}
    assert found == [(joined, [(hub, U, REASONS["shared"], graph.HUB + 1)])] * 3


def test_what_is_blocked_before_anybody_told_it_is_listed_too(engine: db.Engine) -> None:
    assert played(engine, [(11, True)]) == (set(), {(11, U, REASONS["blocked"], 0)})
    assert played(engine, [(11, True), (11, False)]) == (set(), set())
