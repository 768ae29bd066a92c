"""Erasing follows our own click ids, but not to those with whom a link was shared."""

from pathlib import Path

import pytest

from app import tables
from app.campaigns.clickid import ClickId, make_click_id
from app.model import HOUR, Event
from tests.house import NOON, House, event
from tests.persons.people import erase

CLICK = 4711  # its number


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House.build(tmp_path)
    made.campaign("spring")
    return made


def click_id(house: House) -> str:
    secret = bytes(house.one(tables.workspaces).secret)
    return make_click_id(ClickId(1, house.one(tables.campaigns).id, 0, 0, NOON, CLICK), secret)


def visit(house: House, hours: int, who: str) -> Event:
    text = click_id(house)
    return event("visit", NOON + hours * HOUR, id=f"v{hours}", visitor_id=who, click_id=text,
                 url=f"https://shop.example/?ct_click={text}")  # fmt: skip


def clicked(house: House, *visitors: str) -> None:
    """One clicks at the redirect, and these visitors come with that click's id ("": without a cookie)."""
    house.send(event("click", NOON, no=CLICK, visitor_id="cookie", door="redirect", click_id=click_id(house),
                     campaign="spring"))  # fmt: skip
    house.send(*(visit(house, hours, who) for hours, who in enumerate(visitors, start=1)))
    house.settle()


def left(house: House) -> list[tuple[str, bool]]:
    """(visitor, whether the click id is there) of every event, as they occurred."""
    rows = sorted(house.rows(tables.events), key=lambda row: row.occurred_at)
    text = click_id(house)
    return [(row.visitor_id, text in f"{row.click_id} {row.details}") for row in rows]


@pytest.mark.parametrize("who", ["cookie", "tag"])
def test_the_click_and_the_visits_without_a_cookie_go_with_their_person(
    house: House, tmp_path: Path, who: str
) -> None:
    clicked(house, "tag", "")
    assert erase(house, tmp_path / "inbox", "visitor_id", who)["state"] == "done"
    by = {"cookie": [("", False), ("tag", True), ("", False)], "tag": [("", False)] * 3}
    assert left(house) == by[who]


def test_a_click_id_that_others_name_too_leads_to_nobody(house: House, tmp_path: Path) -> None:
    clicked(house, "tag", "", "friend", "another")
    assert erase(house, tmp_path / "inbox", "visitor_id", "friend")["state"] == "done"
    assert left(house) == [("cookie", True), ("tag", True), ("", True), ("", False), ("another", True)]
    assert erase(house, tmp_path / "inbox", "visitor_id", "cookie")["state"] == "done"
    assert left(house)[1:] == [("tag", True), ("", True), ("", False), ("another", True)]


def test_a_click_without_a_cookie_is_found_by_its_visit_and_by_its_id(house: House, tmp_path: Path) -> None:
    house.send(event("click", NOON, no=CLICK, door="redirect", click_id=click_id(house), campaign="spring"))
    house.send(visit(house, 1, ""))
    house.settle()
    assert erase(house, tmp_path / "inbox", "click_id", click_id(house))["state"] == "done"
    assert left(house) == [("", False), ("", False)]
