"""A choice that changes: here, on another page, before the script is there, and what is told meanwhile."""

import pytest

from tests.browser.conftest import Visitor, World
from tests.browser.test_consent import DENIED, GRANTED, nothing_kept, say
from tests.conftest import wait_until


def test_a_no_on_one_page_holds_on_the_page_before_that_comes_back(world: World, visitor: Visitor) -> None:
    path = world.page(world.tag())
    page = visitor.open(path)
    world.kinds(path, "visit", "pageview")
    other = world.page(world.tag('data-debug data-consent="denied"'))
    visitor.open(other)
    say(visitor, "update", DENIED)
    world.kinds(other, "visit", "pageview")
    wait_until(lambda: nothing_kept(visitor))
    page.go_back(wait_until="commit")
    page.evaluate("ct('user', 'planted-again')")
    back = world.kinds(path, "visit", "pageview", "pageview", "engagement")[2:]
    assert {(event["visitor"], event.get("visitor_id", "")) for event in back} == {(0, "")}
    assert nothing_kept(visitor)


def test_a_no_in_one_tab_holds_in_another_and_a_new_yes_there_counts(world: World, visitor: Visitor) -> None:
    path = world.page(world.tag())
    visitor.open(path)
    world.kinds(path, "visit", "pageview")
    other = visitor.context.new_page()
    other.goto(world.site.at(world.page(world.tag())))
    other.evaluate("choice => ct('consent', 'update', choice)", DENIED)
    wait_until(lambda: "ct_vid" not in visitor.cookies())
    visitor.page.evaluate("ct('lead')")
    assert world.kinds(path, "visit", "pageview", "lead")[2]["visitor"] == 0
    assert visitor.storage() == {} and "ct_vid" not in visitor.cookies()
    say(visitor, "update", GRANTED)
    assert world.kinds(path, "visit", "pageview", "lead", "visit")[3]["visitor"] != 0


def test_what_was_kept_is_sent_once_consent_is_given_where_it_starts_denied(
    world: World, visitor: Visitor
) -> None:
    path = world.page(world.tag())
    world.site.shut = True
    visitor.open(path)
    wait_until(lambda: "ct_q." in repr(visitor.storage()))
    later = world.page(world.tag('data-debug data-consent="denied"'))
    visitor.open(later)
    world.site.shut = False
    world.settle()
    assert world.stored(path) == []
    say(visitor, "update", GRANTED)
    world.kinds(path, "visit", "pageview")
    wait_until(lambda: set(visitor.storage()) == {"ct"})


def test_a_choice_that_changes_begins_no_visit_and_no_click_id_is_told_against_it(
    world: World, visitor: Visitor
) -> None:
    path = world.page(world.tag())
    page = visitor.open(path + "?utm_source=news&gclid=G1")
    for mind in ("denied", "granted"):
        say(visitor, "update", {"ad_storage": mind})
        page.evaluate("ct('lead')")
    say(visitor, "update", DENIED)
    page.evaluate("ct('lead')")
    told = world.kinds(path, "visit", "pageview", "lead", "lead", "lead")
    assert [event.get("click_ids") for event in told[2:]] == [None, {"gclid": "G1"}, None]
    assert [event["utm"] for event in told] == [{"source": "news"}] * 5


def test_after_a_no_nothing_tells_of_an_earlier_landing(world: World, visitor: Visitor) -> None:
    path = world.page(world.tag())
    visitor.open(path + "?utm_source=planted-source&gclid=G1")
    visitor.open(path + "?later")
    world.kinds(f"{path}?later", "pageview", "engagement")
    requests: list[str] = []
    visitor.context.on("request", lambda request: requests.append(request.post_data or ""))
    say(visitor, "update", DENIED)
    visitor.page.evaluate("ct('lead')")
    world.stored_when(path, lambda told: told and told[-1]["kind"] == "lead")
    visitor.page.evaluate("1")
    assert any("lead" in body for body in requests)
    assert not [body for body in requests if "planted-source" in body or "G1" in body]


@pytest.mark.parametrize(
    ("attributes", "choice", "query"),
    [
        ("", {}, "?token=secret&gclid=G1"),
        ("data-exclude-search", {}, ""),
        ("", {"ad_storage": "denied"}, "?token=secret"),
        ("", {"analytics_storage": "denied", "wait_for_update": 1}, ""),
    ],
)
def test_where_a_visitor_came_from_is_told_as_carefully_as_where_they_are(
    world: World, visitor: Visitor, attributes: str, choice: dict[str, object], query: str
) -> None:
    said = f"<script>ct('consent', 'default', {choice})</script>"
    path = world.page(world.snippets()["stub"] + said + world.tag(f"data-debug {attributes}"))
    before = world.site.at(world.page(""))
    visitor.open(path, referer=before + "?token=secret&gclid=G1")
    told = world.stored_when(path, lambda told: told and told[-1]["kind"] == "pageview")
    assert {event["referrer"] for event in told} == {before + query}


SECTION = """<script>window.__gpp = (command, answer) => answer({eventName: "signalStatus", pingData: {
    signalStatus: "ready", gppString: "DBABraw", applicableSections: [2],
    parsedSections: {tcfeuv2: [{PurposeConsents: CONSENTS}]}}}, true);
</script>"""


@pytest.mark.parametrize(
    ("consents", "measure", "ads"),
    [
        ("[true, false, false, false, false, false, true]", True, True),
        ("[true]", True, False),
        ("[false, false, false, false, false, false, true]", False, False),
        ("[]", False, False),
    ],
)
def test_the_european_section_of_gpp_decides_as_tcf_does(
    world: World, visitor: Visitor, consents: str, measure: bool, ads: bool
) -> None:
    path = world.page(SECTION.replace("CONSENTS", consents) + world.tag(name="c.full.js"))
    visitor.open(path)
    for event in world.kinds(path, "visit", "pageview"):
        assert (event["consent"]["measure"], event["consent"]["ads"]) == (measure, ads)


NOT_HERE = """<script>window.__tcfapi = (command, version, answer) => {
    window.answer = () => answer({eventStatus: "tcloaded", gdprApplies: false}, true);
};</script>"""


@pytest.mark.parametrize(
    ("attributes", "call"),
    [('data-consent="denied"', ""), ("", "ct('consent', 'default', {analytics_storage: 'denied'})")],
)
def test_a_law_that_does_not_apply_overrides_no_word_of_the_page(
    world: World, visitor: Visitor, attributes: str, call: str
) -> None:
    stub = world.snippets()["stub"]
    path = world.page(
        f"{NOT_HERE}{stub}<script>{call}</script>{world.tag(f'data-debug {attributes}', name='c.full.js')}"
    )
    visitor.open(path).evaluate("answer()")
    for event in world.kinds(path, "visit", "pageview"):
        assert (event["consent"]["measure"], event["visitor"]) == (False, 0)
    assert nothing_kept(visitor)
