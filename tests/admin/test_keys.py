"""Keys: shown once, listed without themselves, revoked at once."""

import httpx
import pytest

from app import tables
from app.workspaces import PREFIXES, digest
from tests.management import House


@pytest.mark.parametrize("prefix, scope", PREFIXES.items())
async def test_a_key_is_shown_once_and_kept_as_a_digest(
    house: House, admin: httpx.AsyncClient, prefix: str, scope: str
) -> None:
    made = await admin.post("/v1/keys", json={"scope": scope, "name": "Нова"})
    assert made.status_code == 201
    assert set(made.json()) == {"id", "scope", "name", "key"}
    key = made.json()["key"]
    assert key.startswith(prefix)
    listed = (await admin.get("/v1/keys")).json()["items"][-1]
    assert (listed["id"], listed["scope"], listed["name"]) == (made.json()["id"], scope, "Нова")
    assert "key" not in listed and "digest" not in listed
    (row,) = [row for row in house.rows(tables.keys) if row["id"] == made.json()["id"]]
    assert row["digest"] == digest(key)
    audit = (await admin.get("/v1/audit-log")).text
    assert key not in audit and digest(key) not in audit


async def test_a_new_key_opens_at_once_and_a_revoked_one_never_again(
    house: House, admin: httpx.AsyncClient
) -> None:
    made = (await admin.post("/v1/keys", json={"scope": "admin"})).json()
    async with house.client(made["key"]) as client:
        assert (await client.get("/v1/workspace")).status_code == 200
        assert (await admin.delete(f"/v1/keys/{made['id']}")).status_code == 204
        assert (await client.get("/v1/workspace")).status_code == 401
    assert (await admin.delete(f"/v1/keys/{made['id']}")).status_code == 204
    assert (await admin.get(f"/v1/keys/{made['id']}")).json()["revoked_at"] == "2026-11-22T00:00:00.000000Z"


async def test_the_last_admin_key_cannot_be_revoked(house: House, admin: httpx.AsyncClient) -> None:
    (own,) = [key for key in (await admin.get("/v1/keys")).json()["items"] if key["scope"] == "admin"]
    refused = await admin.delete(f"/v1/keys/{own['id']}")
    assert refused.status_code == 409 and refused.json()["error"]["code"] == "last_admin_key"
    await admin.post("/v1/keys", json={"scope": "admin"})
    assert (await admin.delete(f"/v1/keys/{own['id']}")).status_code == 204


async def test_a_key_of_another_workspace_is_not_found(
    house: House, admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    theirs = (await stranger.get("/v1/keys")).json()["items"][0]["id"]
    assert (await admin.get(f"/v1/keys/{theirs}")).status_code == 404
    assert (await admin.delete(f"/v1/keys/{theirs}")).status_code == 404
    assert (await stranger.get("/v1/workspace")).status_code == 200


async def test_a_key_as_the_password_of_basic_opens_too(house: House) -> None:
    async with house.client() as client:
        del client.headers["Authorization"]
        answer = await client.get("/v1/workspace", auth=("anyone", house.keys["admin"]))
    assert answer.status_code == 200
