"""Spend rows: replaced by key, judged one by one, never lost to an unknown name."""

from typing import Any

import httpx
import pytest

from app import tables
from tests.management import House

ROW = {
    "date": "2026-11-01", "source": "google", "account": "1", "campaign": "spring", "amount": "12.50",
    "currency": "EUR",
}  # fmt: skip
KEYS = ("created", "replaced", "removed", "unchanged")


def row(**fields: Any) -> dict[str, Any]:
    return {**ROW, **fields}


async def load(admin: httpx.AsyncClient, *rows: dict[str, Any]) -> dict[str, Any]:
    answer = await admin.post("/v1/spend", json={"rows": list(rows)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def counts(answer: dict[str, Any]) -> tuple[int, ...]:
    return tuple(answer[name] for name in KEYS)


async def test_rows_replace_by_key(admin: httpx.AsyncClient) -> None:
    assert counts(await load(admin, row(), row(date="2026-11-02"))) == (2, 0, 0, 0)
    assert counts(await load(admin, row(amount=13), row(date="2026-11-03"))) == (1, 1, 0, 0)
    listed = (await admin.get("/v1/spend")).json()["items"]
    assert [(item["date"], item["amount"]) for item in listed] == [
        ("2026-11-01", "13"), ("2026-11-02", "12.5"), ("2026-11-03", "12.5"),
    ]  # fmt: skip


async def test_loading_the_same_rows_again_changes_nothing(house: House, admin: httpx.AsyncClient) -> None:
    await load(admin, row(), row(ad="blue"))
    before = house.rows(tables.spend), house.rows(tables.audit_log)
    house.clock.now += 1_000_000
    assert counts(await load(admin, row(amount=12.5), row(ad="blue"))) == (0, 0, 0, 2)
    assert (house.rows(tables.spend), house.rows(tables.audit_log)) == before


async def test_a_null_amount_takes_the_row_away(house: House, admin: httpx.AsyncClient) -> None:
    await load(admin, row(), row(ad="blue"))
    gone = {name: value for name, value in row(amount=None).items() if name != "currency"}
    assert counts(await load(admin, gone, row(date="2026-11-09", amount=None))) == (0, 0, 1, 0)
    assert [item["ad"] for item in (await admin.get("/v1/spend")).json()["items"]] == ["blue"]


async def test_a_bad_row_costs_only_itself(admin: httpx.AsyncClient) -> None:
    answer = await load(
        admin,
        row(),
        row(currency="XYZ"),
        row(amount=-1, ad="a"),
        {"date": "2026-11-01"},
        row(ad="b", campaign=None),
    )
    assert counts(answer) == (1, 0, 0, 0)
    assert [(r["index"], r["code"], r["field"]) for r in answer["rejected"]] == [
        (1, "currency_unknown", "currency"), (2, "amount_negative", "amount"), (3, "field_missing", "amount"),
        (4, "campaign_missing", "campaign"),
    ]  # fmt: skip


async def test_when_every_row_is_bad_the_answer_is_422(house: House, admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/v1/spend", json={"rows": [row(currency="XYZ"), 5]})
    assert answer.status_code == 422
    assert [r["index"] for r in answer.json()["rejected"]] == [0, 1]
    assert house.rows(tables.spend) == []


async def test_a_key_stands_once_in_a_request(admin: httpx.AsyncClient) -> None:
    answer = await load(admin, row(), row(campaign="SPRING", amount=1))
    assert answer["rejected"] == [
        {"index": 1, "code": "row_repeated", "field": None, "message": "row 0 has the same key"}
    ]


@pytest.mark.parametrize("body", [ROW, [ROW], {"rows": [ROW]}], ids=["row", "array", "rows"])
async def test_one_row_an_array_or_rows_are_understood(admin: httpx.AsyncClient, body: Any) -> None:
    assert (await admin.post("/v1/spend", json=body)).json()["created"] == 1


async def test_money_of_unknown_names_is_kept_under_them(house: House, admin: httpx.AsyncClient) -> None:
    house.put(tables.campaigns, {"workspace": house.workspace, "slug": "Spring", "known": 0})
    await load(admin, row(), row(ad="blue"), row(campaign="nye-våren"), row(campaign=None))
    listed = (await admin.get("/v1/spend")).json()["items"]
    assert {(item["campaign"], item["ad"]) for item in listed} == {
        ("Spring", None), ("Spring", "blue"), ("nye-våren", None), (None, None),
    }  # fmt: skip
    unknown = (await admin.get("/v1/campaigns", params={"known": False})).json()["items"]
    assert [item["slug"] for item in unknown] == ["Spring", "nye-våren"]
    assert {row["campaign_id"] for row in house.rows(tables.spend)} >= {1, 0}


async def test_a_row_comes_back_as_told(admin: httpx.AsyncClient) -> None:
    told = row(ad="blue", timezone="America/New_York", impressions=10_000, clicks=0, amount="0.000001")
    await load(admin, told)
    (item,) = (await admin.get("/v1/spend")).json()["items"]
    assert item == {**told, "updated_at": "2026-11-22T00:00:00.000000Z"}


async def test_spend_is_listed_in_pages_and_filtered(admin: httpx.AsyncClient) -> None:
    rows = [
        row(date=f"2026-11-{day:02}", source=source) for day in range(1, 8) for source in ("meta", "google")
    ]
    await load(admin, *rows)
    found: list[tuple[str, str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await admin.get("/v1/spend", params={"limit": 5, "cursor": cursor})).json()
        found += [(item["date"], item["source"]) for item in page["items"]]
        cursor = page["next_cursor"]
    assert found == sorted((r["date"], r["source"]) for r in rows)
    some = {"from": "2026-11-02", "to": "2026-11-03", "source": "meta", "campaign": "SPRING", "account": "1"}
    listed = (await admin.get("/v1/spend", params=some)).json()["items"]
    assert [item["date"] for item in listed] == ["2026-11-02", "2026-11-03"]
    assert (await admin.get("/v1/spend", params={"campaign": "none"})).status_code == 404


async def test_what_was_there_and_what_came_is_in_the_audit_log(admin: httpx.AsyncClient) -> None:
    await load(admin, row())
    await load(admin, row(amount=1))
    entry = (await admin.get("/v1/audit-log")).json()["items"][0]
    assert entry["object"] == "spend"
    assert (entry["before"][0]["amount"], entry["after"][0]["amount"]) == (12_500_000, 1_000_000)


async def test_more_rows_than_a_request_may_carry_are_refused(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/v1/spend", json={"rows": [row()] * 1001})
    assert answer.status_code == 400 and answer.json()["error"]["field"] == "rows"
    assert (await admin.post("/v1/spend", json={"rows": []})).status_code == 400
