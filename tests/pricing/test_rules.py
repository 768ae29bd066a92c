"""Deals: which one pays, and what."""

from typing import Any

import numpy as np
import pytest

from app.model import KINDS
from app.pricing import rules
from app.pricing.rules import Cells, Deal

LEAD, SALE = KINDS["lead"], KINDS["sale"]


def deal(model: str, rate: int, **fields: Any) -> Deal:
    standing: dict[str, Any] = {
        "id": 1, "side": "cost", "currency": "EUR", "campaign": 1, "ad": 0, "partner": 0, "goal": 0,
        "valid_from": 0, "valid_to": None,
    }  # fmt: skip
    return Deal(model=model, rate=rate, **{**standing, **fields})


def cells(*rows: tuple[int, int, int, int, int]) -> Cells:
    """Cells of (day, campaign, ad, partner, goal)."""
    columns = np.array(rows, dtype=np.int64).T
    return Cells(*columns)


def one(**keys: int) -> Cells:
    standing = {"day": 10, "campaign": 1, "ad": 2, "partner": 3, "goal": 4, **keys}
    return cells(tuple(standing[name] for name in ("day", "campaign", "ad", "partner", "goal")))  # type: ignore[arg-type]


def sale_price(deals: list[Deal], of: Cells) -> int:
    ones = np.full(len(of), 1_000_000)
    priced = rules.results(deals, of, kind=np.full(len(of), SALE), count=ones, net=ones * 0)
    return sum(int(column.sum()) for column in priced.amounts.values())


NARROWEST_FIRST: list[dict[str, int]] = [
    {"ad": 2, "partner": 3, "goal": 4},
    {"ad": 2, "partner": 3},
    {"partner": 3, "goal": 4},
    {"partner": 3},
    {"ad": 2, "goal": 4},
    {"ad": 2},
    {"goal": 4},
    {},
]


@pytest.mark.parametrize("place", range(len(NARROWEST_FIRST)))
def test_the_narrowest_deal_in_force_pays_alone(place: int) -> None:
    deals = [
        deal("cpa", 100 + rank, id=rank, **scope)
        for rank, scope in enumerate(NARROWEST_FIRST)
        if rank >= place
    ]
    assert sale_price(deals, one()) == 100 + place
    assert sale_price(deals[::-1], one()) == 100 + place


def test_a_narrower_deal_for_media_leaves_the_price_of_results_alone() -> None:
    deals = [deal("cpc", 5, ad=2), deal("cpa", 100), deal("cpl", 7)]
    assert sale_price(deals, one()) == 100


def test_both_days_of_a_deal_are_included() -> None:
    deals = [deal("cpa", 100, valid_from=10, valid_to=12)]
    prices = [sale_price(deals, one(day=day)) for day in (9, 10, 11, 12, 13)]
    assert prices == [0, 100, 100, 100, 0]


def test_what_nobody_earned_costs_nothing() -> None:
    assert sale_price([deal("cpa", 100, campaign=0)], one(campaign=-1, ad=-1)) == 0


def counts(of: Cells, value: int) -> np.ndarray:
    return np.full(len(of), value, dtype=np.int64)


def test_an_impression_costs_whole_micro_units_however_they_are_grouped() -> None:
    deals = [deal("cpm", 1_234_000)]  # 1.234 for 1,000
    apart = cells(*((10, 1, ad, 0, 0) for ad in range(1, 8)))
    together = one()
    parts = rules.media(
        deals, apart, impressions=counts(apart, 3), clicks=counts(apart, 0), billable=counts(apart, 0)
    )
    whole = rules.media(
        deals,
        together,
        impressions=counts(together, 21),
        clicks=counts(together, 0),
        billable=counts(together, 0),
    )
    assert parts.amounts["EUR"].sum() == whole.amounts["EUR"].sum() == 21 * 1_234


def test_clicks_that_are_not_billable_are_paid_only_by_a_deal_that_says_so() -> None:
    of = one()
    for every, expected in ((False, 30), (True, 50)):
        priced = rules.media(
            [deal("cpc", 10, every_click=every)],
            of,
            impressions=counts(of, 0),
            clicks=counts(of, 5),
            billable=counts(of, 3),
        )
        assert priced.amounts["EUR"].tolist() == [expected]


def test_a_deal_for_results_makes_media_known_and_free() -> None:
    of = one()
    priced = rules.media(
        [deal("cpa", 10, goal=4)], of, impressions=counts(of, 9), clicks=counts(of, 9), billable=counts(of, 9)
    )
    assert priced.covered.tolist() == [True] and priced.amounts == {}


def test_a_flat_deal_is_known_to_be_unknown() -> None:
    of = one()
    priced = rules.media(
        [deal("flat", 10)], of, impressions=counts(of, 9), clicks=counts(of, 9), billable=counts(of, 9)
    )
    assert priced.flat.tolist() == [True] and priced.amounts == {}


def test_a_share_of_revenue_is_rounded_half_even_once_per_cell() -> None:
    of = cells(*((10, 1, 2, 3, 4) for _ in range(4)))
    net = np.array([5, 15, 25, -15], dtype=np.int64)
    priced = rules.results(
        [deal("revshare", 100_000)], of, kind=counts(of, SALE), count=counts(of, 1), net=net
    )
    assert priced.amounts[""].tolist() == [0, 2, 2, -2]  # 0.5, 1.5, 2.5, -1.5


def test_each_result_is_paid_by_deals_for_its_kind() -> None:
    of = cells((10, 1, 0, 0, 0), (10, 1, 0, 0, 0))
    priced = rules.results(
        [deal("cpl", 2), deal("cpa", 30)],
        of,
        kind=np.array([LEAD, SALE]),
        count=counts(of, 2_000_000),
        net=counts(of, 0),
    )
    assert priced.amounts["EUR"].tolist() == [4, 60]


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ({}, {}, True),
        ({"valid_to": 9}, {"valid_from": 10}, False),
        ({"valid_to": 10}, {"valid_from": 10}, True),
        ({"ad": 2}, {}, False),
        ({"partner": 3}, {"partner": 4}, False),
        ({"side": "payout"}, {}, False),
        ({"goal": 4}, {"goal": 4}, True),
    ],
)
def test_overlap_is_within_one_scope_and_side(
    first: dict[str, int], second: dict[str, int], clash: bool
) -> None:
    assert rules.overlap(deal("cpa", 1, **first), deal("cpa", 2, **second)) is clash
    assert rules.overlap(deal("cpa", 2, **second), deal("cpa", 1, **first)) is clash


def test_the_cost_source_of_a_day_is_the_last_one_chosen() -> None:
    day, campaign = np.array([1, 5, 9, 9]), np.array([1, 1, 1, 2])
    found = rules.sources([(1, 8, "deals"), (1, 4, "spend")], day, campaign)
    assert [rules.SOURCES[number] for number in found] == [
        "spend_else_deals",
        "spend",
        "deals",
        "spend_else_deals",
    ]
