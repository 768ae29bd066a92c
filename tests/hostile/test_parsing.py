"""Requests at the edge of HTTP/1.1: no two readings of one, no 5xx, and nginx in front reads them alike.

Where a request may be read in two ways, a second one is hidden in it that would store an event. None may
be stored, and whoever asks next on the same way in gets the answer to what they asked.
"""

import contextlib
import itertools
import json
import socket
import time
from collections.abc import Callable

import pytest

from tests.conftest import Clicktrail
from tests.hostile.wire import HOST, Address, exchange, request, web

ids = itertools.count()

CHUNKED = b"Transfer-Encoding: chunked\r\n"
GET = b"GET /c/spring?sub1=edge HTTP/1.1\r\n"
POST = b"POST /collect HTTP/1.1\r\n"
SENT = POST + HOST
CHUNKS = SENT + CHUNKED

FINE, BAD, LONG, LARGE = ([302], [302]), ([400], [400]), ([414], [414]), ([431], [431])

#: What is sent ("{hidden}": the request that must not be read), and the statuses: directly, through nginx.
#: (): hung up on without a word.
EDGES: dict[str, tuple[bytes, list[int], list[int]]] = {
    # Which length is it?
    "length and chunks": (SENT + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n{hidden}", *BAD),
    "chunks and length": (CHUNKS + b"Content-Length: 5\r\n\r\n0\r\n\r\n{hidden}", *BAD),
    "length in chunks": (SENT + b"Content-Length: {length}\r\n" + CHUNKED + b"\r\n0\r\n\r\n{hidden}", *BAD),
    "two lengths": (SENT + b"Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{hidden}", *BAD),
    "two equal lengths": (SENT + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", *BAD),
    "list of lengths": (SENT + b"Content-Length: 0, {length}\r\n\r\n{hidden}", *BAD),
    "negative length": (SENT + b"Content-Length: -1\r\n\r\n{hidden}", *BAD),
    "length with a sign": (SENT + b"Content-Length: +0\r\n\r\n{hidden}", *BAD),
    "length in hex": (SENT + b"Content-Length: 0x0\r\n\r\n{hidden}", *BAD),
    "length of 30 digits": (SENT + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n{hidden}", [400], [400, 413]),
    "length after a tab": (SENT + b"Content-Length\t: 0\r\n\r\n{hidden}", *BAD),
    "length before a colon's space": (SENT + b"Content-Length : {length}\r\n\r\n{hidden}", *BAD),
    "unknown encoding": (SENT + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}", *BAD),
    "chunked, identity": (SENT + b"Transfer-Encoding: chunked, identity\r\n\r\n{hidden}", *BAD),
    "chunked twice": (CHUNKS + CHUNKED + b"\r\n0\r\n\r\n{hidden}", *BAD),
    "chunked in HTTP/1.0": (CHUNKS.replace(b"1.1", b"1.0") + b"\r\n0\r\n\r\n{hidden}", [400, 401], [400]),
    "vertical tab in encoding": (SENT + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n{hidden}", *BAD),
    # Chunks
    "chunk of no length": (CHUNKS + b"\r\nZZ\r\n{hidden}", *BAD),
    "chunk longer than said": (CHUNKS + b"\r\n3\r\nhello\r\n0\r\n\r\n{hidden}", *BAD),
    "chunk of 17 digits": (CHUNKS + b"\r\n" + b"F" * 17 + b"\r\n{hidden}", *BAD),
    "negative chunk": (CHUNKS + b"\r\n-1\r\n{hidden}", *BAD),
    "chunk in hex": (CHUNKS + b"\r\n0x2\r\n{}\r\n0\r\n\r\n{hidden}", *BAD),
    "chunks ended by LF": (CHUNKS + b"\r\n2\n{}\n0\n\n", [400], [401]),
    "trailers": (CHUNKS + b"\r\n2\r\n{}\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n", [401], [401]),
    "trailers without end": (CHUNKS + b"\r\n2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 40_000 + b"\r\n", [431], [401]),
    "extension without end": (CHUNKS + b"\r\n2;" + b"x" * 200_000 + b"\r\n{}\r\n0\r\n\r\n", [431], [401]),
    # Lines
    "bare LF": ((GET + HOST + b"\r\n").replace(b"\r\n", b"\n"), [400], [302]),
    "bare CR": (GET + b"X: a\rb\r\n" + HOST + b"\r\n{hidden}", *BAD),
    "NUL": (GET + HOST + b"X: a\0b\r\n\r\n{hidden}", *BAD),
    "folded line": (GET + HOST + b"X: a\r\n b\r\n\r\n", *BAD),
    "folded first line": (GET + b" X: a\r\n" + HOST + b"\r\n", *BAD),
    "no colon": (GET + HOST + b"Bad Header\r\n\r\n", *BAD),
    "empty name": (GET + HOST + b": x\r\n\r\n", *BAD),
    "empty value": (GET + b"X-Empty:\r\n" + HOST + b"\r\n", *FINE),
    "only lines": (b"\r\n" * 50_000, [431], []),
    "blank lines before": (b"\r\n\r\n" + GET + HOST + b"\r\n", *FINE),
    # First lines
    "no version": (b"GET /c/spring\r\n\r\n", [400], []),  # nginx answers as HTTP/0.9 did: no head
    "version 9.9": (b"GET / HTTP/9.9\r\n\r\n", *BAD),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", *BAD),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", *BAD),
    "unknown method": (b"STEAL /c/spring HTTP/1.1\r\n" + HOST + b"\r\n", [400], [400, 405]),
    "CONNECT": (b"CONNECT localhost:443 HTTP/1.1\r\n" + HOST + b"\r\n", [400], [400, 405]),
    "TRACE": (b"TRACE /c/spring HTTP/1.1\r\n" + HOST + b"\r\n", [405], [405]),
    "OPTIONS of all": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", *BAD),
    "space in the address": (b"GET /c/spring x HTTP/1.1\r\n" + HOST + b"\r\n", *BAD),
    "bytes beyond ASCII": (b"GET /c/spring?sub1=\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n", *BAD),
    # Whose is it?
    "absolute address": (b"GET http://localhost/c/spring HTTP/1.1\r\n" + HOST + b"\r\n", *FINE),
    "absolute, another host": (b"GET http://a.example/c/spring HTTP/1.1\r\n" + HOST + b"\r\n", *FINE),
    "absolute address without a host": (b"GET http:///c/spring HTTP/1.1\r\n" + HOST + b"\r\n", *BAD),
    "no host": (GET + b"\r\n", *BAD),
    "no host in HTTP/1.0": (GET.replace(b"1.1", b"1.0") + b"\r\n", *FINE),
    "two hosts": (GET + HOST + b"Host: evil.example\r\n\r\n", *BAD),
    "two equal hosts": (GET + HOST + HOST + b"\r\n", *BAD),
    # More than asked
    "upgrade": (GET + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", *FINE),
    "HTTP/2 by upgrade": (GET + HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n", *FINE),
    "after close": (GET + HOST + b"Connection: close\r\n\r\n{hidden}", *FINE),
    "body of a GET": (GET + HOST + b"Content-Length: {length}\r\n\r\n{hidden}", *FINE),
    "chunks of a GET": (GET + HOST + CHUNKED + b"\r\n{size}\r\n{hidden}\r\n0\r\n\r\n", *FINE),
    # Sizes
    "address of 33 KB": (b"GET /p.gif?x=" + b"x" * 33_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", *LONG),
    "address of 64 KB": (b"GET /p.gif?x=" + b"x" * 65_536 + b" HTTP/1.1\r\n" + HOST + b"\r\n", *LONG),
    "address of 1 MB": (b"GET /p.gif?x=" + b"x" * 2**20 + b" HTTP/1.1\r\n" + HOST + b"\r\n", *LONG),
    "90 headers": (GET + HOST + b"".join(b"X-%d: y\r\n" % n for n in range(90)) + b"\r\n", *FINE),
    "200 headers": (GET + HOST + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n", *LARGE),
    "cookie of 16 KB": (GET + HOST + b"Cookie: a=" + b"x" * 2**14 + b"\r\n\r\n", *FINE),
    "cookie of 60 KB": (GET + HOST + b"Cookie: a=" + b"x" * 60_000 + b"\r\n\r\n", *FINE),
    "cookie of 64 KB": (GET + HOST + b"Cookie: a=" + b"x" * 2**16 + b"\r\n\r\n", *LARGE),
    "cookie of 128 KB": (GET + HOST + b"Cookie: a=" + b"x" * 2**17 + b"\r\n\r\n", *LARGE),
    "header of 10 MB": (GET + HOST + b"X: " + b"x" * 10 * 2**20 + b"\r\n\r\n", *LARGE),
}  # fmt: skip


@pytest.fixture(params=["direct", "nginx"])
def way_in(request: pytest.FixtureRequest, standing: Clicktrail) -> Address:
    """Where to ask: the service itself, or nginx in front of it."""
    found: Address = (
        Address.of(standing) if request.param == "direct" else request.getfixturevalue("in_front")
    )
    return found


def hidden(service: Clicktrail) -> tuple[str, bytes]:
    """A request that would store an event; and that event's id."""
    id_ = f"hidden-{next(ids)}"
    credential = f"Authorization: Bearer {service.keys['server']}"
    body = f'{{"kind": "pageview", "id": "{id_}"}}'.encode()
    return id_, request("POST", "/v1/events", credential, body=body)


def filled(sent: bytes, hidden: bytes) -> bytes:
    for name, value in (
        (b"length", b"%d" % len(hidden)),
        (b"size", b"%x" % len(hidden)),
        (b"hidden", hidden),
    ):
        sent = sent.replace(b"{" + name + b"}", value)
    return sent


def clicks(address: Address, count: int, name: str) -> None:
    """Whoever asks gets the answer to what they asked, on connections of their own and on a shared one."""
    asked = [request("GET", f"/c/spring?sub1={name}-{n}") for n in range(count)]
    answers = [answer for one in asked[:3] for answer in exchange(address, one, answers=1).answers]
    answers += exchange(address, b"".join(asked[3:]), answers=count - 3).answers
    places = [answer.headers["location"].partition("?")[0] for answer in answers]
    assert places == [f"https://shop.example/{name}-{n}" for n in range(count)]


def taken(service: Clicktrail, names: list[str]) -> list[str]:
    """Which of these events are stored: sent once more, they would be repeats."""
    events = [{"kind": "pageview", "id": name} for name in names]
    with service.client("server") as client:
        answer = client.post("/v1/events", json={"events": events}, params={"wait": "stored"})
    told = answer.json()["outcomes"]
    return [name for name, outcome in zip(names, told, strict=True) if outcome != "stored"]


def test_what_may_be_read_in_two_ways_is_refused_and_nobody_gets_anothers_answer(
    way_in: Address, standing: Clicktrail
) -> None:
    direct = way_in == Address.of(standing)
    names, unlike = [], {}
    for name, (sent, directly, through) in EDGES.items():
        id_, within = hidden(standing)
        names.append(id_)
        heard = exchange(way_in, filled(sent, within), answers=1, patience=0.5 if not through else 10)
        expected = directly if direct else through
        if [status for status in heard.statuses if status not in expected] or bool(expected) != bool(
            heard.statuses
        ):
            unlike[name] = (heard.statuses, heard.rest[:60])
        for answer in heard.answers:
            if answer.status not in (302, 405):
                assert answer.headers["content-type"] == "application/json", name
                assert json.loads(answer.body)["error"]["code"], name
        if len(names) % 10 == 0:
            clicks(way_in, 10, f"after-{len(names)}")
    assert unlike == {}
    assert taken(standing, names) == []


def test_a_thousand_requests_ahead_of_their_answers_get_theirs_in_order(way_in: Address) -> None:
    clicks(way_in, 1003, "ahead")


def test_what_is_refused_after_others_is_told_after_their_answers(
    way_in: Address, standing: Clicktrail
) -> None:
    for sent, _, _ in (EDGES["no colon"], EDGES["chunk of no length"], EDGES["two hosts"]):
        ahead = request("GET", "/c/spring?sub1=a") * 3
        heard = exchange(way_in, ahead + filled(sent, hidden(standing)[1]))
        assert (heard.statuses, heard.rest, heard.hung_up) == ([302, 302, 302, 400], b"", True)


def test_nothing_follows_an_answer_that_says_close(way_in: Address, standing: Clicktrail) -> None:
    id_, within = hidden(standing)
    heard = exchange(way_in, request("GET", "/c/spring?sub1=a", "Connection: close") + within)
    assert (heard.statuses, heard.hung_up) == ([302], True)
    assert taken(standing, [id_]) == []


def test_the_host_of_an_absolute_address_stands_above_the_header(standing: Clicktrail) -> None:
    """Cookies for plain http are only for this very machine: a sign of which host was understood."""
    asked = f"/p.gif?k={standing.keys['public']}&e=impression"
    for address, header, local in (
        (asked, "localhost", True),
        (asked, "a.example", False),
        (f"http://localhost:80{asked}", "a.example", True),
        (f"http://user@a.example{asked}", "localhost", False),
    ):
        sent = f"GET {address} HTTP/1.1\r\nHost: {header}\r\n\r\n".encode()
        (answer,) = exchange(Address.of(standing), sent, answers=1).answers
        assert ("Secure" not in answer.headers["set-cookie"]) is local, address


def with_a_key_in_its_trailer(service: Clicktrail) -> list[int]:
    """What is answered when the credential follows the body."""
    trailer = f"Authorization: Bearer {service.keys['server']}\r\n".encode()
    body = b'14\r\n{"kind": "pageview"}\r\n0\r\n'
    sent = b"POST /v1/events HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\n" + body + trailer + b"\r\n"
    return exchange(Address.of(service), sent, answers=1).statuses


def test_a_trailer_is_no_header(standing: Clicktrail, serve: Callable[..., Clicktrail]) -> None:
    assert with_a_key_in_its_trailer(standing) == [401]
    assert with_a_key_in_its_trailer(serve("trailers_taken_for_headers")) == [202]


def grown(service: Clicktrail, clients: int = 20) -> float:
    """By how many MiB for each of them the web process grows of clients that ask much and read nothing."""
    process = web(service)
    before = process.memory_info().rss
    asked = request("GET", "/readyz") * 20_000
    with contextlib.ExitStack() as stack:
        for _ in range(clients):
            connection = stack.enter_context(socket.create_connection(Address.of(service)))
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.sendall(asked)
        most = 0
        for _ in range(20):
            time.sleep(0.1)  # how long it grows is not to be known
            most = max(most, process.memory_info().rss)
    return (most - before) / clients / 2**20


def test_requests_sent_ahead_cost_little_until_their_turn(
    standing: Clicktrail, serve: Callable[..., Clicktrail], report: Callable[[str], None]
) -> None:
    ours, stock = grown(standing), grown(serve("all_parsed_at_once"))
    report(f"20 clients with 20,000 requests ahead: {ours:.1f} MiB each (all parsed at once: {stock:.1f})")
    assert ours < 3
    assert stock > 2 * ours
