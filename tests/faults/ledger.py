"""The outside ledger: what clients told the service and what they heard, kept where the service cannot reach.

`compare` holds it against the database once everything is in: accepted means there exactly once, refused
means not there at all, and only of what got no answer it may be either. It reads tables and compares; it
knows nothing of how they came about.
"""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec
from sqlalchemy import Connection, select

from app import db, tables
from app.model import DOORS, KINDS, number
from tests.faults.processes import PROBE

Status = Literal["accepted", "refused", "unknown"]


@dataclass(slots=True)
class Entry:
    """One event as its sender knows it. `micros` is a sale's value, or what a refund takes back."""

    id: str
    kind: str
    door: str
    sent_at: float
    micros: int = 0
    order: str = ""
    status: Status = "unknown"
    heard_at: float = 0.0


@dataclass
class Ledger:
    """Everything sent, by id; and what was heard that no client should hear."""

    entries: dict[str, Entry] = field(default_factory=dict)
    heard: Counter[tuple[str, Status]] = field(default_factory=Counter)  # by (door, status)
    surprises: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, entry: Entry) -> None:
        """Write down what is about to be sent: before it is sent."""
        self.entries[entry.id] = entry

    def settle(self, entry: Entry, status: Status) -> None:
        """Write down what was heard."""
        entry.status, entry.heard_at = status, time.time()
        with self._lock:
            self.heard[entry.door, status] += 1

    def accepted_between(self, start: float, end: float) -> list[str]:
        """The ids of what was sent after `start` and acknowledged before `end` (seconds since 1970)."""
        entries = list(self.entries.values())
        return [e.id for e in entries if e.status == "accepted" and start < e.sent_at and e.heard_at < end]

    def count(self, status: Status, door: str = "") -> int:
        """How many answers of this status were heard, from one door or from all."""
        heard = self.heard.copy().items()
        return sum(n for (at, said), n in heard if said == status and door in ("", at))


@dataclass
class Damage:
    """What the comparison found. Empty (false) is how it must be."""

    lost: list[str] = field(default_factory=list)  # accepted and not there
    twice: list[str] = field(default_factory=list)  # there more than once
    phantom: list[str] = field(default_factory=list)  # there and never sent, or there though refused
    altered: list[str] = field(default_factory=list)  # there with another value
    micros: int = 0  # by how much the sums of money differ

    def __bool__(self) -> bool:
        return bool(self.lost or self.twice or self.phantom or self.altered or self.micros)

    def __str__(self) -> str:
        words = [
            f"{name}: {len(ids)} ({', '.join(ids[:5])})"
            for name in ("lost", "twice", "phantom", "altered")
            if (ids := getattr(self, name))
        ]
        return "; ".join([*words, f"micro-units off: {self.micros}"])


def compare(ledger: Ledger, database: Path | str) -> Damage:
    """Hold the ledger against the facts and against the money of the conversions; `database` may be a URL."""
    engine = db.connect(database if isinstance(database, str) else f"sqlite:///{database}")
    damage = Damage()
    with db.reading(engine) as connection:
        found = Counter[str]()
        values: dict[str, int | None] = {}
        for id_, value in _facts(connection, ledger):
            found[id_] += 1
            values[id_] = value
        _place(damage, ledger, found)
        present = [entry for entry in ledger.entries.values() if found[entry.id]]
        damage.altered += [e.id for e in present if e.micros and values[e.id] != e.micros]
        _weigh(damage, present, connection)
    engine.dispose()
    return damage


def overtaken(ledger: Ledger, database: str) -> list[str]:
    """The ids that are not there though a later one of the same client is: it was not taken in order."""
    engine = db.connect(database)
    with db.reading(engine) as connection:
        there = {id_ for id_, _ in _facts(connection, ledger)}
    engine.dispose()
    found: list[str] = []
    missing = defaultdict[str, list[str]](list)
    for entry in list(ledger.entries.values()):
        client = entry.id.split("-")[1]
        if entry.id in there:
            found += missing.pop(client, ())
        elif entry.status == "accepted":
            missing[client].append(entry.id)
    return found


def _facts(connection: Connection, ledger: Ledger) -> Iterator[tuple[str, int | None]]:
    """(id as its sender knows it, value) of every fact; unknown ones under a name of their own."""
    names = {number(1, "id", id_): id_ for id_ in ledger.entries}
    e = tables.events.c
    for no, door, details in connection.execute(select(e.no, e.door, e.details)):
        if door == DOORS["landing"]:
            continue  # a click that nobody told: derived from the visit
        if door == DOORS["redirect"]:  # it mints its ids: ours travels as sub1
            id_ = msgspec.json.decode(details)["subs"]["sub1"]
            if id_ != PROBE:
                yield id_, None
        else:
            yield names.get(no, f"event {no}"), None
    for table in (tables.sightings, tables.adjustments):
        yield from connection.execute(select(table.c.event_id, table.c.value))


def _place(damage: Damage, ledger: Ledger, found: Counter[str]) -> None:
    for entry in ledger.entries.values():
        if entry.status == "accepted" and not found[entry.id]:
            damage.lost.append(entry.id)
        if entry.status == "refused" and found[entry.id]:
            damage.phantom.append(entry.id)
    damage.twice += [id_ for id_, n in found.items() if n > 1]
    damage.phantom += [id_ for id_ in found if id_ not in ledger.entries]


def _weigh(damage: Damage, present: list[Entry], connection: Connection) -> None:
    """Every sale is one conversion of exactly its value; refunds took back exactly what they said."""
    c = tables.conversions.c
    sales = {entry.order: entry for entry in present if entry.kind == "sale"}
    refunds = {entry.order: entry for entry in present if entry.kind == "refund" and entry.order in sales}
    seen = Counter[str]()
    for order, value, refunded in connection.execute(
        select(c.order_id, c.value, c.refunded).where(c.kind == KINDS["sale"])
    ):
        seen[order] += 1
        if order not in sales:
            damage.phantom.append(f"conversion of {order}")
            continue
        taken = refunds[order].micros if order in refunds else 0
        damage.micros += abs(value - sales[order].micros) + abs(refunded - taken)
    damage.lost += [f"conversion of {order}" for order in sales if not seen[order]]
    damage.twice += [f"conversion of {order}" for order, n in seen.items() if n > 1]
    leads = Counter(connection.scalars(select(c.no).where(c.kind == KINDS["lead"])))
    wanted = {number(1, "id", entry.id): entry.id for entry in present if entry.kind == "lead"}
    damage.lost += [f"conversion of {id_}" for no, id_ in wanted.items() if not leads[no]]
    damage.twice += [f"conversion of {wanted.get(no, str(no))}" for no, n in leads.items() if n > 1]
