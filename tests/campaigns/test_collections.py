"""Channels, campaigns, ads, partners and goals: one behaviour for all five."""

import struct

import httpx
import pytest

from app import tables
from tests.management import House

THINGS = [
    ("/v1/channels", {}),
    ("/v1/campaigns", {}),
    ("/v1/campaigns/home/ads", {}),
    ("/v1/partners", {}),
    ("/v1/goals", {"kind": "sale"}),
]
SLUGS = ["spring", "Våren-2026", "весна", "mùa_xuân", "بهار", "İlkbahar.1"]


@pytest.fixture(autouse=True)
async def home(admin: httpx.AsyncClient) -> None:
    assert (await admin.post("/v1/campaigns", json={"slug": "home"})).status_code == 201


def settings_announced(house: House) -> list[tuple[int, ...]]:
    return [
        struct.unpack("<3q", row["body"]) for row in house.rows(tables.changes) if row["kind"] == "setting"
    ]


@pytest.mark.parametrize("path, fields", THINGS)
@pytest.mark.parametrize("slug", SLUGS)
async def test_a_thing_is_created_read_changed_and_archived(
    admin: httpx.AsyncClient, path: str, fields: dict[str, str], slug: str
) -> None:
    made = await admin.post(path, json={"slug": slug, "name": "Første", **fields})
    assert made.status_code == 201, made.text
    assert (made.json()["slug"], made.json()["name"], made.json()["known"]) == (slug, "Første", True)
    assert (await admin.get(f"{path}/{slug}")).json() == made.json()
    changed = await admin.patch(f"{path}/{slug}", json={"name": "Другий"})
    assert changed.json() == {**made.json(), "name": "Другий"}
    assert (await admin.delete(f"{path}/{slug}")).status_code == 204
    assert (await admin.get(f"{path}/{slug}")).json()["archived"] is True
    assert slug not in [item["slug"] for item in (await admin.get(path)).json()["items"]]
    archived = await admin.get(path, params={"archived": True})
    assert [item["slug"] for item in archived.json()["items"]] == [slug]


@pytest.mark.parametrize("path, fields", THINGS)
async def test_a_slug_exists_once_whatever_its_case_and_unicode_form(
    admin: httpx.AsyncClient, path: str, fields: dict[str, str]
) -> None:
    await admin.post(path, json={"slug": "Café", **fields})
    for same in ("café", "CAFÉ", "Cafe\u0301"):
        again = await admin.post(path, json={"slug": same, **fields})
        assert again.status_code == 409
        assert again.json()["error"]["code"].endswith("_exists")
        assert (await admin.get(f"{path}/{same}")).json()["slug"] == "Café"


@pytest.mark.parametrize("path, fields", THINGS)
async def test_what_nobody_created_is_not_found(
    admin: httpx.AsyncClient, path: str, fields: dict[str, str]
) -> None:
    answers = [
        await admin.get(f"{path}/none"),
        await admin.patch(f"{path}/none", json={"name": "x"}),
        await admin.put(f"{path}/none", json={"name": "x", **fields}),
        await admin.delete(f"{path}/none"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert all(answer.json()["error"]["code"].endswith("_not_found") for answer in answers)


async def test_an_archived_slug_is_taken_until_it_is_brought_back(admin: httpx.AsyncClient) -> None:
    await admin.post("/v1/partners", json={"slug": "acme"})
    await admin.delete("/v1/partners/acme")
    refused = await admin.post("/v1/partners", json={"slug": "acme"})
    assert refused.status_code == 409 and "archived" in refused.json()["error"]["message"]
    assert (await admin.patch("/v1/partners/acme", json={"archived": False})).json()["archived"] is False


async def test_a_slug_seen_in_events_is_adopted_with_its_id(house: House, admin: httpx.AsyncClient) -> None:
    house.put(tables.campaigns, {"id": 77, "workspace": house.workspace, "slug": "spring", "known": 0})
    assert (await admin.get("/v1/campaigns/spring")).json()["known"] is False
    unknown = await admin.get("/v1/campaigns", params={"known": False})
    assert [item["slug"] for item in unknown.json()["items"]] == ["spring"]
    made = await admin.post("/v1/campaigns", json={"slug": "Spring", "name": "Vår"})
    assert made.status_code == 201 and made.json()["known"] is True
    (row,) = [row for row in house.rows(tables.campaigns) if row["name"] == "Vår"]
    assert (row["id"], row["slug"], row["known"]) == (77, "Spring", 1)


async def test_put_sets_everything_patch_only_what_it_names(admin: httpx.AsyncClient) -> None:
    fields = {
        "name": "Spring",
        "audience": "retargeting",
        "landing_url": "https://shop.example/?a={click_id}",
    }
    await admin.post("/v1/campaigns", json={"slug": "spring", **fields, "cost_source": "deals"})
    patched = (await admin.patch("/v1/campaigns/spring", json={"audience": "prospecting"})).json()
    assert (patched["audience"], patched["name"]) == ("prospecting", "Spring")
    put = (await admin.put("/v1/campaigns/spring", json={"name": "Summer"})).json()
    assert (put["name"], put["audience"], put["landing_url"]) == ("Summer", "", "")
    assert put["cost_source"] == "deals"  # dated, so only ever changed by name


async def test_a_slug_cannot_be_changed(admin: httpx.AsyncClient) -> None:
    refused = await admin.patch("/v1/campaigns/home", json={"slug": "away"})
    assert refused.status_code == 400 and refused.json()["error"]["field"] == "slug"
    assert (await admin.put("/v1/campaigns/home", json={"slug": "HOME"})).json()["slug"] == "home"


async def test_every_field_of_a_campaign_comes_back(admin: httpx.AsyncClient) -> None:
    fields = {
        "slug": "spring", "name": "Kampanje", "channel": "search", "audience": "prospecting",
        "status": "paused", "landing_url": "https://shop.example/l", "fallback_url": "http://shop.example/f",
        "allowed_hosts": ["shop.example"], "match": [{"source": "google", "medium": "cpc"}],
        "pass_parameters": True, "cost_source": "spend", "margin_rate": "0.25", "starts_on": "2026-11-01",
        "ends_on": "2026-12-31", "windows": {"click": 7, "impression": 0.5},
    }  # fmt: skip
    made = (await admin.post("/v1/campaigns", json=fields)).json()
    assert {name: made[name] for name in fields} == fields
    assert made["cost_sources"] == [{"cost_source": "spend", "cost_source_from": None}]
    channels = (await admin.get("/v1/channels")).json()["items"]
    assert [(item["slug"], item["known"]) for item in channels] == [("search", False)]


async def test_a_campaigns_cost_source_is_dated(house: House, admin: httpx.AsyncClient) -> None:
    path = "/v1/campaigns/home"
    await admin.patch(path, json={"cost_source": "deals", "cost_source_from": "2026-12-01"})
    later = (await admin.get(path)).json()
    assert later["cost_source"] == "spend_else_deals"  # today is 22 November
    today = (await admin.patch(path, json={"cost_source": "spend"})).json()
    assert today["cost_source"] == "spend"
    assert today["cost_sources"] == [
        {"cost_source": "spend_else_deals", "cost_source_from": None},
        {"cost_source": "spend", "cost_source_from": "2026-11-22"},
        {"cost_source": "deals", "cost_source_from": "2026-12-01"},
    ]
    alone = await admin.patch(path, json={"cost_source_from": "2026-12-01"})
    assert alone.status_code == 400 and alone.json()["error"]["field"] == "cost_source"


async def test_a_campaign_cannot_end_before_it_starts(admin: httpx.AsyncClient) -> None:
    await admin.patch("/v1/campaigns/home", json={"starts_on": "2026-11-10"})
    refused = await admin.patch("/v1/campaigns/home", json={"ends_on": "2026-11-09"})
    assert refused.status_code == 400 and refused.json()["error"]["field"] == "ends_on"


@pytest.mark.parametrize("slug", ["sale", "Lead", "CLICK", "refund"])
async def test_a_goal_cannot_be_named_like_a_kind(admin: httpx.AsyncClient, slug: str) -> None:
    refused = await admin.post("/v1/goals", json={"slug": slug, "kind": "sale"})
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "goal_reserved"


async def test_the_goals_that_are_there_unasked_can_be_changed(
    house: House, admin: httpx.AsyncClient
) -> None:
    house.put(tables.goals, {"workspace": house.workspace, "slug": "sale", "kind": "sale", "primary": 1})
    changed = await admin.patch("/v1/goals/sale", json={"primary": False})
    assert changed.status_code == 200 and changed.json()["primary"] is False


async def test_a_goal_counts_as_its_kind_does_unless_told(admin: httpx.AsyncClient) -> None:
    lead = await admin.post("/v1/goals", json={"slug": "signup", "kind": "lead"})
    sale = await admin.post("/v1/goals", json={"slug": "order", "kind": "sale"})
    assert (lead.json()["count"], sale.json()["count"]) == ("once_per_person", "every")
    fields = {
        "slug": "demo", "kind": "lead", "count": "once_per_click", "primary": True, "value": "12.5",
        "currency": "NOK", "probability": "0.2", "windows": {"visit": 1.0},
    }  # fmt: skip
    made = (await admin.post("/v1/goals", json=fields)).json()
    assert {name: made[name] for name in fields} == fields


async def test_a_goals_value_needs_a_currency(admin: httpx.AsyncClient) -> None:
    refused = await admin.post("/v1/goals", json={"slug": "signup", "kind": "lead", "value": 5})
    assert refused.status_code == 400 and refused.json()["error"]["field"] == "currency"


async def test_lists_come_in_pages_that_neither_repeat_nor_miss(admin: httpx.AsyncClient) -> None:
    wanted = [f"p{n:02}" for n in range(25)]
    for slug in wanted:
        await admin.post("/v1/partners", json={"slug": slug})
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await admin.get("/v1/partners", params={"limit": 10, "cursor": cursor})).json()
        found += [item["slug"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert found == wanted


async def test_ads_of_two_campaigns_may_share_a_slug(admin: httpx.AsyncClient) -> None:
    await admin.post("/v1/campaigns", json={"slug": "away"})
    ad = {"slug": "a", "ad_group": "g", "creative": "blue", "segment": {"gender": "f"}}
    assert (await admin.post("/v1/campaigns/home/ads", json=ad)).json()["campaign"] == "home"
    assert (await admin.post("/v1/campaigns/AWAY/ads", json=ad)).json()["campaign"] == "away"
    await admin.patch("/v1/campaigns/away/ads/a", json={"creative": "red"})
    assert (await admin.get("/v1/campaigns/home/ads/a")).json()["creative"] == "blue"
    assert (await admin.post("/v1/campaigns/nowhere/ads", json=ad)).status_code == 404


async def test_a_change_reaches_the_doors_at_once(house: House, admin: httpx.AsyncClient) -> None:
    await admin.patch("/v1/campaigns/home", json={"landing_url": "https://shop.example/"})
    doors = house.service.snapshots.current.workspaces[house.workspace].campaigns
    assert doors["home"].landing_url == "https://shop.example/"
    await admin.delete("/v1/campaigns/home")
    assert "home" not in house.service.snapshots.current.workspaces[house.workspace].campaigns


async def test_changing_nothing_is_no_change(house: House, admin: httpx.AsyncClient) -> None:
    version = house.rows(tables.config)
    entries = len(house.rows(tables.audit_log))
    assert (await admin.patch("/v1/campaigns/home", json={"name": ""})).status_code == 200
    assert len(house.rows(tables.audit_log)) == entries
    assert house.rows(tables.config) == version


async def test_windows_and_counting_are_announced_to_the_leader(
    house: House, admin: httpx.AsyncClient
) -> None:
    await admin.post("/v1/goals", json={"slug": "signup", "kind": "lead"})
    await admin.patch("/v1/goals/signup", json={"name": "Sign-up", "primary": True})
    assert settings_announced(house) == []
    await admin.patch("/v1/campaigns/home", json={"windows": {"click": 7}})
    await admin.patch("/v1/goals/signup", json={"count": "every"})
    assert settings_announced(house) == [(2, 0, 2**63 - 1), (4, 0, 2**63 - 1)]


async def test_adopting_a_goal_folds_its_conversions_again(house: House, admin: httpx.AsyncClient) -> None:
    house.put(
        tables.goals,
        {"workspace": house.workspace, "slug": "signup", "kind": "lead", "known": 0, "count": "every"},
    )
    await admin.post("/v1/goals", json={"slug": "signup", "kind": "sale"})
    assert settings_announced(house) == [(4, 0, 2**63 - 1)]


async def test_a_row_that_a_pipeline_made_in_other_case_is_found(
    house: House, admin: httpx.AsyncClient
) -> None:
    house.put(tables.channels, {"workspace": house.workspace, "slug": "ΕΜΑΙΛ", "known": 0})
    assert (await admin.get("/v1/channels/εμαιλ")).json()["slug"] == "ΕΜΑΙΛ"
