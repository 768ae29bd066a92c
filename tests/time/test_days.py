"""Into which local day an instant falls: in forty zones, against another implementation of time zones.

The C library reads the zones by itself (in a process of its own, since its zone is the process's), and on
PostgreSQL so does the server. Neither shares a line with what is tested.
"""

import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from sqlalchemy import func, literal, select

from app import db, tables, workspaces
from app.metrics import dates, query, run
from app.model import DAY, HOUR, QUARTER, SECOND
from app.workspaces import local_day
from tests import engines
from tests.conftest import impossible
from tests.house import NOON, House, event

ZONES = (
    "UTC", "Europe/Oslo", "Europe/London", "Europe/Dublin", "Europe/Lisbon", "Europe/Kyiv", "Europe/Istanbul",
    "Europe/Moscow", "Atlantic/Azores", "America/St_Johns", "America/Halifax", "America/New_York",
    "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles", "America/Anchorage",
    "America/Adak", "America/Havana", "America/Mexico_City", "America/Sao_Paulo", "America/Santiago",
    "America/Asuncion", "America/Nuuk", "Africa/Casablanca", "Africa/Cairo", "Africa/Monrovia",
    "Asia/Tehran", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Ho_Chi_Minh", "Asia/Beirut", "Asia/Gaza",
    "Asia/Pyongyang", "Australia/Adelaide", "Australia/Lord_Howe", "Australia/Eucla", "Pacific/Apia",
    "Pacific/Chatham", "Pacific/Kiritimati",
)  # fmt: skip

SYSTEM = Path("/usr/share/zoneinfo")

#: Read from standard input: {zone: [seconds]}; written: {zone: ["2026-11-21"]}.
C_LIBRARY = """
import json, os, sys, time
found = {}
for zone, instants in json.load(sys.stdin).items():
    os.environ["TZ"] = zone
    time.tzset()
    found[zone] = [time.strftime("%Y-%m-%d", time.localtime(at)) for at in instants]
print(json.dumps(found))
"""


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()) * SECOND


#: Leap days, turns of the year, the last second of 32 bits; each is looked at from all around.
EDGES = (
    at(2024, 2, 29, 12), at(2028, 2, 29), at(2028, 3, 1), at(2100, 2, 28), at(2100, 3, 1), at(2000, 2, 29),
    at(2026, 12, 31, 23), at(2027, 1, 1), at(2038, 1, 19, 3, 14, 7), at(2038, 1, 19, 3, 14, 8),
)  # fmt: skip


def changes(zone: str, first: int, last: int) -> list[int]:
    """The quarter-hours at which clocks of a zone are set, found by looking at each."""
    rules = ZoneInfo(zone)
    quarters = range(at(first, 1, 1) // QUARTER, at(last + 1, 1, 1) // QUARTER, 96)

    def offset(quarter: int) -> object:
        return datetime.fromtimestamp(quarter * 900, rules).utcoffset()

    found = []
    for day in quarters:
        if offset(day) != offset(day + 96):
            found += [q for q in range(day, day + 96) if offset(q) != offset(q + 1)]
    return [(quarter + 1) * QUARTER for quarter in found]


def around(instant: int) -> list[int]:
    """The quarter-hours of a day and a half on both sides, and the seconds at its edge."""
    coarse = [instant // QUARTER * QUARTER + n * QUARTER for n in range(-144, 145, 8)]
    return [*coarse, instant - SECOND, instant, instant + SECOND]


def told_by_the_c_library(wanted: dict[str, list[int]]) -> dict[str, list[int]]:
    """Days since 1970, of microseconds."""
    if not SYSTEM.is_dir():
        impossible("the C library has no time zones here: install tzdata")
    asked = {zone: [instant // SECOND for instant in instants] for zone, instants in wanted.items()}
    done = subprocess.run(
        [sys.executable, "-c", C_LIBRARY],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        zone: [workspaces.from_date(datetime.fromisoformat(day).date()) for day in days]
        for zone, days in json.loads(done.stdout).items()
    }


@pytest.mark.skipif(engines.POSTGRESQL, reason="no database is asked")
def test_every_instant_falls_on_the_day_that_the_c_library_says() -> None:
    years = (2023, 2039)
    wanted = {zone: [i for edge in (*EDGES, *changes(zone, *years)) for i in around(edge)] for zone in ZONES}
    expected = told_by_the_c_library(wanted)
    for zone, instants in wanted.items():
        assert [local_day(zone, instant) for instant in instants] == expected[zone], zone
        clock = dates.clock(zone, min(expected[zone]) - 1, max(expected[zone]) + 1)
        assert clock.days(np.array(instants, dtype=np.int64)).tolist() == expected[zone], zone
    assert sum(map(len, wanted.values())) > 30_000


def test_rollups_and_reports_count_each_event_on_its_local_day(tmp_path: Path) -> None:
    house = House.build(tmp_path)
    with db.begin(house.engine) as connection:
        ids = {
            zone: workspaces.add_workspace(connection, f"w{number}", now=NOON, timezone=zone)
            for number, zone in enumerate(ZONES)
        }
    wanted = {
        zone: [
            e + n * 7 * HOUR // 4 for e in (*EDGES[:3], *changes(zone, 2025, 2026)[:4]) for n in range(-9, 10)
        ]
        for zone in ZONES
    }
    events = [
        event("impression", at=instant, workspace=ids[zone], id=f"{zone}{number}")
        for zone, instants in wanted.items()
        for number, instant in enumerate(instants)
    ]
    for start in range(0, len(events), 2000):
        house.send(*events[start : start + 2000])
    expected = told_by_the_c_library(wanted)
    kept: dict[int, Counter[int]] = {}
    for row in house.rows(tables.traffic_days):
        kept.setdefault(row.workspace, Counter())[row.day] += row.impressions
    for number, zone in enumerate(ZONES):
        assert kept[ids[zone]] == Counter(expected[zone]), zone
        # Asked by the clock of another zone, whose days are added up from quarter-hours.
        elsewhere = ZONES[(number + 7) % len(ZONES)]
        by_other = told_by_the_c_library({elsewhere: wanted[zone]})[elsewhere] if number % 8 == 0 else []
        if by_other:
            assert _reported(house, ids[zone], elsewhere) == Counter(by_other), (zone, elsewhere)
    if engines.POSTGRESQL:
        _told_by_the_server(house, wanted, expected)


def _reported(house: House, workspace: int, zone: str) -> Counter[int]:
    """Impressions by local day, as a report in `zone` says."""
    asked = {
        "metrics": ["impressions"], "dimensions": ["time:day"], "timezone": zone,
        "date_range": ["2024-02-01", "2028-12-31"], "limit": 10_000,
    }  # fmt: skip
    with db.reading(house.engine) as connection:
        of = run.house(connection, workspace)
        answer = run.answer(
            connection, of, query.parse(asked, run.context(connection, of, now=NOON, everything=False))
        )
    (labels,) = answer.labels
    counts = (np.asarray(answer.columns[0].values, dtype=np.int64) // 1_000_000).tolist()
    days = [workspaces.from_date(datetime.fromisoformat(label).date()) for label in labels]
    return Counter({day: n for day, n in zip(days, counts, strict=True) if n})


def _told_by_the_server(house: House, wanted: dict[str, list[int]], expected: dict[str, list[int]]) -> None:
    """PostgreSQL has its own copy of the zones."""
    with db.reading(house.engine) as connection:
        for zone, instants in wanted.items():
            shown = func.timezone(
                literal(zone), func.to_timestamp(func.unnest([i // SECOND for i in instants]))
            )
            days = connection.scalars(select(func.extract("epoch", func.date_trunc("day", shown)))).all()
            assert [int(day) * SECOND // DAY for day in days] == expected[zone], zone
