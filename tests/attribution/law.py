"""The law of attribution in plain integers: one conversion at a time, no numpy, as short as it can be.

What the vectorised engine says must equal this bit for bit. Read beside the design: eligibility in its
order, the models' weights, exact allocation, the unattributed row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from app.model import HOUR, REASONS

IMPRESSION, CLICK, VISIT = 1, 2, 3
RANK = {IMPRESSION: 1, VISIT: 2, CLICK: 3}


@dataclass(frozen=True)
class Touch:
    no: int
    kind: int
    at: int
    flags: int = 0
    direct: int = 0
    campaign: int = 0
    held: bool = True  # by the conversion's person, at that time
    signed: bool = False  # its click id came with the conversion

    @property
    def order(self) -> tuple[int, int, int]:
        return (self.at, RANK[self.kind], self.no)


@dataclass(frozen=True)
class Conversion:
    at: int
    goal: int = 0
    spent: int = -(2**62)
    denied: bool = False
    nameless: bool = False


@dataclass(frozen=True)
class Law:
    """A workspace's settings; windows are microseconds by kind."""

    windows: dict[int, int]
    goal_windows: dict[int, dict[int, int]]
    campaign_windows: dict[int, dict[int, int]]
    billing_window: int
    billing: str = "last_click"
    tier_rule: str = "click_over_view"
    direct: str = "last_resort"
    collapse: bool = False
    shares: tuple[int, int, int] = (40, 20, 40)
    half_life: int = 168
    cap: int = 500

    def window(self, kind: int, goal: int, campaign: int) -> int:
        for own in (self.campaign_windows.get(campaign, {}), self.goal_windows.get(goal, {}), self.windows):
            if kind in own:
                return own[kind]
        raise KeyError(kind)

    def reach(self, kind: int, goal: int) -> int:
        """The longest window of a kind before a conversion of this goal, whatever the campaign."""
        windows = [self.window(kind, goal, campaign) for campaign in (0, *self.campaign_windows)]
        return max(windows + ([self.billing_window] if kind == CLICK else []))

    def longest(self) -> int:
        tables = (self.windows, *self.goal_windows.values(), *self.campaign_windows.values())
        return max(self.billing_window, *(window for table in tables for window in table.values()))


def reasons(conversion: Conversion, touches: Sequence[Touch], law: Law) -> dict[int, str]:
    """Why each touch (by `no`) is rejected; "" if it is kept."""
    found: dict[int, str] = {}
    left = sorted(touches, key=lambda t: t.order)

    def reject(name: str, which: list[Touch]) -> None:
        for touch in which:
            found[touch.no] = name
            left.remove(touch)

    def age(touch: Touch) -> int:
        return conversion.at - touch.at

    reject("other_person", [t for t in left if not (t.held or t.signed)])
    reject("flagged", [t for t in left if t.flags])
    reject("after_conversion", [t for t in left if age(t) < 0])
    over = capped(conversion, left, law)
    reject(
        "outside_window",
        [t for t in left if age(t) >= law.window(t.kind, conversion.goal, t.campaign)],
    )
    reject("capped", [t for t in left if t in over])
    reject("spent", [t for t in left if t.at <= conversion.spent])
    direct = [t for t in left if t.direct and t.kind == VISIT]
    if law.direct == "exclude" or (law.direct == "last_resort" and len(direct) < len(left)):
        reject("direct", direct)
    if law.tier_rule == "click_over_view":
        top = max((RANK[t.kind] for t in left), default=0)
        reject("lower_tier", [t for t in left if RANK[t.kind] < top])
    if law.collapse:
        followed = [a for a, b in pairwise(left) if a.campaign == b.campaign != 0]
        reject("collapsed", followed)
    return found | {t.no: "" for t in left}


def capped(conversion: Conversion, usable: Sequence[Touch], law: Law) -> list[Touch]:
    """Of each kind, all but the `cap` latest that the person holds in reach; a signed one never is."""
    over: list[Touch] = []
    for kind in RANK:
        reach = law.reach(kind, conversion.goal)
        own = [t for t in usable if t.kind == kind and t.held and conversion.at - t.at < reach]
        over += [t for t in own[: max(0, len(own) - law.cap)] if not t.signed]
    return over


def billed(conversion: Conversion, touches: Sequence[Touch], law: Law) -> Touch | None:
    """The one touch by which money is owed."""
    usable = [t for t in sorted(touches, key=lambda t: t.order) if t.held or t.signed]
    usable = [t for t in usable if not t.flags and t.at <= conversion.at]
    over = capped(conversion, usable, law)
    usable = [t for t in usable if t not in over and t.at > conversion.spent]
    usable = [t for t in usable if conversion.at - t.at < law.billing_window]
    if law.billing.endswith("click"):
        usable = [t for t in usable if t.kind == CLICK]
    else:
        why = reasons(conversion, touches, law)
        usable = [t for t in usable if why[t.no] == ""]
    if not usable:
        return None
    return usable[-1] if law.billing.startswith("last") else usable[0]


def weights(conversion: Conversion, path: Sequence[Touch], law: Law) -> dict[str, list[int]]:
    """Every model's weights of the kept touches, oldest first."""
    n = len(path)
    clicks = [i for i, t in enumerate(path) if t.kind == CLICK]
    winner = clicks[-1] if clicks else n - 1
    divisor = next(d for d in range(max(law.shares), 0, -1) if all(s % d == 0 for s in law.shares))
    first, middle, last = (share // divisor for share in law.shares)
    positions = [1] * n if n <= 2 else [first * (n - 2), *[middle] * (n - 2), last * (n - 2)]
    return {
        "first_touch": [int(i == 0) for i in range(n)],
        "last_touch": [int(i == n - 1) for i in range(n)],
        "last_click": [int(i == winner) for i in range(n)],
        "linear": [1] * n,
        "position_based": positions,
        "time_decay": [decay((conversion.at - t.at) // HOUR, law.half_life) for t in path],
    }


def decay(hours: int, half_life: int) -> int:
    """max(1, floor(2^20 * 2^(-hours / half_life))): the largest w with w^H * 2^hours <= 2^(20 H)."""
    low, high = 1, 2**20
    while low < high:
        middle = (low + high + 1) // 2
        if middle**half_life * 2**hours <= 2 ** (20 * half_life):
            low = middle
        else:
            high = middle - 1
    return low


def allocate(amount: int, parts: Sequence[int]) -> list[int]:
    """Each its floor; what is left one each to the largest fractions, ties to the later; the sign back."""
    exact = [Fraction(abs(amount) * w, sum(parts)) for w in parts]
    shares = [int(e) for e in exact]
    ranked = sorted(range(len(parts)), key=lambda i: (exact[i] - shares[i], i), reverse=True)
    for i in ranked[: abs(amount) - sum(shares)]:
        shares[i] += 1
    return [-s if amount < 0 else s for s in shares]


def unattributed(conversion: Conversion, touches: Sequence[Touch], law: Law) -> str:
    why = reasons(conversion, touches, law)
    if "" in why.values():
        return "not_eligible"
    if conversion.denied:
        return "consent_denied"
    if conversion.nameless:
        return "no_identifier"
    if "direct" in why.values():
        return "direct"
    if "spent" in why.values():
        return "not_eligible"
    valid = [t for t in touches if (t.held or t.signed) and not t.flags]
    near = [t for t in valid if 0 <= conversion.at - t.at < law.longest()]
    return "outside_window" if near else "no_touch"


def credits(conversion: Conversion, touches: Sequence[Touch], law: Law) -> list[tuple[int, ...]]:
    """(ordinal, no, reason, weights of all models) of every row of the conversion."""
    why = reasons(conversion, touches, law)
    path = [t for t in sorted(touches, key=lambda t: t.order) if why[t.no] == ""]
    owed = billed(conversion, touches, law)
    by_model = {
        model: dict(zip([t.no for t in path], found, strict=True))
        for model, found in weights(conversion, path, law).items()
    } | {"billing": {owed.no: 1} if owed else {}}
    rows = []
    if not path or owed is None:
        missing = [int(not found) for found in by_model.values()]
        rows.append((0, 0, REASONS[unattributed(conversion, touches, law)], *missing))
    earning = [t for t in sorted(touches, key=lambda t: t.order) if t in path or t == owed]
    for ordinal, touch in enumerate(earning, 1):
        found = [model.get(touch.no, 0) for model in by_model.values()]
        rows.append((ordinal, touch.no, 0, *found))
    return rows
