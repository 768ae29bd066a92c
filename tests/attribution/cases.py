"""Hypothesis strategies for batches of journeys, and the same batch as the engine's columns."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from app.attribution.credits import Standing
from app.attribution.journeys import Asks, Journeys, Touches
from app.attribution.models import Parameters
from app.attribution.rules import Rules
from app.model import DAY, HOUR
from tests.attribution.law import Conversion, Law, Touch

NOW = 1_760_000_000_000_000

#: Instants that meet one another and the edges of windows often.
INSTANTS = st.one_of(
    st.sampled_from([NOW - k * DAY + d for k in (0, 1, 2, 3, 5) for d in (-1, 0, 1)]),
    st.integers(NOW - 6 * DAY, NOW + HOUR),
)
WINDOWS = st.sampled_from([0, HOUR, DAY, 2 * DAY, 3 * DAY, 5 * DAY])


@st.composite
def laws(draw: st.DrawFn) -> Law:
    windows = st.fixed_dictionaries(dict.fromkeys((1, 2, 3), WINDOWS))
    some = st.dictionaries(st.sampled_from([1, 2, 3]), WINDOWS, max_size=2)
    shares = draw(st.tuples(*[st.integers(0, 100)] * 3).filter(any))
    return Law(
        windows=draw(windows),
        goal_windows=draw(st.dictionaries(st.integers(1, 2), some, max_size=1)),
        campaign_windows=draw(st.dictionaries(st.integers(1, 3), some, max_size=2)),
        billing_window=draw(WINDOWS),
        billing=draw(st.sampled_from(["last_click", "first_click", "last_touch", "first_touch"])),
        tier_rule=draw(st.sampled_from(["click_over_view", "all_kinds"])),
        direct=draw(st.sampled_from(["last_resort", "count", "exclude"])),
        collapse=draw(st.booleans()),
        shares=shares,
        half_life=draw(st.sampled_from([1, 7, 24, 168])),
        cap=draw(st.sampled_from([1, 2, 3, 500])),
    )


@dataclass(frozen=True)
class Batch:
    """Touches by number, who holds which, conversions with their person and the clicks they brought."""

    touches: dict[int, Touch]
    holders: dict[int, frozenset[int]]  # touch -> persons
    asks: list[tuple[Conversion, int, frozenset[int]]]

    def seen_by(self, ask: int) -> list[Touch]:
        """All touches as they are to one conversion."""
        _, person, signed = self.asks[ask]
        return [
            Touch(t.no, t.kind, t.at, t.flags, t.direct, t.campaign, person in self.holders[no], no in signed)
            for no, t in self.touches.items()
        ]


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    touch = st.builds(
        Touch,
        no=st.integers(1, 10**6),
        kind=st.sampled_from([1, 2, 2, 3]),
        at=INSTANTS,
        flags=st.sampled_from([0, 0, 0, 1, 128]),
        direct=st.sampled_from([0, 0, 1]),
        campaign=st.integers(0, 3),
    )
    touches = {t.no: t for t in draw(st.lists(touch, max_size=12, unique_by=lambda t: t.no))}
    people = st.frozensets(st.integers(0, 2), max_size=2)
    conversion = st.builds(
        Conversion,
        at=INSTANTS,
        goal=st.integers(0, 2),
        spent=st.one_of(st.just(-(2**62)), INSTANTS),
        denied=st.booleans(),
        nameless=st.booleans(),
    )
    clicks = [no for no, t in touches.items() if t.kind == 2]
    signed = st.frozensets(st.sampled_from(clicks), max_size=2) if clicks else st.just(frozenset())
    return Batch(
        touches=touches,
        holders={no: draw(people) for no in touches},
        asks=draw(st.lists(st.tuples(conversion, st.integers(0, 2), signed), min_size=1, max_size=5)),
    )


def column(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def asks_of(batch: Batch) -> Asks:
    return Asks(
        at=column([c.at for c, _, _ in batch.asks]),
        goal=column([c.goal for c, _, _ in batch.asks]),
        person=column([person for _, person, _ in batch.asks]),
        spent=column([c.spent for c, _, _ in batch.asks]),
    )


def journeys_of(batch: Batch) -> Journeys:
    own = list(batch.touches.values())
    index = {t.no: i for i, t in enumerate(own)}
    zero = column([0] * len(own))
    held = [(person, index[no]) for no, people in batch.holders.items() for person in people]
    signed = [(i, index[no]) for i, (_, _, clicks) in enumerate(batch.asks) for no in clicks]
    return Journeys(
        Touches(
            no=column([t.no for t in own]),
            kind=column([t.kind for t in own]),
            at=column([t.at for t in own]),
            flags=column([t.flags for t in own]),
            direct=column([t.direct for t in own]),
            channel=zero,
            campaign=column([t.campaign for t in own]),
            ad=zero,
            partner=zero,
            country=zero,
            device=zero,
        ),
        holder=column([p for p, _ in held]),
        held=column([t for _, t in held]),
        bearer=column([c for c, _ in signed]),
        signed=column([t for _, t in signed]),
    ).in_order()


def standing_of(batch: Batch) -> Standing:
    return Standing(
        denied=np.array([c.denied for c, _, _ in batch.asks], dtype=np.bool_),
        nameless=np.array([c.nameless for c, _, _ in batch.asks], dtype=np.bool_),
    )


def rules_of(law: Law) -> Rules:
    return Rules(
        windows=law.windows,
        goal_windows=law.goal_windows,
        campaign_windows=law.campaign_windows,
        billing_window=law.billing_window,
        billing=law.billing,
        tier_rule=law.tier_rule,
        direct=law.direct,
        collapse=law.collapse,
        cap=law.cap,
    )


def parameters_of(law: Law) -> Parameters:
    return Parameters(law.shares, law.half_life)
