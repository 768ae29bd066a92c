"""The page comes first: with the script blocked, or a server that hangs, it is what it would be without."""

from tests.browser.conftest import Visitor, World
from tests.conftest import wait_until

ORDER = """<script>window.order = [];
for (const name of ["DOMContentLoaded", "load"]) addEventListener(name, () => order.push(name));
</script>"""


def test_a_blocked_script_costs_the_page_nothing(world: World, visitor: Visitor) -> None:
    stub = world.snippets()["stub"]
    path = world.page(
        stub + ORDER + world.tag(), "<a href=#there data-ct-event=lead>a</a><script>ct('lead')</script>"
    )
    visitor.context.route("**/c.js", lambda route: route.abort("blockedbyclient"))
    page = visitor.open(path)
    page.click("a")
    page.evaluate("ct('sale', {order_id: 'o'})")
    assert page.evaluate("order") == ["DOMContentLoaded", "load"]
    assert page.url.endswith("#there")
    assert not [line for line in visitor.said if line.startswith("error")]


def test_while_the_scripts_server_hangs_the_page_is_read_shown_and_used(
    world: World, visitor: Visitor
) -> None:
    slow = world.site.hang("/t/slow.js")
    path = world.page(
        ORDER + world.tag(name="slow.js"),
        "<button onclick='this.textContent = \"clicked\"'>a</button><p id=end>the end",
    )
    page = visitor.open(path, wait_until="commit")
    page.click("button")
    assert page.text_content("button") == "clicked"
    assert page.text_content("#end") == "the end"
    wait_until(lambda: page.evaluate("performance.getEntriesByType('paint').length"))
    assert page.evaluate("[document.readyState, ...order]") == ["interactive"]
    slow.set()


def test_put_in_when_the_page_has_loaded_it_delays_nothing_at_all(world: World, visitor: Visitor) -> None:
    """By order of events: `load` has fired while the script's request still hangs."""
    late = world.snippets(base=world.site.at("/t"))["late"].replace("s.src", 's.dataset.debug="";s.src')
    path = world.page(ORDER + late)
    script = world.site.hang("/t/stats.js")
    page = visitor.open(path)
    wait_until(lambda: "/t/stats.js" in world.site.asked)
    assert page.evaluate("[document.readyState, ...order]") == ["complete", "DOMContentLoaded", "load"]
    world.settle()
    assert world.stored(path) == []
    page.evaluate("ct('lead')")
    script.set()
    world.kinds(path, "visit", "lead", "pageview")


def test_a_collecting_server_that_hangs_does_not_keep_the_page_from_being_left(
    world: World, visitor: Visitor
) -> None:
    away = world.page("", "elsewhere")
    path = world.page(ORDER + world.tag(), f"<a href={away}>a</a>")
    held = world.site.hang("/t/collect")
    page = visitor.open(path)
    assert page.evaluate("order") == ["DOMContentLoaded", "load"]
    page.click("a")
    page.wait_for_url("**" + away)
    held.set()
    world.kinds(path, "visit", "pageview")


def test_a_pinned_script_is_run_only_as_it_was_written(world: World, visitor: Visitor) -> None:
    made = world.snippets(base=world.site.at("/t"), script="full")
    right = world.page(made["pinned"].replace("data-site", "data-debug data-site"))
    wrong = world.page(
        made["pinned"]
        .replace(made["pinned_script"], world.site.at("/t/c.js"))
        .replace("data-site", "data-debug data-site")
    )
    visitor.open(right)
    world.kinds(right, "visit", "pageview")
    page = visitor.open(wrong)
    assert page.evaluate("typeof ct") == "undefined"
    assert world.stored(wrong) == []


def test_the_policy_that_the_snippet_names_is_enough(world: World, visitor: Visitor) -> None:
    made = world.snippets(base=world.service.url)
    policy = f"<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; {made['csp']}\">"
    path = world.page(policy + made["plain"].replace("data-site", "data-debug data-site"))
    visitor.open(path)
    world.kinds(path, "visit", "pageview")
    assert not [line for line in visitor.said if "Content Security Policy" in line and "favicon" not in line]
