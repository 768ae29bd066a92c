"""From judged pairs to the rows of `credits`: who earned, with every model's weight. Pure.

A conversion has a row for each touch that earns under any model, oldest first from ordinal 1, and the
unattributed row (ordinal 0) if any model finds nothing: so every model's weights sum to more than 0, and
credits plus unattributed are the conversion, exactly.
"""

from dataclasses import dataclass, fields

import numpy as np

from app.attribution import models, rules
from app.attribution.journeys import Asks, Bits, Ints, Journeys, Touches
from app.attribution.models import MODELS, Parameters
from app.attribution.rules import Rules, Verdict

#: Columns of weights, in the order of `model.MODELS`.
WEIGHTS = (*MODELS, "billing")


@dataclass(frozen=True, slots=True)
class Credits:
    """The credit rows of a batch, conversion after conversion: `sizes[i]` (at least 1) rows for each.

    An unattributed row has kind 0, no 0, the conversion's own time, and -1 for channel, campaign and ad,
    so that it is never taken for a touch without campaign.
    """

    sizes: Ints
    ordinal: Ints
    touches: Touches
    reason: Ints
    weights: Ints  # one line per WEIGHTS


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of each conversion apart from its touches (see rules.reasons)."""

    denied: Bits
    nameless: Bits
    near: Bits


def credits(
    asks: Asks, journeys: Journeys, rules_: Rules, parameters: Parameters, standing: Standing
) -> Credits:
    """The complete credits of every conversion. `journeys` are in order."""
    pairs = rules.candidates(asks, journeys, rules_)
    verdict = rules.judge(pairs, asks, journeys.touches, rules_)
    reason = rules.reasons(
        pairs,
        verdict,
        len(asks.at),
        denied=standing.denied,
        nameless=standing.nameless,
        near=standing.near | rules.near(asks, journeys, rules_),
    )
    earning = np.flatnonzero((verdict.code == 0) | verdict.billed)
    ask, touches = pairs.ask[earning], journeys.touches.take(pairs.touch[earning])
    weights = weighed(asks, ask, touches, verdict, earning, parameters)
    return _with_unattributed(asks, ask, touches, reason, weights)


def weighed(
    asks: Asks, ask: Ints, touches: Touches, verdict: Verdict, earning: Ints, parameters: Parameters
) -> Ints:
    """Every model's weight of the pairs at `earning`: one line per WEIGHTS."""
    kept = verdict.code[earning] == 0
    path = models.paths(ask[kept], touches.kind[kept], (asks.at[ask] - touches.at)[kept])
    found = np.zeros((len(WEIGHTS), len(earning)), dtype=np.int64)
    for line, model in enumerate(MODELS.values()):
        found[line, kept] = model(path, parameters)
    found[-1] = verdict.billed[earning]
    return found


def _with_unattributed(asks: Asks, ask: Ints, touches: Touches, reason: Ints, weights: Ints) -> Credits:
    earned = np.zeros((len(WEIGHTS), len(asks.at)), dtype=np.bool_)
    for line, weight in enumerate(weights):
        earned[line, ask[weight > 0]] = True
    missing = ~earned
    alone = missing.any(axis=0)  # conversions with an unattributed row
    counts = np.bincount(ask, minlength=len(asks.at))
    sizes = counts + alone
    starts = np.cumsum(sizes) - sizes
    total = int(sizes.sum())
    zero = np.flatnonzero(alone)
    at_zero = starts[zero]
    place = np.arange(len(ask)) - (np.cumsum(counts) - counts)[ask]
    at_touch = starts[ask] + alone[ask] + place

    ordinal = np.zeros(total, dtype=np.int64)
    ordinal[at_touch] = place + 1
    reasons = np.zeros(total, dtype=np.int64)
    reasons[at_zero] = reason[zero]
    spread = np.zeros((len(WEIGHTS), total), dtype=np.int64)
    spread[:, at_touch] = weights
    spread[:, at_zero] = missing[:, zero]
    columns = {}
    for field in fields(Touches):
        column = np.zeros(total, dtype=np.int64)
        column[at_touch] = getattr(touches, field.name)
        columns[field.name] = column
    columns["at"][at_zero] = asks.at[zero]
    for name in ("channel", "campaign", "ad"):
        columns[name][at_zero] = -1
    return Credits(sizes, ordinal, Touches(**columns), reasons, spread)
