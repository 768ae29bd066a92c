"""What money is reckoned by: deals, cost sources, exchange rates and imported spend, read for a report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from sqlalchemy import ColumnElement, Connection, and_, case, func, literal_column, or_, select

from app import tables
from app.metrics import filters
from app.metrics.frame import Frame
from app.metrics.raw import stacked
from app.metrics.store import Reader, columns
from app.money import BASE
from app.pricing.currencies import Rates
from app.pricing.currencies import rates as currency_rates
from app.pricing.exact import Flags, Rows, joined
from app.pricing.rules import Deal

Number = ColumnElement[int]


def deals(connection: Connection, workspace: int) -> list[Deal]:
    """Every deal of a workspace that was not taken back."""
    c = tables.deals.c
    rows = connection.execute(
        select(tables.deals).where(c.workspace == workspace, c.archived_at.is_(None)).order_by(c.id)
    )
    return [
        Deal(
            id=row.id,
            model=row.model,
            side=row.side,
            rate=row.rate,
            currency=row.currency,
            campaign=row.campaign_id,
            ad=row.ad_id,
            partner=row.partner_id,
            goal=row.goal_id,
            valid_from=row.valid_from,
            valid_to=row.valid_to,
            every_click=bool(msgspec.json.decode(row.options or "{}").get("every_click")),
        )
        for row in rows
    ]


def sources(connection: Connection, workspace: int) -> list[tuple[int, int, str]]:
    """(campaign, valid from, cost source) of all campaigns that chose one."""
    c = tables.cost_sources.c
    rows = connection.execute(
        select(c.campaign_id, c.valid_from, c.cost_source).where(c.workspace == workspace)
    )
    return [(row[0], row[1], row[2]) for row in rows]


def rates(reader: Reader, currencies: Iterable[str], *, oldest: int) -> tuple[Rates, int | None]:
    """The rates that convert these currencies into the query's, and the newest day they were published."""
    c, query = tables.fx_rates.c, reader.query
    others = set(currencies) - {query.currency, ""}
    if not others:
        return currency_rates((), max_age=oldest), None
    wanted = sorted(others | {query.currency})
    rows = reader.connection.execute(
        select(c.currency, c.base, c.day, c.rate).where(
            c.workspace == reader.workspace,
            or_(c.currency.in_(wanted), c.base.in_(wanted)),
            c.day.between(query.first - oldest - 1, query.last + 1),
        )
    ).all()
    found = currency_rates(((row[0], row[1], row[2], row[3]) for row in rows), max_age=oldest)
    return found, max((row[2] for row in rows), default=None)


# --- Spend -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Account:
    """One ad account's rows in the range, of one currency."""

    source: str
    account: str
    currency: str
    timezone: str
    last: int  # the latest day it has rows for
    whole: bool  # some of its rows are campaign-level totals
    by_ad: bool  # some are of ads


def accounts(reader: Reader) -> list[Account]:
    """The ad accounts with spend in the range."""
    c = tables.spend.c
    rows = reader.connection.execute(
        select(
            c.source, c.account, c.currency, c.timezone, func.max(c.day), func.min(c.ad_id), func.max(c.ad_id)
        )
        .where(_inside(reader))
        .group_by(c.source, c.account, c.currency, c.timezone)
        .order_by(c.source, c.account, c.currency, c.timezone)
    )
    return [Account(*row[:5], whole=row[5] == 0, by_ad=row[6] > 0) for row in rows]


def spend(reader: Reader, accounts: Sequence[Account], keys: Sequence[str]) -> Frame:
    """Spend of one currency by day, campaign and, where `keys` have it, ad.

    A campaign-level row is the total and its ad rows split it: what they leave lands on ad (none).
    `reported` and `clicked` count the rows that carry the platform's impressions and clicks.
    """
    c = tables.spend.c
    where = and_(_inside(reader), c.currency == accounts[0].currency)
    of_ad = "ad" in keys or "ad" in {one.dimension.key for one in reader.conditions}
    measures = _measures(platform=reader.plan.answers("spend"))
    group = (c.day, c.source, c.account, c.campaign_id)
    by_ad = any(one.by_ad for one in accounts)
    if by_ad and not of_ad:
        sums = [func.sum(column) for column in measures.values()]
        rows = (
            select(c.day, c.campaign_id, literal_column("0").label("ad"), *sums).where(where).group_by(*group)
        )
    else:
        rows = select(c.day, c.campaign_id, c.ad_id, *measures.values()).where(where)
    selects = [rows]
    if by_ad and any(one.whole for one in accounts):
        split = [-func.sum(case((c.ad_id != 0, column), else_=0)) for column in measures.values()]
        taken = select(c.day, c.campaign_id, literal_column("0").label("ad"), *split).where(where)
        whole = func.max(case((c.ad_id == 0, 1), else_=0))
        selects.append(taken.group_by(*group).having(whole == 1, func.count() > 1))
    frames = [_placed(reader, columns(reader.connection, one), tuple(measures)) for one in selects]
    return _filtered(reader, stacked(frames, tuple(frames[0].keys), tuple(frames[0].parts)))


def _measures(*, platform: bool) -> dict[str, Number]:
    c = tables.spend.c
    found: dict[str, Number] = {"amount:hi": c.amount // BASE, "amount:lo": c.amount % BASE}
    if platform:
        found |= {
            "platform_impressions": func.coalesce(c.impressions, 0),
            "platform_clicks": func.coalesce(c.clicks, 0),
            "reported": case((c.impressions.is_not(None), 1), else_=0),
            "clicked": case((c.clicks.is_not(None), 1), else_=0),
        }
    return found


def _inside(reader: Reader) -> ColumnElement[bool]:
    c, query = tables.spend.c, reader.query
    return and_(c.workspace == reader.workspace, c.day >= query.first, c.day <= query.last)


def _placed(reader: Reader, found: list[Rows], parts: Sequence[str]) -> Frame:
    """Spend with all its keys: the channel is the campaign's, and no partner was paid."""
    day, campaign, ad, *values = found
    channels = {number: int(row._mapping["channel_id"]) for number, row in reader.names.campaigns.items()}
    ids, where = np.unique(campaign, return_inverse=True)
    channel = np.array([channels.get(int(number), 0) for number in ids], dtype=np.int64)[where]
    keys = {
        "day": day, "time": day, "campaign": campaign, "ad": ad, "channel": channel,
        "partner": np.zeros(len(day), dtype=np.int64),
    }  # fmt: skip
    named = dict(zip(parts, values, strict=True))
    amount = joined(named.pop("amount:hi"), named.pop("amount:lo"))
    return Frame(keys, {"amount": amount, **named})


def _filtered(reader: Reader, found: Frame) -> Frame:
    """The rows that the query's filter lets through."""
    fits = passes(reader, reader.query.filter, found.keys)
    return Frame(
        {key: values[fits] for key, values in found.keys.items()},
        {part: values[fits] for part, values in found.parts.items()},
    )


def passes(reader: Reader, tree: filters.Filter | None, keys: Mapping[str, Rows]) -> Flags:
    """store.condition over columns that are here already."""
    if tree is None:
        return np.ones(len(next(iter(keys.values()))), dtype=bool)
    if isinstance(tree, filters.Joined):
        parts = [passes(reader, part, keys) for part in tree.parts]
        if tree.operator == "not":
            return ~parts[0]
        whole = np.logical_and if tree.operator == "and" else np.logical_or
        result: Flags = whole.reduce(parts)
        return result
    found = np.isin(keys[tree.dimension.key], reader.names.ids(tree))
    return ~found if tree.operator == "is_not" else found
