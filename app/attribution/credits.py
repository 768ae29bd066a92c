"""From journeys to credit rows: who earned, with every model's weight, a whole batch at a time. Pure.

A conversion has a row for each touch that earns under any model, oldest first from ordinal 1, and the
unattributed row (ordinal 0) if any model finds nothing: so every model's weights sum to more than 0, and
credits plus unattributed are the conversion, exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.attribution import models
from app.attribution.journeys import Asks, Bits, Ints, Journeys, Touches, taken
from app.attribution.ledger import Rows, arranged
from app.attribution.models import Parameters
from app.attribution.rules import Rules, Verdict, candidates, judge, near, reasons
from app.model import MODELS


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of each conversion apart from its touches (see rules.reasons)."""

    denied: Bits
    nameless: Bits


def credits(
    asks: Asks,
    journeys: Journeys,
    standing: Standing,
    *,
    rules: Rules,
    parameters: Parameters,
    day_of: Callable[[Ints], Ints],
) -> Rows:
    """The complete credits of every conversion. `journeys` are in order; `day_of` gives local days."""
    pairs = candidates(asks, journeys, rules)
    verdict = judge(pairs, asks, journeys.touches, rules)
    earning = np.flatnonzero((verdict.code == 0) | verdict.billed)
    ask, touches = pairs.ask[earning], taken(journeys.touches, pairs.touch[earning])
    weights = weighed(asks, ask, touches, taken(verdict, earning), parameters)
    reason = reasons(
        pairs,
        verdict,
        len(asks.at),
        denied=standing.denied,
        nameless=standing.nameless,
        near=near(asks, journeys, rules),
    )
    return _with_unattributed(asks, ask, touches, weights, reason, day_of)


def weighed(
    asks: Asks, ask: Ints, touches: Touches, verdict: Verdict, parameters: Parameters
) -> dict[str, Ints]:
    """Every model's weights of touches that earn, given by conversion and oldest first."""
    kept = verdict.code == 0
    path = models.paths(ask[kept], touches.kind[kept], (asks.at[ask] - touches.at)[kept])
    found = {}
    for name, model in models.MODELS.items():
        found[name] = np.zeros(len(ask), dtype=np.int64)
        found[name][kept] = model(path, parameters)
    return found | {"billing": verdict.billed.astype(np.int64)}


def _with_unattributed(
    asks: Asks,
    ask: Ints,
    touches: Touches,
    weights: dict[str, Ints],
    reason: Ints,
    day_of: Callable[[Ints], Ints],
) -> Rows:
    counts = np.bincount(ask, minlength=len(asks.at))
    missing = {name: np.ones(len(asks.at), dtype=np.int64) for name in MODELS}
    for name, weight in weights.items():
        missing[name][ask[weight > 0]] = 0
    alone = np.flatnonzero(sum(missing.values()))
    at = np.concatenate([touches.at, asks.at[alone]])
    place = np.arange(1, len(ask) + 1) - (np.cumsum(counts) - counts)[ask]

    def column(of_touches: Ints, else_: int) -> Ints:
        return np.concatenate([of_touches, np.full(len(alone), else_)])

    return arranged(
        Rows(
            owner=np.concatenate([ask, alone]),
            ordinal=column(place, 0),
            no=column(touches.no, 0),
            kind=column(touches.kind, 0),
            occurred_at=at,
            day=day_of(at),
            # -1: never taken for a touch that has no channel, campaign or ad (0)
            channel_id=column(touches.channel, -1),
            campaign_id=column(touches.campaign, -1),
            ad_id=column(touches.ad, -1),
            partner_id=column(touches.partner, 0),
            country=column(touches.country, 0),
            device=column(touches.device, 0),
            reason=np.concatenate([np.zeros(len(ask), dtype=np.int64), reason[alone]]),
            **{name: np.concatenate([weights[name], missing[name][alone]]) for name in MODELS},
        )
    )
