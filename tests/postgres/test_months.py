"""Events lie in months that are made ahead; what came before its month was made is moved there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from app import db, tables
from app.events import months
from app.model import DAY
from tests.house import NOON, House, event


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House.build(tmp_path)


@pytest.fixture
def connection(house: House) -> Iterator[Connection]:
    with db.begin(house.engine) as connection:
        yield connection


def lying(connection: Connection) -> dict[str, int]:
    """How many events each part holds, without empty ones."""
    rows = connection.execute(text("SELECT tableoid::regclass::text, count(*) FROM events GROUP BY 1"))
    return dict(rows.all())  # type: ignore[arg-type]


def plan(connection: Connection, statement: str, **values: int) -> str:
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    return "\n".join(connection.scalars(text(f"EXPLAIN (COSTS OFF) {statement}"), values))


def test_months_are_made_ahead_once(connection: Connection) -> None:
    assert months.make_months(connection, NOON) == 5
    assert months.make_months(connection, NOON) == 0
    assert months.make_months(connection, NOON + 31 * DAY) == 1


def test_an_event_lies_in_its_month_and_one_of_no_month_in_the_rest(house: House) -> None:
    with db.begin(house.engine) as connection:
        months.make_months(connection, NOON)
    house.send(event("click", id="a"), event("click", id="b", at=NOON - 400 * DAY))
    with db.reading(house.engine) as connection:
        assert lying(connection) == {"events_2026_09": 1, "events_rest": 1}


def test_a_month_that_is_made_takes_its_events_from_the_rest(house: House) -> None:
    house.send(*(event("click", id=f"c{i}", at=NOON + i * DAY) for i in range(20)))
    before = house.rows(tables.events)
    with db.begin(house.engine) as connection:
        assert lying(connection) == {"events_rest": 20}
        months.make_months(connection, NOON)
        assert lying(connection) == {"events_2026_09": 10, "events_2026_10": 10}
    assert sorted(house.rows(tables.events)) == sorted(before)


def test_the_last_instant_of_a_month_is_in_it(house: House) -> None:
    with db.begin(house.engine) as connection:
        months.make_months(connection, NOON)
    october = 1_790_812_800_000_000  # 2026-10-01T00:00:00Z
    house.send(event("click", id="a", at=october - 1), event("click", id="b", at=october))
    with db.reading(house.engine) as connection:
        assert lying(connection) == {"events_2026_09": 1, "events_2026_10": 1}


def test_a_journey_reads_its_months_from_the_index_alone(connection: Connection) -> None:
    months.make_months(connection, NOON)
    read = plan(
        connection,
        "SELECT no, kind, flags, campaign_id FROM events "
        "WHERE visitor = ANY(ARRAY[5, 6]) AND occurred_at > :since AND occurred_at <= :until",
        since=NOON,
        until=NOON + DAY,
    )
    assert "Index Only Scan" in read
    assert "events_2026_09" in read
    assert "events_2026_10" not in read and "events_rest" not in read


def test_how_fresh_it_is_costs_no_scan(connection: Connection) -> None:
    months.make_months(connection, NOON)
    read = plan(connection, "SELECT received_at FROM events ORDER BY id DESC LIMIT 1")
    assert "Merge Append" in read and "Seq Scan" not in read
