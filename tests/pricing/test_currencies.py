"""Which exchange rate an event gets, and when it gets none."""

from fractions import Fraction

import pytest

from app.pricing.currencies import Rates, rates

PUBLISHED = [
    ("NOK", "EUR", 100, "0.085"),
    ("NOK", "EUR", 103, "0.086"),
    ("USD", "EUR", 103, "0.9"),
    ("EUR", "UAH", 103, "48"),
]


@pytest.fixture
def published() -> Rates:
    return rates(PUBLISHED, max_age=7)


def found(published: Rates, currency: str, wanted: str, day: int) -> Fraction | None:
    rate = published.find(currency, wanted, day)
    return rate.value if rate else None


def test_the_last_rate_published_before_the_day_began_counts(published: Rates) -> None:
    assert found(published, "NOK", "EUR", 103) == Fraction("0.085")
    assert found(published, "NOK", "EUR", 104) == Fraction("0.086")


@pytest.mark.parametrize(("day", "rate"), [(100, None), (101, "0.085"), (110, "0.086"), (111, None)])
def test_a_rate_too_old_or_not_yet_published_is_none(published: Rates, day: int, rate: str | None) -> None:
    assert found(published, "NOK", "EUR", day) == (Fraction(rate) if rate else None)


def test_a_currency_in_itself_is_one_even_with_nothing_published(published: Rates) -> None:
    assert found(published, "IRR", "IRR", 5) == 1


def test_the_inverse_and_the_way_over_a_common_currency_are_exact(published: Rates) -> None:
    assert found(published, "EUR", "NOK", 104) == 1 / Fraction("0.086")
    assert found(published, "NOK", "USD", 104) == Fraction("0.086") / Fraction("0.9")


def test_what_nobody_published_is_none_and_never_one(published: Rates) -> None:
    assert found(published, "VND", "EUR", 104) is None
