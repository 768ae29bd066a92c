"""Erasing a person leaves every number as it is, and nothing by which the person could be recognised."""

from pathlib import Path

import pytest

from app import tables
from tests import engines
from tests.faults.derived import differences
from tests.house import House
from tests.persons.people import erase, lives, marks

#: What derives from identities, and not from what happened: the rows that an erasure is there to take away.
IDENTITY = ("people", "events", "conversions")


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House.build(tmp_path)
    made.campaign("spring", windows='{"click": 30}')
    made.campaign("autumn")
    made.send(*lives("anna", "björn", "cleo"))
    made.settle()
    return made


def numbers(house: House) -> dict[str, object]:
    """Bookings, credits and rollups."""
    return {name: rows for name, rows in house.derived().items() if name not in IDENTITY}


def found(house: House, marks: list[str]) -> list[tuple[str, str]]:
    """(table, mark) of every mark that stands in a row of any table."""
    held = []
    for table in tables.metadata.sorted_tables:
        text = repr([tuple(row) for row in house.rows(table)])
        held += [(table.name, mark) for mark in marks if mark in text]
    return held


def test_every_number_stays_and_equals_a_recount(house: House, tmp_path: Path) -> None:
    before = numbers(house)
    told = erase(house, tmp_path / "inbox", "user_id", "user-of-anna")
    assert told["state"] == "done"
    assert told["counts"] == {
        "conversions": 4, "sightings": 4, "adjustments": 1, "identifiers": 4, "rejected": 0, "events": 4
    }  # fmt: skip
    assert numbers(house) == before
    house.engine.dispose()
    assert differences(engines.url(tmp_path), tmp_path) == []


def test_nothing_of_the_person_is_left_in_any_row_and_all_of_the_others(house: House, tmp_path: Path) -> None:
    assert {mark for _, mark in found(house, marks("anna"))} >= {*marks("anna")} - {
        "i-anna",
        "c-anna",
        "v-anna",
    } - {"w-anna"}
    erase(house, tmp_path / "inbox", "user_id", "user-of-anna")
    assert found(house, marks("anna")) == []
    assert {mark for _, mark in found(house, marks("cleo"))} >= {"phone-of-cleo", "order-of-cleo"}
