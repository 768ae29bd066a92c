"""nginx in front, with the file that is shipped: what is asked and answered is what it is without it.

How it reads the edges of HTTP stands in test_parsing.py, bodies in test_bodies.py, slow clients in
test_connections.py.
"""

import json
import re
import signal
import socket
from collections.abc import Callable

import pytest
from sqlalchemy import select

from app import db, tables
from tests.conftest import Clicktrail, wait_until
from tests.hostile.wire import Address, Answer, exchange, parsed, request

#: Queries that something on the way may be tempted to put in order.
QUERIES = r"""
sub1=%2e%2e%2f..%2f sub1=a+b%20c%2Bd sub1=%C3%A9%e9 sub1=a%00b sub1=%25%32%35 sub1='";!*()[]{}|\^`
sub1=a/../b//c sub1=?a?b sub1=a&sub1=b sub1 sub1= &&sub1=a&&=b sub1=a%26b=c sub1=a;b=c sub1=%F0%9F%98%80
sub1=<script> sub1=$host sub1=%u0041
""".split()


def get(address: Address, target: str, *lines: str) -> Answer:
    (answer,) = exchange(address, request("GET", target, *lines), answers=1).answers
    return answer


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_goes_on_as_it_came(query: str, standing: Clicktrail, in_front: Address) -> None:
    """The redirect leads to an address with sub1 in it; only the click's id differs."""
    direct, through = (get(at, f"/c/spring?{query}") for at in (Address.of(standing), in_front))
    places = [
        re.sub(r"ct_click=[^&#]*", "", answer.headers.get("location", "")) for answer in (direct, through)
    ]
    assert (direct.status, places[0]) == (through.status, places[1])
    assert direct.status == 302


def test_answers_are_the_same(standing: Clicktrail, in_front: Address) -> None:
    asked = [
        request("GET", f"/p.gif?k={standing.keys['public']}&e=impression"),
        request("GET", "/c/nowhere"),
        request("OPTIONS", "/collect", "Origin: https://a.example", "Access-Control-Request-Method: POST"),
        request("POST", "/collect", body=b"{"),
        request("POST", "/v1/events", body=b"{}"),
        request("DELETE", "/p.gif"),
        request("GET", "/readyz"),
        request("GET", "/v1/metrics", f"Authorization: Bearer {standing.keys['read']}"),
        request("GET", "/a/%2e%2e/healthz"),
        request("GET", "//p.gif"),
    ]
    for one in asked:
        (direct,), (through,) = (
            exchange(at, one, answers=1).answers for at in (Address.of(standing), in_front)
        )
        left_out = {"date", "server", "connection", "set-cookie", "x-clicktrail-id"}
        assert (direct.status, direct.body) == (through.status, through.body), one
        assert {n: v for n, v in direct.headers.items() if n not in left_out} == {
            n: v for n, v in through.headers.items() if n not in left_out
        }, one


def addresses(service: Clicktrail, mark: str) -> list[str]:
    """The visitors' addresses stored with the clicks of this sub1."""
    engine = db.connect(f"sqlite:///{service.data}/clicktrail.db", pool=1)
    with db.reading(engine) as connection:
        details = tables.events.c.details
        found = connection.execute(select(details).where(details.contains(mark))).scalars().all()
    engine.dispose()
    return [json.loads(one)["ip"] for one in found]


def test_the_visitors_address_arrives_and_nobody_can_say_another(
    standing: Clicktrail, in_front: Address
) -> None:
    told = request("GET", "/c/spring?sub1=whence", "X-Forwarded-For: 6.6.6.6", "X-Real-IP: 6.6.6.6")
    with socket.create_connection(in_front, source_address=("127.9.9.9", 0), timeout=10) as connection:
        connection.sendall(told)
        (answer,) = parsed(connection.recv(65536)).answers
    assert answer.headers["x-clicktrail"] == "accepted"
    wait_until(lambda: addresses(standing, "whence"))
    assert addresses(standing, "whence") == ["127.9.9.0"]


def test_what_nginx_refuses_looks_like_ours(
    serve: Callable[..., Clicktrail], front: Callable[..., Address]
) -> None:
    service = serve()
    address = front(service, 2)
    huge = request("POST", "/v1/events", "Content-Length: 3000000")
    slow = b"GET /p.gif HTTP/1.1\r\nHost: localhost\r\n"
    for sent, status, code in (
        (huge, 413, "body_too_large"),
        (slow, 408, "request_slow"),
        (b"GET /p.gif?" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414, "url_too_long"),
        (b"GARBAGE\r\n\r\n", 400, "http_invalid"),
    ):
        heard = exchange(address, sent, answers=1)
        assert not heard.answers or heard.statuses == [status], code
        assert heard.answers or sent == slow, code  # nginx may hang up without a word
        for answer in heard.answers:
            assert json.loads(answer.body)["error"]["code"] == code
    service.stop(signal.SIGTERM)
    answer = get(address, "/p.gif")
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (503, "not_reachable")
    assert answer.headers["retry-after"] == "5"
