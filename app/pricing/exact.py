"""Columns of exact integers: numpy's 64 bits while they suffice, Python's own where they do not.

Sums of money pass 2^63 (a year of rial sales does), and numpy would wrap in silence. Every function here
looks at the size of its input first and moves to object columns, which are slower and exact. No float.
"""

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.money import BASE

Ints = NDArray[Any]  # int64, or object holding int
Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]

LIMIT = 2**62


def zeros(size: int) -> Ints:
    return np.zeros(size, dtype=np.int64)


def peak(values: Ints) -> int:
    """The largest absolute value; 0 of an empty column."""
    return max(abs(int(values.max())), abs(int(values.min()))) if len(values) else 0


def wide(values: Ints) -> Ints:
    """The same numbers as Python integers."""
    return values.astype(object)


def column(values: list[int]) -> Ints:
    """A column of these integers, in 64 bits if they fit."""
    fits = all(-LIMIT < value < LIMIT for value in values)
    return np.array(values, dtype=np.int64 if fits else object)


def joined(high: Ints, low: Ints) -> Ints:
    """The amounts whose summed parts are `high` and `low` (money.joined)."""
    if peak(high) * BASE + peak(low) < LIMIT:
        return high * BASE + low
    return wide(high) * BASE + low


def added(a: Ints, b: Ints) -> Ints:
    if peak(a) + peak(b) < LIMIT:
        return a + b
    result: Ints = wide(a) + b
    return result


def times(a: Ints, b: Ints | int) -> Ints:
    largest = abs(b) if isinstance(b, int) else peak(b)
    if peak(a) * largest < LIMIT and largest < LIMIT:
        return a * b
    result: Ints = wide(a) * b
    return result


def total(values: Ints) -> int:
    if peak(values) * max(1, len(values)) < LIMIT:
        return int(values.sum())
    return sum(map(int, values.tolist()))


def grouped(values: Ints, rows: Rows, size: int) -> Ints:
    """The sum of `values` for each of `size` rows; `rows` tells the row of each value."""
    if peak(values) * max(1, len(values)) < LIMIT:
        sums = zeros(size)
        np.add.at(sums, rows, values)
        return sums
    sums = np.zeros(size, dtype=object)
    np.add.at(sums, rows, wide(values))
    return sums


def quotient(numerator: Ints, denominator: Ints | int) -> Ints:
    """Division to the nearest integer, halves to even; `denominator` is positive."""
    whole = numerator // denominator
    twice = times(numerator - whole * denominator, 2)
    up = (twice > denominator) | ((twice == denominator) & (whole % 2 == 1))
    result: Ints = whole + up
    return result


def scaled(values: Ints, rate: Fraction) -> Ints:
    """`values` times an exact rate, each rounded half-even once."""
    return quotient(times(values, rate.numerator), rate.denominator)


def allocated(amounts: Ints, weights: Ints, starts: Rows) -> Ints:
    """money.allocate for many lines at once.

    Line i owns `weights[starts[i]:starts[i + 1]]`, oldest first, not all zero; `amounts` holds one amount
    for each line. Largest remainders get what is left, ties go to the later position.
    """
    lengths = np.diff(np.append(starts, len(weights)))
    line = np.repeat(np.arange(len(starts)), lengths)
    whole = np.add.reduceat(weights, starts)[line] if len(starts) else weights
    size = np.abs(amounts)[line]
    rest = times(size % whole, weights)
    parts = added(times(size // whole, weights), rest // whole)
    remainders = rest % whole
    left = np.abs(amounts) - grouped(parts, line, len(starts))
    order = np.lexsort((-np.arange(len(weights)), -remainders.astype(np.int64), line))
    rank = np.empty(len(weights), dtype=np.int64)
    rank[order] = np.arange(len(weights)) - starts[line]
    parts = parts + (rank < left[line])
    result: Ints = np.where(amounts[line] < 0, -parts, parts)
    return result
