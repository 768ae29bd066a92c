"""S12: no path, host or header that a client makes up opens a route, or is believed."""

import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import Clicktrail
from tests.security import inventory
from tests.security.tenants import Request, Town, events, open_town

PATHS = [
    "v1/workspace", "//v1/workspace", "/v1/workspace/", "/v1//workspace", "/./v1/workspace", "/V1/WORKSPACE",
    "/v1/%77orkspace", "/v1%2fworkspace", "/v1/workspace%00", "/v1/workspace;x=1", "/v1/workspace%3f",
    "/healthz/../v1/workspace", "/p.gif/../v1/workspace", "/docs/../v1/workspace", "/c/../v1/workspace",
    "/collect/../v1/workspace", "/%2e%2e/v1/workspace", "http://localhost/v1/workspace",
    "/v1/workspace/.json", "/v1\\workspace", "/v1/workspace.json", "", "*", "?", "/", "v1",
    "@evil.example/v1/workspace",
]  # fmt: skip

SPOOFS: dict[str, str] = {
    "host": "evil.example/healthz?", "x-forwarded-host": "evil.example", "x-forwarded-for": "127.0.0.1",
    "x-forwarded-proto": "https", "x-forwarded-prefix": "/healthz", "x-forwarded-user": "admin",
    "x-original-url": "/healthz", "x-rewrite-url": "/healthz", "x-real-ip": "127.0.0.1",
    "forwarded": "for=127.0.0.1;host=evil.example", "x-http-method-override": "DELETE",
    "x-method-override": "DELETE", "x-http-method": "DELETE", "true-client-ip": "127.0.0.1",
    "cf-connecting-ip": "127.0.0.1", "cf-ipcountry": "NO", "x-client-ip": "::1", "x-remote-user": "admin",
    "x-scope": "admin", "x-workspace": "1", "via": "1.1 localhost",
}  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_no_way_to_write_a_path_opens_it(town: Town, path: str) -> None:
    for key in ("", town.tenants[0].keys["read"]):
        answer = town.ask("GET", path, key=key)
        assert answer.status in (400, 401, 403, 404, 405), answer.body
        assert answer.header("location") == ""


def test_no_header_opens_a_route_or_changes_what_a_method_does(town: Town) -> None:
    before = town.belongings(town.tenants[0])
    for path in inventory.paths(town.app):
        asked = inventory.request("GET", path, town.tenants[0])
        plain, *spoofed = town.ask_all(
            [asked, *(Request("GET", asked.target, [spoof]) for spoof in SPOOFS.items())]
        )
        assert {answer.status for answer in spoofed} <= {plain.status, 404}, path
        assert not [answer for answer in spoofed if "evil" in str(answer.headers)], path
    assert town.belongings(town.tenants[0]) == before


@pytest.mark.parametrize(
    "line", [b"GET v1/keys", b"GET http://x/v1/keys", b"GET \\v1\\keys", b"OPTIONS *", b"GET  /v1/keys"]
)
@pytest.mark.parametrize(
    "host", [b"localhost", b"localhost/healthz?x=", b"localhost:80@evil.example", b"", b"\xff"]
)
def test_a_server_asked_without_a_slash_lets_nobody_in(
    clicktrail: Clicktrail, line: bytes, host: bytes
) -> None:
    address = urlsplit(clicktrail.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(line + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.split()[1] in (b"400", b"401", b"404", b"405"), answer


@pytest.mark.parametrize(
    "trusted, ip, country", [("", "203.0.113.0", ""), ("203.0.113.0/24", "198.51.100.0", "NO")]
)
def test_an_address_is_believed_from_a_configured_proxy_only(
    tmp_path: Path, trusted: str, ip: str, country: str
) -> None:
    with open_town(tmp_path, trusted_proxies=trusted, country_header="CF-IPCountry") as town:
        key = town.tenants[0].keys["public"]
        said = {**SPOOFS, "x-forwarded-for": "10.9.8.7, 198.51.100.23", "host": "clicktrail.test"}
        for target in (f"/p.gif?k={key}&e=visit&id=a", f"/c/{town.tenants[0].things['slug']}"):
            town.ask_all([Request("GET", target, [*said.items()])])
        beacon = {"k": key, "events": [{"kind": "visit"}]}
        town.ask_all([Request("POST", "/collect", [*said.items()], json.dumps(beacon).encode())])
        told = {(event.ip, event.country) for event in events(tmp_path) if event.door != "api"}
    assert told == {(ip, country)}
