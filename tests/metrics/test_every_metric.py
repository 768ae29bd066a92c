"""Every metric of the catalogue, worked by hand over one day of one shop.

`spring` is priced by deals: 0.50 a billable click, 2.00 a lead, 10.00 a sale; its partner gets 6.00 a sale.
`brand` is paid by imported spend: 40.00, for which its platform reports 5,000 impressions and 100 clicks.
"""

from pathlib import Path

import pytest

from app.metrics.catalogue import BY_SLUG
from tests.metrics.shop import Shop

EXPECTED: dict[str, float | None] = {
    "impressions": 14_000,  # 10,000 + 4,000
    "impressions_gross": 14_500,
    "clicks": 280,  # 200 + 80
    "clicks_gross": 300,
    "visits": 150,
    "visits_gross": 160,
    "pageviews": 400,
    "opens": 30,
    "invalid_rate": 530 / 14_960,  # (500 + 20 + 10) / (14,500 + 300 + 160)
    "ctr": 0.02,  # 280 / 14,000
    "landing_rate": 150 / 280,
    "bounce_rate": 0.3,  # 36 / (36 + 84); the other 30 visits tell nothing
    "engaged_rate": 0.7,
    "platform_impressions": 5_000,
    "platform_clicks": 100,
    "platform_ctr": 0.02,
    "platform_cpc": 0.4,  # 40.00 / 100
    "click_gap": 0.2,  # (100 - 80) / 100: brand only
    "leads": 10,  # 8 approved + 2 pending
    "sales": 5,  # 4 approved + 1 pending
    "sales_net": 4,  # one was refunded in full
    "sales_click": 4,
    "sales_view": 1,
    "sales_approved": 4,
    "sales_pending": 1,
    "sales_rejected": 1,
    "conversions": 15,
    "new_customers": 2,
    "revenue": 350.0,  # 300 + 50
    "revenue_gross": 450.0,  # 400 + 50
    "refunds": 100.0,
    "revenue_approved": 300.0,
    "revenue_pending": 50.0,
    "aov": 90.0,  # 450 / 5
    "rpc": 1.25,  # 350 / 280
    "click_to_lead_rate": 10 / 280,
    "click_to_sale_rate": 4 / 280,
    "sales_per_lead": 0.5,
    "lead_to_sale_rate": None,
    "cost": 200.0,  # 40 + 90 + 70
    "cost_spend": 40.0,
    "cost_media": 90.0,  # 180 billable clicks x 0.50
    "cost_results": 70.0,  # 10 x 2.00 + 5 x 10.00
    "cost_accrued": 200.0,
    "cost_payable": 186.0,  # 40 + 90 + 8 x 2.00 + 4 x 10.00
    "payout": 30.0,  # 5 x 6.00
    "margin": 130.0,  # spring: 160 - 30
    "cpm": 14.285714,  # 200 / 14
    "cpc": 0.714286,  # 200 / 280
    "cpl": 20.0,
    "cpa": 40.0,
    "cpa_net": 50.0,
    "cpa_blended": 40.0,
    "cost_per_conversion": 13.333333,  # 200 / 15
    "cac": 100.0,
    "epc": 0.15,  # 30 / 200: spring
    "roas": 1.75,
    "revenue_after_cost": 150.0,
    "profit": 10.0,  # 350 - 140 - 200
    "romi": 0.05,
    "poas": 1.05,  # (350 - 140) / 200
}

APPROVED: dict[str, float] = {
    "leads": 8,
    "sales": 4,
    "sales_net": 3,
    "conversions": 12,
    "revenue": 300.0,
    "revenue_gross": 400.0,
    "aov": 100.0,
    "cost_results": 56.0,  # 8 x 2.00 + 4 x 10.00
    "cost": 186.0,
    "cost_accrued": 200.0,  # by name, whatever the status
    "cost_payable": 186.0,
    "payout": 24.0,
    "cpa": 46.5,  # 186 / 4
    "cpl": 23.25,
    "roas": 300 / 186,
    "sales_pending": 1,
    "revenue_pending": 50.0,
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder: Path = tmp_path_factory.mktemp("shop")
    shop = Shop(folder)
    shop.traffic(
        campaign="spring", channel="display", impressions=10_000, impressions_flagged=500, clicks=200,
        clicks_flagged=20, clicks_billable=180, visits=150, visits_flagged=10, pageviews=400, opens=30,
        bounces=36, engaged=84,
    )  # fmt: skip
    shop.traffic(campaign="brand", channel="paid_search", impressions=4_000, clicks=80, clicks_billable=80)
    spring = {"campaign": "spring", "channel": "display"}
    shop.results("lead", 8, **spring)
    shop.results("lead", 2, state="pending", **spring)
    shop.results(
        "sale", 4, net_count=3, by_click=3, by_view=1, new_customers=2, with_cogs=4,
        gross="400", net="300", cogs="120", **spring,
    )  # fmt: skip
    shop.results("sale", 1, state="pending", with_cogs=1, gross="50", net="50", cogs="20", **spring)
    shop.results("sale", 1, state="rejected", gross="70", net="70", **spring)
    shop.deal("cpc", "0.50", campaign="spring")
    shop.deal("cpl", "2", campaign="spring")
    shop.deal("cpa", "10", campaign="spring")
    shop.deal("cpa", "6", campaign="spring", side="payout")
    shop.spend("40", campaign="brand", impressions=5_000, clicks=100)
    return shop


def test_every_metric_has_a_hand_worked_case() -> None:
    assert set(EXPECTED) == set(BY_SLUG)


@pytest.mark.parametrize("slug", sorted(EXPECTED))
def test_the_metric_is_what_its_hand_worked_case_says(shop: Shop, slug: str) -> None:
    assert shop.total(slug) == EXPECTED[slug]


@pytest.mark.parametrize("slug", sorted(EXPECTED))
def test_the_metric_is_the_same_among_all_others_and_by_campaign(shop: Shop, slug: str) -> None:
    report = shop.ask(*EXPECTED, dimensions=["campaign"])
    assert report["totals"][slug] == shop.total(slug)


@pytest.mark.parametrize("slug", sorted(APPROVED))
def test_status_governs_results_and_their_costs_together(shop: Shop, slug: str) -> None:
    assert shop.total(slug, status="approved") == APPROVED[slug]


def test_what_is_not_collected_yet_is_null_with_its_reason(shop: Shop) -> None:
    assert shop.ask("lead_to_sale_rate")["meta"]["reasons"] == {"lead_to_sale_rate": {"leads_not_matured": 1}}


def test_where_no_visit_tells_whether_it_was_engaged_in_no_rate_pretends_to_know(shop: Shop) -> None:
    report = shop.ask("visits", "bounce_rate", "engaged_rate", dimensions=["campaign"])
    assert {row["campaign"]: (row["bounce_rate"], row["engaged_rate"]) for row in report["rows"]} == {
        "spring": (0.3, 0.7),
        "brand": (None, None),
    }
    assert report["meta"]["reasons"]["bounce_rate"] == {"engagement_not_told": 1}
