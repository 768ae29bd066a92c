"""What a query may say, and what it is told when it says something else."""

from typing import Any

import pytest

from app.errors import InvalidInput
from app.metrics import query
from app.metrics.dates import RANGES
from app.metrics.query import Context
from app.workspaces import from_date, to_date
from tests.metrics.shop import NOW

OSLO = Context("Europe/Oslo", "EUR", "saturday", NOW, from_date(to_date(20_000)))


def parsed(**raw: Any) -> query.Query:
    return query.parse({"metrics": ["clicks"], **raw}, OSLO)


def refused(**raw: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        parsed(**raw)
    return caught.value


@pytest.mark.parametrize(
    ("raw", "field", "words"),
    [
        ({"metrics": ["clcks"]}, "metrics[0]", "clicks"),
        ({"metrics": ["clicks", "cost_per_sale"]}, "metrics[1]", "cost_per"),
        ({"metrics": []}, "metrics", "at least one"),
        ({"metrics": 7}, "metrics", "list of names"),
        ({"metrics": [1]}, "metrics", "list of names"),
        ({"dimensions": ["campain"]}, "dimensions[0]", "campaign"),
        ({"dimensions": ["time:day", "time:week"]}, "dimensions", "one time dimension"),
        ({"dimensions": ["segment."]}, "dimensions[0]", "dimension"),
        ({"dimensions": ["segment.a\"b"]}, "dimensions[0]", "dimension"),
        ({"dimensions": ["segment.a\0b"]}, "dimensions[0]", "dimension"),
        ({"timezone": "Europe/Olso"}, "timezone", "Europe/Oslo"),
        ({"timezone": "../../etc/passwd"}, "timezone", "timezone"),
        ({"currency": "EURO"}, "currency", "EUR"),
        ({"model": "last_tuch"}, "model", "last_touch"),
        ({"model": "billing"}, "model", "model"),
        ({"by": "conversions"}, "by", "conversion"),
        ({"status": "aproved"}, "status", "approved"),
        ({"format": "parquet"}, "format", "not available yet"),
        ({"format": "arrow"}, "format", "not available yet"),
        ({"format": "json"}, "format", "records"),
        ({"compare": "previous_period"}, "compare", "not available yet"),
        ({"metric": ["clicks"]}, "metric", "metrics"),
        ({"limit": 0}, "limit", "whole number"),
        ({"limit": "ten"}, "limit", "whole number"),
        ({"limit": True}, "limit", "whole number"),
        ({"offset": -1}, "offset", "whole number"),
        ({"offset": 2**63}, "offset", "whole number"),
        ({"order_by": ["sales"]}, "order_by[0]", "clicks"),
        ({"order_by": [["clicks", "down"]]}, "order_by[0]", "column"),
        ({"date_range": "7days"}, "date_range", "7d"),
        ({"date_range": ["2026-11-20"]}, "date_range", "two dates"),
        ({"date_range": ["2026-11-20", "2026-11-01"]}, "date_range", "before it begins"),
        ({"date_range": ["2026-11-31", "2026-12-01"]}, "date_range[0]", "2026-11-20"),
        ({"date_range": ["0001-01-01", "9999-12-31"]}, "date_range[0]", "date"),
        ({"date_range": ["1980-01-01", "2026-12-31"]}, "date_range", "at most"),
        ({"date_range": ["2020-01-01", "2026-12-31"], "dimensions": ["time:hour"]}, "date_range", "hours"),
        ({"filters": "campaign"}, "filters", "operator"),
        ({"filters": ["equals", "campaign", "a"]}, "filters", "is"),
        ({"filters": ["is", "campain", "a"]}, "filters[1]", "campaign"),
        ({"filters": ["is", "time:day", "2026-11-01"]}, "filters[1]", "dimension"),
        ({"filters": ["is", "campaign", []]}, "filters[2]", "1 to"),
        ({"filters": ["is", "campaign", [1]]}, "filters[2]", "strings"),
        ({"filters": ["is", "campaign", ["x" * 501]]}, "filters[2]", "500"),
        ({"filters": ["not", ["is", "ad", "a"], ["is", "ad", "b"]]}, "filters", "not needs"),
        ({"filters": ["and", ["is", "ad", "a"], ["or", ["in", "goal"]]]}, "filters[2][1]", "is not"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_with_what_it_may_be(raw: dict[str, Any], field: str, words: str) -> None:
    error = refused(**raw)
    assert (error.status, error.field) == (400, field)
    assert words in error.message


def test_a_filter_may_be_neither_deep_nor_wide() -> None:
    leaf = ["is", "ad", "a"]
    deep: list[Any] = leaf
    for _ in range(8):
        deep = ["not", deep]
    assert refused(filters=deep).code == "filter_too_deep"
    assert refused(filters=["and", *[["or", *[leaf] * 30]] * 4]).code == "filter_too_large"


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("today", "2026-11-22", "2026-11-22"),
        ("yesterday", "2026-11-21", "2026-11-21"),
        ("7d", "2026-11-15", "2026-11-21"),
        ("30d", "2026-10-23", "2026-11-21"),
        ("90d", "2026-08-24", "2026-11-21"),
        ("month", "2026-11-01", "2026-11-22"),
        ("year", "2026-01-01", "2026-11-22"),
        ("all", "2024-10-04", "2026-11-22"),
    ],
)
def test_ranges_are_complete_local_days_and_today_stands_apart(name: str, first: str, last: str) -> None:
    assert parsed(date_range=name).written()["date_range"] == [first, last]
    assert name in RANGES


def test_today_is_the_day_of_the_zone_asked_for() -> None:
    assert parsed(date_range="today", timezone="America/New_York").written()["date_range"][0] == "2026-11-21"  # type: ignore[index]


def test_a_resolved_query_means_itself() -> None:
    asked = parsed(
        dimensions=["time:week", "campaign"],
        filters=["and", ["is_not", "country", ["NO"]], ["not", ["contains", "ad", "X"]]],
        order_by=["-clicks", ["campaign", "asc"]],
        currency="nok",
    )
    assert query.parse(asked.written(), OSLO) == asked


def test_parameters_of_a_link_say_the_same_as_json() -> None:
    link = {
        "metrics": "clicks, cpa", "dimensions": "time:day,campaign", "from": "2026-11-01", "to": "2026-11-20",
        "filters": '["is","campaign",["spring"]]', "limit": "5", "order_by": "-clicks", "numbers": "string",
    }  # fmt: skip
    body = {
        "metrics": ["clicks", "cpa"], "dimensions": ["time:day", "campaign"],
        "date_range": ["2026-11-01", "2026-11-20"], "filters": ["is", "campaign", ["spring"]], "limit": 5,
        "order_by": ["-clicks"], "numbers": "string",
    }  # fmt: skip
    assert query.parse(query.from_parameters(link), OSLO) == query.parse(body, OSLO)


@pytest.mark.parametrize(
    ("link", "field"),
    [
        ({"from": "2026-11-01"}, "to"),
        ({"from": "2026-11-01", "to": "2026-11-02", "date_range": "7d"}, "from"),
        ({"filters": "[[["}, "filters"),
        ({"limit": "9" * 5000}, "limit"),
    ],
)
def test_a_link_that_contradicts_itself_is_refused(link: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        query.parse({"metrics": ["clicks"], **query.from_parameters(link)}, OSLO)
    assert caught.value.field == field
