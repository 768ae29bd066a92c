"""What the pipeline reads before its steps and writes after them; SQL and nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Connection, delete, func, select, update

from app import bulk, tables
from app.events import relational as events
from app.identity import reports
from app.identity.graph import chunks
from app.model import DOOR_NAMES, DOORS, FLAGS, HALF_HOUR, KINDS, Refusal
from app.pipeline.facts import ADJUSTMENT_COLUMNS, SIGHTING_COLUMNS, Facts, Traffic, cells_rows, lifted
from app.pipeline.landings import Landing, RedirectClick, changes, click_number
from app.pipeline.names import Names
from app.pipeline.rules import is_billable

#: Rejected records kept per workspace and day; beyond it they are only counted.
KEPT_PER_DAY = 10_000

CLICK = KINDS["click"]


def cursors(connection: Connection) -> dict[bytes, int]:
    """How far each inbox file is drained."""
    c = tables.cursors.c
    return {bytes(file): sequence for file, sequence in connection.execute(select(c.file, c.sequence))}


def advance(connection: Connection, file: bytes, sequence: int, now: int) -> None:
    """Move a file's cursor forward, in the transaction that stored what lies before it."""
    statement = bulk.insert(connection, tables.cursors).values(file=file, sequence=sequence, updated_at=now)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[tables.cursors.c.file],
            set_={"sequence": statement.excluded.sequence, "updated_at": statement.excluded.updated_at},
        )
    )


def seen(connection: Connection, keys: Iterable[bytes]) -> dict[bytes, int]:
    """Digests of those `keys` that were stored before."""
    c = tables.seen.c
    whole = sorted(set(keys))
    found: dict[bytes, int] = {}
    for start in range(0, len(whole), 5_000):
        part = whole[start : start + 5_000]
        for key, digest in connection.execute(
            select(c.key, c.digest).where(bulk.among(connection, c.key, part))
        ):
            found[bytes(key)] = digest
    return found


def write(connection: Connection, facts: Facts, now: int) -> None:
    """Everything a batch became, into the caller's transaction."""
    t = tables
    events.append(connection, facts.events)
    bulk.append(connection, t.sightings, SIGHTING_COLUMNS, facts.sightings)
    bulk.append(connection, t.adjustments, ADJUSTMENT_COLUMNS, facts.adjustments)
    bulk.append(connection, t.seen, ("key", "digest"), sorted(facts.seen))
    bulk.append(connection, t.outcomes, ("file", "sequence", "outcome", "at"), facts.outcomes)
    _carry(connection, facts)
    linked = _link(connection, facts)
    reports.count_junk(connection, facts.junk)
    reject(connection, facts.rejected, now)
    for table, cells in (
        (t.traffic_days, facts.days),
        (t.traffic_campaign_days, facts.campaign_days),
        (t.traffic_places, facts.places),
        (t.traffic_quarters, facts.quarters),
    ):
        bulk.add(connection, table, list(cells_rows(cells)))
    _tell(connection, facts, linked)


def _carry(connection: Connection, facts: Facts) -> None:
    if facts.carried:
        statement = bulk.insert(connection, tables.carried).on_conflict_do_nothing()
        rows = [{"workspace": w, "no": n} for w, n in sorted(facts.carried)]
        connection.execute(statement, rows)


def _link(connection: Connection, facts: Facts) -> list[tuple[int, int, int]]:
    """Store the batch's edges; returns those that are new or known from earlier than before."""
    e = tables.edges.c
    known: dict[tuple[int, int, int], int] = {}
    wanted = facts.edges
    for part in chunks(a for _, a, _ in wanted):
        rows = connection.execute(
            select(e.workspace, e.a, e.b, e.first_seen).where(bulk.among(connection, e.a, part))
        )
        known.update({(w, a, b): first for w, a, b, first in rows})
    fresh = {k: v for k, v in wanted.items() if k not in known or v[2] < known[k]}
    if fresh:
        statement = bulk.insert(connection, tables.edges)
        statement = statement.on_conflict_do_update(
            index_elements=[e.workspace, e.a, e.b],
            set_={"first_seen": func.min(e.first_seen, statement.excluded.first_seen)}
            if connection.dialect.name == "sqlite"
            else {"first_seen": func.least(e.first_seen, statement.excluded.first_seen)},
        )
        connection.execute(
            statement,
            [
                {"workspace": w, "a": a, "b": b, "a_kind": ak, "b_kind": bk, "first_seen": first}
                for (w, a, b), (ak, bk, first) in sorted(fresh.items())
            ],
        )
    return sorted(fresh)


def _tell(connection: Connection, facts: Facts, linked: Sequence[tuple[int, int, int]]) -> None:
    """One `changes` row per workspace and kind: packed int64, so that a touch costs sixteen bytes."""
    told: dict[tuple[int, str], list[int]] = {}
    for (workspace, visitor), at in facts.touches.items():
        told.setdefault((workspace, "touches"), []).extend((visitor, at))
    for workspace, conversion in sorted(facts.conversions):
        told.setdefault((workspace, "conversions"), []).append(conversion)
    for workspace, a, b in linked:
        told.setdefault((workspace, "edges"), []).extend((a, b))
    for (workspace, kind), numbers in told.items():
        tell(connection, workspace, kind, numbers)


def tell(connection: Connection, workspace: int, kind: str, numbers: Sequence[int]) -> None:
    """Leave a note for the leader: `numbers` as little-endian int64."""
    body = np.asarray(numbers, dtype="<i8").tobytes()
    connection.execute(tables.changes.insert().values(workspace=workspace, kind=kind, body=body))


def reject(connection: Connection, rows: Sequence[Mapping[str, object]], now: int) -> None:
    """Keep refused and quarantined records with their reasons, to 10,000 a workspace and day; count all."""
    if not rows:
        return
    day = now // 86_400_000_000
    counts: dict[tuple[int, str], int] = {}
    for row in rows:
        key = (int(str(row["workspace"])), str(row["code"]))
        counts[key] = counts.get(key, 0) + 1
    c = tables.rejected_counts.c
    room: dict[int, int] = {}
    for workspace in {w for w, _ in counts}:
        used = select(func.coalesce(func.sum(c.count), 0)).where(c.workspace == workspace, c.day == day)
        room[workspace] = max(0, KEPT_PER_DAY - int(connection.scalar(used) or 0))
    bulk.add(
        connection, tables.rejected_counts, [(w, day, code, n) for (w, code), n in sorted(counts.items())]
    )
    kept = []
    for row in rows:
        workspace = int(str(row["workspace"]))
        if room[workspace]:
            room[workspace] -= 1
            kept.append({name: _storable(value) for name, value in row.items()})
    if kept:
        connection.execute(tables.rejected.insert(), kept)


def _storable(value: object) -> object:
    """What was refused may be anything; no engine's text holds NUL, and nothing may be too bad to be kept."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def refused_row(refusal: Refusal) -> dict[str, object]:
    """A row of tables.rejected for what a door refused."""
    return {
        "workspace": refusal.workspace, "at": refusal.received_at, "kind": "refused", "door": refusal.door,
        "code": refusal.code, "field": refusal.field, "message": refusal.message, "event_id": refusal.id,
        "body": refusal.body,
    }  # fmt: skip


# --- clicks that are there already -------------------------------------------------------------------


def lift_prefetched(
    connection: Connection, names: Names, facts: Facts, clicks: Sequence[tuple[int, int, int]]
) -> None:
    """Clicks (workspace, occurred_at, no) that somebody brought back were no prefetch after all."""
    e = tables.events.c
    for workspace, occurred_at, no in clicks:
        row = connection.execute(
            select(tables.events).where(
                e.workspace == workspace, e.occurred_at == occurred_at, e.no == no, e.kind == CLICK
            )
        ).first()
        if row is None or not row.flags & FLAGS["prefetch"]:
            continue
        flags = lifted(row.flags)
        hints = msgspec.json.decode(row.details or "{}").get("hints", ())
        billable = int(is_billable(DOOR_NAMES[row.door], flags, hints))
        zone = names.views[workspace].timezone
        facts.count(stored(row, zone), -1)
        facts.count(stored(row, zone, flags=flags, billable=billable), 1)
        facts.touch(workspace, row.visitor, occurred_at)
        connection.execute(
            update(tables.events)
            .where(e.id == row.id, e.occurred_at == occurred_at)
            .values(flags=flags, billable=billable)
        )


def stored(
    r: Any, zone: str, *, flags: int | None = None, billable: int | None = None, quality: int | None = None
) -> Traffic:
    """A row of tables.events as the rollups see it, or would with other marks."""
    return Traffic(
        r.workspace,
        zone,
        r.kind,
        r.occurred_at,
        r.flags if flags is None else flags,
        r.billable if billable is None else billable,
        r.channel_id,
        r.campaign_id,
        r.ad_id,
        r.partner_id,
        r.country,
        r.device,
        r.quality if quality is None else quality,
    )


def was_carried(connection: Connection, clicks: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of (workspace, click number) that a visit or conversion brought back before."""
    c = tables.carried.c
    wanted = set(clicks)
    found: set[tuple[int, int]] = set()
    for part in chunks(no for _, no in wanted):
        rows = connection.execute(select(c.workspace, c.no).where(bulk.among(connection, c.no, part)))
        found |= {(w, n) for w, n in rows}
    return found & wanted


# --- landings -----------------------------------------------------------------------------------------


def settle_landings(
    connection: Connection,
    names: Names,
    facts: Facts,
    workspace: int,
    fresh: Mapping[int, Sequence[Landing]],
    redirects: Sequence[RedirectClick],
) -> None:
    """Bring the clicks that stand for landings up to date: call after the batch's events are written."""
    table, c, e = tables.landings, tables.landings.c, tables.events.c
    rows = [
        (workspace, k, x.occurred_at, x.no, x.visitor, x.campaign_id) for k, xs in fresh.items() for x in xs
    ]
    if rows:
        names_ = ("workspace", "key", "occurred_at", "no", "visitor", "campaign_id")
        statement = bulk.insert(connection, table).on_conflict_do_nothing()
        connection.execute(statement, [dict(zip(names_, row, strict=True)) for row in rows])
    keys = set(fresh)
    explaining = {r.bucket for r in redirects}
    for part in chunks(r.visitor for r in redirects):
        statement = select(c.key, c.visitor, c.campaign_id, c.occurred_at).where(
            c.workspace == workspace, bulk.among(connection, c.visitor, part)
        )
        for key, visitor, campaign, at in connection.execute(
            bulk.found_by(statement, table, "landings_visitor")
        ):
            if (visitor, campaign, at // HALF_HOUR) in explaining:
                keys.add(key)
    if not keys:
        return
    candidates: dict[int, list[Landing]] = {key: [] for key in keys}
    for part in chunks(keys):
        for key, *found in connection.execute(
            select(c.key, c.occurred_at, c.no, c.visitor, c.campaign_id).where(
                c.workspace == workspace, bulk.among(connection, c.key, part)
            )
        ):
            candidates[key].append(Landing(*found))
    everyone = [x for xs in candidates.values() for x in xs]
    explained = explained_by(connection, workspace, everyone)
    present: dict[int, int] = {}
    by_number = {click_number(key): key for key in keys}
    for part in chunks(x.occurred_at for x in everyone):
        for at, no in connection.execute(
            select(e.occurred_at, e.no).where(
                e.workspace == workspace,
                bulk.among(connection, e.occurred_at, part),
                e.door == DOORS["landing"],
            )
        ):
            if no in by_number:
                present[by_number[no]] = at
    gone, made = changes(candidates, explained, present)
    zone = names.views[workspace].timezone
    for key, at in gone:
        _unland(connection, facts, zone, workspace, at, click_number(key))
    for key, landing in made:
        _land(connection, facts, zone, workspace, landing, click_number(key))


def explained_by(
    connection: Connection, workspace: int, landings: Sequence[Landing]
) -> set[tuple[int, int, int]]:
    """Buckets (visitor, campaign, half-hour) in which a redirect click is known."""
    e = tables.events.c
    found: set[tuple[int, int, int]] = set()
    if not landings:
        return found
    low = min(x.occurred_at for x in landings) - HALF_HOUR
    high = max(x.occurred_at for x in landings) + HALF_HOUR
    for part in chunks(x.visitor for x in landings if x.visitor):
        for visitor, campaign, at in connection.execute(
            select(e.visitor, e.campaign_id, e.occurred_at).where(
                e.workspace == workspace,
                bulk.among(connection, e.visitor, part),
                *events.during(connection, low, high),
                e.kind == CLICK,
                e.door == DOORS["redirect"],
            )
        ):
            found.add((visitor, campaign, at // HALF_HOUR))
    return found


def _unland(connection: Connection, facts: Facts, zone: str, workspace: int, at: int, no: int) -> None:
    e = tables.events.c
    here = (e.workspace == workspace, e.occurred_at == at, e.no == no, e.door == DOORS["landing"])
    row = connection.execute(select(tables.events).where(*here)).one()
    facts.count(stored(row, zone), -1)
    facts.touch(workspace, row.visitor, at)
    connection.execute(delete(tables.events).where(*here))


def _land(connection: Connection, facts: Facts, zone: str, workspace: int, landing: Landing, no: int) -> None:
    """Record the click a landing tells of: the visit's own row, as a click nobody bills."""
    e = tables.events.c
    visit = connection.execute(
        select(tables.events).where(
            e.workspace == workspace, e.occurred_at == landing.occurred_at, e.no == landing.no
        )
    ).first()
    if visit is None:
        return
    row = dict(visit._mapping)
    row.pop("id")
    flags = row["flags"] & ~(FLAGS["caused"] | FLAGS["ignored"])
    row |= {"kind": CLICK, "door": DOORS["landing"], "no": no, "flags": flags, "billable": 0, "direct": 0}
    row["quality"] = 0
    connection.execute(tables.events.insert().values(row))
    facts.count(stored(SimpleNamespace(**row), zone), 1)
    facts.touch(workspace, landing.visitor, landing.occurred_at)
