"""The lines that websites paste: they follow what is configured, and hold what they say."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from tests import engines
from tests.conftest import Clicktrail
from tests.security.tenants import Town, open_town

BASE = "https://shop.example/t"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    settings = {"tag_name": "stats.js", "collect_path": "/in", "public_url": "https://t.example/"}
    with open_town(tmp_path_factory.mktemp("town"), **settings) as town:
        yield town


def shown(town: Town, **query: str) -> dict[str, str]:
    first = town.tenants[0]
    asked = "&".join(f"{name}={value}" for name, value in ({"site": first.keys["public"]} | query).items())
    answer = town.ask("GET", f"/v1/snippet?{asked}", key=first.keys["admin"])
    assert answer.status == 200, answer.body
    return answer.json


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_every_snippet_follows_the_configured_names(town: Town) -> None:
    told = shown(town)
    key = town.tenants[0].keys["public"]
    assert told["plain"] == f'<script defer src="https://t.example/stats.js" data-site="{key}"></script>'
    assert told["collect"] == "https://t.example/in"
    assert (
        told["csp"]
        == "script-src https://t.example; connect-src https://t.example; img-src https://t.example"
    )
    ((_, pinned),) = Tags(told["pinned"]).found
    assert pinned == {
        "defer": None,
        "src": told["pinned_script"],
        "data-site": key,
        "integrity": told["integrity"],
        "crossorigin": "anonymous",
    }
    path = told["pinned_script"].removeprefix("https://t.example")
    assert re.fullmatch(r"/stats\.[0-9a-f]{16}\.js", path)
    assert town.ask("GET", path).status == 200


def test_what_the_service_would_not_keep_no_snippet_lets_the_browser_keep(town: Town) -> None:
    second = town.tenants[1]
    wanted = {"visitors": "daily", "consent_default": "denied", "dnt": "deny"}
    assert town.ask("PATCH", "/v1/workspace", key=second.keys["admin"], json_=wanted).status == 200
    query = f"site={second.keys['public']}"
    told = town.ask("GET", f"/v1/snippet?{query}", key=second.keys["admin"]).json
    attributes = {"data-cookieless": None, "data-consent": "denied", "data-do-not-track": None}
    for name in ("plain", "pinned"):
        ((_, found),) = Tags(told[name]).found
        assert attributes.items() <= found.items(), name
    for name in ('"data-cookieless",""', '"data-consent","denied"', '"data-do-not-track",""'):
        assert f"s.setAttribute({name});" in told["late"], name
    ((_, plain),) = Tags(shown(town)["plain"]).found
    assert attributes.keys().isdisjoint(plain)


def test_a_path_of_the_sites_own(town: Town) -> None:
    told = shown(town, base=BASE)
    assert told["script"] == f"{BASE}/stats.js"
    assert told["csp"].startswith("script-src https://shop.example;")


def test_the_image_of_the_noscript_snippet_is_recorded(town: Town) -> None:
    (_, image) = Tags(shown(town)["noscript"]).found[1]
    assert image["src"] is not None
    answer = town.ask("GET", image["src"].removeprefix("https://t.example"))
    assert answer.header("x-clicktrail") == "accepted"


def test_the_stub_is_small() -> None:
    from app.tag.snippets import STUB

    assert len(STUB) <= 300


@pytest.mark.parametrize(
    "base",
    """
    ftp://a.example|a.example|https://|https://a.example/t/|https://a.example/?x|https://a b
    |javascript:alert(1)|https://a.example/"><script>|https://u@a.example|https://a.example;script-src
    """.strip()
    .replace("\n    ", "")
    .split("|"),
)
def test_an_address_that_no_page_could_name_is_refused(town: Town, base: str) -> None:
    from urllib.parse import quote

    first = town.tenants[0]
    target = f"/v1/snippet?site={first.keys['public']}&base={quote(base, safe='')}"
    answer = town.ask("GET", target, key=first.keys["admin"])
    if base.endswith("/t/"):
        assert answer.json["base"] == "https://a.example/t"
    else:
        assert (answer.status, answer.json["error"]["code"]) == (400, "base_invalid")


def test_only_a_public_key_of_the_workspace_is_shown_in_a_snippet(town: Town) -> None:
    first, second, _ = town.tenants
    for site, code in (
        (second.keys["public"], "site_unknown"),
        ("ct_pub_made-up", "site_unknown"),
        (first.keys["server"], "site_not_public"),
        (first.keys["admin"], "site_not_public"),
    ):
        answer = town.ask("GET", f"/v1/snippet?site={site}", key=first.keys["admin"])
        assert (answer.status, answer.json["error"]["code"]) == (400, code)
        assert site.encode() not in answer.body


def test_without_a_public_address_it_is_that_of_the_request(fresh_clicktrail: Clicktrail) -> None:
    key = fresh_clicktrail.keys["public"]
    with fresh_clicktrail.client("admin") as client:
        told = client.get("/v1/snippet", params={"site": key}).json()
    assert told["base"] == fresh_clicktrail.url
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "snippet", key, "--base", fresh_clicktrail.url],
        env={
            "CLICKTRAIL_DATA": str(fresh_clicktrail.data),
            "PATH": "",
            **engines.environment(fresh_clicktrail.data),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    for name in ("plain", "pinned", "stub", "late", "noscript", "csp"):
        assert told[name] in done.stdout
