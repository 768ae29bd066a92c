"""Parts over the cells of a scope: both sides of a ratio speak of the cells where both are known."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np

from app.metrics.cost import Measure
from app.metrics.store import Reader
from app.money import MICROS
from app.pricing.exact import Rows, scaled, zeros


def scoped(
    reader: Reader, keys: Mapping[str, Rows], measures: Mapping[str, Measure], size: int
) -> dict[str, Measure]:
    """`part@scope` for every scoped part of the plan that can be measured."""
    goods = _goods(reader, keys, measures, size)
    scopes = {} if "cost" not in measures else _cost_scopes(measures["cost"], measures["payout"], goods)
    if "platform_clicks" in measures:
        scopes["platform"] = measures["platform_clicks"]
    found: dict[str, Measure] = {}
    for name in reader.plan.parts:
        plain, _, scope = name.partition("@")
        part = goods if plain == "goods" else measures.get(plain)
        if part is not None and scope in scopes:
            over = scopes[scope]
            found[name] = Measure(part.values, over.known, over.whole, part.blocked, over.why)
    return found


def _cost_scopes(cost_: Measure, pay: Measure, goods: Measure) -> dict[str, Measure]:
    """The cells of each scope of cost, as `known`, `whole` and `why` of a measure."""
    return {
        "cost": cost_,
        "payout": pay,
        "margin": replace(
            cost_, known=cost_.known & pay.known, whole=cost_.whole & pay.whole, why={**cost_.why, **pay.why}
        ),
        "goods": replace(
            cost_,
            known=cost_.known & goods.known,
            whole=cost_.whole & goods.known,
            why={**cost_.why, **goods.why},
        ),
    }


def _goods(reader: Reader, keys: Mapping[str, Rows], measures: Mapping[str, Measure], size: int) -> Measure:
    """Cost of goods by cell: as told with every sale of the cell, else by the campaign's margin rate."""
    nobody = np.zeros(size, dtype=bool)
    if "with_goods" not in measures:
        return Measure(zeros(size), nobody, nobody, nobody)
    revenue = measures["revenue"]
    told = np.asarray(measures["with_goods"].values >= measures["valued"].values, dtype=bool)
    values = np.where(told, measures["goods"].values, 0)
    known = told.copy()
    for number, row in reader.names.campaigns.items():
        rate = row._mapping["margin_rate"]
        if rate is None:
            continue
        rows = ~told & (keys["campaign"] == number)
        by_rate = scaled(revenue.values, 1 - Fraction(int(str(rate)), MICROS))
        values = np.where(rows, by_rate, values)
        known |= rows
    return Measure(values, known, known, revenue.blocked, {"goods_cost_unknown": ~known})
