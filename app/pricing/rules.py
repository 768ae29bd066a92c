"""What deals and spend make of counts. Pure: columns in, amounts out; no SQL, no clock, no float.

A cell is a workspace-day of a campaign, finer (ad, partner, goal) where a deal is scoped so. Rates are
linear in counts, so the cell never matters for CPM, CPC, CPL and CPA; a revenue share is rounded half-even
once per rollup cell, which is why its caller hands in rollup cells and nothing coarser.

Precedence: of the deals that pay for one thing (media, a lead, a sale) and are in force for a cell, only
those of the narrowest scope pay (SCOPES); within a scope, for a result, those that name its goal. Media,
leads and sales are paid apart and add up; what stands side by side in one scope is one hybrid deal.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.model import KINDS
from app.money import MICROS
from app.pricing.exact import Flags, Ints, Rows, added, quotient, times, zeros

MEDIA = frozenset({"cpm", "cpc", "flat"})
PAYS: dict[str, int] = {"cpl": KINDS["lead"], "cpa": KINDS["sale"], "revshare": KINDS["sale"]}
RESULTS = (KINDS["lead"], KINDS["sale"])

#: Narrowest first: which of (ad, partner, campaign) a deal names. A deal for a goal goes before one
#: for all goals of the same scope.
SCOPES: dict[str, int] = {"ad+partner": 6, "campaign+partner": 5, "ad": 4, "campaign": 3, "partner": 2, "": 1}


@dataclass(frozen=True, slots=True)
class Deal:
    """A price. `rate` is micro-units (of 1,000 impressions for CPM), or 10^-6 for a revenue share."""

    id: int
    model: str
    side: str
    rate: int
    currency: str
    campaign: int
    ad: int
    partner: int
    goal: int
    valid_from: int
    valid_to: int | None
    every_click: bool = False  # clicks that are counted but not billable are paid too

    @property
    def scope(self) -> int:
        if self.ad:
            return SCOPES["ad+partner" if self.partner else "ad"]
        if self.campaign:
            return SCOPES["campaign+partner" if self.partner else "campaign"]
        return SCOPES["partner" if self.partner else ""]


@dataclass(frozen=True, slots=True)
class Cells:
    """The keys of the cells to price, one row each. A column is 0 where cells do not tell it apart."""

    day: Rows  # workspace day that decides which deal is in force
    campaign: Rows
    ad: Rows
    partner: Rows
    goal: Rows

    def __len__(self) -> int:
        return len(self.day)


@dataclass(frozen=True, slots=True)
class Priced:
    """`covered`: a deal is in force, so the amount is known, 0 included. `flat`: but one that accrues
    over time is among them, so it is not. Amounts by the deals' currencies, micro-units."""

    covered: Flags
    flat: Flags
    amounts: dict[str, Ints]


def overlap(a: Deal, b: Deal) -> bool:
    """Whether two deals of one side claim one scope on one day: a conflict unless they are one hybrid."""
    same = (a.side, a.campaign, a.ad, a.partner, a.goal) == (b.side, b.campaign, b.ad, b.partner, b.goal)
    return same and all(x.valid_to is None or y.valid_from <= x.valid_to for x, y in ((a, b), (b, a)))


def whole_rate(deal: Deal) -> bool:
    """Whether one impression of a CPM deal costs whole micro-units (its rate has at most 3 decimals)."""
    return deal.model != "cpm" or deal.rate % 1000 == 0


def by_campaign(campaign: Rows) -> Callable[[int], Rows]:
    """The rows of a campaign (0: all rows), from one sort: a mask for each of 200 campaigns is slower."""
    order = np.argsort(campaign, kind="stable")
    ranked = campaign[order]

    def rows_of(wanted: int) -> Rows:
        if not wanted:
            return order
        first, last = np.searchsorted(ranked, (wanted, wanted + 1))
        return order[first:last]

    return rows_of


def covers(deals: Sequence[Deal], cells: Cells) -> Iterator[tuple[Deal, Rows]]:
    """Each deal with the rows it is in force for, whatever other deals say."""
    rows_of = by_campaign(cells.campaign)
    for deal in deals:
        rows = rows_of(deal.campaign)
        days = cells.day[rows]
        fits = (days >= deal.valid_from) & (cells.campaign[rows] >= 0)  # -1: nobody earned it
        if deal.valid_to is not None:
            fits &= days <= deal.valid_to
        for wanted, column in ((deal.ad, cells.ad), (deal.partner, cells.partner), (deal.goal, cells.goal)):
            if wanted:
                fits &= column[rows] == wanted
        yield deal, rows[fits]


def winners(deals: Sequence[Deal], cells: Cells) -> list[tuple[Deal, Rows]]:
    """Each deal with the rows it pays for: those where no narrower deal is in force.

    The ranking is by scope first; within a scope, for cells that have a goal, deals that name it.
    """
    found = [(deal, rows, deal.scope * 2 + bool(deal.goal)) for deal, rows in covers(deals, cells)]
    best = zeros(len(cells))
    for _, rows, rank in found:
        best[rows] = np.maximum(best[rows], rank)
    return [(deal, rows[best[rows] == rank]) for deal, rows, rank in found]


def media(deals: Iterable[Deal], cells: Cells, *, impressions: Ints, clicks: Ints, billable: Ints) -> Priced:
    """What impressions and clicks cost (or, of payout deals, earn a partner). Counts are whole numbers."""
    result = Priced(np.zeros(len(cells), bool), np.zeros(len(cells), bool), {})
    deals = list(deals)
    for _, rows in covers([replace(deal, goal=0) for deal in deals], cells):
        result.covered[rows] = True  # by a deal for results too: then impressions and clicks cost 0
    rates = Rates(len(cells))
    for deal, rows in winners([deal for deal in deals if deal.model in MEDIA], cells):
        if deal.model == "flat":
            result.flat[rows] = True
        else:
            what = "every_click" if deal.every_click and deal.model == "cpc" else deal.model
            rates.put(deal.currency, what, rows, deal.rate)
    counts = {"cpm": impressions, "cpc": billable, "every_click": clicks}
    for (currency, what), rate in rates.columns.items():
        due = times(counts[what], rate)
        _add(result.amounts, currency, quotient(due, 1000) if what == "cpm" else due)
    return result


def results(deals: Iterable[Deal], cells: Cells, *, kind: Rows, count: Ints, net: Ints) -> Priced:
    """What leads and sales cost. `count` is in 10^-6 of a result, `net` revenue in micro-units.

    The amounts of a revenue share are in the currency of `net`, under the key "".
    """
    result = Priced(np.zeros(len(cells), bool), np.zeros(len(cells), bool), {})
    deals = list(deals)
    for _, rows in covers([replace(deal, goal=0) for deal in deals], cells):
        result.covered[rows] = True
    rates = Rates(len(cells))
    for thing in RESULTS:
        for deal, rows in winners([deal for deal in deals if PAYS.get(deal.model) == thing], cells):
            share = deal.model == "revshare"
            rates.put("" if share else deal.currency, deal.model, rows[kind[rows] == thing], deal.rate)
    for (currency, model), rate in rates.columns.items():
        _add(result.amounts, currency, quotient(times(net if model == "revshare" else count, rate), MICROS))
    return result


def shares(deals: Iterable[Deal], cells: Cells, *, kind: Rows) -> Flags:
    """Where a revenue share pays: there an unknown revenue makes an unknown cost."""
    found = np.zeros(len(cells), bool)
    sale = KINDS["sale"]
    for deal, rows in winners([deal for deal in deals if PAYS.get(deal.model) == sale], cells):
        if deal.model == "revshare":
            found[rows[kind[rows] == sale]] = True
    return found


class Rates:
    """What a unit costs in each cell, by (currency, what is counted): one column times one column then."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.columns: dict[tuple[str, str], Ints] = {}

    def put(self, currency: str, what: str, rows: Rows, rate: int) -> None:
        """Add a rate where a deal pays; rates of hybrid deals add up."""
        column = self.columns.get((currency, what))
        if column is None:
            column = self.columns[currency, what] = zeros(self.size)
        column[rows] += rate


def _add(amounts: dict[str, Ints], currency: str, column: Ints) -> None:
    amounts[currency] = added(amounts[currency], column) if currency in amounts else column


def narrowed(deals: Iterable[Deal]) -> frozenset[str]:
    """The keys beyond campaign and day that cells must tell apart for these deals."""
    found: set[str] = set()
    for deal in deals:
        found |= {name for name, on in (("ad", deal.ad), ("partner", deal.partner)) if on}
    return frozenset(found)


SOURCES = ("spend_else_deals", "spend", "deals")


def sources(dated: Iterable[tuple[int, int, str]], day: Rows, campaign: Rows) -> Rows:
    """The position in SOURCES of each cell's `cost_source`; `dated` is (campaign, valid_from, source)."""
    chosen = zeros(len(day))
    rows_of = by_campaign(campaign)
    for owner, since, source in sorted(dated, key=lambda row: row[1]):
        rows = rows_of(owner)
        chosen[rows[day[rows] >= since]] = SOURCES.index(source)
    return chosen
