"""Results from the credit rollups: which column of a cell makes which part of a report."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, case, literal_column, true

from app import tables
from app.metrics.frame import Frame
from app.metrics.query import Query
from app.metrics.store import Column, Reader, condition, filled, summed
from app.model import BASES, KINDS, MODELS, STATES
from app.pricing.exact import Ints, joined

LEAD, SALE = KINDS["lead"], KINDS["sale"]
BOOKED = {"booked": (STATES["pending"], STATES["approved"]), "approved": (STATES["approved"],)}
MONEY = ("gross", "net", "cogs")


def bases(query: Query) -> tuple[int, ...]:
    """Rollup bases by the query's date: bookings are present standings plus their corrections."""
    if query.by == "booking":
        return (BASES["conversion"], BASES["booking"])
    return (BASES[query.by],)


def credits(reader: Reader, parts: Sequence[str]) -> Frame:
    """Results from the rollup of the plan. Counts are in 10^-6; money parts joined; see `credit_parts`."""
    table = tables.metadata.tables[reader.plan.credits]
    c, query = table.c, reader.query
    earned = c.channel_id != -1
    known: dict[str, Column] = {name.removesuffix("_id"): column for name, column in c.items()}
    for key in ("country", "device", "partner"):
        if key in known:
            known[key] = case((earned, known[key]), else_=-1)
    known["customer"] = literal_column("0")
    inside = [
        c.workspace == reader.workspace,
        filled(table),
        c.basis.in_(bases(query)),
        c.model == MODELS[query.model],
        c.day >= query.first,
        c.day <= query.last,
        c.state.in_(_states(query, parts)),
    ]
    sql = condition(reader, query.filter, known.__getitem__)
    where = and_(*inside) if sql is None else and_(*inside, sql)
    wanted = credit_keys(reader)
    if {"day", "campaign"} <= set(wanted) and "channel" in known:
        # A prefix of the primary key needs no sorting; whoever adds the cells up drops the channel.
        wanted = ("day", "channel", *(key for key in wanted if key not in ("day", "channel")))
    keys = {key: known[key] for key in wanted}
    found = summed(reader, keys, credit_parts(reader, c, parts), where)
    return joined_money(found)


def _states(query: Query, parts: Sequence[str]) -> tuple[int, ...]:
    """The states that any of these parts counts."""
    named = {STATES[name.rpartition("_")[2]] for name in parts if name.rpartition("_")[2] in STATES}
    if "new_customers" in parts:
        named.add(STATES["approved"])
    return tuple(sorted({*BOOKED[query.status], *named}))


def credit_keys(reader: Reader) -> tuple[str, ...]:
    """The plan's keys, and what converting into another currency needs to tell apart."""
    more = ("currency", "day") if reader.native and "currency" not in reader.plan.keys else ()
    return tuple(dict.fromkeys((*reader.plan.keys, *more)))


def credit_parts(reader: Reader, c: Any, parts: Sequence[str]) -> dict[str, Column]:
    """The columns that make the credit parts asked for, over a credit rollup."""
    booked = BOOKED[reader.query.status]
    primary = [number for number, row in reader.names.goals.items() if row._mapping["primary"]]
    kind = "" if reader.native else "reported_"
    everything = set(_states(reader.query, parts)) == set(booked)  # then no cell needs to be asked
    sale, fits = c.kind == SALE, true() if everything else c.state.in_(booked)
    states = {name: and_(sale, c.state == number) for name, number in STATES.items()}
    standing = and_(sale, fits)
    rows: dict[str, tuple[Column, str]] = {
        "leads": (and_(c.kind == LEAD, fits), "count"),
        "sales": (standing, "count"),
        "sales_net": (standing, "net_count"),
        "sales_click": (standing, "by_click"),
        "sales_view": (standing, "by_view"),
        "sales_approved": (states["approved"], "count"),
        "sales_pending": (states["pending"], "count"),
        "sales_rejected": (states["rejected"], "count"),
        "conversions": (and_(fits, c.goal_id.in_(primary)), "count"),
        "valued": (standing, "valued"),
        "with_goods": (standing, "with_cogs"),
        "new_customers": (states["approved"], "new_customers"),
        "revenue": (standing, f"{kind}net"),
        "revenue_gross": (standing, f"{kind}gross"),
        "revenue_approved": (states["approved"], f"{kind}net"),
        "revenue_pending": (states["pending"], f"{kind}net"),
        "goods": (standing, f"{kind}cogs"),
        "unrated": (and_(standing, c.rated == 0), "valued"),
    }
    found: dict[str, Column] = {}
    for name in parts:
        where, measure = rows[name]
        if measure.removeprefix("reported_") in MONEY:
            for half in ("hi", "lo"):
                found[f"{name}:{half}"] = case((where, c[f"{measure}_{half}"]), else_=0)
        else:
            found[name] = case((where, c[measure]), else_=0)
    return found


def joined_money(found: Frame) -> Frame:
    """The frame with its pairs of money columns joined."""
    parts: dict[str, Ints] = {}
    for name, values in found.parts.items():
        plain, _, half = name.partition(":")
        if not half:
            parts[name] = values
        elif half == "hi":
            parts[plain] = joined(values, found.parts[f"{plain}:lo"])
    return Frame(found.keys, parts)
