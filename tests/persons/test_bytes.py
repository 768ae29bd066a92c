"""RELIABILITY P3: what was erased is in no file and no row any more, and every number is as it was."""

from pathlib import Path

import pytest

from app import db
from tests import engines
from tests.conftest import Clicktrail
from tests.persons import crowd

PEOPLE, ERASED = 1_000, 10


@pytest.fixture
def people() -> list[crowd.Human]:
    return crowd.crowd(PEOPLE)


def by_turns(humans: list[crowd.Human]) -> list[dict[str, str]]:
    """Each named by another sort of identifier."""
    ways = (
        lambda h: {"visitor_id": f"vis-{h.token}"},
        lambda h: {"user_id": f"usr-{h.token}"},
        lambda h: {"email": h.email.upper()},
        lambda h: {"order_id": f"ord-{h.token}"},
        lambda h: {"visitor_id": h.cookie},
    )
    return [ways[i % len(ways)](human) for i, human in enumerate(humans)]


def test_ten_people_among_a_thousand_are_gone_from_every_byte(
    fresh_clicktrail: Clicktrail, people: list[crowd.Human], tmp_path: Path
) -> None:
    service, gone = fresh_clicktrail, people[:: PEOPLE // ERASED]
    engine = db.connect(engines.url_of(service.data) or f"sqlite:///{service.data / 'clicktrail.db'}")
    crowd.prepared(service)
    clicks = crowd.browse(service, gone)
    crowd.live(service, people)
    crowd.drained(service, engine, events=PEOPLE + 2 * ERASED, rejected=PEOPLE)
    marks = [*clicks, *(mark for human in gone for mark in human.marks())]
    assert {mark for _, mark in crowd.left(service.data, marks)} | {
        mark for _, mark in crowd.left_in_rows(engine, marks)
    } == {*marks}
    with service.client("admin") as admin:
        told = crowd.erased(admin, by_turns(gone))
        assert [one["counts"]["conversions"] for one in told] == [2] * ERASED
        before = admin.get("/v1/person/erasures/1").json()
        assert before["done_at"] >= before["erased_at"] >= before["requested_at"]
    assert crowd.left_in_rows(engine, marks) == []
    assert crowd.left(service.data.parent, marks) == []
    engine.dispose()
