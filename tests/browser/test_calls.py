"""What a site tells: calls, calls before the script is there, and elements that say what they stand for."""

import pytest

from tests.browser.conftest import Visitor, World


def test_a_sale_a_lead_and_any_goal(world: World, visitor: Visitor) -> None:
    path = world.page(world.tag())
    page = visitor.open(path)
    order = f"order-{path}"
    page.evaluate(
        """order => {
        ct("sale", {order_id: order, value: 0.1 + 0.2, currency: "EUR", new_customer: true, coupon: "MAI"});
        ct("lead", {lead_id: "L1", properties: {form: "contact"}, plan: "Pro ☃"});
        ct("signup", {value: "12.50", currency: "usd"});
        ct("bought", {order_id: order + "-2"});
    }""",
        order,
    )
    told = {
        (event["kind"], event["goal"]): event
        for event in world.kinds(path, "visit", "pageview", "sale", "lead", "lead", "sale")
    }
    sale = told["sale", "sale"]
    assert (sale["order_id"], sale["value"], sale["currency"]) == (order, 300_000, "EUR")
    assert (sale["new_customer"], sale["properties"]) == (1, {"coupon": "MAI"})
    assert told["lead", "lead"]["properties"] == {"form": "contact", "plan": "Pro ☃"}
    assert (told["lead", "signup"]["value"], told["lead", "signup"]["currency"]) == (12_500_000, "USD")
    assert told["sale", "bought"]["order_id"] == f"{order}-2"


def test_who_the_visitor_is_said_to_be(world: World, visitor: Visitor) -> None:
    path = world.page(world.tag())
    page = visitor.open(path)
    page.evaluate("ct('user', 'u-1', {email: 'Zoë@Example.ORG'}); ct('lead'); ct('lead')")
    first, second = world.kinds(path, "visit", "pageview", "lead", "lead")[2:]
    assert "email" in first and "email" not in second
    assert "example" not in repr(first["email"]).lower()
    visitor.open(path + "?later")
    assert {event["user_id"] for event in world.kinds(f"{path}?later", "pageview", "engagement")} == {"u-1"}
    page.evaluate("ct('user', null)")
    visitor.open(path + "?out")
    assert {event["user_id"] for event in world.kinds(f"{path}?out", "pageview")} == {""}


def test_calls_before_the_script_is_there_keep_the_page_they_were_made_on(
    world: World, visitor: Visitor
) -> None:
    path = world.page(
        world.snippets()["stub"]
        + "<script>ct('lead', {plan: 'early'});"
        + "history.replaceState({}, '', location.pathname + '/moved')</script>"
        + world.tag(),
        title="Early",
    )
    visitor.open(path)
    told = world.kinds(path, "visit", "lead", "pageview")
    assert [event["url"] for event in told] == [
        world.site.at(path), world.site.at(path), world.site.at(path + "/moved"),
    ]  # fmt: skip


ELEMENTS = """
<button data-ct-event="signup" data-ct-value="9.90" data-ct-currency="EUR" data-ct-prop-plan-name="Pro"
  data-ct-prop-value="x"><b id=inside>Sign up</b></button>
<form data-ct-event="lead" data-ct-lead-id="L-7" action="{path}/thanks"><input name=q><input type=submit>
</form>
<a id=away data-ct-event="left" href="{path}/away">away</a>
"""


def test_elements_tell_of_clicks_and_submits_and_what_they_do_is_done_all_the_same(
    world: World, visitor: Visitor
) -> None:
    path = world.page(world.tag())
    world.site.pages[path] += ELEMENTS.format(path=path)
    page = visitor.open(path)
    page.click("#inside")
    page.click("[name=q]")  # in a form, and no submit
    page.click("[type=submit]")
    page.wait_for_url(lambda url: url.endswith("/thanks?q="))
    signup, lead = world.kinds(path, "visit", "pageview", "lead", "lead")[2:]
    assert (signup["goal"], signup["value"], signup["currency"]) == ("signup", 9_900_000, "EUR")
    assert signup["properties"] == {"plan-name": "Pro", "value": "x"}
    assert lead["lead_id"] == "L-7"
    page = visitor.open(path)
    page.click("#away")
    page.wait_for_url("**/away")
    assert "left" in {event["goal"] for event in world.stored_when(path, lambda told: len(told) == 7)}


def test_a_page_may_change_what_is_sent_and_keep_it_back(world: World, visitor: Visitor) -> None:
    judge = """<script>function judge(name, event) {
        if (name == "pageview") return null;
        return {...event, title: "changed"};
    }</script>"""
    path = world.page(
        judge + world.tag('data-debug data-before-send="judge" data-tag="version B"', name="c.full.js")
    )
    visitor.open(path).evaluate("ct('lead')")
    visit, lead = world.kinds(path, "visit", "lead")
    assert (visit["title"], visit["properties"]) == ("changed", {"tag": "version B"})
    assert lead["properties"] == {"tag": "version B"}
    visitor.hears("[clicktrail] not sent")


def test_what_no_event_can_hold_costs_the_page_nothing_and_is_explained(
    world: World, visitor: Visitor
) -> None:
    path = world.page(world.tag(), title="\x01 control \ud83d".encode("utf-8", "replace").decode())
    page = visitor.open(path)
    page.evaluate("""() => {
        document.title = "half \\ud83d and control \\x07";
        ct("lead", {value: "much", currency: "EUR"});
        const round = {}; round.round = round; ct("lead", {round});
        ct("lead", {big: 1n}); ct(); ct("lead", 5); ct("lead", null);
    }""")
    told = world.stored_when(path, lambda told: len(told) >= 4)
    assert [event["kind"] for event in told] == ["visit", "pageview", "lead", "lead"]
    assert told[2]["title"] == "half   and control"
    visitor.hears("amount_invalid")


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [("", "automation"), ('data-debug data-domains="shop.example, other.example"', "data-domains")],
)
def test_nothing_is_sent_from_where_nothing_should_be_and_the_console_says_why(
    world: World, visitor: Visitor, attributes: str, reason: str
) -> None:
    path = world.page(world.tag(attributes, name="c.full.js"))
    page = visitor.open(path)
    page.evaluate("ct('lead')")
    visitor.hears(f"[clicktrail] sends nothing: {reason}")
    world.settle()
    assert world.stored(path) == []
    assert visitor.cookies() == {}


def test_one_page_view_by_hand_where_the_site_wants_no_other(world: World, visitor: Visitor) -> None:
    path = world.page(world.tag('data-debug data-auto-track="false"'))
    visitor.open(path).evaluate("ct('pageview')")
    world.kinds(path, "visit", "pageview")


def test_a_call_that_fails_costs_the_others_nothing(world: World, visitor: Visitor) -> None:
    calls = "ct('lead', {n: 10n}); ct('consent', 'default', null); ct('lead', {lead_id: 'fine'})"
    path = world.page(f"{world.snippets()['stub']}<script>{calls}</script>{world.tag()}")
    visitor.open(path)
    assert world.kinds(path, "visit", "lead", "pageview")[1]["lead_id"] == "fine"
    assert not [line for line in visitor.said if line.startswith("error")]


def test_a_judge_and_a_manager_that_fail_cost_the_page_nothing(world: World, visitor: Visitor) -> None:
    head = """<script>
        function judge(name, event) { if (name == "pageview") throw new Error("no"); return event; }
        window.__tcfapi = () => { throw new Error("no") };
    </script>"""
    path = world.page(head + world.tag('data-debug data-before-send="judge"', name="c.full.js"))
    page = visitor.open(path)
    page.evaluate("ct('consent', 'update', {analytics_storage: 'granted'}); ct('lead')")
    world.kinds(path, "visit", "lead")
    assert not [line for line in visitor.said if line.startswith("error")]


def test_a_frame_without_cookies_or_storage_is_measured(world: World, visitor: Visitor) -> None:
    framed = world.page(world.tag())
    visitor.open(world.page("", f"<iframe sandbox=allow-scripts src='{framed}'></iframe>"))
    world.kinds(framed, "visit", "pageview")
    assert not [line for line in visitor.said if line.startswith("error")]
