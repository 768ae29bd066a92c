"""What must be true when a simulation is over, whatever happened in it. Each finding is a sentence.

The second opinion is a store of its own: the same configuration and the same events, told in order by nobody
who retries, crashes or waits. What it derives and what it reports must be equal to the last byte.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import Connection, Engine, select

from app import db, tables
from app.collect.fields import AHEAD, BEHIND
from app.metrics import formats, query, run
from app.model import DAY, SECOND, Event, Record
from app.pipeline.recount import ROLLUPS, counted
from app.pipeline.run import Pipeline
from tests.faults.derived import unshared
from tests.faults.ledger import Ledger, compare
from tests.house import House
from tests.simulation.disk import Disk
from tests.simulation.loop import START
from tests.simulation.store import Store, empty, folder

CONFIGURATION = (
    "workspaces", "keys", "config", "fx_rates", "spend", "deals", "cost_sources",
    "channels", "campaigns", "ads", "partners", "goals",
)  # fmt: skip
NAMED = frozenset(("channels", "campaigns", "ads", "partners", "goals"))  # only what was registered

METRICS = (
    "impressions", "clicks", "visits", "leads", "sales", "sales_net", "sales_view", "sales_rejected",
    "revenue", "revenue_gross", "revenue_approved",
)  # fmt: skip
#: Of which each seed compares one.
REPORTS: tuple[dict[str, Any], ...] = tuple(
    {"metrics": list(METRICS), "dimensions": list(dimensions), "date_range": "all", "model": model, "by": by}
    for dimensions, model, by in (
        (("campaign",), "linear", "conversion"),
        (("time:day", "channel"), "time_decay", "touch"),
        (("country", "device"), "position_based", "booking"),
    )
)

_records = msgspec.msgpack.Decoder(Record)


def verdict(ledger: Ledger, store: Store, disks: list[Disk], occurred: dict[str, int]) -> Iterator[str]:
    """Everything that is not as it must be."""
    damage = compare(ledger, store.path)
    if damage:
        yield str(damage)
    for id_ in (e.id for e in ledger.entries.values() if e.status == "refused" and e.door != "redirect"):
        yield f"{id_} was refused"
    with db.reading(store.engine) as connection:
        for row in connection.execute(select(tables.rejected)):
            yield f"{row.event_id} was {row.kind}: {row.code} {row.field} {row.message} {row.body}"
        yield from _outcomes(connection)
        yield from _left_over(connection)
        yield from _times(connection, occurred)
        yield from unshared(connection)
        yield from _rollups(connection)
        events = _stored(connection, disks)
    yield from _second_opinion(store, events)


def _outcomes(connection: Connection) -> Iterator[str]:
    for row in connection.execute(select(tables.outcomes.c.outcome)):
        if row.outcome != "duplicate":
            yield f"a good record was {row.outcome}"


def _left_over(connection: Connection) -> Iterator[str]:
    for table in (tables.changes, tables.due):
        if connection.execute(select(table).limit(1)).first() is not None:
            yield f"{table.name} is not empty"


def _times(connection: Connection, occurred: dict[str, int]) -> Iterator[str]:
    """received_at is the server's, within its wildest jump; the event's time is never beside the window, and
    where the sender told when it sent, it is right to a minute and what the way took."""
    e, s = tables.events.c, tables.sightings.c
    for at, received in connection.execute(select(e.occurred_at, e.received_at)):
        if not received - BEHIND <= at <= received + AHEAD:
            yield f"an event occurred at {at}, received at {received}"
        if abs(received - START) > 2 * DAY:
            yield f"an event was received at {received}"
    rows = connection.execute(select(s.event_id, s.occurred_at, s.received_at).where(s.door == 3))
    for id_, at, received in rows:
        age = START - occurred[id_]
        if abs(received - at - age) > 120 * SECOND:
            yield f"{id_} is off by {(received - at - age) / 1e6:.0f} s"


def _rollups(connection: Connection) -> Iterator[str]:
    zone = connection.scalar(select(tables.workspaces.c.timezone))
    for table, cells in zip(ROLLUPS, counted(connection, 1, str(zone)), strict=True):
        width = len(table.primary_key)
        kept = {tuple(row) for row in connection.execute(select(table)) if any(row[width:])}
        if kept != {(*key, *cell) for key, cell in cells.items() if any(cell)}:
            yield f"{table.name} is not what a recount says"


def _stored(connection: Connection, disks: list[Disk]) -> list[bytes]:
    """The records that count, in order: all that were ever durable, but for repeats and refusals."""
    o = tables.outcomes.c
    passed = {(bytes(file), sequence) for file, sequence in connection.execute(select(o.file, o.sequence))}
    found: list[tuple[int, bytes]] = []
    for disk in disks:
        for file, records in disk.everything.items():
            for sequence, payload in enumerate(records, start=1):
                record = _records.decode(payload)
                if isinstance(record, Event) and (file, sequence) not in passed:
                    found.append((record.occurred_at, payload))
    return [payload for _, payload in sorted(found)]


def _second_opinion(store: Store, events: list[bytes]) -> Iterator[str]:
    engine = empty("second")
    _configure(folder() / "second.db", store.path)
    second = House(engine, Pipeline(engine, lambda: START))
    second.take(events)
    second.settle()
    theirs = second.derived()
    for name, rows in House(store.engine, second.pipeline).derived().items():
        if rows != theirs[name]:
            told = sorted(set(rows) ^ set(theirs[name]), key=repr)[:2]
            yield f"{name} differs from what the same events make when nothing goes wrong: {told}"
    asked = REPORTS[store.world.seed % len(REPORTS)]
    ours, others = _report(store.engine, asked), _report(engine, asked)
    if ours != others:
        yield f"a report differs from that of the same events when nothing goes wrong: {ours!r} {others!r}"


def _configure(second: Path, first: Path) -> None:
    connection = sqlite.connect(str(second))
    connection.execute("ATTACH ? AS first", (str(first),))
    for name in CONFIGURATION:
        known = "WHERE known = 1" if name in NAMED else ""
        connection.execute(f"INSERT INTO main.{name} SELECT * FROM first.{name} {known}")  # noqa: S608
    connection.commit()
    connection.close()


def _report(engine: Engine, asked: dict[str, Any]) -> bytes:
    """A report as it is sent, but for how fresh it is."""
    with db.reading(engine) as connection:
        house = run.house(connection, 1)
        context = run.context(connection, house, now=START, everything=True)
        answer = run.answer(connection, house, query.parse(asked, context))
        answer.meta.pop("fresh_through")
        return bytes(formats.FORMATS[answer.query.format][1](answer))
