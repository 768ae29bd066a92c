"""The workspace's own row: read, and changed with word to everyone whom the change concerns."""

from typing import Any

import msgspec
from sqlalchemy import select, update

from app import tables, workspaces
from app.admin.schemas import WorkspaceOut
from app.campaigns import changes
from app.campaigns.changes import Desk
from app.errors import Conflict
from app.workspaces import WorkspaceSettings

#: Columns of the row; every other field is one of WorkspaceSettings.
COLUMNS = ("name", "timezone", "reporting_currency", "week_start")

#: What the leader must work out again when a field changes. Fields not here decide only what comes.
ANNOUNCED: dict[str, tuple[str, ...]] = {
    "zone": ("timezone",),
    "attribution": (
        "windows", "billing_model", "billing_window", "tier_rule", "direct", "collapse",
        "reset_after_conversion", "first_conversion_only", "half_life_hours", "position_shares",
    ),
    "rates": ("fx_max_age_days",),
    "folding": ("reporting_currency", "browser_sales", "lead_count"),
    "joining": ("join_limit",),
}  # fmt: skip


def read(desk: Desk) -> WorkspaceOut:
    t = tables.workspaces
    row = desk.connection.execute(select(t).where(t.c.id == desk.workspace)).one()
    held = {name: row._mapping[name] for name in ("slug", *COLUMNS)}
    return WorkspaceOut(**held, **msgspec.to_builtins(workspaces.settings_of(row.settings)))


def change(desk: Desk, values: dict[str, Any]) -> WorkspaceOut:
    """Set the fields in `values`. Errors: Conflict when a host belongs to another workspace."""
    before = read(desk)
    settings = before.model_dump(exclude={"slug", *COLUMNS})
    told = {name: value for name, value in values.items() if name in settings}
    if "windows" in told:
        told["windows"] = {**before.windows, **told["windows"]}
    _check_hosts(desk, told.get("hosts", []))
    standing = msgspec.convert({**settings, **told}, WorkspaceSettings)
    row = {name: values[name] for name in COLUMNS if name in values}
    row["settings"] = msgspec.json.encode(standing).decode()
    t = tables.workspaces
    desk.connection.execute(update(t).where(t.c.id == desk.workspace).values(row))
    after = read(desk)
    if after != before:
        changes.record(desk, "change", "workspace", before=before, after=after)
        for setting, fields in ANNOUNCED.items():
            if any(getattr(before, name) != getattr(after, name) for name in fields):
                changes.announce(desk, setting)
    return after


def _check_hosts(desk: Desk, hosts: list[str]) -> None:
    """A host names one workspace: redirects without a key are that workspace's."""
    t = tables.workspaces.c
    others = select(t.settings).where(t.id != desk.workspace, t.archived_at.is_(None))
    for text in desk.connection.scalars(others if hosts else others.where(t.id < 0)):
        taken = {host.lower() for host in workspaces.settings_of(text).hosts} & set(hosts)
        if taken:
            raise Conflict("host_taken", f"hosts: {min(taken)!r} is already in use", field="hosts")
