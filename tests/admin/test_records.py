"""The audit log, and what was refused or quarantined."""

import httpx
import pytest

from app import tables
from app.admin.records import WANTED
from app.workspaces import local_day
from tests.management import NOW, House


def put_rejected(house: House) -> None:
    mine = {"workspace": house.workspace, "at": NOW, "door": "api", "message": "m", "body": '{"a": 1}'}
    house.put(
        tables.rejected,
        {**mine, "id": 1, "kind": "refused", "code": "currency_unknown", "field": "currency"},
        {**mine, "id": 2, "kind": "quarantined", "code": "id_conflict", "event_id": "e2"},
        {**mine, "id": 3, "kind": "quarantined", "code": "id_conflict"},
        {**mine, "id": 4, "kind": "quarantined", "code": "id_conflict", "replayed_at": NOW},
        {**mine, "id": 5, "kind": "quarantined", "code": "poison"},
        {**mine, "id": 6, "kind": "quarantined", "code": "id_conflict", "workspace": house.other},
    )


def wanted(house: House) -> list[int]:
    return [row["id"] for row in house.rows(tables.rejected) if row["replayed_at"] == WANTED]


async def test_every_change_is_written_down_with_before_after_and_key(
    house: House, admin: httpx.AsyncClient
) -> None:
    await admin.post("/v1/channels", json={"slug": "search", "name": "Søk"})
    await admin.patch("/v1/channels/search", json={"name": "Пошук"})
    await admin.delete("/v1/channels/search")
    entries = (await admin.get("/v1/audit-log")).json()["items"]
    assert [(e["action"], e["object"]) for e in entries] == [
        ("archive", "channels/search"), ("change", "channels/search"), ("create", "channels/search"),
    ]  # fmt: skip
    created, changed = entries[2], entries[1]
    assert created["before"] is None and created["after"]["name"] == "Søk"
    assert (changed["before"]["name"], changed["after"]["name"]) == ("Søk", "Пошук")
    assert {e["key_name"] for e in entries} == {"admin"} and created["at"] == "2026-11-22T00:00:00.000000Z"


async def test_the_audit_log_comes_in_pages_newest_first(admin: httpx.AsyncClient) -> None:
    for n in range(5):
        await admin.post("/v1/channels", json={"slug": f"c{n}"})
    first = (await admin.get("/v1/audit-log", params={"limit": 3})).json()
    second = (await admin.get("/v1/audit-log", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    objects = [entry["object"] for entry in first["items"] + second["items"]]
    assert objects == [f"channels/c{n}" for n in (4, 3, 2, 1, 0)] and second["next_cursor"] is None
    only = (await admin.get("/v1/audit-log", params={"object": "channels/c2"})).json()["items"]
    assert [entry["object"] for entry in only] == ["channels/c2"]


async def test_a_change_that_fails_leaves_nothing_behind(house: House, admin: httpx.AsyncClient) -> None:
    before = house.rows(tables.audit_log)
    deal = {"model": "cpc", "rate": 1, "currency": "EUR", "ad": "none"}
    await admin.post("/v1/campaigns", json={"slug": "a", "starts_on": "2026-11-02", "ends_on": "2026-11-01"})
    assert (await admin.post("/v1/campaigns/a/pricing", json=deal)).status_code == 404
    assert house.rows(tables.campaigns) == [] and house.rows(tables.audit_log) == before


async def test_refused_and_quarantined_records_are_listed_with_their_reasons(house: House) -> None:
    put_rejected(house)
    day = local_day("Europe/Oslo", NOW)
    house.put(
        tables.rejected_counts,
        {"workspace": house.workspace, "day": day, "code": "poison", "count": 12_345},
        {"workspace": house.workspace, "day": day - 40, "code": "poison", "count": 1},
        {"workspace": house.other, "day": day, "code": "poison", "count": 1},
    )
    async with house.client(scope="read") as reader:
        listed = (await reader.get("/v1/rejected")).json()
        assert [item["id"] for item in listed["items"]] == [5, 4, 3, 2, 1]
        assert listed["counts"] == [{"date": "2026-11-22", "code": "poison", "count": 12_345}]
        first = listed["items"][-1]
        assert (first["kind"], first["code"], first["field"]) == ("refused", "currency_unknown", "currency")
        some = (
            await reader.get("/v1/rejected", params={"kind": "quarantined", "code": "id_conflict"})
        ).json()
        assert [item["id"] for item in some["items"]] == [4, 3, 2]
        assert [item["replay"] for item in some["items"]] == ["done", "", ""]


async def test_a_replay_marks_quarantined_records_once(house: House, admin: httpx.AsyncClient) -> None:
    put_rejected(house)
    answer = await admin.post("/v1/rejected/replay", json={"ids": [1, 2, 4]})
    assert answer.status_code == 202 and answer.json() == {"wanted": 1, "skipped": [1, 4]}
    assert wanted(house) == [2]
    again = await admin.post("/v1/rejected/replay", json={"ids": [2]})
    assert again.json() == {"wanted": 0, "skipped": [2]}
    assert (await admin.get("/v1/rejected")).json()["items"][-2]["replay"] == "wanted"


async def test_a_replay_by_code_takes_all_of_this_workspace(house: House, admin: httpx.AsyncClient) -> None:
    put_rejected(house)
    answer = await admin.post("/v1/rejected/replay", json={"code": "id_conflict"})
    assert answer.json() == {"wanted": 2, "skipped": []}
    assert wanted(house) == [2, 3]


async def test_a_record_of_another_workspace_cannot_be_replayed(
    house: House, admin: httpx.AsyncClient
) -> None:
    put_rejected(house)
    assert (await admin.post("/v1/rejected/replay", json={"ids": [2, 6]})).status_code == 404
    assert wanted(house) == []


@pytest.mark.parametrize("body", [{}, {"ids": [1], "code": "x"}, {"ids": []}, {"code": ""}, {"ids": ["1"]}])
async def test_a_replay_says_what_it_wants(admin: httpx.AsyncClient, body: dict[str, object]) -> None:
    refused = await admin.post("/v1/rejected/replay", json=body)
    assert refused.status_code == 400
    assert refused.json()["error"]["field"].partition(".")[0] in ("ids", "code")
