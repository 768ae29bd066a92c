"""From reports to conversions: pure folds, so the order of arrival can never matter.

A conversion is folded from all its sightings (reports of the same lead or sale by any door) and all its
adjustments (refunds and state changes, before or after it). `bookings` says what the rollups hold of it.
Nothing here reads the clock or a database.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import TypeVar

from app.model import DOORS, KINDS, SETBACKS, STATES, TEST, TRUST
from app.money import LARGEST, converted

T = TypeVar("T")

APPROVED = STATES["approved"]
PENDING = STATES["pending"]
REFUND = KINDS["refund"]
SALE = KINDS["sale"]
RANK = {DOORS[door]: rank for door, rank in TRUST.items()}
BROWSER = 4  # the rank of doors that anybody can knock on


@dataclass(frozen=True, slots=True)
class Sighting:
    """One report of a lead or sale; fields as in tables.sightings."""

    no: int
    kind: int
    goal_id: int
    door: int
    occurred_at: int
    received_at: int
    event_id: str = ""
    order_id: str = ""
    store: str = ""
    value: int | None = None
    currency: str = ""
    tax: int | None = None
    shipping: int | None = None
    cost_of_goods: int | None = None
    payout: int | None = None
    status: str = ""
    flags: int = 0
    new_customer: int | None = None
    visitor: int = 0
    country: int = 0
    device: int = 0
    consent_denied: int = 0
    lead_id: str = ""
    nodes: tuple[int, ...] = ()
    clicks: tuple[tuple[int, int, int, int, int], ...] = ()  # no, occurred_at, campaign, ad, partner

    @property
    def order(self) -> tuple[int, int, int]:
        """Trust first, then time, then id: never arrival."""
        return (RANK.get(self.door, BROWSER), self.occurred_at, self.no)


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A refund or a change of state; fields as in tables.adjustments."""

    no: int
    kind: int
    occurred_at: int
    value: int | None = None
    currency: str = ""
    status: str = ""
    event_id: str = ""


@dataclass(frozen=True, slots=True)
class Conversion:
    """One lead or sale as it stands; fields as in tables.conversions, `history` apart."""

    id: int
    kind: int
    goal_id: int
    occurred_at: int
    no: int
    received_at: int
    state: int
    verified: int
    labels: tuple[int, ...] = ()
    order_id: str = ""
    store: str = ""
    value: int | None = None
    currency: str = ""
    tax: int | None = None
    shipping: int | None = None
    cost_of_goods: int | None = None
    payout: int | None = None
    rate: Fraction | None = None  # reporting units for one unit of `currency`; None: not known
    setbacks: int = 0
    refunded: int = 0
    adjusted: int = 0
    visitor: int = 0
    new_customer: int | None = None
    country: int = 0
    device: int = 0
    consent_denied: int = 0
    lead_id: str = ""
    nodes: tuple[int, ...] = ()
    clicks: tuple[tuple[int, int, int, int, int], ...] = ()
    issues: tuple[str, ...] = ()
    initial_state: int = APPROVED
    frozen: int = 0


@dataclass(frozen=True, slots=True)
class Booking:
    """One signed line of what the rollups hold; fields as in tables.bookings after `ordinal`."""

    basis: int
    sign: int
    day: int
    at: int
    cause: str
    kind: int
    goal_id: int
    state: int
    currency: str
    rated: int
    net_count: int
    valued: int
    new_customer: int
    with_cogs: int
    gross: int
    net: int
    cogs: int
    reported_gross: int
    reported_net: int
    reported_cogs: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a conversion stood from `at` on: its state and what is left of its value."""

    at: int
    cause: str
    state: int
    net: int
    whole: bool  # not refunded in full


def fold(
    id_: int, sightings: Sequence[Sighting], adjustments: Sequence[Adjustment], *, trust_browser: bool
) -> Conversion:
    """The conversion that `sightings` (at least one) and `adjustments` add up to, without its rate.

    Who is believed: server > postback > import > browser, then the earlier, then the smaller id. A field
    that the believed report leaves out comes from the next one that has it; money only from doors that
    need a secret, once one of them reported.
    """
    ranked = sorted(sightings, key=lambda s: s.order)
    first = ranked[0]
    verified = first.order[0] < BROWSER
    # Whoever holds a page's key could otherwise price a sale that a server vouched for without an amount.
    believed = [s for s in ranked if s.order[0] < BROWSER] if verified else ranked
    priced = next((s for s in believed if s.value is not None), None)
    issues = {
        "value_conflict"
        for s in ranked
        if priced and s.value is not None and (s.value, s.currency) != (priced.value, priced.currency)
    }
    conversion = Conversion(
        id=id_,
        kind=first.kind,
        goal_id=first.goal_id,
        occurred_at=first.occurred_at,
        no=first.no,
        received_at=min(s.received_at for s in ranked),
        state=APPROVED,
        verified=int(verified),
        labels=tuple(sorted({s.goal_id for s in ranked} - {first.goal_id})),
        order_id=first.order_id,
        store=first.store,
        value=priced.value if priced else None,
        currency=priced.currency if priced else "",
        tax=_first(s.tax for s in believed),
        shipping=_first(s.shipping for s in believed),
        cost_of_goods=_first(s.cost_of_goods for s in believed),
        payout=_first(s.payout for s in believed),
        setbacks=_setbacks(ranked, verified=verified),
        adjusted=len(adjustments),
        visitor=_first(s.visitor or None for s in ranked) or 0,
        new_customer=_first(s.new_customer for s in believed),
        country=_first(s.country or None for s in ranked) or 0,
        device=_first(s.device or None for s in ranked) or 0,
        consent_denied=max(s.consent_denied for s in ranked),
        lead_id=_first(s.lead_id or None for s in ranked) or "",
        nodes=tuple(sorted({n for s in ranked for n in s.nodes})),
        clicks=tuple(sorted({c for s in ranked for c in s.clicks})),
        initial_state=_initial_state(ranked, verified=verified, trust_browser=trust_browser),
    )
    standings, found = history(conversion, adjustments)
    last = standings[-1]
    return replace(
        conversion,
        state=last.state,
        refunded=(conversion.value or 0) - last.net,
        issues=tuple(sorted(issues | set(found))),
    )


def rated(conversion: Conversion, rate: Fraction | None) -> Conversion:
    """The conversion with its rate; without one, and saying so, when its amount would pass 64 bits there."""
    if rate is not None and any(
        converted(amount or 0, rate) > LARGEST for amount in (conversion.value, conversion.cost_of_goods)
    ):
        issues = tuple(sorted({*conversion.issues, "amount_out_of_range"}))
        return replace(conversion, rate=None, issues=issues)
    return replace(conversion, rate=rate)


def _first(values: Iterable[T | None]) -> T | None:
    return next((value for value in values if value is not None), None)


def _initial_state(ranked: Sequence[Sighting], *, verified: bool, trust_browser: bool) -> int:
    # A key that stands in a web page must not be able to mint payable sales (METRICS.md, "States").
    if not verified and ranked[0].kind == SALE and not trust_browser:
        return PENDING
    stated = next((s.status for s in ranked if s.status and s.order[0] < BROWSER), "")
    return STATES[stated] if stated else APPROVED


def _setbacks(ranked: Sequence[Sighting], *, verified: bool) -> int:
    found = 0
    # Nor make a verified sale disappear: that it was a test only those may say who verify it.
    if any(s.flags & TEST for s in ranked if not verified or s.order[0] < BROWSER):
        found |= SETBACKS["test"]
    if not verified and all(s.flags & ~TEST for s in ranked):
        found |= SETBACKS["bot"]
    return found


def history(
    conversion: Conversion, adjustments: Sequence[Adjustment]
) -> tuple[list[Standing], tuple[str, ...]]:
    """How the conversion stood after each adjustment, in the order of (occurred_at, no), and what was odd.

    An adjustment dated before its sale takes effect with the sale. Refunds beyond what is left are
    capped; a refund in another currency changes nothing. Both are reported as issues.
    """
    value = conversion.value or 0
    now = Standing(conversion.occurred_at, "made", conversion.initial_state, value, True)
    standings, issues = [now], set()
    for change in sorted(adjustments, key=lambda a: (a.occurred_at, a.no)):
        at = max(change.occurred_at, conversion.occurred_at)
        if change.kind == REFUND:
            if change.value is not None and change.currency not in ("", conversion.currency):
                issues.add("refund_currency")
                continue
            asked = now.net if change.value is None else change.value
            if asked > now.net:
                issues.add("refund_exceeds_value")
            left = max(0, now.net - asked)
            emptied = left == 0 and (change.value is None or value > 0)
            after = replace(now, at=at, cause="refund", net=left, whole=now.whole and not emptied)
        else:
            after = replace(now, at=at, cause="status", state=STATES[change.status])
        if (after.state, after.net, after.whole) != (now.state, now.net, now.whole):
            now = after
            standings.append(now)
    return standings, tuple(issues)


def bookings(
    conversion: Conversion, adjustments: Sequence[Adjustment], day_of: Callable[[int], int]
) -> list[Booking]:
    """What the rollups hold: one line as it stands, and corrections that date each change (basis 3).

    A conversion with a setback holds nothing.
    Basis 3 lines are (each change on its day) - (how it stands, on the conversion's day), so that basis
    1 + 3 is the booking view and a conversion that never changed costs one line.
    """
    if conversion.setbacks:
        return []
    standings, _ = history(conversion, adjustments)
    last = replace(standings[-1], at=conversion.occurred_at)
    lines = [_line(conversion, last, day_of, basis=1, sign=1, cause="made")]
    if len(standings) == 1:
        return lines

    def correct(standing: Standing, sign: int, at: int) -> None:
        moved = replace(standing, at=at)
        line = _line(conversion, moved, day_of, basis=3, sign=sign, cause=standing.cause)
        opposite = next(
            (
                i
                for i, other in enumerate(lines[1:], 1)
                if replace(other, sign=sign, cause=line.cause, at=line.at) == line and other.sign == -sign
            ),
            None,
        )
        if opposite is None:
            lines.append(line)
        else:
            del lines[opposite]

    correct(last, -1, conversion.occurred_at)
    correct(standings[0], 1, conversion.occurred_at)
    for before, after in pairwise(standings):
        correct(before, -1, after.at)
        correct(after, 1, after.at)
    return lines


def _line(
    conversion: Conversion,
    standing: Standing,
    day_of: Callable[[int], int],
    *,
    basis: int,
    sign: int,
    cause: str,
) -> Booking:
    rate = conversion.rate
    gross = conversion.value or 0
    cogs = conversion.cost_of_goods or 0
    valued = conversion.value is not None
    return Booking(
        basis=basis,
        sign=sign,
        day=day_of(standing.at),
        at=standing.at,
        cause=cause,
        kind=conversion.kind,
        goal_id=conversion.goal_id,
        state=standing.state,
        currency=conversion.currency,
        rated=int(rate is not None or not valued),
        net_count=int(standing.whole),
        valued=int(valued),
        new_customer=conversion.new_customer or 0,
        with_cogs=int(conversion.cost_of_goods is not None),
        gross=gross,
        net=standing.net,
        cogs=cogs,
        reported_gross=_at(gross, rate),
        reported_net=_at(standing.net, rate),
        reported_cogs=_at(cogs, rate),
    )


def _at(micros: int, rate: Fraction | None) -> int:
    # Without a rate nothing is reported; the line says so itself by not being `rated`.
    return 0 if rate is None else converted(micros, rate)
