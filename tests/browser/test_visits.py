"""What the tag tells by itself: visits, page views, engagement, and where the visitor came from."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.browser.conftest import AGENT, FLAGS, Make, Visitor, World
from tests.conftest import wait_until

MINUTES = 60_000
NOON = 1_790_000_000  # the page's clock may stand anywhere: it is corrected


def test_the_one_line_alone_starts_a_visit_and_tells_of_the_page(world: World, visitor: Visitor) -> None:
    path = world.page(world.tag(), title="Schuhe für Ödön 鞋")
    visitor.open(path)
    visit, view = world.kinds(path, "visit", "pageview")
    ours = visitor.cookies()["ct_vid"]["value"]
    for event in (visit, view):
        assert event["url"] == world.site.at(path)
        assert event["title"] == "Schuhe für Ödön 鞋"
        assert event["visitor_id"] in (ours, visitor.cookies()["ct_id"]["value"])


def test_a_second_page_belongs_to_the_visit_and_engages_in_it(world: World, visitor: Visitor) -> None:
    second = world.page(world.tag())
    first = world.page(world.tag(), f"<a href={second}>on</a>")
    visitor.open(first).click("a")
    world.kinds(first, "visit", "pageview")
    view, engagement = sorted(world.kinds(second, "pageview", "engagement"), key=lambda e: e["kind"])[::-1]
    assert view["referrer"] == world.site.at(first)
    assert engagement["visitor_id"] == view["visitor_id"]


def test_scrolling_engages_once(world: World, visitor: Visitor) -> None:
    path = world.page(world.tag(), "<p style='height: 9000px'>long")
    page = visitor.open(path)
    for _ in range(3):
        page.mouse.wheel(0, 300)
    world.kinds(path, "visit", "pageview", "engagement")


def test_ten_seconds_of_looking_engage_and_nine_do_not(world: World, visitor: Visitor) -> None:
    visitor.context.clock.install(time=NOON)
    visitor.context.clock.pause_at(NOON)
    path = world.page(world.tag())
    page = visitor.open(path)
    page.clock.run_for(9_000)
    world.kinds(path, "visit", "pageview")
    page.clock.run_for(2_000)
    world.kinds(path, "visit", "pageview", "engagement")


def test_half_an_hour_of_silence_ends_a_visit(world: World, visitor: Visitor) -> None:
    visitor.context.clock.install()
    path = world.page(world.tag())
    visitor.open(path)
    visitor.page.clock.fast_forward(29 * MINUTES)
    visitor.open(path + "?still")
    world.kinds(f"{path}?still", "pageview", "engagement")
    visitor.page.clock.fast_forward(31 * MINUTES)
    visitor.open(path + "?again")
    world.kinds(f"{path}?again", "visit", "pageview")


def test_a_new_campaign_begins_a_visit_and_the_same_one_does_not(world: World, visitor: Visitor) -> None:
    path = world.page(world.tag())
    first = "?utm_source=news&utm_medium=mail&gclid=Case-Sensitive&colour=red"
    visitor.open(path + first)
    visitor.open(path + first + "&size=9")
    world.kinds(f"{path}{first}", "visit", "pageview", "pageview", "engagement")
    visitor.open(path + "?utm_source=other")
    world.kinds(f"{path}?utm_source=other", "visit", "pageview")
    visitor.open(path + "?colour=red")
    view, _ = sorted(
        world.kinds(f"{path}?colour", "pageview", "engagement"), key=lambda e: e["kind"] != "pageview"
    )
    assert view["source"] == "other"


def test_what_is_told_later_in_a_visit_carries_its_campaign_and_click_ids(
    world: World, visitor: Visitor
) -> None:
    path = world.page(world.tag())
    visitor.open(path + "?utm_source=news&utm_campaign=spring&gclid=AbC-1&fbclid=XyZ")
    visitor.open(path + "?later")
    visitor.page.evaluate("ct('lead', {value: 3, currency: 'EUR'})")
    told = world.kinds(f"{path}?later", "pageview", "engagement", "lead")
    for event in told:
        assert event["utm"] == {"source": "news", "campaign": "spring"}
        assert event["click_ids"] == {"gclid": "AbC-1", "fbclid": "XyZ"}


def test_a_page_that_changes_without_loading_is_viewed_anew_with_its_new_title(
    world: World, visitor: Visitor
) -> None:
    path = world.page(world.tag())
    page = visitor.open(path)
    page.evaluate(
        """path => {
        history.pushState({}, "", path + "/two");
        history.replaceState({now: 1}, "", path + "/two");
        setTimeout(() => document.title = "Two", 20);
    }""",
        path,
    )
    _, _, view, _ = world.kinds(path, "visit", "pageview", "pageview", "engagement")
    assert (view["url"], view["referrer"], view["title"]) == (
        world.site.at(path + "/two"), world.site.at(path), "Two",
    )  # fmt: skip
    page.go_back()
    world.kinds(path, "visit", "pageview", "pageview", "engagement", "pageview")


@pytest.mark.parametrize(
    ("attribute", "views"), [("", 1), ('data-exclude-hash="false"', 2), ("data-exclude-search", 1)]
)
def test_fragments_are_pages_only_where_the_site_says_so(
    world: World, visitor: Visitor, attribute: str, views: int
) -> None:
    path = world.page(world.tag(f"data-debug {attribute}"), "<a href='#part'>part</a>")
    page = visitor.open(path + "?token=secret")
    page.click("a")
    page.evaluate("ct('lead')")
    expected = sorted(["visit", "lead", *["pageview"] * views, *["engagement"] * (views - 1)])
    told = world.stored_when(path, lambda found: len(found) >= len(expected))
    assert sorted(event["kind"] for event in told) == expected
    assert any("#part" in event["url"] for event in told) == (views == 2)
    assert any("secret" in event["url"] for event in told) == ("search" not in attribute)


def test_a_page_that_comes_back_from_the_browsers_memory_is_viewed_again(
    world: World, visitor: Visitor
) -> None:
    away = world.page("", "elsewhere")
    path = world.page(
        world.tag() + "<script>addEventListener('pageshow', e => window.back = e.persisted)</script>"
    )
    visitor.open(path)
    world.kinds(path, "visit", "pageview")
    page = visitor.open(away)
    page.go_back(wait_until="commit")  # it does not load
    assert page.evaluate("window.back") is True
    world.kinds(path, "visit", "pageview", "pageview", "engagement")


def test_a_page_that_is_only_prepared_is_no_view_until_somebody_sees_it(world: World, tmp_path: Path) -> None:
    """Without a driver: while one looks on, Chromium prepares no pages."""
    ran = "/ran-when-prepared"
    path = world.page(
        world.tag()
        + "<script>addEventListener('DOMContentLoaded', () => {"
        + " ct('lead'); history.replaceState({}, '', location.pathname + '/moved');"
        + f" document.prerendering && setTimeout(() => fetch('{ran}'), 300); }})</script>"
    )
    rules = json.dumps({"prerender": [{"source": "list", "urls": [path]}]})
    first = world.page(
        f"<script type=speculationrules>{rules}</script>"
        f"<script>fetch('/go-on').then(() => location = '{path}')</script>"
    )
    go_on = world.site.hang("/go-on")
    flags = [*FLAGS, "--headless=new", f"--user-agent={AGENT}", f"--user-data-dir={tmp_path}"]
    flags.remove("--disable-background-networking")  # to prepare a page is that
    browser = [str(shutil.which("chromium")), *flags, world.site.at(first)]
    with subprocess.Popen(browser, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: ran in world.site.asked)
            world.settle()
            assert world.stored(path) == []
            go_on.set()
            _, _, view = world.kinds(path, "visit", "lead", "pageview")
            assert view["url"] == world.site.at(path + "/moved")
        finally:
            process.terminate()


def test_a_clock_that_is_hours_wrong_is_corrected(world: World, visitor: Visitor) -> None:
    visitor.context.clock.install(time="2026-01-01T00:00:00Z")
    path = world.page(world.tag())
    visitor.open(path)
    for event in world.kinds(path, "visit", "pageview"):
        assert abs(event["occurred_at"] - event["received_at"]) < 60_000_000


def test_a_page_that_has_the_script_twice_is_counted_once(world: World, visitor: Visitor) -> None:
    path = world.page(world.tag() + world.tag(name="c.full.js"))
    visitor.open(path)
    world.kinds(path, "visit", "pageview")


def test_one_visitor_on_all_names_of_a_site_and_another_in_another_browser(
    world: World, visitors: Make
) -> None:
    path = world.page(world.tag())
    one, other = visitors(), visitors()
    one.open(path, "shop.localhost")
    cookie = one.cookies()["ct_vid"]["value"]
    one.open(path + "?www", "www.shop.localhost")
    assert one.cookies()["ct_vid"]["value"] == cookie
    other.open(path)
    assert other.cookies()["ct_vid"]["value"] != cookie


def test_a_page_that_changes_is_not_viewed_where_the_site_tells_of_views_itself(
    world: World, visitor: Visitor
) -> None:
    visitor.context.clock.install()
    path = world.page(world.tag('data-debug data-auto-track="false"'))
    page = visitor.open(path)
    page.evaluate("history.pushState({}, '', location.pathname + '/two')")
    page.clock.run_for(1_000)
    page.evaluate("ct('lead')")
    world.kinds(path, "visit", "lead")


def test_an_address_that_stays_is_no_new_page_when_the_visitors_choice_changes(
    world: World, visitor: Visitor
) -> None:
    visitor.context.clock.install()
    path = world.page(world.tag())
    page = visitor.open(path + "?colour=red")
    page.evaluate("ct('consent', 'update', {analytics_storage: 'denied'})")
    page.evaluate("history.replaceState({}, '', location.href)")
    page.clock.run_for(1_000)
    page.evaluate("ct('lead')")
    world.kinds(path, "visit", "pageview", "lead")


def test_scrolling_in_a_box_of_the_page_is_no_engagement(world: World, visitor: Visitor) -> None:
    box = "<div id=box style='height: 99px; overflow: auto'><p style='height: 9000px'>long</div>"
    path = world.page(world.tag(), box)
    page = visitor.open(path)
    page.evaluate("new Promise(done => { box.onscroll = done; box.scrollTop = 500; })")
    page.evaluate("ct('lead')")
    world.kinds(path, "visit", "pageview", "lead")
