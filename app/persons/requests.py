"""Requests to erase a person: written down in numbers; the workers carry them out (tasks.py)."""

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, select

from app import db, tables
from app.errors import NotFound
from app.persons.rules import Wanted

#: What a request waits for, in this order. `ambiguous` instead: it named several people, and erased nobody.
REQUESTED = "requested"  # every inbox to be drained of what came before it
ERASING = "erasing"  # the person's events, some at a time
SWEEPING = "sweeping"  # every inbox to let go of what it held, the database to write over what is deleted
DONE = "done"
REFUSED = "ambiguous"

_json = msgspec.json.Encoder().encode
e = tables.erasures.c


def next_round(connection: Connection) -> int:
    """A round that no sweep has begun for yet. Until this transaction ends nobody else takes one."""
    db.lock(connection, db.Lock.SETTINGS)
    return int(connection.scalar(select(func.coalesce(func.max(e.round), 0))) or 0) + 1


def record(connection: Connection, workspace: int, who: Wanted, *, now: int) -> int:
    """Ask for an erasure; returns its id."""
    made = tables.erasures.insert().values(
        workspace=workspace,
        requested_at=now,
        stage=REQUESTED,
        round=next_round(connection),
        wanted=_json(who).decode(),
    )
    return int(connection.execute(made.returning(e.id)).scalar_one())


def read(connection: Connection, workspace: int, id_: int) -> Row[Any]:
    """Errors: NotFound, for requests of other workspaces too."""
    row = connection.execute(
        select(tables.erasures).where(e.workspace == workspace, e.id == id_)
    ).one_or_none()
    if row is None:
        raise NotFound("erasure_not_found", f"there is no erasure {id_}")
    return row


def shown(row: Row[Any]) -> dict[str, Any]:
    """A row as schemas.Erasure."""
    return {
        "id": row.id,
        "state": row.stage,
        "requested_at": row.requested_at,
        "erased_at": row.erased_at,
        "done_at": row.done_at,
        "counts": msgspec.json.decode(row.counts or "{}"),
    }
