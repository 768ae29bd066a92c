"""Who is whom: components of a graph, whatever order its edges came in."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import db, tables
from app.identity import store
from app.identity.rules import EVER, Membership, Neighbour, junk, kept, people
from app.model import NODES
from tests import engines

V, U, E = NODES["visitor"], NODES["user"], NODES["email"]
Edge = tuple[tuple[int, int], tuple[int, int], int]  # (node, kind), (node, kind), first seen


def graph_of(edges: Sequence[Edge]) -> tuple[dict[int, int], dict[int, tuple[Neighbour, ...]]]:
    kinds: dict[int, int] = {}
    near: dict[int, list[Neighbour]] = {}
    for (a, a_kind), (b, b_kind), seen in edges:
        kinds |= {a: a_kind, b: b_kind}
        near.setdefault(a, []).append(Neighbour(b, b_kind, seen))
        near.setdefault(b, []).append(Neighbour(a, a_kind, seen))
    return kinds, {node: tuple(found) for node, found in near.items()}


def persons(edges: Sequence[Edge], limit: int = 3) -> set[Membership]:
    kinds, graph = graph_of(edges)
    return set(people(kinds, kept(kinds, graph, limit)))


def always(node: int, person: int) -> Membership:
    return Membership(node, -EVER, EVER, person)


def test_two_devices_of_one_user_are_one_person() -> None:
    assert persons([((1, V), (9, U), 0), ((2, V), (9, U), 5)]) == {always(1, 1), always(2, 1), always(9, 1)}


def test_an_identifier_that_would_join_too_many_joins_none() -> None:
    edges: list[Edge] = [((n, V), (99, E), 0) for n in range(1, 5)]
    assert persons(edges, limit=3) == set()
    assert len(persons(edges, limit=4)) == 5


def test_a_device_of_two_users_belongs_to_each_for_a_while() -> None:
    found = persons([((1, V), (8, U), 10), ((1, V), (9, U), 20)])
    assert found == {
        Membership(1, -EVER, 20, 8),
        Membership(1, 20, EVER, 9),
        always(8, 8),
        always(9, 9),
    }


def test_a_shared_device_joins_neither_its_users_nor_what_else_it_names() -> None:
    found = persons([((1, V), (8, U), 10), ((1, V), (9, U), 20), ((1, V), (5, E), 0), ((2, V), (8, U), 0)])
    assert {m.person for m in found if m.node in (8, 9)} == {2, 9}
    assert not [m for m in found if m.node == 5]


@pytest.mark.parametrize("value", ["0", " NULL ", "Guest", "{user_id}", "xxxx", "0000", "[object Object]"])
def test_stand_ins_for_nobody_are_junk(value: str) -> None:
    assert junk(value) is not None


@pytest.mark.parametrize("value", ["a1b2", "Nguyễn", "42", "1000001"])
def test_real_identifiers_are_not_junk(value: str) -> None:
    assert junk(value) is None


nodes = st.one_of(
    st.tuples(st.integers(1, 6), st.just(V)),
    st.tuples(st.integers(11, 14), st.just(U)),
    st.tuples(st.integers(21, 23), st.just(E)),
)
edge_lists = st.lists(
    st.tuples(nodes, nodes, st.integers(0, 50)).filter(lambda e: e[0] != e[1]),
    max_size=12,
    unique_by=lambda e: frozenset(e[:2]),
)


def stored(engine: db.Engine, edges: Sequence[Edge], *, together: bool) -> set[tuple[int, ...]]:
    """`people` after these edges came, one by one or at once."""
    with db.begin(engine) as connection:
        for table in (tables.edges, tables.people, tables.unjoined):
            connection.execute(table.delete())
        for batch in [edges] if together else [[edge] for edge in edges]:
            for (x, x_kind), (y, y_kind), seen in batch:
                (a, ak), (b, bk) = sorted(((x, x_kind), (y, y_kind)))
                connection.execute(
                    tables.edges.insert().values(workspace=1, a=a, b=b, a_kind=ak, b_kind=bk, first_seen=seen)
                )
            store.join(connection, 1, {n for edge in batch for n, _ in edge[:2]}, limit=2)
        return {(r.node, r.since, r.until, r.person) for r in connection.execute(tables.people.select())}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> db.Engine:
    return engines.connect(tmp_path_factory.mktemp("people"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(edge_lists, st.randoms(use_true_random=False))
def test_people_do_not_depend_on_the_order_of_edges(
    engine: db.Engine, edges: list[Edge], random: object
) -> None:
    at_once = stored(engine, edges, together=True)
    shuffled = list(edges)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert stored(engine, shuffled, together=False) == at_once
    assert at_once == {(m.node, m.since, m.until, m.person) for m in persons(edges, 2)}


#: An order in which one look at who was of the same person before did not reach everybody.
TWO_LOOKS = [
    ((11, U), (3, V), 44), ((12, U), (4, V), 0), ((3, V), (21, E), 19), ((11, U), (5, V), 29),
    ((23, E), (5, V), 45), ((5, V), (13, U), 5), ((11, U), (14, U), 36), ((11, U), (6, V), 8),
    ((14, U), (21, E), 36), ((21, E), (5, V), 39),
]  # fmt: skip


def test_people_are_the_same_also_where_one_look_was_not_enough(engine: db.Engine) -> None:
    assert stored(engine, TWO_LOOKS, together=False) == stored(engine, TWO_LOOKS, together=True)


def test_a_conversion_on_a_shared_device_is_its_named_users(tmp_path: Path) -> None:
    engine = engines.connect(tmp_path)
    stored(engine, [((1, V), (8, U), 10), ((1, V), (9, U), 20)], together=True)
    with db.reading(engine) as connection:
        named, before, after, nobody = store.resolve(
            connection, 1, [(50, (1, 8)), (15, (1,)), (25, (1,)), (0, (77,))]
        )
    assert named.members == ((1, -EVER, 20), (8, -EVER, EVER))
    assert before.number == 8 and after.number == 9
    assert nobody.members == ((77, -EVER, EVER),)
