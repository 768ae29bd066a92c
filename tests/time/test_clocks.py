"""What senders' clocks show, and what is made of it: an event's time is corrected or clamped, and says so.

When it was received is the server's word alone.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import tables
from app.collect import parse
from app.collect.fields import AHEAD, BEHIND
from app.collect.parse import Arrival
from app.model import DAY, HOUR, SECOND, Event, Rejected
from app.pipeline.rules import content_digest
from app.workspaces import Workspace, WorkspaceSettings
from tests.house import House

WORKSPACE = Workspace(
    id=1, slug="main", timezone="Europe/Oslo", reporting_currency="EUR", secret=b"s" * 32,
    settings=WorkspaceSettings(), goals={}, campaigns={}, partners={},
)  # fmt: skip
YEAR = 365 * DAY


def moment(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


#: Moments of the server: an ordinary one, a leap day, both nights on which Oslo's clocks are set, 2038.
NOWS = tuple(
    moment(text)
    for text in (
        "2026-11-21T10:00:00", "2028-02-29T23:59:59", "2026-03-29T01:00:00", "2026-10-25T01:00:00",
        "2038-01-19T03:14:07", "2038-01-19T03:14:08",
    )
)  # fmt: skip
#: What a visitor's clock adds to the truth.
SKEWS = (0, 30 * SECOND, -30 * SECOND, HOUR, -HOUR, DAY, -DAY, 10 * YEAR, -10 * YEAR)
UNITS = {"s": SECOND, "ms": 1000, "us": 1}


def told(said: object, *, now: int, sent_at: object = None, public: bool = True) -> Event | Rejected:
    arrival = Arrival(
        door="beacon" if public else "api", received_at=now, no=1, public=public, workspace=WORKSPACE,
        sent_at=sent_at,
    )  # fmt: skip
    return parse.event({"kind": "visit", "occurred_at": said}, arrival)


def event(said: object, **how: Any) -> Event:
    found = told(said, **how)
    assert isinstance(found, Event), found
    return found


def calendar(at: int) -> str:
    return datetime.fromtimestamp(at / SECOND, UTC).isoformat()


@pytest.mark.parametrize("now", NOWS, ids=calendar)
@pytest.mark.parametrize("skew", SKEWS, ids=lambda skew: f"{skew / HOUR:+.1f}h")
@pytest.mark.parametrize("units", [(a, b) for a in (*UNITS, "text") for b in (*UNITS, "text")], ids="-".join)
def test_a_clock_whose_error_is_told_is_corrected_to_a_minute(
    now: int, skew: int, units: tuple[str, str]
) -> None:
    happened, sent = now - 2 * HOUR, now - 2 * SECOND

    def shown(at: int, unit: str) -> object:
        return calendar(at + skew) if unit == "text" else (at + skew) // UNITS[unit]

    found = event(shown(happened, units[0]), now=now, sent_at=shown(sent, units[1]))
    assert found.received_at == now
    assert abs(found.occurred_at - happened) <= 60 * SECOND
    assert ("clock" in found.hints) == (abs(skew) > 60 * SECOND)


@pytest.mark.parametrize("now", NOWS, ids=calendar)
@pytest.mark.parametrize("skew", SKEWS, ids=lambda skew: f"{skew / HOUR:+.1f}h")
@pytest.mark.parametrize("unit", UNITS)
def test_a_clock_nobody_tells_of_is_believed_within_the_window_and_flagged_beyond(
    now: int, skew: int, unit: str
) -> None:
    stated = (now + skew) // UNITS[unit] * UNITS[unit]
    found = event(stated // UNITS[unit], now=now)
    inside = now - BEHIND <= stated <= now + AHEAD
    assert found.received_at == now
    assert found.occurred_at == (stated if inside else now)
    assert ("clock" in found.hints) == (not inside)


@pytest.mark.parametrize(
    "said", [0, "0", 0.5, "1970-01-01T00:00:00Z", -1, 10**17 - 1, 2**31, "2038-01-19T03:14:08Z"]
)
def test_clocks_that_were_never_set_are_clamped_and_flagged_and_a_server_is_told(said: object) -> None:
    now = NOWS[0]
    found = event(said, now=now)
    assert (found.received_at, found.occurred_at, "clock" in found.hints) == (now, now, True)
    refused = told(said, now=now, public=False)
    assert isinstance(refused, Rejected)
    assert refused.code in ("time_ahead", "time_behind")


@pytest.mark.parametrize(
    "said",
    [
        "2026-11-20T24:00:00Z", "2026-02-29T10:00:00Z", "2026-11-20T10:60:00Z", "2026-11-20T10:00:00",
        "2026-13-01T00:00:00Z", "soon", "NaN", 10**20, "2026-11-20T10:00:00+25:00",
    ],
)  # fmt: skip
def test_what_is_no_moment_costs_a_browser_nothing_and_a_server_its_event(said: object) -> None:
    now = NOWS[0]
    found = event(said, now=now)
    assert (found.received_at, found.occurred_at, found.stated_at, "clock" in found.hints) == (
        now,
        now,
        None,
        True,
    )
    refused = told(said, now=now, public=False)
    assert isinstance(refused, Rejected)
    assert refused.code == "time_invalid"


def test_the_leap_day_and_the_leap_second_are_moments() -> None:
    assert event("2028-02-29T10:00:00Z", now=moment("2028-03-01T00:00:00")).occurred_at == moment(
        "2028-02-29T10:00:00"
    )
    leap = event("2026-06-30T23:59:60Z", now=moment("2026-07-01T00:00:05"))
    assert leap.occurred_at == moment("2026-07-01T00:00:00")


def test_the_two_hours_of_one_name_stay_two() -> None:
    now = moment("2026-10-25T12:00:00")
    first, second = (event(f"2026-10-25T02:30:00+0{hours}:00", now=now) for hours in (2, 1))
    assert second.occurred_at - first.occurred_at == HOUR


values = st.one_of(
    st.integers(-(10**21), 10**21),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=30),
    st.datetimes().map(lambda at: at.isoformat() + "Z"),
    st.booleans(),
    st.lists(st.integers(), max_size=2),
)


@settings(deadline=None, max_examples=300)
@given(values, values, st.sampled_from(NOWS), st.integers(0, 3 * DAY))
def test_whatever_a_browser_says_it_is_stored_near_the_present_and_said_again_it_is_the_same(
    said: object, sent_at: object, now: int, later: int
) -> None:
    found = event(said, now=now, sent_at=sent_at)
    assert found.received_at == now
    assert now - BEHIND <= found.occurred_at <= now + AHEAD
    if said != "" and found.occurred_at != found.stated_at:
        assert "clock" in found.hints
    assert content_digest(event(said, now=now + later, sent_at=sent_at)) == content_digest(found)


def test_what_is_stored_says_both_times_and_the_flag(tmp_path: Path) -> None:
    house = House.build(tmp_path)
    wanted = {}
    for number, skew in enumerate(SKEWS):
        now = NOWS[number % len(NOWS)]
        found = event((now - HOUR + skew) // SECOND, now=now, sent_at=(now + skew) // SECOND)
        found = msgspec.structs.replace(found, no=number + 1, visitor_id=f"v{number}")
        wanted[number + 1] = (now, now - HOUR, abs(skew) > 60 * SECOND)
        house.send(found)
    for row in house.rows(tables.events):
        received, happened, flagged = wanted[row.no]
        assert row.received_at == received
        assert abs(row.occurred_at - happened) <= 60 * SECOND
        assert ("clock" in msgspec.json.decode(row.details or b"{}").get("hints", ())) == flagged
