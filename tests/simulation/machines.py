"""The machines of a simulation: web processes in front of an inbox, and a worker; all of it the real code.

A process is its asyncio tasks and what they hold in memory. A crash takes both; what the disk and the
database hold stays, and a successor starts a moment later.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import worker
from app.collect.door import Doors
from app.main import Application
from app.model import DAY, HOUR
from app.pipeline.run import Pipeline
from app.salt import Salts
from app.tag import script
from app.workspaces import Snapshots
from tests.simulation.disk import Disk, Inbox, Queue
from tests.simulation.loop import World
from tests.simulation.store import Crash, Store

CONFIRM_EVERY = 2.0  # seconds, as app.main
JUMPS = (-DAY, -HOUR, HOUR, DAY, 1)
BATCH = 64
TAG = script.tag(script.NAME, script.COLLECT, kept=Path("nowhere"))


class Machine:
    """One machine: its clock, its disk, its processes."""

    def __init__(self, world: World, store: Store, name: str, *, webs: int) -> None:
        self.world, self.store, self.name = world, store, name
        self.offset = 0
        self.disk = Disk()
        self.webs = [Web(self, f"{name}.web{n}") for n in range(webs)]
        self.worker = Worker(self, f"{name}.work")

    def clock(self) -> int:
        return self.world.now + self.offset

    def jump(self) -> None:
        self.offset = self.world.chance.choice((0, *JUMPS))
        self.world.note(self.name, f"clock is off by {self.offset / 1e6:.0f} s")

    def start(self) -> None:
        for web in self.webs:
            web.start()
        self.worker.start()

    def lag(self) -> int:
        return self.disk.waiting(self.worker.context.pipeline.cursors())


class Web:
    """A web process. `application` is the real one, without the framework: the doors only."""

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine, self.name, self.world = machine, name, machine.world
        self.up = False
        self.tasks: dict[asyncio.Task[Any], None] = {}  # in the order in which they began

    def start(self) -> None:
        folder = self.machine.store.path.parent
        self.inbox = Inbox(self.world, self.machine.disk, self.name)
        self.snapshots = Snapshots(folder / f"{self.name}.snapshot", clock=self.machine.clock)
        self.snapshots.refresh(self.machine.store.engine)
        doors = Doors(
            inbox=self.inbox,  # type: ignore[arg-type]
            snapshots=self.snapshots,
            outcomes=None,  # type: ignore[arg-type]
            clock=self.machine.clock,
            salts=Salts(folder),
        )
        self.application = Application(doors, None, TAG)  # type: ignore[arg-type]
        self.up = True
        self.run(self._confirm())

    def run(self, work: Any) -> "asyncio.Task[Any]":
        task = self.world.loop.create_task(work)
        self.tasks[task] = None
        task.add_done_callback(lambda done: self.tasks.pop(done, None))
        return task

    async def _confirm(self) -> None:
        while True:
            await self.world.sleep(CONFIRM_EVERY * 0.5, CONFIRM_EVERY)
            with self.machine.store.turn():
                self.snapshots.refresh(self.machine.store.engine)

    async def answer(self, scope: dict[str, Any], body: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        """What this process answers to one request."""
        told: list[Any] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            told.append(message)

        await self.application(scope, receive, send)
        start, *rest = told
        return start["status"], dict(start["headers"]), b"".join(part.get("body", b"") for part in rest)

    def crash(self) -> None:
        self.world.note(self.name, "crashes")
        self.up = False
        self.inbox.crash()
        for task in list(self.tasks):
            task.cancel()
        self.world.loop.call_later(self.world.chance.uniform(0.05, 0.5), self.start)


class Worker:
    """The worker of a machine: pipeline, leader and small tasks take turns as in app.worker."""

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine, self.name, self.world = machine, name, machine.world
        self.tasks: list[asyncio.Task[None]] = []
        self.up = False

    def start(self) -> None:
        self.up = True
        self.context = context = worker.Context(
            engine=self.machine.store.engine,
            pipeline=Pipeline(self.machine.store.engine, self.machine.clock),
            queue=Queue(self.machine.disk),  # type: ignore[arg-type]
            snapshots=Snapshots(
                self.machine.store.path.parent / f"{self.name}.snapshot", clock=self.machine.clock
            ),
            stored=Bell(),  # type: ignore[arg-type]
            freshness=worker.FRESHNESS + self.name.encode(),
            pace=self.world.loop.time,
        )
        due: dict[worker.Task, float] = {}
        turns: tuple[tuple[str, Callable[[], bool], float, float], ...] = (
            ("pipeline", lambda: worker.pipeline_turn(context, self._batch()), 0.03, 0.4),
            ("leader", lambda: worker.leader_turn(context), 0.2, 1.2),
            ("tasks", lambda: worker.tasks_turn(context, due), 0.5, 1.5),
        )
        self.tasks = [
            self.world.loop.create_task(self._thread(name, turn, (least, most)))
            for name, turn, least, most in turns
        ]

    def _batch(self) -> int:
        return self.world.chance.choice((1, 3, 10, BATCH))

    async def _thread(self, name: str, turn: Callable[[], bool], pause: tuple[float, float]) -> None:
        taken = worker.turns(name, turn)
        await self.world.sleep(0, pause[1])
        while True:
            try:
                with self.machine.store.turn(crash=0.02, abort=0.05):
                    wait = next(taken)
            except Crash:
                return self.crash()
            if wait is not None:
                self.world.note(self.name, f"{name}: {wait}")
            await (self.world.sleep(*pause) if wait is None else asyncio.sleep(wait + 0.001))

    def crash(self) -> None:
        if not self.up:
            return
        self.world.note(self.name, "crashes")
        self.up = False
        for task in self.tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self.world.loop.call_later(self.world.chance.uniform(0.05, 0.5), self.start)


class Bell:
    """Stands for the event by which the pipeline wakes the leader: here it wakes by itself."""

    def set(self) -> None:
        pass
