"""The click redirect leads to registered URLs only, and always leads on."""

import asyncio
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.campaigns.clickid import read_click_id
from app.collect.destinations import signed
from app.errors import Unavailable
from tests.collect.conftest import NOW, PUBLIC, Front, workspace

HOSTILE = [
    "//evil.example", "\\\\evil.example", "https:\\\\evil.example", "javascript:alert(1)", "data:text/html,x",
    "https://evil.example", "https://offers.example@evil.example/", "https://offers.example.evil.example/",
    "https://evil.example/offers.example", "https://evil.example#offers.example", "https://evil.example?offers.example",
    "http://offers.example\r\nSet-Cookie: a=b", "https://offers.example\x00.evil.example", "ftp://offers.example",
    "https:///evil.example", "https:evil.example", "/\\evil.example", "https://xpartner.example/",
    "https://partner.example.evil.example", "https://offers.example:0/", "https://[::1", " https://evil.example",
]  # fmt: skip


async def test_the_click_is_signed_recorded_and_sent_on(front: Front) -> None:
    answer = await front.ask("GET", f"/c/Spring/banner?k={PUBLIC}&p=anna&sub1=x&utm_source=mail&gclid=Ab")
    assert (answer.status, answer.verdict, answer.headers["cache-control"]) == (302, "accepted", "no-store")
    (event,) = await front.events()
    assert answer.headers["location"] == (
        f"https://shop.example/banner/{event.click_id}?ct_click={event.click_id}"
    )
    click = read_click_id(event.click_id, workspace(1).secret)
    assert click is not None
    assert (click.workspace, click.campaign_id, click.ad_id, click.partner_id) == (1, 7, 70, 5)
    assert (click.no, click.occurred_at) == (event.no, NOW)
    assert (event.kind, event.door, event.campaign, event.ad, event.partner) == (
        "click", "redirect", "spring", "banner", "anna",
    )  # fmt: skip
    assert (event.subs, event.utm, event.click_ids) == ({"sub1": "x"}, {"source": "mail"}, {"gclid": "Ab"})
    assert "ct_id=" in answer.headers["set-cookie"] and event.cookie_id


async def test_macros_are_percent_encoded_and_the_fragment_stays_last(front: Front) -> None:
    answer = await front.ask("GET", "/c/spring?sub1=a%26b%3Dc%20%C3%A5%0d%0aX:1")
    assert answer.headers["location"].startswith("https://shop.example/sale?from=spring&s=&ct_click=")
    answer = await front.ask("GET", "/c/spring?sub1=a%26b%3Dc%20%C3%A5")
    assert "?from=spring&s=a%26b%3Dc%20%C3%A5&ct_click=" in answer.headers["location"]
    assert answer.headers["location"].endswith("#top")


@pytest.mark.parametrize("url", HOSTILE)
@pytest.mark.parametrize("name", ["url", "sub1", "utm_source", "dest", "ct_click"])
async def test_no_destination_comes_from_the_request(front: Front, url: str, name: str) -> None:
    from urllib.parse import quote

    answer = await front.ask("GET", f"/c/passing?{name}={quote(url)}&sig=00")
    parts = urlsplit(answer.headers["location"])
    assert (answer.status, parts.scheme, parts.hostname) == (302, "https", "shop.example")
    assert "\r" not in answer.headers["location"] and "\n" not in answer.headers["location"]


@given(st.text(max_size=40), st.text(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_any_path_and_query_lead_to_a_registered_host_or_nowhere(
    front: Front, path: str, query: str
) -> None:
    for campaign in ("spring", "passing", path.partition("?")[0]):
        answer = await front.ask("GET", f"/c/{campaign}?url=https://{query}")
        assert answer.status in (302, 404)
        allowed = ("shop.example", "offers.example")
        host = urlsplit(answer.headers.get("location", "https://shop.example")).hostname or ""
        assert host in allowed or host.endswith(".partner.example")


async def test_an_allowed_host_or_the_workspaces_signature_lets_a_url_through(front: Front) -> None:
    url = "https://elsewhere.example/x?a=1"
    for asked in ("https://offers.example/x", "https://a.partner.example/x"):
        answer = await front.ask("GET", f"/c/spring?url={asked}")
        assert answer.headers["location"].startswith(asked)
    signature = signed(url, workspace(1).secret)
    answer = await front.ask("GET", f"/c/spring?url=https%3A//elsewhere.example/x%3Fa%3D1&sig={signature}")
    assert answer.headers["location"].startswith(url + "&ct_click=")


@pytest.mark.parametrize("campaign", ["paused", "over"])
async def test_a_campaign_that_does_not_run_leads_to_its_fallback(front: Front, campaign: str) -> None:
    answer = await front.ask("GET", f"/c/{campaign}?url=https://offers.example/")
    assert answer.headers["location"].startswith("https://shop.example/over?ct_click=")
    (event,) = await front.events()
    assert event.hints == ("paused",)


@pytest.mark.parametrize("path", ["/c/none", "/c/", "/c/spring/banner/more", "/c/spring?k=ct_pub_none"])
async def test_an_unknown_campaign_is_a_plain_404(front: Front, path: str) -> None:
    answer = await front.ask("GET", path)
    assert (answer.status, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert answer.verdict.startswith("rejected; reason=")


async def test_the_workspace_is_the_keys_else_the_hosts_else_the_first(front: Front) -> None:
    await front.ask("GET", "/c/spring")
    await front.ask("GET", "/c/spring", host="Two.example:8443")
    await front.ask("GET", "/c/spring?k=ct_pub_two")
    assert [event.workspace for event in await front.events()] == [1, 2, 2]


async def test_parameters_pass_through_when_the_campaign_says_so(front: Front) -> None:
    answer = await front.ask("GET", "/c/passing?color=r%C3%B8d&from=evil&sub1=x&k=&gclid=G&ct_click=forged")
    asked = parse_qs(urlsplit(answer.headers["location"]).query)
    assert (asked["color"], asked["gclid"], asked["from"]) == (["rød"], ["G"], ["passing"])
    assert "sub1" not in asked and asked["ct_click"] != ["forged"]
    answer = await front.ask("GET", "/c/spring?color=red")
    assert "color" not in answer.headers["location"]


@pytest.mark.parametrize(
    "method, headers, hint",
    [
        ("HEAD", {}, "head"),
        ("GET", {"sec_purpose": "prefetch;prerender"}, "prefetch"),
        ("GET", {"x_moz": "prefetch"}, "prefetch"),
        ("GET", {"user_agent": "Mozilla/5.0 (compatible; Slackbot-LinkExpanding 1.0)"}, "preview"),
    ],
)
async def test_what_nobody_looked_at_is_flagged_and_gets_no_cookie(
    front: Front, method: str, headers: dict[str, str], hint: str
) -> None:
    answer = await front.ask(method, "/c/spring", **headers)
    assert answer.status == 302 and "set-cookie" not in answer.headers
    (event,) = await front.events()
    assert event.hints == (hint,)


class Stuck:
    """An inbox whose disk never answers."""

    def add(self, record: bytes, kind: str) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().create_future()

    def append_nowait(self, record: bytes) -> None: ...


class Broken(Stuck):
    """An inbox that cannot take anything."""

    def add(self, record: bytes, kind: str) -> "asyncio.Future[None]":
        raise Unavailable("disk_full", "no space")


@pytest.mark.parametrize("inbox", [Stuck(), Broken()])
async def test_the_visitor_goes_on_when_the_record_cannot_be_written(front: Front, inbox: Stuck) -> None:
    real, front.doors.inbox = front.doors.inbox, inbox  # type: ignore[assignment]
    answer = await asyncio.wait_for(front.ask("GET", "/c/spring"), 5)
    front.doors.inbox = real
    assert (answer.status, answer.verdict) == (302, "unrecorded")


async def test_denied_consent_sets_no_cookie_and_keeps_no_foreign_id(front: Front) -> None:
    answer = await front.ask("GET", "/c/spring?consent=0&gclid=x&sub1=y")
    assert "set-cookie" not in answer.headers
    (event,) = await front.events()
    empty: Sequence[object] = ("", {}, {})
    assert [event.cookie_id, event.click_ids, event.subs] == list(empty)


@pytest.mark.parametrize(
    "said", ["gpp=%ff%fe", "gdpr_consent=%ed%a0%80", "gdpr=1&gdpr_consent=%00x", "gpp=%00"]
)
async def test_a_consent_string_that_is_no_text_costs_neither_the_click_nor_the_pixel(
    front: Front, said: str
) -> None:
    answer = await front.ask("GET", f"/c/spring?{said}")
    assert (answer.status, answer.verdict) == (302, "accepted")
    answer = await front.ask("GET", f"/p.gif?k={PUBLIC}&e=impression&{said}")
    assert (answer.status, answer.verdict) == (200, "accepted")
    for event in await front.events():
        assert "raw" not in event.consent
        assert event.consent["source"] in ("tcf", "gpp")
        assert event.consent.get("measure") == (False if "gdpr=1" in said else None)
