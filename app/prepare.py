"""What must be true before anything is served: the schema, a workspace with its keys, the snapshot.

Run in a process of its own by `serve`, at the start and before every rolling restart, so that the
parent never holds the database open. Keys are returned once, here; only their digests are kept.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from sqlalchemy import Connection, exc, select, update

from app import db, disk, salt, tables
from app.migrate import migrate
from app.model import Scope
from app.settings import Settings
from app.workspaces import SCOPES, Snapshots, add_key, add_workspace, changed, digest, new_key

FIRST = "main"
DEMO = "demo"
ADMIN_KEY = "CLICKTRAIL_ADMIN_KEY"  # the name under which the operator's own key is listed


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What a start found and made. `keys` are by scope, and empty unless a workspace was made now."""

    schema: str
    workspace: str = ""
    keys: dict[str, str] = {}


def prepare(settings: Settings, *, clock: Callable[[], int], workspace: str = "") -> Prepared:
    """Migrate, see to a workspace, register the operator's admin key, write the snapshot.

    `workspace` is made when there is none of that name; empty: `main` is made when there is none at all.
    """
    for folder in (settings.data, settings.inbox):
        disk.make_folder(folder)
    salt.destroy_past(settings.data, clock())  # of days that ended while nothing ran
    try:
        _, schema = migrate(settings.database)
    except exc.DBAPIError as error:
        if not db.damaged(error):
            raise
        raise RuntimeError(f"the database is damaged ({error.orig}): restore a backup of it") from error
    engine = db.connect(settings.database, pool=1)
    try:
        with db.begin(engine) as connection:
            db.lock(connection, db.Lock.SETTINGS)
            known = set(connection.scalars(select(tables.workspaces.c.slug)))
            missing = workspace not in known if workspace else not known
            made = (workspace or FIRST) if missing else ""
            # An unattended start prints no secrets: its operator holds the one key there is.
            scopes = SCOPES if settings.admin_key is None or workspace else ()
            keys = workspace_with_keys(connection, made, now=clock(), scopes=scopes) if made else {}
            if settings.admin_key is not None:
                _admin_key(connection, settings.admin_key.get_secret_value(), now=clock())
        Snapshots(settings.snapshot, clock=clock).refresh(engine)
    finally:
        engine.dispose()
    return Prepared(schema=schema, workspace=made, keys=keys)


def workspace_with_keys(
    connection: Connection,
    slug: str,
    *,
    now: int,
    scopes: Sequence[Scope] = SCOPES,
    fields: Mapping[str, object] | None = None,
) -> dict[str, str]:
    """A new workspace and a key of each scope, returned by scope: the only time they are seen."""
    workspace = add_workspace(connection, slug, now=now, **(fields or {}))
    keys: dict[str, str] = {scope: new_key(scope) for scope in scopes}
    for scope in scopes:
        add_key(connection, workspace, scope, name="first", now=now, key=keys[scope])
    return keys


def _admin_key(connection: Connection, key: str, *, now: int) -> None:
    """The operator's own key is the first workspace's; one that was set here before is revoked."""
    c = tables.keys.c
    first = connection.scalars(select(tables.workspaces.c.id).order_by(tables.workspaces.c.id)).first()
    assert first is not None
    earlier = (c.workspace == first) & (c.name == ADMIN_KEY) & c.revoked_at.is_(None)
    replaced = update(tables.keys).where(earlier & (c.digest != digest(key))).values(revoked_at=now)
    if connection.execute(replaced).rowcount:
        changed(connection)
    add_key(connection, first, "admin", name=ADMIN_KEY, now=now, key=key)
