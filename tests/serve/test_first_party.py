"""nginx and Caddy with the shipped files: tag, beacon, pixel and nothing else, at a path of the site's.

Asked as a browser on the site would ask, through the real proxy, of the real service.
"""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app import db, tables
from tests import engines
from tests.conftest import Clicktrail, wait_until
from tests.hostile.wire import Address, Answer, exchange, parsed, request
from tests.serve.fronts import FRONTS

COOKIE = re.compile(
    r"ct_id=([0-9a-f]{8}\.[0-9a-f]{32}); Max-Age=34128000; Path=/; HttpOnly; SameSite=Lax; Secure"
)

TOLD = """
content-type cache-control etag vary access-control-allow-origin timing-allow-origin
cross-origin-resource-policy x-content-type-options
""".split()

#: What must not lead to the rest of the service.
ASIDE = """
/t/v1/keys /t/v1/events /t/metrics /t/healthz /t/ /t/c/spring /t/../v1/keys /t/%2e%2e/v1/keys /t//v1/keys
/t/collect/../v1/keys /t/collect/x /t/p.gif%2f..%2fv1%2fkeys /t/v1/x.js /t/c.js/../v1/keys /t/%76%31/keys
""".split()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clicktrail]:
    made = Clicktrail(tmp_path_factory.mktemp("first-party") / "data")
    yield made.start(CLICKTRAIL_TRUSTED_PROXIES="127.0.0.1")
    made.stop()
    engines.drop(made.data)


@pytest.fixture(scope="module", params=sorted(FRONTS))
def front(
    request: pytest.FixtureRequest, service: Clicktrail, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Address]:
    with FRONTS[request.param](Address.of(service), tmp_path_factory.mktemp(request.param)) as at:
        yield at


def of_the_shop(method: str, target: str, *lines: str, body: bytes = b"") -> bytes:
    return request(method, target, *lines, body=body).replace(b"Host: localhost", b"Host: shop.example")


def ask(at: Address, method: str, target: str, *lines: str, body: bytes = b"") -> Answer:
    (answer,) = exchange(at, of_the_shop(method, target, *lines, body=body), answers=1).answers
    return answer


def beacon(service: Clicktrail, title: str, **fields: Any) -> bytes:
    event = {"kind": "visit", "title": title, "url": "https://shop.example/", **fields}
    return json.dumps({"k": service.keys["public"], "events": [event]}).encode()


def stored(service: Clicktrail, title: str) -> list[Any]:
    engine = db.connect(engines.url(service.data), pool=1)
    with db.reading(engine) as connection:
        e = tables.events.c
        found = connection.execute(
            select(e.visitor_id, e.details).where(e.details.contains(f'"{title}"'))
        ).all()
    engine.dispose()
    return list(found)


def test_the_script_is_there_with_all_that_browsers_are_told(front: Address, service: Clicktrail) -> None:
    direct = ask(Address.of(service), "GET", "/c.js")
    through = ask(front, "GET", "/t/c.js")
    assert (through.status, through.body) == (200, direct.body)
    for name in TOLD:
        assert through.headers[name] == direct.headers[name], name
    again = ask(front, "GET", "/t/c.js", f"If-None-Match: {through.headers['etag']}")
    assert (again.status, again.body) == (304, b"")
    packed = ask(front, "GET", "/t/c.js", "Accept-Encoding: gzip")
    assert packed.headers["content-encoding"] == "gzip"
    with service.client("admin") as client:
        query = {"site": service.keys["public"], "base": "https://shop.example/t"}
        pinned = client.get("/v1/snippet", params=query).json()["pinned_script"]
    assert ask(front, "GET", pinned.removeprefix("https://shop.example")).body == direct.body


def test_a_beacon_gets_a_cookie_that_lasts_and_the_next_is_the_same_visitors(
    front: Address, service: Clicktrail
) -> None:
    title = f"first {front.port}"
    here = ("Origin: https://shop.example", "Sec-Fetch-Site: same-origin")
    first = ask(front, "POST", "/t/collect", *here, body=beacon(service, title))
    assert (first.status, json.loads(first.body)["accepted"]) == (202, 1)
    found = COOKIE.fullmatch(first.headers["set-cookie"])
    assert found is not None, first.headers["set-cookie"]
    cookies = f"Cookie: session=secret; ct_id={found[1]}; theme=dark"
    again = ask(front, "POST", "/t/collect", *here, cookies, body=beacon(service, title))
    assert again.status == 202
    assert "set-cookie" not in again.headers
    wait_until(lambda: len(stored(service, title)) == 2)
    assert {visitor for visitor, _ in stored(service, title)} == {found[1]}


def test_the_visitors_address_arrives_and_nobody_can_say_another(front: Address, service: Clicktrail) -> None:
    title = f"whence {front.port}"
    lines = ("X-Forwarded-For: 6.6.6.6", "X-Real-IP: 6.6.6.6", "Forwarded: for=6.6.6.6")
    told = of_the_shop("POST", "/t/collect", *lines, body=beacon(service, title))
    with socket.create_connection(front, source_address=("127.9.9.9", 0), timeout=10) as connection:
        connection.sendall(told)
        (answer,) = parsed(connection.recv(65536)).answers
    assert answer.status == 202
    wait_until(lambda: stored(service, title))
    ((_, details),) = stored(service, title)
    assert json.loads(details)["ip"] == "127.9.9.0"


def test_the_pixel_is_recorded_with_its_query_as_it_came(front: Address, service: Clicktrail) -> None:
    title = f"pixel {front.port}"
    page = f"https%3A%2F%2Fshop.example%2F%3Fa%3D%2561%2B+b%26n%3D{front.port}"
    query = f"k={service.keys['public']}&e=visit&url={page}"
    answer = ask(front, "GET", f"/t/p.gif?{query}", "Sec-Fetch-Site: same-origin")
    assert (answer.status, answer.headers["x-clicktrail"]) == (200, "accepted"), title
    assert COOKIE.fullmatch(answer.headers["set-cookie"])
    address = f"https://shop.example/?a=%61+ b&n={front.port}"
    wait_until(lambda: stored(service, address))


def test_nothing_else_of_the_service_is_reached_by_way_of_the_site(
    front: Address, service: Clicktrail
) -> None:
    key = f"Authorization: Bearer {service.keys['admin']}"
    for target in ASIDE:
        answer = ask(front, "GET", target, key)
        assert answer.status in (400, 404) or answer.body == b"the site", (target, answer.status, answer.body)
    assert ask(front, "GET", "/anything").body == b"the site"


def test_cookies_and_credentials_of_the_site_stay_with_the_site(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """What the proxy sends on, as a listener in Clicktrail's place hears it."""
    for name, front in FRONTS.items():
        folder = tmp_path / name
        folder.mkdir()
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            front(Address("127.0.0.1", listener.getsockname()[1]), folder) as at,
        ):
            for cookies, kept in (
                ("session=secret; ct_id=0a.1b; theme=dark", "ct_id=0a.1b"),
                ("session=secret; xct_id=1", None),
            ):
                heard = overheard(
                    listener, at, f"Cookie: {cookies}", "Authorization: Basic c2VjcmV0OnNlY3JldA=="
                )
                assert "c2VjcmV0" not in heard and "secret" not in heard, name
                lines = [
                    line.partition(": ")[2]
                    for line in heard.splitlines()
                    if line.lower().startswith("cookie:")
                ]
                assert lines == ([kept] if kept else []), name


def overheard(listener: socket.socket, at: Address, *lines: str) -> str:
    """The head of the request that arrives behind the proxy."""
    with socket.create_connection(at, timeout=10) as client:
        head = "\r\n".join(("GET /t/p.gif?k=x HTTP/1.1", "Host: shop.example", *lines, "", ""))
        client.sendall(head.encode())
        listener.settimeout(10)
        behind, _ = listener.accept()
        with behind:
            heard = b""
            while b"\r\n\r\n" not in heard:
                heard += behind.recv(65536)
            behind.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        client.recv(65536)
    return heard.decode()
