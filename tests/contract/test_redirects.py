"""API.md's click redirect: where it leads, and above all where it never leads."""

import re
from collections.abc import Sequence
from itertools import product
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from app import tables
from app.model import FLAGS, KINDS
from tests.conftest import new_client
from tests.contract.conftest import BROWSER, Service

REGISTERED = re.compile(r"https://(shop|offers|cdn\.partner)\.example[/?#][!-\[\]-~]*")  # no space, no "\\"

SCHEMES = (
    "", "//", "///", "////", "/\\", "\\\\", "\\/", "http:", "https:", "https://", "HTTPS://", "https:/\\",
    "https:\\\\", "javascript:", "data:text/html,", "vbscript:", "ftp://", "file:///", "blob:https://",
    "view-source:https://", "\thttps://", " https://", "%68ttps://", "https:%2f%2f", "//%5c",
    "https://offers.example@", "https://offers.example:443@", "https://offers.example%40",
    "https://offers.example.", "https://offers.example%00.", "https://offers.example\r\n.",
    "https://offers.example%0d%0aLocation:https://", "https://offers.example\\@", "https://offers.example\\.",
    "https://offers.example#@", "https://offers.example?@", "https://offers.example;@",
    "https://[offers.example]@", "https://offers.example/../../@", "https://xoffers.example.",
    "https://offers.example%E3%80%82", "https://offers.example℀.", "https://offers。example.",
    "https://оffers.example.",
)  # fmt: skip
EVIL = ("evil.example", "evil.example/offers.example", "evil.example?https://shop.example/")
DESTINATIONS = [
    *(scheme + host for scheme, host in product(SCHEMES, EVIL)),
    "javascript:alert(document.cookie)", "java\nscript:alert(1)", "data:text/html;base64,PHNjcmlwdD4=",
    "https://evil.example/?{click_id}", "{click_id}.evil.example", "//{sub1}/", "https://{sub1}/",
    "https://offers.example:0/", "https://offers.example:99999/", "https://offers.example:x/", "https://[::1",
    "https://[v1.offers.example]/", "https://0x7f000001/", "https://2130706433/", "https://" + "a" * 9000,
    "https://.offers.example/", "https://offers..example/", "https://*.partner.example/", "https://partner.example/",
    "https://xcdn.partner.example/", "https://cdn.partner.example.evil.example/", "https://user:pw@offers.example/",
    "\ud800", "\x00", "https://offers.example\x00/", "https://offers.example\u2028.evil.example/",
    "https://evil.example\u202eelpmaxe.pohs//:sptth", "https://ev\u200bil.example/",
]  # fmt: skip
PARAMETERS = ("url", "dest", "sub1", "utm_source", "p", "ct_click", "from", "x")


@pytest.mark.parametrize(
    "campaign, names",
    [("spring", PARAMETERS), ("passing", PARAMETERS), ("spring/banner", ["url"]), ("paused", ["url"])],
)
def test_no_request_names_its_own_destination(service: Service, campaign: str, names: Sequence[str]) -> None:
    assert len(DESTINATIONS) >= 100
    with service.client() as browser:
        for destination, name in product(DESTINATIONS, names):
            value = quote(destination, safe="", errors="surrogatepass")
            answer = browser.get(f"/c/{campaign}?{name}={value}&sig={'0' * 64}")
            where = answer.headers["Location"]
            assert answer.status_code == 302
            assert REGISTERED.fullmatch(where), (name, destination, where)
            # Nothing but a plain https address of a registered host is ever taken from `url`.
            assert urlsplit(where).hostname in ("shop.example", "offers.example"), (name, destination, where)


def test_no_path_or_header_names_a_destination_either(service: Service) -> None:
    with service.client() as browser:
        for destination in DESTINATIONS:
            value = quote(destination, safe="", errors="surrogatepass")
            header = "".join(c for c in destination if c.isascii() and c.isprintable())[:4000].strip()
            headers = {"X-Forwarded-Host": header, "Referer": header, "Cookie": header}
            for path in (f"/c/{value}", f"/c/spring/{value}"):
                answer = browser.get(path, headers=headers)
                assert answer.status_code in (302, 404), path
                assert REGISTERED.fullmatch(answer.headers.get("Location", "https://shop.example/")), path


def test_the_click_is_recorded_and_its_signed_id_sent_on(service: Service) -> None:
    with service.client() as browser:
        answer = browser.get("/c/Spring?p=anna&sub1=x&utm_source=mail&gclid=AbC&k=" + service.keys["public"])
    assert answer.status_code == 302
    assert answer.headers["X-Clicktrail"] == "accepted"
    assert answer.headers["Cache-Control"] == "no-store"
    (click_id,) = parse_qs(urlsplit(answer.headers["Location"]).query)["ct_click"]
    (event,) = service.rows(tables.events, click_id=click_id)
    assert (event.kind, event.flags, event.billable) == (KINDS["click"], 0, 1)
    assert '"sub1":"x"' in event.details and '"gclid":"AbC"' in event.details


def test_every_expansion_is_percent_encoded(service: Service) -> None:
    hostile = quote("/../?a=b&c#d@e:f å{campaign}\r\n", safe="")
    answer = service.ask(
        "GET", f"/c/spring?sub1=x&sub1={hostile}&utm_source={quote('a&b=c', safe='')}&p=anna"
    )
    query = urlsplit(answer.headers["Location"])
    assert (query.path, query.fragment) == ("/sale", "top")
    asked = parse_qs(query.query, keep_blank_values=True)
    assert asked["from"] == ["spring"]
    assert asked["m"] == ["a&b=c"]
    assert asked["p"] == ["anna"]
    assert asked["s"] == [""]  # a line break cannot stand in a name for a source of clicks
    answer = service.ask("GET", f"/c/spring?sub1={quote('/../?a=b&c#d@e:f å{campaign}', safe='')}")
    asked = parse_qs(urlsplit(answer.headers["Location"]).query, keep_blank_values=True)
    assert asked["s"] == ["/../?a=b&c#d@e:f å{campaign}"]


def test_the_ad_has_a_landing_page_of_its_own(service: Service) -> None:
    where = service.ask("GET", "/c/spring/banner").headers["Location"]
    assert re.fullmatch(r"https://shop\.example/b/([\w-]+)\?ct_click=\1", where)


def test_an_ad_nobody_registered_leads_to_the_campaigns_page(service: Service) -> None:
    where = service.ask("GET", "/c/spring/poster").headers["Location"]
    assert where.startswith("https://shop.example/sale?from=spring&s=&ad=poster&")


def test_an_allowed_host_may_be_asked_for(service: Service) -> None:
    for asked in ("https://offers.example/x?a=1", "http://cdn.partner.example/", "https://OFFERS.example/"):
        where = urlsplit(service.ask("GET", "/c/spring", params={"url": asked}).headers["Location"])
        assert where.hostname in ("offers.example", "cdn.partner.example")
        assert "ct_click" in parse_qs(where.query)


@pytest.mark.parametrize(
    "campaign, landing",
    [("paused", "https://shop.example/over"), ("resting", "https://shop.example/resting")],
)
def test_a_paused_campaign_leads_to_its_fallback_else_its_landing(
    service: Service, campaign: str, landing: str
) -> None:
    answer = service.ask("GET", f"/c/{campaign}", params={"url": "https://offers.example/"})
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(f"{landing}?ct_click=")


@pytest.mark.parametrize(
    "path", ["/c/none", "/c/", "/c/spring/banner/more", "/c/spring?k=ct_pub_nobody", "/c/homeless", "/c/%00",
             "/c/%ff", "/c/%2e%2e/%2e%2e/", "/c//spring", "/c/spring%2fbanner", "/c/" + "x" * 9000],
)  # fmt: skip
def test_an_unknown_campaign_is_a_plain_404_page(service: Service, path: str) -> None:
    answer = service.ask("GET", path)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Location" not in answer.headers
    assert answer.headers["X-Clicktrail"].startswith("rejected; reason=")


def test_other_parameters_pass_only_when_the_campaign_says_so(service: Service) -> None:
    asked = (
        "?color=r%C3%B8d&color=x%0d%0aSet-Cookie:a=b&fbclid=F&sub1=s&k=&consent=1&url=https://evil.example/"
    )
    passed = parse_qs(urlsplit(service.ask("GET", "/c/passing" + asked).headers["Location"]).query)
    assert set(passed) == {"ct_click", "color", "fbclid"}
    kept = parse_qs(urlsplit(service.ask("GET", "/c/spring" + asked).headers["Location"]).query)
    assert "color" not in kept and "fbclid" not in kept


@pytest.mark.parametrize(
    "method, headers",
    [
        ("HEAD", {}),
        ("GET", {"Sec-Purpose": "prefetch;prerender"}),
        ("GET", {"Purpose": "prefetch"}),
        ("GET", {"X-Moz": "prefetch"}),
        ("GET", {"User-Agent": "facebookexternalhit/1.1"}),
        ("GET", {"User-Agent": "WhatsApp/2.23.20.0"}),
    ],
    ids=str,
)
def test_a_fetch_that_nobody_looked_at_is_flagged_until_its_click_id_comes_back(
    service: Service, method: str, headers: dict[str, str]
) -> None:
    with service.client() as browser:
        answer = browser.request(method, "/c/spring", headers=headers)
    assert answer.status_code == 302 and "Set-Cookie" not in answer.headers
    (click_id,) = parse_qs(urlsplit(answer.headers["Location"]).query)["ct_click"]
    (event,) = service.rows(tables.events, click_id=click_id)
    assert event.flags & FLAGS["prefetch"]
    visited = {"kind": "visit", "click_id": click_id, "user_agent": BROWSER, "url": "https://shop.example/"}
    service.tell(visited)
    (event,) = service.rows(tables.events, click_id=click_id, kind=KINDS["click"])
    assert not event.flags & FLAGS["prefetch"]


def test_only_get_and_head_are_redirected(service: Service) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = service.ask(method, "/c/spring")
        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_a_host_belongs_to_its_workspace(service: Service) -> None:
    admin = {"Authorization": f"Bearer {service.other['admin']}"}
    with new_client(base_url=service.clicktrail.url, headers=admin) as other:
        assert other.patch("/v1/workspace", json={"hosts": ["go.second.example"]}).status_code == 200
        made = other.post("/v1/campaigns", json={"slug": "theirs", "landing_url": "https://theirs.example/"})
        assert made.status_code == 201
    for host, key, status in (
        ("go.second.example", "", 302),
        ("GO.second.example:8443", "", 302),
        ("go.first.example", "", 404),
        ("go.first.example", service.other["public"], 302),
        ("go.second.example", service.keys["public"], 404),
    ):
        answer = service.ask("GET", "/c/theirs", headers={"Host": host}, params={"k": key} if key else None)
        assert answer.status_code == status, (host, key)
