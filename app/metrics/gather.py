"""A report's facts in one grid of cells: every family's frames read, joined on their keys, priced.

A cell is as fine as cost needs it (a campaign-day) and never coarser than a row of the answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.metrics import billing, cost, prices, raw, results, scopes, store
from app.metrics.catalogue import PARTS
from app.metrics.cost import Billed, Inputs, Measure, Missing
from app.metrics.frame import Frame, member, merged
from app.metrics.plan import RAW_CREDITS
from app.metrics.prices import Account
from app.metrics.store import Reader
from app.money import MICROS
from app.pricing.currencies import Rates
from app.pricing.exact import Flags, Ints, Rows, added, grouped, times, total, zeros
from app.pricing.rules import Cells, Deal

COUNTED_BY_DEALS = ("impressions", "clicks", "clicks_billable")
MONEY_PARTS = frozenset(
    name for name, (family, unit) in PARTS.items() if (family, unit) == ("credits", "money")
)


@dataclass(frozen=True, slots=True)
class Prices:
    """What money is reckoned by in one report."""

    deals: Sequence[Deal]
    sources: Sequence[tuple[int, int, str]]
    accounts: Sequence[Account]
    rates: Rates
    newest_rate: int | None  # the day the newest of them was published
    currency: str
    reporting: str


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells and what each part measures in them."""

    keys: Mapping[str, Rows]
    size: int
    measures: Mapping[str, Measure]
    missing: Sequence[Missing]
    superseded: Mapping[str, int]


def grid(reader: Reader, money: Prices) -> Grid:
    """All parts of the plan that can be measured, by cell."""
    plan = reader.plan
    plain = {name.partition("@")[0] for name in plan.parts}
    traffic, credited = _traffic(reader, plain), _credits(reader, plain)
    spent = _spend(reader, money)
    billed = billing.billed(reader, money.deals)
    hourly = reader.query.grain == "time:hour"
    in_cells = {} if hourly else spent
    frames = [*traffic, *credited, *in_cells.values(), *(frame for frame, _ in billed)]
    keys, places, size = merged(frames, plan.keys)
    place = iter(places)
    measures: dict[str, Measure] = {}
    missing: list[Missing] = []
    counts = {name: zeros(size) for name in COUNTED_BY_DEALS}
    for frame in traffic:
        where = next(place)
        for name, values in frame.parts.items():
            counts[name] = grouped(values, where, size)
            measures[name] = measured(times(counts[name], MICROS))
    for frame in credited:
        found, lost = _credited(reader, money, frame, next(place), size)
        measures |= found
        missing += lost
    by_currency = {currency: (frame, next(place)) for currency, frame in in_cells.items()}
    if plan.answers("spend"):
        found, lost = _platform(by_currency, money, size)
        measures |= found
        missing += lost if not plan.answers("cost") else []
    superseded: Mapping[str, int] = {}
    if plan.answers("cost"):
        amounts = {
            name: grouped(one.parts["amount"], where, size) for name, (one, where) in by_currency.items()
        }
        priced = cost.price(
            _inputs(
                reader,
                money,
                keys,
                counts=counts,
                amounts=amounts,
                spent=list(spent.values()),
                billed=[replace(b, cell=next(place)) for _, b in billed],
                size=size,
            )
        )
        measures |= priced.measures
        missing += priced.missing
        superseded = priced.superseded
    measures |= scopes.scoped(reader, keys, measures, size)
    return Grid(keys, size, measures, missing, superseded)


def measured(values: Ints, *, blocked: Flags | None = None) -> Measure:
    """A part that is known in every cell, but where a rate is missing."""
    known = np.ones(len(values), dtype=bool)
    lacking = np.zeros(len(values), dtype=bool) if blocked is None else blocked
    return Measure(values, known, known, lacking)


# --- Traffic and results -----------------------------------------------------------------------------


def _traffic(reader: Reader, plain: set[str]) -> list[Frame]:
    names = {name for name in plain if PARTS[name][0] == "traffic"}
    if reader.plan.answers("cost"):
        names |= set(COUNTED_BY_DEALS)
    if not names or "traffic" in reader.plan.unknown:
        return []
    return [store.traffic(reader, sorted(names))]


def _credits(reader: Reader, plain: set[str]) -> list[Frame]:
    if not reader.plan.answers("credits"):
        return []
    names = {name for name in plain if PARTS[name][0] == "credits"}
    if names & MONEY_PARTS:
        names |= {"sales", "valued", "unrated"}
    if any(name.endswith("@goods") for name in reader.plan.parts):
        names |= {"goods", "with_goods", "revenue", "valued"}
    wanted = sorted(names)
    if reader.plan.credits != RAW_CREDITS:
        return [results.credits(reader, wanted)]
    keys = results.credit_keys(reader)
    return [raw.credits(reader, wanted, keys)]


def _credited(
    reader: Reader, money: Prices, frame: Frame, where: Rows, size: int
) -> tuple[dict[str, Measure], list[Missing]]:
    parts, unrated, missing = dict(frame.parts), frame.parts.get("unrated"), []
    lacking = np.zeros(frame.size, dtype=bool) if unrated is None else np.asarray(unrated != 0, dtype=bool)
    if reader.native and "currency" not in reader.plan.keys:
        lacking = np.zeros(frame.size, dtype=bool)
        for name in sorted(MONEY_PARTS & set(parts)):
            amounts = _by_currency(reader, frame, parts[name])
            parts[name], lost, unconverted = cost.converted(
                amounts, frame.keys["day"], money.rates, money.currency
            )
            lacking |= lost
            missing += unconverted if name == "revenue" else []
    elif reader.native:
        lacking = np.zeros(frame.size, dtype=bool)
    elif lacking.any():
        missing = _unrated(reader)
    blocked = grouped(lacking.astype(np.int64), where, size) > 0
    return {
        name: measured(grouped(values, where, size), blocked=blocked if name in MONEY_PARTS else None)
        for name, values in parts.items()
    }, missing


def _by_currency(reader: Reader, frame: Frame, values: Ints) -> dict[str, Ints]:
    codes = frame.keys["currency"]
    names = reader.names.texts.get("currency", [])
    return {
        name: np.where(codes == code, values, 0)
        for code, name in enumerate(names)
        if name and (codes == code).any()
    }


def _unrated(reader: Reader) -> list[Missing]:
    """Which money had no rate when its conversion was rated, in the currency it came in."""
    native = replace(reader, native=True)
    wanted = ("revenue", "unrated")
    if reader.plan.credits == RAW_CREDITS:
        found = raw.credits(native, wanted, ("currency",))
    else:
        found = results.credits(
            replace(native, plan=replace(reader.plan, keys=("currency", "rated"))), wanted
        )
    rows = np.asarray(found.parts["unrated"] != 0, dtype=bool)
    amounts, counts = (np.where(rows, found.parts[name], 0) for name in wanted)
    by_amount, by_result = _by_currency(reader, found, amounts), _by_currency(reader, found, counts)
    return [
        Missing(name, total(column), -(-total(by_result[name]) // MICROS))
        for name, column in sorted(by_amount.items())
        if by_result[name].any()
    ]


# --- Spend and billed results ------------------------------------------------------------------------


def _spend(reader: Reader, money: Prices) -> dict[str, Frame]:
    if not (reader.plan.answers("spend") or reader.plan.answers("cost")):
        return {}
    currencies = sorted({account.currency for account in money.accounts})
    return {
        currency: prices.spend(
            reader, [one for one in money.accounts if one.currency == currency], reader.plan.keys
        )
        for currency in currencies
    }


def _platform(
    spent: Mapping[str, tuple[Frame, Rows]], money: Prices, size: int
) -> tuple[dict[str, Measure], list[Missing]]:
    """What the platforms report, known where a spend row carries it."""
    sums = {name: zeros(size) for name in ("platform_impressions", "platform_clicks", "reported", "clicked")}
    paid, lacking, missing = zeros(size), np.zeros(size, dtype=bool), []
    for currency, (frame, where) in spent.items():
        for name in sums:
            sums[name] = added(sums[name], grouped(frame.parts[name], where, size))
        amount, unrated, lost = cost.converted(
            {currency: frame.parts["amount"]}, frame.keys["day"], money.rates, money.currency
        )
        paid = added(paid, grouped(amount, where, size))
        lacking[where[unrated]] = True
        missing += lost
    seen, clicked = (np.asarray(sums[name] > 0, dtype=bool) for name in ("reported", "clicked"))
    shown = {
        "platform_impressions": (times(sums["platform_impressions"], MICROS), seen),
        "platform_clicks": (times(sums["platform_clicks"], MICROS), clicked),
        "platform_cost": (paid, clicked),
    }
    reason = "platform_figures_missing"
    return {
        name: Measure(values, known, known, lacking & (name == "platform_cost"), {reason: ~known})
        for name, (values, known) in shown.items()
    }, missing


def _inputs(
    reader: Reader,
    money: Prices,
    keys: Mapping[str, Rows],
    *,
    counts: Mapping[str, Ints],
    amounts: Mapping[str, Ints],
    spent: Sequence[Frame],
    billed: Sequence[Billed],
    size: int,
) -> Inputs:
    nothing = zeros(size)
    finer = [key for key in ("ad", "partner", "channel") if key in keys]
    filtered = {condition.dimension.key for condition in reader.conditions}
    hourly = reader.query.grain == "time:hour"

    def has_spend(*columns: str) -> Flags:
        if not spent or not size:
            return np.zeros(size, dtype=bool)
        others = [np.concatenate([frame.keys[name] for frame in spent]) for name in columns]
        return member([keys[name] for name in columns], others)

    day = "day" if reader.plan.house or hourly or "time" not in keys else "time"
    return Inputs(
        cells=Cells(
            keys["day"], keys["campaign"], keys.get("ad", nothing), keys.get("partner", nothing), nothing
        ),
        impressions=counts["impressions"],
        clicks=counts["clicks"],
        billable=counts["clicks_billable"],
        spend=amounts,
        spent=has_spend(day, "campaign", *finer),
        spent_day=has_spend(day, "campaign"),
        spends=has_spend("campaign"),
        billed=billed,
        deals=money.deals,
        sources=money.sources,
        rates=money.rates,
        currency=money.currency,
        reporting=money.reporting,
        hourly=hourly,
        unsplit=finer[0] if finer else "",
        narrowed=bool(filtered & {"ad", "partner", "channel"}),
        status=reader.query.status,
    )
