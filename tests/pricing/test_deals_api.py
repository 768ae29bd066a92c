"""Deals: what may be agreed, what contradicts what, and how it comes back."""

from typing import Any

import httpx
import pytest

from app import tables
from tests.management import House

PATH = "/v1/campaigns/spring/pricing"
CPC = {"model": "cpc", "rate": "0.45", "currency": "EUR"}


@pytest.fixture(autouse=True)
async def spring(admin: httpx.AsyncClient) -> None:
    for path, body in (
        ("/v1/campaigns", {"slug": "spring"}),
        ("/v1/campaigns", {"slug": "autumn"}),
        ("/v1/campaigns/spring/ads", {"slug": "blue"}),
        ("/v1/partners", {"slug": "acme"}),
        ("/v1/goals", {"slug": "signup", "kind": "lead"}),
        ("/v1/goals", {"slug": "order", "kind": "sale"}),
    ):
        assert (await admin.post(path, json=body)).status_code == 201


async def agree(admin: httpx.AsyncClient, **terms: Any) -> httpx.Response:
    return await admin.post(PATH, json={**CPC, **terms})


@pytest.mark.parametrize(
    "terms, rate",
    [
        ({"model": "cpm", "rate": "2.125", "currency": "EUR"}, 2_125_000),
        ({"model": "cpc", "rate": 0.45, "currency": "nok"}, 450_000),
        ({"model": "cpl", "rate": 0, "currency": "EUR", "goal": "Signup"}, 0),
        ({"model": "cpa", "rate": 20, "currency": "IRR", "goal": "order", "partner": "ACME"}, 20_000_000),
        ({"model": "revshare", "rate": "0.075"}, 75_000),
        ({"model": "flat", "rate": "900", "currency": "EUR", "per": "month", "side": "payout"}, 900_000_000),
        ({"model": "flat", "rate": 90, "currency": "EUR", "valid_to": "2026-12-31"}, 90_000_000),
    ],
)  # fmt: skip
async def test_a_deal_of_every_model_is_kept_exactly(
    house: House, admin: httpx.AsyncClient, terms: dict[str, Any], rate: int
) -> None:
    made = await admin.post(PATH, json=terms)
    assert made.status_code == 201, made.text
    assert [row["rate"] for row in house.rows(tables.deals)] == [rate]
    assert (await admin.get(f"{PATH}/{made.json()['id']}")).json() == made.json()
    assert (await admin.get(PATH)).json() == {"items": [made.json()], "next_cursor": None}


async def test_a_deal_comes_back_as_agreed(admin: httpx.AsyncClient) -> None:
    terms = {
        "model": "cpc", "side": "payout", "rate": "0.125", "currency": "NOK", "ad": "blue", "partner": "acme",
        "goal": None, "valid_from": "2026-11-01", "valid_to": "2026-11-30", "per": None, "every_click": True,
    }  # fmt: skip
    made = (await admin.post(PATH, json=terms)).json()
    assert made == {"id": made["id"], "campaign": "spring", "archived": False, **terms}


async def test_a_flat_deal_without_a_first_day_starts_today(admin: httpx.AsyncClient) -> None:
    made = await agree(admin, model="flat", rate=10, per="day")
    assert made.json()["valid_from"] == "2026-11-22"


@pytest.mark.parametrize(
    "terms, field, code",
    [
        ({"model": "cpm", "rate": "1.0001"}, "rate", "rate_too_fine"),
        ({"model": "revshare", "rate": "1.5"}, "rate", "fraction_invalid"),
        ({"rate": "-1"}, "rate", "amount_negative"),
        ({"rate": None}, "rate", "amount_invalid"),
        ({"currency": None}, "currency", "currency_missing"),
        ({"currency": "XYZ"}, "currency", "currency_unknown"),
        ({"goal": "order"}, "goal", "goal_pointless"),
        ({"model": "cpa", "goal": "signup"}, "goal", "goal_of_other_kind"),
        ({"model": "cpa", "goal": "typo"}, "goal", "goal_unknown"),
        ({"ad": "typo"}, "ad", "ad_unknown"),
        ({"partner": "typo"}, "partner", "partner_unknown"),
        ({"per": "day"}, "per", "per_pointless"),
        ({"model": "flat"}, "valid_to", "end_missing"),
        ({"model": "flat", "valid_to": "2026-11-01"}, "valid_to", "period_invalid"),
        ({"valid_from": "2026-11-02", "valid_to": "2026-11-01"}, "valid_to", "period_invalid"),
        ({"model": "cpx"}, "model", "field_invalid"),
    ],
)
async def test_terms_that_do_not_go_together_are_refused_by_name(
    house: House, admin: httpx.AsyncClient, terms: dict[str, Any], field: str, code: str
) -> None:
    refused = await agree(admin, **terms)
    assert refused.status_code == 400, refused.text
    assert (refused.json()["error"]["field"], refused.json()["error"]["code"]) == (field, code)
    assert house.rows(tables.deals) == []


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"model": "cpm", "rate": 5},
        {"model": "flat", "rate": 5, "per": "day"},
        {"valid_from": "2026-11-30"},
        {"valid_from": "2026-01-01", "valid_to": "2026-11-01"},
    ],
)
async def test_two_deals_for_one_thing_on_one_day_contradict_each_other(
    admin: httpx.AsyncClient, other: dict[str, Any]
) -> None:
    first = (await agree(admin, valid_from="2026-11-01", valid_to="2026-11-30")).json()
    refused = await agree(admin, **other)
    assert refused.status_code == 409, refused.text
    assert f"deal {first['id']} " in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "other",
    [
        {"valid_from": "2026-12-01"},
        {"valid_to": "2026-10-31"},
        {"side": "payout"},
        {"ad": "blue"},
        {"partner": "acme"},
        {"model": "cpl"},
        {"model": "cpa"},
    ],
)
async def test_deals_for_other_days_sides_scopes_or_things_stand_beside_each_other(
    admin: httpx.AsyncClient, other: dict[str, Any]
) -> None:
    await agree(admin, valid_from="2026-11-01", valid_to="2026-11-30")
    assert (await agree(admin, **other)).status_code == 201


async def test_a_lead_and_a_sale_are_two_things_a_share_of_the_sale_is_not(admin: httpx.AsyncClient) -> None:
    assert (await agree(admin, model="cpl")).status_code == 201
    assert (await agree(admin, model="cpa")).status_code == 201
    assert (await agree(admin, model="revshare")).status_code == 409
    assert (await agree(admin, model="revshare", goal="order")).status_code == 201


async def test_deals_of_two_campaigns_do_not_meet(admin: httpx.AsyncClient) -> None:
    made = (await agree(admin)).json()
    assert (await admin.post("/v1/campaigns/autumn/pricing", json=CPC)).status_code == 201
    assert (await admin.get(f"/v1/campaigns/autumn/pricing/{made['id']}")).status_code == 404


async def test_a_deal_is_changed_in_part_or_whole_and_checked_as_a_whole(admin: httpx.AsyncClient) -> None:
    first = (await agree(admin, valid_to="2026-11-30")).json()
    second = (await agree(admin, valid_from="2026-12-01")).json()
    at = f"{PATH}/{first['id']}"
    assert (await admin.patch(at, json={"rate": "0.5"})).json() == {**first, "rate": "0.5"}
    assert (await admin.patch(at, json={"valid_to": "2026-11-15"})).json()["valid_to"] == "2026-11-15"
    assert (await admin.patch(at, json={"valid_to": None})).status_code == 409
    assert (await admin.patch(at, json={"model": "flat", "valid_to": None})).status_code == 400
    assert (await admin.put(f"{PATH}/{second['id']}", json=CPC)).status_code == 409
    assert (await admin.put(at, json={**CPC, "valid_to": "2026-11-30"})).json() == first


async def test_an_archived_deal_makes_room_for_another(admin: httpx.AsyncClient) -> None:
    made = (await agree(admin)).json()
    assert (await admin.delete(f"{PATH}/{made['id']}")).status_code == 204
    assert (await admin.delete(f"{PATH}/{made['id']}")).status_code == 204
    assert (await agree(admin)).status_code == 201
    archived = (await admin.get(PATH, params={"archived": True})).json()["items"]
    assert archived == [{**made, "archived": True}]
    assert (await admin.patch(f"{PATH}/{made['id']}", json={"rate": 1})).status_code == 409


async def test_deals_are_in_the_audit_log(admin: httpx.AsyncClient) -> None:
    made = (await agree(admin)).json()
    await admin.patch(f"{PATH}/{made['id']}", json={"rate": "0.5"})
    (entry,) = (await admin.get("/v1/audit-log", params={"limit": 1})).json()["items"]
    assert entry["object"] == f"campaigns/spring/pricing/{made['id']}"
    assert (entry["before"]["rate"], entry["after"]["rate"]) == ("0.45", "0.5")
