"""Raw events go when their time is over; what was counted, booked and credited by them stands."""

from pathlib import Path

import pytest
from sqlalchemy import delete, func, select

from app import db, tables
from app.attribution.explain import why
from app.campaigns.changes import BEGINNING, END, SETTINGS
from app.events import months
from app.events.retention import BATCH, BATCHES, drop_old, dropped_before
from app.model import DAY, HOUR
from app.pipeline import store
from app.pipeline.recount import ROLLUPS, counted
from tests import engines
from tests.house import NOON, House, event

KEEP = 2  # months: on 2026-09-21 all before 2026-07-01 goes
JULY = 1_782_864_000_000_000  # 2026-07-01T00:00:00Z
OLD = JULY - 20 * DAY


@pytest.fixture
def house(tmp_path: Path) -> House:
    found = House.build(tmp_path)
    with db.begin(found.engine) as connection:
        months.make_months_between(connection, OLD, NOON)
    return found


def tell(house: House) -> None:
    """Two journeys whose sales are of June and of September, and one across the end of June."""
    for name, at in (("june", OLD), ("across", JULY - HOUR), ("recent", NOON - 5 * DAY)):
        visitor = {"visitor_id": name, "country": "NO"}
        house.send(
            event("impression", at=at - HOUR, id=f"i-{name}", campaign="banners", **visitor),
            event("click", at=at, id=f"c-{name}", campaign="search", partner="anna", **visitor),
            event(
                "sale", at=at + 2 * HOUR, id=f"s-{name}", order_id=name, value=100, currency="EUR",
                visitor_id=name,
            ),
        )  # fmt: skip
    house.settle()


def drop(house: House, keep: int = KEEP) -> None:
    while drop_old(house.engine, NOON, keep):
        pass


def setting(house: House, what: str) -> None:
    """Say that a setting changed, of all time, and let the leader work."""
    with db.begin(house.engine) as connection:
        store.tell(connection, 1, "setting", (SETTINGS[what], BEGINNING, END))
    house.settle()


def books(house: House) -> dict[str, list[tuple[object, ...]]]:
    return {name: rows for name, rows in house.derived().items() if name != "events"}


def events(house: House) -> int:
    return len(house.rows(tables.events))


def parts(house: House) -> list[str]:
    with db.reading(house.engine) as connection:
        return sorted(months._parts(connection)) if engines.POSTGRESQL else []


def earners(house: House, order: str) -> set[tuple[int, int]]:
    """(campaign, version) of the present credits of an order."""
    c, v = tables.credits.c, tables.conversions.c
    with db.reading(house.engine) as connection:
        present = (v.id == c.conversion) & (v.credit_version == c.version)
        rows = select(c.campaign_id, c.version).join(tables.conversions, present)
        return {
            (campaign, version) for campaign, version in connection.execute(rows.where(v.order_id == order))
        }


def test_what_is_older_goes_and_the_books_stand(house: House) -> None:
    tell(house)
    before, made = books(house), parts(house)
    drop(house)
    with db.reading(house.engine) as connection:
        assert dropped_before(connection) == JULY
        oldest = connection.scalar(select(func.min(tables.events.c.occurred_at)))
    assert events(house) == 2 and oldest == NOON - 5 * DAY - HOUR
    assert books(house) == before
    assert [name for name in made if name not in parts(house)] == (
        ["events_2026_06"] if engines.POSTGRESQL else []
    )


def test_nothing_goes_that_is_to_be_kept(house: House) -> None:
    tell(house)
    before = house.derived()
    drop(house, keep=0)
    drop(house, keep=4)
    assert house.derived() == before


def test_credits_whose_touches_are_gone_are_never_computed_to_nothing(house: House) -> None:
    """Whatever makes them due: here the windows, the folding of conversions, and who is whom."""
    tell(house)
    before = books(house)
    drop(house)
    for what in ("attribution", "folding", "joining"):
        setting(house, what)
        assert books(house) == before, what
    assert {campaign for campaign, _ in earners(house, "june")} != {-1}


def test_without_the_freeze_they_would_be(house: House) -> None:
    """The negative control: the same events gone, and nobody told."""
    tell(house)
    before = books(house)
    e = tables.events
    with db.begin(house.engine) as connection:
        connection.execute(delete(e).where(e.c.occurred_at < JULY))
    setting(house, "attribution")
    assert books(house) != before
    assert {campaign for campaign, _ in earners(house, "june")} == {-1}


def test_a_refund_of_a_sale_from_then_takes_back_from_whoever_earned_it(house: House) -> None:
    """The same, event by event, as in a house that kept everything."""
    tell(house)
    credited = earners(house, "june")
    drop(house)
    house.send(event("refund", at=NOON, id="r", order_id="june", value=40, currency="EUR"))
    house.settle()
    assert earners(house, "june") == credited
    conversion = next(row for row in house.rows(tables.conversions) if row.order_id == "june")
    assert conversion.refunded == 40
    cells = [row for row in house.rows(tables.credit_days) if row.basis == 1 and row.net_lo]
    nets: dict[int, int] = {}
    for row in cells:
        nets[row.model] = nets.get(row.model, 0) + row.net_lo
    assert set(nets.values()) == {260}  # under every model: 3 x 100, less 40


def test_a_sale_of_now_earns_as_ever(house: House) -> None:
    tell(house)
    drop(house)
    house.send(
        event("click", at=NOON - HOUR, id="new", visitor_id="new", campaign="search"),
        event("sale", at=NOON, id="s-new", order_id="new", value=5, currency="EUR", visitor_id="new"),
        event("click", at=NOON - 6 * DAY, id="late", visitor_id="recent", campaign="late"),
    )
    house.settle()
    assert {version for _, version in earners(house, "recent")} == {2}
    assert -1 not in {campaign for campaign, _ in earners(house, "new")}


def test_a_sale_that_comes_late_for_its_touches_is_credited_once_by_what_is_there(house: House) -> None:
    tell(house)
    drop(house)
    house.send(
        event("sale", at=OLD + HOUR, id="s", order_id="late", value=5, currency="EUR", visitor_id="june")
    )
    house.settle()
    assert earners(house, "late") == {(-1, 1)}


def test_why_shows_the_credits_that_stand(house: House) -> None:
    tell(house)
    row = next(row for row in house.rows(tables.conversions) if row.order_id == "june")
    with db.reading(house.engine) as connection:
        before = why(connection, row, model="linear")
    drop(house)
    with db.reading(house.engine) as connection:
        after = why(connection, row, model="linear")
    assert not before["frozen"] and after["frozen"] and after["settled"]
    assert after["models"] == before["models"] and after["versions"] == before["versions"]
    assert before["touches"] and not after["touches"]


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles", "UTC"])
def test_another_zone_moves_the_days_that_are_kept_and_loses_no_event(house: House, zone: str) -> None:
    """Each hour around the end of what was dropped has an event; the rest are days apart."""
    house.send(*(event("click", at=JULY + h * HOUR, id=f"h{h}", campaign="c") for h in range(-48, 144)))
    house.send(*(event("click", at=JULY + d * DAY, id=f"d{d}", campaign="c") for d in range(8, 60)))
    drop(house)
    clicks = {table.name: sum(row.clicks for row in house.rows(table)) for table in ROLLUPS}
    early = [row for row in house.rows(tables.traffic_days) if row.day < JULY // DAY + 2]
    with db.begin(house.engine) as connection:
        connection.execute(tables.workspaces.update().values(timezone=zone))
    setting(house, "zone")
    assert {table.name: sum(row.clicks for row in house.rows(table)) for table in ROLLUPS} == clicks
    assert [row for row in house.rows(tables.traffic_days) if row.day < JULY // DAY + 2] == early
    with db.reading(house.engine) as connection:
        days = counted(connection, 1, zone)[0]
    whole = JULY // DAY + 3
    stored = {tuple(row[:6]): list(row[6:]) for row in house.rows(tables.traffic_days) if row.day >= whole}
    assert stored == {key: cell for key, cell in days.items() if key[1] >= whole}
    assert len(stored) > 50


def test_a_landing_whose_click_is_gone_makes_no_other(house: House) -> None:
    """Its key stays known: a later visit by the same ad click is no click of its own."""
    utm = {"campaign": "spring", "source": "google", "medium": "cpc"}
    told = {"visitor_id": "v", "url": "https://shop.example/", "utm": utm, "click_ids": {"gclid": "G"}}
    house.send(event("visit", at=OLD, id="first", **told))
    house.settle()
    clicks = sum(row.clicks for row in house.rows(tables.traffic_days))
    drop(house)
    house.send(event("visit", at=NOON, id="again", **told))
    house.settle()
    assert clicks == 1
    assert sum(row.clicks for row in house.rows(tables.traffic_days)) == clicks


def test_it_goes_a_few_batches_at_a_time_and_instants_whole(house: House) -> None:
    """Of events that are in no month, and of all on SQLite."""
    with db.begin(house.engine) as connection:
        rows = [
            {"workspace": 1, "kind": 2, "occurred_at": OLD - 90 * DAY + i // 3, "no": i, "received_at": NOON}
            for i in range(BATCH * BATCHES + 10)
        ]
        connection.execute(tables.events.insert(), rows)
    gone = drop_old(house.engine, NOON, KEEP)
    assert BATCH * BATCHES <= gone < BATCH * BATCHES + 10
    with db.reading(house.engine) as connection:
        e = tables.events.c
        sizes = connection.scalars(
            select(func.count()).select_from(tables.events).group_by(e.occurred_at)
        ).all()
    assert set(sizes[:-1]) <= {3} and sum(sizes) == 10 - (gone - BATCH * BATCHES)
    assert drop_old(house.engine, NOON, KEEP) == sum(sizes)
    assert drop_old(house.engine, NOON, KEEP) == 0
