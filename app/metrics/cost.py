"""What the cells of a report cost: one media source for each campaign-day, results on top. Pure columns.

A cell's media cost comes from imported spend or from deals, never both (METRICS.md, "Cost"); result deals
are paid on the billing model's winner, so the model of a query cannot change a cost. What is not known is
not 0: `known` says which cells are, `why` what the others lack.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from app.model import STATES
from app.pricing import rules
from app.pricing.currencies import Rates
from app.pricing.exact import Flags, Ints, Rows, added, grouped, scaled, total, zeros
from app.pricing.rules import Cells, Deal

SPEND, DEALS = rules.SOURCES.index("spend"), rules.SOURCES.index("deals")


@dataclass(frozen=True, slots=True)
class Measure:
    """A part by cell. `whole` is `known` as totals see it: a campaign-day whose spend is not split by ad is
    unknown for each ad and known for their sum. `blocked` cells make a sum unknown, not just incomplete.
    """

    values: Ints
    known: Flags
    whole: Flags
    blocked: Flags
    why: Mapping[str, Flags] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Missing:
    """Money that no rate converts."""

    currency: str
    amount: int
    rows: int


@dataclass(frozen=True, slots=True)
class Billed:
    """Results of the billing model by rollup cell; `cell` is where each belongs in the report."""

    cells: Cells
    cell: Rows
    kind: Rows
    state: Rows
    count: Ints
    net: Ints
    rated: Flags


@dataclass(frozen=True, slots=True)
class Inputs:
    cells: Cells
    impressions: Ints
    clicks: Ints
    billable: Ints
    spend: Mapping[str, Ints]  # by currency
    spent: Flags  # this very cell has spend rows
    spent_day: Flags  # its campaign has, on its day
    spends: Flags  # its campaign has, on any day of the range
    billed: Sequence[Billed]
    deals: Sequence[Deal]
    sources: Sequence[tuple[int, int, str]]
    rates: Rates
    currency: str
    reporting: str
    hourly: bool
    unsplit: str  # the key of the cells that spend is not split by
    narrowed: bool  # a filter looks inside campaign-days, so totals know no more than rows
    status: str


@dataclass(frozen=True, slots=True)
class Cost:
    measures: dict[str, Measure]
    missing: list[Missing]
    superseded: dict[str, int]  # what the other source would have said, in micro-units


def converted(
    amounts: Mapping[str, Ints], day: Rows, rates: Rates, into: str
) -> tuple[Ints, Flags, list[Missing]]:
    """Amounts by currency as one column, which rows lack a rate, and what that leaves out."""
    result, lacking, missing = zeros(len(day)), np.zeros(len(day), dtype=bool), []
    for currency, column in sorted(amounts.items()):
        if currency == into:
            result = added(result, column)
            continue
        there = np.asarray(column != 0, dtype=bool)
        unrated = np.zeros(len(day), dtype=bool)
        for one in np.unique(day[there]).tolist():
            rows = np.flatnonzero(there & (day == one))
            rate = rates.find(currency, into, one)
            if rate is None:
                unrated[rows] = True
                continue
            part = scaled(column[rows], rate.value)
            spread = zeros(len(day)) if part.dtype != object else zeros(len(day)).astype(object)
            spread[rows] = part
            result = added(result, spread)
        if unrated.any():
            missing.append(Missing(currency, total(column[unrated]), int(unrated.sum())))
            lacking |= unrated
    return result, lacking, missing


def price(inputs: Inputs) -> Cost:
    """Cost and payout of every cell."""
    cost_deals = [deal for deal in inputs.deals if deal.side == "cost"]
    media = _media(inputs, cost_deals)
    spend, spend_lacks, spend_missing = converted(
        inputs.spend, inputs.cells.day, inputs.rates, inputs.currency
    )
    chosen = rules.sources(inputs.sources, inputs.cells.day, inputs.cells.campaign)
    by_spend = (chosen == SPEND) | ((chosen != DEALS) & inputs.spent_day)
    results = _results(inputs, cost_deals)
    covered = media.covered | results.covered
    priced = covered & ~media.flat & ~by_spend
    known = np.where(by_spend, inputs.spent & (not inputs.hourly), priced)
    whole = np.where(by_spend & (not inputs.hourly) & (not inputs.narrowed), inputs.spent_day, known)
    blocked = (by_spend & spend_lacks) | (~by_spend & media.lacking) | results.lacking
    why = _reasons(inputs, known, by_spend, media.flat)
    parts = {
        "cost_spend": np.where(by_spend & known, spend, 0),
        "cost_media": np.where(~by_spend & known, media.amount, 0),
        "cost_results": np.where(known, results.by(inputs.status), 0),
    }
    paid = added(parts["cost_spend"], parts["cost_media"])
    parts["cost"] = added(paid, parts["cost_results"])
    parts["cost_accrued"] = added(paid, np.where(known, results.booked, 0))
    parts["cost_payable"] = added(paid, np.where(known, results.approved, 0))
    measures = {name: Measure(values, known, whole, blocked, why) for name, values in parts.items()}
    measures["payout"] = _payout(inputs)
    superseded = {
        "deals": total(np.where(by_spend, media.amount, 0)),
        "spend": total(np.where(by_spend, 0, spend)),
    }
    return Cost(measures, [*spend_missing, *media.missing, *results.missing], superseded)


@dataclass(frozen=True, slots=True)
class Media:
    amount: Ints
    covered: Flags
    flat: Flags
    lacking: Flags
    missing: list[Missing]


@dataclass(frozen=True, slots=True)
class Results:
    booked: Ints  # approved and pending
    approved: Ints
    covered: Flags
    lacking: Flags
    missing: list[Missing]

    def by(self, status: str) -> Ints:
        return self.booked if status == "booked" else self.approved


def _media(inputs: Inputs, deals: Sequence[Deal]) -> Media:
    priced = rules.media(
        deals,
        inputs.cells,
        impressions=inputs.impressions,
        clicks=inputs.clicks,
        billable=inputs.billable,
    )
    amount, lacking, missing = converted(priced.amounts, inputs.cells.day, inputs.rates, inputs.currency)
    return Media(amount, priced.covered, priced.flat, lacking, missing)


def _results(inputs: Inputs, deals: Sequence[Deal]) -> Results:
    size = len(inputs.cells)
    booked, approved = zeros(size), zeros(size)
    covered, lacking = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    missing: list[Missing] = []
    for billed in inputs.billed:
        priced = rules.results(deals, billed.cells, kind=billed.kind, count=billed.count, net=billed.net)
        amounts = {name or inputs.reporting: zeros(len(billed.cells)) for name in priced.amounts}
        for name, column in priced.amounts.items():
            amounts[name or inputs.reporting] = added(amounts[name or inputs.reporting], column)
        amount, unrated, lost = converted(amounts, billed.cells.day, inputs.rates, inputs.currency)
        if "" in priced.amounts:  # a share of revenue that is itself not known
            unrated |= ~billed.rated & rules.shares(deals, billed.cells, kind=billed.kind)
        approved_rows = billed.state == STATES["approved"]
        booked = added(booked, grouped(amount, billed.cell, size))
        approved = added(approved, grouped(np.where(approved_rows, amount, 0), billed.cell, size))
        covered[billed.cell[priced.covered]] = True
        lacking[billed.cell[unrated]] = True
        missing += lost
    return Results(booked, approved, covered, lacking, missing)


def _payout(inputs: Inputs) -> Measure:
    """What partners are owed. Known where a payout deal is in force: nothing else can tell."""
    deals = [deal for deal in inputs.deals if deal.side == "payout"]
    media, results = _media(inputs, deals), _results(inputs, deals)
    covered = media.covered | results.covered
    known = covered & ~media.flat
    why = {"no_payout_deal": ~covered, "flat_not_accrued": media.flat}
    values = np.where(known, added(media.amount, results.by(inputs.status)), 0)
    return Measure(values, known, known, media.lacking | results.lacking, why)


def _reasons(inputs: Inputs, known: Flags, by_spend: Flags, flat: Flags) -> dict[str, Flags]:
    """For each unknown cell the first thing that it lacks."""
    left = ~known
    found: dict[str, Flags] = {}
    missing = by_spend | (inputs.spends & ~flat)
    for reason, rows in (
        ("no_campaign", inputs.cells.campaign <= 0),
        ("no_hourly_spend", by_spend & inputs.hourly),
        (f"not_split_by:{inputs.unsplit}", by_spend & inputs.spent_day & ~inputs.spent),
        ("flat_not_accrued", flat & ~by_spend),
        ("spend_missing", missing),
        ("no_deal_or_spend", np.ones(len(left), dtype=bool)),
    ):
        found[reason] = left & rows
        left = left & ~rows
    if not len(left):
        return {"nothing_in_range": left}
    return {reason: rows for reason, rows in found.items() if rows.any()}


def gathered(missing: Iterable[Missing]) -> list[Missing]:
    """One entry for each currency."""
    found: dict[str, Missing] = {}
    for one in missing:
        so_far = found.get(one.currency, Missing(one.currency, 0, 0))
        found[one.currency] = Missing(one.currency, so_far.amount + one.amount, so_far.rows + one.rows)
    return [found[name] for name in sorted(found)]
