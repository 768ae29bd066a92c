"""Settling on a real database: exact, incremental, and blind to order and batching."""

import tempfile
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import db, tables
from app.attribution.rules import BILLING
from app.attribution.tasks import settle
from app.conversions.rules import Adjustment
from app.model import DAY, HOUR, KINDS, MODELS
from app.money import joined
from tests import engines
from tests.attribution.law import Conversion, Law, Touch, credits
from tests.attribution.world import CREDITS, NOW, REFUND, STATUS, World, recount, world


@pytest.fixture
def here(tmp_path: Path) -> World:
    return world(tmp_path)


def refund(at: int, value: int | None = None, no: int = 1) -> Adjustment:
    return Adjustment(no=no, kind=REFUND, occurred_at=at, value=value)


# --- Whatever the order and the batches ------------------------------------------------------------

TOUCHES = st.lists(
    st.tuples(
        st.sampled_from(["impression", "click", "click", "visit"]),
        st.integers(0, 40 * 24).map(lambda h: NOW - h * HOUR),
        st.sampled_from(["v", "w"]),
        st.sampled_from([0, 0, 0, 1]),  # flags
        st.integers(0, 2),  # campaign
    ),
    max_size=12,
)
CHANGES = st.lists(
    st.one_of(
        st.builds(
            Adjustment,
            no=st.integers(1, 99),
            kind=st.just(REFUND),
            occurred_at=st.integers(-2, 9).map(lambda d: NOW + d * DAY),
            value=st.one_of(st.none(), st.integers(0, 70_000_000)),
        ),
        st.builds(
            Adjustment,
            no=st.integers(100, 199),
            kind=st.just(STATUS),
            occurred_at=st.integers(-2, 9).map(lambda d: NOW + d * DAY),
            status=st.sampled_from(["pending", "approved", "rejected"]),
        ),
    ),
    max_size=3,
)
SALES = st.lists(
    st.tuples(
        st.integers(0, 30 * 24).map(lambda h: NOW - h * HOUR),
        st.sampled_from([("v",), ("w",), ("v", "w"), ()]),
        st.one_of(st.none(), st.integers(0, 10**14)),
        CHANGES,
        st.sampled_from([0, 0, 0, 2]),  # setbacks
    ),
    min_size=1,
    max_size=6,
)
SETTINGS = st.sampled_from(
    [
        {},
        {"tier_rule": "all_kinds", "collapse": True, "direct": "exclude"},
        {"reset_after_conversion": True, "tier_rule": "all_kinds"},
        {"first_conversion_only": True, "billing_window": 2, "windows": {"impression": 20}},
    ]
)


def fill(found: World, touches: list, sales: list) -> None:
    for no, (kind, at, by, flags, campaign) in enumerate(touches, 1):
        found.touch(kind, at, no=no, by=by, flags=flags, campaign_id=campaign, ad_id=campaign, country=no % 3)
    for id_, (at, by, value, changes, setbacks) in enumerate(sales, 1):
        found.sale(id_, at, by=by, value=value, changes=changes, setbacks=setbacks)


@settings(max_examples=engines.examples(25), deadline=None)
@given(touches=TOUCHES, sales=SALES, chosen=SETTINGS, limit=st.integers(1, 3))
def test_how_due_conversions_are_cut_into_batches_makes_no_difference(
    touches: list, sales: list, chosen: dict, limit: int
) -> None:
    results = []
    for size in (100, limit):
        with tempfile.TemporaryDirectory() as folder:
            found = world(Path(folder))
            found.configure(**chosen)
            fill(found, touches, sales)
            found.settle(size)
            results.append(found.derived())
            assert {name: found.cells(tables.metadata.tables[name]) for name in recount(found)} == recount(
                found
            )
            found.engine.dispose()
    assert results[0] == results[1]


@settings(max_examples=engines.examples(25), deadline=None)
@given(touches=TOUCHES, sales=SALES, chosen=SETTINGS, data=st.data())
def test_facts_that_come_one_by_one_and_in_any_order_give_what_they_give_at_once(
    touches: list, sales: list, chosen: dict, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        at_once = world(Path(folder))
        at_once.configure(**chosen)
        fill(at_once, touches, sales)
        at_once.settle()
        expected = at_once.derived()
        at_once.engine.dispose()
    steps = [("touch", i) for i in range(len(touches))] + [("sale", i) for i in range(len(sales))]
    with tempfile.TemporaryDirectory() as folder:
        found = world(Path(folder))
        found.configure(**chosen)
        for what, i in data.draw(st.permutations(steps)):
            if what == "touch":
                kind, at, by, flags, campaign = touches[i]
                found.touch(
                    kind, at, no=i + 1, by=by, flags=flags, campaign_id=campaign, ad_id=campaign,
                    country=(i + 1) % 3,
                )  # fmt: skip
                found.due()
            else:
                at, by, value, changes, setbacks = sales[i]
                found.sale(i + 1, at, by=by, value=value, changes=changes, setbacks=setbacks)
            found.settle(data.draw(st.integers(1, 3)))
        assert found.derived() == expected
        assert found.cells(tables.credit_days) == recount(found)["credit_days"]
        assert found.cells(tables.credit_places) == recount(found)["credit_places"]
        found.engine.dispose()


@settings(max_examples=engines.examples(60), deadline=None)
@given(
    touches=TOUCHES,
    at=st.integers(0, 30 * 24).map(lambda h: NOW - h * HOUR),
    tier_rule=st.sampled_from(["click_over_view", "all_kinds"]),
    billing=st.sampled_from(list(BILLING)),
    billing_days=st.sampled_from([1, 30, 60]),
    impression_days=st.sampled_from([1, 20]),
)
def test_what_is_settled_is_what_the_law_says_of_all_touches(
    touches: list, at: int, tier_rule: str, billing: str, billing_days: int, impression_days: int
) -> None:
    windows = {"click": 30, "visit": 3, "impression": impression_days}
    with tempfile.TemporaryDirectory() as folder:
        found = world(Path(folder))
        found.configure(
            windows=windows, tier_rule=tier_rule, billing_model=billing, billing_window=billing_days
        )
        fill(found, touches, [(at, ("v",), 1_000_000, [], 0)])
        found.settle()
        columns = [CREDITS.index(name) for name in ("ordinal", "no", "reason", *MODELS)]
        rows = [tuple(row[i] for i in columns) for row in found.credits()]
        found.engine.dispose()
    law = Law(
        windows={KINDS[kind]: days * DAY for kind, days in windows.items()},
        goal_windows={},
        campaign_windows={},
        billing_window=billing_days * DAY,
        billing=billing,
        tier_rule=tier_rule,
    )
    seen = [
        Touch(no, KINDS[kind], when, flags, campaign=campaign)
        for no, (kind, when, by, flags, campaign) in enumerate(touches, 1)
        if by == "v"
    ]
    assert rows == credits(Conversion(at), seen, law)


# --- Money ------------------------------------------------------------------------------------------


def sums(found: World, measure: str, *, bases: tuple[int, ...]) -> Counter[tuple[int, int]]:
    """(model, campaign) -> the measure over all days and states."""
    total: Counter[tuple[int, int]] = Counter()
    for row in found.rows(tables.credit_days):
        if row["basis"] in bases:
            amount = joined(row[f"{measure}_hi"], row[f"{measure}_lo"])
            total[row["model"], row["campaign_id"]] += amount
    return total


def three_clicks(found: World) -> None:
    for no in (1, 2, 3):
        found.touch("click", NOW - no * DAY, no=no, campaign_id=no)


def test_a_full_refund_cancels_to_zero_for_every_touch_under_every_model(here: World) -> None:
    three_clicks(here)
    here.sale(7, NOW, value=100_000_001, changes=[refund(NOW + DAY, 33_333_333), refund(NOW + 2 * DAY, no=2)])
    here.settle()
    for bases in ((1,), (2,), (1, 3)):
        assert set(sums(here, "net", bases=bases).values()) == {0}
    assert sums(here, "gross", bases=(1,))[MODELS["linear"], 1] == 33_333_334


def test_by_booking_a_refund_counts_on_its_own_day(here: World) -> None:
    three_clicks(here)
    here.sale(7, NOW, value=90_000_000, changes=[refund(NOW + 5 * DAY, 30_000_000)])
    here.settle()
    by_day: Counter[int] = Counter()
    for row in here.rows(tables.credit_days):
        if row["model"] == MODELS["linear"] and row["basis"] in (1, 3):
            by_day[row["day"]] += joined(row["net_hi"], row["net_lo"])
    first = min(by_day)
    assert by_day == {first: 90_000_000, first + 5: -30_000_000}


def test_what_is_credited_and_unattributed_is_the_conversion_exactly(here: World) -> None:
    three_clicks(here)
    here.rate = Fraction(1)
    here.sale(7, NOW, value=2**63 - 1)
    here.sale(8, NOW + 300 * DAY, value=10_000_001)
    here.settle()
    total = sums(here, "gross", bases=(1,))
    for model in MODELS.values():
        own = sum(amount for (number, _), amount in total.items() if number == model)
        assert own == 2**63 - 1 + 10_000_001
    assert total[MODELS["linear"], -1] == 10_000_001


def test_a_conversion_that_does_not_count_has_no_bookings_but_keeps_its_credits(here: World) -> None:
    three_clicks(here)
    here.sale(7, NOW)
    here.settle()
    here.sale(7, NOW, setbacks=2)
    here.settle()
    assert here.rows(tables.bookings) == []
    assert here.cells(tables.credit_days) == {} == here.cells(tables.credit_places)
    assert here.earned(7) == {1: 1, 2: 1, 3: 1}


# --- What changes, and what does not ---------------------------------------------------------------


def test_settling_again_writes_nothing(here: World) -> None:
    three_clicks(here)
    here.sale(7, NOW)
    here.settle()
    before = [here.rows(t) for t in (tables.credits, tables.bookings, tables.credit_days, tables.conversions)]
    here.due(7)
    here.settle()
    after = [here.rows(t) for t in (tables.credits, tables.bookings, tables.credit_days, tables.conversions)]
    assert after == before


def test_a_late_touch_makes_a_next_version_and_the_superseded_one_stays(here: World) -> None:
    three_clicks(here)
    here.sale(7, NOW)
    here.settle()
    here.touch("click", NOW - HOUR, no=9)
    here.due(7)
    here.settle()
    versions = Counter(row["version"] for row in here.rows(tables.credits))
    assert versions == {1: 3, 2: 4}
    assert here.rows(tables.conversions)[0]["credit_version"] == 2
    assert here.earned(7, "last_touch") == {9: 1}


def test_a_refund_alone_leaves_the_credits_as_they_are(here: World) -> None:
    three_clicks(here)
    here.sale(7, NOW)
    here.settle()
    here.sale(7, NOW, changes=[refund(NOW + DAY)])
    here.settle()
    assert {row["version"] for row in here.rows(tables.credits)} == {1}
    assert set(sums(here, "net", bases=(1,)).values()) == {0}


def test_a_new_zone_moves_every_day_and_leaves_nothing_behind(here: World) -> None:
    for hour in range(0, 48, 5):
        here.touch("click", NOW - hour * HOUR, no=hour + 1, campaign_id=hour)
    here.sale(7, NOW, changes=[refund(NOW + DAY, 1_000_000)])
    here.settle()
    here.zone("Pacific/Kiritimati")
    here.due()
    here.settle()
    expected = recount(here, "Pacific/Kiritimati")
    assert here.cells(tables.credit_days) == expected["credit_days"]
    assert here.cells(tables.credit_places) == expected["credit_places"]


def test_nothing_due_is_nothing_done_and_a_due_row_without_conversion_goes(here: World) -> None:
    with db.begin(here.engine) as connection:
        assert settle(connection, limit=10, now=0) == 0
    here.put(tables.due, workspace=1, conversion=5, occurred_at=NOW)
    here.settle()
    assert here.rows(tables.due) == []


def test_every_workspace_has_its_turn(here: World) -> None:
    here.put(tables.workspaces, id=2, slug="two", secret=b"")
    for id_ in (1, 2):
        here.put(tables.due, workspace=id_, conversion=5, occurred_at=NOW)
    for now in (0, 1):
        with db.begin(here.engine) as connection:
            settle(connection, limit=10, now=now)
    assert here.rows(tables.due) == []
