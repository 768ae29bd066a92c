"""What the leader derives: who counts, at which rate, and what a change makes due again."""

from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from app import db, tables, workspaces
from app.attribution import leader
from app.conversions.store import mark_due
from app.identity.rules import RULES
from app.model import DAY, HALF_HOUR, HOUR, KINDS, SETBACKS
from app.pipeline import store
from tests.house import NOON, House, event

TODAY = workspaces.local_day("UTC", NOON)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House.build(tmp_path)


def sale(id_: str, at: int = NOON, **fields: object) -> object:
    return event("sale", at, id=id_, **({"value": 10_000_000, "currency": "EUR"} | fields))


def setbacks(house: House) -> list[int]:
    """Of all conversions by time."""
    rows = sorted(house.rows(tables.conversions), key=lambda row: (row.occurred_at, row.no))
    return [row.setbacks for row in rows]


def tell(house: House, what: int) -> None:
    with db.begin(house.engine) as connection:
        store.tell(connection, 1, "setting", [what, 0, 2**62])


def winners(house: House, model: str = "last_touch") -> dict[str, int]:
    """Campaign id of the single winner by order id, from the current credits."""
    versions = {(row.id, row.credit_version): row.order_id for row in house.rows(tables.conversions)}
    return {
        versions[row.conversion, row.version]: row.campaign_id
        for row in house.rows(tables.credits)
        if (row.conversion, row.version) in versions and getattr(row, model)
    }


def test_of_a_persons_leads_the_earliest_counts_whenever_it_came(house: House) -> None:
    house.send(event("lead", NOON, id="b", user_id="ann"))
    house.settle()
    assert setbacks(house) == [0]
    house.send(event("lead", NOON - HOUR, id="a", user_id="ann"), event("lead", NOON, id="c", user_id="bob"))
    house.settle()
    assert sorted(setbacks(house)) == [0, 0, SETBACKS["repeated"]]
    assert setbacks(house)[0] == 0


def test_leads_of_two_devices_become_one_when_the_person_is_known(house: House) -> None:
    house.send(event("lead", NOON, id="a", visitor_id="v1"), event("lead", NOON + 1, id="b", visitor_id="v2"))
    house.settle()
    assert setbacks(house) == [0, 0]
    house.send(event("visit", id="x", visitor_id="v1", user_id="ann"))
    house.send(event("visit", id="y", visitor_id="v2", user_id="ann"))
    house.settle()
    assert setbacks(house) == [0, SETBACKS["repeated"]]
    (cell,) = [
        r
        for r in house.rows(tables.credit_days)
        if (r.basis, r.model, r.kind) == (1, 2, KINDS["lead"]) and r.count
    ]
    assert cell.count == 1_000_000


def test_a_goal_that_counts_every_lead_counts_every_lead(house: House) -> None:
    house.add(tables.goals, slug="download", kind="lead", count="every")
    house.send(*(event("lead", NOON + i, id=str(i), user_id="ann", goal="download") for i in range(3)))
    house.settle()
    assert setbacks(house) == [0, 0, 0]


def test_sales_without_an_order_id_of_one_half_hour_are_one(house: House) -> None:
    start = NOON - NOON % HALF_HOUR
    house.send(sale("b", start + 2, visitor_id="v"))
    house.send(sale("a", start + 1, visitor_id="v"), sale("c", start + HALF_HOUR, visitor_id="v"))
    house.send(sale("d", start + 3, visitor_id="v", value=11_000_000))
    house.settle()
    assert setbacks(house) == [0, SETBACKS["possible_duplicate"], 0, 0]


def test_a_refund_before_its_sale_waits_for_it(house: House) -> None:
    house.send(event("refund", NOON - 1, id="r", order_id="o1"))
    house.settle()
    assert house.rows(tables.conversions) == []
    house.send(sale("s", order_id="o1"))
    house.settle()
    assert house.one(tables.conversions).refunded == 10_000_000


def test_a_missing_rate_is_unknown_and_heals_when_it_is_loaded(house: House) -> None:
    house.send(sale("s", order_id="o1", currency="NOK"))
    house.settle()
    row = house.one(tables.conversions)
    assert (row.reported, row.fx) == (None, "")
    assert {r.rated for r in house.rows(tables.credit_days)} == {0}
    house.add(tables.fx_rates, currency="NOK", base="EUR", day=TODAY - 3, rate="0.085")
    tell(house, leader.RATES)
    house.settle()
    assert house.one(tables.conversions).reported == 850_000
    live = {(r.rated, r.reported_gross_lo) for r in house.rows(tables.credit_days) if r.count}
    assert live == {(1, 850_000)}


def test_a_sale_too_large_for_its_rate_stops_nobody(house: House) -> None:
    house.add(tables.fx_rates, currency="KWD", base="EUR", day=TODAY - 1, rate="3.1")
    house.send(sale("s", order_id="o1", currency="KWD", value=2**62), sale("t", order_id="o2"))
    house.settle()
    assert {row.order_id: row.reported for row in house.rows(tables.conversions)} == {
        "o1": None,
        "o2": 10_000_000,
    }


def test_a_conversion_that_cannot_be_settled_costs_only_itself(house: House) -> None:
    house.send(*(sale(str(n), NOON + n, order_id=f"o{n}", visitor_id="v") for n in range(5)))
    house.settle()
    with db.begin(house.engine) as connection:  # as a damaged file would have it
        broken = tables.conversions.c.order_id == "o3"
        connection.execute(update(tables.conversions).where(broken).values(clicks="["))
        conversions = tables.conversions.c
        found = connection.execute(select(conversions.id, conversions.occurred_at)).all()
        mark_due(connection, 1, dict(found))
    house.settle()
    assert house.rows(tables.due) == []
    issues = {row.order_id: row.issues for row in house.rows(tables.conversions)}
    assert issues == {f"o{n}": '["unsettled"]' if n == 3 else "[]" for n in range(5)}


def test_a_rate_that_is_too_old_is_no_rate(house: House) -> None:
    house.add(tables.fx_rates, currency="NOK", base="EUR", day=TODAY - 8, rate="0.085")
    house.send(sale("s", order_id="o1", currency="NOK"))
    house.settle()
    assert house.one(tables.conversions).reported is None


def test_a_late_touch_takes_the_credit_it_earned(house: House) -> None:
    spring, autumn = house.campaign("spring"), house.campaign("autumn")
    house.send(event("click", NOON - DAY, id="a", campaign="spring", visitor_id="v"))
    house.send(sale("s", order_id="o1", visitor_id="v"))
    house.settle()
    assert winners(house) == {"o1": spring}
    house.send(event("click", NOON - HOUR, id="b", campaign="autumn", visitor_id="v"))
    house.settle()
    assert winners(house) == {"o1": autumn}
    assert winners(house, "first_touch") == {"o1": spring}


def test_a_merge_gives_a_sale_the_touches_of_the_other_device(house: House) -> None:
    spring = house.campaign("spring")
    house.send(event("click", NOON - DAY, id="a", campaign="spring", visitor_id="phone"))
    house.send(sale("s", order_id="o1", visitor_id="laptop"))
    house.settle()
    assert winners(house) == {"o1": -1}
    house.send(event("visit", id="x", visitor_id="phone", user_id="ann"))
    house.send(event("visit", id="y", visitor_id="laptop", user_id="ann"))
    house.settle()
    assert winners(house) == {"o1": spring}


def test_an_unmerge_gives_them_back(house: House) -> None:
    test_a_merge_gives_a_sale_the_touches_of_the_other_device(house)
    with db.begin(house.engine) as connection:
        edges = connection.execute(delete(tables.edges).returning(tables.edges.c.a, tables.edges.c.b)).all()
        store.tell(connection, 1, "edges", [node for edge in edges for node in edge])
    house.settle()
    assert winners(house) == {"o1": 0}  # its own direct visit
    assert house.rows(tables.people) == []


def test_a_click_named_by_the_sale_earns_even_if_its_record_comes_later(house: House) -> None:
    from app.campaigns.clickid import ClickId, make_click_id

    spring = house.campaign("spring")
    secret = house.one(tables.workspaces).secret
    named = make_click_id(ClickId(1, spring, 0, 0, NOON - HOUR, 77), secret)
    house.send(sale("s", order_id="o1", click_id=named))
    house.settle()
    assert winners(house) == {"o1": spring}
    house.send(event("click", NOON - HOUR, door="redirect", no=77, campaign="spring", country="NO"))
    house.settle()
    assert winners(house) == {"o1": spring}
    assert {r.country for r in house.rows(tables.credit_places) if r.count} == {14 * 32 + 15}


def test_a_changed_zone_moves_days_and_changes_no_sum(house: House) -> None:
    midnight = TODAY * DAY
    house.send(sale("s", midnight - 1, order_id="o1"), event("click", midnight - 1, id="c"))
    house.settle()
    with db.begin(house.engine) as connection:
        connection.execute(update(tables.workspaces).values(timezone="Asia/Tehran"))
        store.tell(connection, 1, "setting", [leader.ZONE, 0, 2**62])
    house.settle()
    assert {r.day for r in house.rows(tables.traffic_days)} == {TODAY}
    assert {r.day for r in house.rows(tables.credit_days) if r.count} == {TODAY}


def test_a_tighter_limit_parts_whom_an_identifier_joined(house: House) -> None:
    for n in range(3):
        house.send(event("visit", id=str(n), visitor_id=f"v{n}", user_id="shop"))
    house.settle()
    assert len(house.rows(tables.people)) == 4
    with db.begin(house.engine) as connection:
        connection.execute(update(tables.workspaces).values(settings='{"join_limit": 2}'))
    tell(house, leader.JOINING)
    house.settle()
    assert house.rows(tables.people) == []


def test_by_rules_of_a_new_version_all_are_looked_at_once(house: House) -> None:
    for n in range(25):
        house.send(event("visit", id=str(n), visitor_id=f"v{n}", user_id="shop"))
    house.settle()
    listed = house.one(tables.unjoined)

    def forgotten(**joined_by: int) -> None:
        with db.begin(house.engine) as connection:
            connection.execute(delete(tables.unjoined))
            connection.execute(update(tables.workspaces).values({"settings": "{}"} | joined_by))
        house.settle()

    forgotten(joined_by=RULES - 1)
    assert house.one(tables.unjoined) == listed
    assert house.one(tables.workspaces).joined_by == RULES
    forgotten()
    assert house.rows(tables.unjoined) == []


def test_trusting_the_page_approves_what_it_reported(house: House) -> None:
    house.send(sale("s", order_id="o1", door="beacon"))
    house.settle()
    assert house.one(tables.conversions).state == 1
    with db.begin(house.engine) as connection:
        connection.execute(update(tables.workspaces).values(settings='{"browser_sales": "approved"}'))
        store.tell(connection, 1, "setting", [leader.COUNTING, 0, 2**62])
    house.settle()
    assert house.one(tables.conversions).state == 2
