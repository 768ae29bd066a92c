"""Alembic's entry: it is handed a connection by app/migrate.py, or by write.py beside this file.

Imports the tables and nothing else of the application, so that a migration never runs other code of it.
"""

from typing import Any

from alembic import context

from app import tables

# script.py.mako spells them out.
SHORT = {id(tables.BIG): "BIG", id(tables.SMALL): "SMALL", id(tables.TEXT): "TEXT"}


def short(kind: str, item: Any, _context: Any) -> str | bool:
    """The house's types by name, so that a migration reads like tables.py and imports nothing of it."""
    if isinstance(item, tables.Bytes):
        return "sa.LargeBinary()"
    return SHORT.get(id(item), False) if kind == "type" else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    transactional_ddl=True,  # SQLite can, when the transaction is begun explicitly, as db.begin does
    # SQLite cannot alter a column: migrations after the first copy the table instead.
    render_as_batch=context.config.attributes.get("batch", True),
    compare_server_default=True,
    render_item=short,
)
with context.begin_transaction():
    context.run_migrations()
