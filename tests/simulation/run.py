"""One simulation: everything set up, everything that can go wrong, then peace; and what was found."""

import asyncio
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from app.collect.door import entropy
from tests.simulation import judge, operator
from tests.simulation.clients import WINDOW, Crowd
from tests.simulation.loop import World
from tests.simulation.machines import Machine
from tests.simulation.network import Network
from tests.simulation.operator import Operator
from tests.simulation.store import Store

SETTLED_WITHIN = 30.0  # simulated seconds after the last fault
#: What no fault may lead to: a bug, met by chance.
SURPRISES = frozenset(
    ("crashed", "turn_failed", "record_quarantined", "conversion_unsettled", "replay_failed")
)


@dataclass
class Outcome:
    seed: int
    digest: str = ""
    findings: list[str] = field(default_factory=list)
    events: int = 0  # told
    requests: int = 0  # that reached a door
    steps: int = 0
    seconds: float = 0.0  # simulated, until the faults were over
    settled: float = 0.0  # simulated, after that
    trace: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        said = "\n  ".join(self.findings)
        lines = "\n  ".join(self.trace)
        repeat = f"CLICKTRAIL_SEED={self.seed} pytest tests/simulation"
        return f"seed {self.seed} (again: {repeat}):\n  {said}\nits last steps:\n  {lines}"


def simulate(seed: int) -> Outcome:
    """Run one seed to its end and judge it."""
    world = World(seed)
    store = Store(world)
    entropy.left = iter(lambda: world.chance.randbytes(24), b"")
    outcome = Outcome(seed)
    try:
        with _listening(outcome):
            town = _Town(world, store)
            world.run(town.live(outcome))
            disks = [machine.disk for machine in town.machines]
            outcome.findings += judge.verdict(town.crowd.ledger, store, disks, town.crowd.occurred)
    finally:
        entropy.empty()
        store.close()
    outcome.digest, outcome.steps, outcome.trace = world.digest(), world.steps, list(world.last)
    outcome.events = len(town.crowd.ledger.entries)
    outcome.requests = town.network.delivered
    return outcome


class _Town:
    """Who is there."""

    def __init__(self, world: World, store: Store) -> None:
        self.world = world
        keys = operator.found(store, world.chance)
        machines = world.chance.choice((1, 2, 2))
        self.machines = [
            Machine(world, store, f"m{n}", webs=world.chance.choice((1, 2))) for n in range(machines)
        ]
        self.network = Network(world, self.machines)
        self.crowd = Crowd(world, self.network, keys, visitors=world.chance.randrange(3, 9))
        self.operator = Operator(world, store)

    async def live(self, outcome: Outcome) -> None:
        loop = self.world.loop
        for machine in self.machines:
            machine.start()
        self.crowd.start()
        editing = loop.create_task(self.operator.work(WINDOW, edits=self.world.chance.randrange(2, 9)))
        breaking = loop.create_task(self._break())
        await breaking
        await editing
        self.world.faults = False
        outcome.seconds = loop.time()
        self.world.note("world", "faults are over")
        while not self.settled():
            await asyncio.sleep(0.1)
            if loop.time() - outcome.seconds > SETTLED_WITHIN:
                outcome.findings.append(f"not settled {SETTLED_WITHIN:.0f} s after the last fault")
                break
        outcome.settled = loop.time() - outcome.seconds
        self.world.note("world", "settled")

    async def _break(self) -> None:
        """What goes wrong with machines as a whole; the smaller faults are everywhere."""
        chance = self.world.chance
        for _ in range(chance.randrange(1, 7)):
            await self.world.sleep(0.05, 1.2)
            machine = chance.choice(self.machines)
            what = chance.random()
            if what < 0.4:
                machine.jump()
            elif what < 0.8:
                web = chance.choice(machine.webs)
                if web.up:
                    web.crash()
            else:
                machine.worker.crash()

    def settled(self) -> bool:
        """Nothing is under way, in no inbox, and nothing is left to derive."""
        if self.crowd.waiting or any(machine.lag() for machine in self.machines):
            return False
        with self.machines[0].store.engine.connect() as connection:
            left = connection.exec_driver_sql(
                "SELECT (SELECT count(*) FROM changes) + (SELECT count(*) FROM due)"
            )
            return not left.scalar()


@contextmanager
def _listening(outcome: Outcome) -> Iterator[None]:
    """What the code logs is not shown; what it must not have to log is a finding."""

    def hear(_logger: Any, _method: str, said: Any) -> Any:
        if said["event"] in SURPRISES:
            known = {name: str(value)[:200] for name, value in said.items() if name != "event"}
            error = said.get("exc_info")
            if error is True:
                known["error"] = traceback.format_exc()[-1500:]
            outcome.findings.append(f"logged {said['event']}: {known}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[hear], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)
