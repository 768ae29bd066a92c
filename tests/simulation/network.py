"""The network of a simulation: between any client and any web process, where messages get lost, doubled,
late, and out of order; and where the answer may be what is lost."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from tests.simulation.loop import World
from tests.simulation.machines import Machine, Web

PATIENCE = 1.0  # seconds until a client takes no answer for one


@dataclass(frozen=True, slots=True)
class Request:
    """`repeatable`: it names its events, so that a second copy must do no harm."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""
    repeatable: bool = True

    def scope(self) -> dict[str, Any]:
        headers = {"host": "clicktrail.example", **self.headers}
        return {
            "type": "http", "method": self.method, "path": self.path, "raw_path": self.path.encode(),
            "query_string": urlencode(self.query, quote_via=quote).encode(), "scheme": "https",
            "client": ("203.0.113.9", 1),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Network:
    def __init__(self, world: World, machines: list[Machine]) -> None:
        self.world = world
        self.webs = [web for machine in machines for web in machine.webs]
        self.delivered = 0

    async def ask(self, who: str, request: Request) -> Answer | None:
        """The answer, or None when none came in time: then anything may have happened."""
        world = self.world
        heard: asyncio.Future[Answer] = world.loop.create_future()
        if world.happens(0.06):
            world.note(who, f"{request.path} lost on the way")
        else:
            world.loop.create_task(self._carry(who, request, heard))
        if request.repeatable and world.happens(0.06):
            world.note(who, f"{request.path} doubled")
            world.loop.create_task(self._carry(who, request, heard))
        try:
            return await asyncio.wait_for(heard, PATIENCE)
        except TimeoutError:
            return None

    async def _carry(self, who: str, request: Request, heard: "asyncio.Future[Answer]") -> None:
        await self.world.sleep(0, 1.5 if self.world.happens(0.05) else 0.05)
        web: Web = self.world.chance.choice(self.webs)
        if not web.up:
            return self.world.note(who, f"{request.path} refused by {web.name}")
        self.delivered += 1
        task = web.run(web.answer(request.scope(), request.body))
        await asyncio.wait([task])
        if task.cancelled():
            return self.world.note(who, f"{request.path} died with {web.name}")
        answer = Answer(*task.result())
        self.world.note(who, f"{request.path} -> {web.name}: {answer.status}")
        if self.world.happens(0.08):
            return self.world.note(who, f"{request.path} answer lost")
        await self.world.sleep(0, 0.05)
        if not heard.done():
            heard.set_result(answer)
