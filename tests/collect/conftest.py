"""The doors with a real inbox and a snapshot written by hand: no server, no database, no framework."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.collect.beacon import beacon
from app.collect.click import click
from app.collect.door import Doors
from app.collect.events import events, receipts
from app.collect.pixel import pixel
from app.collect.postback import postback
from app.collect.receipts import Outcomes
from app.inbox.sqlite import Inbox, Queue
from app.model import Event, Record, Refusal
from app.salt import Salts
from app.workspaces import Ad, Campaign, Snapshot, Snapshots, Workspace, WorkspaceSettings, digest
from tests import engines

NOW = 1_790_000_000_000_000  # 2026-09-21 13:33:20 UTC
PUBLIC, SERVER, READ = "ct_pub_one", "ct_srv_one", "ct_read_one"
DOORS: dict[str, Callable[..., Awaitable[None]]] = {
    "p.gif": pixel, "c": click, "collect": beacon, "postback": postback, "v1": events,
}  # fmt: skip


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def verdict(self) -> str:
        return self.headers.get("x-clicktrail", "")


@dataclass
class Clock:
    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class Front:
    """The front of the house: ask a door, and see what it wrote."""

    doors: Doors
    queue: Queue
    clock: Clock
    engine: Any

    async def ask(
        self, method: str, target: str, body: bytes = b"", chunk: int = 2**16, **headers: str
    ) -> Answer:
        path, _, query = target.partition("?")
        sent = {"host": "t.example", **{name.replace("_", "-"): value for name, value in headers.items()}}
        scope = {
            "type": "http",
            "method": method,
            "scheme": "https",
            "path": path,
            "raw_path": path.encode("utf-8", "surrogateescape"),
            "query_string": query.encode("utf-8", "surrogatepass"),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
            "client": ("203.0.113.77", 4711),
        }
        parts = [body[at : at + chunk] for at in range(0, len(body), chunk)] or [b""]
        answer = Answer()

        async def receive() -> dict[str, Any]:
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {
                    name.decode(): value.decode("latin-1") for name, value in message["headers"]
                }
            else:
                answer.body += message["body"]

        first = path.split("/")[1]
        door = receipts if path.startswith("/v1/receipts/") else DOORS[first]
        await door(self.doors, scope, receive, send)
        return answer

    async def post(self, target: str, value: Any, **headers: str) -> Answer:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return await self.ask("POST", target, body, **headers)

    async def tell(self, *told: Any, **headers: str) -> Answer:
        """Events at the server door."""
        return await self.post(
            "/v1/events", {"events": list(told)}, authorization=f"Bearer {SERVER}", **headers
        )

    def settings(self, **changes: Any) -> None:
        """Change the first workspace's settings."""
        snapshot = self.doors.snapshots.current
        one = snapshot.workspaces[1]
        changed = msgspec.structs.replace(one, settings=msgspec.structs.replace(one.settings, **changes))
        self.doors.snapshots.current = msgspec.structs.replace(
            snapshot, workspaces={**snapshot.workspaces, 1: changed}
        )

    async def records(self) -> list[Event | Refusal]:
        """Everything in the inbox, in order, once it is written."""
        await self.doors.inbox.append([msgspec.msgpack.encode(None)])
        slices = self.queue.read({}, 10_000)
        found = [payload for one in slices for payload in one.payloads]
        return [msgspec.msgpack.decode(one, type=Record) for one in found if one != b"\xc0"]

    async def events(self) -> list[Event]:
        return [one for one in await self.records() if isinstance(one, Event)]

    async def refusals(self) -> list[Refusal]:
        return [one for one in await self.records() if isinstance(one, Refusal)]


def workspace(number: int, **settings: Any) -> Workspace:
    spring = Campaign(
        id=7,
        slug="spring",
        status="active",
        landing_url="https://shop.example/sale?from={campaign}&s={sub1}#top",
        fallback_url="https://shop.example/over",
        allowed_hosts=["offers.example", "*.partner.example"],
        pass_parameters=False,
        starts_on=None,
        ends_on=None,
        ads={"banner": Ad(70, "https://shop.example/banner/{click_id}")},
    )
    paused = msgspec.structs.replace(spring, id=8, slug="paused", status="paused")
    passing = msgspec.structs.replace(spring, id=9, slug="passing", pass_parameters=True)
    over = msgspec.structs.replace(spring, id=10, slug="over", ends_on=1)
    return Workspace(
        id=number,
        slug=f"ws{number}",
        timezone="Asia/Tehran",
        reporting_currency="EUR",
        secret=bytes([number]) * 32,
        settings=WorkspaceSettings(**settings),
        goals={"signup": "lead", "order": "sale"},
        campaigns={one.slug: one for one in (spring, paused, passing, over)},
        partners={"anna": 5},
    )


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    clock = Clock()
    snapshots = Snapshots(tmp_path / "snapshot", clock=clock)
    snapshots._confirmed_at = NOW
    snapshots.current = Snapshot(
        version=1,
        first=1,
        keys={
            digest(PUBLIC): (1, 1, "public"),
            digest(SERVER): (2, 1, "server"),
            digest(READ): (3, 1, "read"),
            digest("ct_srv_two"): (4, 2, "server"),
            digest("ct_pub_two"): (5, 2, "public"),
        },
        hosts={"two.example": 2},
        workspaces={1: workspace(1), 2: workspace(2)},
    )
    inbox = Inbox(
        tmp_path / "inbox",
        segment_bytes=2**24,
        limit_bytes=2**30,
        reserve_bytes=0,
        clock=lambda: time.time_ns() // 1000,
    )
    engine = engines.connect(tmp_path)
    doors = Doors(
        inbox=inbox, snapshots=snapshots, outcomes=Outcomes(engine), clock=clock, salts=Salts(tmp_path)
    )
    queue = Queue(tmp_path / "inbox")
    await inbox.start()
    yield Front(doors, queue, clock, engine)
    queue.close()
    await inbox.stop()
    doors.outcomes.close()
    engine.dispose()
