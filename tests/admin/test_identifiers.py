"""Identifiers that join nobody: listed with reason and value, blocked, and given back."""

from typing import Any

import httpx
import pytest

from app import db, tables
from app.campaigns.paging import cursor_of
from app.collect.hashing import emails
from app.pipeline.run import Pipeline
from tests import house as pipelines
from tests.house import NOON, event
from tests.management import House

NAME = "Nguyễn Văn An"
SHARED = emails("shop@shop.example")


@pytest.fixture
def told(house: House) -> pipelines.House:
    """The same database, with a pipeline and a leader to tell events to."""
    return pipelines.House(house.engine, Pipeline(house.engine, lambda: NOON))


@pytest.fixture
def busy(told: pipelines.House) -> pipelines.House:
    """A shared address, a shared device, and junk."""
    for n in range(22):
        told.send(event("lead", NOON + n, id=f"l{n}", visitor_id=f"v{n}", email=SHARED))
    for n, who in enumerate((NAME, "bob")):
        told.send(event("visit", NOON - n, id=f"t{n}", visitor_id="tablet", user_id=who))
    told.send(event("visit", NOON, id="n1", visitor_id="v1", user_id=" NULL "))
    told.send(event("visit", NOON - 5, id="n2", user_id="null", email={"meta": "0" * 64}))
    told.settle()
    return told


async def listed(client: httpx.AsyncClient, query: str = "") -> list[dict[str, Any]]:
    """All rows of the list, read one to a page."""
    rows, cursor = [], ""
    while cursor is not None:
        answer = await client.get(f"/v1/identifiers/unjoined?limit=1&cursor={cursor}&{query}")
        assert answer.status_code == 200, answer.text
        rows += answer.json()["items"]
        cursor = answer.json()["next_cursor"]
    return rows


def told_of(row: dict[str, Any]) -> tuple[object, ...]:
    return tuple(row[name] for name in ("reason", "kind", "value", "linked", "visitors", "users", "events"))


async def test_what_joins_nobody_is_listed_with_the_reason_and_the_value(
    busy: pipelines.House, admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    rows = await listed(admin)
    assert [told_of(row) for row in rows] == [
        ("shared", "email", SHARED["meta"], 22, 22, 0, None),
        ("shared_device", "visitor", "tablet", 2, 0, 2, None),
        ("junk", "user", "null", 0, 0, 0, 2),
        ("junk", "email", "(one character repeated)", 0, 0, 0, 1),
    ]
    assert rows == (await admin.get("/v1/identifiers/unjoined")).json()["items"]
    assert await listed(stranger) == []


async def test_it_says_since_when(busy: pipelines.House, admin: httpx.AsyncClient) -> None:
    seen = {row["reason"]: row["first_seen"] for row in await listed(admin, "kind=user")}
    seen |= {row["reason"]: row["first_seen"] for row in await listed(admin, "kind=visitor")}
    assert seen == {"junk": "2026-09-21T14:13:19.999995Z", "shared_device": "2026-09-21T14:13:19.999999Z"}


async def test_a_forged_cursor_is_an_empty_page_at_most(admin: httpx.AsyncClient) -> None:
    for key in ((0, 2**63 - 1, -(2**63) + 1, ""), (1, 2**63 - 1, 0, "x"), (-7, -1, 0, "")):
        answer = await admin.get(f"/v1/identifiers/unjoined?cursor={cursor_of(key)}")
        assert (answer.status_code, answer.json()) == (200, {"items": [], "next_cursor": None})


@pytest.mark.parametrize("reason, count", [("shared", 1), ("shared_device", 1), ("blocked", 0), ("junk", 2)])
async def test_one_reason_can_be_asked_for(
    busy: pipelines.House, admin: httpx.AsyncClient, reason: str, count: int
) -> None:
    assert [row["reason"] for row in await listed(admin, f"reason={reason}")] == [reason] * count


async def test_a_value_that_no_event_has_any_more_is_not_shown(
    busy: pipelines.House, admin: httpx.AsyncClient
) -> None:
    with db.begin(busy.engine) as connection:
        connection.execute(tables.events.delete())
    values = {row["kind"]: row["value"] for row in await listed(admin, "reason=shared_device")}
    assert values == {"visitor": None}


async def test_a_blocked_identifier_is_listed_and_lifted_as_if_it_had_never_been(
    busy: pipelines.House, admin: httpx.AsyncClient
) -> None:
    before, derived = await listed(admin), busy.derived()
    made = await admin.post("/v1/identifiers/blocks", json={"kind": "user", "value": NAME, "note": "Kasse 1"})
    assert made.status_code == 201
    busy.settle()
    rows = [told_of(row) for row in await listed(admin, "reason=blocked")]
    assert rows == [("blocked", "user", NAME, 1, 1, 0, None)]
    assert await listed(admin, "reason=shared_device") == []  # Bob is its only user now
    one = f"/v1/identifiers/blocks/{made.json()['id']}"
    assert (await admin.get(one)).json() == made.json()
    assert [(await admin.delete(one)).status_code for _ in range(2)] == [204, 204]
    busy.settle()
    assert (await listed(admin), busy.derived()) == (before, derived)
    assert (await admin.get("/v1/identifiers/blocks")).json()["items"] == []
    archived = (await admin.get("/v1/identifiers/blocks?archived=true")).json()["items"]
    assert [block["value"] for block in archived] == [NAME]


async def test_a_lifted_block_can_be_made_again_and_a_standing_one_cannot(admin: httpx.AsyncClient) -> None:
    wanted = {"kind": "visitor", "value": "kiosk"}
    first = (await admin.post("/v1/identifiers/blocks", json=wanted)).json()
    again = await admin.post("/v1/identifiers/blocks", json=wanted)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "block_exists")
    await admin.delete(f"/v1/identifiers/blocks/{first['id']}")
    second = await admin.post("/v1/identifiers/blocks", json=wanted)
    assert (second.status_code, second.json()["id"]) == (201, first["id"])


@pytest.mark.parametrize("value", ["Shop@Shop.Example ", SHARED["meta"], SHARED["meta"].upper()])
async def test_an_address_and_its_hash_are_one_identifier_and_the_address_is_kept_nowhere(
    house: House, admin: httpx.AsyncClient, value: str
) -> None:
    made = await admin.post("/v1/identifiers/blocks", json={"kind": "email", "value": value})
    assert made.json()["value"] == SHARED["meta"]
    rows = [row for table in tables.metadata.sorted_tables for row in house.rows(table)]
    assert "shop.example" not in repr(rows).lower()


async def test_the_audit_log_names_a_block_by_its_id_and_not_its_value(admin: httpx.AsyncClient) -> None:
    id_ = (await admin.post("/v1/identifiers/blocks", json={"kind": "user", "value": NAME})).json()["id"]
    await admin.delete(f"/v1/identifiers/blocks/{id_}")
    log = await admin.get(f"/v1/audit-log?object=identifiers/blocks/{id_}")
    assert [entry["action"] for entry in log.json()["items"]] == ["archive", "create"]
    assert NAME not in log.text


@pytest.mark.parametrize(
    "body, code",
    [
        ({"kind": "user", "value": "null"}, "identifier_is_junk"),
        ({"kind": "email", "value": "nobody"}, "email_invalid"),
        ({"kind": "phone", "value": "12"}, "phone_invalid"),
        ({"kind": "user", "value": "a\x00b"}, "not_text"),
        ({"kind": "user", "value": "x" * 201}, "too_long"),
        ({"kind": "order", "value": "o1"}, "field_invalid"),
        ({"kind": "user"}, "field_missing"),
    ],
)
async def test_what_is_no_identifier_is_refused_by_name(
    house: House, admin: httpx.AsyncClient, body: dict[str, str], code: str
) -> None:
    answer = await admin.post("/v1/identifiers/blocks", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert house.rows(tables.identifier_blocks) == [] and house.rows(tables.changes) == []


async def test_a_block_of_another_workspace_is_not_there(
    admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    id_ = (await admin.post("/v1/identifiers/blocks", json={"kind": "user", "value": "ann"})).json()["id"]
    one = f"/v1/identifiers/blocks/{id_}"
    for answer in (await stranger.get(one), await stranger.delete(one)):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "block_not_found")
    assert (await stranger.get("/v1/identifiers/blocks")).json()["items"] == []
    assert (
        await stranger.post("/v1/identifiers/blocks", json={"kind": "user", "value": "ann"})
    ).status_code == 201
