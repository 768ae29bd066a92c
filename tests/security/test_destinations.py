"""S1: no redirect leads where nobody registered it to lead, whatever a link says and in whichever parameter.

Revive was abused for years by links that named their own destination; Snowplow's collector likewise.
"""

import os
import re
from collections.abc import Callable, Iterator
from itertools import product
from urllib.parse import quote, urlsplit

import pytest

from app.collect import destinations
from tests.security.tenants import Request, Town

LONG = os.environ.get("CLICKTRAIL_FAULTS") == "long"

EVIL = "evil.example"
LISTED = ["offers.example", "*.partner.example", "bücher.example"]
CAMPAIGNS = {
    "plain": {
        "landing_url": "https://shop.example/sale?from={campaign}&s={sub1}#top",
        "allowed_hosts": LISTED,
    },
    "passing": {
        "landing_url": "https://shop.example/{sub1}/x?s={sub1}#{sub1}",
        "allowed_hosts": LISTED,
        "pass_parameters": True,
    },
}

#: Ways to write a destination that some parser, browser or filter has taken for another. E is the attacker's
#: host, G one that is allowed.
SHAPES = """
E //E ///E ////E /\\E \\\\E \\/E /\\/E //E/G https:E https:/E https:///E https:////E https:\\\\E https:/\\E
https://E https://E/ https://E:443 https://E. https://E/G https://E?G https://E#G https://E/?x=https://G
https://G@E https://G:x@E https://G%40E https://G%2540E https://user@G@E https://E\\@G https://E\\.G https://E%5C@G
https://G.E https://xG https://E/.G https://G\\.E https://G%2eE https://G%252f@E https://G&@E https://G;@E
https://G,E https://G/../../E https://G%00.E https://G%0d%0aLocation:https://E https://G%E3%80%82E
https://G／E https://Ｅ https://ⓔvil.example https://xpartner.example https://partner.example
https://partner.example.E https://a.partner.example@E https://[::1] https://[::ffff:7f00:1] https://[G]
https://127.0.0.1 https://2130706433 https://0x7f.1 https://017700000001 https://169.254.169.254/latest
http://E ftp://G ws://G file:///etc/passwd gopher://G javascript:alert(1) javascript://G/%0aalert(1)
JaVaScRiPt:alert(1) java%0ascript:alert(1) data:text/html,<script>alert(1)</script> vbscript:x blob:https://G/x
about:blank view-source:https://E intent://E#Intent;end tel:1 mailto:a@E chrome://x jar:https://G!/x
https://G:0 https://G:99999 https://G:x https://G:80:80 https://G:80@E http://G:443@E:80 https://a..partner.example
https://-E https://_.E https://xn--e1aybc https://xn-- https://а.example https://gооgle.example {sub1} https://{sub1}
https://{ct_click}.E https://{campaign}@E %68ttps://E https%3A//E https://%45 ?url=https://E &url=https://E
https://G&url=https://E #https://E ../E ..\\E ./E . .. * null undefined 0 https:// http:/ // / \\
""".split()

#: What is put before them: nothing, what parsers strip, and what they do not.
BEFORE = ("", "\t", "\r\n", "\x00", "\u2028")
HOSTILE = [
    before + shape.replace("G", "offers.example").replace("E", EVIL)
    for before, shape in product(BEFORE, SHAPES)
]

#: Parameters that some redirector follows, and all that this one reads.
NAMES = """
url sig p sub1 sub2 sub30 utm_source utm_campaign gclid fbclid ct_click consent cb dest dest_url destination
redirect redirect_uri redirect_url redirectTo return return_url returnTo next goto go to target u link out
continue oadest ct0 r ref rurl landing landing_url fallback_url host domain site location Location path
""".split()

_PLAIN = re.compile(r"https?://([a-z0-9_.-]+)(:[0-9]+)?/[!-~]*")


@pytest.fixture(scope="module")
def street(town: Town) -> Town:
    for slug, fields in CAMPAIGNS.items():
        made = town.ask(
            "POST", "/v1/campaigns", key=town.tenants[0].keys["admin"], json_={"slug": slug, **fields}
        )
        assert made.status == 201, made.body
    return town


def is_registered(location: str) -> bool:
    """Whether a browser goes to a host that was registered: told from the plainest of forms only."""
    found = _PLAIN.fullmatch(location)
    if found is None or "\\" in location:
        return False
    host = found[1]
    return host in ("shop.example", "offers.example", "xn--bcher-kva.example") or host.endswith(
        ".partner.example"
    )


def links(url: str) -> Iterator[Request]:
    """A hostile destination in every place of a link."""
    sent = quote(url.encode("utf-8", "surrogateescape"))
    raw = re.sub(r"[^!-~]", lambda m: quote(m[0]), url).replace("#", "%23")
    others = [name for name in NAMES if name != "url"]
    for slug in CAMPAIGNS:
        yield Request("GET", f"/c/{slug}?url={sent}")
        yield Request("GET", f"/c/{slug}?url={raw}&sig={sent}")
        yield Request("GET", f"/c/{slug}?url=https://offers.example/&url={sent}&sig={'0' * 64}")
        if LONG:
            yield from (Request("GET", f"/c/{slug}?{name}={sent}") for name in others)
        else:
            yield Request("GET", f"/c/{slug}?" + "&".join(f"{name}={sent}" for name in others))
    plain = url.encode("utf-8", "replace").decode("latin-1")
    said = [(name, plain) for name in ("x-forwarded-host", "x-original-url", "referer", "forwarded")]
    yield Request("GET", f"/c/plain/{sent.replace('/', '%2F')}", said)
    yield Request("HEAD", f"/c/{sent}?url={sent}", [("host", plain.strip("\r\n\x00") or EVIL)])


def strays(town: Town, urls: list[str], fits: Callable[[str], bool] = is_registered) -> list[tuple[str, str]]:
    """(link, where it led) of every redirect to what nobody registered."""
    asked = [link for url in urls for link in links(url)]
    answers = town.ask_all(asked)
    assert {answer.status for answer in answers} <= {302, 404}
    found = zip(asked, answers, strict=True)
    return [
        (link.target, answer.header("location"))
        for link, answer in found
        if answer.status == 302 and not fits(answer.header("location"))
    ]


def test_no_link_leads_where_nobody_registered_it_to_lead(
    street: Town, report: Callable[[str], None]
) -> None:
    assert len(set(HOSTILE)) >= 500
    assert strays(street, HOSTILE) == []
    report(
        f"S1: {len(set(HOSTILE))} hostile destinations x {len(NAMES)} parameters, path and headers: 0 strays"
    )


def test_what_is_put_into_a_url_stays_where_it_is_put(street: Town) -> None:
    """Values of macros end neither their segment nor their parameter, and no header of the answer."""

    def whole(location: str) -> bool:
        parts = urlsplit(location)
        inside = f"{parts.path}{parts.query.partition('&ct_click=')[0]}{parts.fragment}"
        return is_registered(location) and parts.path.count("/") == 2 and not set("<>\"'@\\ ") & set(inside)

    asked = [Request("GET", f"/c/passing?sub1={quote(url.encode())}") for url in HOSTILE]
    for link, answer in zip(asked, street.ask_all(asked), strict=True):
        assert whole(answer.header("location")), (link.target, answer.header("location"))


def test_a_prefix_taken_for_a_host_is_found(street: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the check that most redirectors began with."""
    monkeypatch.setattr(destinations, "allowed", lambda url, *_: url.startswith("https://offers.example"))
    found = strays(street, [url for url in HOSTILE[: len(SHAPES)] if url.startswith("https://offers")])
    assert f"offers.example.{EVIL}" in {urlsplit(where).hostname for _, where in found}


def test_a_macro_that_is_not_encoded_is_found(street: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = destinations.quote
    monkeypatch.setattr(destinations, "quote", lambda text, safe: plain(text, safe=safe + "/\\ "))
    assert strays(street, [f"\\{EVIL} "])


@pytest.mark.parametrize(
    "url, host",
    [
        ("https://offers.example/a", "offers.example"),
        ("http://offers.example:8080/", "offers.example"),
        ("https://a.b.partner.example/?b=1", "a.b.partner.example"),
        ("https://BÜCHER.example/", "xn--bcher-kva.example"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example"),
    ],
)
def test_a_host_on_the_campaigns_list_is_gone_to(street: Town, url: str, host: str) -> None:
    where = street.ask("GET", f"/c/plain?url={quote(url)}").header("location")
    assert urlsplit(where).hostname == host


@pytest.mark.parametrize(
    "host", "*.com *.co.uk *.github.io * *. *.example a.*.example *.рф *..example".split()
)
def test_a_list_of_hosts_cannot_allow_what_many_share(street: Town, host: str) -> None:
    key = street.tenants[0].keys["admin"]
    refused = street.ask("PATCH", "/v1/campaigns/plain", key=key, json_={"allowed_hosts": [host]})
    assert refused.status == 400
    assert refused.json["error"]["code"] in ("host_invalid", "host_too_wide")


@pytest.mark.parametrize("field, status", [("landing_url", "active"), ("fallback_url", "paused")])
def test_what_is_no_web_address_cannot_be_registered(street: Town, field: str, status: str) -> None:
    """Administrators decide where a campaign leads; what is no web address is refused, or leads nowhere."""
    key = street.tenants[0].keys["admin"]
    made = {"slug": field, "status": status}
    assert street.ask("POST", "/v1/campaigns", key=key, json_=made).status == 201
    for url in HOSTILE[: len(SHAPES)]:
        answer = street.ask("PATCH", f"/v1/campaigns/{field}", key=key, json_={field: url})
        where = street.ask("GET", f"/c/{field}").header("location")
        assert answer.status in (200, 400)
        assert where == "" or _PLAIN.fullmatch(re.sub(r"\[[0-9a-f:.]+\]", "v6", where)), (url, where)
