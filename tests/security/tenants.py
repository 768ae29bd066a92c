"""The whole application in this process, with three workspaces that have one of everything each.

Asked as an ASGI server asks it, so that a test can say anything a client can: raw paths, raw headers.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
from sqlalchemy import Connection, Engine, Table, select

from app import db, tables
from app.clock import now_us
from app.inbox.sqlite import Queue
from app.main import Application, create_app
from app.model import Event, Record
from app.prepare import workspace_with_keys
from app.settings import Settings
from app.workspaces import digest
from tests import engines

HOST = "clicktrail.test"
NAMES = ("birch", "cedar", "maple")
AT_ONCE = 64  # requests that wait for the inbox together
MADE_UP = "made-up"


@dataclass
class Answer:
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str) -> str:
        return next((value for given, value in self.headers if given == name), "")

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Request:
    """One request; `headers` are (name, value), in lower case."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""


@dataclass
class Tenant:
    """A workspace: its row, its keys by scope, and the names of what it has."""

    id: int
    name: str
    keys: dict[str, str]
    things: dict[str, str] = field(default_factory=dict)


@dataclass
class Town:
    app: Application
    engine: Engine
    runner: "asyncio.Runner"
    tenants: list[Tenant] = field(default_factory=list)

    def ask(
        self, method: str, target: str, *, key: str = "", json_: Any = None, body: bytes = b"", **headers: str
    ) -> Answer:
        """One answer; `headers` with _ for -, `key` as Bearer."""
        given = [(name.replace("_", "-"), value) for name, value in headers.items()]
        if key:
            given.append(("authorization", f"Bearer {key}"))
        if json_ is not None:
            body = json.dumps(json_).encode()
        return self.ask_all([Request(method, target, given, body)])[0]

    def ask_all(self, requests: Iterable[Request]) -> list[Answer]:
        """All answers, in order; some requests at a time, as their records are written in groups."""
        return self.runner.run(self._ask_all(list(requests)))

    async def _ask_all(self, requests: list[Request]) -> list[Answer]:
        answers: list[Answer] = []
        for at in range(0, len(requests), AT_ONCE):
            answers += await asyncio.gather(*map(self._ask, requests[at : at + AT_ONCE]))
        return answers

    async def _ask(self, request: Request) -> Answer:
        path, _, query = request.target.partition("?")
        raw = path.encode("utf-8", "surrogateescape")
        decoded = unquote(raw.decode("utf-8", "surrogateescape"), errors="surrogateescape")
        given = dict(request.headers)
        parts = [request.body]
        answer = Answer()

        async def receive() -> dict[str, Any]:
            if not parts:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": parts.pop(), "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in message["headers"]]
            else:
                answer.body += message.get("body", b"")

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": decoded,
            "raw_path": raw,
            "root_path": "",
            "query_string": query.encode("utf-8", "surrogateescape"),
            "headers": [
                (name.encode("latin-1"), value.encode("latin-1"))
                for name, value in ({"host": HOST} | given).items()
            ],
            "client": ("203.0.113.77", 4711),
            "server": (HOST, 80),
        }
        await self.app(scope, receive, send)
        return answer

    def rows(self, table: Table, **values: Any) -> list[dict[str, Any]]:
        with db.reading(self.engine) as connection:
            conditions = (table.c[name] == value for name, value in values.items())
            return [dict(row) for row in connection.execute(select(table).where(*conditions)).mappings()]

    def belongings(self, tenant: Tenant) -> dict[str, list[dict[str, Any]]]:
        """Every row of a workspace, by table."""
        owned = [table for table in tables.metadata.sorted_tables if "workspace" in table.c]
        return {table.name: self.rows(table, workspace=tenant.id) for table in owned}


@contextmanager
def open_town(folder: Path, **settings: Any) -> Iterator[Town]:
    """The application, started; `settings` as environment variables would set them."""
    engine = engines.connect(folder)
    app = create_app(Settings(data=folder, database_url=engines.url(folder), **settings))
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        town = Town(app, engine, runner)
        with db.begin(engine) as connection:
            for name in NAMES:
                town.tenants.append(_settled(connection, name))
        runner.run(stack.enter_async_context(app.framework.router.lifespan_context(app.framework)))
        for tenant in town.tenants:
            _furnish(town, tenant)
        yield town
        runner.run(stack.aclose())
    engines.drop(folder)


def _settled(connection: Connection, name: str) -> Tenant:
    """A workspace with keys, a revoked one among them, a conversion, a rejected record and junk."""
    now = now_us()
    keys = workspace_with_keys(connection, name, now=now)
    w = tables.workspaces.c
    id_ = connection.scalar(select(w.id).where(w.slug == name))
    assert id_ is not None
    for use in ("revoked", "spare"):
        row = {"workspace": id_, "scope": "admin", "name": use, "prefix": "ct_adm_", "created_at": now}
        row |= {"digest": digest(_key(name, use)), "revoked_at": now if use == "revoked" else None}
        connection.execute(tables.keys.insert().values(row))
    keys["revoked"] = _key(name, "revoked")
    sale = {
        "workspace": id_,
        "id": id_,
        "kind": 7,
        "order_id": f"order-{name}",
        "store": "",
        "occurred_at": now,
    }
    sale |= {"no": id_, "received_at": now, "currency": "EUR", "value": 1, "state": 1}
    connection.execute(tables.conversions.insert().values(sale))
    refused = {"workspace": id_, "at": now, "kind": "quarantined", "door": "api", "code": f"x-{name}"}
    connection.execute(tables.rejected.insert().values(refused))
    connection.execute(tables.junk.insert().values(workspace=id_, kind=2, value=f"x-{name}", events=1))
    asked = {"workspace": id_, "requested_at": now, "stage": "done", "done_at": now}
    connection.execute(tables.erasures.insert().values(asked))
    return Tenant(id_, name, keys)


def _key(tenant: str, use: str) -> str:
    return f"ct_adm_of-{tenant}-{use}-0123456789"


def _furnish(town: Town, tenant: Tenant) -> None:
    """One of everything, by way of the API."""
    mine = f"of-{tenant.name}"
    for path, body in (
        ("channels", {"slug": mine}),
        ("campaigns", {"slug": mine, "landing_url": f"https://{tenant.name}.example/"}),
        (f"campaigns/{mine}/ads", {"slug": mine}),
        (f"campaigns/{mine}/pricing", {"model": "cpc", "rate": 1, "currency": "EUR"}),
        ("partners", {"slug": mine}),
        ("goals", {"slug": mine, "kind": "lead"}),
        ("identifiers/blocks", {"kind": "user", "value": mine}),
    ):
        made = town.ask("POST", f"/v1/{path}", key=tenant.keys["admin"], json_=body)
        assert made.status == 201, made.body
        if path.endswith("pricing"):
            tenant.things["deal"] = str(made.json["id"])
        if path.endswith("blocks"):
            tenant.things["block"] = str(made.json["id"])
    told = town.ask("POST", "/v1/events", key=tenant.keys["server"], json_={"kind": "lead", "id": mine})
    tenant.things["receipt"] = told.json["receipt"]
    (spare,) = [row for row in town.rows(tables.keys, workspace=tenant.id) if row["name"] == "spare"]
    (refused,) = town.rows(tables.rejected, workspace=tenant.id)
    tenant.things |= {"slug": mine, "key": str(spare["id"]), "order": f"order-{tenant.name}"}
    (erasure,) = town.rows(tables.erasures, workspace=tenant.id)
    tenant.things |= {"rejected": str(refused["id"]), "erasure": str(erasure["id"])}
    tenant.things["conversion"] = f"cv_{tenant.id:016x}"


def events(folder: Path) -> list[Event]:
    """What stands in the inbox of a town."""
    queue = Queue(folder / "inbox")
    found = [msgspec.msgpack.decode(p, type=Record) for one in queue.read({}, 100_000) for p in one.payloads]
    queue.close()
    return [one for one in found if isinstance(one, Event)]
