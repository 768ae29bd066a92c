"""RELIABILITY P5: what is past its time is gone within a day of the worker's turns; the report proves it."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select

from app import db, tables, workspaces
from app.events import retention
from app.model import DAY
from app.persons import keeping
from app.persons.keeping import CLASSES, Limits
from tests.house import NOON, House
from tests.persons.people import lives

LIMITS = Limits(retention_months=25, rejected_days=90, audit_days=400)
LATER = NOON + 26 * 31 * DAY  # 26 months and some days


@pytest.fixture
def house(tmp_path: Path) -> House:
    """With rows of every class, three years old and new."""
    made = House.build(tmp_path)
    made.send(*lives("anna"))
    made.settle()
    with db.begin(made.engine) as connection:
        for i, at in enumerate((NOON, LATER)):
            one = {"file": bytes(16), "sequence": i, "outcome": "duplicate", "at": at}
            connection.execute(tables.outcomes.insert().values(one))
            row = {"workspace": 1, "at": at, "kind": "quarantined", "door": "api", "code": "x"}
            connection.execute(tables.rejected.insert().values(row))
            line = {"workspace": 1, "at": at, "key": 1, "action": "change", "object": "workspace"}
            connection.execute(tables.audit_log.insert().values(line))
    return made


def report(house: House, now: int) -> dict[str, dict[str, object]]:
    with db.reading(house.engine) as connection:
        return {one["what"]: one for one in keeping.report(connection, 1, now=now, limits=LIMITS)}


def test_after_twenty_six_months_nothing_is_past_its_time(house: House) -> None:
    overdue = {what: one["past"] for what, one in report(house, LATER).items() if one["past"]}
    assert overdue == {"raw events": 4, "receipts": 1, "rejected records": 1, "audit log": 1}
    keeping.drop_old(house.engine, LATER, LIMITS)
    gone = retention.drop_old(house.engine, LATER, LIMITS.retention_months)
    keeping.ran(house.engine, "raw events", removed=gone, now=LATER)
    after = report(house, LATER)
    assert [one["past"] for one in after.values()] == [0] * len(CLASSES)
    for what in ("raw events", "receipts", "rejected records", "audit log"):
        assert after[what]["looked_through_at"] == LATER
        assert after[what]["oldest"] in (None, LATER)
    with db.reading(house.engine) as connection:
        left = [
            connection.scalar(select(func.count()).select_from(t))
            for t in (tables.rejected, tables.audit_log)
        ]
        assert left == [1, 1]
        assert connection.scalar(select(func.count()).select_from(tables.conversions)) == 4


def test_what_is_kept_for_ever_is_past_no_time(house: House) -> None:
    with db.reading(house.engine) as connection:
        for_ever = Limits(retention_months=0, rejected_days=0, audit_days=0)
        told = keeping.report(connection, 1, now=LATER, limits=for_ever)
    assert [one["what"] for one in told if one["past"]] == ["receipts"]
    assert {one["kept"] for one in told} >= {"for ever", "until erased", "7 days"}


def test_each_class_goes_on_where_it_was_in_batches(house: House) -> None:
    with db.begin(house.engine) as connection:
        rows = [
            {"workspace": 1, "at": NOON + i, "kind": "refused", "door": "api", "code": "x"}
            for i in range(2 * keeping.BATCH + 5)
        ]
        connection.execute(tables.rejected.insert(), rows)
    assert keeping.drop_old(house.engine, LATER, LIMITS) == 2 * keeping.BATCH + 5 + 3
    assert report(house, LATER)["rejected records"]["removed"] == 2 * keeping.BATCH + 6


def test_source_counts_go_workspace_by_workspace_and_none_is_left(house: House) -> None:
    with db.begin(house.engine) as connection:
        workspaces.add_workspace(connection, "other", now=NOON)
        rows = [
            {"workspace": workspace, "kind": 1, "name": f"host {i}", "day": NOON // DAY, "count": 1}
            for workspace in (1, 2)
            for i in range(keeping.BATCH)
        ]
        connection.execute(tables.source_days.insert(), rows)
    gone: list[int] = []

    @event.listens_for(house.engine, "after_cursor_execute")
    def count(_connection: object, cursor: Any, statement: str, *_: object) -> None:
        gone.append(cursor.rowcount if statement.startswith("DELETE FROM source_days") else 0)

    keeping.drop_old(house.engine, LATER, LIMITS)
    assert [count for count in gone if count > 0] == [keeping.BATCH, keeping.BATCH]
    assert house.rows(tables.source_days) == []
