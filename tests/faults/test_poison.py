"""A record that cannot be stored, wherever it stands in a batch of 500: it costs only itself.

In short at 101 positions spread evenly, first and last among them; with CLICKTRAIL_FAULTS=long at all.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import select

from app import db, tables
from app.model import Event, number
from app.pipeline.run import Pipeline
from tests.faults import planted
from tests.house import House, event

pytestmark = pytest.mark.faults

SIZE = 500
POSITIONS = (
    range(SIZE) if os.environ.get("CLICKTRAIL_FAULTS") == "long" else (*range(0, SIZE - 1, 5), SIZE - 1)
)

#: Three ways of being poison; no door lets any of them in.
POISONS: dict[str, Callable[[str], Event]] = {
    "too large for its column": lambda id_: event("sale", id=id_, order_id=id_, value=2**63, currency="EUR"),
    "of no known kind": lambda id_: event("rumour", id=id_),
    "through no known door": lambda id_: event("impression", id=id_, door="window"),
}


@dataclass
class Cost:
    """What poison cost: good records not there, batches not passed, and who was put aside."""

    missing: list[str] = field(default_factory=list)
    not_passed: list[int] = field(default_factory=list)
    quarantined: Counter[str] = field(default_factory=Counter)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    built = House.build(tmp_path)
    yield built
    built.engine.dispose()


def poisoned(house: House, poison: Callable[[str], Event], positions: Iterable[int]) -> Cost:
    """For each position a batch of 499 good records and a bad one there."""
    cost, good = Cost(), set[str]()
    for position in positions:
        ids = [f"{position}-{place}" for place in range(SIZE)]
        good |= {id_ for place, id_ in enumerate(ids) if place != position}
        house.send(
            *(poison(id_) if n == position else event("impression", id=id_) for n, id_ in enumerate(ids))
        )
        if house.one(tables.cursors).sequence != house.sequence:
            cost.not_passed.append(position)
    with db.reading(house.engine) as connection:
        there = set(connection.scalars(select(tables.events.c.no)))
        cost.quarantined += Counter(connection.scalars(select(tables.rejected.c.event_id)))
    cost.missing += [id_ for id_ in good if number(1, "id", id_) not in there]
    return cost


@pytest.mark.parametrize(
    ("poison", "positions"),
    [
        ("too large for its column", POSITIONS),
        ("of no known kind", range(0, SIZE, 83)),
        ("through no known door", range(0, SIZE, 83)),
    ],
)
def test_poison_costs_only_itself_wherever_it_stands(
    house: House, poison: str, positions: Sequence[int], report: Callable[[str], None]
) -> None:
    cost = poisoned(house, POISONS[poison], positions)
    assert cost.missing == []
    assert cost.not_passed == []
    assert cost.quarantined == Counter(f"{position}-{position}" for position in positions)
    report(f"poison {poison}, {len(positions)} positions of {SIZE}: {SIZE - 1} stored, 1 quarantined at each")


def test_a_pipeline_that_drops_the_batch_is_found_out(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pipeline, "take", Pipeline.take)  # so that it is put back
    planted.batch_dropped_for_one()
    cost = poisoned(house, POISONS["too large for its column"], [7])
    assert len(cost.missing) == SIZE - 1
    assert cost.quarantined != Counter(["7-7"])
