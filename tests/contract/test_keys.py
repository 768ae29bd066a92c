"""API.md "Keys and running": which key opens which door, and that no workspace sees another."""

import base64
from typing import Any

import httpx
import pytest

from tests.contract.conftest import Service, create, error

EVENT = {"kind": "pageview"}

#: Door -> the scope it is for; admin opens everything.
DOORS: dict[tuple[str, str], str] = {
    ("POST", "/v1/events"): "server",
    ("GET", "/v1/metrics/meta"): "read",
    ("GET", "/v1/conversions"): "read",
    ("GET", "/v1/rejected"): "read",
    ("GET", "/v1/workspace"): "admin",
    ("GET", "/v1/keys"): "admin",
    ("GET", "/v1/campaigns"): "admin",
    ("GET", "/v1/spend"): "admin",
}


@pytest.mark.parametrize("scope", ["public", "server", "read", "admin"])
@pytest.mark.parametrize("method, path", DOORS)
def test_a_key_of_the_wrong_scope_is_told_the_scope_needed(
    service: Service, method: str, path: str, scope: str
) -> None:
    answer = service.ask(method, path, scope, json=EVENT if method == "POST" else None)
    needed = DOORS[method, path]
    if scope in (needed, "admin"):
        assert answer.status_code in (200, 202)
    else:
        assert error(answer)[:2] == (403, "scope_missing")
        assert f"scope {needed}" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer ct_adm_nobody"},
        {"Authorization": "Bearer \xff\xfe"},
        {"Authorization": "Basic ????"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()},
        {"Authorization": "Bearer " + "x" * 10_000},
    ],
    ids=range(8),
)
@pytest.mark.parametrize("method, path", DOORS)
def test_no_key_or_an_unknown_one_is_401(
    service: Service, method: str, path: str, headers: dict[str, str]
) -> None:
    sent = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = service.ask(method, path, json=EVENT if method == "POST" else None, headers=sent)
    assert error(answer)[0] == 401


def test_a_key_is_not_looked_for_where_addresses_are_logged(service: Service) -> None:
    for path, scope in (("/v1/events", "server"), ("/v1/campaigns", "admin"), ("/v1/metrics/meta", "read")):
        answer = service.ask(
            "POST" if scope == "server" else "GET", path, params={"key": service.keys[scope]}
        )
        assert answer.status_code == 401


@pytest.mark.parametrize("user, password", [("anyone", True), ("", True), (True, "")])
def test_bi_tools_send_their_key_as_the_password_of_basic(service: Service, user: Any, password: Any) -> None:
    key = service.keys["read"]
    auth = (key if user is True else user, key if password is True else password)
    assert service.ask("GET", "/v1/metrics/meta", auth=auth).status_code == 200


@pytest.mark.parametrize("scope", ["server", "read"])
def test_a_page_may_not_carry_a_stronger_key(service: Service, scope: str) -> None:
    answer = service.collect(EVENT, key=service.keys[scope])
    assert error(answer) == (403, "scope_missing", "k")
    shown = service.ask("GET", "/p.gif", params={"k": service.keys[scope], "e": "pageview"})
    assert shown.headers["X-Clicktrail"] == "rejected; reason=scope_missing"


def test_a_key_is_shown_once_works_at_once_and_not_after_it_is_revoked(service: Service) -> None:
    made = create(service, "/v1/keys", scope="server", name="the shop")
    assert set(made) == {"id", "scope", "name", "key"} and made["key"].startswith("ct_srv_")
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert service.ask("POST", "/v1/events", headers=headers, json=EVENT).status_code == 202
    assert made["key"] not in service.ask("GET", "/v1/keys?limit=1000", "admin").text
    assert service.ask("DELETE", f"/v1/keys/{made['id']}", "admin").status_code == 204
    assert error(service.ask("POST", "/v1/events", headers=headers, json=EVENT))[:2] == (401, "key_unknown")


def test_no_key_stands_in_any_file_of_the_service(service: Service) -> None:
    service.caught_up()
    files = [path for path in service.clicktrail.data.rglob("*") if path.is_file()]
    assert files
    kept = [path.name for path in files for key in service.keys.values() if key.encode() in path.read_bytes()]
    assert kept == []
    assert not any(key in service.clicktrail.log() for key in service.keys.values())


def foreign(service: Service, method: str, path: str, scope: str = "admin", **options: Any) -> httpx.Response:
    """A request of the other workspace."""
    headers = {"Authorization": f"Bearer {service.other[scope]}"}
    return service.ask(method, path, headers=headers, **options)


def test_nothing_of_a_workspace_is_visible_from_another(service: Service) -> None:
    def report() -> Any:
        query = {"metrics": ["pageviews", "sales", "revenue"], "date_range": "all"}
        return foreign(service, "POST", "/v1/metrics/query", "read", json=query).json()["totals"]

    service.settled()
    before = report()
    service.tell({"kind": "sale", "order_id": "mine-1", "value": "5", "currency": "EUR"})
    sale = service.conversion("mine-1")
    receipt = service.tell(EVENT).json()["receipt"]
    deal = create(service, "/v1/campaigns/resting/pricing", model="cpl", rate="1", currency="EUR")
    with service.client("admin") as client:
        key = client.get("/v1/keys").json()["items"][0]["id"]
    for method, path in (
        ("GET", "/v1/campaigns/spring"),
        ("PATCH", "/v1/campaigns/spring"),
        ("DELETE", "/v1/campaigns/spring"),
        ("GET", "/v1/campaigns/spring/ads"),
        ("GET", "/v1/campaigns/spring/ads/banner"),
        ("GET", "/v1/campaigns/spring/pricing"),
        ("GET", f"/v1/campaigns/resting/pricing/{deal['id']}"),
        ("DELETE", f"/v1/campaigns/resting/pricing/{deal['id']}"),
        ("GET", "/v1/partners/anna"),
        ("GET", "/v1/goals/order"),
        ("GET", f"/v1/keys/{key}"),
        ("DELETE", f"/v1/keys/{key}"),
        ("GET", "/v1/conversions/mine-1"),
        ("GET", f"/v1/conversions/{sale['id']}"),
        ("GET", f"/v1/conversions/{sale['id']}/why"),
        ("GET", f"/v1/receipts/{receipt}"),
    ):
        answer = foreign(service, method, path, json={"name": "stolen"} if method == "PATCH" else None)
        assert answer.status_code == 404, (method, path, answer.text)
    for path in (
        "/v1/campaigns",
        "/v1/partners",
        "/v1/goals",
        "/v1/conversions",
        "/v1/rejected",
        "/v1/audit-log",
    ):
        limit = {"limit": 1000}
        mine = service.ask("GET", path, "admin", params=limit).json()["items"]
        theirs = foreign(service, "GET", path, params=limit).json()["items"]
        assert not [item for item in theirs if item in mine]
    assert report() == before


def test_the_same_ids_in_two_workspaces_are_two_things(service: Service) -> None:
    event = {"id": "shared-1", "kind": "sale", "order_id": "shared-1", "value": "5", "currency": "EUR"}
    assert service.tell(event).json()["outcomes"] == ["stored"]
    answer = foreign(service, "POST", "/v1/events?wait=stored", "server", json={**event, "value": "7"})
    assert answer.json()["outcomes"] == ["stored"]
    assert service.conversion("shared-1")["value"] == 5
