"""Keys: made, listed, revoked. The key itself is returned once and never stored or logged."""

from sqlalchemy import func, select, update

from app import tables, workspaces
from app.admin.schemas import KeyOut, MadeKey, NewKey
from app.campaigns import changes
from app.campaigns.changes import Desk
from app.campaigns.paging import Page, next_cursor
from app.errors import Conflict, NotFound

c = tables.keys.c


def make(desk: Desk, wanted: NewKey) -> MadeKey:
    key = workspaces.new_key(wanted.scope)
    id_ = workspaces.add_key(
        desk.connection, desk.workspace, wanted.scope, name=wanted.name, now=desk.now, key=key
    )
    changes.record(desk, "create", f"keys/{id_}", after=read(desk, id_))
    return MadeKey(id=id_, scope=wanted.scope, name=wanted.name, key=key)


def read(desk: Desk, id_: int) -> KeyOut:
    """Errors: NotFound, for keys of other workspaces too."""
    rows = select(tables.keys).where(c.id == id_, c.workspace == desk.workspace)
    row = desk.connection.execute(rows).one_or_none()
    if row is None:
        raise NotFound("key_not_found", f"there is no key {id_}")
    return KeyOut.model_validate(row, from_attributes=True)


def listed(desk: Desk, page: Page, *, after: int) -> tuple[list[KeyOut], str | None]:
    """A page of keys in the order they were made, the revoked ones included."""
    rows = select(tables.keys).where(c.workspace == desk.workspace, c.id > after)
    found = list(desk.connection.execute(rows.order_by(c.id).limit(page.limit + 1)))
    cursor = next_cursor([(row.id,) for row in found], page.limit)
    return [KeyOut.model_validate(row, from_attributes=True) for row in found[: page.limit]], cursor


def revoke(desk: Desk, id_: int) -> None:
    """From the next request on nobody knows the key. Errors: NotFound; Conflict for the last admin key."""
    before = read(desk, id_)
    if before.revoked_at is not None:
        return
    admins = select(func.count()).where(
        c.workspace == desk.workspace, c.scope == "admin", c.revoked_at.is_(None)
    )
    if before.scope == "admin" and desk.connection.scalar(admins) == 1:
        raise Conflict("last_admin_key", "this is the last admin key; make another one first")
    desk.connection.execute(update(tables.keys).where(c.id == id_).values(revoked_at=desk.now))
    changes.record(desk, "archive", f"keys/{id_}", before=before, after=read(desk, id_))
