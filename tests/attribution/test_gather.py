"""Who has which touches: people as columns are the people of identity, whoever shares what."""

import json
import tempfile
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app import db, tables
from app.attribution.bookings import lines
from app.attribution.gather import held, people
from app.attribution.ledger import Conversions
from app.attribution.store import conversions
from app.conversions.rules import Booking, bookings
from app.conversions.store import load
from app.identity.store import resolve
from tests import engines
from tests.attribution.world import NOW, World, world

NODES = st.integers(1, 8)
MEMBERSHIPS = st.dictionaries(
    NODES,
    st.one_of(
        st.integers(11, 14).map(lambda person: [(-(2**62), 2**62, person)]),
        st.tuples(st.integers(11, 12), st.integers(13, 14)).map(
            lambda two: [(-(2**62), NOW, two[0]), (NOW, 2**62, two[1])]
        ),
    ),
)
SALES = st.lists(
    st.tuples(st.integers(NOW - 2, NOW + 2), st.lists(NODES, max_size=3, unique=True)), min_size=1, max_size=6
)


@settings(max_examples=engines.examples(60), deadline=None)
@given(memberships=MEMBERSHIPS, sales=SALES)
def test_people_as_columns_are_those_that_identity_resolves(memberships: dict, sales: list) -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = world(Path(folder))
        for node, own in memberships.items():
            for since, until, person in own:
                here.put(tables.people, workspace=1, node=node, since=since, until=until, person=person)
        for id_, (at, nodes) in enumerate(sales, 1):
            here.put(tables.conversions, workspace=1, id=id_, kind=7, occurred_at=at, nodes=json.dumps(nodes))
        with db.reading(here.engine) as connection:
            found = people(connection, 1, conversions(connection, 1, range(1, len(sales) + 1)))
            expected = resolve(connection, 1, sales)
        here.engine.dispose()
    for i, person in enumerate(expected):
        own = found.members[1:, found.members[0] == found.of[i]].T.tolist()
        assert sorted(map(tuple, own)) == sorted(person.members)


def test_a_touch_belongs_to_everyone_whose_interval_it_falls_in() -> None:
    members = np.array([(0, 5, 0, 10), (1, 5, 10, 20), (1, 6, 0, 99), (2, 5, 0, 99)]).T
    person, touch, mine = held(np.array([5, 6, 7]), np.array([10, 10, 10]), members)
    own = sorted(zip(person[mine].tolist(), touch[mine].tolist(), strict=True))
    assert own == [(1, 0), (1, 1), (2, 0)]


VALUES = st.one_of(st.none(), st.integers(0, 10**15))


@settings(max_examples=engines.examples(60), deadline=None)
@given(
    values=st.lists(st.tuples(VALUES, VALUES, st.booleans(), st.sampled_from([None, 0, 1])), max_size=5),
)
def test_the_one_line_of_an_unadjusted_conversion_is_what_the_rule_says(values: list) -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = world(Path(folder))
        for id_, (value, cogs, rated, new) in enumerate(values, 1):
            _sale(here, id_, value, cogs, rated, new)
        ids = range(1, len(values) + 1)
        with db.reading(here.engine) as connection:
            columns = conversions(connection, 1, ids)
            whole = load(connection, 1, ids)
        here.engine.dispose()
    made = lines(columns, {}, {}, days=columns.occurred_at, day_of=lambda at: at)
    texts = {number: text for text, number in currencies_of(columns).items()}
    rows = zip(*(getattr(made, f.name).tolist() for f in fields(Booking) if f.name != "cause"), strict=True)
    for conversion, row in zip(whole.values(), rows, strict=True):
        (expected,) = bookings(conversion, [], lambda at: at)
        plain = {f.name: getattr(expected, f.name) for f in fields(Booking)}
        assert plain.pop("cause") == "made"
        named = dict(zip(plain, row, strict=True))
        assert named | {"currency": texts[named["currency"]]} == plain


def currencies_of(columns: Conversions) -> dict[str, int]:
    found: dict[str, int] = {}
    lines(columns, {}, found, days=columns.occurred_at, day_of=lambda at: at)
    return found


def _sale(here: World, id_: int, value: int | None, cogs: int | None, rated: bool, new: int | None) -> None:
    known = "23/2@0" if rated else ""
    here.put(
        tables.conversions,
        workspace=1, id=id_, kind=7, occurred_at=NOW + id_, state=2, initial_state=2, value=value,
        currency="" if value is None else "EUR", cost_of_goods=cogs, fx=known, new_customer=new,
        reported=round_half_even(value) if rated else None,
        reported_cogs=round_half_even(cogs) if rated else None,
    )  # fmt: skip


def round_half_even(value: int | None) -> int | None:
    return None if value is None else round(value * Fraction(23, 2))
