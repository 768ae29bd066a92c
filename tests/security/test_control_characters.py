"""S13: control characters in a request come back in no header, and make no second line of a log."""

import json
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

import pytest
import structlog

from app import telemetry
from tests.conftest import Clicktrail
from tests.security import inventory
from tests.security.tenants import Request, Town

NASTY = 'a\r\nX-Planted: 1\r\n\r\n\x1b[31m\x00\x07\u2028\u2029\x85{"level":"error"}'
C0 = {chr(n) for n in (*range(32), 127)} - {"\n", "\r"}  # which texts and metrics end their lines with
CONTROL = C0 | {"\n", "\r", "\u2028", "\u2029", *map(chr, range(128, 160))}


@contextmanager
def logging_like_a_service() -> Iterator[None]:
    handlers = logging.getLogger().handlers[:]
    telemetry.set_up()
    structlog.configure(**structlog.get_config() | {"cache_logger_on_first_use": False})
    try:
        yield
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers[:] = handlers


def nasty(town: Town) -> Iterator[Request]:
    """The text in path, query, UTM, ids, user agent, referrer, cookie and body, at every door."""
    first = town.tenants[0]
    sent = quote(NASTY)
    header = NASTY.encode("utf-8").decode("latin-1")
    said = [(name, header) for name in ("user-agent", "referer", "cookie", "origin", "x-forwarded-for")]
    for path in inventory.paths(town.app):
        query = "&".join(
            f"{n}={sent}" for n in ("id", "utm_source", "sub1", "ct_click", "url", "return", "cursor")
        )
        k = f"k={first.keys['public']}&key={first.keys['server']}&e=visit&txid=1"
        body = {
            "k": first.keys["public"],
            "events": [{"kind": "visit", "id": NASTY, "utm": {"source": NASTY}}],
        }
        for method in ("GET", "POST"):
            auth = [("authorization", f"Bearer {first.keys['admin']}")]
            target = f"{inventory.filled(path, first)}?{k}&{query}"
            yield Request(method, target, [*said, *auth], json.dumps(body).encode())
            yield Request(method, f"{inventory.filled(path, first)}/{sent}?{query}", [*said, *auth])


def test_no_control_character_comes_back_or_is_logged(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [*nasty(town)]
    with logging_like_a_service():
        answers = town.ask_all(asked)
    for request, answer in zip(asked, answers, strict=True):
        assert answer.status < 500, request.target
        for name, value in answer.headers:
            assert not CONTROL & set(name + value), (request.target, name, value)
            assert name != "x-planted"
        shown = answer.body.decode("utf-8") if not answer.body.startswith(b"GIF89a") else ""
        assert not C0 & set(shown), (request.target, shown)
    assert capsys.readouterr().err == ""  # what a visitor sends is no event of ours


def test_a_crash_is_one_line_of_json_whatever_was_sent(
    fresh_town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    """Planted: every request that needs the snapshot crashes."""
    fresh_town.app.doors.snapshots = None  # type: ignore[assignment]
    doors = ("/p.gif?", "/c/", "/postback?")
    asked = [one for one in nasty(fresh_town) if one.method == "GET" and one.target.startswith(doors)]
    asked.append(Request("GET", f"/c/{quote(NASTY)}"))
    with logging_like_a_service():
        fresh_town.ask_all(asked)
    lines = capsys.readouterr().err.split("\n")[:-1]
    assert len(lines) == len(asked) > 4
    for line in lines:
        assert json.loads(line)["event"] == "crashed"
        assert not CONTROL & set(line)


def test_a_running_service_logs_json_lines_and_nothing_else(clicktrail: Clicktrail) -> None:
    """Bytes that are no HTTP at all are the server's matter; it logs like everybody else."""
    address = urlsplit(clicktrail.url)
    for sent in (
        b"\x1b[31m\r\n\r\n",
        b"GET / HTTP/1.1\r\nA\x00: b\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"GET /\x1b HTTP/9\r\n\r\n",
    ):
        with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1000)
    with clicktrail.client() as client:
        client.get(f"/c/{quote(NASTY)}", headers={"User-Agent": "x\u2028\x1b".encode()})
    for line in clicktrail.log().splitlines():
        assert isinstance(json.loads(line), dict), line
        assert not CONTROL & set(line)
