"""From browser to service: nothing is lost when pages go or networks fail, and nothing counts twice."""

import os
from typing import Any

from tests.browser.conftest import Visitor, World
from tests.conftest import wait_until

COLLECT = "**/t/collect"

#: Clicks that leave the page at once; all of issue 4's thousand where there is time.
CLICKS = 1000 if os.environ.get("CLICKTRAIL_FAULTS") == "long" else 100

#: A page that leaves itself as soon as it has loaded, by a click (or a submit) that is to be told of.
LEAVING = """
<a data-ct-event=lead></a><form data-ct-event=lead method=get></form>
<script>
const n = +(/n=(\\d+)/.exec(location.search) || [0, 0])[1];
const next = n < %d - 1 ? location.pathname + "?n=" + (n + 1) : "/left";
const [link, form] = [document.querySelector("a"), document.querySelector("form")];
link.href = next;
link.dataset.ctLeadId = form.dataset.ctLeadId = "n" + n;
form.action = next;
if (n %% 2) form.innerHTML = "<input name=n value=" + (n + 1) + "><button>";
addEventListener("load", () => n %% 2 && n < %d - 1 ? form.querySelector("button").click() : link.click());
</script>
"""


def test_no_click_is_lost_when_the_page_is_left_at_once(world: World, visitor: Visitor, report: Any) -> None:
    world.site.pages["/left"] = "left"
    path = world.page(world.tag('data-debug data-auto-track="false"'), LEAVING % (CLICKS, CLICKS))
    page = visitor.open(path, wait_until="commit")
    page.wait_for_url("**/left", timeout=300_000)
    page.close()  # and the last one closes the tab
    told = world.stored_when(
        path, lambda told: len({event["lead_id"] for event in told if event["kind"] == "lead"}) == CLICKS
    )
    world.settle()
    leads = [event for event in world.stored(path) if event["kind"] == "lead"]
    assert sorted(event["lead_id"] for event in leads) == sorted(f"n{n}" for n in range(CLICKS))
    assert told
    report(f"tag: {CLICKS} clicks that left their page at once, {CLICKS - len(leads)} lost")


def test_much_at_once_is_split_below_what_browsers_carry_and_needs_no_preflight(
    world: World, visitor: Visitor
) -> None:
    path = world.page(world.tag())
    requests: list[Any] = []
    visitor.context.on("request", lambda request: requests.append(request))
    page = visitor.open(path)
    page.evaluate("""() => {
        for (let n = 0; n < 120; n++) ct("lead", {lead_id: "n" + n, text: "é".repeat(1500)});
    }""")
    told = world.stored_when(path, lambda told: len(told) == 122)
    assert len({event["lead_id"] for event in told if event["kind"] == "lead"}) == 120
    page.evaluate("1")  # the driver hears of requests while it is asked something
    sent = [request for request in requests if request.url.endswith("/collect")]
    assert len(sent) > 5
    assert {request.method for request in sent} == {"POST"}
    assert max(len(request.post_data_buffer or b"") for request in sent) <= 64 * 1024
    assert {request.headers["content-type"] for request in sent} == {"text/plain;charset=UTF-8"}


def test_what_was_told_offline_is_sent_when_the_network_is_back(world: World, visitor: Visitor) -> None:
    path = world.page(world.tag())
    page = visitor.open(path)
    world.kinds(path, "visit", "pageview")
    visitor.context.set_offline(True)
    page.evaluate("ct('lead', {lead_id: 'offline'})")
    wait_until(lambda: any(name.startswith("ct_q.") for name in visitor.storage()))
    visitor.context.set_offline(False)
    world.kinds(path, "visit", "pageview", "lead")
    wait_until(lambda: set(visitor.storage()) == {"ct"})


def test_what_a_page_could_not_send_the_next_one_does_and_no_address_lay_about(
    world: World, visitor: Visitor
) -> None:
    path = world.page(world.tag())
    visitor.context.route(COLLECT, lambda route: route.abort())
    page = visitor.open(path)
    page.evaluate("ct('lead', {lead_id: 'kept', email: 'someone@example.org', phone: '+4722334455'})")
    wait_until(lambda: "kept" in repr(visitor.storage()))
    kept = repr(visitor.storage())
    assert "someone" not in kept and "2233" not in kept
    world.settle()
    assert world.stored(path) == []
    visitor.context.unroute(COLLECT)
    visitor.open(world.page(world.tag()))
    world.kinds(path, "visit", "pageview", "lead")
    wait_until(lambda: set(visitor.storage()) == {"ct"})


def test_what_arrived_without_an_answer_is_sent_again_and_counts_once(world: World, visitor: Visitor) -> None:
    path = world.page(world.tag())
    visitor.open(path)
    world.kinds(path, "visit", "pageview")
    world.site.mute = True
    visitor.page.evaluate("ct('sale', {order_id: location.pathname, value: 5, currency: 'EUR'})")
    wait_until(lambda: "ct_q." in repr(visitor.storage()))
    world.site.mute = False
    world.kinds(path, "visit", "pageview", "sale")
    visitor.open(world.page(world.tag()))
    wait_until(lambda: set(visitor.storage()) == {"ct"})
    world.kinds(path, "visit", "pageview", "sale")


def test_a_service_that_has_no_room_is_tried_again(world: World, visitor: Visitor) -> None:
    visitor.context.clock.install()
    path = world.page(world.tag())
    world.site.shut = True
    page = visitor.open(path)
    wait_until(lambda: "ct_q." in repr(visitor.storage()))
    world.site.shut = False
    page.clock.run_for(6_000)
    world.kinds(path, "visit", "pageview")


def test_a_browser_without_storage_is_measured_all_the_same(world: World, visitor: Visitor) -> None:
    visitor.context.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('no') }})"
    )
    path = world.page(world.tag())
    visitor.open(path).evaluate("ct('lead')")
    world.kinds(path, "visit", "pageview", "lead")
    assert not [line for line in visitor.said if line.startswith("error")]


#: As if another tab came to the front.
HIDE = """() => {
    Object.defineProperty(document, "hidden", {value: true});
    Object.defineProperty(document, "visibilityState", {value: "hidden"});
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_what_fails_while_nobody_looks_or_the_page_goes_is_kept_until_the_door_has_it(
    world: World, visitor: Visitor
) -> None:
    path = world.page(world.tag())
    world.site.shut = True
    page = visitor.open(path)
    wait_until(lambda: "ct_q." in repr(visitor.storage()))
    with page.expect_response("**/t/collect"):
        page.evaluate(HIDE)
    page.evaluate("ct('lead', {lead_id: 'hidden'})")
    wait_until(lambda: "hidden" in repr(visitor.storage()))
    visitor.open(world.page("", "elsewhere"))
    world.site.shut = False
    assert sum(name.startswith("ct_q.") for name in visitor.storage()) == 3
    visitor.open(world.page(world.tag()))
    world.kinds(path, "visit", "pageview", "lead")
    wait_until(lambda: set(visitor.storage()) == {"ct"})


def test_where_to_send_may_end_in_a_slash(world: World, visitor: Visitor) -> None:
    path = world.page(world.tag('data-debug data-host-url="/t/"'))
    visitor.open(path)
    world.kinds(path, "visit", "pageview")
