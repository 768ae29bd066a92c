"""How an answer is written: exact numbers, records, arrays, CSV."""

import csv
import io
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.metrics import formats
from app.metrics.catalogue import BY_SLUG
from app.metrics.columns import Column
from app.money import to_decimal
from app.pricing.exact import column
from tests.metrics.shop import Shop


def written(values: list[int], metric: str = "cost", *, as_text: bool = False) -> list[Any]:
    known = np.ones(len(values), dtype=bool)
    found = formats.numbers(BY_SLUG[metric], Column(column(values), known), as_text=as_text)
    encoded = msgspec.json.encode(found)
    return msgspec.json.decode(encoded, type=list[str] if as_text else list[Decimal])


@given(st.lists(st.integers(-(10**24), 10**24), min_size=1, max_size=5))
def test_money_is_written_exactly_whatever_its_size(values: list[int]) -> None:
    assert written(values) == [to_decimal(value) for value in values]
    assert [Decimal(text) for text in written(values, as_text=True)] == [
        to_decimal(value) for value in values
    ]


@given(st.lists(st.integers(-(10**15) + 1, 10**15 - 1), min_size=1, max_size=5))
def test_amounts_of_every_day_are_written_exactly_too(values: list[int]) -> None:
    assert written(values) == [to_decimal(value) for value in values]


def test_whole_counts_are_integers_and_shares_are_not() -> None:
    known = np.ones(2, dtype=bool)
    whole = formats.numbers(BY_SLUG["sales"], Column(column([3_000_000, 0]), known), as_text=False)
    shares = formats.numbers(BY_SLUG["sales"], Column(column([3_000_000, 333_333]), known), as_text=False)
    assert (whole, shares) == ([3, 0], [3.0, 0.333333])


def test_arrays_say_what_records_say(shop: Shop) -> None:
    shop.traffic(campaign="spring", clicks=3, impressions=9)
    shop.traffic(campaign="brand", clicks=1)
    fields: dict[str, Any] = {"dimensions": ["campaign"]}
    records, arrays = (shop.ask("clicks", "ctr", format=f, **fields) for f in ("records", "arrays"))
    assert [dict(zip(arrays["columns"], row, strict=True)) for row in arrays["rows"]] == records["rows"]
    assert arrays["totals"] == records["totals"]


def lines(shop: Shop, *metrics: str, **asked: Any) -> tuple[str, list[list[str]]]:
    text = formats.text(shop.answer(*metrics, format="csv", **asked)).decode()
    return text, list(csv.reader(io.StringIO(text, newline="")))


def test_csv_comes_back_as_it_went(shop: Shop) -> None:
    names = ['with "quotes", and commas', "two\nlines", "Тест", "فارسی", "plain"]
    for number, name in enumerate(names, 1):
        shop.traffic(campaign=name, clicks=number, impressions=8)
    text, found = lines(shop, "clicks", "ctr", dimensions=["campaign"], order_by=["clicks"])
    assert found[0] == ["campaign", "clicks", "ctr"]
    assert found[1:] == [[name, str(n), repr(n / 8)] for n, name in enumerate(names, 1)]
    assert text.endswith("\r\n")


def test_no_label_runs_as_a_formula_and_numbers_stay_numbers(shop: Shop) -> None:
    names = ["=1+1", "+1", "-1", "@sum", "\tx"]
    for name in names:
        shop.results("sale", campaign=name, net="-5.000001", gross="0")
    _, found = lines(shop, "revenue", dimensions=["campaign"])
    assert sorted(found[1:]) == sorted([f"'{name}", "-5.000001"] for name in names)


def test_unknown_numbers_are_empty_in_csv_and_null_in_json(shop: Shop) -> None:
    shop.traffic(campaign="spring", clicks=3)
    assert lines(shop, "clicks", "cost", dimensions=["campaign"])[1][1] == ["spring", "3", ""]
    assert shop.ask("cost", numbers="string")["totals"] == {"cost": None}


def test_strings_are_exact(shop: Shop) -> None:
    shop.results("sale", campaign="a", gross="0.000001", net="0.000001")
    shop.results("sale", campaign="b", gross="12.5", net="12.5")
    report = shop.ask("revenue", "sales", dimensions=["campaign"], numbers="string")
    assert [row["revenue"] for row in report["rows"]] == ["12.5", "0.000001"]
    assert report["totals"] == {"revenue": "12.500001", "sales": "2"}
