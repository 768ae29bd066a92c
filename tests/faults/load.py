"""The load: clients outside the service that tell it journeys through all doors, and write the ledger.

Each client is a thread with one connection. What got no answer is sent again with the same id until there
is one, as a careful sender does; a redirect is not, since every redirect is a click of its own. What was
refused is left at that: a refusal says that nothing was taken, and the comparison holds it to that.
"""

import http.client
import json
import random
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.conftest import Clicktrail, wait_until
from tests.faults.ledger import Entry, Ledger, Status

BROWSER = {"User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"}
PAUSE = 0.005  # seconds between two requests of a client
GIVE_UP = 120.0  # seconds after which a client takes the service for dead

#: A visitor's story: (kind, door). All kinds, all doors; the second sale comes by an affiliate network.
JOURNEY = (
    ("impression", "pixel"),
    ("click", "redirect"),
    ("visit", "beacon"),
    ("pageview", "beacon"),
    ("open", "pixel"),
    ("lead", "api"),
    ("sale", "api"),
    ("click", "redirect"),
    ("impression", "api"),
    ("sale", "postback"),
    ("refund", "api"),
    ("status", "api"),
)


@dataclass(frozen=True, slots=True)
class Told:
    """What one event says, beside its entry in the ledger."""

    entry: Entry
    visitor: str
    click_id: str

    @property
    def fields(self) -> dict[str, str]:
        """The event as JSON doors take it."""
        entry = self.entry
        said = {"id": entry.id, "kind": entry.kind, "visitor_id": self.visitor, "campaign": "spring"}
        if entry.order:
            said["order_id"] = entry.order
        if entry.micros:
            said |= {"value": decimal(entry.micros), "currency": "EUR"}
        if entry.kind == "status":
            said["status"] = "approved"
        if entry.kind in ("visit", "sale") and self.click_id:
            said["click_id"] = self.click_id
        return said


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    body: bytes | None
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


def decimal(micros: int) -> str:
    return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"


def request(keys: Mapping[str, str], told: Told) -> Request:
    """How a door is told an event."""
    entry = told.entry
    if entry.door == "pixel":
        said = {"k": keys["public"], "e": entry.kind, "id": entry.id, "c": "spring", "vid": told.visitor}
        return Request("GET", f"/p.gif?{urlencode(said)}", None, BROWSER)
    if entry.door == "redirect":
        return Request("GET", f"/c/spring?{urlencode({'sub1': entry.id})}", None, BROWSER)
    if entry.door == "beacon":
        body = json.dumps({"k": keys["public"], "events": [told.fields]}).encode()
        return Request("POST", "/collect", body, BROWSER)
    if entry.door == "api":
        body = json.dumps({"events": [told.fields]}).encode()
        return Request("POST", "/v1/events", body, {"Authorization": f"Bearer {keys['server']}"})
    said = {
        "key": keys["server"], "event_id": entry.id, "txid": entry.order, "click_id": told.click_id,
        "value": decimal(entry.micros), "currency": "EUR",
    }  # fmt: skip
    return Request("GET", f"/postback?{urlencode({k: v for k, v in said.items() if v})}", None, {})


def heard(door: str, answer: Answer) -> Status | None:
    """What an answer says became of the event; None: an answer that no client should get."""
    verdict = answer.headers.get("x-clicktrail", "")
    if door == "pixel":
        said: Status | None = {"accepted": "accepted", "unavailable": "refused"}.get(verdict)
        return said if answer.status == 200 and answer.body[:3] == b"GIF" else None
    if door == "redirect":
        # Unrecorded: nobody waited any longer, so it may be recorded or not. It always redirects.
        said = {"accepted": "accepted", "unrecorded": "unknown"}.get(verdict)
        return said if answer.status == 302 and "ct_click=" in answer.headers.get("location", "") else None
    if answer.status == 503:
        return "refused" if answer.headers.get("retry-after", "").isdigit() else None
    if door == "postback":
        return "accepted" if answer.status == 200 and answer.body == b"OK" else None
    return "accepted" if answer.status == 202 and json.loads(answer.body)["accepted"] == 1 else None


@dataclass
class Load:
    """Clients at work, from `with` to its end; each then finishes what it was about."""

    running: Clicktrail
    clients: int = 6
    seed: int = 1
    ledger: Ledger = field(default_factory=Ledger)
    said: list[Told] = field(default_factory=list)  # everything, as it was said
    enough: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Load":
        self._pool = ThreadPoolExecutor(self.clients)
        self._working: list[Future[None]] = [self._pool.submit(self._client, n) for n in range(self.clients)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.enough.set()
        self._pool.shutdown()
        if kind is None:
            for one in self._working:
                one.result()

    def more(self, answers: int, status: Status = "accepted", door: str = "") -> None:
        """Go on until this many more answers of this status were heard."""
        goal = self.ledger.count(status, door) + answers
        wait_until(lambda: self.ledger.count(status, door) >= goal or self._broken(), seconds=120)

    def _broken(self) -> bool:
        for one in self._working:
            if one.done():
                one.result()
        return False

    def _client(self, number: int) -> None:
        chance = random.Random(self.seed * 1000 + number)
        connection = http.client.HTTPConnection(urlsplit(self.running.url).netloc, timeout=60)
        with closing(connection):
            journey = 0
            while not self.enough.is_set():
                journey += 1
                click_id = ""
                for entry in self._entries(f"{self.seed}-{number}-{journey}", chance):
                    told = Told(entry, f"visitor-{number}-{journey}", click_id)
                    answer = self._tell(connection, told)
                    if entry.door == "redirect" and answer is not None:
                        click_id = click_id_of(answer)
                    if self.enough.wait(PAUSE):
                        return

    def _entries(self, name: str, chance: random.Random) -> Iterator[Entry]:
        """The events of one journey."""
        order, value = "", 0
        for position, (kind, door) in enumerate(JOURNEY):
            micros = 0
            if kind == "sale":
                order, value = f"order-{name}-{position}", chance.randrange(2, 10**10)
                micros = value
            elif kind == "refund":
                micros = value // 2
            named = order if kind in ("sale", "refund", "status") else ""
            yield Entry(f"{name}-{position}", kind, door, time.time(), micros, named)

    def _tell(self, connection: http.client.HTTPConnection, told: Told) -> Answer | None:
        """Send until it is known what became of it; the answer if there was one."""
        entry, ledger = told.entry, self.ledger
        self.said.append(told)
        ledger.open(entry)
        tried_before = False
        give_up = time.monotonic() + GIVE_UP
        while True:
            answer = ask(connection, request(self.running.keys, told))
            said = heard(entry.door, answer) if answer is not None else "unknown"
            if said is None:
                ledger.surprises.append(f"{entry.door} {answer}")
                said = "unknown"
            elif said != "accepted" and entry.door != "redirect" and (said == "unknown" or tried_before):
                # An earlier try may have been taken: only a yes can end this.
                assert time.monotonic() < give_up, f"no answer any more to {entry}"
                tried_before = True
                time.sleep(4 * PAUSE)
                continue
            ledger.settle(entry, said)
            return answer


def ask(connection: http.client.HTTPConnection, asked: Request) -> Answer | None:
    """One request; None when no answer came. The connection is good for the next one either way."""
    try:
        connection.request(asked.method, asked.target, asked.body, dict(asked.headers))
        with connection.getresponse() as response:
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())
    except (OSError, http.client.HTTPException):
        connection.close()
        return None


def click_id_of(answer: Answer) -> str:
    return parse_qs(urlsplit(answer.headers.get("location", "")).query).get("ct_click", [""])[0]
