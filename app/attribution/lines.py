"""Bookings x credits x models -> cells of the credit rollups. Pure; sums only.

A booking line says that a conversion stands (or stood) so, from a day on; its credits say who shares it.
Each line is divided by each model, and equal cells are summed before anything is written. Basis 1 and 3
lines count on their own day; basis 2 is the basis 1 line on the day of the touch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.attribution.allocation import shares
from app.attribution.journeys import CLICK, IMPRESSION, Ints, joined, spread
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
    """What a line gives a credit row under a model: their indices, and its share of every measure, signed.

    Measures that are equal throughout are one array: what is done with it need be done once only.
    """

    model: Ints
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
    parts = _parts(lines, rows)
    basis = lines.basis[parts.line]
    standing = np.flatnonzero(basis == CONVERSION)
    heads = (
        (np.arange(len(basis)), basis, lines.day[parts.line]),
        (standing, np.full(len(basis), TOUCH), rows.day[parts.row]),
    )
    found = {}
    for rollup, names in ROLLUPS.items():
        # In the order of the tables' keys: a sorted batch touches each page of a rollup once.
        keys = {name: getattr(rows, name)[parts.row] for name in names}
        keys |= {name: getattr(lines, name)[parts.line] for name in LINE_KEYS}
        both = [
            _summed({"basis": basis, "model": parts.model, "day": day} | keys, parts.measures, which)
            for which, basis, day in heads
        ]
        found[rollup] = _together(both)
    return found


def _parts(lines: Lines, rows: Rows) -> Parts:
    """Every line divided by every model's weights over the rows of its conversion, where it gives any."""
    low = np.searchsorted(rows.owner, lines.owner, side="left")
    high = np.searchsorted(rows.owner, lines.owner, side="right")
    line, row = spread(low, high - low)
    earning = [np.flatnonzero(weights[row] > 0) for weights in rows.weights()]
    weight = np.concatenate([weights[row[own]] for weights, own in zip(rows.weights(), earning, strict=True)])
    model = np.repeat(np.arange(len(earning)), [len(own) for own in earning])
    which = np.concatenate(earning)
    line, row = line[which], row[which]
    sizes = np.bincount(model * len(lines.owner) + line, minlength=len(earning) * len(lines.owner))
    return Parts(model + 1, line, row, _measures(lines, rows.kind[row], line, weight, sizes))


def _measures(lines: Lines, kind: Ints, line: Ints, weight: Ints, sizes: Ints) -> dict[str, Ints]:
    """The shares of every measure that is not 0 throughout."""
    sign = lines.sign[line]
    unit = shares(np.full(len(sizes), MICROS), weight, sizes) * sign
    found = {"count": unit, "by_click": unit * (kind == CLICK), "by_view": unit * (kind == IMPRESSION)}
    for measure, column in COUNTS.items():
        times: Ints = getattr(lines, column)
        if times.any():
            found[measure] = unit if (times == 1).all() else unit * times[line]
    done: dict[bytes, tuple[Ints, Ints]] = {}
    for name in AMOUNTS:
        amounts: Ints = getattr(lines, name)
        key = amounts.tobytes()
        if key not in done:
            share = shares(np.resize(amounts, len(sizes)), weight, sizes)
            done[key] = (share // BASE * sign, share % BASE * sign)
        found[f"{name}_hi"], found[f"{name}_lo"] = done[key]
    return {name: values for name, values in found.items() if values.any()}


def _summed(keys: dict[str, Ints], measures: dict[str, Ints], which: Ints) -> Cells:
    """Equal keys together, their measures summed, in the order of the keys."""
    code = _code([column[which] for column in keys.values()])
    order = np.argsort(code)
    code, index = code[order], which[order]
    first = np.flatnonzero(np.r_[True, code[1:] != code[:-1]]) if len(code) else index
    distinct = {id(values): values for values in measures.values()}
    sums = {
        key: np.add.reduceat(values[index], first) if len(first) else values[first]
        for key, values in distinct.items()
    }
    nonzero = np.zeros(len(first), dtype=np.bool_)
    for values in sums.values():
        nonzero |= values != 0
    sums = {key: values[nonzero] for key, values in sums.items()}
    return Cells(
        {name: column[index[first[nonzero]]] for name, column in keys.items()},
        {name: sums[id(values)] for name, values in measures.items()},
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
