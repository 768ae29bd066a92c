"""RELIABILITY P4: an export holds everything that was sent of a person, and nothing of anybody else."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table

from app import db, tables
from app.campaigns.fields import moment_text
from app.errors import ClicktrailError
from app.model import KINDS, Event, number
from app.persons import export, finding
from tests.house import NOON, House
from tests.persons.people import lives, marks

RESULTS = ("lead", "sale")


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House.build(tmp_path)
    made.campaign("spring")
    made.send(*lives("anna", "björn", "چائے"))
    made.settle()
    return made


def document(house: House, name: str, value: str, *, store: str = "", workspace: int = 1) -> dict[str, Any]:
    """The export, as whoever asked for it reads it."""
    with db.reading(house.engine) as connection:
        who = finding.asked(connection, workspace, name, value, store=store)
        told = export.document(connection, finding.find(connection, workspace, who), now=NOON)
    read: dict[str, Any] = json.loads(json.dumps(told))
    return read


def ledger(who: str) -> list[Event]:
    """What was sent of somebody, told by who sent it."""
    return [one for one in lives("anna", "björn", "چائے") if isinstance(one, Event) and one.id.endswith(who)]


@pytest.mark.parametrize("who", ["anna", "چائے"])
def test_everything_that_was_sent_of_a_person_is_in_it(house: House, who: str) -> None:
    told = document(house, "user_id", f"user-of-{who}")
    sent = ledger(who)
    results = [one for one in sent if one.kind in RESULTS]
    reported = [report for one in told["conversions"] for report in one["sightings"]]
    changed = [change for one in told["conversions"] for change in one["adjustments"]]
    assert {(one["no"], one["kind"], one["occurred_at"]) for one in told["events"]} == {
        (f"{one.no:016x}", one.kind, moment_text(one.occurred_at))
        for one in sent
        if KINDS[one.kind] < KINDS["lead"]
    }
    assert {
        (one["event_id"], one["order_id"], one["value"], (one["details"] or {}).get("url"))
        for one in reported
    } >= {(one.id, one.order_id, one.value and one.value / 1_000_000, one.url) for one in results if one.url}
    assert len(reported) == len(results)
    assert [(one["event_id"], one["value"]) for one in changed] == [(f"r-{who}", 20.0)]
    text = json.dumps(told, ensure_ascii=False)
    # An event's own id is kept as a number; what is left of it in the text are reports and changes.
    assert [mark for mark in marks(who) if mark not in text] == [f"{letter}-{who}" for letter in "icvw"]
    assert [mark for mark in marks("björn") if mark in text] == []


def test_it_tells_who_earned_each_result_and_the_campaigns_by_name(house: House) -> None:
    told = document(house, "user_id", "user-of-anna")
    (sale,) = [one for one in told["conversions"] if one["order_id"] == "order-of-anna"]
    assert sale["value"] == 120
    assert sale["net_value"] == 100
    assert [one["campaign"] for one in sale["credits"]["last_click"]] == ["spring"]
    assert [one["kept"] for one in sale["touches"] if one["kind"] == "click"] == [True]
    assert {one["kind"] for one in told["identifiers"]["nodes"]} == {"visitor", "user", "email"}


@pytest.mark.parametrize(
    ("name", "value", "store"),
    [
        ("visitor_id", "phone-of-anna", ""),
        ("visitor_id", "desk-of-anna", ""),
        ("order_id", "order-of-anna", "no"),
        ("order_id", "order-of-anna", ""),
        ("conversion_id", f"cv_{number(1, 'order', 'no', 'order-of-anna'):016x}", ""),
    ],
)
def test_every_identifier_leads_to_the_same_person(house: House, name: str, value: str, store: str) -> None:
    by_user = document(house, "user_id", "user-of-anna")
    assert len(by_user["conversions"]) == 4
    assert document(house, name, value, store=store) == by_user


def test_another_workspace_does_not_know_the_person(house: House) -> None:
    with db.begin(house.engine) as connection:
        other = {"slug": "other", "name": "other", "secret": b"x" * 32, "created_at": NOON}
        connection.execute(tables.workspaces.insert().values(id=2, **other))
    told = document(house, "user_id", "user-of-anna", workspace=2)
    assert (told["events"], told["conversions"]) == ([], [])


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("email", "anna at example", "email_invalid"),
        ("phone", "0", "phone_invalid"),
        ("click_id", "made up", "click_id_unknown"),
        ("conversion_id", "17", "conversion_id_invalid"),
        ("user_id", "a\0b", "not_text"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused_without_repeating_it(
    house: House, name: str, value: str, code: str
) -> None:
    with pytest.raises(ClicktrailError) as refused:
        document(house, name, value)
    assert (refused.value.code, refused.value.field) == (code, name)
    assert value not in refused.value.message


@pytest.mark.parametrize("table", [tables.events, tables.sightings, tables.adjustments], ids=lambda t: t.name)
def test_every_column_of_a_row_is_told(house: House, table: Table) -> None:
    with db.reading(house.engine) as connection:
        row = connection.execute(table.select().limit(1)).one()
        told = export.told(row, export.names(connection, 1))
    assert {
        name.removesuffix("_id") if name in export.NAMED else name for name in row._mapping
    } - told.keys() == {
        "id",
        "workspace",
    }
