"""A steady load: so many requests a second whatever the service does, on connections kept and on fresh ones.

Unlike load.py's clients these do not wait with the next request for the answer to the last: a service
that stands still for a moment is asked all the same, and the longest wait for an answer is what its
visitors felt. Nothing is sent twice: every request gets its one chance.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import urlsplit

from tests.conftest import Clicktrail
from tests.faults.ledger import Entry, Ledger
from tests.faults.load import Answer, Request, Told, heard, request

#: What is told, in turn: (kind, door), and whether on a connection of its own.
TURNS = (
    ("impression", "pixel", False),
    ("impression", "pixel", True),
    ("visit", "beacon", False),
    ("impression", "pixel", False),
    ("sale", "api", True),
    ("impression", "pixel", False),
    ("lead", "api", False),
)
IDLE = 1.5  # seconds after which a client takes another connection: the service drains for two
MOST = 250  # requests without an answer: a machine that is too small is not buried
PATIENCE = 60.0  # seconds after which no answer is expected any more


@dataclass
class Line:
    """A connection that is made when it is needed."""

    host: str
    port: int
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None
    used: float = 0.0

    async def ask(self, asked: Request) -> Answer:
        """One request. OSError, EOFError: there is no answer, and no connection any more."""
        if time.monotonic() - self.used > IDLE:
            await self.close()
        if self.reader is None or self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        body = asked.body or b""
        headers = {"Host": f"{self.host}:{self.port}", "Content-Length": str(len(body)), **asked.headers}
        lines = [f"{asked.method} {asked.target} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        self.writer.write("\r\n".join([*lines, "\r\n"]).encode() + body)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        said = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:]) if k}
        found = await self.reader.readexactly(int(said["content-length"]))
        self.used = time.monotonic()
        if said.get("connection") == "close":
            await self.close()
        return Answer(int(head[0].split()[1]), said, found)

    async def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            with suppress(OSError):
                await self.writer.wait_closed()
        self.reader = self.writer = None


@dataclass
class Rapid:
    """The load, from `async with` to its end; requests that are under way are waited for."""

    running: Clicktrail
    rate: int = 500  # requests a second
    lines: int = 24  # connections kept
    ledger: Ledger = field(default_factory=Ledger)
    failures: Counter[str] = field(default_factory=Counter)  # by what happened, and to which connection
    waits: list[float] = field(default_factory=list)  # seconds from when a request was due to its answer

    async def __aenter__(self) -> "Rapid":
        where = urlsplit(self.running.url)
        assert where.hostname and where.port
        self.where = (where.hostname, where.port)
        self.idle = deque(Line(*self.where) for _ in range(self.lines))
        self.asking: set[asyncio.Task[None]] = set()
        self.began = time.monotonic()
        self.driver = asyncio.create_task(self._drive())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.driver.cancel()
        with suppress(asyncio.CancelledError):
            await self.driver
        self.seconds = time.monotonic() - self.began
        if self.asking:
            await asyncio.wait(self.asking)
        for line in self.idle:
            await line.close()

    @property
    def achieved(self) -> float:
        """Requests a second, as they were answered."""
        return len(self.waits) / self.seconds

    async def _drive(self) -> None:
        """Start each request when it is due; a little later while too many are unanswered."""
        due = time.monotonic()
        for told, fresh in self._turns():
            due += 1 / self.rate
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            if len(self.asking) >= MOST:
                await asyncio.wait(self.asking, return_when=asyncio.FIRST_COMPLETED)
                due = time.monotonic()
            task = asyncio.create_task(self._tell(told, due, fresh=fresh))
            self.asking.add(task)
            task.add_done_callback(self.asking.discard)

    def _turns(self) -> Iterator[tuple[Told, bool]]:
        for number in count():
            kind, door, fresh = TURNS[number % len(TURNS)]
            order = f"order-{number}" if kind == "sale" else ""
            entry = Entry(f"rapid-{number}", kind, door, 0.0, 1_000_001 if order else 0, order)
            yield Told(entry, f"visitor-{number // len(TURNS)}", ""), fresh

    async def _tell(self, told: Told, due: float, *, fresh: bool) -> None:
        entry, ledger = told.entry, self.ledger
        entry.sent_at = time.time()
        ledger.open(entry)
        line = Line(*self.where) if fresh or not self.idle else self.idle.popleft()
        kept = "kept" if line.writer is not None else "fresh"
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await line.ask(request(self.running.keys, told))
        except (OSError, EOFError) as error:
            await line.close()
            self.failures[f"{kept} {type(error).__name__}"] += 1
            ledger.settle(entry, "unknown")
        else:
            self.waits.append(time.monotonic() - due)
            said = heard(entry.door, answer)
            if said is None:
                ledger.surprises.append(f"{entry.door} {answer}")
            ledger.settle(entry, said or "unknown")
        if fresh or len(self.idle) >= self.lines:
            await line.close()
        else:
            self.idle.append(line)


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]
