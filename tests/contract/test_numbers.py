"""From configuration and events to reports, over HTTP alone: every number here is worked by hand.

Three campaigns: alpha is paid by the click, beta by the thousand views and by the sale, gamma by what
was imported as spend. The workspace lives in Kolkata, five and a half hours ahead of UTC, where a day
begins at 18:30 of ours: half of what happened at DAY lies in the next one there.
"""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.conftest import Clicktrail, new_client, wait_until
from tests.contract.conftest import BROWSER, error

MODELS = ["first_touch", "last_touch", "last_click", "linear", "position_based", "time_decay"]
DAY = (datetime.now(UTC) - timedelta(days=3)).replace(hour=0, minute=0, second=0, microsecond=0)
BEFORE, AFTER = DAY + timedelta(hours=18, minutes=15), DAY + timedelta(hours=18, minutes=45)
FIRST, SECOND = DAY.date().isoformat(), (DAY + timedelta(days=1)).date().isoformat()
EURO = {"currency": "EUR"}


def at(moment: datetime, kind: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "occurred_at": moment.isoformat(), "user_agent": BROWSER, **fields}


EVENTS = [
    *(at(BEFORE, "click", campaign="alpha", visitor_id=f"a{n}") for n in (1, 2, 3)),
    *(at(AFTER, "click", campaign="alpha", visitor_id=f"a{n}") for n in (4, 5)),
    *(at(BEFORE, "impression", campaign="beta", id=f"i{n}") for n in range(100)),
    *(at(AFTER, "impression", campaign="beta", id=f"i{n}") for n in range(100, 400)),
    at(AFTER, "sale", order_id="A1", visitor_id="a1", value="100", **EURO),
    at(
        AFTER + timedelta(hours=1),
        "sale",
        order_id="A4",
        visitor_id="a4",
        value="50",
        status="pending",
        **EURO,
    ),
    at(AFTER, "sale", order_id="U1", value="7", **EURO),  # nobody knows whose
]


class Reports:
    """Somebody with a read key."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def ask(self, *metrics: str, by: str = "", **options: Any) -> dict[str, Any]:
        """A report over all time; `by`: dimensions with commas."""
        query = {
            "metrics": metrics,
            "dimensions": by.split(",") if by else [],
            "date_range": "all",
            **options,
        }
        answer = self.client.post("/v1/metrics/query", json=query)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def table(self, *metrics: str, by: str, **options: Any) -> dict[Any, tuple[Any, ...]]:
        """{label, or labels: metrics}."""
        rows = self.ask(*metrics, by=by, **options)["rows"]
        labels = [tuple(row[name] for name in by.split(",")) for row in rows]
        values = [tuple(row[metric] for metric in metrics) for row in rows]
        return dict(zip((one[0] if len(one) == 1 else one for one in labels), values, strict=True))


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clicktrail]:
    running = Clicktrail(tmp_path_factory.mktemp("numbers") / "data").start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def reports(numbers: Clicktrail) -> Iterator[Reports]:
    with numbers.client("admin") as admin:
        configure(admin)
    happen(numbers)
    with numbers.client("read") as client:
        wait_until(lambda: len(client.get("/v1/conversions").json()["items"]) == 4)
        ids = [one["id"] for one in client.get("/v1/conversions").json()["items"]]
        wait_until(lambda: all(client.get(f"/v1/conversions/{id_}/why").json()["settled"] for id_ in ids))
        yield Reports(client)


def configure(admin: httpx.Client) -> None:
    assert admin.patch("/v1/workspace", json={"timezone": "Asia/Kolkata"}).status_code == 200
    for path, body in (
        ("/v1/channels", {"slug": "search"}),
        ("/v1/channels", {"slug": "social"}),
        ("/v1/campaigns", {"slug": "alpha", "channel": "search"}),
        ("/v1/campaigns", {"slug": "beta", "channel": "social", "landing_url": "https://shop.example/"}),
        ("/v1/campaigns", {"slug": "gamma", "channel": "social"}),
        ("/v1/campaigns/alpha/pricing", {"model": "cpc", "rate": "0.50", **EURO}),
        ("/v1/campaigns/beta/pricing", {"model": "cpm", "rate": "10", **EURO}),
        ("/v1/campaigns/beta/pricing", {"model": "cpa", "rate": "5", **EURO}),
    ):
        answer = admin.post(path, json=body)
        assert answer.status_code == 201, answer.text
    row = {"date": FIRST, "source": "meta", "campaign": "gamma", "amount": "12.34", "clicks": 40, **EURO}
    assert admin.post("/v1/spend", json={"rows": [row]}).status_code == 200


def happen(running: Clicktrail) -> None:
    """Beta's clicks pass our redirect, a network reports a sale on one, gamma's visitors send beacons."""
    with new_client(base_url=running.url, headers={"User-Agent": BROWSER}) as browser:
        clicks = [browser.get("/c/beta").headers["Location"] for _ in range(2)]
        visits = [{"kind": "visit", "campaign": "gamma", "visitor_id": name} for name in ("g1", "g2")]
        told = {"k": running.keys["public"], "events": visits}
        assert browser.post("/collect", json=told).json()["accepted"] == 2
    (click_id,) = parse_qs(urlsplit(clicks[0]).query)["ct_click"]
    with running.client("server") as server:
        sale = {"click_id": click_id, "txid": "B1", "value": "40", **EURO}
        assert server.get("/postback", params=sale).text == "OK"
        answer = server.post("/v1/events", params={"wait": "stored"}, json={"events": EVENTS})
        assert set(answer.json()["outcomes"]) == {"stored"}, answer.text


def test_each_campaign_by_its_own_way_of_paying(reports: Reports) -> None:
    metrics = ("impressions", "clicks", "visits", "cost_media", "cost_results", "cost_spend", "cost")
    found = reports.table(*metrics, by="campaign")
    assert {name: found[name] for name in ("alpha", "beta", "gamma")} == {
        "alpha": (0, 5, 0, 2.50, 0, 0, 2.50),  # 5 clicks at 0.50
        "beta": (400, 2, 0, 4.00, 5.00, 0, 9.00),  # 400 views at 10 a thousand, one sale at 5
        "gamma": (0, 0, 2, 0, 0, 12.34, 12.34),
    }


def test_what_each_campaign_earned(reports: Reports) -> None:
    metrics = ("sales", "revenue", "cpa", "roas", "revenue_after_cost")
    assert reports.table(*metrics, by="campaign") == {
        "alpha": (2, 150.00, 1.25, 60, 147.50),  # 2.50 / 2, 150 / 2.50
        "beta": (1, 40.00, 9.00, pytest.approx(40 / 9), 31.00),
        "gamma": (0, 0, None, 0, -12.34),
        "(unattributed)": (1, 7.00, None, None, None),  # what it cost is not known, so nothing follows
    }


def test_approved_leaves_out_what_is_pending(reports: Reports) -> None:
    found = reports.table("sales", "revenue", "cpa", by="campaign", status="approved")
    assert found["alpha"] == (1, 100.00, 2.50)
    totals = reports.ask("sales_pending", "sales_approved", "revenue_pending")["totals"]
    assert totals == {"sales_pending": 1, "sales_approved": 3, "revenue_pending": 50.00}


def test_a_day_begins_at_half_past(reports: Reports) -> None:
    only = {"filters": ["is", "campaign", ["alpha"]]}
    assert reports.table("clicks", "cost", "sales", by="time:day", **only) == {
        FIRST: (3, 1.50, 0),
        SECOND: (2, 1.00, 2),
    }
    assert reports.table("clicks", "sales", by="time:day", timezone="UTC", **only) == {FIRST: (5, 2)}
    hours = reports.table("clicks", by="time:hour", **only)
    assert {label: hours[label] for label in hours if hours[label] != (0,)} == {
        f"{FIRST}T23:00:00+05:30": (3,),
        f"{SECOND}T00:00:00+05:30": (2,),
    }


def test_spend_is_not_shifted_into_another_zone_and_says_so(reports: Reports) -> None:
    report = reports.ask("cost_spend", by="time:day", timezone="America/St_Johns", date_range=[FIRST, FIRST])
    assert report["rows"] == [{"time:day": FIRST, "cost_spend": 12.34}]
    assert "spend_timezone_differs" in json.dumps(report["meta"]["warnings"])


@pytest.mark.parametrize("by", ["conversion", "touch", "booking"])
@pytest.mark.parametrize("model", MODELS)
def test_no_model_and_no_date_changes_what_it_cost_or_brought(reports: Reports, model: str, by: str) -> None:
    options = {"model": model} | {"by": by}
    query = {"metrics": ["cost", "revenue", "sales", "clicks"], "date_range": "all", **options}
    answer = reports.client.post("/v1/metrics/query", json=query)
    # 2.50 + 9.00 + 12.34; 100 + 50 + 40 + 7
    assert answer.json()["totals"] == {"cost": 23.84, "revenue": 197.00, "sales": 4, "clicks": 7}


ADDITIVE = ("clicks", "sales", "revenue")


@pytest.mark.parametrize(
    "by",
    ["campaign", "channel", "ad", "ad_group", "partner", "audience", "device", "country",
     "source", "medium", "time:hour", "time:day", "time:week", "time:month", "campaign,time:day",
     "channel,country,device", "segment.age", "keyword,placement", "campaign,ad,partner"],
)  # fmt: skip
def test_rows_add_up_to_totals(reports: Reports, by: str) -> None:
    report = reports.ask(*ADDITIVE, by=by)
    sums = {name: round(sum(row[name] for row in report["rows"]), 6) for name in ADDITIVE}
    assert sums == report["totals"] == {"clicks": 7, "sales": 4, "revenue": 197.00}
    page = reports.ask(*ADDITIVE, by=by, limit=1)
    assert page["totals"] == report["totals"]
    assert (len(page["rows"]), page["meta"]["truncated"]) == (1, len(report["rows"]) > 1)


@pytest.mark.parametrize(
    "filters, clicks",
    [
        (["is", "campaign", ["alpha"]], 5),
        (["is", "campaign", ["ALPHA"]], 5),
        (["is_not", "campaign", ["alpha"]], 2),
        (["in", "campaign", ["alpha", "beta"]], 7),
        (["contains", "campaign", ["et"]], 2),
        (["not", ["is", "channel", ["search"]]], 2),
        (["and", ["is", "channel", ["social"]], ["is", "campaign", ["beta"]]], 2),
        (["or", ["is", "channel", ["search"]], ["is", "campaign", ["beta"]]], 7),
        (["and", ["is", "channel", ["search"]], ["is", "campaign", ["beta"]]], 0),
        (["is", "campaign", ["nobody"]], 0),
    ],
    ids=str,
)
def test_filters(reports: Reports, filters: list[Any], clicks: int) -> None:
    assert reports.ask("clicks", filters=filters)["totals"] == {"clicks": clicks}


def test_arrays_and_csv_hold_what_records_hold(reports: Reports) -> None:
    asked: dict[str, Any] = {
        "metrics": ["clicks", "cost", "cpa"],
        "dimensions": ["campaign"],
        "date_range": "all",
    }
    records = reports.client.post("/v1/metrics/query", json=asked).json()
    arrays = reports.client.post("/v1/metrics/query", json={**asked, "format": "arrays"}).json()
    columns = ["campaign", "clicks", "cost", "cpa"]
    as_lists = [[row[name] for name in columns] for row in records["rows"]]
    assert as_lists in arrays.values() or as_lists == arrays["rows"]
    sheet = reports.client.post("/v1/metrics/query", json={**asked, "format": "csv"})
    assert sheet.headers["Content-Type"].startswith("text/csv")
    head, *lines = csv.reader(io.StringIO(sheet.text))
    assert head == columns
    assert [[line[0], *(float(cell) if cell else None for cell in line[1:])] for line in lines] == as_lists


@pytest.mark.parametrize("format_", ["records", "arrays", "csv"])
def test_the_link_answers_what_the_query_answers(reports: Reports, format_: str) -> None:
    filters = ["is_not", "campaign", ["gamma"]]
    shared = {"model": "linear", "limit": 5, "format": format_}
    query = {"metrics": ["clicks", "sales"], "dimensions": ["campaign", "time:day"], "filters": filters,
             "date_range": [FIRST, SECOND], "order_by": ["-clicks"]}  # fmt: skip
    link = {"metrics": "clicks,sales", "dimensions": "campaign,time:day", "filters": json.dumps(filters),
            "from": FIRST, "to": SECOND, "order_by": "-clicks"}  # fmt: skip
    posted = reports.client.post("/v1/metrics/query", json=query | shared)
    got = reports.client.get("/v1/metrics", params=link | shared)
    assert (posted.status_code, got.status_code) == (200, 200), got.text
    assert _timeless(got) == _timeless(posted)


def _timeless(answer: httpx.Response) -> Any:
    """The answer, but for how fresh it is."""
    if "json" not in answer.headers["Content-Type"]:
        return answer.text
    found = answer.json()
    del found["meta"]["fresh_through"]
    return found


def test_a_query_as_resolved_means_the_same_when_sent_again(reports: Reports) -> None:
    report = reports.ask(
        "clicks", "cpa", by="campaign,time:week", date_range="30d", filters=["is", "channel", ["search"]]
    )
    again = reports.client.post("/v1/metrics/query", json=report["query"]).json()
    assert (again["rows"], again["query"]) == (report["rows"], report["query"])


@pytest.mark.parametrize(
    "wrong, field, hint",
    [
        ({"metrics": ["click"]}, "metrics[0]", "clicks"),
        ({"metrics": ["clicks", "revnue"]}, "metrics[1]", "revenue"),
        ({"dimensions": ["campain"]}, "dimensions[0]", "campaign"),
        ({"dimensions": ["day"]}, "dimensions[0]", "time:day"),
        ({"timezone": "Asia/Kolkatta"}, "timezone", "Asia/Kolkata"),
        ({"currency": "EUO"}, "currency", "EUR"),
        ({"model": "lastclick"}, "model", "last_click"),
        ({"by": "bookings"}, "by", "booking"),
        ({"status": "approve"}, "status", "approved"),
        ({"date_range": "30days"}, "date_range", "30d"),
        ({"metric": ["clicks"]}, "metric", "metrics"),
        ({"format": "cvs"}, "format", "csv"),
        ({"format": "parquet"}, "format", "parquet"),
        ({"format": "arrow"}, "format", "arrow"),
        ({"compare": "previous_period"}, "compare", "compare"),
        ({"metrics": []}, "metrics", "metric"),
    ],
    ids=str,
)
def test_what_nobody_knows_is_400_with_the_nearest_that_is_known(
    reports: Reports, wrong: dict[str, Any], field: str, hint: str
) -> None:
    answer = reports.client.post("/v1/metrics/query", json={"metrics": ["clicks"], **wrong})
    assert (error(answer)[0], error(answer)[2]) == (400, field)
    assert hint in answer.json()["error"]["message"]


def test_what_there_is_to_ask(reports: Reports) -> None:
    meta = reports.client.get("/v1/metrics/meta").json()
    for metric in meta["metrics"]:
        assert metric["label"] and metric["formula"] and metric["unit"] in ("count", "money", "ratio")
        report = reports.ask(metric["slug"], by="campaign")
        assert metric["slug"] in report["totals"]
    slugs = {dimension["slug"] for dimension in meta["dimensions"]}
    assert {"time:hour", "campaign", "segment.<name>", "conversion_country"} <= slugs


def test_conversions_and_why_explain_the_numbers(reports: Reports) -> None:
    items = reports.client.get("/v1/conversions").json()["items"]
    assert {one["order_id"]: (one["value"], one["state"], one["verified"]) for one in items} == {
        "A1": (100, "approved", True), "A4": (50, "pending", True),
        "B1": (40, "approved", True), "U1": (7, "approved", True),
    }  # fmt: skip
    for model in MODELS:
        earned: dict[str, float] = {}
        for one in items:
            why = reports.client.get(f"/v1/conversions/{one['id']}/why", params={"model": model}).json()
            for touch in why["touches"]:
                earned[touch["campaign"]] = earned.get(touch["campaign"], 0) + touch["value"]
            if why["unattributed"]:
                earned["(unattributed)"] = earned.get("(unattributed)", 0) + why["unattributed"]["value"]
        told = reports.table("revenue", by="campaign", model=model)
        assert earned == {name: value for name, (value,) in told.items() if value}
    why = reports.client.get("/v1/conversions/U1/why").json()
    assert (why["touches"], why["unattributed"]["reason"]) == ([], "no_identifier")
