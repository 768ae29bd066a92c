"""A database of its own for tests of settling: put facts in, settle, and read what the tables say.

`recount` is the rollups from scratch in plain Python: bookings x credits x models, divided by the law.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Table, delete, insert, select, update

from app import db, tables, workspaces
from app.attribution.tasks import settle
from app.conversions import store
from app.conversions.rules import Adjustment, Conversion, fold
from app.conversions.rules import Sighting as Report
from app.model import KINDS, MODELS, node
from app.money import split
from tests import engines
from tests.attribution import law

NOW = 1_760_000_000_000_000
SALE, REFUND, STATUS = KINDS["sale"], KINDS["refund"], KINDS["status"]
RATE = Fraction(23, 2)
CREDITS = [c.name for c in tables.credits.columns if c.name != "version"]


def visitor(name: str) -> int:
    return node(1, "visitor", name)


@dataclass
class World:
    """Workspace 1 (Kathmandu: a zone off the hour) unless said otherwise."""

    engine: Engine
    rate: Fraction = RATE

    def put(self, table: Table, **row: object) -> None:
        with db.begin(self.engine) as connection:
            connection.execute(insert(table).values(row))

    def configure(self, **settings: object) -> None:
        with db.begin(self.engine) as connection:
            connection.execute(update(tables.workspaces).values(settings=json.dumps(settings)))

    def zone(self, name: str) -> None:
        with db.begin(self.engine) as connection:
            connection.execute(update(tables.workspaces).values(timezone=name))

    def touch(self, kind: str, at: int, *, no: int, by: str = "v", **more: object) -> None:
        facts = {"workspace": 1, "kind": KINDS[kind], "occurred_at": at, "no": no, "visitor": visitor(by)}
        self.put(tables.events, **facts | more)

    def sale(
        self,
        id_: int,
        at: int,
        *,
        by: Sequence[str] = ("v",),
        value: int | None = 100_000_000,
        changes: Sequence[Adjustment] = (),
        **more: Any,
    ) -> None:
        """A sale as folded from one server report and `changes`, saved and due."""
        report = Report(
            no=id_, kind=SALE, goal_id=more.pop("goal_id", 0), door=4, occurred_at=at, received_at=at,
            value=value, currency="" if value is None else "EUR", nodes=tuple(visitor(name) for name in by),
            clicks=more.pop("clicks", ()), consent_denied=more.pop("consent_denied", 0),
        )  # fmt: skip
        self.save(fold(id_, [report], changes, trust_browser=True), changes)
        if more:
            with db.begin(self.engine) as connection:
                c = tables.conversions.c
                connection.execute(update(tables.conversions).where(c.id == id_).values(more))

    def save(self, conversion: Conversion, changes: Sequence[Adjustment] = ()) -> None:
        with db.begin(self.engine) as connection:
            a = tables.adjustments
            connection.execute(delete(a).where(a.c.conversion == conversion.id))
            for change in changes:
                connection.execute(
                    insert(a).values(
                        workspace=1, conversion=conversion.id, no=change.no, kind=change.kind,
                        occurred_at=change.occurred_at, value=change.value, currency=change.currency,
                        status=change.status,
                    )
                )  # fmt: skip
            store.save(connection, 1, [replace(conversion, rate=self.rate)], {conversion.id: 0})
            store.mark_due(connection, 1, {conversion.id: conversion.occurred_at})

    def due(self, *ids: int) -> None:
        c = tables.conversions.c
        with db.begin(self.engine) as connection:
            wanted = select(c.id, c.occurred_at)
            rows = connection.execute(wanted.where(c.id.in_(ids)) if ids else wanted)
            store.mark_due(connection, 1, dict(rows.all()))

    def settle(self, limit: int = 100) -> None:
        """Settle until nothing is due."""
        while True:
            with db.begin(self.engine) as connection:
                if not settle(connection, limit=limit, now=0):
                    return

    def rows(self, table: Table) -> list[dict[str, Any]]:
        with db.reading(self.engine) as connection:
            return [dict(row) for row in connection.execute(select(table)).mappings()]

    def credits(self) -> list[tuple[Any, ...]]:
        """The present credits, whatever their version's number."""
        c, v = tables.credits.c, tables.conversions.c
        with db.reading(self.engine) as connection:
            statement = (
                select(*(c[name] for name in CREDITS))
                .join(tables.conversions, (v.id == c.conversion) & (v.credit_version == c.version))
                .order_by(c.conversion, c.ordinal)
            )
            return [tuple(row) for row in connection.execute(statement)]

    def earned(self, id_: int, model: str = "linear") -> dict[int, int]:
        """Weights by touch number (0: unattributed) of one conversion."""
        names = dict(zip(CREDITS, range(len(CREDITS)), strict=True))
        return {
            row[names["no"]]: row[names[model]]
            for row in self.credits()
            if row[names["conversion"]] == id_ and row[names[model]]
        }

    def reason(self, id_: int) -> int:
        place = CREDITS.index("reason")
        return next(row[place] for row in self.credits() if row[1] == id_ and row[2] == 0)

    def cells(self, table: Table) -> dict[tuple[Any, ...], dict[str, int]]:
        """The cells of a rollup that are not 0 throughout."""
        keys = [c.name for c in table.primary_key]
        found = {
            tuple(row[k] for k in keys): {k: v for k, v in row.items() if k not in keys and v}
            for row in self.rows(table)
        }
        return {key: measures for key, measures in found.items() if measures}

    def derived(self) -> tuple[object, ...]:
        """Everything that must not depend on the order of arrival."""
        bookings = sorted(tuple(row.values()) for row in self.rows(tables.bookings))
        return (
            self.credits(), bookings, self.cells(tables.credit_days), self.cells(tables.credit_places)
        )  # fmt: skip


def world(folder: Path) -> World:
    engine = engines.connect(folder)
    found = World(engine)
    found.put(tables.workspaces, id=1, slug="one", secret=b"", timezone="Asia/Kathmandu")
    return found


def recount(found: World, zone: str = "Asia/Kathmandu") -> dict[str, dict[tuple[Any, ...], dict[str, int]]]:
    """What the rollups must hold, from bookings and present credits alone."""
    credits_of = defaultdict(list)
    for row in found.credits():
        credits_of[row[1]].append(dict(zip(CREDITS, row, strict=True)))
    cells: dict[str, dict[tuple[Any, ...], Counter[str]]] = {
        name: defaultdict(Counter) for name in ("credit_days", "credit_places")
    }
    for line in found.rows(tables.bookings):
        own = credits_of[line["conversion"]]
        for model, number in MODELS.items():
            weights = [credit[model] for credit in own]
            for i, credit in enumerate(own):
                measures = _measures(line, credit, weights, i)
                for basis, day in _days(line, workspaces.local_day(zone, credit["occurred_at"])):
                    tail = tuple(line[k] for k in ("kind", "goal_id", "state", "currency", "rated"))
                    head = (1, basis, number, day)
                    ads = tuple(credit[k] for k in ("channel_id", "campaign_id", "ad_id", "partner_id"))
                    places = tuple(credit[k] for k in ("channel_id", "country", "device"))
                    for name, middle in (("credit_days", ads), ("credit_places", places)):
                        cell = cells[name][head + middle + tail]
                        for measure, amount in measures.items():
                            cell[measure] += amount
    return {
        name: {key: {k: v for k, v in cell.items() if v} for key, cell in own_.items() if any(cell.values())}
        for name, own_ in cells.items()
    }


def _days(line: dict[str, Any], touch_day: int) -> list[tuple[int, int]]:
    own = [(line["basis"], line["day"])]
    return [*own, (2, touch_day)] if line["basis"] == 1 else own


def _measures(line: dict[str, Any], credit: dict[str, Any], weights: list[int], i: int) -> dict[str, int]:
    sign = line["sign"]
    unit = sign * law.allocate(1_000_000, weights)[i]
    measures = {
        "count": unit,
        "net_count": unit * line["net_count"],
        "valued": unit * line["valued"],
        "by_click": unit * (credit["kind"] == law.CLICK),
        "by_view": unit * (credit["kind"] == law.IMPRESSION),
        "new_customers": unit * line["new_customer"],
        "with_cogs": unit * line["with_cogs"],
    }
    for name in ("gross", "net", "cogs", "reported_gross", "reported_net", "reported_cogs"):
        high, low = split(law.allocate(line[name], weights)[i])
        measures |= {f"{name}_hi": sign * high, f"{name}_lo": sign * low}
    return measures
