"""S3: whatever a page or a caller names, nothing internal is connected to; and little is taken, briefly.

Real servers on loopback: one address stands for the public internet, and what listens on the other writes
down every connection. The resolver is handed in; nothing else is pretended.
"""

import gzip
import socket
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from app.check import fetch
from app.check.address import Allowed
from app.check.fetch import MOST_BYTES, Answer, Way, post, trusted
from app.model import Rejected
from tests.check.sites import INSIDE, OUTSIDE, Names, Site, certificate, serving, speaking, way


@pytest.fixture
def outside() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture
def inside() -> Iterator[Site]:
    with serving(INSIDE) as site:
        site.page("/", "secret")
        yield site


async def taken(way: Way, url: str) -> Answer:
    found = await fetch.fetch(way, url)
    assert isinstance(found, Answer), found
    return found


async def refused(way: Way, url: str) -> str:
    found = await fetch.fetch(way, url)
    assert isinstance(found, Rejected), found
    return found.code


#: Ways to write where the internal listener is, as the caller names it or as a redirect does.
SPELLINGS = """
    http://127.0.0.1:{port}/ http://[::ffff:127.0.0.1]:{port}/ http://[::ffff:7f00:1]:{port}/
    http://[64:ff9b::7f00:1]:{port}/ http://[2002:7f00:1::]:{port}/ http://[::1]:{port}/ http://0.0.0.0:{port}/
    http://[::]:{port}/ http://2130706433:{port}/ http://0x7f000001:{port}/ http://0177.0.0.1:{port}/
    http://127.1:{port}/ http://localhost:{port}/ http://localhost.:{port}/ http://inside.example:{port}/
    http://both.example:{port}/ http://mapped.example:{port}/ http://user@127.0.0.1:{port}/
    http://shop.example@127.0.0.1:{port}/ https://127.0.0.1:{port}/ //127.0.0.1:{port}/
    http://169.254.169.254/latest/meta-data/ http://metadata.example/ http://[fd00:ec2::254]/
    gopher://127.0.0.1:{port}/ file:///etc/passwd ftp://127.0.0.1:{port}/ http://nowhere.example:{port}/
""".split()


def names() -> Names:
    return Names(
        {
            "localhost": [["127.0.0.1", "::1"]],
            "inside.example": [["127.0.0.1"]],
            "both.example": [[OUTSIDE, "127.0.0.1"]],
            "mapped.example": [["::ffff:127.0.0.1"]],
            "metadata.example": [["169.254.169.254"]],
            "outside.example": [[OUTSIDE]],
        }
    )


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_nothing_internal_is_connected_to_however_it_is_named(
    spelling: str, inside: Site, outside: Site
) -> None:
    url = spelling.format(port=inside.port)
    asked = way(inside.port, outside.port, names=names())
    code = await refused(asked, url)
    assert code in ("url_not_public", "url_invalid")
    assert await refused(asked, outside.redirect("/there", url)) == code or url.startswith("//")
    assert await refused(asked, outside.redirect("/later", "/there")) in ("url_not_public", "url_invalid")
    posted = await post(asked, url, b"{}", {})
    assert isinstance(posted, Rejected)
    assert inside.connections == []
    assert len(outside.connections) == 3


async def test_the_listener_inside_would_have_heard_it(inside: Site) -> None:
    """The control: with its address listed, the same request gets there."""
    assert (await taken(way(inside.port, listed=(INSIDE,)), inside.url)).body == b"secret"
    assert len(inside.connections) == 1


async def test_a_closed_a_silent_and_an_open_port_inside_sound_alike(inside: Site) -> None:
    with speaking(lambda connection: connection.recv(1) and None, INSIDE) as (silent, heard):
        ports = [inside.port, int(silent.rpartition(":")[2]), 1]
        answers = [await fetch.fetch(way(*ports), f"http://{INSIDE}:{port}/") for port in ports]
        names_ = Names({"there.example": [[INSIDE]]})
        answers += [
            await fetch.fetch(way(*ports, names=names_), f"http://{name}.example:{ports[0]}/")
            for name in ("there", "missing")
        ]
    assert {answer for answer in answers if isinstance(answer, Rejected)} == {answers[0]} == set(answers)
    assert inside.connections == heard == []


async def test_a_name_is_resolved_once_and_the_connection_goes_where_it_led(
    outside: Site, inside: Site
) -> None:
    """DNS rebinding: whoever asks the name again is led inside."""
    rebinding = Names({"shop.example": [[OUTSIDE], [INSIDE]]})
    with serving(INSIDE) as other:
        outside.page("/", "outside")
        asked = way(outside.port, other.port, names=rebinding)
        found = await taken(asked, f"http://shop.example:{outside.port}/")
        assert found.body == b"outside"
        assert outside.asked[0][2]["host"] == f"shop.example:{outside.port}"
        assert rebinding.asked == ["shop.example"]
        assert await refused(asked, f"http://shop.example:{outside.port}/") == "url_not_public"
        assert inside.connections == other.connections == []


async def test_each_redirect_is_resolved_and_judged_anew(outside: Site, inside: Site) -> None:
    rebinding = Names({"shop.example": [[OUTSIDE], [INSIDE]]})
    outside.redirect("/", f"http://shop.example:{outside.port}/again")
    asked = way(outside.port, inside.port, names=rebinding)
    assert await refused(asked, f"http://shop.example:{outside.port}/") == "url_not_public"
    assert rebinding.asked == ["shop.example", "shop.example"]
    assert inside.connections == []


async def test_proxies_of_the_environment_are_not_used(
    outside: Site, inside: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, inside.url)
    outside.page("/", "outside")
    assert (await taken(way(outside.port), outside.url + "/")).body == b"outside"
    assert inside.connections == []


async def test_five_redirects_are_followed_and_not_a_sixth(outside: Site) -> None:
    for number, after in pairwise(range(8)):
        outside.redirect(f"/{number}", f"/{after}")
    outside.page("/7", "there")
    found = await taken(way(outside.port), f"{outside.url}/2")
    assert (found.body, len(found.urls)) == (b"there", 6)
    assert await refused(way(outside.port), f"{outside.url}/1") == "url_redirects"


async def test_a_redirect_that_leads_to_itself_ends(outside: Site) -> None:
    assert await refused(way(outside.port), outside.redirect("/", "/")) == "url_redirects"
    assert len(outside.asked) == 6


async def test_nothing_of_ours_is_sent_along(outside: Site) -> None:
    outside.page("/", "", set_cookie="session=1")
    outside.redirect("/first", "/", 302)
    await taken(way(outside.port), f"{outside.url}/first")
    for _, _, headers, _ in outside.asked:
        assert set(headers) == {"host", "user-agent", "accept", "accept-encoding"}
        assert "Clicktrail-check" in headers["user-agent"]


BOMB = gzip.compress(b"\0" * 200_000_000, 9)  # 200 kB


@pytest.mark.parametrize(
    "body, encoding",
    [
        (b"x" * (MOST_BYTES + 1), ""),
        (gzip.compress(b"x" * (MOST_BYTES + 1)), "gzip"),
        (BOMB, "gzip"),
        (BOMB, "x-gzip"),
    ],
)
async def test_of_a_large_page_the_beginning_is_taken(outside: Site, body: bytes, encoding: str) -> None:
    url = outside.page("/", body, **({"content_encoding": encoding} if encoding else {}))
    found = await taken(way(outside.port), url)
    assert found.cut and len(found.body) == MOST_BYTES


async def test_a_page_of_exactly_that_size_is_whole(outside: Site) -> None:
    found = await taken(way(outside.port), outside.page("/", b"x" * MOST_BYTES))
    assert not found.cut and len(found.body) == MOST_BYTES


@pytest.mark.parametrize(
    "body, encoding",
    [(b"<html>", "gzip"), (zlib.compress(b"x"), "deflate"), (b"x", "br"), (b"x", "gzip, gzip")],
)
async def test_a_compression_that_was_not_asked_for_is_told(
    outside: Site, body: bytes, encoding: str
) -> None:
    url = outside.page("/", body, content_encoding=encoding)
    assert await refused(way(outside.port), url) == "url_encoding"


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def garbled(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"220 smtp.example ESMTP\r\n")


def endless_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"x-y: " + b"z" * 1000 + b"\r\n")


def hung_up(connection: socket.socket) -> None:
    connection.recv(65536)


def silent(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


async def test_an_endless_page_is_left_after_its_beginning() -> None:
    with speaking(endless) as (url, _):
        found = await taken(way(int(url.rpartition(":")[2])), url)
    assert found.cut and len(found.body) == MOST_BYTES


@pytest.mark.parametrize(
    "say, code",
    [
        (garbled, "url_not_http"),
        (endless_headers, "url_not_http"),
        (hung_up, "url_not_http"),
        (silent, "url_slow"),
    ],
)
async def test_what_does_not_speak_http_in_time_is_told(
    say: Callable[[socket.socket], None], code: str
) -> None:
    with speaking(say) as (url, taken_):
        assert await refused(way(int(url.rpartition(":")[2])), url) == code
        assert len(taken_) == 1


async def test_a_port_where_nothing_listens_is_told_of_the_public_internet() -> None:
    free = socket.create_server((OUTSIDE, 0))
    port = free.getsockname()[1]
    free.close()
    assert await refused(way(port), f"http://{OUTSIDE}:{port}/") == "url_unreachable"


async def test_certificates_are_of_the_name_and_not_of_the_address(tmp_path: Path) -> None:
    server, trust = certificate(tmp_path, "shop.example")
    known = Names({"shop.example": [[OUTSIDE]], "other.example": [[OUTSIDE]]})
    with serving(tls=server) as site:
        site.page("/", "safe")
        asked = way(site.port, names=known, trust=trust)
        assert (await taken(asked, f"https://shop.example:{site.port}/")).body == b"safe"
        assert site.asked[0][2]["host"] == f"shop.example:{site.port}"
        assert await refused(asked, f"https://other.example:{site.port}/") == "url_certificate"
        assert await refused(asked, f"https://{OUTSIDE}:{site.port}/") == "url_certificate"
        asked = way(site.port, names=known, trust=trusted)
        assert await refused(asked, f"https://shop.example:{site.port}/") == "url_certificate"
        assert len(site.asked) == 1


async def test_the_operator_at_the_command_line_may_ask_everything(inside: Site) -> None:
    asked = Way(Allowed(everything=True), Names({"intern": [[INSIDE]]}), trusted)
    assert (await taken(asked, f"http://intern:{inside.port}/")).body == b"secret"


async def test_the_real_resolver_finds_all_addresses_of_a_name() -> None:
    resolve = fetch.Names()
    assert "127.0.0.1" in await resolve("localhost", 80)
    resolve.close()
