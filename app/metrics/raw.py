"""Results by what no rollup knows: bookings and credits read as they are, divided here.

The division is money.allocate's, on columns, so the numbers are those of the rollups to the unit. Filters
apply after it: a touch that is filtered away keeps its share. Conversions are read a month at a time, so
memory follows the month and not the range.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Select, and_, case, func, literal_column, select

from app import tables
from app.metrics.catalogue import SEGMENT
from app.metrics.dates import Clock
from app.metrics.frame import Frame
from app.metrics.names import UNATTRIBUTED
from app.metrics.results import BOOKED, LEAD, MONEY, SALE, bases
from app.metrics.store import Reader, condition, event_text, frame
from app.model import DAY, KINDS, STATES
from app.money import BASE, MICROS
from app.pricing.exact import Flags, Ints, Rows, allocated, joined, times, zeros

SLICE = 31 * DAY
TOUCH_TEXTS = frozenset({"source", "medium", "creative", "placement", "keyword"})

Column = ColumnElement[Any]
b, v, r, e = tables.bookings.c, tables.conversions.c, tables.credits.c, tables.events.c


@dataclass(frozen=True, slots=True)
class Shares:
    """One row for each (booking line, touch) that one model gives something: its keys, what of the line
    it is, and the whole shares of each amount."""

    keys: Mapping[str, Rows]
    line: Mapping[str, Rows]
    unit: Ints  # 10^-6 of the result, signed
    amounts: Mapping[str, Ints]  # micro-units, signed


def credits(reader: Reader, parts: Sequence[str], keys: Sequence[str]) -> Frame:
    """Results by any keys, by the query's model; the parts of results.credit_parts."""
    measures = sorted({_amount(part, native=reader.native) for part in parts if _amount(part, native=False)})
    primary = {number for number, row in reader.names.goals.items() if row._mapping["primary"]}
    slices = [
        Frame(shares.keys, {part: _part(reader, shares, part, primary) for part in parts})
        for shares in read(reader, reader.query.model, keys, measures)
    ]
    return stacked(slices, keys, parts)


def stacked(frames: Sequence[Frame], keys: Sequence[str], parts: Sequence[str]) -> Frame:
    """Frames of equal columns, one after the other."""
    if not frames:
        return Frame({key: zeros(0) for key in keys}, {part: zeros(0) for part in parts})
    return Frame(
        {key: np.concatenate([one.keys[key] for one in frames]) for key in keys},
        {part: np.concatenate([one.parts[part] for one in frames]) for part in parts},
    )


def read(reader: Reader, model: str, keys: Sequence[str], measures: Sequence[str]) -> Iterator[Shares]:
    """The shares of one model, by `keys` and the day of the conversion (`deal_day`), filter applied."""
    for first, last in _slices(reader):
        found = _shares(reader, model, keys, measures, v.occurred_at.between(first, last))
        if found is not None:
            yield found


def _slices(reader: Reader) -> Iterator[tuple[int, int]]:
    """Months of conversions that may reach into the range on the query's basis."""
    inside = [v.workspace == reader.workspace]
    if reader.query.by != "booking":
        inside.append(v.occurred_at >= reader.clock.start)  # a sale never precedes its touch
    if reader.query.by != "touch":
        inside.append(v.occurred_at < reader.clock.end)  # a correction never precedes its sale
    earliest = reader.connection.scalar(select(func.min(v.occurred_at)).where(*inside))
    latest = reader.connection.scalar(select(func.max(v.occurred_at)).where(*inside))
    if earliest is None or latest is None:
        return
    for first in range(earliest, latest + 1, SLICE):
        yield first, min(first + SLICE - 1, latest)


# --- The select --------------------------------------------------------------------------------------

LINES = ("conversion", "ordinal", "sign", "kind", "goal_id", "state", "rated", "net_count", "valued",
         "new_customer", "with_cogs")  # fmt: skip


def known(reader: Reader, key: str) -> Column:
    """The column of a key over bookings x credits x conversions (x events)."""
    if key.startswith(SEGMENT) or key in TOUCH_TEXTS:
        return case(
            (r.channel_id == -1, UNATTRIBUTED), else_=func.coalesce(event_text(reader.connection, key), "")
        )
    earned = r.channel_id != -1
    columns: dict[str, Column] = {
        "channel": r.channel_id,
        "campaign": r.campaign_id,
        "ad": r.ad_id,
        "partner": case((earned, r.partner_id), else_=-1),
        "country": case((earned, r.country), else_=-1),
        "device": case((earned, r.device), else_=-1),
        "goal": b.goal_id,
        "currency": b.currency,
        "customer": literal_column("0"),
        "conversion_country": v.country,
        "conversion_device": v.device,
        "reason": r.reason,
        "day": literal_column("0"),  # `day` and `time` are worked out from `at`
        "time": literal_column("0"),
    }
    return columns[key]


def _select(
    reader: Reader, model: str, keys: Sequence[str], measures: Sequence[str], inside: Column
) -> tuple[Select[Any], list[str]]:
    query = reader.query
    sql = condition(reader, query.filter, lambda key: known(reader, key))
    plain: dict[str, Column] = {name: b[name] for name in LINES}
    plain |= {
        "at": case((r.channel_id == -1, b.at), else_=r.occurred_at) if query.by == "touch" else b.at,
        "converted_at": v.occurred_at,
        "place": r.ordinal,
        "touch": r.kind,
        "weight": r[model],
        "fits": literal_column("1") if sql is None else case((sql, 1), else_=0),
    }
    for name in measures:
        plain |= {f"{name}:hi": b[name] // BASE, f"{name}:lo": b[name] % BASE}
    chosen = [known(reader, key).label(f"key_{i}") for i, key in enumerate(keys)]
    chosen += [column.label(f"part_{i}") for i, column in enumerate(plain.values())]
    tables_ = tables.bookings.join(
        tables.conversions, and_(v.workspace == b.workspace, v.id == b.conversion)
    ).join(
        tables.credits,
        and_(r.workspace == b.workspace, r.conversion == b.conversion, r.version == v.credit_version),
    )
    asked = {*keys, *(c.dimension.key for c in reader.conditions)}
    if any(key in TOUCH_TEXTS or key.startswith(SEGMENT) for key in asked):
        same = and_(e.workspace == r.workspace, e.occurred_at == r.occurred_at, e.no == r.no)
        tables_ = tables_.outerjoin(tables.events, and_(same, e.kind == r.kind))
    statement = select(*chosen).select_from(tables_)
    basis = bases(query) if query.by == "booking" else (1,)
    statement = statement.where(b.workspace == reader.workspace, b.basis.in_(basis), r[model] > 0, inside)
    if query.by == "booking":
        statement = statement.where(b.at >= reader.clock.start, b.at < reader.clock.end)
    return statement, list(plain)


def _shares(
    reader: Reader, model: str, keys: Sequence[str], measures: Sequence[str], inside: Column
) -> Shares | None:
    statement, plain = _select(reader, model, keys, measures, inside)
    found = frame(reader, statement, keys, plain)
    if not found.size:
        return None
    p = found.parts
    order = np.lexsort((p["place"], p["ordinal"], p["conversion"]))
    line = {name: values[order] for name, values in p.items()}
    new = np.diff(line["conversion"], prepend=-1).astype(bool) | np.diff(line["ordinal"], prepend=-1).astype(
        bool
    )
    starts = np.flatnonzero(new)
    sign, weights = line["sign"], line["weight"]
    unit = allocated(np.full(len(starts), MICROS, dtype=np.int64), weights, starts) * sign
    amounts = {
        name: times(allocated(joined(line[f"{name}:hi"], line[f"{name}:lo"])[starts], weights, starts), sign)
        for name in measures
    }
    placed = dict(found.keys)
    placed = {key: values[order] for key, values in placed.items()}
    placed |= {
        key: values for key, values in _times(reader, line).items() if key in keys or key == "deal_day"
    }
    fits = (line["fits"] == 1) & (line["at"] >= reader.clock.start) & (line["at"] < reader.clock.end)
    return Shares(
        {key: values[fits] for key, values in placed.items()},
        {name: values[fits] for name, values in line.items()},
        unit[fits],
        {name: values[fits] for name, values in amounts.items()},
    )


def _times(reader: Reader, line: Mapping[str, Rows]) -> dict[str, Rows]:
    clock: Clock = reader.clock
    hourly = reader.query.grain == "time:hour"
    return {
        "day": reader.house_clock.days(line["at"]),
        "time": clock.hours(line["at"]) if hourly else clock.days(line["at"]),
        "deal_day": reader.house_clock.days(line["converted_at"]),
    }


# --- What a part takes of a share --------------------------------------------------------------------


def _amount(part: str, *, native: bool) -> str:
    """The column of bookings behind a money part; "" for a count."""
    plain = {"revenue": "net", "revenue_gross": "gross", "revenue_approved": "net",
             "revenue_pending": "net", "goods": "cogs"}.get(part, "")  # fmt: skip
    return plain if native or plain not in MONEY else f"reported_{plain}"


def _part(reader: Reader, shares: Shares, part: str, primary: set[int]) -> Ints:
    line, unit = shares.line, shares.unit
    sale = line["kind"] == SALE
    booked = np.isin(line["state"], BOOKED[reader.query.status])
    states = {name: sale & (line["state"] == number) for name, number in STATES.items()}
    amount = _amount(part, native=reader.native)
    if amount:
        where = states.get(part.removeprefix("revenue_"), sale & booked)
        result: Ints = np.where(where, shares.amounts[amount], 0)
        return result
    standing = unit * (sale & booked)
    counts: dict[str, Flags | Ints] = {
        "leads": unit * ((line["kind"] == LEAD) & booked),
        "sales": standing,
        "sales_net": standing * line["net_count"],
        "sales_click": standing * (line["touch"] == KINDS["click"]),
        "sales_view": standing * (line["touch"] == KINDS["impression"]),
        "sales_approved": unit * states["approved"],
        "sales_pending": unit * states["pending"],
        "sales_rejected": unit * states["rejected"],
        "conversions": unit * (booked & np.isin(line["goal_id"], sorted(primary))),
        "valued": standing * line["valued"],
        "with_goods": standing * line["with_cogs"],
        "new_customers": unit * states["approved"] * line["new_customer"],
        "unrated": standing * line["valued"] * (line["rated"] == 0),
    }
    return counts[part]
