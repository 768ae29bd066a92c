"""The pipeline and the leader on a database of their own, without processes: for tests of what they derive.

Events go in as inbox records; `settle` lets the leader finish. `derived` is everything that must not
depend on the order in which events came.
"""

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, select

from app import db, tables, workspaces
from app.attribution.leader import lead
from app.inbox.records import Slice
from app.model import Event, Record, number
from app.pipeline import recount
from app.pipeline.run import Pipeline
from tests import engines

NOON = 1_790_000_000_000_000  # 2026-09-21 13:33:20 UTC: a Monday
FILE = b"0123456789abcdef"

DERIVED = (
    "events", "conversions", "bookings", "credits", "people", "unjoined", "junk", "traffic_days",
    "traffic_campaign_days",
    "traffic_places", "traffic_quarters", "credit_days", "credit_places",
)  # fmt: skip

ROLLUP = ("traffic_", "credit_")

#: Columns that say when or how often something was computed, not what.
HISTORY = {"id", "version", "credit_version", "received_at", "details"}


def event(kind: str, at: int = NOON, **fields: Any) -> Event:
    """An event as a server door would hand it over; `id` gives it its number."""
    id_ = fields.pop("id", "")
    fields.setdefault("door", "api")
    fields.setdefault("workspace", 1)
    no = fields.pop("no", None) or number(fields["workspace"], "id", id_ or f"{kind}{at}{fields}")
    return Event(kind=kind, received_at=NOON, occurred_at=at, stated_at=at, no=no, id=id_, **fields)


@dataclass
class House:
    """One workspace on one engine."""

    engine: Engine
    pipeline: Pipeline
    sequence: int = 0
    sent: list[Record] = field(default_factory=list)

    @classmethod
    def build(cls, folder: Path, **workspace: object) -> "House":
        return cls.on(engines.connect(folder), **workspace)

    @classmethod
    def passing(cls, **workspace: object) -> "House":
        """One of many examples: its folder goes when nobody holds it, and the next one ends its database."""
        folder = Path(tempfile.mkdtemp())
        made = cls.build(folder, **workspace)
        weakref.finalize(made, shutil.rmtree, folder)
        return made

    @classmethod
    def on(cls, engine: Engine, **workspace: object) -> "House":
        """One in a database of yours, which has its tables."""
        with db.begin(engine) as connection:
            workspaces.add_workspace(connection, "main", now=NOON, **workspace)
        return cls(engine, Pipeline(engine, lambda: NOON))

    def add(self, table: Any, **row: object) -> int:
        """Configure something; returns its id."""
        with db.begin(self.engine) as connection:
            made = connection.execute(table.insert().values(workspace=1, **row))
            workspaces.changed(connection)
            return int(made.inserted_primary_key[0])

    def campaign(self, slug: str, **fields: object) -> int:
        return self.add(tables.campaigns, slug=slug, name=slug, **fields)

    def send(self, *records: Record) -> None:
        """One batch through the pipeline."""
        self.sent += records
        encode = msgspec.msgpack.encode
        self.take(encode(record) for record in records)

    def take(self, payloads: Iterable[bytes]) -> None:
        found = list(payloads)
        first = self.sequence + 1
        self.sequence += len(found)
        if found:
            self.pipeline.take([Slice(FILE, list(range(first, self.sequence + 1)), found)])

    def settle(self) -> None:
        """Let the leader do all there is to do."""
        while lead(self.engine, lambda: NOON, recount.rebuild):
            pass

    def rows(self, table: Any) -> Sequence[Any]:
        with db.reading(self.engine) as connection:
            return connection.execute(select(table)).all()

    def one(self, table: Any) -> Any:
        (row,) = self.rows(table)
        return row

    def derived(self) -> dict[str, list[tuple[object, ...]]]:
        """What follows from the facts, with slugs for the numbers that registration hands out."""
        with db.reading(self.engine) as connection:
            names = _names(connection)
            return {name: _canonical(connection, name, names) for name in DERIVED}


def _names(connection: Connection) -> dict[str, dict[int, str]]:
    return {
        f"{name}_id": {row.id: row.slug for row in connection.execute(select(tables.metadata.tables[plural]))}
        for name, plural in (
            ("campaign", "campaigns"), ("ad", "ads"), ("channel", "channels"), ("partner", "partners"),
            ("goal", "goals"),
        )
    }  # fmt: skip


def _canonical(
    connection: Connection, name: str, names: dict[str, dict[int, str]]
) -> list[tuple[object, ...]]:
    table = tables.metadata.tables[name]
    statement = select(table)
    if name == "credits":
        c = tables.conversions.c
        statement = statement.join(
            tables.conversions,
            (c.workspace == table.c.workspace)
            & (c.id == table.c.conversion)
            & (c.credit_version == table.c.version),
        )
    columns = [column.name for column in table.columns if column.name not in HISTORY]
    return sorted(
        (
            tuple(
                names[column].get(getattr(row, column), getattr(row, column))
                if column in names
                else getattr(row, column)
                for column in columns
            )
            for row in connection.execute(statement)
            if not name.startswith(ROLLUP) or any(row[len(table.primary_key) :])  # emptied cells stay
        ),
        key=repr,
    )
