"""P1: of visitors who denied consent nothing is found in any file: not what browsers sent of them, not what
connections told, in no database, no log, no queue, no list of what was refused. However they said it, and
at whatever door; and the same search finds all of those who did not.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import pytest
from sqlalchemy import func, select

from app import db, tables
from tests import engines
from tests.conftest import Clicktrail, new_client, wait_until
from tests.security.test_secrets import files, spellings, written

COOKIE = "c0ffee" * 5 + "c0"  # the chance in it, after its birth

#: What is planted, by what it is; the network is how an address would be kept.
PLANTED: dict[str, str] = {
    "visitor": "planted-visitor", "user": "planted-user", "e-mail": "planted@private.example",
    "our click id": "planted-click", "a platform's click id": "planted-gclid", "title": "planted-title",
    "sub parameter": "planted-sub", "property": "planted-property", "segment": "planted-age",
    "page's query": "planted-query", "referrer's query": "planted-referrer", "browser": "planted-browser",
    "network": "198.51.100.0", "address": "198.51.100.7", "consent string": "planted-string",
    "cookie": COOKIE,
}  # fmt: skip
AGENT = f"Mozilla/5.0 (Windows NT 10.0) {PLANTED['browser']}"
PAGE = "https://shop.example/a?x=" + PLANTED["page's query"]
REFERRER = "https://mail.example/b?x=" + PLANTED["referrer's query"]


class Way(NamedTuple):
    """How a visitor says no: the workspace's settings, headers, parameters of queries, consent of events."""

    settings: dict[str, str] = {}
    headers: dict[str, str] = {}
    parameters: dict[str, str] = {}
    by_browsers: object = None
    by_servers: object = None  # their requests carry no header of a visitor's


STRING = PLANTED["consent string"]
BY_TCF = {"measure": False, "source": "tcf", "raw": STRING}
WAYS: dict[str, Way] = {
    "the workspace's default": Way({"consent_default": "denied"}),
    "do not track": Way({"dnt": "deny"}, {"DNT": "1"}, {}, {"measure": True, "raw": STRING}, False),
    "the event itself": Way({}, {}, {"consent": "0"}, BY_TCF, BY_TCF),
    "a framework's string": Way({}, {}, {"gdpr": "1", "gdpr_consent": STRING}, 0, 0),
    "the event itself, cookieless": Way({"visitors": "daily"}, {}, {"consent": "0"}, False, False),
}
AGREED = Way({}, {}, {"consent": "1"}, {"measure": True, "source": "tcf", "raw": STRING}, {"measure": True})


@pytest.fixture
def service(start_clicktrail: Callable[..., Clicktrail]) -> Clicktrail:
    """With a proxy that it believes, as the address of each request is told by one."""
    service = start_clicktrail(CLICKTRAIL_TRUSTED_PROXIES="127.0.0.1/32", CLICKTRAIL_LOG_LEVEL="debug")
    landing = {"slug": "spring", "landing_url": "https://shop.example/"}
    with service.client("admin") as admin:
        assert admin.post("/v1/campaigns", json=landing).status_code == 201
    return service


def told(consent: object) -> list[dict[str, object]]:
    """Events with everything that an event can tell of its visitor; the last is refused."""
    p = PLANTED
    of_visitor: dict[str, object] = {
        "visitor_id": p["visitor"], "user_id": p["user"], "email": p["e-mail"], "phone": "+4722334455",
        "click_id": p["our click id"], "click_ids": {"gclid": p["a platform's click id"]},
        "title": p["title"], "subs": {"sub1": p["sub parameter"]}, "properties": {"x": p["property"]},
        "segment": {"age": p["segment"]}, "url": PAGE, "referrer": REFERRER,
        **({} if consent is None else {"consent": consent}),
    }  # fmt: skip
    sale = {"kind": "sale", "value": "5", "currency": "EUR"}
    kinds: tuple[dict[str, object], ...] = (
        {"kind": "visit", "id": "v", "engaged": False},
        {"kind": "engagement", "id": "v.e", "visit_id": "v"},
        {**sale, "order_id": "o", "id": "s"}, {**sale, "order_id": "o", "id": "s", "value": "6"},
        {"kind": "lead", "id": "l"}, {**sale, "value": "x"},
    )  # fmt: skip
    return [{**of_visitor, **kind} for kind in kinds]


def visit(service: Clicktrail, way: Way) -> None:
    """Everything that one visitor sends, at each door, and the waiting until all of it is stored."""
    p, key = PLANTED, service.keys["public"]
    with service.client("admin") as admin:
        assert admin.patch("/v1/workspace", json=way.settings).status_code == 200
    shown = {
        "User-Agent": AGENT, "X-Forwarded-For": p["address"], "Referer": REFERRER,
        "Cookie": f"ct_id={int(time.time()) - 60:08x}.{COOKIE}", **way.headers,
    }  # fmt: skip
    pixel = {
        "k": key, "vid": p["visitor"], "u": p["user"], "url": PAGE, "ct_click": p["our click id"],
        **way.parameters,
    }  # fmt: skip
    link = {"gclid": p["a platform's click id"], "sub1": p["sub parameter"], **way.parameters}
    agent = {"ip": p["address"], "user_agent": AGENT}
    servers = [{**event, **agent, "id": f"{n}"} for n, event in enumerate(told(way.by_servers))]
    with new_client(base_url=service.url, headers=shown, timeout=30) as client:
        assert client.get("/p.gif", params={**pixel, "e": "visit"}).headers["x-clicktrail"] == "accepted"
        assert client.get("/p.gif", params={**pixel, "e": "sale", "v": "x"}).status_code == 200
        assert client.get("/c/spring", params=link).status_code == 302
        assert client.get("/p.gif", params={**pixel, "k": "ct_pub_none", "e": "visit"}).status_code == 200
        beacon = client.post("/collect", json={"k": key, "events": told(way.by_browsers)})
        assert (beacon.status_code, beacon.json()["accepted"]) == (202, 5)
    with service.client("server") as server:
        answer = server.post("/v1/events?wait=stored", json={"events": servers})
        assert answer.json()["accepted"] == 5, answer.text
    wait_until(lambda: refused(service) == 5)


def refused(service: Clicktrail) -> int:
    """How many were put aside: the last that is stored of all that was sent."""
    engine = db.connect(engines.url(service.data), pool=1)
    with db.reading(engine) as connection:
        found = connection.scalar(select(func.count()).select_from(tables.rejected)) or 0
    engine.dispose()
    return found


def found(service: Clicktrail) -> tuple[set[str], int]:
    """What of the planted stands anywhere, while the service runs and after; in how many files and tables."""
    running = [*written(service.data)]
    service.stop()
    everything = [*running, *files(service.data)]
    names = {
        what
        for what, secret in PLANTED.items()
        if any(one in content for one in spellings(secret) for _, content in everything)
    }
    return names, len(everything)


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_a_visitor_who_denied_is_found_in_any_file(
    service: Clicktrail, way: str, report: Callable[[str], None]
) -> None:
    visit(service, WAYS[way])
    names, files_ = found(service)
    assert names == set()
    report(f"P1, {way}: {len(PLANTED)} things of a visitor searched in {files_} files and tables: 0 found")


def test_the_same_search_finds_a_visitor_who_did_not(service: Clicktrail) -> None:
    """All but what is never written, whoever agrees: the address, and the e-mail address itself."""
    visit(service, AGREED)
    names, _ = found(service)
    assert names == PLANTED.keys() - {"address", "e-mail"}
