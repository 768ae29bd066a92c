"""Clicks that did not pass our redirect, told by the visits they led to.

Of all landings with one key the earliest makes the click, unless a redirect click of that visitor to
that campaign in the same UTC half-hour explains it. The rule is applied to all candidates each time one
comes or is explained, so the order of arrival cannot matter.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.model import HALF_HOUR, number


@dataclass(frozen=True, slots=True, order=True)
class Landing:
    """A visit that came from a click; ordered by what makes it stand."""

    occurred_at: int
    no: int  # of the visit
    visitor: int
    campaign_id: int


@dataclass(frozen=True, slots=True)
class RedirectClick:
    visitor: int
    campaign_id: int
    occurred_at: int

    @property
    def bucket(self) -> tuple[int, int, int]:
        return (self.visitor, self.campaign_id, self.occurred_at // HALF_HOUR)


def standing(landings: Iterable[Landing], explained: set[tuple[int, int, int]]) -> Landing | None:
    """The landing that makes the click: the earliest that no redirect click explains."""
    free = (
        landing
        for landing in landings
        if not landing.visitor
        or (landing.visitor, landing.campaign_id, landing.occurred_at // HALF_HOUR) not in explained
    )
    return min(free, default=None)


def click_number(key: int) -> int:
    """The number of the click that stands for a key: the same, whichever landing makes it."""
    return number("landing", key)


def changes(
    candidates: Mapping[int, Iterable[Landing]],
    explained: set[tuple[int, int, int]],
    present: Mapping[int, int],
) -> tuple[list[tuple[int, int]], list[tuple[int, Landing]]]:
    """What to take away [(key, occurred_at)] and what to record [(key, landing)].

    `present` tells, by key, the time of the click that stands now.
    """
    gone: list[tuple[int, int]] = []
    made: list[tuple[int, Landing]] = []
    for key, landings in candidates.items():
        best = standing(landings, explained)
        if key in present and (best is None or best.occurred_at != present[key]):
            gone.append((key, present[key]))
        if best is not None and present.get(key) != best.occurred_at:
            made.append((key, best))
    return gone, made
