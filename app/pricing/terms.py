"""The terms a deal may have: which fields go together, and which deals cannot stand beside each other.

Pure. What a deal makes of counts is `rules`'s; this says only what can be agreed at all.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from app.errors import InvalidInput
from app.model import KIND_NAMES
from app.money import MICROS
from app.pricing import rules
from app.pricing.rules import MEDIA, PAYS, Deal

ALWAYS = 0  # the day from which a deal holds that names none


def check(terms: Mapping[str, Any]) -> None:
    """Errors: InvalidInput naming the field that does not go with the others."""
    model, rate = terms["model"], terms["rate"]
    if model == "cpm" and rate % 1000:
        _refuse("rate", "rate_too_fine", "a CPM has at most 3 decimals: one impression costs whole 10^-6")
    if model == "revshare" and rate > MICROS:
        _refuse("rate", "fraction_invalid", "a revenue share is a fraction from 0 to 1")
    if model != "revshare" and terms["currency"] is None:
        _refuse("currency", "currency_missing", "is required: a rate of money has one")
    if model in MEDIA and terms["goal"] is not None:
        _refuse("goal", "goal_pointless", f"a {model} deal pays for media, not for results of a goal")
    if model != "flat" and terms["per"] is not None:
        _refuse("per", "per_pointless", "belongs to flat deals only")
    if model == "flat" and terms["per"] is None and terms["valid_to"] is None:
        _refuse("valid_to", "end_missing", "a flat deal needs an end, or `per` day or month")
    if terms["valid_to"] is not None and terms["valid_to"] < (terms["valid_from"] or ALWAYS):
        _refuse("valid_to", "period_invalid", "is before valid_from")


def check_goal(model: str, goal: str, kind: str) -> None:
    """A deal for a goal of the other kind would never pay."""
    wanted = KIND_NAMES[PAYS[model]]
    if kind != wanted:
        _refuse("goal", "goal_of_other_kind", f"{model} pays for a {wanted}; {goal!r} is a {kind}")


def _refuse(field: str, code: str, why: str) -> None:
    raise InvalidInput(code, f"{field}: {why}", field=field)


def standing_in_the_way(deal: Deal, others: Iterable[Deal]) -> Deal | None:
    """A deal that pays for the same thing in the same scope on the same day; None when there is none.

    The things paid for are media, a lead and a sale: CPL and CPA stand beside each other, CPM and CPC
    do not (adding up is for hybrid deals).
    """
    for other in others:
        if other.id != deal.id and _thing(other) == _thing(deal) and rules.overlap(deal, other):
            return other
    return None


def _thing(deal: Deal) -> str:
    return "media" if deal.model in MEDIA else KIND_NAMES[PAYS[deal.model]]
