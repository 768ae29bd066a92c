"""Whether a source is silent: a table of lives, each looked at at several moments."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.check.rules import LEAST, History, verdict
from app.model import DAY, HOUR

TODAY = 20_700  # 2026-09-04, a Friday: days since 1970
MONDAY = 20_703

Life = Callable[[int, int], int]


def history(life: Life, until: int, *, days: int = 60) -> History:
    """What came by `life(day, hour of the day)` in the days up to the hour `until`; hours of two months."""
    hours = {
        hour: count for hour in range(until - days * 24, until + 1) if (count := life(hour // 24, hour % 24))
    }
    kept = {hour: count for hour, count in hours.items() if hour > until - 60 * 24}
    return History(sorted({hour // 24 for hour in hours}), kept)


def always(_day: int, _hour: int) -> int:
    return 200


def by_day(_day: int, hour: int) -> int:
    return 40 if 7 <= hour < 22 else 0


def weekdays(day: int, hour: int) -> int:
    return 30 if (day + 3) % 7 < 5 and 8 <= hour < 18 else 0


def few(_day: int, hour: int) -> int:
    return 1 if hour in (9, 17) else 0


def newsletter(day: int, hour: int) -> int:
    return 5000 if (day + 3) % 7 == 0 and hour in (6, 7) else 0


def monthly(day: int, hour: int) -> int:
    return 3 if day % 30 == 0 and hour == 12 else 0


#: (life, its last hour, how many days it lived, hours after that, what it is)
LIVES = [
    (always, TODAY * 24 + 12, 60, 0, "active"),
    (always, TODAY * 24 + 12, 60, 1, "silent"),
    (always, TODAY * 24 + 12, 60, 24 * 27, "silent"),
    (always, TODAY * 24 + 12, 60, 24 * 40, "ended"),
    (by_day, TODAY * 24 + 21, 60, 3, "active"),  # at midnight
    (by_day, TODAY * 24 + 21, 60, 9, "active"),  # at six
    (by_day, TODAY * 24 + 21, 60, 11, "silent"),  # at eight nothing had come since seven
    (by_day, TODAY * 24 + 12, 60, 2, "silent"),
    (weekdays, TODAY * 24 + 17, 60, 48, "active"),  # Sunday evening
    (weekdays, TODAY * 24 + 17, 60, 24 * 3 + 6, "active"),  # Monday, a holiday perhaps
    (weekdays, TODAY * 24 + 17, 60, 24 * 5, "silent"),
    (few, TODAY * 24 + 17, 60, 24, "active"),
    (few, TODAY * 24 + 17, 60, 37, "silent"),
    (newsletter, MONDAY * 24 + 7, 250, 24 * 7, "active"),
    (newsletter, MONDAY * 24 + 7, 250, 24 * 10, "active"),
    (newsletter, MONDAY * 24 + 7, 250, 24 * 11, "silent"),
    (newsletter, MONDAY * 24 + 7, 250, 24 * 33, "ended"),
    (monthly, 20_700 * 24 + 12, 390, 24 * 40, "active"),
    (monthly, 20_700 * 24 + 12, 390, 24 * 46, "silent"),
    (always, TODAY * 24 + 12, 5, 24, "new"),
    (newsletter, MONDAY * 24 + 7, 30, 24 * 20, "new"),
    (always, TODAY * 24 + 12, 5, 24 * 29, "ended"),
]


@pytest.mark.parametrize("life, until, days, after, state", LIVES)
def test_a_source_stands_as_its_own_rhythm_says(
    life: Life, until: int, days: int, after: int, state: str
) -> None:
    found = verdict(history(life, until, days=days), (until + 1 + after) * HOUR)
    assert found.state == state, found.because


def test_the_reason_is_a_sentence_with_its_figures() -> None:
    busy = history(by_day, TODAY * 24 + 12)
    assert verdict(busy, (TODAY * 24 + 20) * HOUR).because == (
        "Nothing came for 7 hours. On each of the 28 days before its last event, at least 5 events came "
        "between 13:00 and 14:00 UTC."
    )
    weekly = history(newsletter, MONDAY * 24 + 7, days=250)
    assert verdict(weekly, (MONDAY + 1) * DAY).because == (
        "The longest pause between its last 28 days with events was 7 days: "
        "it is silent after 1.5 times as much."
    )


def test_one_empty_afternoon_in_four_weeks_is_enough_to_be_usual() -> None:
    """Nothing is told by the clock that has happened lately."""

    def once_quiet(day: int, hour: int) -> int:
        return 0 if day == TODAY - 20 and hour >= 13 else by_day(day, hour)

    quiet = history(once_quiet, TODAY * 24 + 12)
    assert verdict(quiet, (TODAY * 24 + 23) * HOUR).state == "active"
    assert verdict(quiet, (TODAY * 24 + 12 + 37) * HOUR).state == "silent"


def test_a_source_whose_hours_are_forgotten_is_judged_by_its_days() -> None:
    known = history(always, TODAY * 24 + 12)
    assert verdict(History(known.days, {}), (TODAY + 3) * DAY).state == "silent"


lives = st.lists(st.integers(0, 40), min_size=24 * 12, max_size=24 * 12)


@given(lives)
def test_who_falls_silent_stays_so_until_it_has_ended(counts: list[int]) -> None:
    hours = {TODAY * 24 + n: count for n, count in enumerate(counts) if count}
    found = History(sorted({hour // 24 for hour in hours}), hours) if hours else history(always, TODAY * 24)
    order = ["new", "active", "silent", "ended"]
    states = [verdict(found, (found.last_hour + 1) * HOUR + n * 7 * HOUR).state for n in range(120)]
    assert all(order.index(earlier) <= order.index(later) for earlier, later in pairwise(states))
    assert ("new" in states) == (len(found.days) < LEAST)
    assert states[-1] == "ended"
