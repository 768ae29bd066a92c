"""Local days, hours, weeks and months in every kind of zone."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from app.metrics import dates
from app.model import DAY, HOUR, QUARTER
from app.workspaces import from_date, local_day

ZONES = [
    "UTC", "Europe/Oslo", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Tehran", "Asia/Beirut",
    "America/Havana", "Australia/Lord_Howe", "Pacific/Apia", "America/Santiago", "Africa/Casablanca",
]  # fmt: skip
YEAR = from_date(date(2026, 1, 1))


@pytest.mark.parametrize("zone", ZONES)
def test_every_instant_falls_on_its_local_day_and_hour(zone: str) -> None:
    clock = dates.clock(zone, YEAR, YEAR + 364)
    instants = np.arange(clock.start, clock.end, 5 * QUARTER, dtype=np.int64)
    assert clock.days(instants).tolist() == [local_day(zone, at) for at in instants.tolist()]
    for at, hour in zip(instants[::41].tolist(), clock.hours(instants[::41]).tolist(), strict=True):
        shown = datetime.fromisoformat(dates.hour_label(zone, hour))
        assert 0 <= at - hour < HOUR and shown.timestamp() * 1_000_000 == hour
        assert (shown.minute, shown.second) == (0, 0)


@pytest.mark.parametrize("zone", ZONES)
def test_days_follow_one_another_without_gap_or_overlap(zone: str) -> None:
    starts = [dates.day_start(zone, YEAR + day) for day in range(366)]
    for number, (start, end) in enumerate(pairwise(starts)):
        assert 22 * HOUR < end - start < 26 * HOUR
        assert local_day(zone, start) == YEAR + number == local_day(zone, end - QUARTER)


def test_a_day_may_have_23_or_25_hours() -> None:
    forward, back = from_date(date(2026, 3, 29)), from_date(date(2026, 10, 25))
    assert dates.day_start("Europe/Oslo", forward + 1) - dates.day_start("Europe/Oslo", forward) == 23 * HOUR
    assert dates.day_start("Europe/Oslo", back + 1) - dates.day_start("Europe/Oslo", back) == 25 * HOUR


def test_two_hours_of_one_name_stay_two() -> None:
    first = int(datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()) * 1_000_000
    clock = dates.clock("Europe/Oslo", from_date(date(2026, 10, 25)), from_date(date(2026, 10, 25)))
    hours = clock.hours(np.array([first, first + HOUR])).tolist()
    labels = [dates.hour_label("Europe/Oslo", hour) for hour in hours]
    assert labels == ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"]


def test_zones_that_cut_the_same_days_share_the_rollups() -> None:
    assert dates.same_days("Europe/Oslo", "Europe/Berlin", YEAR, YEAR + 300)
    assert not dates.same_days("Europe/Oslo", "Europe/Athens", YEAR, YEAR)
    assert dates.same_days("Europe/London", "UTC", YEAR, YEAR + 30)
    assert not dates.same_days("Europe/London", "UTC", YEAR, YEAR + 200)


@pytest.mark.parametrize("start", dates.WEEKDAYS)
def test_weeks_and_months_are_named_by_their_first_day(start: str) -> None:
    days = np.arange(YEAR, YEAR + 400, dtype=np.int64)
    for day, week, month in zip(
        days.tolist(), dates.week_of(days, start).tolist(), dates.month_of(days).tolist(), strict=True
    ):
        found = date(1970, 1, 1) + timedelta(days=week)
        assert 0 <= day - week < 7 and found.weekday() == dates.WEEKDAYS.index(start)
        of = date(1970, 1, 1) + timedelta(days=day)
        assert date(1970, 1, 1) + timedelta(days=month) == of.replace(day=1)


def test_a_clock_knows_every_offset_of_its_range() -> None:
    clock = dates.clock("Europe/Oslo", YEAR, YEAR + 364)
    assert clock.offsets == (HOUR, 2 * HOUR, HOUR)
    zone = ZoneInfo("Europe/Oslo")
    for until in clock.until:
        before, after = (datetime.fromtimestamp((until + d) / 1e6, zone).utcoffset() for d in (-QUARTER, 0))
        assert before != after
    assert clock.end - clock.start == 365 * DAY
