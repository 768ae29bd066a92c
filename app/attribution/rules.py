"""Which touches may earn, and why the others may not: the rules of eligibility, on whole batches.

A rejected touch has exactly one code (REJECTIONS, in the order in which the rules ask). Pure: no SQL, no
clock; what is true of a batch is true of each conversion in it, however batches are cut.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from app.attribution.journeys import (
    CLICK,
    KIND_COUNT,
    PRIORITY,
    VISIT,
    Asks,
    Bits,
    Ints,
    Journeys,
    Pairs,
    Touches,
    anywhere,
    first_of,
    last_of,
    merged,
    spread,
    taken,
)
from app.model import REASONS

#: Why a touch earns nothing, in the order in which the rules ask; 0: it is kept.
REJECTIONS: dict[str, int] = {
    "other_person": 1,  # on a shared device, while somebody else used it
    "flagged": 2,  # bot, duplicate, prefetched, voided, a test, never viewable, or caused by a click
    "after_conversion": 3,
    "outside_window": 4,
    "capped": 5,  # CAP or more touches of its kind are later
    "spent": 6,  # an earlier conversion used it up (reset_after_conversion, first_conversion_only)
    "direct": 7,
    "lower_tier": 8,
    "collapsed": 9,
}
REJECTION_NAMES = {code: name for name, code in REJECTIONS.items()}

#: At most so many latest touches of each kind take part in one journey.
CAP = 500

Windows = Mapping[int, int]  # kind -> microseconds
Winner = Callable[[Pairs, Touches, Bits, Bits], Bits]

#: The workspace's `billing_model`: of (pairs, their touches, kept, billable) the one winner of each
#: conversion. Clicks are judged by the billing window alone, so neither tiers nor the click window of
#: reports can change what is owed; "touch" is one that the rules kept, in the billing window as well.
BILLING: dict[str, Winner] = {
    "last_click": lambda pairs, t, kept, billable: last_of(pairs.ask, billable & (t.kind == CLICK)),
    "first_click": lambda pairs, t, kept, billable: first_of(pairs.ask, billable & (t.kind == CLICK)),
    "last_touch": lambda pairs, t, kept, billable: last_of(pairs.ask, billable & kept),
    "first_touch": lambda pairs, t, kept, billable: first_of(pairs.ask, billable & kept),
}


@dataclass(frozen=True)
class Rules:
    """A workspace's rules of eligibility. A window is the campaign's, else the goal's, else the kind's."""

    windows: Windows
    goal_windows: Mapping[int, Windows]
    campaign_windows: Mapping[int, Windows]
    billing_window: int
    billing: str = "last_click"
    tier_rule: str = "click_over_view"  # click_over_view, all_kinds
    direct: str = "last_resort"  # last_resort, count, exclude
    collapse: bool = False
    cap: int = CAP

    @cached_property
    def longest(self) -> int:
        """No touch older than this can matter to any conversion: how far back a change reaches."""
        tables = (self.windows, *self.goal_windows.values(), *self.campaign_windows.values())
        return max(self.billing_window, *(window for table in tables for window in table.values()))

    @cached_property
    def furthest(self) -> dict[int, int]:
        """Per kind, how far back a touch can earn from any conversion at all."""
        goals = (0, *self.goal_windows)
        return {kind: max(self.reach(kind, goal) for goal in goals) for kind in PRIORITY}

    def reach(self, kind: int, goal: int) -> int:
        """The longest window a touch of `kind` can have before a conversion of `goal`."""
        own = self.goal_windows.get(goal, {}).get(kind, self.windows[kind])
        campaigns = (windows.get(kind, 0) for windows in self.campaign_windows.values())
        return max(own, *campaigns, self.billing_window if kind == CLICK else 0)

    def reaches(self, kind: Ints, goal: Ints) -> Ints:
        """`reach` of each (kind, goal); 0 for kinds that never earn."""
        table = {goal_id: self._reach_row(goal_id) for goal_id in np.unique(goal).tolist()}
        found = np.zeros(len(kind), dtype=np.int64)
        for goal_id, row in table.items():
            which = goal == goal_id
            found[which] = row[kind[which]]
        return found

    def _reach_row(self, goal: int) -> Ints:
        return np.array([self.reach(k, goal) if k in PRIORITY else 0 for k in range(KIND_COUNT)])

    def window(self, kind: Ints, goal: Ints, campaign: Ints) -> Ints:
        """The window of each pair of a touch and a conversion."""
        found = np.array([self.windows.get(k, 0) for k in range(KIND_COUNT)])[kind]
        for own, tables in ((goal, self.goal_windows), (campaign, self.campaign_windows)):
            for id_, windows in tables.items():
                for k, window in windows.items():
                    found[(own == id_) & (kind == k)] = window
        return found


@dataclass(frozen=True, slots=True)
class Verdict:
    """One code (REJECTIONS; 0: kept) for each pair, and the pairs by which money is owed."""

    code: Ints
    billed: Bits


def candidates(asks: Asks, journeys: Journeys, rules: Rules) -> Pairs:
    """The pairs that can matter: of each kind the `rules.cap` latest valid touches in reach, and signed ones.

    `journeys` are in order. The cap is found by binary searches per conversion and kind, before anything
    is multiplied out: a thousand conversions of one person with 10^5 touches never meet them all.
    """
    found = [_in_reach(kind, asks, journeys, rules) for kind in PRIORITY]
    ask = np.concatenate([journeys.bearer, *(a for a, _ in found)])
    touch = np.concatenate([journeys.signed, *(t for _, t in found)])
    signed = np.arange(len(ask)) < len(journeys.bearer)
    return merged(ask, touch, signed=signed, touches=len(journeys.touches.at))


def _in_reach(kind: int, asks: Asks, journeys: Journeys, rules: Rules) -> tuple[Ints, Ints]:
    reach = rules.reaches(np.full(len(asks.at), kind), asks.goal)
    keys, low, high = _ranges(kind, asks, journeys, reach)
    low = np.maximum(low, high - rules.cap)
    ask, position = spread(low, high - low)
    return ask, keys[position] % (len(journeys.touches.at) + 1)


def _ranges(kind: int, asks: Asks, journeys: Journeys, reach: Ints) -> tuple[Ints, Ints, Ints]:
    """(person, rank) of all valid touches of a kind as sorted keys, and each conversion's range in them."""
    touches, total = journeys.touches, len(journeys.touches.at) + 1
    usable = (touches.kind[journeys.held] == kind) & (touches.flags[journeys.held] == 0)
    keys = np.sort(journeys.holder[usable] * total + journeys.held[usable])
    first = np.searchsorted(touches.at, asks.at - reach, side="right")  # half-open: (t - W, t]
    after = np.maximum(np.searchsorted(touches.at, asks.at, side="right"), first)
    low = np.searchsorted(keys, asks.person * total + first)
    high = np.searchsorted(keys, asks.person * total + after)
    return keys, low, high


def near(asks: Asks, journeys: Journeys, rules: Rules) -> Bits:
    """Per conversion: did its person have any valid touch within the longest window of all?"""
    found = np.zeros(len(asks.at), dtype=np.bool_)
    longest = np.full(len(asks.at), rules.longest)
    for kind in PRIORITY:
        _, low, high = _ranges(kind, asks, journeys, longest)
        found |= high > low
    touches, signed = journeys.touches, journeys.signed
    age = asks.at[journeys.bearer] - touches.at[signed]
    usable = (touches.flags[signed] == 0) & (age >= 0) & (age < rules.longest)
    return found | anywhere(journeys.bearer, usable, len(asks.at))


def judge(pairs: Pairs, asks: Asks, touches: Touches, rules: Rules) -> Verdict:
    """What the rules say of each pair. Pairs beyond those of `candidates` change no verdict on these."""
    t = taken(touches, pairs.touch)
    at, goal = asks.at[pairs.ask], asks.goal[pairs.ask]
    age = at - t.at
    code = np.zeros(len(age), dtype=np.int64)

    def reject(name: str, which: Bits) -> None:
        code[(code == 0) & which] = REJECTIONS[name]

    reject("other_person", ~pairs.held & ~pairs.signed)
    reject("flagged", t.flags != 0)
    reject("after_conversion", age < 0)
    over = _over(pairs, t, (code == 0) & pairs.held & (age < rules.reaches(t.kind, goal)), rules.cap)
    spent = t.at <= asks.spent[pairs.ask]
    billable = (code == 0) & ~over & ~spent & (age < rules.billing_window)
    reject("outside_window", age >= rules.window(t.kind, goal, t.campaign))
    reject("capped", over)
    reject("spent", spent)
    if rules.direct != "count":
        direct = (t.direct != 0) & (t.kind == VISIT)
        others = anywhere(pairs.ask, (code == 0) & ~direct, len(asks.at))
        reject("direct", direct if rules.direct == "exclude" else direct & others[pairs.ask])
    if rules.tier_rule == "click_over_view":
        reject("lower_tier", t.priority < _tops(pairs.ask, t.priority, code == 0, len(asks.at))[pairs.ask])
    if rules.collapse:
        reject("collapsed", _followed(pairs.ask, t.campaign, code == 0))
    return Verdict(code, BILLING[rules.billing](pairs, t, code == 0, billable))


def _over(pairs: Pairs, t: Touches, counted: Bits, cap: int) -> Bits:
    """Pairs with `cap` or more later counted ones of their conversion and kind. A signed one is never."""
    over = np.zeros(len(counted), dtype=np.bool_)
    index = np.flatnonzero(counted)[::-1]
    if len(index) <= cap:
        return over
    group = pairs.ask[index] * KIND_COUNT + t.kind[index]
    order = np.argsort(group, kind="stable")
    _, sizes = np.unique(group, return_counts=True)
    _, later = spread(np.zeros(len(sizes), dtype=np.int64), sizes)
    over[index[order[later >= cap]]] = True
    return over & ~pairs.signed


def _tops(ask: Ints, priority: Ints, kept: Bits, asks: int) -> Ints:
    """Per conversion, the highest priority that is kept."""
    top = np.zeros(asks, dtype=np.int64)
    for rank in sorted(PRIORITY.values()):
        top[ask[kept & (priority == rank)]] = rank
    return top


def _followed(ask: Ints, campaign: Ints, kept: Bits) -> Bits:
    """Kept pairs whose next kept one is of the same conversion and campaign. (No campaign) is not one."""
    index = np.flatnonzero(kept)
    followed = np.zeros(len(kept), dtype=np.bool_)
    here, after = index[:-1], index[1:]
    same = (ask[here] == ask[after]) & (campaign[here] == campaign[after]) & (campaign[here] != 0)
    followed[here[same]] = True
    return followed


def reasons(pairs: Pairs, verdict: Verdict, asks: int, *, denied: Bits, nameless: Bits, near: Bits) -> Ints:
    """Per conversion, what its unattributed row says (model.REASONS), should it have one.

    `denied`: consent was; `nameless`: no identifier and no click id; `near`: see there.
    """
    found = np.where(near, REASONS["outside_window"], REASONS["no_touch"])
    found[anywhere(pairs.ask, verdict.code == REJECTIONS["spent"], asks)] = REASONS["not_eligible"]
    found[anywhere(pairs.ask, verdict.code == REJECTIONS["direct"], asks)] = REASONS["direct"]
    kept = anywhere(pairs.ask, verdict.code == 0, asks)
    found[~kept & nameless] = REASONS["no_identifier"]
    found[~kept & denied] = REASONS["consent_denied"]
    found[kept] = REASONS["not_eligible"]  # something is kept, but nothing by which money is owed
    return found
