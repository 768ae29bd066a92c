"""Cost: one media source a campaign-day, results on the billing winner, and null where nobody knows."""

from typing import Any

import pytest

from app.model import MODELS
from tests.metrics.shop import DAY, Shop

NEXT = "2026-11-11"
BOTH: dict[str, Any] = {"date_range": [DAY, NEXT]}


def reasons(shop: Shop, metric: str, **asked: Any) -> set[str]:
    return set(shop.ask(metric, **asked)["meta"]["reasons"].get(metric, {}))


# --- Which source ------------------------------------------------------------------------------------


def priced_both_ways(shop: Shop) -> None:
    shop.deal("cpc", "0.50", campaign="spring")
    for day in (DAY, NEXT):
        shop.traffic(day=day, campaign="spring", clicks=10, clicks_billable=10)
    shop.spend("3", campaign="spring")


def test_spend_displaces_deals_on_its_days_only(shop: Shop) -> None:
    priced_both_ways(shop)
    report = shop.ask("cost", "cost_spend", "cost_media", dimensions=["time:day"], **BOTH)
    assert [list(row.values()) for row in report["rows"]] == [[DAY, 3.0, 3.0, 0.0], [NEXT, 5.0, 0.0, 5.0]]
    assert report["meta"]["superseded"] == {"deals": 5}


def test_a_campaign_may_choose_deals_over_spend_from_a_day_on(shop: Shop) -> None:
    priced_both_ways(shop)
    shop.cost_source("spring", "deals")
    report = shop.ask("cost", **BOTH)
    assert (report["totals"]["cost"], report["meta"]["superseded"]) == (10.0, {"spend": 3})
    shop.cost_source("spring", "spend", since=NEXT)
    assert shop.by("time:day", "cost", **BOTH) == {DAY: 5.0, NEXT: None}
    assert reasons(shop, "cost", dimensions=["time:day"], **BOTH) == {"spend_missing"}


def test_results_cost_on_top_of_spend(shop: Shop) -> None:
    shop.spend("3", campaign="spring")
    shop.deal("cpa", "10", campaign="spring")
    shop.results("sale", campaign="spring")
    assert shop.totals("cost", "cost_spend", "cost_results") == {
        "cost": 13.0, "cost_spend": 3.0, "cost_results": 10.0,
    }  # fmt: skip


# --- What is not known -------------------------------------------------------------------------------


def test_a_campaign_without_deal_or_spend_costs_nobody_knows_what(shop: Shop) -> None:
    shop.traffic(campaign="spring", clicks=10)
    assert shop.total("cost") is None and shop.total("cpc") is None
    assert reasons(shop, "cost") == {"no_deal_or_spend"}


def test_a_deal_in_force_makes_the_cost_known_and_0_included(shop: Shop) -> None:
    shop.deal("cpa", "10", campaign="spring")
    shop.traffic(campaign="spring", clicks=10)
    assert shop.totals("cost", "cpc") == {"cost": 0.0, "cpc": 0.0}


def test_cost_per_sale_speaks_of_the_cells_whose_cost_is_known(shop: Shop) -> None:
    shop.deal("cpc", "1", campaign="spring")
    shop.traffic(campaign="spring", clicks=20, clicks_billable=20)
    shop.results("sale", 4, campaign="spring")
    shop.results("sale", 5, campaign="organic")
    shop.results("sale", 1, campaign="(unattributed)")
    report = shop.ask("cpa", "cpa_blended", "cost", "sales")
    assert report["totals"] == {"cpa": 5.0, "cpa_blended": 2.0, "cost": 20.0, "sales": 10}
    assert report["meta"]["coverage"]["cpa"] == 0.4
    assert shop.by("campaign", "cpa") == {"spring": 5.0, "organic": None, "(unattributed)": None}


def test_spend_that_is_not_here_yet_leaves_its_day_out(shop: Shop) -> None:
    shop.spend("3", campaign="spring")
    for day in (DAY, NEXT):
        shop.traffic(day=day, campaign="spring", clicks=10)
    assert shop.by("time:day", "cpc", **BOTH) == {DAY: 0.3, NEXT: None}
    report = shop.ask("cpc", "clicks", **BOTH)
    assert report["totals"] == {"cpc": 0.3, "clicks": 20} and report["meta"]["coverage"]["cpc"] == 0.5
    assert reasons(shop, "cpc", dimensions=["time:day"], **BOTH) == {"spend_missing"}


def test_flat_deals_do_not_accrue_yet(shop: Shop) -> None:
    shop.deal("flat", "100", campaign="spring")
    shop.traffic(campaign="spring", clicks=10)
    assert shop.total("cost") is None
    assert reasons(shop, "cost") == {"flat_not_accrued"}


@pytest.mark.parametrize("dimension", ["country", "device", "source", "goal", "segment.age", "currency"])
def test_no_cost_is_split_by_what_it_is_not_bought_by(shop: Shop, dimension: str) -> None:
    shop.deal("cpc", "1", campaign="spring")
    shop.traffic(campaign="spring", country="NO", device="mobile", clicks=10, clicks_billable=10)
    shop.results("lead", campaign="spring", country="NO", device="mobile")
    assert reasons(shop, "cost", dimensions=[dimension]) == {f"not_split_by:{dimension}"}
    assert reasons(shop, "cpl", filters=["is", dimension, ["x"]]) == {f"not_split_by:{dimension}"}


def test_spend_of_a_whole_campaign_is_not_split_by_ad(shop: Shop) -> None:
    shop.traffic(campaign="spring", ad="blue", clicks=30)
    shop.traffic(campaign="spring", ad="red", clicks=10)
    shop.spend("8", campaign="spring")
    report = shop.ask("cost", "cpc", dimensions=["ad"])
    rows = {row["ad"]: (row["cost"], row["cpc"]) for row in report["rows"]}
    assert rows == {"(none)": (8.0, None), "blue": (None, None), "red": (None, None)}
    assert report["totals"] == {"cost": 8.0, "cpc": 0.2}
    assert set(report["meta"]["reasons"]["cost"]) == {"not_split_by:ad"}
    assert shop.total("cost", filters=["is", "ad", ["blue"]]) is None


def test_ad_rows_split_their_campaign_row_and_the_rest_lands_on_none(shop: Shop) -> None:
    shop.spend("10", campaign="spring")
    shop.spend("4", campaign="spring", ad="blue")
    shop.spend("5", campaign="spring", ad="red")
    shop.spend("2", campaign="brand", ad="green")
    assert shop.by("campaign", "cost") == {"spring": 10.0, "brand": 2.0}
    assert shop.by("ad", "cost") == {"(none)": 1.0, "blue": 4.0, "red": 5.0, "green": 2.0}
    assert shop.total("cost") == 12.0


# --- Deals -------------------------------------------------------------------------------------------


def test_the_model_of_a_query_never_changes_total_cost(shop: Shop) -> None:
    shop.deal("cpa", "10", campaign="spring")
    shop.deal("revshare", "0.1", campaign="autumn")
    shop.deal("cpc", "0.5", campaign="spring")
    shop.traffic(campaign="spring", clicks=7, clicks_billable=7)
    shop.results("sale", 3, campaign="spring", models=["billing", "last_touch"], net="90")
    shop.results("sale", 2, campaign="autumn", models=["billing", "first_touch"], net="60.55")
    shop.results("sale", 0.5, campaign="autumn", models=["linear", "time_decay"], net="12")
    costs = {model: shop.total("cost", model=model) for model in MODELS if model != "billing"}
    assert set(costs.values()) == {3.5 + 30 + 6.055}


def test_deals_for_an_ad_and_a_partner_go_before_their_campaigns(shop: Shop) -> None:
    shop.deal("cpa", "1", campaign="spring")
    shop.deal("cpa", "2", campaign="spring", ad="blue")
    shop.deal("cpa", "3", campaign="spring", partner="ann")
    shop.deal("cpa", "4", campaign="spring", ad="blue", partner="ann")
    shop.deal("cpa", "5", campaign="spring", ad="blue", partner="ann", goal="vip")
    for where in ({}, {"ad": "blue"}, {"partner": "ann"}):
        shop.results("sale", campaign="spring", **where)
    shop.results("sale", campaign="spring", ad="blue", partner="ann")
    shop.results("sale", campaign="spring", ad="blue", partner="ann", goal="vip")
    assert shop.total("cost_results") == 1 + 2 + 3 + 4 + 5
    assert shop.by("ad", "cost_results") == {"(none)": 4.0, "blue": 11.0}
    assert shop.by("partner", "cost_results") == {"(none)": 3.0, "ann": 12.0}


def test_the_day_of_the_conversion_decides_the_deal(shop: Shop) -> None:
    shop.deal("cpa", "1", campaign="spring", until=DAY)
    shop.deal("cpa", "2", campaign="spring", since=NEXT)
    for day in (DAY, NEXT):
        shop.results("sale", day=day, campaign="spring")
    assert shop.by("time:day", "cost", **BOTH) == {DAY: 1.0, NEXT: 2.0}


def test_payout_is_apart_from_cost_and_margin_is_what_is_left(shop: Shop) -> None:
    shop.deal("cpc", "1", campaign="spring")
    shop.deal("cpa", "6", campaign="spring", partner="ann", side="payout")
    shop.traffic(campaign="spring", partner="ann", clicks=20, clicks_billable=20)
    shop.traffic(campaign="spring", clicks=5, clicks_billable=5)
    shop.results("sale", 2, campaign="spring", partner="ann")
    assert shop.totals("payout", "cost", "margin", "epc") == {
        "payout": 12.0, "cost": 25.0, "margin": 8.0, "epc": 0.6,
    }  # fmt: skip
    assert shop.by("partner", "payout") == {"(none)": None, "ann": 12.0}
    assert reasons(shop, "payout", dimensions=["partner"]) == {"no_payout_deal"}


# --- Currencies --------------------------------------------------------------------------------------


def test_deals_and_spend_in_another_currency_take_the_last_rate(shop: Shop) -> None:
    shop.rate("NOK", "0.0857", day="2026-11-09")
    shop.deal("cpc", "2", campaign="spring", currency="NOK")
    shop.traffic(campaign="spring", clicks=10, clicks_billable=10)
    shop.spend("100", campaign="brand", currency="NOK")
    assert shop.by("campaign", "cost") == {"spring": 1.714, "brand": 8.57}


def test_a_missing_rate_makes_the_sum_unknown_and_lists_what_is_missing(shop: Shop) -> None:
    shop.rate("NOK", "0.0857", day="2026-10-01")  # 40 days old
    shop.deal("cpc", "2", campaign="spring", currency="NOK")
    shop.traffic(campaign="spring", clicks=10, clicks_billable=10)
    shop.deal("cpc", "1", campaign="brand")
    shop.traffic(campaign="brand", clicks=3, clicks_billable=3)
    report = shop.ask("cost", dimensions=["campaign"])
    assert {row["campaign"]: row["cost"] for row in report["rows"]} == {"spring": None, "brand": 3.0}
    assert report["totals"]["cost"] is None
    assert report["meta"]["missing"] == [{"currency": "NOK", "amount": 20, "rows": 1}]
    assert report["meta"]["known"] == {"cost": 3}
    assert set(report["meta"]["reasons"]["cost"]) == {"rate_missing"}


def test_unrated_revenue_is_unknown_and_the_rest_is_told(shop: Shop) -> None:
    shop.results("sale", 2, campaign="spring", gross="50", net="50")
    shop.results("sale", 3, campaign="spring", gross="900", net="900", currency="NOK", rated=False)
    report = shop.ask("revenue", "sales", "roas")
    assert report["totals"]["revenue"] is None and report["totals"]["sales"] == 5
    assert report["meta"]["missing"] == [{"currency": "NOK", "amount": 900, "rows": 3}]
    assert report["meta"]["known"] == {"revenue": 50}
    assert shop.by("currency", "revenue") == {"EUR": 50.0, "NOK": 900.0}


def test_money_of_several_currencies_has_no_sum(shop: Shop) -> None:
    shop.results("sale", net="50", gross="50")
    shop.results("sale", net="900", gross="900", currency="NOK")
    report = shop.ask("revenue", "sales", "clicks", dimensions=["currency"])
    assert report["totals"] == {"revenue": None, "sales": 2, "clicks": None}
    assert report["meta"]["reasons"] == {
        "revenue": {"mixed_currencies": 0}, "clicks": {"not_split_by:currency": 2},
    }  # fmt: skip


def test_a_report_may_be_asked_in_another_currency(shop: Shop) -> None:
    shop.rate("NOK", "0.1", day="2026-11-09")
    shop.results("sale", net="50", gross="50", campaign="spring")
    shop.results("sale", net="900", gross="900", currency="NOK", campaign="spring")
    shop.spend("7", campaign="spring")
    found = shop.totals("revenue", "cost", "roas", currency="NOK")
    assert found == {"revenue": 1400.0, "cost": 70.0, "roas": 20.0}


def test_sales_none_of_which_carry_a_value_have_no_known_revenue(shop: Shop) -> None:
    shop.results("sale", 2, campaign="spring", valued=0)
    shop.results("lead", 2, campaign="brand")
    assert shop.by("campaign", "revenue") == {"spring": None, "brand": 0.0}
    assert reasons(shop, "revenue", dimensions=["campaign"]) == {"no_value"}


def test_sums_beyond_64_bits_stay_exact(shop: Shop) -> None:
    for _ in range(12):
        shop.results("sale", gross="1000000000000.000001", net="1000000000000.000001")
    assert shop.total("revenue", numbers="string") == "12000000000000.000012"
    body = shop.ask("revenue", "aov", numbers="string")["totals"]
    assert body["aov"] == "1000000000000.000001"


# --- Profit ------------------------------------------------------------------------------------------


def test_profit_needs_goods_cost_or_a_margin_rate(shop: Shop) -> None:
    shop.id_of("campaigns", "rated", margin_rate=400_000)
    for campaign in ("told", "rated", "silent"):
        shop.deal("cpc", "1", campaign=campaign)
        shop.traffic(campaign=campaign, clicks=10, clicks_billable=10)
        told = {"with_cogs": 1, "cogs": "30"} if campaign == "told" else {}
        shop.results("sale", campaign=campaign, gross="100", net="100", **told)
    assert shop.by("campaign", "profit") == {"told": 60.0, "rated": 30.0, "silent": None}
    assert reasons(shop, "profit", dimensions=["campaign"]) == {"goods_cost_unknown"}
    assert shop.totals("profit", "romi", "poas") == {"profit": 90.0, "romi": 4.5, "poas": 5.5}
