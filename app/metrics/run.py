"""Answers a query: reads the cells, adds them up to rows and totals, divides once at the end.

Rows always add up to totals, and totals cover the whole filter, not the page. A row or total that is not
known is null and says why in `meta.reasons`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from app import tables
from app.metrics import gather, meta, plan, prices
from app.metrics.catalogue import BY_SLUG, PARTS, TIME, Family, Metric, families, parts
from app.metrics.columns import Column
from app.metrics.cost import Measure
from app.metrics.frame import distinct
from app.metrics.gather import Grid, Prices
from app.metrics.names import Names
from app.metrics.plan import Plan
from app.metrics.query import Context, Query
from app.metrics.store import Reader, filled
from app.pricing.exact import Flags, Rows, grouped
from app.pricing.rules import Deal, narrowed
from app.workspaces import settings_of


@dataclass(frozen=True, slots=True)
class House:
    """What a report must know about its workspace."""

    id: int
    timezone: str
    currency: str
    week_start: str
    fx_max_age_days: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A report. `labels` and `columns` hold the page's rows; `totals` one row over all."""

    query: Query
    metrics: tuple[Metric, ...]
    labels: Sequence[Sequence[str]]  # by dimension
    unregistered: Flags  # rows that name a slug nobody registered
    columns: Sequence[Column]  # by metric
    totals: Sequence[Column]
    meta: dict[str, object]


def house(connection: Connection, workspace: int) -> House:
    c = tables.workspaces.c
    row = connection.execute(
        select(c.timezone, c.reporting_currency, c.week_start, c.settings).where(c.id == workspace)
    ).one()
    return House(workspace, row[0], row[1], row[2], settings_of(row[3]).fx_max_age_days)


def context(connection: Connection, of: House, *, now: int, everything: bool) -> Context:
    """What to resolve a query against; the earliest day is looked up only for a range of `all`."""
    earliest = _earliest(connection, of.id) if everything else 0
    return Context(of.timezone, of.currency, of.week_start, now, earliest)


def _earliest(connection: Connection, workspace: int) -> int:
    credited = tables.credit_days
    found = [
        connection.scalar(select(func.min(table.c.day)).where(table.c.workspace == workspace, *more))
        for table, more in (
            (tables.traffic_campaign_days, (filled(tables.traffic_campaign_days),)),
            (credited, (credited.c.basis == 1, credited.c.model == 2, filled(credited))),
            (tables.spend, ()),
        )
    ]
    return min((int(day) for day in found if day is not None), default=2**31)


def answer(connection: Connection, of: House, query: Query) -> Answer:
    """The report that `query` asks for."""
    deals = prices.deals(connection, of.id) if _costly(query) else []
    return told(reading(connection, of, query, narrowed(deals)), of, deals)


def _costly(query: Query) -> bool:
    return "cost" in families(parts(BY_SLUG[slug] for slug in query.metrics))


def reading(connection: Connection, of: House, query: Query, keys: frozenset[str]) -> Reader:
    """How `query` is read; `keys` are those that deals are scoped by."""
    scheme = plan.make(query, zone=of.timezone, reporting=of.currency, narrowed=keys)
    native = query.currency != of.currency or any(d.key == "currency" for d in query.dimensions)
    return Reader(connection, of.id, query, scheme, Names(connection, of.id, query), of.timezone, native)


def told(reader: Reader, of: House, deals: Sequence[Deal]) -> Answer:
    """The report, read as its reader's plan says."""
    query, scheme = reader.query, reader.plan
    money = _prices(reader, of, deals)
    grid = gather.grid(reader, money)
    labels, rows, size, strange = _rows(reader, grid)
    metrics = tuple(BY_SLUG[slug] for slug in query.metrics)
    columns = _columns(metrics, scheme, grid, rows, size, whole=False)
    totals = _columns(metrics, scheme, grid, np.zeros(grid.size, dtype=np.int64), 1, whole=True)
    totals = _mixed(reader, metrics, totals, labels)
    order = _order(query, labels, columns)
    page = order[query.offset : query.offset + query.limit]
    about = meta.written(reader, money, grid, metrics, columns, totals)
    about |= {"unknown": _unknown(query, labels, strange), "rows": size, "truncated": len(page) < size}
    anyone = np.zeros(size, dtype=bool)
    for (codes, _), odd in zip(labels, strange, strict=True):
        anyone |= np.isin(codes, sorted(odd))
    return Answer(
        query=query,
        metrics=metrics,
        labels=[[texts[code] for code in codes[page].tolist()] for codes, texts in labels],
        unregistered=anyone[page],
        columns=[_taken(column, page) for column in columns],
        totals=totals,
        meta=about,
    )


def _prices(reader: Reader, of: House, deals: Sequence[Deal]) -> Prices:
    """Deals, spend accounts and rates, as far as the plan needs them."""
    costly = reader.plan.answers("cost")
    accounts = prices.accounts(reader) if costly or reader.plan.answers("spend") else []
    currencies = {account.currency for account in accounts}
    if costly:
        currencies |= {deal.currency for deal in deals}
        currencies.add(of.currency)  # a share of revenue is reckoned in the reporting currency
    if reader.native:
        c = tables.credit_days.c
        currencies |= set(
            reader.connection.scalars(select(c.currency).where(c.workspace == of.id).distinct())
        )
    rates, newest = prices.rates(reader, currencies, oldest=of.fx_max_age_days)
    return Prices(
        deals=deals if costly else [],
        sources=prices.sources(reader.connection, of.id) if costly else [],
        accounts=accounts,
        rates=rates,
        newest_rate=newest,
        currency=reader.query.currency,
        reporting=of.currency,
    )


# --- Rows --------------------------------------------------------------------------------------------

SHOWN_NAMES = 100  # of unregistered slugs, in meta
Labels = Sequence[tuple[Rows, list[str]]]  # by dimension: each row's code, and the label of each code


def _rows(reader: Reader, grid: Grid) -> tuple[Labels, Rows, int, list[set[int]]]:
    """Each dimension's labels, the row of each cell, how many rows, and the codes of unregistered slugs."""
    dimensions = reader.query.dimensions
    if not dimensions:
        return [], np.zeros(grid.size, dtype=np.int64), 1, []
    coded, texts, strange = [], [], []
    for dimension in dimensions:
        key = "day" if dimension.key == "time" and reader.plan.house else dimension.key
        values = reader.names.buckets(dimension, grid.keys[key])
        (ids,), where = distinct([values])
        names = [reader.names.label(dimension, value) for value in ids.tolist()]
        known = [reader.names.is_known(dimension, value) for value in ids.tolist()]
        if dimension.slug in TIME:
            labels = names
            codes = np.arange(len(names))
        else:
            labels = sorted(set(names))
            position = {label: code for code, label in enumerate(labels)}
            codes = np.array([position[name] for name in names], dtype=np.int64)
        coded.append(codes[where] if len(codes) else where)
        texts.append(labels)
        strange.append({int(code) for code, fine in zip(codes, known, strict=True) if not fine})
    columns, rows = distinct(coded)
    return list(zip(columns, texts, strict=True)), rows, len(columns[0]), strange


def _order(query: Query, labels: Labels, columns: Sequence[Column]) -> Rows:
    """Rows in the order asked for; what is equal stays in the order of its labels, unknowns come last."""
    size = len(labels[0][0]) if labels else 1
    order = np.arange(size)
    slugs = [dimension.slug for dimension in query.dimensions]
    for slug, down in reversed(query.order_by):
        if slug in slugs:
            values: Any = labels[slugs.index(slug)][0]
            known = np.ones(size, dtype=bool)
        else:
            column = columns[query.metrics.index(slug)]
            values, known = np.where(column.known, column.values, 0), column.known
        keyed = values[order]
        order = order[np.argsort(-keyed if down else keyed, kind="stable")]
        order = order[np.argsort(~known[order], kind="stable")]
    return order


def _taken(column: Column, page: Rows) -> Column:
    return Column(column.values[page], column.known[page], {})


# --- Columns -----------------------------------------------------------------------------------------


def _columns(
    metrics: Sequence[Metric], scheme: Plan, grid: Grid, rows: Rows, size: int, *, whole: bool
) -> list[Column]:
    summed = {
        name: _summed(grid.measures[name], rows, size, whole=whole)
        if name in grid.measures
        else _absent(_why_absent(name, scheme), size)
        for name in scheme.parts
    }
    _without_value(summed, grid, rows, size)
    summed[""] = Column(np.zeros(size, dtype=np.int64), np.ones(size, dtype=bool))
    return [metric.function(summed) for metric in metrics]


def _summed(measure: Measure, rows: Rows, size: int, *, whole: bool) -> Column:
    """A measure added up over each row: known where any cell is, unless one is blocked."""
    known = measure.whole if whole else measure.known
    values = grouped(np.where(known, measure.values, 0), rows, size)
    everywhere = bool(known.all())
    some = _any(known, rows, size) if not everywhere or measure.why else np.ones(size, dtype=bool)
    blocked = _any(measure.blocked, rows, size)
    why = {
        reason: found
        for reason, mask in measure.why.items()
        if (found := _any(mask, rows, size) & ~some).any()
    }
    if blocked.any():
        why["rate_missing"] = blocked
    if not len(rows) and measure.why:
        why["nothing_in_range"] = ~some
    return Column(values, some & ~blocked, why)


def _any(mask: Flags, rows: Rows, size: int) -> Flags:
    found = np.zeros(size, dtype=bool)
    found[rows[mask]] = True
    return found


def _absent(reason: str, size: int) -> Column:
    return Column(
        np.zeros(size, dtype=np.int64), np.zeros(size, dtype=bool), {reason: np.ones(size, dtype=bool)}
    )


def _why_absent(name: str, scheme: Plan) -> str:
    plain, _, scope = name.partition("@")
    wanted: list[Family] = [PARTS[plain][0]]
    if scope:
        wanted.append("spend" if scope == "platform" else "cost")
    return next((scheme.unknown[family] for family in wanted if family in scheme.unknown), "not_measured")


def _without_value(summed: dict[str, Column], grid: Grid, rows: Rows, size: int) -> None:
    """Sales none of which carries a value have a revenue that nobody knows."""
    if "valued" not in grid.measures or "sales" not in grid.measures:
        return
    sales = grouped(grid.measures["sales"].values, rows, size)
    valued = grouped(grid.measures["valued"].values, rows, size)
    nameless = np.asarray((sales > 0) & (valued == 0), dtype=bool)
    if not nameless.any():
        return
    for name in ("revenue", "revenue_gross"):
        if name in summed:
            column = summed[name]
            summed[name] = Column(
                column.values, column.known & ~nameless, {**column.why, "no_value": nameless}
            )


def _mixed(reader: Reader, metrics: Sequence[Metric], totals: list[Column], labels: Labels) -> list[Column]:
    """Money of several currencies has no sum."""
    slugs = [dimension.slug for dimension in reader.query.dimensions]
    if "currency" not in slugs or len(labels[slugs.index("currency")][1]) < 2:
        return totals
    return [
        _absent("mixed_currencies", 1) if metric.unit == "money" else column
        for metric, column in zip(metrics, totals, strict=True)
    ]


def _unknown(query: Query, labels: Labels, strange: Sequence[set[int]]) -> dict[str, list[str]]:
    """Slugs that events named and nobody registered, by dimension."""
    return {
        dimension.slug: [texts[code] for code in sorted(odd)][:SHOWN_NAMES]
        for dimension, (_, texts), odd in zip(query.dimensions, labels, strange, strict=True)
        if odd
    }
