"""API.md "Identity": the cookie, what a visitor denied, and what is never written anywhere."""

import itertools
import json
import re
import time
from typing import Any

import httpx
import pytest
from sqlalchemy import Row

from app import tables
from app.model import STATE_NAMES
from tests.contract.conftest import Service

COOKIE = re.compile(
    r"ct_id=([0-9a-f]{8})\.[0-9a-f]{32}; Max-Age=(\d+); Path=/; HttpOnly; SameSite=Lax(; Secure)?"
)
THIRTEEN_MONTHS = 395 * 86400
numbers = itertools.count()


def see(service: Service, headers: dict[str, str] | None = None, **parameters: str) -> httpx.Response:
    """A pixel in a browser that was never here before."""
    sent = {"k": service.keys["public"], "e": "pageview", **parameters}
    return service.ask("GET", "/p.gif", params=sent, headers=headers)


def stored(service: Service, **parameters: Any) -> Row[Any]:
    """The event that a visit to the beacon's door left behind."""
    keyword = f"identity-{next(numbers)}"
    headers = parameters.pop("headers", {})
    answer = service.collect({"kind": "pageview", "keyword": keyword, **parameters}, headers=headers)
    assert answer.status_code == 202, answer.text
    (event,) = service.rows(tables.events, keyword=keyword)
    return event


@pytest.mark.parametrize("door", ["/p.gif?e=pageview", "/c/spring", "/collect"])
def test_the_cookie_is_of_http_and_lasts_13_months_from_its_birth(service: Service, door: str) -> None:
    key = service.keys["public"]
    with service.client() as browser:

        def call(**headers: str) -> httpx.Response:
            if door == "/collect":
                body = {"k": key, "events": [{"kind": "pageview"}]}
                return browser.post(door, json=body, headers=headers)
            return browser.get(door + ("&" if "?" in door else "?") + f"k={key}", headers=headers)

        found = COOKIE.fullmatch(call().headers["Set-Cookie"])
        assert found is not None
        assert abs(int(found[1], 16) - time.time()) < 60
        assert int(found[2]) == THIRTEEN_MONTHS
        assert found[3] is None  # plain http on this machine
        assert "Set-Cookie" not in call().headers  # set once, never extended
        browser.cookies.clear()
        elsewhere = COOKIE.fullmatch(call(Host="track.shop.example").headers["Set-Cookie"])
        assert elsewhere is not None and elsewhere[3] == "; Secure"


@pytest.mark.parametrize(
    "cookie",
    ["ct_id=", "ct_id=x", "ct_id=ffffffff." + "0" * 32, "ct_id=00000001." + "0" * 32, "ct_id=" + "a" * 60_000,
     "xct_id=6b02281f." + "0" * 32, "ct_id=6B02281F." + "0" * 32, "ct_id=6b02281f." + "0" * 33, ";;;=;",
     "\xff\xfe"],
    ids=range(10),
)  # fmt: skip
def test_a_cookie_we_did_not_make_is_replaced(service: Service, cookie: str) -> None:
    answer = service.ask(
        "GET", "/p.gif", params={"k": service.keys["public"], "e": "pageview"},
        headers={"Cookie": cookie.encode("latin-1")},
    )  # fmt: skip
    assert answer.headers["X-Clicktrail"] == "accepted"
    assert COOKIE.fullmatch(answer.headers["Set-Cookie"])


@pytest.mark.parametrize(
    "headers, kept",
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, True),
    ],
    ids=str,
)
def test_the_cookie_is_believed_where_it_is_first_party(
    service: Service, headers: dict[str, str], kept: bool
) -> None:
    value = f"{int(time.time()) - 60:08x}.{next(numbers):032x}"
    event = stored(service, visitor_id="told", headers={**headers, "Cookie": f"ct_id={value}"})
    assert event.visitor_id == (value if kept else "told")


def test_cookie_and_told_visitor_are_one_person(service: Service) -> None:
    value, told = f"{int(time.time()) - 60:08x}.{next(numbers):032x}", f"tag-{next(numbers)}"
    cookie = {"Cookie": f"ct_id={value}"}
    order = f"joined-{next(numbers)}"
    with service.client(**cookie) as browser:
        assert browser.get("/c/spring").status_code == 302
    stored(service, visitor_id=told, headers=cookie)
    service.tell({"kind": "sale", "order_id": order, "value": "1", "currency": "EUR", "visitor_id": told})
    why = service.why(order)
    assert [(touch["kind"], touch["campaign"], touch["kept"]) for touch in why["touches"]] == [
        ("click", "spring", True)
    ]


NO = [{"measure": False}, {"measure": False, "ads": True}, 0, False, "0"]


@pytest.mark.parametrize("consent", NO, ids=str)
def test_who_denied_consent_gets_no_cookie_and_leaves_no_identifier(service: Service, consent: Any) -> None:
    value = f"{int(time.time()) - 60:08x}.{next(numbers):032x}"
    secrets = {
        "visitor_id": "v-denied", "user_id": "u-denied", "email": "denied@person.example",
        "phone": "+4722334455", "click_id": "c-denied", "click_ids": {"gclid": "g-denied"},
        "url": "https://shop.example/?name=denied", "title": "denied",
    }  # fmt: skip
    event = stored(service, consent=consent, headers={"Cookie": f"ct_id={value}"}, **secrets)
    assert (event.visitor, event.visitor_id, event.user_id, event.click_id) == (0, "", "", "")
    assert "denied" not in event.details.replace("consent_denied", "") and value not in event.details
    answer = service.collect({"kind": "pageview", "consent": consent}, headers={"Cookie": f"ct_id={value}"})
    assert answer.headers["Set-Cookie"].startswith("ct_id=; Max-Age=0;")
    assert "Set-Cookie" not in service.collect({"kind": "pageview", "consent": consent}).headers


@pytest.mark.parametrize(
    "parameters", [{"consent": "0"}, {"gdpr": "1"}, {"gdpr": "1", "gdpr_consent": "CPsomething"}], ids=str
)
@pytest.mark.parametrize("path", ["/p.gif", "/c/spring"])
def test_consent_as_parameters_say_it(service: Service, path: str, parameters: dict[str, str]) -> None:
    sent = {"k": service.keys["public"], "e": "pageview", **parameters}
    answer = service.ask("GET", path, params=sent, headers={"Cookie": "ct_id=6b02281f." + "0" * 32})
    assert answer.headers["X-Clicktrail"] == "accepted"
    assert answer.headers["Set-Cookie"].startswith("ct_id=; Max-Age=0;")


def test_global_privacy_control_is_measured_and_never_shared(service: Service) -> None:
    event = stored(service, visitor_id="v-gpc", headers={"Sec-GPC": "1", "Sec-Fetch-Site": "cross-site"})
    assert event.visitor_id == "v-gpc"
    agreed = json.loads(event.details)["consent"]
    assert (agreed["ads"], agreed["gpc"]) == (False, True)


@pytest.mark.parametrize(
    "junk", ["0", "null", "guest", "undefined", "None", "anonymous", "-1", "unknown", "N/A"]
)
def test_junk_identifiers_join_nobody(service: Service, junk: str) -> None:
    clicker = f"clicker-{next(numbers)}"
    order = f"junk-{next(numbers)}"
    service.tell({"kind": "click", "campaign": "spring", "visitor_id": clicker, "user_id": junk})
    service.tell({"kind": "sale", "order_id": order, "value": "1", "currency": "EUR", "user_id": junk})
    why = service.why(order)
    assert why["touches"] == []


#: What a page must not be able to say, and how it would look if it were believed.
SERVER_OWNED = {
    "status": "approved", "ip": "203.0.113.9", "user_agent": "Planted/1.0", "verified": True,
    "received_at": "2020-01-01T00:00:00Z", "cost_of_goods": "1", "payout": "77", "country": "KP", "no": 7,
    "workspace": 2, "door": "api", "flags": 0, "billable": 1, "state": 2, "cookie_id": "planted",
    "hints": ["planted"], "key_digest": "planted", "workspace_id": 2, "is_bot": False, "validated": True,
}  # fmt: skip


@pytest.mark.parametrize("door", ["pixel", "beacon"])
def test_what_only_servers_may_say_is_ignored_from_pages(service: Service, door: str) -> None:
    order = f"planted-{door}-{next(numbers)}"
    if door == "pixel":
        plain = {name: str(value) for name, value in SERVER_OWNED.items()}
        answer = see(service, e="sale", tx=order, v="50", cur="EUR", **plain)
        assert answer.headers["X-Clicktrail"] == "accepted"
    else:
        sale = {"kind": "sale", "order_id": order, "value": "50", "currency": "EUR"}
        assert service.collect(SERVER_OWNED | sale).status_code == 202
    (found,) = service.rows(tables.conversions, order_id=order)
    assert (STATE_NAMES[found.state], found.verified, found.workspace) == ("pending", 0, 1)
    assert (found.cost_of_goods, found.payout, found.country) == (None, None, 0)
    assert found.received_at > (time.time() - 600) * 1_000_000


@pytest.mark.parametrize("first", ["page", "server"])
def test_a_page_never_changes_a_verified_sale(service: Service, first: str) -> None:
    order = f"verified-{next(numbers)}"
    at = int(time.time()) - 3600

    def server() -> None:
        sale = {"kind": "sale", "order_id": order, "value": "10", "currency": "EUR", "status": "pending"}
        service.tell({**sale, "occurred_at": at})

    def page() -> None:
        claim = {"e": "sale", "tx": order, "v": "99999", "cur": "USD", "t": str(at - 600)}
        assert see(service, **claim).headers["X-Clicktrail"] == "accepted"
        claimed = {"kind": "sale", "order_id": order, "value": "0", "currency": "NOK", "status": "rejected"}
        service.collect(claimed, {**claimed, "test": True})

    told = [page, server] if first == "page" else [server, page]
    for tell in told:
        tell()
    found = service.conversion(order)
    assert (found["verified"], found["counted"], found["setbacks"]) == (True, True, [])
    assert (found["value"], found["currency"], found["state"]) == (10, "EUR", "pending")
    (row,) = service.rows(tables.conversions, order_id=order)
    assert row.occurred_at == at * 1_000_000
    assert len(found["sightings"]) == 4  # every report is kept and shown


def test_what_identifies_a_person_is_in_no_file(service: Service) -> None:
    name = "ingrid.overgaard@private-mail.example"
    service.tell(
        {"kind": "lead", "email": name, "phone": "+47 22 33 44 99", "ip": "203.0.113.211",
         "referrer": f"mailto:{name}", "url": f"https://shop.example/?m={name}&n={name.replace('@', '%40')}"},
        {"kind": "lead", "email": name, "value": "nonsense", "currency": "EUR", "ip": "203.0.113.211"},
        {"kind": "nonsense", "phone": "+47 22 33 44 99", "properties": {"note": f"write to {name}"}},
    )  # fmt: skip
    service.collect(
        {"kind": "pageview", "url": f"https://shop.example/?e={name}"}, {"kind": "bad", "email": name}
    )
    see(service, url=f"https://shop.example/#{name}", r=f"https://x.example/?m={name}")
    see(service, e="sale", v="x", url=f"https://shop.example/?m={name}")
    service.ask("GET", "/c/spring", headers={"Referer": f"https://mail.example/?as={name}"})
    service.caught_up()
    texts = [path.read_bytes() for path in service.clicktrail.data.rglob("*") if path.is_file()]
    texts.append(service.clicktrail.log().encode())
    for secret in (name, name.replace("@", "%40"), "22 33 44 99", "22334499", "203.0.113.211"):
        assert not any(secret.encode() in text for text in texts), secret
