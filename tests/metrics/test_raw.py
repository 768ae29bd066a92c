"""What no rollup knows is read from raw rows, and says the same as the rollups to the unit.

Events go the real way: through the pipeline and the leader.
"""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app import db, tables
from app.metrics import formats, prices, query, run
from app.metrics.plan import RAW_CREDITS, RAW_TRAFFIC
from app.model import HOUR, MODELS
from app.pricing.rules import narrowed
from tests.house import House, event

DAY = 24 * HOUR


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


START = at("2026-03-27T20:00:00")  # two days before Oslo's clocks go forward
NOW = at("2026-04-10T00:00:00")
RANGE = ["2026-03-20", "2026-04-09"]


def asked(house: House, *metrics: str, raw: bool = False, **fields: Any) -> run.Answer:
    body = {"metrics": list(metrics), "date_range": RANGE, **fields}
    with db.reading(house.engine) as connection:
        of = run.house(connection, 1)
        wanted = query.parse(body, run.context(connection, of, now=NOW, everything=False))
        if not raw:
            return run.answer(connection, of, wanted)
        deals = prices.deals(connection, 1)
        reader = run.reading(connection, of, wanted, narrowed(deals))
        plan = replace(reader.plan, traffic=RAW_TRAFFIC, credits=RAW_CREDITS, billing=RAW_CREDITS)
        return run.told(replace(reader, plan=plan), of, deals)


def shown(answer: run.Answer) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(formats.records(answer))
    return {"rows": found["rows"], "totals": found["totals"]}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Three visitors on the way to four sales, over clock changes; one sale refunded, one rejected later."""
    folder: Path = tmp_path_factory.mktemp("house")
    house = House.build(folder, timezone="Europe/Oslo", reporting_currency="EUR")
    for slug in ("spring", "brand", "retarget"):
        house.campaign(slug)
    house.add(tables.goals, slug="purchase", kind="sale", primary=1)
    events: list[Any] = []
    for visitor in range(3):
        who = {"visitor_id": f"v{visitor}", "country": ("NO", "UA", "VN")[visitor]}
        for step in range(9):
            campaign = ("spring", "brand", "retarget")[(visitor + step) % 3]
            events.append(
                event(
                    ("impression", "click", "click")[step % 3], START + visitor * HOUR + step * 7 * HOUR,
                    id=f"t{visitor}.{step}", campaign=campaign, keyword=f"word{step % 2}", ad=f"ad{step % 2}",
                    utm={"source": f"s{step % 2}", "medium": "cpc"},
                    segment={"age": ("18-24", "25-34")[visitor % 2]}, **who,
                )
            )  # fmt: skip
        when = START + 3 * DAY + visitor * HOUR
        events.append(event("lead", when - HOUR, id=f"l{visitor}", goal="signup", **who))
        events.append(
            event("sale", when, id=f"o{visitor}", goal="purchase", order_id=f"o{visitor}",
                  value=100_000_001 + visitor, currency="EUR", **who)
        )  # fmt: skip
    events.append(event("sale", START + DAY, id="o9", order_id="o9", value=7_000_000, currency="EUR"))
    refunded = START + 5 * DAY
    events.append(event("refund", refunded, id="r0", order_id="o0", value=30_000_000, currency="EUR"))
    events.append(event("status", refunded + DAY, id="s1", order_id="o1", status="rejected"))
    house.send(*events)
    house.settle()
    ids = {row.slug: row.id for row in house.rows(tables.campaigns)}
    for campaign, model, rate in (
        ("spring", "cpc", 333_333),
        ("brand", "cpa", 9_000_000),
        ("retarget", "revshare", 123_457),
    ):
        house.add(tables.deals, model=model, side="cost", rate=rate, campaign_id=ids[campaign], valid_from=0,
                  currency="" if model == "revshare" else "EUR")  # fmt: skip
    return house


METRICS = (
    "impressions", "clicks", "clicks_gross", "leads", "sales", "sales_net", "sales_click", "sales_view",
    "sales_approved", "sales_rejected", "conversions", "revenue", "revenue_gross", "refunds", "new_customers",
)  # fmt: skip
SPLITS: list[list[str]] = [
    [], ["time:day", "campaign"], ["campaign", "ad"], ["channel", "country", "device"], ["goal"],
    ["time:week", "campaign"],
]  # fmt: skip


@pytest.mark.parametrize("dimensions", SPLITS, ids=lambda d: "+".join(d) or "none")
@pytest.mark.parametrize("by", query.BY)
@pytest.mark.parametrize("model", [name for name in MODELS if name != "billing"])
def test_raw_rows_and_rollups_say_the_same(house: House, model: str, by: str, dimensions: list[str]) -> None:
    fields = {"dimensions": dimensions, "by": by, "model": model}
    assert shown(asked(house, *METRICS, **fields)) == shown(asked(house, *METRICS, raw=True, **fields))


@pytest.mark.parametrize("by", query.BY)
def test_cost_is_the_same_however_it_is_read_and_under_every_model(house: House, by: str) -> None:
    costs = [
        shown(asked(house, "cost", "cost_results", "cpa", by=by, model=model, raw=raw))["totals"]["cost"]
        for model in MODELS
        if model != "billing"
        for raw in (False, True)
    ]
    assert len(set(costs)) == 1 and costs[0] > 0


def test_free_texts_and_segments_split_both_sides(house: House) -> None:
    for dimension, labels in (
        ("keyword", {"word0", "word1"}),
        ("source", {"s0", "s1"}),
        ("segment.age", {"18-24", "25-34"}),
    ):
        found = shown(asked(house, "clicks", "sales", "revenue", dimensions=[dimension]))
        rows = {row[dimension]: row for row in found["rows"]}
        assert set(rows) == {*labels, "(unattributed)"}
        whole = shown(asked(house, "clicks", "sales", "revenue"))["totals"]
        assert found["totals"] == whole
        assert rows["(unattributed)"]["sales"] == 1
        one = shown(asked(house, "sales", "clicks", filters=["is", dimension, sorted(labels)[0].upper()]))
        assert one["totals"]["sales"] == rows[sorted(labels)[0]]["sales"]
        assert one["totals"]["clicks"] == rows[sorted(labels)[0]]["clicks"]


def test_a_filter_on_touches_leaves_the_shares_of_the_others(house: House) -> None:
    by_word = shown(asked(house, "sales", "revenue", dimensions=["keyword"], model="linear"))["rows"]
    for row in by_word:
        alone = shown(
            asked(house, "sales", "revenue", filters=["is", "keyword", row["keyword"]], model="linear")
        )
        assert alone["totals"] == {"sales": row["sales"], "revenue": row["revenue"]}


def test_a_conversion_has_a_country_of_its_own(house: House) -> None:
    rows = shown(asked(house, "sales", "leads", dimensions=["conversion_country"]))["rows"]
    assert {row["conversion_country"]: row["leads"] for row in rows} == {
        "NO": 1,
        "UA": 1,
        "VN": 1,
        "(none)": 0,
    }


def test_who_earned_nothing_says_why(house: House) -> None:
    rows = shown(asked(house, "sales", dimensions=["unattributed_reason"]))["rows"]
    assert sum(row["sales"] for row in rows) == 3
    assert {row["unattributed_reason"] for row in rows} == {"(none)", "no_identifier"}


# --- Hours and other zones ---------------------------------------------------------------------------

ZONES = ["UTC", "Asia/Kathmandu", "Asia/Kolkata", "Asia/Tehran", "America/New_York", "Pacific/Auckland"]


@pytest.mark.parametrize("zone", ZONES)
def test_every_zone_has_its_own_days_and_the_same_sum(house: House, zone: str) -> None:
    found = shown(
        asked(
            house, "impressions", "clicks", "sales", "leads", "cost", dimensions=["time:day"], timezone=zone
        )
    )
    whole = shown(asked(house, "impressions", "clicks", "sales", "leads", "cost"))
    assert found["totals"] == whole["totals"]
    local = [
        datetime.fromtimestamp(row.occurred_at / 1e6, query_zone(zone)).date().isoformat()
        for row in house.rows(tables.events)
        if row.kind == 2
    ]
    assert {row["time:day"]: row["clicks"] for row in found["rows"] if row["clicks"]} == {
        day: local.count(day) for day in sorted(set(local))
    }


def query_zone(name: str) -> Any:
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


@pytest.mark.parametrize("zone", ["Europe/Oslo", "Asia/Kathmandu"])
def test_hours_carry_their_offset(house: House, zone: str) -> None:
    found = shown(
        asked(house, "clicks", "sales", "cost", dimensions=["time:hour", "campaign"], timezone=zone)
    )
    assert found["totals"] == shown(asked(house, "clicks", "sales", "cost", timezone=zone))["totals"]
    hours = {row["time:hour"] for row in found["rows"]}
    assert all(datetime.fromisoformat(hour).utcoffset() is not None for hour in hours)
    assert {hour[13:] for hour in hours} <= {":00:00+01:00", ":00:00+02:00", ":00:00+05:45"}


def test_spend_has_no_hours_and_is_never_shifted(house: House) -> None:
    row = {"day": 20_540, "source": "google", "account": "1", "campaign_id": 2, "ad_id": 0,
           "amount": 5_000_000, "currency": "EUR", "timezone": "Europe/Oslo"}  # fmt: skip
    house.add(tables.spend, **row)
    try:
        whole = asked(house, "cost_spend", dimensions=["time:day"], timezone="Asia/Kolkata")
        assert "spend_timezone_differs" in whole.meta["warnings"]  # type: ignore[operator]
        days = {row["time:day"]: row["cost_spend"] for row in shown(whole)["rows"]}
        assert days["2026-03-28"] == 5.0
        hourly = asked(house, "cost", dimensions=["time:hour", "campaign"])
        assert "no_hourly_spend" in hourly.meta["reasons"]["cost"]  # type: ignore[index]
    finally:
        with db.begin(house.engine) as connection:
            connection.execute(tables.spend.delete())
