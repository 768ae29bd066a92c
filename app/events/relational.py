"""The event store in the relational database: what happened, appended in batches, read as journeys."""

from collections.abc import Sequence

from sqlalchemy import Connection

from app import db, tables

COLUMNS = tuple(column.name for column in tables.events.columns if column.name != "id")


def append(connection: Connection, rows: Sequence[Sequence[object]]) -> None:
    """Add events; `rows` hold tables.events's columns after `id`, in its order."""
    db.bulk(connection, db.inserting(tables.events, connection.dialect.name, *COLUMNS), rows)
