"""Columns of numbers that may not be known, and the few forms every metric takes. Pure.

Sums (counts and money) are exact integers in 10^-6; a ratio is the one division at the very end, from
unrounded parts. What is not known stays unknown, and says why: a known 0 and an unknown are different
things, and the difference is what a marketer stops a campaign by.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.money import MICROS
from app.pricing.exact import LIMIT, Flags, Ints, added, peak, quotient, times, wide

Unit = Literal["count", "money", "ratio"]


@dataclass(frozen=True, slots=True)
class Column:
    """`values` are 10^-6 integers (counts, money) or floats (ratios); only those `known` mean anything.

    `why` says for each reason which rows it keeps unknown.
    """

    values: NDArray[Any]
    known: Flags
    why: Mapping[str, Flags] = field(default_factory=dict)


Parts = Mapping[str, Column]
Function = Callable[[Parts], Column]


def _why(*columns: Column) -> dict[str, Flags]:
    found: dict[str, Flags] = {}
    for column in columns:
        for reason, rows in column.why.items():
            found[reason] = found[reason] | rows if reason in found else rows
    return found


def part(name: str) -> Function:
    """The part itself."""
    return lambda parts: parts[name]


def sum_of(*names: str) -> Function:
    def function(parts: Parts) -> Column:
        columns = [parts[name] for name in names]
        values, known = columns[0].values, columns[0].known
        for column in columns[1:]:
            values, known = added(values, column.values), known & column.known
        return Column(values, known, _why(*columns))

    return function


def difference(name: str, *less: str) -> Function:
    """`name` less the others: known where all are."""

    def function(parts: Parts) -> Column:
        columns = [parts[name], *(parts[other] for other in less)]
        values, known = columns[0].values, columns[0].known
        for column in columns[1:]:
            values, known = added(values, -column.values), known & column.known
        return Column(values, known, _why(*columns))

    return function


def ratio(above: str | Function, below: str | Function, *, empty: str = "denominator_zero") -> Function:
    """A share or rate: both in one unit, so the division has none. `empty`: why there is none of nothing."""

    def function(parts: Parts) -> Column:
        top, bottom = _of(above, parts), _of(below, parts)
        known, divisor, why = _divisible(top, bottom, empty)
        # int64 divides as two floats, each exact below 2^53; object columns divide as Python does.
        values = (top.values / divisor).astype(np.float64)
        return Column(values, known, why)

    return function


def price(above: str | Function, below: str | Function, *, per: int = 1) -> Function:
    """Money for each one (or each `per`) of a count, to the micro-unit, halves to even."""

    def function(parts: Parts) -> Column:
        top, bottom = _of(above, parts), _of(below, parts)
        known, divisor, why = _divisible(top, bottom)
        return Column(_per(top.values, divisor, MICROS * per), known, why)

    return function


def not_yet(reason: str) -> Function:
    """A metric whose facts are not collected: unknown everywhere, with the reason."""

    def function(parts: Parts) -> Column:
        size = len(parts[""].values)
        return Column(np.zeros(size, np.int64), np.zeros(size, bool), {reason: np.ones(size, bool)})

    return function


def _of(side: str | Function, parts: Parts) -> Column:
    return parts[side] if isinstance(side, str) else side(parts)


def _divisible(
    top: Column, bottom: Column, reason: str = "denominator_zero"
) -> tuple[Flags, Ints, dict[str, Flags]]:
    """Where the division has a meaning, a divisor that is safe everywhere, and why it has none."""
    positive = np.asarray(bottom.values > 0, dtype=bool)
    both = top.known & bottom.known
    why = _why(top, bottom)
    empty = both & ~positive
    if empty.any():
        why[reason] = empty
    return both & positive, np.where(positive, bottom.values, 1), why


def _per(values: Ints, divisor: Ints, scale: int) -> Ints:
    """values * scale / divisor, exact and rounded once; in 64 bits where the long way round fits."""
    if peak(values) * scale < LIMIT:
        return quotient(times(values, scale), divisor)
    if peak(divisor) * scale < LIMIT:
        whole = values // divisor
        rest = values - whole * divisor
        return added(times(whole, scale), quotient(times(rest, scale), divisor))
    return quotient(wide(values) * scale, wide(divisor))
