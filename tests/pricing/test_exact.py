"""Columns of exact integers against Python's own."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.money import allocate, joined, split
from app.pricing import exact

SMALL = st.integers(-(2**62) + 1, 2**62 - 1)
LINES = st.lists(
    st.tuples(
        st.integers(-(2**62) + 1, 2**62 - 1), st.lists(st.integers(0, 2**20), min_size=1, max_size=9)
    ).filter(lambda line: sum(line[1]) > 0),
    min_size=1,
    max_size=8,
)


@given(LINES)
def test_many_lines_are_divided_as_one_is(lines: list[tuple[int, list[int]]]) -> None:
    amounts = exact.column([amount for amount, _ in lines])
    weights = np.array([weight for _, found in lines for weight in found], dtype=np.int64)
    starts = np.cumsum([0, *(len(found) for _, found in lines[:-1])])
    expected = [part for amount, found in lines for part in allocate(amount, found)]
    assert exact.allocated(amounts, weights, starts).tolist() == expected


@given(st.lists(SMALL, max_size=20), st.integers(0, 4))
def test_sums_never_wrap(values: list[int], rows: int) -> None:
    column = exact.column(values)
    where = np.arange(len(values)) % (rows + 1)
    assert exact.total(column) == sum(values)
    expected = [sum(v for v, w in zip(values, where, strict=True) if w == row) for row in range(rows + 1)]
    assert exact.grouped(column, where, rows + 1).tolist() == expected


@given(st.lists(SMALL, min_size=1, max_size=9), st.integers(0, 10**9), st.integers(1, 10**9))
def test_a_rate_is_applied_exactly_and_rounded_half_even_once(
    values: list[int], top: int, bottom: int
) -> None:
    rate = Fraction(top, bottom)
    assert exact.scaled(exact.column(values), rate).tolist() == [round(value * rate) for value in values]


@given(st.lists(st.integers(-(10**24), 10**24), min_size=1, max_size=9))
def test_amounts_beyond_64_bits_come_back_whole(amounts: list[int]) -> None:
    high, low = zip(*(split(amount) for amount in amounts), strict=True)
    assert exact.joined(exact.column(list(high)), exact.column(list(low))).tolist() == amounts
    assert [joined(*split(amount)) for amount in amounts] == amounts
