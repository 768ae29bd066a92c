"""API.md's browser beacon: CORS by the letter, simple bodies, and what a page may not say."""

import gzip
import json
import time
from typing import Any

import httpx
import pytest

from app import tables
from app.model import KINDS
from tests.contract.conftest import Service, error

PAGE = {"kind": "pageview", "url": "https://shop.example/"}
LISTED = "https://shop.example"


@pytest.fixture(scope="module", autouse=True)
def listed(service: Service) -> None:
    """The second workspace has a list of origins, the first has none."""
    answer = httpx.patch(
        f"{service.clicktrail.url}/v1/workspace",
        headers={"Authorization": f"Bearer {service.other['admin']}"},
        json={"origins": [LISTED, "http://localhost:3000"]},
    )
    assert answer.status_code == 200


def cors(answer: httpx.Response) -> tuple[str | None, str | None]:
    """(Access-Control-Allow-Origin, ...-Credentials)."""
    headers = answer.headers
    return headers.get("Access-Control-Allow-Origin"), headers.get("Access-Control-Allow-Credentials")


HOSTILE_ORIGINS = [
    "https://shop.example.evil.example", "https://evilshop.example", "http://shop.example", "null", "https://",
    "https://shop.example:8443", "https://shop.example@evil.example", "*", "shop.example",
    "https://sub.shop.example", "file://", "https://shop.example https://evil.example",
]  # fmt: skip


@pytest.mark.parametrize("origin", [LISTED, *HOSTILE_ORIGINS])
def test_without_a_list_every_page_may_post_but_none_with_credentials(service: Service, origin: str) -> None:
    answer = service.collect(PAGE, headers={"Origin": origin})
    assert (answer.status_code, cors(answer)) == (202, ("*", None))
    assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize("origin", [LISTED, "HTTPS://SHOP.example", "http://localhost:3000"])
def test_a_listed_origin_is_echoed_with_credentials(service: Service, origin: str) -> None:
    answer = service.collect(PAGE, key=service.other["public"], headers={"Origin": origin})
    assert (answer.status_code, cors(answer)) == (202, (origin, "true"))
    assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize("origin", HOSTILE_ORIGINS)
def test_where_there_is_a_list_no_other_origin_is_accepted(service: Service, origin: str) -> None:
    answer = service.collect(PAGE, key=service.other["public"], headers={"Origin": origin})
    assert error(answer)[:2] == (403, "origin_not_allowed")
    assert cors(answer)[0] in (None, "*") and cors(answer)[1] is None
    assert answer.headers["Vary"] == "Origin"


def test_the_services_own_site_needs_no_list(service: Service) -> None:
    for keys in (service.keys, service.other):
        answer = service.collect(PAGE, key=keys["public"], headers={"Origin": service.clicktrail.url})
        assert (answer.status_code, cors(answer)) == (202, (service.clicktrail.url, "true"))


def test_a_request_without_an_origin_is_no_browsers_and_is_accepted(service: Service) -> None:
    answer = service.collect(PAGE, key=service.other["public"])
    assert (answer.status_code, cors(answer), answer.headers["Vary"]) == (202, (None, None), "Origin")


@pytest.mark.parametrize("origin", [LISTED, *HOSTILE_ORIGINS])
def test_a_preflight_carries_no_key_so_any_workspaces_list_counts(service: Service, origin: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST",
             "Access-Control-Request-Headers": "content-type"}  # fmt: skip
    answer = service.ask("OPTIONS", "/collect", headers=asked)
    assert answer.status_code == 204
    assert cors(answer) == ((LISTED, "true") if origin == LISTED else ("*", None))
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "content-type" in answer.headers["Access-Control-Allow-Headers"].lower()
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert answer.headers["Vary"] == "Origin"


def test_refusals_can_be_read_by_the_page_that_caused_them(service: Service) -> None:
    for body in (b"{", b'{"k": "ct_pub_nobody", "events": []}', b"x" * 70_000):
        answer = service.ask("POST", "/collect", content=body, headers={"Origin": LISTED})
        assert 400 <= answer.status_code < 500
        assert (cors(answer), answer.headers["Vary"]) == (("*", None), "Origin")


def test_no_other_route_lets_foreign_pages_read_it(service: Service) -> None:
    for path, scope in (("/v1/workspace", "admin"), ("/v1/conversions", "read"), ("/healthz", "")):
        for method in ("GET", "OPTIONS"):
            answer = service.ask(method, path, scope, headers={"Origin": LISTED})
            assert cors(answer) == (None, None)


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "text/plain;charset=UTF-8", "application/json", "application/x-www-form-urlencoded",
     "multipart/form-data; boundary=x", "application/reports+json", "nonsense", ""],
)  # fmt: skip
def test_a_body_is_json_whatever_its_content_type_says(service: Service, content_type: str) -> None:
    answer = service.collect(PAGE, headers={"Content-Type": content_type} if content_type else {})
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "rejected": []})


def test_gzip_is_taken_by_header_and_by_its_first_bytes(service: Service) -> None:
    body = gzip.compress(json.dumps({"k": service.keys["public"], "events": [PAGE]}).encode())
    for headers in ({"Content-Encoding": "gzip"}, {"Content-Type": "text/plain"}, {}):
        answer = service.ask("POST", "/collect", content=body, headers=headers)
        assert answer.status_code == 202


def test_at_most_50_events_and_64_kib(service: Service) -> None:
    assert service.collect(*[PAGE] * 50).json()["accepted"] == 50
    assert error(service.collect(*[PAGE] * 51)) == (413, "too_many_events", "events")
    body = json.dumps({"k": service.keys["public"], "events": [PAGE]})
    limit = 64 * 1024
    for size, status in ((limit - 1, 202), (limit, 202), (limit + 1, 413)):
        answer = service.ask("POST", "/collect", content=body + " " * (size - len(body)))
        assert answer.status_code == status


def test_each_event_is_judged_by_itself(service: Service) -> None:
    answer = service.collect(PAGE, {"kind": "nonsense", "id": "e2"}, 7, PAGE)
    assert answer.status_code == 202
    told = answer.json()
    assert told["accepted"] == 2
    (second, third) = told["rejected"]
    assert (second["index"], second["id"], second["code"], second["field"]) == (
        1,
        "e2",
        "kind_unknown",
        "kind",
    )
    assert (third["index"], third["id"]) == (2, "")
    assert second["message"]
    assert service.collect({"kind": "nonsense"}).status_code == 422


@pytest.mark.parametrize("kind", KINDS)
def test_pages_tell_of_what_happens_in_pages_only(service: Service, kind: str) -> None:
    said = {"kind": kind, "order_id": "x-1", "status": "approved", "visit_id": "visit-1", "test": True}
    answer = service.collect(said)
    if kind in ("refund", "status"):
        assert answer.status_code == 422
        assert answer.json()["rejected"][0]["code"] == "kind_not_public"
    else:
        assert answer.status_code == 202


def test_the_context_is_said_once_for_all_events(service: Service) -> None:
    context = {"visitor_id": "v-context", "url": "https://shop.example/a?utm_source=mail", "title": "A",
               "referrer": "https://news.example/", "click_ids": {"fbclid": "F"}}  # fmt: skip
    headers = {"Sec-Fetch-Site": "cross-site"}  # where a cookie says nothing
    events = (PAGE | {"keyword": "own"}, {"kind": "open", "visitor_id": "v-own"})
    service.collect(*events, context=context, headers=headers)
    (own,) = service.rows(tables.events, keyword="own")
    assert own.visitor_id == "v-context"
    assert json.loads(own.details)["url"] == PAGE["url"]
    (other,) = service.rows(tables.events, visitor_id="v-own")
    assert json.loads(other.details)["url"] == context["url"]


@pytest.mark.parametrize("ahead", [-400 * 86400, -3600, 0, 3600, 3 * 366 * 86400])
def test_a_browsers_wrong_clock_is_corrected_and_costs_nothing(service: Service, ahead: int) -> None:
    theirs = int(time.time()) + ahead
    name = f"clock{ahead}"
    event = {"kind": "pageview", "keyword": name, "occurred_at": theirs - 5}
    assert service.collect(event, context={"sent_at": theirs}).status_code == 202
    (stored,) = service.rows(tables.events, keyword=name)
    assert abs(stored.occurred_at / 1e6 - time.time()) < 30


@pytest.mark.parametrize(
    "occurred_at", ["yesterday", "NaN", -1, 10**30, "0000-00-00T00:00:00Z", [1], {}, True]
)
def test_a_time_that_is_none_costs_a_browser_nothing(service: Service, occurred_at: Any) -> None:
    assert service.collect({**PAGE, "occurred_at": occurred_at}).status_code == 202
    assert service.collect(PAGE, context={"sent_at": occurred_at}).status_code == 202


@pytest.mark.parametrize(
    "body", [b"[]", b"7", b"null", b'"x"', b'{"events": []}', b'{"k": 7, "events": []}', b""]
)
def test_a_body_of_another_shape_is_refused_whole(service: Service, body: bytes) -> None:
    answer = service.ask("POST", "/collect", content=body)
    assert answer.status_code in (400, 401)


@pytest.mark.parametrize("context", [[1], "x", 7, True])
def test_a_context_that_is_no_object_is_named(service: Service, context: Any) -> None:
    answer = service.collect(PAGE, context=context)
    assert error(answer) == (400, "not_object", "context")
