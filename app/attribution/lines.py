"""Bookings x credits x models -> cells of the credit rollups. Pure; sums only.

A booking line says that a conversion stands (or stood) so, from a day on; its credits say who shares it.
Each line is divided by each model, and equal cells are summed before anything is written. Basis 1 and 3
lines count on their own day; basis 2 is the basis 1 line on the day of the touch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.attribution.allocation import shares
from app.attribution.journeys import CLICK, IMPRESSION, Bits, Ints, joined, spread
from app.attribution.ledger import Ledger, Lines, Rows
from app.model import BASES
from app.money import BASE, MICROS

CONVERSION, TOUCH = BASES["conversion"], BASES["touch"]

#: The keys of a cell that come from the booking line, and those of each rollup that come from the touch.
LINE_KEYS = ("kind", "goal_id", "state", "currency", "rated")
ROLLUPS: dict[str, tuple[str, ...]] = {
    "credit_days": ("channel_id", "campaign_id", "ad_id", "partner_id"),
    "credit_places": ("channel_id", "country", "device"),
}

#: Measures that count results: 1,000,000 parts of one, times this column of the line.
COUNTS = {
    "net_count": "net_count", "valued": "valued", "new_customers": "new_customer", "with_cogs": "with_cogs",
}  # fmt: skip
AMOUNTS = ("gross", "net", "cogs", "reported_gross", "reported_net", "reported_cogs")


@dataclass(frozen=True, slots=True)
class Cells:
    """Distinct cells of a rollup: key columns, and the measures that are not 0 throughout."""

    keys: dict[str, Ints]
    measures: dict[str, Ints]


@dataclass(frozen=True, slots=True)
class Parts:
    """What one model gives: for each (line, row) its share of every measure, signed."""

    line: Ints
    row: Ints
    measures: dict[str, Ints]


def difference(new: Ledger, old: Ledger, conversions: int) -> dict[str, Cells]:
    """The cells of ROLLUPS that -old +new comes to, over this many conversions."""
    lines = replace(old.lines, owner=old.lines.owner + conversions, sign=-old.lines.sign)
    rows = replace(old.rows, owner=old.rows.owner + conversions)
    return cells(joined(new.lines, lines), joined(new.rows, rows))


def cells(lines: Lines, rows: Rows) -> dict[str, Cells]:
    """Every cell of ROLLUPS that is not 0, of all bases and models. `rows` are sorted by owner."""
    low = np.searchsorted(rows.owner, lines.owner, side="left")
    high = np.searchsorted(rows.owner, lines.owner, side="right")
    line, row = spread(low, high - low)
    parts = [_parts(weights, line, row, lines, rows) for weights in rows.weights()]
    whole = Parts(
        np.concatenate([p.line for p in parts]),
        np.concatenate([p.row for p in parts]),
        {name: np.concatenate([p.measures[name] for p in parts]) for name in parts[0].measures},
    )
    model = np.repeat(np.arange(1, len(parts) + 1), [len(p.line) for p in parts])
    standing = lines.basis[whole.line] == CONVERSION
    own_day, touch_day = lines.day[whole.line], rows.day[whole.row]
    heads = (
        (lines.basis[whole.line], own_day, np.ones(len(standing), dtype=np.bool_)),
        (np.full(len(standing), TOUCH), touch_day, standing),
    )
    measures = {name: values for name, values in whole.measures.items() if values.any()}
    return {
        rollup: _together(
            [
                _summed(
                    {"basis": basis, "model": model, "day": day} | _keys(whole, lines, rows, names),
                    measures,
                    which,
                )
                for basis, day, which in heads
            ]
        )
        for rollup, names in ROLLUPS.items()
    }


def _keys(parts: Parts, lines: Lines, rows: Rows, names: Sequence[str]) -> dict[str, Ints]:
    of_rows: dict[str, Ints] = {name: getattr(rows, name)[parts.row] for name in names}
    of_lines: dict[str, Ints] = {name: getattr(lines, name)[parts.line] for name in LINE_KEYS}
    return of_rows | of_lines


def _parts(weights: Ints, line: Ints, row: Ints, lines: Lines, rows: Rows) -> Parts:
    """The division of every line by one model's weights, only where it gives anything."""
    given = weights[row] > 0
    line, row = line[given], row[given]
    weight, sizes = weights[row], np.bincount(line, minlength=len(lines.owner))
    sign = lines.sign[line]
    unit = shares(np.full(len(sizes), MICROS), weight, sizes) * sign
    kind = rows.kind[row]
    measures = {"count": unit, "by_click": unit * (kind == CLICK), "by_view": unit * (kind == IMPRESSION)}
    for measure, column in COUNTS.items():
        measures[measure] = unit * getattr(lines, column)[line]
    for amount, share in _amounts(lines, weight, sizes).items():
        measures[f"{amount}_hi"] = share // BASE * sign
        measures[f"{amount}_lo"] = share % BASE * sign
    return Parts(line, row, measures)


def _amounts(lines: Lines, weight: Ints, sizes: Ints) -> dict[str, Ints]:
    """The shares of every amount. Most are equal or 0 throughout, and are then divided once."""
    found: dict[str, Ints] = {}
    done: dict[bytes, Ints] = {}
    for name in AMOUNTS:
        amounts: Ints = getattr(lines, name)
        key = amounts.tobytes()
        if key not in done:
            done[key] = shares(amounts, weight, sizes) if amounts.any() else np.zeros(len(weight), np.int64)
        found[name] = done[key]
    return found


def _summed(keys: dict[str, Ints], measures: dict[str, Ints], which: Bits) -> Cells:
    """Equal keys together, their measures summed, in the order of the keys."""
    index = np.flatnonzero(which)
    code = _code([column[index] for column in keys.values()])
    order = np.argsort(code)
    code, index = code[order], index[order]
    first = np.flatnonzero(np.r_[True, code[1:] != code[:-1]]) if len(code) else index
    sums = {
        name: np.add.reduceat(values[index], first) if len(first) else values[first]
        for name, values in measures.items()
    }
    nonzero = np.zeros(len(first), dtype=np.bool_)
    for values in sums.values():
        nonzero |= values != 0
    return Cells(
        {name: column[index[first[nonzero]]] for name, column in keys.items()},
        {name: values[nonzero] for name, values in sums.items()},
    )


def _code(columns: Sequence[Ints]) -> Ints:
    """One number per row: equal where all columns are, and in their order."""
    code = np.zeros(len(columns[0]), dtype=np.int64)
    width = 1
    for column in columns:
        if not len(column):
            break
        low, high = int(column.min()), int(column.max())
        if width * (high - low + 1) >= 2**62:
            values, code = np.unique(code, return_inverse=True)
            width = len(values)
            if width * (high - low + 1) >= 2**62:
                values, column = np.unique(column, return_inverse=True)
                low, high = 0, len(values) - 1
        code = code * (high - low + 1) + (column - low)
        width *= high - low + 1
    return code


def _together(parts: Sequence[Cells]) -> Cells:
    return Cells(
        {name: np.concatenate([p.keys[name] for p in parts]) for name in parts[0].keys},
        {name: np.concatenate([p.measures[name] for p in parts]) for name in parts[0].measures},
    )
