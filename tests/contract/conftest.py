"""One running Clicktrail with two workspaces, asked over the wire as strangers ask: nothing is called.

The database is looked into where the contract says what must (not) be kept and no route shows it.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import Engine, Row, Table, select

from app import db, tables
from tests import engines
from tests.conftest import SCOPES, Clicktrail, new_client, wait_until

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
LANDING = "https://shop.example/sale?from={campaign}&s={sub1}&ad={ad}&p={partner}&m={utm_source}#top"

#: What the first workspace has registered.
CAMPAIGNS: tuple[dict[str, Any], ...] = (
    {"slug": "spring", "landing_url": LANDING, "allowed_hosts": ["offers.example", "cdn.partner.example"]},
    {"slug": "passing", "landing_url": "https://shop.example/p", "pass_parameters": True,
     "allowed_hosts": ["offers.example", "cdn.partner.example"]},
    {"slug": "paused", "landing_url": "https://shop.example/", "fallback_url": "https://shop.example/over",
     "status": "paused"},
    {"slug": "resting", "landing_url": "https://shop.example/resting", "status": "paused"},
    {"slug": "homeless"},
)  # fmt: skip


@dataclass
class Reply:
    """An answer read off the socket: `status` 0 when the connection ended without one."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Service:
    """The service: its doors, the keys of its two workspaces, and what became of what was sent."""

    clicktrail: Clicktrail
    engine: Engine
    other: dict[str, str]

    @property
    def keys(self) -> dict[str, str]:
        return self.clicktrail.keys

    def client(self, scope: str = "", **headers: str) -> httpx.Client:
        """A client with this workspace's key of `scope`; with none, a browser. Close it."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        credential = self.clicktrail.as_(scope) if scope else {}
        return new_client(
            base_url=self.clicktrail.url, headers={"User-Agent": BROWSER, **credential, **named}, timeout=30
        )

    def ask(self, method: str, path: str, scope: str = "", **options: Any) -> httpx.Response:
        """One request by somebody who was never here before."""
        with self.client(scope) as client:
            return client.request(method, path, **options)

    def tell(self, *events: Any, **parameters: str) -> httpx.Response:
        """Events at the server door, answered when they are stored."""
        return self.post("/v1/events", {"events": list(events)}, "server", wait="stored", **parameters)

    def post(self, path: str, body: Any, scope: str = "", **parameters: str) -> httpx.Response:
        """A JSON body; bytes go as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        return self.ask("POST", path, scope, content=content, params=parameters, headers=headers)

    def collect(self, *events: Any, key: str | None = None, **more: Any) -> httpx.Response:
        """Events at the beacon's door; `headers` go along."""
        headers = more.pop("headers", {})
        body = {"k": self.keys["public"] if key is None else key, "events": list(events), **more}
        return self.ask("POST", "/collect", content=json.dumps(body), headers=headers)

    def caught_up(self) -> None:
        """Return when everything sent so far is stored: the inbox is read in order."""
        answer = self.tell({"kind": "pageview", "test": True})
        assert answer.json()["outcomes"] == ["stored"], answer.text

    def rows(self, table: Table, **values: Any) -> Sequence[Row[Any]]:
        """What is stored now, where its columns hold these values; conversions once they are made of it."""
        self.settled() if table is tables.conversions else self.caught_up()
        conditions = (table.c[name] == value for name, value in values.items())
        with db.reading(self.engine) as connection:
            return connection.execute(select(table).where(*conditions)).all()

    def settled(self) -> None:
        """Return when all that is stored has been reckoned with."""
        self.caught_up()
        wait_until(lambda: not (self._any(tables.changes) or self._any(tables.due)))

    def _any(self, table: Table) -> bool:
        with db.reading(self.engine) as connection:
            return connection.execute(select(table).limit(1)).first() is not None

    def conversion(self, name: str) -> dict[str, Any]:
        """A conversion by id or order id, as it stands when everything sent so far has been settled."""
        self.settled()
        answer = self.ask("GET", f"/v1/conversions/{name}", "read")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def why(self, name: str, **parameters: str) -> dict[str, Any]:
        """Who earned it, likewise."""
        self.settled()
        answer = self.ask("GET", f"/v1/conversions/{name}/why", "read", params=parameters)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def raw(self, sent: bytes, *, shut: bool = False) -> Reply:
        """The answer to bytes that no HTTP client would send; `shut`: our side ends after them."""
        address = urlsplit(self.clicktrail.url)
        with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
            try:
                connection.sendall(sent)
                if shut:
                    connection.shutdown(socket.SHUT_WR)
                return _reply(connection)
            except (ConnectionResetError, BrokenPipeError):
                return Reply(0)


def _reply(connection: socket.socket) -> Reply:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return Reply(0)
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    while len(body) < int(headers.get("content-length", "0")):
        chunk = connection.recv(65536)
        if not chunk:
            break
        body += chunk
    return Reply(int(first.split()[1]), headers, body)


def error(answer: httpx.Response) -> tuple[int, str, str | None]:
    """(status, code, field) of a refusal."""
    told = answer.json()["error"]
    return answer.status_code, told["code"], told.get("field")


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clicktrail]:
    running = Clicktrail(tmp_path_factory.mktemp("contract") / "data").start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def database(running: Clicktrail) -> Iterator[Engine]:
    engine = db.connect(engines.url(running.data), pool=1)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def service(running: Clicktrail, database: Engine) -> Service:
    service = Service(running, database, second_workspace(running))
    for campaign in CAMPAIGNS:
        create(service, "/v1/campaigns", **campaign)
    create(
        service, "/v1/campaigns/spring/ads", slug="banner", landing_url="https://shop.example/b/{click_id}"
    )
    create(service, "/v1/partners", slug="anna")
    create(service, "/v1/goals", slug="order", kind="sale", primary=True)
    return service


def create(service: Service, path: str, **body: Any) -> dict[str, Any]:
    answer = service.post(path, body, "admin")
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def second_workspace(clicktrail: Clicktrail) -> dict[str, str]:
    """Add one as an operator does; its keys by scope, once the doors know them."""
    command = [sys.executable, "-m", "app.cli", "workspace", "add", "second", "--data", str(clicktrail.data)]
    environment = os.environ | engines.environment(clicktrail.data)
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    lines = (line.split() for line in said.splitlines())
    keys = {words[0]: words[1] for words in lines if len(words) == 2 and words[0] in SCOPES}
    headers = {"Authorization": f"Bearer {keys['admin']}"}
    address = f"{clicktrail.url}/v1/workspace"
    wait_until(lambda: httpx.get(address, headers=headers).status_code == 200)
    return keys
