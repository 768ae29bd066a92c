"""People as they live: several on one device, one on several, and what an operator takes back.

Each story is told by events and read in whose ad earned which sale; in any order it ends alike.
"""

from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import db, tables
from app.admin import identifiers
from app.admin.schemas import NewBlock
from app.campaigns import changes
from app.model import DAY, HOUR, KINDS, SETBACKS, Event
from tests import engines
from tests.house import NOON, House, event
from tests.test_invariance import PHASES, events, house_of, stories

CAMPAIGNS = ("anns", "bobs", "phone", "laptop")


@pytest.fixture
def house(tmp_path: Path) -> House:
    return furnished(tmp_path)


def furnished(folder: Path) -> House:
    house = House.build(folder)
    for slug in CAMPAIGNS:
        house.campaign(slug)
    return house


def sale(order: str, at: int, **fields: Any) -> Event:
    return event("sale", at, id=order, order_id=order, value=10_000_000, currency="EUR", **fields)


def click(campaign: str, at: int, **fields: Any) -> Event:
    return event("click", at, id=f"click-{campaign}-{at}", campaign=campaign, **fields)


def lead(id_: str, **fields: Any) -> Event:
    return event("lead", NOON, id=id_, **fields)


def winners(house: House, model: str = "last_touch") -> dict[str, str]:
    """The slug of the campaign that earned each order; "" for none."""
    slugs = {row.id: row.slug for row in house.rows(tables.campaigns)}
    orders = {(row.id, row.credit_version): row.order_id for row in house.rows(tables.conversions)}
    return {
        orders[row.conversion, row.version]: slugs.get(row.campaign_id, "")
        for row in house.rows(tables.credits)
        if (row.conversion, row.version) in orders and getattr(row, model)
    }


def counted_leads(house: House) -> int:
    return sum(row.kind == KINDS["lead"] and not row.setbacks for row in house.rows(tables.conversions))


def block(house: House, kind: Any, value: str) -> int:
    with db.begin(house.engine) as connection:
        desk = changes.changing_desk(connection, workspace=1, key=0, now=NOON)
        return identifiers.block(desk, NewBlock(kind=kind, value=value)).id


def lift(house: House, id_: int) -> None:
    with db.begin(house.engine) as connection:
        identifiers.lift(changes.changing_desk(connection, workspace=1, key=0, now=NOON), id_)


def ended(told: tuple[Event, ...]) -> tuple[dict[str, str], dict[str, list[tuple[object, ...]]]]:
    with TemporaryDirectory() as folder:
        house = furnished(Path(folder))
        for one in told:
            house.send(one)
            house.settle()
        found = winners(house), house.derived()
        house.engine.dispose()
    return found


#: Ann logs in on the tablet at home, clicks, logs out; Bob logs in, clicks and buys; then Ann buys elsewhere.
ONE_TABLET = (
    event("visit", NOON - 10 * HOUR, id="login-ann", visitor_id="tablet", user_id="ann"),
    click("anns", NOON - 9 * HOUR, visitor_id="tablet"),
    event("visit", NOON - 5 * HOUR, id="login-bob", visitor_id="tablet", user_id="bob"),
    click("bobs", NOON - 4 * HOUR, visitor_id="tablet"),
    sale("of-bob", NOON - HOUR, visitor_id="tablet", user_id="bob"),
    sale("of-ann", NOON, user_id="ann"),
)


def test_two_people_on_one_device_earn_each_their_own_ads_the_credit() -> None:
    found, _ = ended(ONE_TABLET)
    assert found == {"of-ann": "anns", "of-bob": "bobs"}


@pytest.mark.parametrize("order", list(permutations(range(6)))[::90])
def test_they_do_so_in_whatever_order_it_is_told(order: tuple[int, ...]) -> None:
    assert ended(tuple(ONE_TABLET[i] for i in order)) == ended(ONE_TABLET)


def test_three_people_take_turns_and_each_time_of_the_device_is_one_of_theirs(house: House) -> None:
    turns = (
        (NOON - 9 * HOUR, "ann", "anns"),
        (NOON - 6 * HOUR, "bob", "bobs"),
        (NOON - 3 * HOUR, "cyd", "phone"),
    )
    for at, who, campaign in turns:
        house.send(event("visit", at, id=f"in-{who}", visitor_id="tablet", user_id=who))
        house.send(click(campaign, at + HOUR, visitor_id="tablet"))
    house.send(*(sale(who, NOON, user_id=who) for who in ("ann", "bob", "cyd")))
    house.settle()
    assert winners(house) == {"ann": "anns", "bob": "bobs", "cyd": "phone"}


def test_who_logs_out_and_buys_without_a_name_is_still_the_only_user_of_the_device(house: House) -> None:
    house.send(click("phone", NOON - DAY, visitor_id="mobile", user_id="ann"))
    house.send(event("visit", NOON - HOUR, id="in", visitor_id="desk", user_id="ann"))
    house.send(sale("unnamed", NOON, visitor_id="desk"))
    house.settle()
    assert winners(house) == {"unnamed": "phone"}


def test_one_person_on_three_devices_is_one_through_a_user_id_and_an_address(house: House) -> None:
    address = {"meta": "ab" * 32}
    house.send(click("phone", NOON - 2 * DAY, visitor_id="mobile", user_id="ann"))
    house.send(event("visit", NOON - DAY, id="x", visitor_id="desk", user_id="ann", email=address))
    house.send(click("laptop", NOON - HOUR, visitor_id="lap"))
    house.send(sale("o", NOON, visitor_id="lap", email=address))
    house.settle()
    assert winners(house) == {"o": "laptop"}
    assert winners(house, "first_touch") == {"o": "phone"}


def test_credit_follows_a_merge_that_comes_after_the_sale(house: House) -> None:
    house.send(click("phone", NOON - DAY, visitor_id="mobile"), sale("o", NOON, visitor_id="desk"))
    house.settle()
    assert winners(house) == {"o": ""}
    house.send(event("visit", NOON + DAY, id="x", visitor_id="mobile", user_id="ann"))
    house.send(event("visit", NOON + DAY, id="y", visitor_id="desk", user_id="ann"))
    house.settle()
    assert winners(house) == {"o": "phone"}


def test_a_shared_address_makes_no_two_peoples_leads_one(house: House) -> None:
    shared = {"meta": "cd" * 32}
    house.send(*(lead(f"l{n}", visitor_id=f"v{n}", email=shared) for n in range(25)))
    house.settle()
    assert counted_leads(house) == 25


def test_a_tablet_at_a_fair_makes_no_two_peoples_leads_one(house: House) -> None:
    house.send(*(lead(f"l{n}", visitor_id="tablet", email={"meta": f"{n:064x}"}) for n in range(100, 125)))
    house.settle()
    assert counted_leads(house) == 25


def test_a_block_parts_what_it_joined_and_lifting_it_gives_all_back(house: House) -> None:
    house.send(click("phone", NOON - DAY, visitor_id="mobile", user_id="till"))
    house.send(sale("o", NOON, visitor_id="desk", user_id="till"))
    house.settle()
    before = house.derived()
    assert winners(house) == {"o": "phone"}
    made = block(house, "user", "till")
    house.settle()
    assert winners(house) == {"o": ""}
    assert house.rows(tables.people) == []
    lift(house, made)
    house.settle()
    assert house.derived() == before


def test_a_blocked_device_gives_its_touches_to_nobody(house: House) -> None:
    house.send(*ONE_TABLET)
    block(house, "visitor", "tablet")
    house.settle()
    assert winners(house) == {"of-ann": "", "of-bob": ""}


def test_results_that_name_only_who_is_blocked_are_nobodys_and_each_its_own(house: House) -> None:
    house.send(lead("a", user_id="till"), lead("b", user_id="till"))
    sales = (event("sale", NOON, id=n, user_id="till", value=5_000_000, currency="EUR") for n in "cd")
    house.send(*sales, click("anns", NOON - HOUR, user_id="till"))
    house.settle()
    found = sorted(row.setbacks for row in house.rows(tables.conversions))
    assert found == [0, 0, SETBACKS["possible_duplicate"], SETBACKS["repeated"]]
    made = block(house, "user", "till")
    house.settle()
    assert [row.setbacks for row in house.rows(tables.conversions)] == [0, 0, 0, 0]
    assert set(winners(house).values()) == {""}
    lift(house, made)
    house.settle()
    assert sorted(row.setbacks for row in house.rows(tables.conversions)) == found


BLOCKABLE = st.sampled_from([("visitor", "v1"), ("visitor", "v2"), ("user", "ann"), ("user", "bob")])


@settings(
    deadline=None, max_examples=engines.examples(25), suppress_health_check=list(HealthCheck), phases=PHASES
)
@given(stories, BLOCKABLE, st.data())
def test_a_block_that_is_lifted_leaves_everything_as_if_it_had_never_been(
    story: list[dict[str, Any]], named: tuple[str, str], data: st.DataObject
) -> None:
    """Whatever arrives before it, while it stands, and after it: byte for byte, with the credits."""
    told = events(story)
    expected = house_of([told], settle_each=False).derived()
    first, second = sorted(data.draw(st.tuples(*[st.integers(0, len(told))] * 2)))
    parts = (told[:first], told[first:second], told[second:])
    house = house_of([parts[0]], settle_each=True)
    made = block(house, *named)
    house.send(*parts[1])
    house.settle()
    lift(house, made)
    house.send(*parts[2])
    house.settle()
    assert house.derived() == expected


@settings(
    deadline=None, max_examples=engines.examples(25), suppress_health_check=list(HealthCheck), phases=PHASES
)
@given(stories, BLOCKABLE, st.data())
def test_a_block_holds_for_what_was_and_for_what_comes_alike(
    story: list[dict[str, Any]], named: tuple[str, str], data: st.DataObject
) -> None:
    told = events(story)
    first = house_of([], settle_each=False)
    block(first, *named)
    first.send(*told)
    first.settle()
    cut = data.draw(st.integers(0, len(told)))
    later = house_of([told[:cut]], settle_each=True)
    block(later, *named)
    later.send(*told[cut:])
    later.settle()
    assert later.derived() == first.derived()
