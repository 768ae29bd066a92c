"""A small shop whose numbers are put straight into the tables, and reports over it: for the tests of metrics.

`traffic` and `results` fill every rollup that a real event would, so a test may ask by any dimension.
Amounts are given as decimals ("12.50"), counts as whole results.
"""

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine

from app import bulk, db, tables, workspaces
from app.metrics import formats, query, run
from app.model import DEVICES, KINDS, MODELS, QUARTER, STATES, country_number
from app.money import MICROS, parse_amount, split
from tests import engines

NOW = 1_795_305_600_000_000  # 2026-11-22T00:00:00Z
DAY = "2026-11-10"
MONEY = ("gross", "net", "cogs", "reported_gross", "reported_net", "reported_cogs")


def number(day: str) -> int:
    return workspaces.from_date(date.fromisoformat(day))


class Shop:
    """One workspace. Campaigns, ads and the like are made when they are first named."""

    def __init__(self, folder: Path, **workspace: object) -> None:
        self.engine: Engine = engines.connect(folder)
        fields = {"timezone": "Europe/Oslo", "reporting_currency": "EUR", **workspace}
        with db.begin(self.engine) as connection:
            self.id = workspaces.add_workspace(connection, "shop", now=NOW, **fields)
        self._ids: dict[tuple[str, str], int] = {}

    def id_of(self, table: str, slug: str, **fields: object) -> int:
        """The id of a slug; "" is 0, "(unattributed)" -1."""
        if slug in ("", "(unattributed)"):
            return -bool(slug)
        if (table, slug) not in self._ids:
            row = {"workspace": self.id, "slug": slug, "name": slug, **fields}
            self._ids[table, slug] = self.put(table, row)
        return self._ids[table, slug]

    def put(self, table: str, row: dict[str, object]) -> int:
        target = tables.metadata.tables[table]
        with db.begin(self.engine) as connection:
            return int(connection.execute(target.insert().values(row)).inserted_primary_key[0] or 0)

    def add(self, table: str, *rows: Iterable[object]) -> None:
        with db.begin(self.engine) as connection:
            bulk.add(connection, tables.metadata.tables[table], [tuple(row) for row in rows])

    def _place(self, campaign: str, ad: str, partner: str, channel: str) -> tuple[int, int, int, int]:
        campaign_id = self.id_of("campaigns", campaign, channel_id=self.id_of("channels", channel))
        ad_id = self.id_of("ads", ad, campaign_id=campaign_id)
        return self.id_of("channels", channel), campaign_id, ad_id, self.id_of("partners", partner)

    def traffic(
        self,
        *,
        day: str = DAY,
        campaign: str = "",
        ad: str = "",
        partner: str = "",
        channel: str = "",
        country: str = "",
        device: str = "",
        **measures: int,
    ) -> None:
        channel_id, campaign_id, ad_id, partner_id = self._place(campaign, ad, partner, channel)
        values = [measures.pop(name, 0) for name in tables.TRAFFIC_MEASURES]
        assert not measures
        at, ws = number(day), self.id
        self.add("traffic_days", (ws, at, channel_id, campaign_id, ad_id, partner_id, *values))
        self.add("traffic_campaign_days", (ws, at, channel_id, campaign_id, *values))
        place = (channel_id, country_number(country), DEVICES[device])
        self.add("traffic_places", (ws, at, *place, *values))

    def quarter(self, at: int, campaign: str = "", **measures: int) -> None:
        """Traffic of one quarter-hour, `at` microseconds."""
        values = [measures.get(name, 0) for name in tables.TRAFFIC_MEASURES]
        self.add("traffic_quarters", (self.id, at // QUARTER, self.id_of("campaigns", campaign), *values))

    def results(
        self,
        kind: str,
        count: float = 1,
        *,
        day: str = DAY,
        campaign: str = "",
        ad: str = "",
        partner: str = "",
        channel: str = "",
        country: str = "",
        device: str = "",
        goal: str = "",
        state: str = "approved",
        currency: str = "EUR",
        rated: bool = True,
        models: Iterable[str] = tuple(MODELS),
        bases: Iterable[int] = (1, 2),
        **measures: float | str,
    ) -> None:
        """Results of one cell, the same under all `models` and `bases`."""
        if campaign == "(unattributed)":
            ids = (-1, -1, -1, 0)
        else:
            ids = self._place(campaign, ad, partner, channel)
        sale = kind == "sale"
        whole = {"count": count, "net_count": count, "valued": count if sale else 0, "by_click": count}
        whole |= {name: float(measures.pop(name)) for name in list(measures) if name not in MONEY}
        amounts = {name: parse_amount(str(measures.pop(name, 0))) for name in MONEY[:3]}
        amounts |= {f"reported_{name}": amounts[name] if rated else 0 for name in MONEY[:3]}
        assert not measures
        values: list[int] = []
        for name in tables.CREDIT_MEASURES[:7]:
            values.append(round(whole.get(name, 0) * MICROS))
        for name in MONEY:
            values += split(amounts[name])
        goal_id = self.id_of("goals", goal or ("purchase" if sale else "signup"), kind=kind, primary=1)
        key = (KINDS[kind], goal_id, STATES[state], currency, int(rated))
        place = (ids[0], country_number(country), DEVICES[device])
        for basis in bases:
            for model in models:
                head = (self.id, basis, MODELS[model], number(day))
                self.add("credit_days", (*head, *ids, *key, *values))
                self.add("credit_places", (*head, *place, *key, *values))

    def deal(self, model: str, rate: str, *, campaign: str = "", **fields: Any) -> None:
        row: dict[str, object] = {
            "workspace": self.id,
            "model": model,
            "side": fields.pop("side", "cost"),
            "rate": parse_amount(rate),
            "currency": fields.pop("currency", "" if model == "revshare" else "EUR"),
            "campaign_id": self.id_of("campaigns", campaign),
            "valid_from": number(fields.pop("since", "2020-01-01")),
            "valid_to": number(fields["until"]) if "until" in fields else None,
            "options": fields.pop("options", ""),
        }
        fields.pop("until", None)
        for name in ("ad", "partner", "goal"):
            row[f"{name}_id"] = self.id_of(f"{name}s", fields.pop(name, ""))
        assert not fields
        self.put("deals", row)

    def spend(self, amount: str, *, campaign: str, day: str = DAY, ad: str = "", **fields: object) -> None:
        row = {
            "workspace": self.id, "day": number(day), "source": "google", "account": "1",
            "campaign_id": self.id_of("campaigns", campaign), "ad_id": self.id_of("ads", ad),
            "amount": parse_amount(amount), "currency": "EUR", "timezone": "Europe/Oslo", **fields,
        }  # fmt: skip
        self.put("spend", row)

    def rate(self, currency: str, rate: str, *, day: str, base: str = "EUR") -> None:
        row = {"workspace": self.id, "currency": currency, "day": number(day), "base": base, "rate": rate}
        self.put("fx_rates", row)

    def cost_source(self, campaign: str, source: str, *, since: str = "2020-01-01") -> None:
        campaign_id = self.id_of("campaigns", campaign)
        row = {"workspace": self.id, "campaign_id": campaign_id, "valid_from": number(since)}
        self.put("cost_sources", {**row, "cost_source": source})

    def answer(self, *metrics: str, now: int = NOW, **asked: object) -> run.Answer:
        raw = {"metrics": list(metrics), "date_range": [DAY, DAY], **asked}
        with db.reading(self.engine) as connection:
            house = run.house(connection, self.id)
            context = run.context(connection, house, now=now, everything=raw["date_range"] == "all")
            return run.answer(connection, house, query.parse(raw, context))

    def ask(self, *metrics: str, **asked: object) -> Any:
        """The report as JSON says it."""
        found = self.answer(*metrics, **asked)
        return msgspec.json.decode(formats.FORMATS[found.query.format][1](found))

    def totals(self, *metrics: str, **asked: object) -> dict[str, Any]:
        found: dict[str, Any] = self.ask(*metrics, **asked)["totals"]
        return found

    def total(self, metric: str, **asked: object) -> Any:
        return self.totals(metric, **asked)[metric]

    def by(self, dimension: str, metric: str, **asked: object) -> dict[str, Any]:
        """One metric by one dimension."""
        rows = self.ask(metric, dimensions=[dimension], **asked)["rows"]
        return {row[dimension]: row[metric] for row in rows}
