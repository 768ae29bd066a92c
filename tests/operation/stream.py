"""A paced stream of events, one after another, into a service that is being backed up.

One sender and one web process: what is accepted has one order, over all inbox files (the receipts name them).
So it can be told afterwards whether what came back is a beginning of it, and holds all from before a moment.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from sqlalchemy import select

from app import db, tables
from app.collect.receipts import _PAYLOAD, urlsafe_b64decode
from app.inbox.queue import Queue
from app.model import number
from app.pipeline.run import Pipeline
from tests.conftest import Clicktrail

REQUEST = 50  # events


@dataclass(frozen=True, slots=True)
class Accepted:
    """One event that was acknowledged: its number, the inbox file it went to, and when that was heard."""

    no: int
    file: bytes
    at: float


@dataclass
class Stream:
    """Sends from `with` to its end; every tenth event is a sale of 10.01 EUR."""

    running: Clicktrail
    rate: int = 1_000
    accepted: list[Accepted] = field(default_factory=list)
    refused: int = 0
    seconds: float = 0.0
    enough: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Stream":
        self._thread = threading.Thread(target=self._send)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.enough.set()
        self._thread.join()

    def _send(self) -> None:
        begun = due = time.monotonic()
        sent = 0
        with self.running.client("server") as client:
            while not self.enough.wait(max(0.0, due - time.monotonic())):
                due += REQUEST / self.rate
                told = [_event(n) for n in range(sent, sent + REQUEST)]
                sent += REQUEST
                answer = client.post("/v1/events", json={"events": told})
                if answer.status_code != 202:
                    self.refused += REQUEST
                    continue
                receipt = answer.json()["receipt"]
                _, file, _, count, _ = _PAYLOAD.unpack(
                    urlsafe_b64decode(receipt + "=" * (-len(receipt) % 4))[: _PAYLOAD.size]
                )
                assert count == REQUEST
                at = time.time()
                self.accepted += [Accepted(number(1, "id", one["id"]), file, at) for one in told]
        self.seconds = time.monotonic() - begun

    def until(self, moment: float) -> set[int]:
        """The numbers of what was acknowledged before a moment (seconds since 1970)."""
        return {one.no for one in list(self.accepted) if one.at < moment}

    def gap(self, present: Iterable[int]) -> str:
        """What is missing before something that is there, or was never acknowledged; "": a beginning."""
        there = set(present)
        missing = [place for place, one in enumerate(self.accepted) if one.no not in there]
        last = max((place for place, one in enumerate(self.accepted) if one.no in there), default=-1)
        if inside := [place for place in missing if place < last]:
            return f"{len(inside)} from {inside[0]} to {inside[-1]} are missing, and {last} is there"
        unknown = len(there - {one.no for one in self.accepted})
        return f"{unknown} were never acknowledged" if unknown else ""

    def files(self) -> int:
        """How many inbox files it went through."""
        return len({one.file for one in self.accepted})


def taken_up(database: str, data: Path) -> Counter[int]:
    """Drain a restored inbox into its database as a worker does; the numbers of the facts then there."""
    engine, queue = db.connect(database), Queue(data / "inbox")
    pipeline = Pipeline(engine, lambda: time.time_ns() // 1000)
    while slices := queue.read(pipeline.cursors(), 4_000):
        pipeline.take(slices)
        for part in slices:
            queue.forget(part.file, part.sequences[-1])
    queue.close()
    engine.dispose()
    return facts(database)


def facts(database: str) -> Counter[int]:
    """The number of every event and sale that a database holds."""
    engine = db.connect(database, pool=1)
    with db.reading(engine) as connection:
        kept = (tables.events, tables.sightings)
        found = Counter(no for table in kept for no in connection.scalars(select(table.c.no)))
    engine.dispose()
    return found


def _event(n: int) -> dict[str, str]:
    said = {"kind": "click", "id": f"s{n}", "visitor_id": f"v{n // 10}", "campaign": f"c{n % 7}"}
    if n % 10 == 9:
        said |= {"kind": "sale", "order_id": f"o{n}", "value": "10.01", "currency": "EUR"}
    return said
