"""What was written down: the audit log, and the records that were refused or quarantined.

Newest first. The audit log is only ever appended to (by campaigns.changes); no route changes it.
"""

from typing import Any

import msgspec
from sqlalchemy import Row, select, update

from app import tables
from app.admin.schemas import AuditOut, AuditPage, RejectedCount, RejectedOut, RejectedPage, Replay, ReplayOut
from app.campaigns import changes
from app.campaigns.changes import Desk
from app.campaigns.fields import day_text
from app.campaigns.paging import next_cursor
from app.errors import NotFound

#: `rejected.replayed_at` of a record that shall go through the pipeline again. The pipeline takes such
#: rows, sends the event in `body` through its steps as if it had just been read from the inbox, and sets
#: `replayed_at` to the time; what fails again becomes NULL and `replay_failed`, and may be wanted again.
WANTED = -1

COUNTED_DAYS = 30


def audit(desk: Desk, page: AuditPage, *, before: int) -> tuple[list[AuditOut], str | None]:
    a, k = tables.audit_log.c, tables.keys.c
    rows = select(tables.audit_log, k.name.label("key_name")).outerjoin(tables.keys, k.id == a.key)
    rows = rows.where(a.workspace == desk.workspace, a.id < before)
    if page.object:
        rows = rows.where(a.object == page.object)
    found = list(desk.connection.execute(rows.order_by(a.id.desc()).limit(page.limit + 1)))
    cursor = next_cursor([(row.id,) for row in found], page.limit)
    return [_audited(row) for row in found[: page.limit]], cursor


def _audited(row: Row[Any]) -> AuditOut:
    held = dict(row._mapping)
    for side in ("before", "after"):
        held[side] = msgspec.json.decode(held[side]) if held[side] else None
    return AuditOut.model_validate(held)


def rejected(desk: Desk, page: RejectedPage, *, before: int) -> tuple[list[RejectedOut], str | None]:
    c = tables.rejected.c
    rows = select(tables.rejected).where(c.workspace == desk.workspace, c.id < before)
    if page.kind:
        rows = rows.where(c.kind == page.kind)
    if page.code:
        rows = rows.where(c.code == page.code)
    found = list(desk.connection.execute(rows.order_by(c.id.desc()).limit(page.limit + 1)))
    cursor = next_cursor([(row.id,) for row in found], page.limit)
    return [_rejected(row) for row in found[: page.limit]], cursor


def _rejected(row: Row[Any]) -> RejectedOut:
    held = dict(row._mapping)
    at = held["replayed_at"]
    held["replay"] = "" if at is None else "wanted" if at == WANTED else "done"
    held["replayed_at"] = at if held["replay"] == "done" else None
    return RejectedOut.model_validate(held)


def rejected_counts(desk: Desk) -> list[RejectedCount]:
    """By local day and code, newest day first: how many there were, kept as rows or not."""
    c = tables.rejected_counts.c
    rows = select(c.day, c.code, c.count.label("number")).where(
        c.workspace == desk.workspace, c.day > desk.today - COUNTED_DAYS
    )
    found = desk.connection.execute(rows.order_by(c.day.desc(), c.code))
    return [RejectedCount(date=day_text(row.day), code=row.code, count=row.number) for row in found]


def replay(desk: Desk, wanted: Replay) -> ReplayOut:
    """Mark quarantined records as WANTED; the pipeline does the rest.

    Only quarantined ones were acknowledged and can be wanted, and each until it was stored. Errors:
    NotFound for an id that is not this workspace's.
    """
    c = tables.rejected.c
    mine = c.workspace == desk.workspace
    ready = (mine, c.kind == "quarantined", c.replayed_at.is_(None))
    if "code" in wanted.model_fields_set:
        chosen, skipped = c.code == wanted.code, []
    else:
        ids = set(wanted.ids)
        missing = ids - set(desk.connection.scalars(select(c.id).where(mine, c.id.in_(ids))))
        if missing:
            raise NotFound("rejected_not_found", f"there is no rejected record {min(missing)}")
        chosen = c.id.in_(ids)
        skipped = sorted(ids - set(desk.connection.scalars(select(c.id).where(*ready, chosen))))
    marked = desk.connection.execute(update(tables.rejected).where(*ready, chosen).values(replayed_at=WANTED))
    if marked.rowcount:
        changes.record(desk, "replay", "rejected", after=wanted)
    return ReplayOut(wanted=marked.rowcount, skipped=skipped)
