"""RELIABILITY P3: what was erased is in no file and no row any more, and every number is as it was.

At length (CLICKTRAIL_FAULTS=long) 100 among 100,000, or as many as CLICKTRAIL_PEOPLE says; here 10 among
1,000, and a few where a bug is planted.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from app import db, tables
from app.pipeline.store import KEPT_PER_DAY
from tests import engines
from tests.conftest import Clicktrail
from tests.faults.derived import differences
from tests.persons import crowd
from tests.persons.planted import BUGS

LONG = os.environ.get("CLICKTRAIL_FAULTS") == "long"
PEOPLE = int(os.environ.get("CLICKTRAIL_PEOPLE", 100_000 if LONG else 1_000))
ERASED = 100 if LONG else 10

#: What PostgreSQL's own files hold is the server's: there rows and inboxes are searched.
OF_FILES = ("keeps_the_log", "keeps_what_is_deleted")
PLANTED = [bug for bug in BUGS if not (engines.POSTGRESQL and bug in OF_FILES)]

TOTALS = (
    tables.traffic_days, tables.traffic_campaign_days, tables.traffic_places, tables.traffic_quarters,
    tables.credit_days, tables.credit_places, tables.bookings,
)  # fmt: skip


def by_turns(humans: Sequence[crowd.Human]) -> list[dict[str, str]]:
    """Each named by another sort of identifier."""
    ways: tuple[Callable[[crowd.Human], dict[str, str]], ...] = (
        lambda human: {"visitor_id": f"vis-{human.token}"},
        lambda human: {"user_id": f"usr-{human.token}"},
        lambda human: {"email": human.email.upper()},
        lambda human: {"order_id": f"ord-{human.token}"},
        lambda human: {"visitor_id": human.cookie},
    )
    return [ways[i % len(ways)](human) for i, human in enumerate(humans)]


def database(service: Clicktrail) -> str:
    return engines.url_of(service.data) or f"sqlite:///{service.data / 'clicktrail.db'}"


def lived(
    service: Clicktrail, engine: Engine, people: int, erased: int
) -> tuple[list[crowd.Human], list[bytes]]:
    """Who is to be erased of a crowd that used the service, and what tells of them: all is there."""
    humans = crowd.crowd(people)
    gone = humans[:: people // erased]
    crowd.prepared(service)
    clicks = crowd.browse(service, gone)
    crowd.live(service, humans)
    crowd.drained(service, engine, events=people + 2 * erased, rejected=min(people, KEPT_PER_DAY))
    marks = [*clicks, *(mark for human in gone for mark in human.marks())]
    found = {mark for _, mark in left(service, engine, marks)}
    assert found == {*marks}
    return gone, marks


def left(service: Clicktrail, engine: Engine, marks: Sequence[bytes]) -> list[tuple[str, bytes]]:
    return crowd.left(service.data.parent, marks) + crowd.left_in_rows(engine, marks)


def totals(engine: Engine) -> list[list[Any]]:
    with db.reading(engine) as connection:
        return [sorted(map(tuple, connection.execute(select(table)))) for table in TOTALS]


def test_some_people_among_many_are_gone_from_every_byte_and_every_number_stays(
    fresh_clicktrail: Clicktrail, tmp_path: Path, report: Callable[[str], None]
) -> None:
    engine = db.connect(database(fresh_clicktrail))
    gone, marks = lived(fresh_clicktrail, engine, PEOPLE, ERASED)
    before = totals(engine)
    with fresh_clicktrail.client("admin") as admin:
        told = crowd.erased(admin, by_turns(gone))
    assert [one["counts"]["conversions"] for one in told] == [2] * ERASED
    assert left(fresh_clicktrail, engine, marks) == []
    assert totals(engine) == before
    fresh_clicktrail.stop()
    assert crowd.left(fresh_clicktrail.data.parent, marks) == []
    engine.dispose()
    assert differences(database(fresh_clicktrail), tmp_path) == []
    report(f"{ERASED} of {PEOPLE} people erased: 0 of {len(marks)} marks left, recount equal")


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_leaves_something_that_the_search_finds(
    bug: str, start_clicktrail: Callable[..., Clicktrail]
) -> None:
    service = start_clicktrail(before=(str(Path(__file__).with_name("planted.py")), bug))
    engine = db.connect(database(service))
    gone, marks = lived(service, engine, 40, 4)
    with service.client("admin") as admin:
        crowd.erased(admin, by_turns(gone))
    assert left(service, engine, marks) != []
    engine.dispose()
