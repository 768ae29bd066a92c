"""What is found about a page: many small pages, each with what is said of it, and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.check import look
from app.check import page as pages
from app.check.fetch import Answer
from app.check.findings import CHECKS, Finding, finding
from app.check.look import Known
from app.model import Rejected, Scope
from app.tag.script import COLLECT, NAME, Script, Tag, integrity, script
from app.tag.snippets import snippets
from tests.test_docs import ROOT

KEY, OTHER, SERVER = "ct_pub_0123456789abcdef", "ct_pub_nobodys", "ct_srv_0123456789abcdef"
NEWER, OLDER = script("", b'send("/collect")'), script("", b'old("/collect")')
FULL = script(".full", b'send_more("/collect")')
TAG = Tag(NAME, COLLECT, NEWER, FULL, (OLDER,))
OWNERS: dict[str, tuple[int, Scope]] = {KEY: (1, "public"), SERVER: (1, "server")}
SHOP, AT = "https://shop.example/", "https://t.example/c.js"
AT_FULL = "https://t.example/c.full.js"
PINNED = f"https://t.example/{TAG.pinned}"

PLAIN = f'<script defer src="{AT}" data-site="{KEY}"></script>'
IMAGE = f'<noscript><img src="https://t.example/p.gif?k={KEY}&amp;e=pageview"></noscript>'
GOOD = {"page_read", "snippet_found", "key_good", "script_ours", "policy_none", "origin_listed"}

Served = Answer | Rejected | None


def served(one: Script = NEWER, url: str = AT, status: int = 200, **headers: str) -> Answer:
    given = {"content_type": "text/javascript", "access_control_allow_origin": "*"} | headers
    told = tuple((name.replace("_", "-"), value) for name, value in given.items())
    return Answer((url,), status, told, one.body)


def page(html: str, *urls: str, status: int = 200, **headers: str) -> Answer:
    given = {"content_type": "text/html"} | headers
    told = tuple((name.replace("_", "-"), value) for name, value in given.items())
    return Answer(urls or (SHOP,), status, told, html.encode("utf-8", "surrogatepass"))


def findings(answer: Answer, script: Answer | Rejected, known: Known) -> Iterator[Finding]:
    yield from look.page_findings(answer)
    read = pages.read(pages.decoded(answer.body, answer.header("content-type")))
    found = look.snippets(read, answer.url, known.tag)
    yield from look.snippet_findings(read, answer.url, found, known)
    collect = ""
    for one in found[:1]:
        yield from look.script_findings(one, answer.url, script, known.tag)
        collect = look.collect_url(one, NEWER.body, known.tag)
    if wanted := look.wanted_of(read, answer, found, collect):
        yield from look.way_findings(wanted, read, answer, known)


def codes(answer: Answer, script: Answer | Rejected | None = None, known: Known | None = None) -> set[str]:
    return {one.code for one in findings(answer, script or served(), known or Known(TAG, OWNERS))}


def test_a_page_as_it_should_be_has_nothing_but_good_news() -> None:
    assert codes(page(PLAIN)) == GOOD
    assert codes(page(PLAIN + IMAGE)) == GOOD | {"pixel_found"}
    assert {CHECKS[code].level for code in GOOD} == {"ok"}


def sri(one: Script = NEWER) -> str:
    return f'integrity="{integrity(one.body)}"'


def tagged(attributes: str, src: str = AT) -> str:
    return f'<script defer src="{src}" data-site="{KEY}" {attributes}></script>'


#: (what is said beside GOOD, what of GOOD is not, the page)
PAGES = [
    ("snippet_blocking", "", PLAIN.replace("defer ", "")),
    ("", "", PLAIN.replace("defer", "async")),
    ("snippet_held", "", tagged('type="text/plain"')),
    ("snippet_twice", "", PLAIN + PLAIN),
    ("page_login", "", PLAIN + "<form><input type=PASSWORD></form>"),
    ("key_unknown", "key_good", PLAIN.replace(KEY, OTHER)),
    ("key_exposed", "key_good", PLAIN.replace(KEY, SERVER)),
    ("key_exposed", "", PLAIN + f"<!-- {SERVER} -->"),
    ("key_exposed", "", PLAIN + "<script>var k='ct_adm_whatever'</script>"),
    ("script_mixed", "", PLAIN.replace("https://t", "http://t")),
    ("integrity_good integrity_moving", "", tagged(f"{sri()} crossorigin")),
    ("integrity_good", "", tagged(f"{sri()} crossorigin=anonymous", PINNED)),
    ("integrity_wrong", "", tagged(f"{sri(OLDER)} crossorigin=anonymous", PINNED)),
    ("integrity_good crossorigin_missing", "", tagged(sri(), PINNED)),
    ("integrity_good", "", tagged(sri(), f"/t/{TAG.pinned}")),
    ("cors_missing", "", tagged("crossorigin=use-credentials")),
    ("snippet_elsewhere", "", tagged('data-domains="www.shop.example, a.example"', AT_FULL)),
    ("", "", tagged('data-domains="a.example shop.example"', AT_FULL)),
    ("snippet_core", "", tagged('data-domains="a.example"')),
    ("snippet_core", "", tagged("data-before-send=judge", PINNED)),
    ("snippet_waits", "", tagged("data-consent=denied")),
    ("", "", snippets(TAG, NEWER, "https://t.example", KEY, {})["late"]),
    ("snippet_waits", "", snippets(TAG, FULL, "https://t.example", KEY, {"data-consent": "denied"})["late"]),
]  # fmt: skip


@pytest.mark.parametrize("more, fewer, html", PAGES)
def test_what_a_page_does_to_its_snippet_is_said(more: str, fewer: str, html: str) -> None:
    assert codes(page(html)) == (GOOD | set(more.split())) - set(fewer.split())


def test_a_tag_that_keeps_an_id_where_the_workspace_wants_none_is_told() -> None:
    daily = Known(TAG, OWNERS, visitors="daily")
    assert codes(page(PLAIN), known=daily) == GOOD | {"snippet_keeps"}
    assert codes(page(tagged("data-cookieless")), known=daily) == GOOD


def test_a_script_tag_of_ours_without_a_key_is_known_by_its_configured_name() -> None:
    stats = Known(Tag("stats.js", COLLECT, NEWER, FULL), OWNERS)
    html = '<script defer src="https://t.example/stats.js"></script>'
    assert codes(page(html), known=stats) == (GOOD | {"key_missing"}) - {"key_good"}
    assert codes(page('<script src="https://other.example/c.js"></script>')) == {
        "page_read",
        "snippet_missing",
    }


@pytest.mark.parametrize(
    "code, html",
    [
        ("snippet_missing", "<p>nothing"),
        ("snippet_missing", ""),
        ("snippet_commented", f"<!-- {PLAIN} -->"),
        (
            "snippet_unseen",
            '<script async src="https://www.googletagmanager.com/gtm.js?id=GTM-ABCD12"></script>',
        ),
        ("snippet_unseen", "<script>d.createElement('script')</script>"),
        ("snippet_unseen", '<script type="module" src="/app.js"></script>'),
    ],
)
def test_a_page_without_the_snippet_says_why(code: str, html: str) -> None:
    assert codes(page(html)) == {"page_read", code}


def test_a_page_with_the_image_alone_is_told_of_it() -> None:
    assert codes(page(IMAGE)) == {"page_read", "pixel_found", "key_good", "policy_none", "origin_listed"}


@pytest.mark.parametrize(
    "code, answer",
    [
        ("script_unreachable", Rejected("url_slow", "did not answer within 3 s")),
        ("script_status", served(status=404)),
        ("script_foreign", served(script("", b"alert(1)"))),
        ("script_foreign", served(script("", b"<html>"), content_type="text/html")),
        ("script_ours", served(OLDER)),
        ("script_ours", served(FULL)),
    ],
)
def test_the_script_is_looked_at_as_it_is_served(code: str, answer: Served) -> None:
    assert codes(page(PLAIN), answer) == (GOOD - {"script_ours"}) | {code}


def test_a_proxy_that_strips_the_scripts_headers_is_told() -> None:
    bare = served(access_control_allow_origin="")
    assert "cors_missing" in codes(page(tagged("crossorigin")), bare)
    assert "cors_missing" not in codes(page(tagged("crossorigin", "/c.js")), bare)


@pytest.mark.parametrize(
    "code, policy",
    [
        ("policy_allows", "script-src https://t.example; connect-src https://t.example"),
        ("policy_allows", "default-src https:"),
        ("policy_blocks", "script-src 'self'; connect-src https://t.example"),
        ("policy_blocks", "default-src https://t.example; connect-src 'self'"),
        ("policy_nonce", "script-src 'nonce-abc' 'strict-dynamic'"),
    ],
)
def test_a_policy_is_judged_wherever_it_stands(code: str, policy: str) -> None:
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    assert codes(page(PLAIN, content_security_policy=policy)) == (GOOD - {"policy_none"}) | {code}
    assert codes(page(meta + PLAIN)) == (GOOD - {"policy_none"}) | {code}
    reported = codes(page(PLAIN, content_security_policy_report_only=policy))
    assert reported == GOOD | ({"policy_reports"} if code != "policy_allows" else set())


def test_a_policy_that_blocks_only_the_image_is_told() -> None:
    policy = "img-src 'self'"
    assert "policy_blocks" in codes(page(PLAIN + IMAGE, content_security_policy=policy))
    assert "policy_blocks" not in codes(page(PLAIN, content_security_policy=policy))


@pytest.mark.parametrize(
    "origins, code",
    [
        ([], "origin_listed"),
        (["https://shop.example"], "origin_listed"),
        (["HTTPS://SHOP.example/"], "origin_listed"),
        (["https://t.example"], "origin_refused"),
        (["http://shop.example"], "origin_refused"),
    ],
)
def test_the_list_of_origins_decides_who_may_send(origins: list[str], code: str) -> None:
    assert code in codes(page(PLAIN), known=Known(TAG, OWNERS, origins=origins))


def test_a_path_of_the_sites_own_and_our_own_site_are_never_refused() -> None:
    listed = Known(TAG, OWNERS, origins=["https://x.example"], own_origin="https://t.example")
    assert "origin_listed" in codes(page(PLAIN.replace(AT, "/t/c.js")), known=listed)
    assert "origin_listed" in codes(page(PLAIN, "https://t.example/"), known=listed)


def test_consent_that_is_denied_unless_given_is_told() -> None:
    assert "consent_denied" in codes(page(PLAIN), known=Known(TAG, OWNERS, consent_default="denied"))


@pytest.mark.parametrize(
    "code, answer",
    [
        ("page_status", page("", status=404)),
        ("page_status", page("", status=500)),
        ("page_closed", page("", status=401)),
        ("page_closed", page("", status=403)),
        ("page_closed", page("", status=429)),
        ("page_not_html", page("%PDF", content_type="application/pdf")),
        ("page_redirected", page("", "http://shop.example/", SHOP)),
        ("page_downgraded", page("", SHOP, "http://shop.example/")),
        ("page_cut", Answer((SHOP,), 200, (), b"", cut=True)),
    ],
)
def test_the_answer_itself_is_judged(code: str, answer: Answer) -> None:
    assert code in {one.code for one in look.page_findings(answer)}


def test_no_key_is_ever_shown_whole() -> None:
    told = findings(page(PLAIN + PLAIN.replace(KEY, SERVER) + IMAGE), served(), Known(TAG, OWNERS))
    text = " ".join(one.message + one.advice for one in told)
    assert KEY not in text and SERVER not in text and KEY[:12] in text


def test_the_collect_path_is_the_one_in_the_script_that_is_served() -> None:
    (one,) = look.snippets(pages.read(PLAIN.replace(AT, "https://shop.example/t/c.js")), SHOP, TAG)
    configured = Tag(NAME, "/in", NEWER, FULL)
    assert look.collect_url(one, b'send("/in")', configured) == "https://shop.example/t/in"
    assert look.collect_url(one, b'send("/collect")', configured) == "https://shop.example/t/collect"
    (other,) = look.snippets(pages.read(tagged('data-host-url="https://in.example/"')), SHOP, TAG)
    assert look.collect_url(other, NEWER.body, TAG) == "https://in.example/collect"


def test_addresses_in_a_page_are_relative_to_its_base() -> None:
    html = '<base href="https://cdn.example/x/">' + PLAIN.replace(AT, "c.js")
    (one,) = look.snippets(pages.read(html), SHOP, TAG)
    assert one.url == "https://cdn.example/x/c.js"


@pytest.mark.parametrize(
    "src", ["https://[", "//[::1", "http://a:b:c/c.js", "data:,x/c.js", "\\\\x/c.js", "c.js#/c.js"]
)
def test_an_address_that_is_none_is_an_address_that_cannot_be_reached(src: str) -> None:
    unreachable = Rejected("url_invalid", "must begin with http:// or https://", "url")
    assert "script_unreachable" in codes(page(PLAIN.replace(AT, src)), unreachable)


words = st.sampled_from(
    [
        PLAIN, IMAGE, '<meta http-equiv=content-security-policy content="', "default-src ", '">',
        '<base href="//[', "<script src=", "data-site=", KEY, SERVER, AT, "{0}", "{url}", "%s",
        "<img src=/p.gif?k=", "integrity=sha384-", "crossorigin ", "\x1b[31m", "\u202e", "\x00",
    ]
)  # fmt: skip


@given(st.lists(words | st.text(max_size=8), max_size=20).map("".join), st.dictionaries(
    st.sampled_from(["content_security_policy", "content_type", "access_control_allow_origin"]),
    st.text(max_size=40), max_size=3))  # fmt: skip
def test_whatever_a_page_holds_findings_are_printable_sentences(html: str, headers: dict[str, str]) -> None:
    for one in findings(page(html, **headers), served(**headers), Known(TAG, OWNERS)):
        assert (
            (one.message + one.advice).isprintable() and one.message and "{" not in CHECKS[one.code].subject
        )


def test_a_megabyte_of_the_beginnings_of_loaders_is_looked_through() -> None:
    for part in ("GTM-", "createElement(", "/container_", "launch-", "_mtm", "type="):
        codes(page(f"<script>{part * (500_000 // len(part))}</script>"))


def test_every_finding_says_what_to_do_unless_it_is_good_and_is_explained_in_the_documents() -> None:
    explained = set(
        re.findall(r'^\| <a id="(\w+)"></a>`\1` \|', Path(ROOT / "docs/checking.md").read_text(), re.M)
    )
    assert explained == set(CHECKS)
    for code, check in CHECKS.items():
        assert bool(check.advice) == (check.level != "ok"), code
        facts = dict.fromkeys(re.findall(r"{(\w+)}", check.says + check.advice), "x")
        assert finding(code, **facts).message.endswith((".", "x."))
