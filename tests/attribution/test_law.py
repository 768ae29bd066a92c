"""The vectorised engine equals the integer law, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import money
from app.attribution.allocation import shares
from app.attribution.credits import credits
from app.attribution.journeys import merged
from app.attribution.models import decay_table
from app.attribution.rules import REJECTIONS, candidates, judge
from app.model import DAY, MODELS
from tests.attribution import law as plain
from tests.attribution.cases import (
    Batch,
    asks_of,
    batches,
    column,
    journeys_of,
    laws,
    parameters_of,
    rules_of,
    standing_of,
)
from tests.attribution.law import Law


@settings(max_examples=400, deadline=None)
@given(batch=batches(), law=laws())
def test_credits_of_a_batch_are_those_of_the_law_for_each_conversion(batch: Batch, law: Law) -> None:
    rows = credits(
        asks_of(batch),
        journeys_of(batch),
        standing_of(batch),
        rules=rules_of(law),
        parameters=parameters_of(law),
        day_of=lambda at: at // DAY,
    )
    for i, (conversion, _, _) in enumerate(batch.asks):
        own = np.flatnonzero(rows.owner == i)
        columns = (rows.ordinal, rows.no, rows.reason, *rows.weights())
        found = [tuple(values) for values in np.array([c[own] for c in columns]).T.tolist()]
        assert found == plain.credits(conversion, batch.seen_by(i), law)


@settings(max_examples=400, deadline=None)
@given(batch=batches(), law=laws())
def test_every_touch_has_the_reason_of_the_law(batch: Batch, law: Law) -> None:
    asks, journeys = asks_of(batch), journeys_of(batch)
    nos = journeys.touches.no.tolist()
    for i, (conversion, person, _) in enumerate(batch.asks):
        touches = np.arange(len(nos))
        signed = journeys.signed[journeys.bearer == i]
        pairs = merged(
            np.full(len(nos) + len(signed), i),
            np.r_[touches, signed],
            signed=np.arange(len(nos) + len(signed)) >= len(nos),
            touches=len(nos),
        )
        held = np.isin(pairs.touch, journeys.held[journeys.holder == person])
        verdict = judge(
            type(pairs)(pairs.ask, pairs.touch, held, pairs.signed), asks, journeys.touches, rules_of(law)
        )
        why = plain.reasons(conversion, batch.seen_by(i), law)
        expected = [REJECTIONS[why[no]] if why[no] else 0 for no in nos]
        assert verdict.code.tolist() == expected
        owed = plain.billed(conversion, batch.seen_by(i), law)
        assert [nos[t] for t in pairs.touch[verdict.billed]] == ([owed.no] if owed else [])


@settings(max_examples=200, deadline=None)
@given(batch=batches(), law=laws())
def test_no_more_than_the_cap_of_a_kind_is_multiplied_out(batch: Batch, law: Law) -> None:
    asks, journeys = asks_of(batch), journeys_of(batch)
    pairs = candidates(asks, journeys, rules_of(law))
    kinds = journeys.touches.kind[pairs.touch]
    for i in range(len(batch.asks)):
        for kind in plain.RANK:
            assert ((pairs.ask == i) & (kinds == kind) & ~pairs.signed).sum() <= law.cap


AMOUNTS = st.one_of(
    st.integers(-money.LARGEST, money.LARGEST), st.integers(-100, 100), st.just(money.LARGEST)
)
WEIGHTS = st.lists(
    st.one_of(st.integers(0, 5), st.integers(0, 2**20), st.integers(2**30, 2**40), st.integers(0, 2**61)),
    min_size=1,
    max_size=8,
).filter(any)


@settings(max_examples=500, deadline=None)
@given(cases=st.lists(st.tuples(AMOUNTS, WEIGHTS), max_size=6))
def test_shares_of_a_batch_are_those_of_the_law_and_sum_exactly(cases: list[tuple[int, list[int]]]) -> None:
    amounts = column([amount for amount, _ in cases])
    weights = column([w for _, own in cases for w in own])
    found = shares(amounts, weights, column([len(own) for _, own in cases])).tolist()
    expected = [plain.allocate(amount, own) for amount, own in cases]
    assert found == [share for own in expected for share in own]
    assert [sum(own) for own in expected] == amounts.tolist()
    assert expected == [money.allocate(amount, own) for amount, own in cases]


@pytest.mark.parametrize("weights", [[0, 0], [1, -1], [-1, 2]])
def test_weights_that_are_negative_or_all_zero_are_refused(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="weights"):
        shares(column([5]), column(weights), column([len(weights)]))


@pytest.mark.parametrize("half_life", [1, 2, 24, 168, 1000])
def test_the_table_of_time_decay_is_exact(half_life: int) -> None:
    table = decay_table(half_life).tolist()
    hours = {*range(0, len(table), max(1, len(table) // 200)), *range(0, len(table), half_life)}
    assert all(table[h] == plain.decay(h, half_life) for h in sorted(hours))
    assert table[0] == 2**20 and table[half_life] == 2**19 and table[-1] == 1


def test_models_are_numbered_as_the_tables_know_them() -> None:
    assert list(MODELS.values()) == list(range(1, len(MODELS) + 1))
