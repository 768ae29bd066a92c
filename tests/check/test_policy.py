"""Content-Security-Policy as browsers apply it, and what to add."""

import pytest

from app.check.policy import Policy, Wanted, addition, allows, policies

SHOP, TAG, COLLECT = "https://shop.example/a", "https://t.example/c.js", "https://t.example/collect"
SRI = "sha384-" + "A" * 64


def policy(text: str) -> Policy:
    (found,) = policies([text], [], [])
    return found


def script(url: str = TAG, page: str = SHOP, nonce: str = "", integrity: str = "") -> Wanted:
    return Wanted("script-src", url, page, nonce, integrity)


ALLOWED = [
    ("img-src 'none'", script()),
    ("default-src *", script()),
    ("default-src 'none'; script-src https://t.example", script()),
    ("script-src t.example", script()),
    ("script-src T.EXAMPLE:443", script()),
    ("script-src *.example", script()),
    ("script-src https:", script()),
    ("script-src http:", script()),
    ("script-src http://t.example", script()),
    ("script-src https://t.example:*", script("https://t.example:8443/c.js")),
    ("script-src https://t.example/c.js", script()),
    ("script-src https://t.example/", script()),
    ("script-src t.example/t/", script("https://t.example/t/c.js")),
    ("script-src 'self'", script("https://shop.example/t/c.js")),
    ("script-src 'self'", script("https://shop.example/c.js", "http://shop.example/")),
    ("script-src 'nonce-abc'", script(nonce="abc")),
    ("script-src 'nonce-abc' 'strict-dynamic'", script(nonce="abc")),
    (f"script-src '{SRI}'", script(integrity=SRI)),
    ("script-src 'none'; script-src-elem t.example", script()),
    ("script-src t.example; script-src 'none'", script()),  # the second is without effect
    ("connect-src t.example", Wanted("connect-src", COLLECT, SHOP)),
    ("default-src 'self'; connect-src *", Wanted("connect-src", COLLECT, SHOP)),
    ("script-src 'none'", Wanted("connect-src", COLLECT, SHOP)),
    ("img-src t.example; default-src 'none'", Wanted("img-src", "https://t.example/p.gif?k=a", SHOP)),
    ("script-src [::1]:8000", script("http://[::1]:8000/c.js", "http://shop.example/")),
]
BLOCKED = [
    ("script-src 'none'", script()),
    ("script-src", script()),
    ("default-src 'self'", script()),
    ("script-src 'self' 'unsafe-inline' 'unsafe-eval'", script()),
    ("script-src *.t.example", script()),
    ("script-src example", script()),
    ("script-src t.example.evil", script()),
    ("script-src t.example:8443", script()),
    ("script-src https://t.example", script("http://t.example/c.js", "http://shop.example/")),
    ("script-src t.example/x.js", script()),
    ("script-src t.example/t", script("https://t.example/t/c.js")),
    ("script-src data: blob:", script()),
    ("script-src 'nonce-abc'", script(nonce="ABC")),
    ("script-src t.example 'nonce-abc' 'strict-dynamic'", script()),
    (f"script-src '{SRI}'", script()),
    (f"script-src '{SRI}'", script(integrity=f"{SRI} sha256-{'B' * 43}=")),
    ("script-src 'self'", script("https://shop.example:8443/c.js")),
    ("default-src 'self'; script-src t.example", Wanted("connect-src", COLLECT, SHOP)),
    ("connect-src wss://t.example", Wanted("connect-src", COLLECT, SHOP)),
    ("script-src-elem 'self'; script-src t.example", script()),
]


@pytest.mark.parametrize("text, wanted", ALLOWED)
def test_it_lets_through(text: str, wanted: Wanted) -> None:
    assert allows(policy(text), wanted)


@pytest.mark.parametrize("text, wanted", BLOCKED)
def test_it_blocks_and_what_is_added_unblocks(text: str, wanted: Wanted) -> None:
    blocking = policy(text)
    assert not allows(blocking, wanted)
    line = addition(blocking, wanted)
    name, *sources = line.split()
    mended = Policy({**blocking.directives, name: tuple(sources)})
    assert allows(mended, wanted) or "the page's nonce" in line


def test_a_line_to_add_keeps_what_is_there() -> None:
    assert (
        addition(policy("default-src 'self' a.example"), script())
        == "script-src 'self' a.example https://t.example"
    )
    assert addition(policy("script-src 'none'"), script()) == "script-src https://t.example"
    assert "nonce" in addition(policy("script-src 'strict-dynamic'"), script())


def test_headers_metas_and_reports_are_policies_of_their_own() -> None:
    found = policies(["default-src 'self', img-src *"], ["script-src a"], ["script-src b", ";;"])
    assert [(list(one.directives), one.reports_only) for one in found] == [
        (["default-src"], False), (["img-src"], False), (["script-src"], False), (["script-src"], True),
    ]  # fmt: skip
