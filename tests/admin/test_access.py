"""Who may use which route: the whole table. A route that is not listed here fails the build."""

import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.collect.openapi import OPERATIONS
from tests.management import House

#: Path -> methods, the scopes let in, and the path with the first workspace's ids in it.
ADMIN = ("admin",)
READ = ("read", "admin")
TABLE: dict[str, tuple[str, tuple[str, ...], str]] = {
    "/v1/workspace": ("GET PATCH", ADMIN, "/v1/workspace"),
    "/v1/keys": ("GET POST", ADMIN, "/v1/keys"),
    "/v1/keys/{id}": ("GET DELETE", ADMIN, "/v1/keys/1"),
    "/v1/audit-log": ("GET", ADMIN, "/v1/audit-log"),
    "/v1/rejected": ("GET", READ, "/v1/rejected"),
    "/v1/rejected/replay": ("POST", ADMIN, "/v1/rejected/replay"),
    "/v1/channels": ("GET POST", ADMIN, "/v1/channels"),
    "/v1/channels/{slug}": ("GET PUT PATCH DELETE", ADMIN, "/v1/channels/mine"),
    "/v1/campaigns": ("GET POST", ADMIN, "/v1/campaigns"),
    "/v1/campaigns/{slug}": ("GET PUT PATCH DELETE", ADMIN, "/v1/campaigns/mine"),
    "/v1/campaigns/{campaign}/ads": ("GET POST", ADMIN, "/v1/campaigns/mine/ads"),
    "/v1/campaigns/{campaign}/ads/{slug}": ("GET PUT PATCH DELETE", ADMIN, "/v1/campaigns/mine/ads/mine"),
    "/v1/campaigns/{campaign}/pricing": ("GET POST", ADMIN, "/v1/campaigns/mine/pricing"),
    "/v1/campaigns/{campaign}/pricing/{id}": ("GET PUT PATCH DELETE", ADMIN, "/v1/campaigns/mine/pricing/1"),
    "/v1/partners": ("GET POST", ADMIN, "/v1/partners"),
    "/v1/partners/{slug}": ("GET PUT PATCH DELETE", ADMIN, "/v1/partners/mine"),
    "/v1/goals": ("GET POST", ADMIN, "/v1/goals"),
    "/v1/goals/{slug}": ("GET PUT PATCH DELETE", ADMIN, "/v1/goals/mine"),
    "/v1/spend": ("GET POST", ADMIN, "/v1/spend"),
    "/v1/fx-rates": ("GET POST", ADMIN, "/v1/fx-rates"),
}
#: Routes for those who read numbers; their rooms test who sees what of them.
ELSEWHERE = {
    "/v1/metrics", "/v1/metrics/query", "/v1/metrics/meta", "/v1/conversions", "/v1/conversions/{id}",
    "/v1/conversions/{id}/why", "/v1/live",
}  # fmt: skip
CALLS = [(method, path) for methods, _, path in TABLE.values() for method in methods.split()]
OWNED = [
    (method, path) for method, path in CALLS if path.rsplit("/", 1)[-1] in ("mine", "1", "ads", "pricing")
]
SCOPES = ("public", "server", "read", "admin")

#: A body that each changing call takes, so that nothing but the credential can be the reason of a no.
BODIES: dict[str, Any] = {
    "/v1/keys": {"scope": "read"},
    "/v1/rejected/replay": {"code": "x"},
    "/v1/goals": {"slug": "other", "kind": "lead"},
    "/v1/goals/mine": {"kind": "lead"},
    "/v1/campaigns/mine/pricing": {"model": "cpl", "rate": 1, "currency": "EUR"},
    "/v1/campaigns/mine/pricing/1": {"model": "cpc", "rate": 2, "currency": "EUR"},
    "/v1/spend": {"rows": [{"date": "2026-11-01", "amount": 1, "currency": "EUR"}]},
    "/v1/fx-rates": {"rows": [{"date": "2026-11-01", "currency": "USD", "rate": 1}]},
}


def body_of(method: str, path: str) -> Any:
    if method in ("GET", "DELETE"):
        return None
    if method == "PATCH":
        return {}
    named = {"slug": "other"} if method == "POST" else {"name": "other"}
    return BODIES.get(path, named)


async def call(client: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    return await client.request(method, path, json=body_of(method, path))


@pytest.fixture(autouse=True)
async def mine(admin: httpx.AsyncClient) -> None:
    """One of everything in the first workspace."""
    for path, body in (
        ("/v1/channels", {"slug": "mine"}),
        ("/v1/campaigns", {"slug": "mine"}),
        ("/v1/campaigns/mine/ads", {"slug": "mine"}),
        ("/v1/campaigns/mine/pricing", {"model": "cpc", "rate": 1, "currency": "EUR"}),
        ("/v1/partners", {"slug": "mine"}),
        ("/v1/goals", {"slug": "mine", "kind": "lead"}),
    ):
        assert (await admin.post(path, json=body)).status_code == 201


def routes_of(app: FastAPI) -> dict[str, set[str]]:
    """Every route that a key opens: all but the doors, which judge keys themselves, and health."""
    found: dict[str, set[str]] = {}
    for path, operations in app.openapi()["paths"].items():
        methods = {m.upper() for m, operation in operations.items() if "operation" not in operation["tags"]}
        if methods and path not in OPERATIONS:
            found[path] = methods
    return found


def test_every_route_stands_in_the_table(house: House) -> None:
    routes = {path: methods for path, methods in routes_of(house.app).items() if path not in ELSEWHERE}
    assert routes == {path: set(methods.split()) for path, (methods, _, _) in TABLE.items()}


async def test_no_route_at_all_answers_without_a_key(house: House) -> None:
    async with house.client("ct_adm_made-up") as unknown:
        for path, methods in routes_of(house.app).items():
            for method in methods:
                answer = await unknown.request(method, re.sub(r"\{\w+\}", "1", path))
                assert answer.status_code == 401, (method, path, answer.text)


@pytest.mark.parametrize("method, path", CALLS)
async def test_without_a_key_nothing_is_told(house: House, method: str, path: str) -> None:
    async with house.client("ct_adm_made-up") as unknown:
        assert (await call(unknown, method, path)).status_code == 401
        del unknown.headers["Authorization"]
        answer = await call(unknown, method, path)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "key_missing"


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_key_may_what_its_scope_may(house: House, scope: str) -> None:
    async with house.client(scope=scope) as client:
        for methods, scopes, path in TABLE.values():
            for method in methods.split():
                answer = await call(client, method, path)
                assert (answer.status_code != 403) == (scope in scopes), (method, path, answer.text)
                assert answer.status_code < 500


@pytest.mark.parametrize("method, path", OWNED)
async def test_what_belongs_to_another_workspace_does_not_exist(
    stranger: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await call(stranger, method, path)
    assert answer.status_code == 404, answer.text
    assert answer.json()["error"]["code"].endswith("_not_found")


async def test_lists_show_nothing_of_another_workspace(
    admin: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    await admin.post("/v1/spend", json=BODIES["/v1/spend"])
    await admin.post("/v1/fx-rates", json=BODIES["/v1/fx-rates"])
    for path in ("channels", "campaigns", "partners", "goals", "spend", "fx-rates", "audit-log", "rejected"):
        assert (await stranger.get(f"/v1/{path}")).json()["items"] == []
    keys = (await stranger.get("/v1/keys")).json()["items"]
    assert [key["name"] for key in keys] == ["theirs"]
    assert (await stranger.get("/v1/workspace")).json()["slug"] == "second"


async def test_the_same_slugs_may_stand_in_two_workspaces(stranger: httpx.AsyncClient) -> None:
    assert (await stranger.post("/v1/campaigns", json={"slug": "mine", "name": "theirs"})).status_code == 201
    assert (await stranger.get("/v1/campaigns/mine")).json()["name"] == "theirs"
