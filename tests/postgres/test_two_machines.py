"""Two machines, each with its own pipeline and a leader, into one database: nothing falls between them."""

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, select

from app import db, tables
from app.attribution.leader import lead
from app.inbox.records import Slice
from app.model import HOUR, Event
from app.pipeline import recount
from app.pipeline.recount import ROLLUPS, counted
from app.pipeline.run import Pipeline
from tests.house import NOON, House, event

pytestmark = pytest.mark.faults

#: Touches and their sales. The long run is the ten thousand of the promise.
SALES = 10_000 if os.environ.get("CLICKTRAIL_FAULTS") == "long" else 1_000
BATCH = 20


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House.build(tmp_path)


class Machine:
    """A pipeline of its own, fed from an inbox file of its own."""

    def __init__(self, house: House, name: bytes) -> None:
        self.pipeline = Pipeline(house.engine, lambda: NOON)
        self.file = name * 16
        self.sequence = 0

    def take(self, records: Iterable[Event]) -> None:
        payloads = [msgspec.msgpack.encode(record) for record in records]
        first = self.sequence + 1
        self.sequence += len(payloads)
        self.pipeline.take([Slice(self.file, list(range(first, self.sequence + 1)), payloads)])


def at_once(*acts: Callable[[], object]) -> None:
    """Run them side by side; the first failure is the test's."""
    start = threading.Barrier(len(acts))
    failures: list[BaseException] = []

    def run(act: Callable[[], object]) -> None:
        try:
            start.wait()
            act()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def both_send(house: House, left: list[Event], right: list[Event], *, leaders: int = 2) -> None:
    """Two machines take their lists batch by batch, side by side, while leaders derive; then all settles."""
    done = threading.Event()

    def feed(name: bytes, records: list[Event]) -> None:
        machine = Machine(house, name)
        for start in range(0, len(records), BATCH):
            machine.take(records[start : start + BATCH])

    def follow() -> None:
        while not done.is_set():
            lead(house.engine, lambda: NOON, recount.rebuild)

    followers = [threading.Thread(target=follow) for _ in range(leaders)]
    for follower in followers:
        follower.start()
    try:
        at_once(lambda: feed(b"l", left), lambda: feed(b"r", right))
    finally:
        done.set()
        for follower in followers:
            follower.join()
    house.settle()


def exact(house: House) -> None:
    """The traffic rollups are what a count of the events says, and nothing was quarantined."""
    with db.reading(house.engine) as connection:
        assert connection.scalar(select(func.count()).select_from(tables.rejected)) == 0
        for table, cells in zip(ROLLUPS, counted(connection, 1, "UTC"), strict=True):
            width = len(table.primary_key)
            stored = {tuple(row[1:width]): list(row[width:]) for row in connection.execute(select(table))}
            assert {k: v for k, v in stored.items() if any(v)} == {
                k[1:]: v for k, v in cells.items() if any(v)
            }


def test_a_touch_and_its_sale_sent_through_two_machines_at_once_never_miss_each_other(house: House) -> None:
    clicks = [
        event("click", at=NOON - HOUR, id=f"c{i}", visitor_id=f"v{i}", campaign="spring")
        for i in range(SALES)
    ]
    sales = [event("sale", id=f"s{i}", visitor_id=f"v{i}", order_id=f"o{i}") for i in range(SALES)]
    both_send(house, clicks, sales)
    c = tables.credits.c
    with db.reading(house.engine) as connection:
        v = tables.conversions.c
        present = (v.workspace == c.workspace) & (v.id == c.conversion) & (v.credit_version == c.version)
        statement = select(func.count()).select_from(tables.credits).join(tables.conversions, present)
        assert connection.scalar(statement.where(c.last_touch > 0, c.campaign_id > 0)) == SALES
        assert connection.scalar(statement.where(c.campaign_id <= 0)) == 0
    exact(house)


def test_the_same_ids_sent_through_both_machines_count_once(house: House) -> None:
    records = [event("click", id=f"c{i}", visitor_id=f"v{i % 7}", campaign=f"k{i % 50}") for i in range(400)]
    both_send(house, records, records)
    assert len(house.rows(tables.events)) == 400
    assert len(house.rows(tables.campaigns)) == 50
    outcomes = house.rows(tables.outcomes)
    assert [row.outcome for row in outcomes] == ["duplicate"] * 400
    exact(house)


def test_a_slug_told_in_two_spellings_through_two_machines_is_one(house: House) -> None:
    for n in range(20):
        left = [event("click", id=f"l{n}", campaign=f"Spring{n}", ad=f"Ad{n}", partner=f"Anna{n}")]
        right = [event("click", id=f"r{n}", campaign=f"SPRING{n}", ad=f"AD{n}", partner=f"ANNA{n}")]
        both_send(house, left, right, leaders=0)
    for table in (tables.campaigns, tables.ads, tables.partners):
        assert len(house.rows(table)) == 20


def test_a_landing_and_the_redirect_that_explains_it_meet_whichever_machine_is_first(house: House) -> None:
    """The click of the redirect stands alone, as it does when both come one after the other."""
    left, right = [], []
    for n in range(200):
        left.append(
            event("click", id=f"c{n}", door="redirect", visitor_id=f"v{n}", campaign="spring", at=NOON)
        )
        right.append(
            event(
                "visit", id=f"w{n}", visitor_id=f"v{n}", at=NOON + 1, url="https://shop.example/",
                utm={"campaign": "spring", "source": "google", "medium": "cpc"},
            )
        )  # fmt: skip
    both_send(house, left, right)
    e = tables.events.c
    with db.reading(house.engine) as connection:
        doors = select(e.door, func.count()).where(e.kind == 2).group_by(e.door)
        clicks = connection.execute(doors).all()
    assert [count for _, count in clicks] == [200]
    exact(house)


def test_of_two_leaders_one_leads(house: House) -> None:
    with db.begin(house.engine) as first:
        assert db.leading(first)
        with db.begin(house.engine) as second:
            assert not db.leading(second)
    with db.begin(house.engine) as second:
        assert db.leading(second)
