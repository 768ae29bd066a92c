"""The recount: everything derived, made again from the facts alone, beside what the service kept.

Works on a copy of the database of a service that has stopped or settled. It trusts the rules (their own
tests do that), not the bookkeeping: what kills and repeats may have done to it is what differs here.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import Connection, delete, func, make_url, select, text, true

from app import db, tables
from app.attribution.leader import lead
from app.identity import blocks
from app.model import BASES, MODELS
from app.money import BASE, MICROS
from app.pipeline import recount, store
from app.pipeline.run import Pipeline
from tests.house import House

#: What the leader makes of sightings, adjustments and edges.
DERIVED = (
    tables.people, tables.unjoined, tables.conversions, tables.conversion_nodes, tables.due, tables.bookings,
    tables.credits, tables.credit_days, tables.credit_places, tables.changes,
)  # fmt: skip


def differences(database: Path | str, scratch: Path) -> list[str]:
    """The derived tables that a recount of the same facts makes otherwise; and models that miss a result.

    `database` is a file or a URL; PostgreSQL copies only what nobody is connected to.
    """
    with _copy(database, scratch / f"recount-{time.monotonic_ns()}.db") as copy:
        return _recounted(copy)


def _recounted(copy: str) -> list[str]:
    engine = db.connect(copy)
    house = House(engine, Pipeline(engine, _now))
    kept = house.derived()
    with db.reading(engine) as connection:
        found = unshared(connection)
    with db.begin(engine) as connection:
        _forget(connection)
    while lead(engine, _now, recount.rebuild):
        pass
    again = house.derived()
    engine.dispose()
    return found + [f"{name} differs" for name in kept if kept[name] != again[name]]


def _now() -> int:
    return time.time_ns() // 1000


@contextmanager
def _copy(database: Path | str, copy: Path) -> Iterator[str]:
    """A consistent copy; its URL."""
    url = make_url(database if isinstance(database, str) else f"sqlite:///{database}")
    if url.get_backend_name() == "sqlite":
        source, target = sqlite.connect(str(url.database)), sqlite.connect(str(copy))
        source.backup(target)  # whoever is writing
        source.close()
        target.close()
        yield f"sqlite:///{copy}"
        return
    administered = url.set(database="postgres").render_as_string(hide_password=False)
    engine = db.connect(administered).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{copy.stem}" TEMPLATE "{url.database}"'))
        yield url.set(database=copy.stem).render_as_string(hide_password=False)
        connection.execute(text(f'DROP DATABASE "{copy.stem}" WITH (FORCE)'))
    engine.dispose()


def unshared(connection: Connection) -> list[str]:
    """Under every model each result that counts is given out exactly once, and so is its money."""
    c, d, b = tables.conversions.c, tables.credit_days.c, tables.bookings.c
    counting = connection.scalar(select(func.count()).select_from(tables.conversions).where(c.setbacks == 0))
    gross = connection.scalar(
        select(func.coalesce(func.sum(b.gross * b.sign), 0)).where(b.basis == BASES["conversion"])
    )
    found = []
    for name, model in MODELS.items():
        here = (d.model == model, d.basis == BASES["conversion"])
        given = connection.scalar(select(func.coalesce(func.sum(d.count), 0)).where(*here)) or 0
        rows = connection.execute(select(func.sum(d.gross_hi), func.sum(d.gross_lo)).where(*here)).one()
        money = (rows[0] or 0) * BASE + (rows[1] or 0)
        if given != (counting or 0) * MICROS:
            found.append(f"{name}: {given} parts of {counting} results")
        if money != gross:
            found.append(f"{name}: {money} of {gross} micro-units")
    return found


def _forget(connection: Connection) -> None:
    """Take away all that is derived, and leave the leader notes of all the facts. Of frozen conversions it is
    not known any more who earned them: their credits and setbacks are facts by now."""
    frozen = connection.scalars(select(tables.conversions.c.id).where(tables.conversions.c.frozen != 0)).all()
    for table in DERIVED:
        keys = {tables.conversions: "id", tables.credits: "conversion"}
        own = table.c[keys[table]].not_in(frozen) if table in keys else true()
        connection.execute(delete(table).where(own))
    s, a, e = tables.sightings.c, tables.adjustments.c, tables.edges.c
    told = {*connection.scalars(select(s.conversion)), *connection.scalars(select(a.conversion))}
    store.tell(connection, 1, "conversions", sorted(told))
    nodes = {node for pair in connection.execute(select(e.a, e.b)) for node in pair}
    nodes |= blocks.active(connection, 1).keys()
    if nodes:
        store.tell(connection, 1, "edges", sorted(nodes))
    zone = connection.scalar(select(tables.workspaces.c.timezone))
    recount.rebuild(connection, 1, str(zone))
