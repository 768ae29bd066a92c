"""Rows, totals, labels, filters, order and pages."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.metrics.catalogue import METRICS
from tests.metrics.shop import DAY, Shop

NEXT = "2026-11-11"
BOTH: dict[str, Any] = {"date_range": [DAY, NEXT]}
ADDITIVE = [m.slug for m in METRICS if m.needs == (m.slug,) or m.slug in ("clicks_gross", "refunds")]

PLACES = st.fixed_dictionaries(
    {
        "day": st.sampled_from([DAY, NEXT]),
        "campaign": st.sampled_from(["", "spring", "brand", "åpen"]),
        "ad": st.sampled_from(["", "blue", "red"]),
        "partner": st.sampled_from(["", "ann"]),
        "channel": st.sampled_from(["", "display"]),
        "country": st.sampled_from(["", "NO", "UA"]),
        "device": st.sampled_from(["", "mobile"]),
    }
)
RESULTS = st.tuples(
    PLACES, st.sampled_from(["lead", "sale"]), st.sampled_from(["pending", "approved", "rejected"]),
    st.integers(1, 5), st.decimals(0, 99, places=6, allow_nan=False),
)  # fmt: skip
DIMENSIONS = st.lists(
    st.sampled_from(
        ["time:day", "time:week", "channel", "campaign", "ad", "partner", "country", "device", "goal"]
    ),
    unique_by=lambda slug: slug.partition(":")[0],
    max_size=3,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(PLACES, max_size=6),
    results=st.lists(RESULTS, max_size=6),
    dimensions=DIMENSIONS,
    status=st.sampled_from(["booked", "approved"]),
)
def test_rows_always_add_up_to_totals(
    tmp_path_factory: pytest.TempPathFactory,
    places: list[dict[str, str]],
    results: list[Any],
    dimensions: list[str],
    status: str,
) -> None:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    shop.deal("cpc", "0.333333", campaign="spring")
    shop.deal("cpa", "1", campaign="spring", ad="blue")
    shop.deal("revshare", "0.125", campaign="brand")
    for number, place in enumerate(places):
        shop.traffic(**place, clicks=number + 1, clicks_billable=number, impressions=10)  # type: ignore[arg-type]
    for place, kind, state, count, net in results:
        shop.results(kind, count, state=state, **place, net=str(net), gross=str(net + 1))
    found = shop.answer(*ADDITIVE, dimensions=dimensions, status=status, **BOTH)
    for metric, column, total in zip(found.metrics, found.columns, found.totals, strict=True):
        known = [int(value) for value, is_known in zip(column.values, column.known, strict=True) if is_known]
        assert sum(known) == (int(total.values[0]) if total.known[0] else 0), metric.slug


def test_what_no_campaign_and_nobody_earned_have_rows_of_their_own(shop: Shop) -> None:
    shop.results("sale", 3, campaign="spring")
    shop.results("sale", 2)
    shop.results("sale", 1, campaign="(unattributed)")
    assert shop.by("campaign", "sales") == {"spring": 3, "(no campaign)": 2, "(unattributed)": 1}
    for dimension in ("channel", "ad", "partner", "country", "device"):
        assert shop.by(dimension, "sales")["(unattributed)"] == 1
        assert shop.by(dimension, "sales")["(none)"] >= 2


def test_unregistered_slugs_keep_their_name_and_say_so(shop: Shop) -> None:
    shop.id_of("campaigns", "strange", known=0)
    shop.traffic(campaign="strange", clicks=2)
    shop.traffic(campaign="spring", clicks=1)
    report = shop.ask("clicks", dimensions=["campaign"])
    assert report["rows"] == [
        {"campaign": "strange", "clicks": 2, "known": False},
        {"campaign": "spring", "clicks": 1},
    ]
    assert report["meta"]["unknown"] == {"campaign": ["strange"]}


def test_ads_of_one_name_are_one_row_only_where_nothing_tells_them_apart(shop: Shop) -> None:
    for number, campaign in enumerate(("spring", "autumn"), 1):
        ad = shop.put(
            "ads", {"workspace": shop.id, "slug": "blue", "campaign_id": shop.id_of("campaigns", campaign)}
        )
        shop._ids["ads", "blue"] = ad
        shop.traffic(campaign=campaign, ad="blue", clicks=number)
    assert shop.by("ad", "clicks") == {"blue": 3}
    assert len(shop.ask("clicks", dimensions=["campaign", "ad"])["rows"]) == 2


def test_the_hierarchy_of_what_is_bought_is_known(shop: Shop) -> None:
    shop.id_of("campaigns", "spring", audience="retargeting")
    shop.id_of("ads", "blue", campaign_id=1, ad_group="colours")
    shop.traffic(campaign="spring", ad="blue", clicks=3)
    shop.traffic(campaign="brand", clicks=1)
    assert shop.by("audience", "clicks") == {"retargeting": 3, "(none)": 1}
    assert shop.by("ad_group", "clicks") == {"colours": 3, "(none)": 1}


FILTERS: list[tuple[list[Any], int]] = [
    (["is", "campaign", ["spring"]], 1),
    (["is", "campaign", "SPRING"], 1),
    (["in", "campaign", ["spring", "brand"]], 3),
    (["is_not", "campaign", ["spring"]], 14),
    (["contains", "campaign", ["rAn", "none"]], 2),
    (["is", "campaign", ["(no campaign)"]], 4),
    (["is", "campaign", ["never heard of"]], 0),
    (["not", ["is", "campaign", ["spring"]]], 14),
    (["or", ["is", "campaign", "spring"], ["is", "ad", "blue"]], 9),
    (["and", ["is", "campaign", "åpen"], ["not", ["is", "ad", "red"]]], 8),
    (["and", ["is", "channel", "display"], ["is", "partner", "ann"]], 8),
]


@pytest.mark.parametrize(("tree", "clicks"), FILTERS)
def test_filters_let_through_what_they_say(shop: Shop, tree: list[Any], clicks: int) -> None:
    shop.traffic(campaign="spring", clicks=1)
    shop.traffic(campaign="brand", clicks=2)
    shop.traffic(clicks=4)
    shop.traffic(campaign="åpen", ad="blue", partner="ann", channel="display", clicks=8)
    assert shop.total("clicks", filters=tree) == clicks


def test_places_are_filtered_by_their_codes(shop: Shop) -> None:
    shop.traffic(country="NO", device="mobile", clicks=1)
    shop.traffic(country="UA", device="desktop", clicks=2)
    shop.traffic(clicks=4)
    assert shop.total("clicks", filters=["is", "country", ["no"]]) == 1
    assert shop.total("clicks", filters=["is_not", "country", ["NO"]]) == 6
    assert shop.total("clicks", filters=["is", "country", "(none)"]) == 4
    assert shop.by("device", "clicks", filters=["in", "country", ["NO", "UA"]]) == {"mobile": 1, "desktop": 2}


def test_totals_cover_the_whole_filter_and_not_the_page(shop: Shop) -> None:
    for number, campaign in enumerate("abcdef", 1):
        shop.traffic(campaign=campaign, clicks=number)
    report = shop.ask("clicks", dimensions=["campaign"], limit=2, offset=1)
    assert report["rows"] == [{"campaign": "e", "clicks": 5}, {"campaign": "d", "clicks": 4}]
    assert report["totals"] == {"clicks": 21}
    assert (report["meta"]["truncated"], report["meta"]["rows"]) == (True, 6)
    assert shop.ask("clicks", dimensions=["campaign"])["meta"]["truncated"] is False


def test_order_is_as_asked_unknowns_last_and_ties_by_label(shop: Shop) -> None:
    for campaign, clicks in (("b", 2), ("a", 2), ("c", 9), ("d", 1)):
        shop.traffic(campaign=campaign, clicks=clicks, clicks_billable=clicks)
    shop.deal("cpc", "1", campaign="b")
    shop.deal("cpc", "3", campaign="d")

    def order(*by: Any) -> str:
        rows = shop.ask("clicks", "cost", dimensions=["campaign"], order_by=list(by))["rows"]
        return "".join(row["campaign"] for row in rows)

    assert order() == order("-clicks") == "cabd"
    assert order("clicks") == "dabc"
    assert order("-campaign") == "dcba"
    assert order("-cost") == "dbac"
    assert order("cost") == "bdac"
    assert order(["clicks", "asc"], "-campaign") == "dbac"


def test_nothing_at_all_is_zero_counts_and_unknown_cost(shop: Shop) -> None:
    assert shop.totals("clicks", "sales", "ctr", "cost") == {
        "clicks": 0,
        "sales": 0,
        "ctr": None,
        "cost": None,
    }
    assert shop.ask("clicks", dimensions=["campaign", "time:day"])["rows"] == []
    report = shop.ask("clicks", "ctr", "cost")
    assert report["rows"] == [{"clicks": 0, "ctr": None, "cost": None}]
    assert report["meta"]["reasons"] == {"ctr": {"denominator_zero": 1}, "cost": {"nothing_in_range": 1}}


def test_nothing_of_one_workspace_is_visible_from_another(shop: Shop) -> None:
    shop.traffic(campaign="spring", clicks=3)
    shop.results("sale", campaign="spring")
    shop.id += 1
    with pytest.raises(Exception, match="No row"):
        shop.ask("clicks")


@pytest.mark.parametrize(
    ("week_start", "weeks"),
    [("monday", ["2026-11-02", "2026-11-09"]), ("saturday", ["2026-11-07"]), ("sunday", ["2026-11-08"])],
)
def test_weeks_begin_on_the_workspaces_day(
    tmp_path_factory: pytest.TempPathFactory, week_start: str, weeks: list[str]
) -> None:
    shop = Shop(tmp_path_factory.mktemp("shop"), week_start=week_start)
    for day in ("2026-11-08", "2026-11-09", "2026-11-12"):
        shop.traffic(day=day, clicks=1)
    found = shop.by("time:week", "clicks", date_range=["2026-11-01", "2026-11-30"])
    assert list(found) == weeks and sum(found.values()) == 3
    assert shop.by("time:month", "clicks", date_range=["2026-10-01", "2026-11-30"]) == {"2026-11-01": 3}
