"""S16: what pages of other sites may ask and read."""

import pytest

from tests.security import inventory
from tests.security.tenants import Request, Town

ORIGINS = [
    "https://evil.example",
    "null",
    "https://clicktrail.test.evil.example",
    "http://listed.example.evil.example",
]

#: The tag is one, the same for everybody.
SCRIPTS = ("/c.js", "/c.full.js")


@pytest.fixture
def listed(fresh_town: Town) -> Town:
    """The first workspace has a list of origins."""
    key = fresh_town.tenants[0].keys["admin"]
    changed = fresh_town.ask("PATCH", "/v1/workspace", key=key, json_={"origins": ["https://listed.example"]})
    assert changed.status == 200
    return fresh_town


def test_no_page_of_another_site_may_read_with_its_visitors_credentials(listed: Town) -> None:
    """Every route x origin x (nothing, a cookie, a key): credentials only for the listed, at the beacon."""
    for path in inventory.paths(listed.app):
        for method in (*inventory.methods(listed, path), "OPTIONS"):
            for origin in (*ORIGINS, "https://listed.example", "http://clicktrail.test"):
                way = "body k" if path == "/collect" else "bearer"
                plain = inventory.request(
                    method, path, listed.tenants[0], way, listed.tenants[0].keys["public"]
                )
                said = [
                    ("origin", origin),
                    ("cookie", f"ct_id=6920ff00.{'0' * 32}"),
                    ("sec-fetch-site", "cross-site"),
                ]
                (answer,) = listed.ask_all(
                    [Request(method, plain.target, [*plain.headers, *said], plain.body)]
                )
                allowed = answer.header("access-control-allow-origin")
                if path in SCRIPTS:
                    assert allowed in ("", "*") and not answer.header("access-control-allow-credentials")
                elif path != "/collect":
                    assert allowed == "", (path, method)
                elif origin in ORIGINS:
                    assert allowed in ("", "*") and not answer.header("access-control-allow-credentials")
                else:
                    assert (allowed, answer.header("access-control-allow-credentials")) == (origin, "true")
                if path == "/collect":
                    assert answer.header("vary") == "Origin"


@pytest.mark.parametrize("name", ["callback", "jsonp", "cb", "_callback", "jsoncallback"])
def test_no_answer_is_a_script(town: Town, name: str) -> None:
    key = town.tenants[0].keys["admin"]
    for path in inventory.paths(town.app):
        target = f"{inventory.filled(path, town.tenants[0])}?{name}=alert&metrics=clicks"
        answer = town.ask("GET", target, key=key)
        if path in SCRIPTS:
            assert answer.body == town.ask("GET", path).body
            continue
        assert "javascript" not in answer.header("content-type")
        assert not answer.body.startswith(b"alert"), path


def test_a_beacon_as_plain_text_needs_no_preflight(town: Town) -> None:
    body = {"k": town.tenants[0].keys["public"], "events": [{"kind": "visit"}]}
    answer = town.ask("POST", "/collect", json_=body, content_type="text/plain", origin="https://any.example")
    assert (answer.status, answer.header("access-control-allow-origin")) == (202, "*")
    assert answer.header("access-control-allow-credentials") == ""
