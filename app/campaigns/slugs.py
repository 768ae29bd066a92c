"""How a slug becomes a row: in channels, campaigns, ads, partners and goals alike.

Slugs are compared by NFC and Unicode case folding, which no SQL engine does alike, so what is not found
as written is looked for here, in Python. A slug that is named before anybody registered it gets a row
with `known` = 0: nothing that names it is lost, and registering it later keeps the row's id.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, select

from app import bulk, tables
from app.errors import NotFound
from app.workspaces import slug_key


def within(statement: Select[Any], table: Table, workspace: int, *, campaign: int = 0) -> Select[Any]:
    """Only rows of this workspace, and of this campaign where the table hangs below one (ads)."""
    statement = statement.where(table.c.workspace == workspace)
    return statement.where(table.c.campaign_id == campaign) if table is tables.ads else statement


def find(connection: Connection, table: Table, workspace: int, slug: str, *, campaign: int = 0) -> int | None:
    """The id of a slug's row, or None. Of two that differ in case, the one as written, or the first."""
    c = table.c
    rows = within(select(c.id), table, workspace, campaign=campaign)
    exact = connection.scalar(rows.where(c.slug == slug))
    if exact is not None:
        return int(exact)
    wanted = slug_key(slug)
    every = within(select(c.id, c.slug), table, workspace, campaign=campaign).order_by(c.known.desc(), c.id)
    return next((id_ for id_, other in connection.execute(every) if slug_key(other) == wanted), None)


def index(connection: Connection, table: Table, workspace: int, *, campaign: int = 0) -> dict[str, int]:
    """slug_key -> id of every row: for many look-ups at once."""
    c = table.c
    every = within(select(c.id, c.slug), table, workspace, campaign=campaign).order_by(c.known, c.id.desc())
    return {slug_key(slug): id_ for id_, slug in connection.execute(every)}


def ensure(connection: Connection, table: Table, workspace: int, slug: str, *, campaign: int = 0) -> int:
    """The id of a slug's row, made with `known` = 0 when nobody named it before."""
    found = find(connection, table, workspace, slug, campaign=campaign)
    return add(connection, table, workspace, slug, campaign=campaign) if found is None else found


def add(connection: Connection, table: Table, workspace: int, slug: str, *, campaign: int = 0) -> int:
    """A row with `known` = 0. A pipeline may make the same one at the same moment: then that is taken."""
    row = {"workspace": workspace, "slug": slug, "known": 0}
    if table is tables.ads:
        row["campaign_id"] = campaign
    connection.execute(bulk.insert(connection, table).values(row).on_conflict_do_nothing())
    made = within(select(table.c.id), table, workspace, campaign=campaign).where(table.c.slug == slug)
    return int(connection.execute(made).scalar_one())


def require(
    connection: Connection, table: Table, workspace: int, slug: str, *, noun: str, campaign: int = 0
) -> int:
    """The id of a slug's row. Errors: NotFound `<noun>_not_found`."""
    found = find(connection, table, workspace, slug, campaign=campaign)
    if found is None:
        raise NotFound(f"{noun}_not_found", f"there is no {noun} {slug!r}")
    return found


def names(connection: Connection, table: Table, ids: Iterable[int]) -> dict[int, str]:
    """id -> slug, for what is shown."""
    c = table.c
    rows: list[Row[Any]] = list(connection.execute(select(c.id, c.slug).where(c.id.in_(set(ids) - {0}))))
    return {row.id: row.slug for row in rows}
