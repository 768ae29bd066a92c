"""Exchange rates: the last one published before a local day began, at most some days old, exactly. Pure.

A missing rate is None, never 1: a sum of currencies at a made-up rate is a wrong number that looks right.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

SAME = Fraction(1)


@dataclass(frozen=True, slots=True)
class Rate:
    """Units of the wanted currency for one unit of another, as published on a local day."""

    value: Fraction
    day: int


@dataclass(slots=True)
class Rates:
    """A workspace's published rates. `max_age` is how many days old one may be."""

    max_age: int = 7
    _published: dict[tuple[str, str], list[tuple[int, Fraction]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def find(self, currency: str, wanted: str, day: int) -> Rate | None:
        """The rate from `currency` to `wanted` for an event of local day `day`, or None.

        As published, else its inverse, else by way of one currency that both are published against.
        """
        if currency == wanted:
            return Rate(SAME, day)
        direct = self._latest(currency, wanted, day) or self._inverse(wanted, currency, day)
        if direct is not None:
            return direct
        for base in sorted({b for c, b in self._published if c == currency}):
            first = self._latest(currency, base, day)
            second = self._inverse(wanted, base, day)
            if first is not None and second is not None:
                return Rate(first.value * second.value, min(first.day, second.day))
        return None

    def _latest(self, currency: str, base: str, day: int) -> Rate | None:
        rows = self._published.get((currency, base), [])
        position = bisect_left(rows, day, key=lambda row: row[0])  # published before the day began
        if not position or day - rows[position - 1][0] > self.max_age:
            return None
        found, value = rows[position - 1]
        return Rate(value, found)

    def _inverse(self, currency: str, base: str, day: int) -> Rate | None:
        rate = self._latest(currency, base, day)
        return Rate(1 / rate.value, rate.day) if rate is not None else None


def rates(rows: Iterable[tuple[str, str, int, str]], *, max_age: int) -> Rates:
    """From rows (currency, base, day, exact decimal: units of base for one of currency)."""
    found = Rates(max_age)
    for currency, base, day, value in sorted(rows, key=lambda row: row[2]):
        found._published[currency, base].append((day, Fraction(value)))
    return found
