"""From SQLite to PostgreSQL: every row and every report is equal afterwards, and work goes on there."""

from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from app import db, tables
from app import move as moving
from app.migrate import migrate
from app.model import DAY, HOUR
from app.move import REPORTS, Refused, move, report
from app.pipeline.run import Pipeline
from app.settings import Settings
from tests import engines
from tests.house import NOON, House, event
from tests.operation import planted


@pytest.fixture
def here(tmp_path: Path) -> House:
    """A SQLite house in which something of everything happened."""
    migrate(f"sqlite:///{tmp_path}/clicktrail.db")
    house = House.on(db.connect(f"sqlite:///{tmp_path}/clicktrail.db"))
    events = []
    for i in range(120):
        at, who = NOON - i * 7 * HOUR, f"v{i % 17}"
        where = {
            "campaign": f"c{i % 5}",
            "partner": ("Anna", "anna b", "Zoë", "ÅSA")[i % 4],
            "ad": f"a{i % 3}",
        }
        events.append(event("impression", at=at - DAY, id=f"i{i}", visitor_id=who, **where))
        events.append(event("click", at=at, id=f"c{i}", visitor_id=who, user_id=f"u{i % 9}", **where))
        if i % 2:
            events.append(
                event(
                    "sale",
                    at=at + HOUR,
                    id=f"s{i}",
                    visitor_id=who,
                    order_id=f"o{i}",
                    value=i * 10**6,
                    currency="EUR",
                )
            )
        if i % 10 == 1:
            events.append(
                event("refund", at=at + DAY, id=f"r{i}", order_id=f"o{i}", value=10**6, currency="EUR")
            )
    for start in range(0, len(events), 100):
        house.send(*events[start : start + 100])
    house.settle()
    return house


def settings(folder: Path) -> Settings:
    return Settings(data=folder)


def test_everything_is_equal_after_the_move(here: House, tmp_path: Path) -> None:
    told: list[str] = []
    counts = move(
        settings(tmp_path), engines.url(tmp_path, "moved"), now=NOON, told=lambda what, *_: told.append(what)
    )
    assert counts["events"] == 240 and counts["conversions"] == 60
    assert {"events", "compare credits"} <= set(told)
    there = db.connect(engines.url(tmp_path, "moved"))
    with db.reading(here.engine) as old, db.reading(there) as new:
        for asked in REPORTS:
            assert report(old, 1, asked, NOON) == report(new, 1, asked, NOON)
        assert b'"sales":' in report(new, 1, {}, NOON)
    there.dispose()


def test_after_the_move_work_goes_on(here: House, tmp_path: Path) -> None:
    """Ids continue, cells take more, and both sides derive the same from the same further events."""
    move(settings(tmp_path), engines.url(tmp_path, "moved"), now=NOON, told=lambda *_: None)
    there = House(
        db.connect(engines.url(tmp_path, "moved")), Pipeline(here.engine, lambda: NOON), here.sequence
    )
    there.pipeline = Pipeline(there.engine, lambda: NOON)
    for house in (here, there):
        house.send(event("click", at=NOON, id="new", visitor_id="v3", campaign="brand new"))
        house.send(
            event("sale", at=NOON + 1, id="sold", visitor_id="v3", order_id="sold", value=5, currency="EUR")
        )
        house.settle()
    assert there.derived() == here.derived()
    there.engine.dispose()


def test_a_move_that_leaves_the_sequences_behind_is_found_out(
    here: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "_sequence", moving._sequence)  # so that it is put back
    planted.sequences_left_behind()
    move(settings(tmp_path), engines.url(tmp_path, "moved"), now=NOON, told=lambda *_: None)
    there = db.connect(engines.url(tmp_path, "moved"))
    house = House(there, Pipeline(there, lambda: NOON), here.sequence)
    house.send(event("click", at=NOON, id="new", visitor_id="v3", campaign="brand new"))
    assert len(house.rows(tables.events)) == len(here.rows(tables.events))  # it was not stored
    there.dispose()


def test_a_database_that_is_not_empty_is_left_alone(here: House, tmp_path: Path) -> None:
    move(settings(tmp_path), engines.url(tmp_path, "moved"), now=NOON, told=lambda *_: None)
    with pytest.raises(Refused, match="the target is not empty"):
        move(settings(tmp_path), engines.url(tmp_path, "moved"), now=NOON, told=lambda *_: None)


def test_a_row_that_cannot_go_stops_the_move_and_leaves_nothing(here: House, tmp_path: Path) -> None:
    with db.begin(here.engine) as connection:
        connection.execute(
            update(tables.campaigns).where(tables.campaigns.c.slug == "c1").values(name="a\0b")
        )
    with pytest.raises(Exception, match="NUL"):
        move(settings(tmp_path), engines.url(tmp_path, "moved"), now=NOON, told=lambda *_: None)
    there = db.connect(engines.url(tmp_path, "moved"))
    with db.reading(there) as connection:
        assert connection.scalar(select(func.count()).select_from(tables.workspaces)) == 0
    there.dispose()
