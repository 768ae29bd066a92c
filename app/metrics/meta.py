"""What a report says about itself: how fresh, how complete, and why a number is null."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import exists, func, select

from app import tables
from app.events.retention import dropped_before
from app.metrics import cost
from app.metrics.catalogue import SCOPES, SEGMENT, Metric
from app.metrics.columns import Column
from app.metrics.gather import Grid, Prices
from app.metrics.plan import RAW_TRAFFIC
from app.metrics.query import Query
from app.metrics.raw import TOUCH_TEXTS
from app.metrics.store import Reader
from app.money import to_decimal
from app.pricing.exact import total
from app.workspaces import to_date


def written(
    reader: Reader,
    money: Prices,
    grid: Grid,
    metrics: Sequence[Metric],
    columns: Sequence[Column],
    totals: Sequence[Column],
) -> dict[str, object]:
    """`meta` of a report, but for what the page decides."""
    query = reader.query
    return {
        "fresh_through": _fresh(reader, money),
        "currency": query.currency,
        "timezone": query.timezone,
        "date_basis": query.by,
        "coverage": _coverage(grid, metrics),
        "missing": [
            {"currency": one.currency, "amount": to_decimal(one.amount), "rows": one.rows}
            for one in cost.gathered(grid.missing)
        ],
        "known": _known(grid, query),
        "reasons": _reasons(metrics, columns, totals),
        "superseded": {
            name: to_decimal(amount) for name, amount in sorted(grid.superseded.items()) if amount
        },
        "warnings": _warnings(reader, money),
    }


#: Bytes of an inbox file's uuid. Cursors of other names hold how far a worker has drained everything.
INBOX_FILE = 16


def _fresh(reader: Reader, money: Prices) -> dict[str, object]:
    """`events`: everything accepted until then is in the numbers' facts: the newest stored event, or the
    instant at which the workers last found nothing waiting. `spend`: the latest day of each account.
    """
    newest = [
        reader.connection.scalar(select(table.c.received_at).order_by(table.c.id.desc()).limit(1))
        for table in (tables.events, tables.sightings)
    ]
    c = tables.cursors.c
    drained = select(func.min(c.sequence)).where(func.length(c.file) != INBOX_FILE)
    newest.append(reader.connection.scalar(drained))
    at = max((moment for moment in newest if moment is not None), default=None)
    found: dict[str, object] = {"events": None if at is None else _instant(at)}
    if money.accounts:
        found["spend"] = {
            f"{one.source}/{one.account}": to_date(one.last).isoformat() for one in money.accounts
        }
    if money.newest_rate is not None:
        found["rates"] = to_date(money.newest_rate).isoformat()
    return found


def _instant(at: int) -> str:
    return datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _coverage(grid: Grid, metrics: Sequence[Metric]) -> dict[str, float]:
    """For each metric over the cells of a scope: how much of what it divides by, or earns, lies in them."""
    found: dict[str, float] = {}
    for metric in metrics:
        for need in metric.needs:
            plain, _, scope = need.partition("@")
            if scope not in SCOPES or need not in grid.measures or plain not in grid.measures:
                continue
            part = grid.measures[need]
            everything = total(part.values)
            if everything > 0:
                inside = total(np.where(part.whole, part.values, 0))
                found[metric.slug] = min(round(inside / everything, 6), found.get(metric.slug, 1.0))
    if "cost" in grid.measures and grid.size:
        found["cost"] = round(float(grid.measures["cost"].whole.mean()), 6)
    return found


def _known(grid: Grid, query: Query) -> dict[str, object]:
    """The known part of totals that a missing rate makes unknown: what has no rate adds 0 to its cell."""
    return {
        slug: to_decimal(total(np.where(measure.known, measure.values, 0)))
        for slug in query.metrics
        if (measure := grid.measures.get(slug)) is not None and measure.blocked.any()
    }


def _reasons(
    metrics: Sequence[Metric], columns: Sequence[Column], totals: Sequence[Column]
) -> dict[str, dict[str, int]]:
    """Why numbers are null: for each metric and reason, how many rows (0: only the total)."""
    found: dict[str, dict[str, int]] = {}
    for metric, column, whole in zip(metrics, columns, totals, strict=True):
        reasons = {
            reason: int((mask & ~column.known).sum())
            for reason, mask in {**whole.why, **column.why}.items()
            if len(mask) == len(column.known)
        }
        kept = {reason: rows for reason, rows in reasons.items() if rows}
        if not whole.known.all():
            kept |= {reason: kept.get(reason, 0) for reason, mask in whole.why.items() if mask.any()}
        if kept:
            found[metric.slug] = kept
    return found


def _warnings(reader: Reader, money: Prices) -> list[str]:
    found = []
    # Spend that names no zone is of the workspace's days.
    if any((one.timezone or reader.zone) != reader.query.timezone for one in money.accounts):
        found.append("spend_timezone_differs")
    if reader.plan.answers("credits") and _catching_up(reader):
        found.append("credits_catching_up")
    if _of_events(reader) and reader.clock.start < dropped_before(reader.connection):
        found.append("events_dropped")
    if any(d.key == "customer" for d in reader.query.dimensions):
        found.append("customers_not_imported")
    return found


def _of_events(reader: Reader) -> bool:
    """Whether the report reads raw events: by a free text, or traffic by what no rollup knows."""
    keys = {d.key for d in (*reader.query.dimensions, *(c.dimension for c in reader.conditions))}
    texts = any(key in TOUCH_TEXTS or key.startswith(SEGMENT) for key in keys)
    return texts or (reader.plan.answers("traffic") and reader.plan.traffic == RAW_TRAFFIC)


def _catching_up(reader: Reader) -> bool:
    """Whether stored facts still wait to earn their credit."""
    waiting = [
        select(exists().where(table.c.workspace == reader.workspace))
        for table in (tables.changes, tables.due)
    ]
    return any(reader.connection.scalar(statement) for statement in waiting)
