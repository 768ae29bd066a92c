"""Whether a source that is quiet has fallen silent, by its own rhythm. Pure.

Two rules; whichever comes first tells when it is silent:

    by the clock   in the hours since, at least USUAL events came on each of the days before (at least LEAST
                   days, at most LATELY), at the same hours of the day. A busy site is noticed within hours,
                   and never for its nights.
    by its pauses  it is quiet for longer than MARGIN times its longest pause between its last LATELY days
                   with events. A newsletter of every Monday may be quiet for ten days.

Before LEAST days with events nothing is known of its rhythm; after four weeks and PATIENCE times what it may
be quiet, it has ended. Hours and days are UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from typing import Literal

from app.model import DAY, HOUR, SECOND

State = Literal["active", "silent", "new", "ended"]

USUAL = 5  # events on each day before, in hours that are empty today
LEAST, LATELY = 7, 28  # days
MARGIN = 1.5
PATIENCE = 3
ENDED = 28 * DAY


@dataclass(frozen=True, slots=True)
class History:
    """What came from a source: its UTC days with events, in order, and the counts of its hours, lately."""

    days: Sequence[int]
    hours: Mapping[int, int]

    @property
    def last_hour(self) -> int:
        """The last hour in which something came; of a day whose hours are forgotten, its last."""
        latest = max(self.hours, default=0)
        return latest if latest // 24 == self.days[-1] else self.days[-1] * 24 + 23


@dataclass(frozen=True, slots=True)
class Verdict:
    """`silent_at`: from when on it is silent if nothing comes (us); None: nothing is known of its rhythm."""

    state: State
    silent_at: int | None
    because: str


def verdict(history: History, now: int) -> Verdict:
    """How a source stands at `now` (us); `because` says it in a sentence."""
    end = (history.last_hour + 1) * HOUR
    if len(history.days) < LEAST:
        if now - end >= ENDED:
            return Verdict("ended", None, f"Nothing came for {_long(now - end)}.")
        return Verdict(
            "new", None, f"It has had events on fewer than {LEAST} days: its rhythm is not known yet."
        )
    pause = _longest_pause(history.days[-LATELY:])
    allowed = round(MARGIN * pause * DAY)
    count = min(len(history.days), LATELY)
    silent_at = end + allowed
    because = (
        f"The longest pause between its last {count} days with events was {_days(pause)}: "
        f"it is silent after {MARGIN} times as much."
    )
    hours, days = _by_the_clock(history)
    if hours and end + hours * HOUR < silent_at:
        silent_at = end + hours * HOUR
        because = (
            f"On each of the {days} days before its last event, at least {USUAL} events came between "
            f"{_clock(end)} and {_clock(silent_at)} UTC."
        )
    if now < silent_at:
        return Verdict("active", silent_at, because)
    if now - end >= max(ENDED, PATIENCE * allowed):
        return Verdict("ended", silent_at, f"Nothing came for {_long(now - end)}.")
    return Verdict("silent", silent_at, f"Nothing came for {_long(now - end)}. {because}")


def _longest_pause(days: Sequence[int]) -> int:
    return max((later - earlier for earlier, later in pairwise(days)), default=1)


def _by_the_clock(history: History) -> tuple[int, int]:
    """(hours, days): after so many hours of quiet it is unlike all of so many days before; 0 hours: never."""
    last = history.last_hour
    days = min(LATELY, (last - (history.days[0] * 24 + 23)) // 24)
    if days < LEAST:
        return 0, days
    # Of each day before, what had come by the end of the first hour after, the second, ...
    running = [
        list(accumulate(history.hours.get(last - 24 * back + hour, 0) for hour in range(1, 25)))
        for back in range(1, days + 1)
    ]
    for hour in range(24):
        if min(came[hour] for came in running) >= USUAL:
            return hour + 1, days
    return 0, days


def _clock(at: int) -> str:
    return datetime.fromtimestamp(at / SECOND, UTC).strftime("%H:%M")


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _long(time: int) -> str:
    hours = time // HOUR
    return f"{hours} hour{'s'[: hours != 1]}" if time < 3 * DAY else f"{time // DAY} days"
