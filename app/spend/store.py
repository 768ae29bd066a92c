"""Spend and exchange rates in their tables: rows replace by key, and what changed is written down whole."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, Table, delete, select, tuple_

from app import bulk, tables
from app.campaigns import changes, slugs
from app.campaigns.changes import Desk
from app.campaigns.paging import Key, next_cursor
from app.model import DAY
from app.spend.schemas import Loaded, RateOut, RatePage, RateRow, SpendOut, SpendPage, SpendRow
from app.workspaces import WorkspaceSettings, settings_of, slug_key

SPEND_KEY = ("day", "source", "account", "campaign_id", "ad_id")
RATE_KEY = ("currency", "day", "base")
Row = dict[str, Any]


def _standing(desk: Desk, table: Table, key: Sequence[str], rows: Sequence[Row]) -> dict[Key, Row]:
    """The rows there already of those that came, by key."""
    columns = [table.c[name] for name in key]
    days = {row["day"] for row in rows}
    found = select(table).where(
        table.c.workspace == desk.workspace, table.c.day >= min(days), table.c.day <= max(days)
    )
    wanted = {tuple(row[name] for name in key) for row in rows}
    statement = found.where(tuple_(*columns).in_(list(wanted)))
    return {
        tuple(row._mapping[name] for name in key): dict(row._mapping)
        for row in desk.connection.execute(statement)
    }


def _put(desk: Desk, table: Table, key: Sequence[str], rows: Sequence[Row]) -> None:
    names = ("workspace", *rows[0])
    statement = bulk.inserting(table, desk.connection.dialect.name, *names)
    statement = statement.on_conflict_do_update(
        index_elements=["workspace", *key],
        set_={name: statement.excluded[name] for name in names if name not in ("workspace", *key)},
    )
    bulk.run(desk.connection, statement, [(desk.workspace, *row.values()) for row in rows])


# --- Spend ------------------------------------------------------------------------------------------


def load_spend(desk: Desk, told: Sequence[SpendRow]) -> Loaded:
    """Put rows by (date, source, account, campaign, ad); a null amount takes its row away.

    A campaign or ad that nobody registered gets a row of its own, so that no money is lost to a name.
    """
    if not told:
        return Loaded()
    rows = _spend_rows(desk, told)
    standing = _standing(desk, tables.spend, SPEND_KEY, rows)
    pairs = [(row, standing.get(tuple(row[name] for name in SPEND_KEY))) for row in rows]
    gone = [old for row, old in pairs if row["amount"] is None and old]
    put = [(row, old) for row, old in pairs if row["amount"] is not None and not _same(row, old)]
    for old in gone:
        mine = [tables.spend.c[name] == old[name] for name in ("workspace", *SPEND_KEY)]
        desk.connection.execute(delete(tables.spend).where(*mine))
    if put:
        _put(desk, tables.spend, SPEND_KEY, [row for row, _ in put])
    replaced = [old for _, old in put if old]
    if gone or put:
        changes.record(desk, "change", "spend", before=gone + replaced, after=[row for row, _ in put])
    return Loaded(
        created=len(put) - len(replaced),
        replaced=len(replaced),
        removed=len(gone),
        unchanged=len(rows) - len(put) - sum(row["amount"] is None for row in rows),
    )


def _same(row: Row, old: Row | None) -> bool:
    return old is not None and all(old[name] == row[name] for name in row if name != "updated_at")


def _spend_rows(desk: Desk, told: Sequence[SpendRow]) -> list[Row]:
    campaigns = _Ids(desk, tables.campaigns)
    ads: dict[int, _Ids] = {}
    rows = []
    for row in told:
        campaign = campaigns.of(row.campaign)
        if row.ad is not None and campaign not in ads:
            ads[campaign] = _Ids(desk, tables.ads, campaign=campaign)
        rows.append(
            {
                "day": row.date,
                "source": row.source,
                "account": row.account,
                "campaign_id": campaign,
                "ad_id": ads[campaign].of(row.ad) if row.ad is not None else 0,
                "amount": row.amount,
                "currency": row.currency or "",
                "timezone": row.timezone or "",
                "impressions": row.impressions,
                "clicks": row.clicks,
                "updated_at": desk.now,
            }
        )
    return rows


class _Ids:
    """The ids of one collection's slugs, read once for all rows; those that nobody named are added."""

    def __init__(self, desk: Desk, table: Table, *, campaign: int = 0) -> None:
        self.desk = desk
        self.table = table
        self.campaign = campaign
        self.known = slugs.index(desk.connection, table, desk.workspace, campaign=campaign)

    def of(self, slug: str | None) -> int:
        if slug is None:
            return 0
        if slug_key(slug) not in self.known:
            self.known[slug_key(slug)] = slugs.add(
                self.desk.connection, self.table, self.desk.workspace, slug, campaign=self.campaign
            )
        return self.known[slug_key(slug)]


def listed_spend(desk: Desk, page: SpendPage, *, after: Key | None) -> tuple[list[SpendOut], str | None]:
    """A page of spend by day, source, account, campaign and ad."""
    table = tables.spend
    rows = _dated(select(table).where(table.c.workspace == desk.workspace), table, page)
    for name in ("source", "account"):
        wanted = getattr(page, name)
        rows = rows if wanted is None else rows.where(table.c[name] == wanted)
    if page.campaign is not None:
        id_ = slugs.require(desk.connection, tables.campaigns, desk.workspace, page.campaign, noun="campaign")
        rows = rows.where(table.c.campaign_id == id_)
    found, cursor = _paged(desk, rows, table, SPEND_KEY, after=after, limit=page.limit)
    campaigns = slugs.names(desk.connection, tables.campaigns, [row["campaign_id"] for row in found])
    ads = slugs.names(desk.connection, tables.ads, [row["ad_id"] for row in found])
    return [_spend_out(row, campaigns, ads) for row in found], cursor


def _spend_out(row: Row, campaigns: Mapping[int, str], ads: Mapping[int, str]) -> SpendOut:
    return SpendOut(
        date=row["day"],
        campaign=campaigns.get(row["campaign_id"]),
        ad=ads.get(row["ad_id"]),
        timezone=row["timezone"] or None,
        **{
            name: row[name]
            for name in ("source", "account", "amount", "currency", "impressions", "clicks", "updated_at")
        },
    )


# --- Exchange rates ---------------------------------------------------------------------------------


def load_rates(desk: Desk, told: Sequence[RateRow]) -> Loaded:
    """Put rates by (currency, day, base); conversions that may use them are reported anew."""
    if not told:
        return Loaded()
    rows: list[Row] = [
        {"currency": row.currency, "day": row.date, "base": row.base or desk.currency, "rate": row.rate}
        for row in told
    ]
    standing = _standing(desk, tables.fx_rates, RATE_KEY, rows)
    pairs = [(row, standing.get(tuple(row[name] for name in RATE_KEY))) for row in rows]
    put = [(row, old) for row, old in pairs if not _same(row, old)]
    replaced = [old for _, old in put if old]
    if put:
        _put(desk, tables.fx_rates, RATE_KEY, [row for row, _ in put])
        changes.record(desk, "change", "fx-rates", before=replaced, after=[row for row, _ in put])
        _announce_rates(desk, {row["day"] for row, _ in put})
    return Loaded(created=len(put) - len(replaced), replaced=len(replaced), unchanged=len(rows) - len(put))


def _announce_rates(desk: Desk, days: set[int]) -> None:
    """A rate speaks for its day and those after it until it is too old; a day more for every zone."""
    t = tables.workspaces.c
    text = desk.connection.execute(select(t.settings).where(t.id == desk.workspace)).scalar_one()
    settings: WorkspaceSettings = settings_of(text)
    last = max(days) + settings.fx_max_age_days
    changes.announce(desk, "rates", since=(min(days) - 1) * DAY, until=(last + 2) * DAY)


def listed_rates(desk: Desk, page: RatePage, *, after: Key | None) -> tuple[list[RateOut], str | None]:
    """A page of rates by currency, day and base."""
    table = tables.fx_rates
    rows = _dated(select(table).where(table.c.workspace == desk.workspace), table, page)
    if page.currency is not None:
        rows = rows.where(table.c.currency == page.currency)
    found, cursor = _paged(desk, rows, table, RATE_KEY, after=after, limit=page.limit)
    return [
        RateOut(date=r["day"], currency=r["currency"], base=r["base"], rate=r["rate"]) for r in found
    ], cursor


def _dated(rows: Select[Any], table: Table, page: SpendPage | RatePage) -> Select[Any]:
    if page.since is not None:
        rows = rows.where(table.c.day >= page.since)
    return rows if page.until is None else rows.where(table.c.day <= page.until)


def _paged(
    desk: Desk, rows: Select[Any], table: Table, key: Sequence[str], *, after: Key | None, limit: int
) -> tuple[list[Row], str | None]:
    columns = [table.c[name] for name in key]
    if after is not None:
        rows = rows.where(tuple_(*columns) > tuple_(*after))
    found = [dict(row._mapping) for row in desk.connection.execute(rows.order_by(*columns).limit(limit + 1))]
    return found[:limit], next_cursor([tuple(row[name] for name in key) for row in found], limit)
