"""Texts of strangers in every field are never run, whatever of ours a browser opens, even with no policy.

Each answer is opened as a page of its own, by somebody whose key may read everything, once as it is served
and once without its Content-Security-Policy: what keeps scripts from running is that no text becomes markup.
"""

import json
from urllib.parse import quote

import pytest
from playwright.sync_api import Route

from tests.browser.conftest import Visitor, World
from tests.conftest import wait_until

TEXTS = (
    "<script>ran()</script>",
    "\"'><img src=x onerror=ran()>",
    "</title><svg onload=ran()>",
    "javascript:ran()",
    "]]></script><script>ran()</script>",
    "<iframe srcdoc='<script>parent.ran()</script>'></iframe>",
)

#: Where what was sent is shown again. A browser shows no CSV: it keeps the file.
SHOWN = (
    "/v1/metrics?metrics=visits,leads&dimensions=campaign&date_range=today",
    "/v1/metrics?metrics=visits,leads&dimensions=source&date_range=today&format=arrays",
    "/v1/conversions", "/v1/rejected", "/v1/audit-log", "/v1/campaigns", "/v1/partners", "/v1/goals",
    "/v1/sources", "/v1/identifiers/unjoined", "/v1/workspace", "/metrics", "/readyz",
)  # fmt: skip


def tell(world: World) -> None:
    """Every text in every field that a page, a backend or an operator can fill, refused ones among them."""
    names = "campaign ad partner goal title keyword creative placement visitor_id user_id".split()
    with world.service.client("admin") as client:
        for number, text in enumerate(TEXTS):
            event = dict.fromkeys(names, text) | {
                "kind": "lead", "properties": {text: text}, "segment": {"gender": text},
                "url": f"https://shop.example/{text}?utm_source={quote(text)}", "referrer": f"https://{text}/",
            }  # fmt: skip
            refused = {"kind": text, "currency": text, "id": text}
            visit = event | {"kind": "visit"}
            page = {"k": world.service.keys["public"], "events": [visit, event, refused]}
            assert client.post("/collect", content=json.dumps(page)).json()["accepted"] == 2
            assert client.post("/v1/events", json={"events": [event, refused]}).json()["accepted"] == 1
            named = {"slug": f"hostile-{number}", "name": text, "landing_url": "https://shop.example/"}
            assert client.post("/v1/campaigns", json=named).status_code in (201, 409)
            assert client.post("/v1/partners", json={"slug": text, "name": text}).status_code < 500
    world.settle()


@pytest.mark.parametrize("policy", ["served", "none"])
def test_no_text_of_a_stranger_is_ever_run(world: World, visitor: Visitor, policy: str) -> None:
    tell(world)
    ran: list[str] = []
    visitor.context.expose_function("ran", lambda: ran.append(visitor.page.url))
    visitor.context.set_extra_http_headers(world.service.as_("admin"))
    if policy == "none":
        visitor.context.route("**/*", _without_policy)
    paths = [*SHOWN, *(f"/{where}{quote(text, safe='')}" for text in TEXTS for where in ("", "c/", "v1/"))]
    for path in paths:
        visitor.page.goto(f"{world.service.url}{path}", wait_until="load")
        visitor.page.evaluate("new Promise((done) => setTimeout(done))")
    assert ran == []
    # That the trap works: the same text in a page of somebody who does let it become markup.
    visitor.context.unroute_all()
    visitor.context.set_extra_http_headers({})
    visitor.open(world.page("", TEXTS[0]))
    wait_until(lambda: ran)


def _without_policy(route: Route) -> None:
    answer = route.fetch()
    headers = {name: value for name, value in answer.headers.items() if name != "content-security-policy"}
    route.fulfill(response=answer, headers=headers)
