"""The billing model's results: what result deals and payouts are paid by, whatever model a query asks for."""

from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import select

from app import tables
from app.metrics import raw, store
from app.metrics.cost import Billed
from app.metrics.frame import Frame
from app.metrics.plan import RAW_CREDITS
from app.metrics.store import Reader
from app.model import MODELS, STATES
from app.pricing.exact import Ints, Rows, joined, zeros
from app.pricing.rules import MEDIA, Cells, Deal

BILLED_KEYS = ("campaign", "ad", "partner", "goal")


def billed(reader: Reader, deals: Sequence[Deal]) -> list[tuple[Frame, Billed]]:
    if not reader.plan.answers("cost") or all(deal.model in MEDIA for deal in deals):
        return []
    if reader.plan.billing != RAW_CREDITS:
        return [_billed_rollup(reader)]
    return [
        _billed_shares(shares)
        for shares in raw.read(
            reader, "billing", tuple(dict.fromkeys((*reader.plan.keys, *BILLED_KEYS))), ("reported_net",)
        )
    ]


def _billed_rollup(reader: Reader) -> tuple[Frame, Billed]:
    """The billing model's rollup cells as they lie: the grain that a revenue share is rounded at."""
    c, query = tables.credit_days.c, reader.query
    columns = {
        "day": c.day, "channel": c.channel_id, "campaign": c.campaign_id, "ad": c.ad_id,
        "partner": c.partner_id, "goal": c.goal_id,
    }  # fmt: skip
    plain = ("kind", "state", "count", "reported_net_hi", "reported_net_lo", "rated")
    statement = select(*columns.values(), *(c[name] for name in plain)).where(
        c.workspace == reader.workspace,
        store.filled(tables.credit_days),
        c.basis == 1,
        c.model == MODELS["billing"],
        c.day.between(query.first, query.last),
        c.state.in_((STATES["pending"], STATES["approved"])),
    )
    sql = store.condition(reader, query.filter, columns.__getitem__)
    if sql is not None:
        statement = statement.where(sql)
    found = store.frame(reader, statement, tuple(columns), plain)
    p = found.parts
    net = joined(p["reported_net_hi"], p["reported_net_lo"])
    return found, _billing(found.keys, found.keys["day"], p, p["count"], net)


def _billed_shares(shares: raw.Shares) -> tuple[Frame, Billed]:
    unit = shares.unit * np.isin(shares.line["state"], (STATES["pending"], STATES["approved"]))
    net = np.where(unit != 0, shares.amounts["reported_net"], 0)
    return Frame(shares.keys, {"count": unit}), _billing(
        shares.keys, shares.keys["deal_day"], shares.line, unit, net
    )


def _billing(keys: Mapping[str, Rows], day: Rows, line: Mapping[str, Ints], count: Ints, net: Ints) -> Billed:
    cells = Cells(day, keys["campaign"], keys["ad"], keys["partner"], keys["goal"])
    rated = np.asarray(line["rated"] == 1, dtype=bool)
    return Billed(cells, zeros(0), line["kind"], line["state"], count, net, rated)
