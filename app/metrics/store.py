"""How a report reads: selects as frames, filters and clocks as SQL, and the traffic tables.

Every select that has only integers comes back as one row of texts (`columns`): building 18,000 Python
tuples costs more than SQLite's whole scan. No metric is computed here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import JSON

from app import tables
from app.metrics import filters
from app.metrics.catalogue import SEGMENT
from app.metrics.dates import Clock, clock
from app.metrics.frame import Frame
from app.metrics.names import UNATTRIBUTED, Names
from app.metrics.plan import RAW_TRAFFIC, Plan
from app.metrics.query import Query
from app.model import DAY, HOUR, INVALID, KINDS, QUALITY, QUARTER, TEST
from app.pricing.exact import Rows

Column = ColumnElement[Any]

TEXTS = frozenset({"source", "medium", "creative", "placement", "keyword", "currency"})


@dataclass(frozen=True, slots=True)
class Reader:
    """What every select of one report needs."""

    connection: Connection
    workspace: int
    query: Query
    plan: Plan
    names: Names
    zone: str  # the workspace's
    native: bool  # money in the currency it came in, not the reporting currency

    @property
    def conditions(self) -> tuple[filters.Condition, ...]:
        return tuple(filters.conditions(self.query.filter))

    @property
    def clock(self) -> Clock:
        return clock(self.query.timezone, self.query.first, self.query.last)

    @property
    def house_clock(self) -> Clock:
        """The workspace's clock, a day wider on both sides: the query's days may begin earlier or later."""
        return clock(self.zone, self.query.first - 1, self.query.last + 1)


def filled(table: Table) -> Column:
    """A cell that counts something. What was taken back leaves cells of zeros, and which of them there are
    hangs on the order of arrival: a report must not."""
    measures = tables.TRAFFIC_MEASURES if "impressions" in table.c else tables.CREDIT_MEASURES
    return or_(*(table.c[name] != 0 for name in measures))


def is_text(key: str) -> bool:
    return key in TEXTS or key.startswith(SEGMENT)


# --- Running a select --------------------------------------------------------------------------------


def columns(connection: Connection, statement: Select[Any]) -> list[Rows]:
    """The columns of a select of integers (none of them NULL), in no particular order of rows."""
    inner = statement.subquery()
    texts = [func.aggregate_strings(cast(column, Text), " ") for column in inner.c]
    row = connection.execute(select(*texts)).one()
    return [np.fromstring(text or "", dtype=np.int64, sep=" ") for text in row]


def frame(reader: Reader, statement: Select[Any], keys: Sequence[str], parts: Sequence[str]) -> Frame:
    """A select of `keys` then `parts` as a frame; keys that are texts become codes."""
    if any(is_text(key) for key in keys):
        rows = reader.connection.execute(statement).all()
        raw = list(zip(*rows, strict=True)) or [()] * (len(keys) + len(parts))
        found: list[Rows] = [
            reader.names.codes(key, values)
            if is_text(key)
            else np.array([int(value) for value in values], dtype=np.int64)
            for key, values in zip((*keys, *parts), raw, strict=True)
        ]
    else:
        found = columns(reader.connection, statement)
    named = dict(zip((*keys, *parts), found, strict=True))
    return Frame({key: named[key] for key in keys}, {part: named[part] for part in parts})


def summed(reader: Reader, keys: Mapping[str, Column], parts: Mapping[str, Column], where: Column) -> Frame:
    """Sums of `parts` by `keys`."""
    sums = [func.coalesce(func.sum(part), 0).label(name) for name, part in parts.items()]
    statement = select(*(key.label(f"key_{i}") for i, key in enumerate(keys.values())), *sums)
    statement = statement.where(where).group_by(*(literal_column(f"key_{i}") for i in range(len(keys))))
    return frame(reader, statement, tuple(keys), tuple(parts))


# --- Filters and clocks as SQL -----------------------------------------------------------------------


def condition(reader: Reader, tree: filters.Filter | None, known: Callable[[str], Column]) -> Column | None:
    """The filter as SQL over the columns of one table; `known` gives the column of a key."""
    if tree is None:
        return None
    if isinstance(tree, filters.Joined):
        parts = [sql for part in tree.parts if (sql := condition(reader, part, known)) is not None]
        if tree.operator == "not":
            return not_(parts[0])
        return and_(*parts) if tree.operator == "and" else or_(*parts)
    key = tree.dimension.key
    column = known(key)
    found: list[Any] = _texts(reader, tree) if is_text(key) else reader.names.ids(tree)
    if tree.operator == "is_not":
        return column.not_in(found)
    return column.in_(found) if found else false()


def _texts(reader: Reader, asked: filters.Condition) -> list[str]:
    """The texts in the range that fulfil a condition. Compared here, so that every engine agrees on case."""
    c = tables.events.c
    column = (
        tables.credit_days.c.currency
        if asked.dimension.key == "currency"
        else event_text(reader.connection, asked.dimension.key)
    )
    if asked.dimension.key == "currency":
        inside = tables.credit_days.c.workspace == reader.workspace
    else:
        # A touch may be older than the conversions of the range: windows reach back.
        inside = and_(c.workspace == reader.workspace, c.occurred_at < reader.clock.end)
    values = [*reader.connection.scalars(select(column).where(inside).distinct()), "", UNATTRIBUTED]
    return [value for value in values if asked.matches(value or asked.dimension.none)]


def event_text(connection: Connection, key: str) -> Column:
    """A free text of an event: a column, or a declared segment in its details; "" when absent."""
    c = tables.events.c
    if not key.startswith(SEGMENT):
        column: Column = c[key]
        return column
    whole = case((c.details == "", "{}"), else_=c.details)
    name = key.removeprefix(SEGMENT)
    if connection.dialect.name == "postgresql":
        return func.coalesce(cast(whole, JSONB)["segment"][name].astext, "")
    return func.coalesce(type_json(whole)["segment"][name].as_string(), "")


def type_json(column: Column) -> Any:
    from sqlalchemy import type_coerce

    return type_coerce(column, JSON)


def local(at: Column, of: Clock) -> Column:
    """Instants as local clocks show them (Clock.local), in SQL."""
    if not of.until:
        return at + of.offsets[0]
    steps = zip(of.until, of.offsets[:-1], strict=True)
    return at + case(*((at < until, offset) for until, offset in steps), else_=of.offsets[-1])


def instant_keys(reader: Reader, at: Column) -> dict[str, Column]:
    """`day` (the workspace's) and `time` (the query's) of a column of instants."""
    mine = local(at, reader.clock)
    time = at - mine % HOUR if reader.query.grain == "time:hour" else mine // DAY
    return {"day": local(at, reader.house_clock) // DAY, "time": time}


# --- Traffic -----------------------------------------------------------------------------------------

TRAFFIC_PARTS = (*tables.TRAFFIC_MEASURES,)


def traffic(reader: Reader, parts: Sequence[str]) -> Frame:
    """Whole counts of what was seen and done, by the plan's keys."""
    if reader.plan.traffic == RAW_TRAFFIC:
        return _raw_traffic(reader, parts)
    table = tables.metadata.tables[reader.plan.traffic]
    c, query = table.c, reader.query
    quarterly = "quarter" in c
    known: dict[str, Column] = {name.removesuffix("_id"): column for name, column in c.items()}
    inside = [c.workspace == reader.workspace, filled(table)]
    if quarterly:
        known |= instant_keys(reader, c.quarter * QUARTER)
        inside += [c.quarter >= reader.clock.start // QUARTER, c.quarter < reader.clock.end // QUARTER]
    else:
        inside += [c.day >= query.first, c.day <= query.last]
    sql = condition(reader, query.filter, known.__getitem__)
    where = and_(*inside) if sql is None else and_(*inside, sql)
    keys = {key: known[key] for key in reader.plan.keys}
    if {"day", "campaign"} <= set(keys) and reader.plan.traffic == "traffic_campaign_days":
        # The cells as they lie: sorting them into groups again would cost more than it saves.
        statement = select(*keys.values(), *(c[part] for part in parts)).where(where)
        return frame(reader, statement, tuple(keys), tuple(parts))
    if set(keys) == {"channel", "country", "device"}:
        return _places(reader, [c[part].label(part) for part in parts], where)
    return summed(reader, keys, {part: c[part] for part in parts}, where)


def _places(reader: Reader, parts: Sequence[Column], where: Column) -> Frame:
    """Cells by place, not added up: 43,000 of them with one packed key reach numpy sooner than SQLite's
    sorter would be done with three.
    """
    c = tables.traffic_places.c
    place = (c.channel_id * _COUNTRIES + c.country) * _DEVICES + c.device
    packed, *values = columns(reader.connection, select(place.label("place"), *parts).where(where))
    keys = {
        "channel": packed // (_COUNTRIES * _DEVICES),
        "country": packed // _DEVICES % _COUNTRIES,
        "device": packed % _DEVICES,
    }
    return Frame(keys, {part.key or "": found for part, found in zip(parts, values, strict=True)})


_COUNTRIES = 1 << 10  # above every model.country_number
_DEVICES = 1 << 3  # above every number of model.DEVICES


def _raw_traffic(reader: Reader, parts: Sequence[str]) -> Frame:
    c = tables.events.c

    def known(key: str) -> Column:
        if key in ("day", "time"):
            return instant_keys(reader, c.occurred_at)[key]
        column: Column = (
            event_text(reader.connection, key) if is_text(key) else (c[key] if key in c else c[f"{key}_id"])
        )
        return column

    inside = [
        c.workspace == reader.workspace,
        c.occurred_at >= reader.clock.start,
        c.occurred_at < reader.clock.end,
        c.flags.bitwise_and(TEST) == 0,
    ]
    sql = condition(reader, reader.query.filter, known)
    where = and_(*inside) if sql is None else and_(*inside, sql)
    keys = {key: known(key) for key in reader.plan.keys}
    return summed(reader, keys, {part: raw_measure(part) for part in parts}, where)


def raw_measure(part: str) -> Column:
    """1 for an event that counts in a part of the traffic rollups, else 0."""
    c = tables.events.c
    plain, _, special = part.partition("_")
    valid = c.flags.bitwise_and(INVALID) == 0
    of_visits = {"bounces": "bounced", "engaged": "engaged"}
    if plain in of_visits:
        told = c.quality == QUALITY[of_visits[plain]]
        return case((and_(c.kind == KINDS["visit"], valid, told), 1), else_=0)
    fits: list[Column] = [c.kind == KINDS[plain.removesuffix("s")]]
    fits.append(not_(valid) if special == "flagged" else valid)
    if special == "billable":
        fits.append(c.billable == 1)
    return case((and_(*fits), 1), else_=0)
