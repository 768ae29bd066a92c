"""Local days in any zone: what a date range means, and into which bucket an instant falls. Pure.

A day begins at the first instant that carries its date, so days of 23 or 25 hours, zones at half and
quarter hours, and clocks that change at midnight need no special case.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from app.model import DAY, HOUR, QUARTER
from app.pricing.exact import Rows
from app.workspaces import from_date, to_date

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def day_start(zone: str, day: int) -> int:
    """The first instant of a local date, in microseconds."""
    midnight = datetime.combine(to_date(day), datetime.min.time(), ZoneInfo(zone))
    return int(midnight.timestamp()) * 1_000_000


def offset(zone: str, at: int) -> int:
    """What local clocks add to UTC at an instant, in microseconds."""
    found = datetime.fromtimestamp(at / 1_000_000, ZoneInfo(zone)).utcoffset() or timedelta()
    return int(found.total_seconds()) * 1_000_000


@dataclass(frozen=True, slots=True)
class Clock:
    """A zone over a range of instants [start, end): its offsets, piece by piece.

    `until[i]` is where `offsets[i]` ends; the last piece has no end.
    """

    zone: str
    start: int
    end: int
    until: tuple[int, ...]
    offsets: tuple[int, ...]

    def local(self, at: Rows) -> Rows:
        """Instants as local clocks show them, in microseconds since a local 1970."""
        piece = np.searchsorted(np.array(self.until, dtype=np.int64), at, side="right")
        return at + np.array(self.offsets, dtype=np.int64)[piece]

    def days(self, at: Rows) -> Rows:
        return self.local(at) // DAY

    def hours(self, at: Rows) -> Rows:
        """The instant at which each one's local hour began: two hours of one name stay two."""
        local = self.local(at)
        return at - local % HOUR


@lru_cache(maxsize=256)
def clock(zone: str, first: int, last: int) -> Clock:
    """The clock of a zone over the local days `first` to `last`, both included."""
    start, end = day_start(zone, first), day_start(zone, last + 1)
    until: list[int] = []
    offsets = [offset(zone, start)]
    at = start
    while at < end:
        following = min(at + 7 * DAY, end)
        if offset(zone, following) != offsets[-1]:
            low, high = at // QUARTER, following // QUARTER
            while high - low > 1:
                middle = (low + high) // 2
                if offset(zone, middle * QUARTER) == offsets[-1]:
                    low = middle
                else:
                    high = middle
            following = high * QUARTER
            if following < end:
                until.append(following)
                offsets.append(offset(zone, following))
        at = following
    return Clock(zone, start, end, tuple(until), tuple(offsets))


@lru_cache(maxsize=256)
def same_days(zone: str, other: str, first: int, last: int) -> bool:
    """Whether two zones cut these local days at the same instants."""
    if zone == other:
        return True
    a, b = clock(zone, first, last), clock(other, first, last)
    return (a.start, a.end, a.until, a.offsets) == (b.start, b.end, b.until, b.offsets)


def week_of(days: Rows, week_start: str) -> Rows:
    """The first day of each day's week."""
    shift = (3 - WEEKDAYS.index(week_start)) % 7  # day 0 was a Thursday
    return days - (days + shift) % 7


def month_of(days: Rows) -> Rows:
    """The first day of each day's month."""
    as_days = days.astype("datetime64[D]")
    return as_days.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def day_label(day: int) -> str:
    return to_date(day).isoformat()


def hour_label(zone: str, at: int) -> str:
    """An hour as RFC 3339 with its offset."""
    return datetime.fromtimestamp(at // 1_000_000, UTC).astimezone(ZoneInfo(zone)).isoformat()


RANGES = ("today", "yesterday", "7d", "30d", "90d", "month", "year", "all")


def named_range(name: str, *, today: int, earliest: int) -> tuple[int, int] | None:
    """Complete days only for `7d`, `30d`, `90d`: today stands apart. `month`, `year`: up to today."""
    day = to_date(today)
    return {
        "today": (today, today),
        "yesterday": (today - 1, today - 1),
        "7d": (today - 7, today - 1),
        "30d": (today - 30, today - 1),
        "90d": (today - 90, today - 1),
        "month": (from_date(day.replace(day=1)), today),
        "year": (from_date(date(day.year, 1, 1)), today),
        "all": (min(earliest, today), today),
    }.get(name)
