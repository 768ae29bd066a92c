"""Exchange rates: exact, replaced by key, and announced for the days they speak for."""

import datetime
import struct
from fractions import Fraction
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from app import tables
from app.model import DAY
from app.spend.schemas import rate
from app.workspaces import from_date
from tests.management import House

RATE = {"date": "2026-11-20", "currency": "NOK", "base": "EUR", "rate": "0.0853"}


async def load(admin: httpx.AsyncClient, *rows: dict[str, Any]) -> dict[str, Any]:
    answer = await admin.post("/v1/fx-rates", json={"rows": list(rows)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_rates_replace_by_day_and_pair(admin: httpx.AsyncClient) -> None:
    assert (await load(admin, RATE, {**RATE, "currency": "usd"}))["created"] == 2
    assert (await load(admin, {**RATE, "rate": 0.086}))["replaced"] == 1
    assert (await load(admin, {**RATE, "rate": "0.0860"}))["unchanged"] == 1
    listed = (await admin.get("/v1/fx-rates")).json()["items"]
    assert listed == [{**RATE, "rate": "0.086"}, {**RATE, "currency": "USD"}]


async def test_the_base_is_the_reporting_currency_unless_told(admin: httpx.AsyncClient) -> None:
    await load(admin, {"date": "2026-11-20", "currency": "NOK", "rate": "0.0853"})
    assert (await admin.get("/v1/fx-rates", params={"currency": "NOK"})).json()["items"] == [RATE]


async def test_conversions_that_may_use_a_rate_are_announced(house: House, admin: httpx.AsyncClient) -> None:
    await load(admin, RATE, {**RATE, "date": "2026-11-10"})
    (change,) = house.rows(tables.changes)
    what, since, until = struct.unpack("<3q", change["body"])
    first, last = (from_date(datetime.date(2026, 11, day)) for day in (10, 20))
    assert (change["kind"], what) == ("setting", 3)
    assert since <= first * DAY - 14 * DAY // 24  # the day begins so much earlier at UTC+14
    assert until >= (last + 8) * DAY + 12 * DAY // 24  # seven days old is young enough, at UTC-12 too
    await load(admin, RATE)
    assert len(house.rows(tables.changes)) == 1


@pytest.mark.parametrize(
    "change, code, field",
    [
        ({"rate": 0}, "rate_invalid", "rate"),
        ({"rate": "-1"}, "rate_invalid", "rate"),
        ({"rate": "1e13"}, "rate_invalid", "rate"),
        ({"rate": "0.0000000000001"}, "rate_invalid", "rate"),
        ({"rate": "x"}, "rate_invalid", "rate"),
        ({"currency": "EUR"}, "rate_same", "base"),
        ({"base": "XYZ"}, "currency_unknown", "base"),
        ({"date": "2026-13-01"}, "date_invalid", "date"),
    ],
)
async def test_a_rate_that_cannot_be_is_refused_by_name(
    admin: httpx.AsyncClient, change: dict[str, Any], code: str, field: str
) -> None:
    answer = await admin.post("/v1/fx-rates", json={"rows": [{**RATE, **change}]})
    assert answer.status_code == 422
    (rejected,) = answer.json()["rejected"]
    assert (rejected["code"], rejected["field"]) == (code, field)


@given(st.decimals(min_value="0.000000000001", max_value="99999999", places=12))
def test_a_rate_keeps_every_digit(value: Any) -> None:
    assert Fraction(rate(f"{value:f}")) == Fraction(value)


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()))
@example(10**5000)
@example(float("nan"))
@example("٣")
@example("1_0")
@example("sNaN")
def test_anything_else_is_refused_or_a_plain_positive_decimal(value: object) -> None:
    try:
        text = rate(value)
    except PydanticCustomError:
        return
    assert set(text) <= set("0123456789.") and 0 < Fraction(text) < 10**12
