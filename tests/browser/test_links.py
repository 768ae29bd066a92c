"""Links that lead elsewhere: the visitor's id to other sites of ours, parameters to affiliates."""

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser.conftest import Make, Visitor, World
from tests.conftest import wait_until

SHAPE = re.compile(r"[0-9a-z]+\.[\d-]+\.[0-9a-z]+\.[0-9a-z]+")


def two_sites(world: World, more: str = "") -> tuple[str, str]:
    """Paths of a page on one site with a link to a page on the other, which links back to nowhere."""
    hosts = f'data-link-domains="other.localhost, shop.localhost" {more}'
    there = world.page(world.tag(f"data-debug {hosts}", name="c.full.js"))
    here = world.page(
        world.tag(f"data-debug {hosts}", name="c.full.js"),
        f"<a href='{world.site.at(there, 'other.localhost')}?a=1#part'>over</a>",
    )
    return here, there


def decorated(world: World, there: str) -> str:
    """The address that the other site was asked for."""
    (target,) = [asked for asked in world.site.asked if asked.startswith(there) and "_ct=" in asked]
    return world.site.at(target, "other.localhost")


def test_a_visitor_who_follows_a_link_to_another_site_of_ours_is_the_same_there(
    world: World, visitor: Visitor
) -> None:
    here, there = two_sites(world)
    page = visitor.open(here)
    ours = visitor.cookies()["ct_vid"]["value"]
    before = page.get_attribute("a", "href")
    page.click("a")
    page.wait_for_url("**" + there + "?a=1#part")  # without what came along
    told = world.kinds(there, "visit", "pageview")
    assert all("_ct" not in event["url"] for event in told)
    (one,) = {event["visitor"] for event in world.kinds(here, "visit", "pageview")}
    wait_until(lambda: world.person(one) == world.person(told[0]["visitor"]))
    ids = {
        cookie["domain"]: cookie["value"]
        for cookie in visitor.context.cookies()
        if cookie["name"] == "ct_vid"
    }
    assert ids == {".shop.localhost": ours, ".other.localhost": ours}
    (value,) = parse_qs(urlsplit(decorated(world, there)).query)["_ct"]
    assert SHAPE.fullmatch(value) and value.startswith(ours + ".")
    page.go_back(wait_until="commit")
    assert page.get_attribute("a", "href") == before


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_form_takes_it_along_too(world: World, visitor: Visitor, method: str) -> None:
    here, there = two_sites(world)
    action = world.site.at(there, "other.localhost")
    world.site.pages[here] += (
        f"<form method={method} action='{action}'><input name=q value=1><input type=submit></form>"
    )
    page = visitor.open(here)
    ours = visitor.cookies()["ct_vid"]["value"]
    page.click("[type=submit]")
    page.wait_for_url(lambda url: there in url and "_ct" not in url)
    (one,) = {event["visitor"] for event in world.kinds(here, "visit", "pageview")}
    (other,) = {event["visitor"] for event in world.kinds(there, "visit", "pageview")}
    wait_until(lambda: world.person(one) == world.person(other))
    assert ours in {cookie["value"] for cookie in visitor.context.cookies(action)}


#: How a link is spoiled, who opens it, and how many seconds after it was made.
SPOILED: dict[str, tuple[Callable[[str], str], dict[str, str], int]] = {
    "old": (lambda link: link, {}, 130),
    "changed": (lambda link: link.replace("_ct=", "_ct=1"), {}, 5),
    "another browser's": (lambda link: link, {"user_agent": "Mozilla/5.0 another"}, 5),
    "nonsense": (lambda link: re.sub("_ct=[^&#]*", "_ct=%3Cscript%3E", link), {}, 5),
}


@pytest.mark.parametrize("spoiled", SPOILED)
def test_what_is_old_changed_or_somebody_elses_is_taken_away_and_not_believed(
    world: World, visitors: Make, visitor: Visitor, spoiled: str
) -> None:
    change, options, late = SPOILED[spoiled]
    here, there = two_sites(world)
    page = visitor.open(here)
    ours = visitor.cookies()["ct_vid"]["value"]
    page.click("a")
    page.wait_for_url("**" + there + "?a=1#part")
    other = visitors(**options)
    other.context.clock.install()
    other.context.clock.pause_at(page.evaluate("Date.now()") / 1000 + late)
    other.page.goto(change(decorated(world, there)))
    other.page.wait_for_url(lambda url: "_ct" not in url)
    assert other.page.evaluate("document.cookie.includes('ct_vid=')")
    assert ours not in {cookie["value"] for cookie in other.context.cookies()}


def test_without_consent_nothing_goes_along_and_nothing_is_accepted_until_it_is_given(
    world: World, visitor: Visitor
) -> None:
    here, there = two_sites(world, 'data-consent="denied"')
    page = visitor.open(here)
    page.click("a")
    page.wait_for_url("**" + there + "?a=1#part")
    assert not [asked for asked in world.site.asked if asked.startswith(there) and "_ct=" in asked]
    page = visitor.open(here)
    grant = "ct('consent', 'update', {analytics_storage: 'granted'})"
    page.evaluate(grant)
    ours = visitor.cookies()["ct_vid"]["value"]
    page.click("a")
    page.wait_for_url("**" + there + "?a=1#part")
    assert page.evaluate("document.cookie") == ""
    page.evaluate(grant)
    assert page.evaluate("document.cookie") == f"ct_vid={ours}"


AFFILIATE = (
    'data-affiliate="net.localhost:subid={click_id}&v={visitor_id}&src=shop other.localhost:ref={click_id}"'
)


def test_an_affiliates_link_carries_what_the_page_names_and_is_told_of_first(
    world: World, visitor: Visitor
) -> None:
    away = world.page("", "elsewhere")
    links = f"<a href='{world.site.at(away, 'www.net.localhost')}?x=1'>buy</a>"
    path = world.page(world.tag(f"data-debug {AFFILIATE}", name="c.full.js"), links)
    page = visitor.open(path + "?ct_click=our-click")
    ours = visitor.cookies()["ct_vid"]["value"]
    page.click("a")
    page.wait_for_url("**" + away + "*")
    assert parse_qs(urlsplit(page.url).query) == {
        "x": ["1"], "subid": ["our-click"], "v": [ours], "src": ["shop"],
    }  # fmt: skip
    outbound = world.kinds(path, "visit", "pageview", "lead")[2]
    assert (outbound["goal"], outbound["properties"]) == (
        "outbound",
        {"host": f"www.net.localhost:{world.site.port}", "link": world.site.at(away, "www.net.localhost")},
    )


def test_an_affiliate_learns_no_name_where_sharing_is_denied_and_others_never(
    world: World, visitor: Visitor
) -> None:
    away = world.page("", "elsewhere")
    links = "".join(
        f"<a id={host} href='{world.site.at(away, host + '.localhost')}'>to</a>"
        for host in ("net", "evilnet")
    )
    path = world.page(world.tag(f"data-debug {AFFILIATE}", name="c.full.js"), links)
    page = visitor.open(path + "?ct_click=our-click")
    page.click("#evilnet")
    page.wait_for_url(world.site.at(away, "evilnet.localhost"))
    page = visitor.open(path + "?ct_click=our-click")
    page.evaluate("ct('consent', 'update', {ad_user_data: 'denied'})")
    page.click("#net")
    page.wait_for_url(world.site.at(away, "net.localhost"))


def test_the_core_leaves_links_alone(world: World, visitor: Visitor) -> None:
    here, there = two_sites(world)
    world.site.pages[here] = world.site.pages[here].replace("c.full.js", "c.js")
    page = visitor.open(here)
    page.click("a")
    page.wait_for_url("**" + there + "?a=1#part")
    assert not [asked for asked in world.site.asked if asked.startswith(there) and "_ct=" in asked]
