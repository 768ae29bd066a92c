"""What is read of a page: the tags that do something, whatever the bytes, in time that grows with them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.check import page as pages
from app.check.page import Page

KEY = "ct_pub_0123456789"


def scripts(text: str) -> list[dict[str, str]]:
    return [tag.attributes for tag in pages.read(text).named("script")]


@pytest.mark.parametrize(
    "text",
    [
        f'<script defer src="/c.js" data-site="{KEY}"></script>',
        f"<SCRIPT DEFER SRC='/c.js' DATA-SITE='{KEY}'></SCRIPT>",
        f"<script\ndefer\n src = /c.js\tdata-site={KEY}>",
        f'<script/defer/src="/c.js"/data-site="{KEY}"/>',
        f'<p title="a > b"><!-- x --><script defer src=/c.js data-site={KEY}>',
        f'<script defer src="&#x2F;c&period;js" data-site="{KEY}" src="/other.js"></script>',
        f'<title><script src=/no.js></title><script defer src="/c.js" data-site="{KEY}">',
        f'<!-- <script src="/no.js"></script> --><script defer src="/c.js" data-site="{KEY}">',
        f'<template><script src="/no.js"></script></template><script defer src="/c.js" data-site="{KEY}">',
        f'<!--><script defer src="/c.js" data-site="{KEY}">',
        f'< script><//><script defer src="/c.js" data-site="{KEY}">',
    ],
)
def test_the_script_tag_is_read_however_it_is_written(text: str) -> None:
    assert scripts(text)[-1] == {"defer": "", "src": "/c.js", "data-site": KEY}
    assert len(scripts(text)) == 1
    assert pages.read(text).keys == (KEY,)


@pytest.mark.parametrize(
    "text",
    [
        f'<!-- <script src="/c.js" data-site="{KEY}"></script>',
        f'<template><script src="/c.js" data-site="{KEY}"></script>',
        f'<textarea><script src="/c.js" data-site="{KEY}"></script></textarea>',
        f'<script src="/c.js" data-site="{KEY}"',
        f'<script src="/c.js data-site={KEY}></script>',
        f'&lt;script src="/c.js" data-site="{KEY}">',
    ],
)
def test_what_does_nothing_is_not_taken_for_a_script(text: str) -> None:
    assert scripts(text) == []
    assert pages.read(text).keys == (KEY,)


def test_an_inline_script_is_one_text_up_to_its_end() -> None:
    (tag,) = pages.read("<script>if (a<b) '<img src=x>' </SCRIPT ><p>").named("script")
    assert tag.text == "if (a<b) '<img src=x>' "


def test_what_stands_in_noscript_says_so() -> None:
    (image,) = pages.read("<noscript><img src=/p.gif?k=a&amp;e=b></noscript>").named("img")
    assert image.inside == {"noscript"} and image.get("src") == "/p.gif?k=a&e=b"


@pytest.mark.parametrize(
    "body, content_type",
    [
        ("å".encode(), "text/html; charset=utf-8"),
        ("å".encode(), "text/html"),
        ("å".encode("latin-1"), 'text/html; charset="ISO-8859-1"'),
        ("å".encode("utf-16"), "text/html; charset=utf-8"),
        (b"\xef\xbb\xbf" + "å".encode(), "text/html; charset=latin1"),
        (b"<meta charset=windows-1252>\xe5", "text/html"),
        (b'<meta http-equiv=content-type content="text/html; charset=cp1252">\xe5', ""),
    ],
)
def test_the_encoding_is_that_of_the_bytes_of_the_header_or_of_the_page(
    body: bytes, content_type: str
) -> None:
    assert pages.decoded(body, content_type).endswith("å")


@pytest.mark.parametrize(
    "name", ["punycode", "idna", "unicode_escape", "zlib", "rot13", "undefined", "mbcs", "nope"]
)
def test_an_encoding_that_no_page_is_written_in_is_read_as_utf_8(name: str) -> None:
    assert pages.decoded("å\\x".encode(), f"text/html; charset={name}") == "å\\x"


MEGABYTE = 1_000_000
HOSTILE = [
    "<", "<a ", '<a x="', "<a x='", "<a b=", "<!--", "<!-- -", "<script", "<script>", "<script></scrip", "</",
    "<title></titl", "<a x ", "<template>", "<a/", "&#", "<a x=\"&#9", "ct_pub_", "<p>", "<p a=1 b=2 c=3>",
    "=", "\x00", "<\ud800", "<!DOCTYPE ", "<![CDATA[", "<?", "<noscript>", "</noscript>", "<a\n", "\"'",
]  # fmt: skip


@pytest.mark.parametrize("part", HOSTILE)
def test_a_megabyte_of_anything_is_read_to_its_end(part: str) -> None:
    """Were any of it looked at more than a few times over, this would take hours."""
    read = pages.read(part * (MEGABYTE // len(part)))
    assert {tag.name for tag in read.tags} <= pages.KEPT and len(read.keys) <= pages.MOST_KEYS


def test_a_number_of_a_million_digits_in_an_attribute_is_text() -> None:
    read = pages.read(f'<a href="&#{"9" * MEGABYTE};"><script src=/c.js>')
    assert [tag.name for tag in read.tags] == ["script"]


fragments = st.sampled_from(
    [*HOSTILE, "<script src=/c.js data-site=ct_pub_x>", "</script>", "-->", ">", '"', "'"]
)


@given(st.lists(fragments | st.text(max_size=5), max_size=40).map("".join))
def test_whatever_is_written_the_reading_ends_with_a_page(text: str) -> None:
    read = pages.read(text)
    assert isinstance(read, Page)
    assert all(tag.name == tag.name.lower() for tag in read.tags)


@given(st.binary(max_size=200), st.text(max_size=60))
def test_whatever_bytes_there_are_they_are_text(body: bytes, content_type: str) -> None:
    assert isinstance(pages.decoded(body, content_type), str)
