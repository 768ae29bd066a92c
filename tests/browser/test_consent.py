"""What the visitor allows: by calls, a consent manager, signals of the browser, or the site's choice.

Denied means: nothing in the browser, no identifier sent, nothing of them in any file of the service.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Make, Visitor, World
from tests.conftest import wait_until

DENIED = {"analytics_storage": "denied", "ad_storage": "denied", "ad_user_data": "denied"}
GRANTED = dict.fromkeys(DENIED, "granted")

#: What only this visitor could be known by; searched for in every file.
PLANTED = (
    "planted-user-77",
    "planted.person",
    "4711223344",
    "planted-gclid",
    "planted-query",
    "Planted title",
)


def say(visitor: Visitor, mode: str, choice: dict[str, Any]) -> None:
    visitor.page.evaluate("([mode, choice]) => ct('consent', mode, choice)", [mode, choice])


def nothing_kept(visitor: Visitor) -> bool:
    return visitor.cookies() == {} and visitor.storage() == {}


def test_a_denied_visitor_is_counted_and_leaves_nothing_anywhere(world: World, visitor: Visitor) -> None:
    path = world.page(world.tag('data-debug data-consent="denied"'), title="Planted title")
    page = visitor.open(f"{path}?q=planted-query&gclid=planted-gclid&utm_source=news")
    say(visitor, "update", DENIED)
    page.evaluate("""() => {
        ct("user", "planted-user-77", {email: "planted.person@example.org"});
        ct("sale", {order_id: "o-1", value: 20, currency: "EUR", user_id: "planted-user-77",
          email: "planted.person@example.org", phone: "+4711223344"});
    }""")
    visit, view, sale = world.kinds(path, "visit", "pageview", "sale")
    assert (visit["source"], sale["value"]) == ("news", 20_000_000)
    for event in (visit, view, sale):
        assert event["url"] == world.site.at(path)
        assert event["consent"]["measure"] is False
        assert "visitor_id" not in event or event["visitor_id"] == ""
        assert event["visitor"] == 0
    visitor.open(f"{path}?q=planted-query")
    say(visitor, "update", DENIED)
    world.kinds(path, "visit", "pageview", "sale", "visit", "pageview")
    assert nothing_kept(visitor)
    files = [file for file in world.service.data.parent.rglob("*") if file.is_file()]
    assert len(files) > 5
    found = [(file.name, word) for file in files for word in PLANTED if word.encode() in file.read_bytes()]
    assert found == []


def test_until_the_visitor_has_chosen_calls_wait_and_a_yes_lets_them_go(
    world: World, visitor: Visitor
) -> None:
    path = world.page(world.tag('data-debug data-consent="denied"'))
    visitor.open(path + "?gclid=G1").evaluate("ct('lead')")
    assert nothing_kept(visitor)
    world.settle()
    assert world.stored(path) == []
    say(visitor, "update", GRANTED)
    told = world.kinds(path, "visit", "pageview", "lead")
    assert len({event["visitor"] for event in told}) == 1 and told[0]["visitor"] != 0
    assert told[0]["click_ids"] == {"gclid": "G1"}
    assert told[0]["consent"]["measure"] is True and told[0]["consent"]["ads"] is True
    assert "ct_vid" in visitor.cookies()


def test_after_the_time_that_the_page_gives_them_they_go_without_a_name_and_a_late_yes_begins_a_visit(
    world: World, visitor: Visitor
) -> None:
    visitor.context.clock.install()
    wait = "ct('consent', 'default', {analytics_storage: 'denied', wait_for_update: 600000})"
    path = world.page(f"{world.snippets()['stub']}<script>{wait}</script>{world.tag()}")
    page = visitor.open(path)
    page.clock.fast_forward(300_000)
    world.settle()
    assert world.stored(path) == []
    page.clock.fast_forward(301_000)
    unnamed = world.kinds(path, "visit", "pageview")
    assert {event["visitor"] for event in unnamed} == {0}
    assert nothing_kept(visitor)
    say(visitor, "update", {"analytics_storage": "granted"})
    assert world.kinds(path, "visit", "pageview", "visit")[2]["visitor"] != 0


def test_a_visitor_who_leaves_without_choosing_is_counted_without_a_name(
    world: World, visitor: Visitor
) -> None:
    path = world.page(world.tag('data-debug data-consent="denied"'))
    visitor.open(path + "?secret")
    visitor.open(world.page("", "elsewhere"))
    for event in world.kinds(path, "visit", "pageview"):
        assert (event["visitor"], event["url"]) == (0, world.site.at(path))
    assert nothing_kept(visitor)


def test_a_no_after_a_yes_takes_away_what_was_kept(world: World, visitor: Visitor) -> None:
    path = world.page(world.tag())
    visitor.open(path)
    world.kinds(path, "visit", "pageview")
    assert set(visitor.cookies()) == {"ct_id", "ct_vid"}
    say(visitor, "update", DENIED)
    visitor.page.evaluate("ct('lead')")
    assert world.kinds(path, "visit", "pageview", "lead")[2]["visitor"] == 0
    wait_until(lambda: nothing_kept(visitor))


def test_advertising_alone_may_be_denied(world: World, visitor: Visitor) -> None:
    path = world.page(world.tag())
    visitor.open(path)
    say(
        visitor,
        "update",
        {"ad_storage": "denied", "ad_personalization": "denied", "security_storage": "granted"},
    )
    visitor.open(path + "?utm_source=news&gclid=planted-gclid&ct_click=x")
    say(visitor, "update", {"ad_storage": "denied"})
    lead = visitor.page.evaluate("ct('lead')") or world.stored_when(
        path, lambda told: told and told[-1]["kind"] == "lead"
    )
    assert lead[-1]["consent"]["ads"] is False and "measure" not in lead[-1]["consent"]
    assert lead[-1]["visitor"] != 0


#: By what a browser says it: to the page, or to the server.
GPC: dict[str, tuple[dict[str, Any], str]] = {
    "page": ({}, "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true})"),
    "header": ({"extra_http_headers": {"Sec-GPC": "1"}}, ""),
}


@pytest.mark.parametrize("signal", GPC)
def test_global_privacy_control_is_measured_and_marked_never_to_be_shared(
    world: World, visitors: Make, signal: str
) -> None:
    options, script = GPC[signal]
    visitor = visitors(**options)
    visitor.context.add_init_script(script)
    path = world.page(world.tag())
    visitor.open(path)
    for event in world.kinds(path, "visit", "pageview"):
        assert event["consent"] == {"ads": False, "gpc": True, "source": "gpc"}
        assert event["visitor"] != 0


def test_do_not_track_counts_where_the_site_says_so(world: World, visitor: Visitor) -> None:
    visitor.context.add_init_script(
        "Object.defineProperty(Navigator.prototype, 'doNotTrack', {get: () => '1'})"
    )
    heeded = world.page(world.tag("data-debug data-do-not-track"))
    other = world.page(world.tag())
    visitor.open(heeded).evaluate("ct('lead')")
    visitor.hears("[clicktrail] sends nothing: do not track")
    assert nothing_kept(visitor)
    visitor.open(other)
    world.kinds(other, "visit", "pageview")
    assert world.stored(heeded) == []


def test_without_cookies_nothing_is_kept_in_the_browser_and_pages_are_told_of(
    world: World, visitor: Visitor
) -> None:
    first = world.page(world.tag())
    visitor.open(first)  # with them
    world.kinds(first, "visit", "pageview")
    assert set(visitor.cookies()) == {"ct_id", "ct_vid"} and visitor.storage() != {}
    path = world.page(world.tag("data-debug data-cookieless"))
    visitor.open(path)
    visitor.page.evaluate("ct('lead', {value: 1, currency: 'EUR'})")
    visitor.open(path + "?next", referer=world.site.at(path))
    told = world.kinds(path, "visit", "pageview", "lead", "pageview")
    assert {event.get("visitor_id", "") for event in told} == {""}
    wait_until(lambda: nothing_kept(visitor))


MANAGER = """<script>
window.__tcfapi = (command, version, answer) => {
    window.answer = (status, consents, applies) => answer(
        {eventStatus: status, gdprApplies: applies, tcString: "CPxRaw", purpose: {consents}}, true);
    answer({eventStatus: "cmpuishown", gdprApplies: true, tcString: "", purpose: {consents: {}}}, true);
};
</script>"""


@pytest.mark.parametrize(
    ("consents", "applies", "measure", "ads"),
    [
        ({"1": True, "7": True}, True, True, True),
        ({"1": True}, True, True, False),
        ({"7": True}, True, False, False),
        ({}, False, True, True),
    ],
)
def test_a_manager_by_tcf_decides_and_until_then_nothing_is_sent(
    world: World, visitor: Visitor, consents: dict[str, bool], applies: bool, measure: bool, ads: bool
) -> None:
    path = world.page(MANAGER + world.tag(name="c.full.js"))
    page = visitor.open(path)
    assert nothing_kept(visitor)
    world.settle()
    assert world.stored(path) == []
    page.evaluate(
        "([consents, applies]) => answer('useractioncomplete', consents, applies)", [consents, applies]
    )
    for event in world.kinds(path, "visit", "pageview"):
        agreed = event["consent"]
        assert (agreed["measure"], agreed["ads"], agreed["source"]) == (measure, ads, "tcf")
        assert agreed.get("raw") == ("CPxRaw" if applies and measure else None)
        assert (event["visitor"] != 0) == measure


@pytest.mark.parametrize(("opt_out", "ads"), [(1, False), (2, True)])
def test_what_a_manager_says_by_gpp_is_kept_and_its_opt_outs_are_heeded(
    world: World, visitor: Visitor, opt_out: int, ads: bool
) -> None:
    manager = """<script>window.__gpp = (command, answer) => {
        const tell = (signalStatus) => answer({eventName: "signalStatus", pingData: {
            signalStatus, gppString: "DBABraw", parsedSections: {usnat: [{SaleOptOut: %d}]}}}, true);
        tell("not ready");
        window.ready = () => tell("ready");
    }</script>""".replace("%d", str(opt_out))
    path = world.page(manager + world.tag(name="c.full.js"))
    page = visitor.open(path)
    assert nothing_kept(visitor)
    page.evaluate("ready()")
    for event in world.kinds(path, "visit", "pageview"):
        assert event["consent"] == {"measure": True, "ads": ads, "source": "gpp", "raw": "DBABraw"}


def test_the_cookies_are_as_written_and_no_visit_extends_them(world: World, visitor: Visitor) -> None:
    path = world.page(world.tag())
    with visitor.page.expect_response("**/t/collect") as told:
        visitor.open(path)
    by_http = told.value.header_value("set-cookie")
    assert by_http is not None
    name, *flags = by_http.split("; ")
    assert flags == ["Max-Age=34128000", "Path=/", "HttpOnly", "SameSite=Lax", "Secure"]
    kept = visitor.cookies()
    assert name == f"ct_id={kept['ct_id']['value']}"
    assert (kept["ct_id"]["httpOnly"], kept["ct_id"]["secure"], kept["ct_id"]["sameSite"]) == (
        True,
        True,
        "Lax",
    )
    assert (kept["ct_vid"]["httpOnly"], kept["ct_vid"]["sameSite"]) == (False, "Lax")
    assert kept["ct_vid"]["domain"] == ".shop.localhost"
    thirteen_months = 395 * 24 * 3600
    for cookie in ("ct_id", "ct_vid"):
        age = kept[cookie]["expires"] - visitor.page.evaluate("Date.now() / 1000")
        assert thirteen_months - 120 < age <= thirteen_months
    with visitor.page.expect_response("**/t/collect") as told:
        visitor.open(path + "?again")
    assert told.value.header_value("set-cookie") is None
    assert visitor.cookies() == kept


def test_on_another_site_there_is_no_cookie_by_http_and_the_tags_own_id_does(
    world: World, visitor: Visitor
) -> None:
    path = world.page(world.tag(base=world.service.url))
    visitor.open(path)
    told = world.kinds(path, "visit", "pageview")
    assert set(visitor.cookies()) == {"ct_vid"}
    assert {event["visitor_id"] for event in told} == {visitor.cookies()["ct_vid"]["value"]}


def test_with_a_list_of_origins_only_those_are_heard_and_may_read_the_answer(
    world: World, visitor: Visitor
) -> None:
    base = world.service.url.replace("127.0.0.1", "t.shop.localhost")
    path = world.page(world.tag('data-debug data-fetch-credentials="include"', base=base))
    with world.service.client("admin") as client:
        client.patch("/v1/workspace", json={"origins": [world.site.at("")]}).raise_for_status()
    try:
        with visitor.page.expect_response("**/collect") as told:
            visitor.open(path)
        assert told.value.status == 202
        assert told.value.header_value("access-control-allow-credentials") == "true"
        world.kinds(path, "visit", "pageview")
        assert {"ct_id", "ct_vid"} <= set(visitor.cookies())  # the same site: a cookie by HTTP
        visitor.open(path + "?elsewhere", "evil.localhost")
        visitor.hears("[clicktrail] not sent")
        world.settle()
        assert world.stored(f"{path}?elsewhere") == []
    finally:
        with world.service.client("admin") as client:
            client.patch("/v1/workspace", json={"origins": []}).raise_for_status()


def test_the_logs_of_all_this_hold_nobodys_address(world: World, visitor: Visitor) -> None:
    """What the tests above sent while it was allowed."""
    path = world.page(world.tag())
    visitor.open(path).evaluate("ct('lead', {email: 'somebody.real@example.org', phone: '+4798765432'})")
    world.kinds(path, "visit", "pageview", "lead")
    files: list[Path] = [file for file in world.service.data.parent.rglob("*") if file.is_file()]
    for word in (b"somebody.real", b"98765432"):
        assert [file.name for file in files if word in file.read_bytes()] == []
