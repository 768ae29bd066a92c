"""Identifiers that an operator said identify nobody: which they are. What follows is store.join's.

A block is a fact like an edge: it takes nothing away, so that lifting it gives back exactly what was.
"""

from sqlalchemy import Connection, select

from app.tables import identifier_blocks


def active(connection: Connection, workspace: int) -> dict[int, int]:
    """{node: its kind} of what is blocked."""
    c = identifier_blocks.c
    rows = connection.execute(select(c.node, c.kind).where(c.workspace == workspace, c.archived_at.is_(None)))
    return {row.node: row.kind for row in rows}
