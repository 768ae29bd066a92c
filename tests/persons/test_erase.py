"""Erasing a person leaves every number as it is, and nothing by which the person could be recognised."""

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Text, update

from app import db, tables, worker
from app.campaigns import changes
from app.errors import Conflict
from app.inbox.queue import Queue
from app.model import DAY, HOUR, KINDS, NODES, node
from app.persons import erase as erase_rows
from app.persons import finding, requests, tasks
from app.persons.erase import BLANK
from app.persons.rules import Wanted
from app.pipeline import recount
from app.workspaces import Snapshots
from tests import engines
from tests.faults.derived import differences
from tests.house import NOON, House, event
from tests.persons.people import erase, eraser, lives, marks, request

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


def test_a_block_that_was_lifted_forgets_whom_it_was_of(house: House, tmp_path: Path) -> None:
    anna = node(1, "user", "user-of-anna")
    house.add(tables.identifier_blocks, node=anna, kind=NODES["user"], value="user-of-anna", archived_at=NOON)
    erase(house, tmp_path / "inbox", "user_id", "user-of-anna")
    lifted = house.one(tables.identifier_blocks)
    assert (lifted.value, lifted.note) == ("", "")
    assert lifted.node != anna


def test_every_number_stays_and_equals_a_recount(house: House, tmp_path: Path) -> None:
    before = numbers(house)
    told = erase(house, tmp_path / "inbox", "user_id", "user-of-anna")
    assert told["state"] == "done"
    assert told["counts"] == {
        "conversions": 4, "sightings": 4, "adjustments": 1, "edges": 3, "rejected": 0, "events": 4
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


def test_a_refund_that_comes_later_finds_its_sale_and_brings_nothing_back(
    house: House, tmp_path: Path
) -> None:
    erase(house, tmp_path / "inbox", "user_id", "user-of-anna")
    sold = [row for row in house.rows(tables.conversions) if row.refunded == 20_000_000 and not row.order_id]
    refund = event("refund", NOON + DAY, id="late", order_id="order-of-anna", store="no", value=30_000_000,
                   currency="EUR")  # fmt: skip
    house.send(refund)
    house.settle()
    (after,) = [row for row in house.rows(tables.conversions) if row.id == sold[0].id]
    assert after.refunded == 50_000_000
    assert (after.nodes, after.order_id, after.visitor, after.lead_id) == ("[]", "", 0, "")
    assert _credit(house, after) == _credit(house, sold[0])
    assert found(house, [mark for mark in marks("anna") if mark != "late"]) == []
    house.engine.dispose()
    assert differences(engines.url(tmp_path), tmp_path) == []


def _credit(house: House, conversion: Any) -> list[Any]:
    """The credit rows that stand."""
    rows = [row for row in house.rows(tables.credits) if row.conversion == conversion.id]
    latest = max(row.version for row in rows)
    return sorted(tuple(row[4:]) for row in rows if row.version == latest)


def test_what_was_sent_before_stays_a_duplicate_and_what_comes_later_is_a_new_persons(
    house: House, tmp_path: Path
) -> None:
    erase(house, tmp_path / "inbox", "visitor_id", "phone-of-anna")
    before = numbers(house)
    house.send(*lives("anna"))
    house.settle()
    assert numbers(house) == before
    house.send(event("visit", NOON + DAY, id="again", visitor_id="phone-of-anna", campaign="autumn"))
    house.send(event("sale", NOON + DAY + 1, id="anew", visitor_id="phone-of-anna", value=1_000_000,
                     currency="EUR"))  # fmt: skip
    house.settle()
    (sale,) = [row for row in house.rows(tables.conversions) if row.value == 1_000_000]
    assert [row[9] for row in _credit(house, sale)] != []
    assert sale.setbacks == 0


def test_changed_settings_move_no_credit_of_the_erased(house: House, tmp_path: Path) -> None:
    erase(house, tmp_path / "inbox", "user_id", "user-of-anna")
    gone = [row for row in house.rows(tables.conversions) if row.frozen]
    before = [_credit(house, row) for row in gone]
    with db.begin(house.engine) as connection:
        settings = '{"windows": {"click": 0.01, "visit": 0.01, "impression": 0.01}, "lead_count": "every"}'
        connection.execute(update(tables.workspaces).values(settings=settings))
        desk = changes.reading_desk(connection, workspace=1, key=0, now=NOON)
        for what in ("attribution", "folding", "joining", "zone"):
            changes.announce(desk, what)
    house.settle()
    assert len(gone) == 4
    assert [_credit(house, row) for row in gone] == before
    assert [row.setbacks for row in house.rows(tables.conversions) if row.frozen] == [
        r.setbacks for r in gone
    ]


def test_a_device_that_two_people_used_stays_the_others(tmp_path: Path) -> None:
    house = House.build(tmp_path)
    house.campaign("spring")
    for at, who, visitor in ((0, "anna", "tablet"), (10, "björn", "tablet"), (20, "anna", "tablet")):
        start = NOON + at * HOUR
        house.send(
            event("click", start, id=f"c{at}", visitor_id=visitor, user_id=who, campaign="spring"),
            event("lead", start + 2, id=f"l{at}", visitor_id=visitor, user_id=who),
            event("sale", start + 3, id=f"s{at}", visitor_id=visitor, value=9_000_000, currency="EUR"),
        )
        house.settle()
    before = numbers(house)
    told = erase(house, tmp_path / "inbox", "user_id", "anna")
    assert told["state"] == "done"
    assert numbers(house) == before
    assert found(house, ["anna"]) == []
    events = {row.occurred_at: row for row in house.rows(tables.events)}
    assert [events[NOON + at * HOUR].visitor_id for at in (0, 10, 20)] == ["", "tablet", "tablet"]
    assert [events[NOON + at * HOUR].user_id for at in (0, 10, 20)] == ["", "björn", ""]
    house.engine.dispose()
    assert differences(engines.url(tmp_path), tmp_path) == []


def test_a_shared_identifier_names_nobody_and_erases_nobody(tmp_path: Path) -> None:
    house = House.build(tmp_path)
    house.send(
        *(event("visit", NOON + i, id=f"v{i}", visitor_id="tablet", user_id=f"u{i}") for i in range(2))
    )
    house.settle()
    with pytest.raises(Conflict, match="several people"):
        find_by(house, "tablet")
    assert erase(house, tmp_path / "inbox", "visitor_id", "tablet")["state"] == "ambiguous"
    assert {row.visitor_id for row in house.rows(tables.events)} == {"tablet"}


def find_by(house: House, visitor: str) -> None:
    with db.reading(house.engine) as connection:
        finding.find(connection, 1, finding.asked(connection, 1, "visitor_id", visitor))


def test_a_landing_explained_by_an_erased_click_makes_no_click_when_its_key_comes_again(
    house: House, tmp_path: Path
) -> None:
    clicks = [row for row in house.rows(tables.events) if row.kind == KINDS["click"]]
    erase(house, tmp_path / "inbox", "user_id", "user-of-anna")
    house.send(event("visit", NOON + DAY, id="shared", visitor_id="a friend's", campaign="spring",
                     click_ids={"gclid": "gclid-of-anna"}, utm={"campaign": "spring"}))  # fmt: skip
    house.settle()
    after = [row for row in house.rows(tables.events) if row.kind == KINDS["click"]]
    assert len(after) == len(clicks) + 1  # the friend's own


def test_a_worker_killed_between_batches_is_made_up_for(house: House, tmp_path: Path) -> None:
    id_ = request(house, "user_id", "user-of-anna")
    by = eraser(house, tmp_path / "inbox")
    tasks.report(by)
    with db.begin(house.engine) as connection:  # what `begin` commits before it goes on with events
        row = requests.read(connection, 1, id_)
        done = erase_rows.person(
            connection,
            1,
            msgspec.json.decode(row.wanted, type=Wanted),
            rebuild=recount.rebuild,
            fresh=by.fresh,
        )
        assert done is not None
        tasks.put(connection, id_, stage=requests.ERASING, wanted=msgspec.json.encode(done[0]).decode())
    assert found(house, ["phone-of-anna"]) == [("events", "phone-of-anna")]
    again = eraser(house, tmp_path / "inbox")
    for _ in range(4):
        tasks.carry_on(again)
    house.settle()
    assert found(house, marks("anna")) == []
    with db.reading(house.engine) as connection:
        row = requests.read(connection, 1, id_)
    assert (row.stage, row.wanted) == (requests.DONE, "")


def test_every_column_that_holds_what_somebody_sent_is_emptied_or_known_to_stay() -> None:
    texts = {
        (table.name, column.name)
        for table in (tables.events, tables.sightings, tables.adjustments, tables.rejected)
        for column in table.columns
        if isinstance(column.type, Text)
    }
    emptied = {(name, column) for name, columns in BLANK.items() for column in columns}
    assert texts - emptied == {
        *(
            (("events", name))
            for name in ("source", "medium", "ad_group", "creative", "placement", "keyword")
        ),
        *((("sightings", name)) for name in ("store", "currency", "status")),
        *((("adjustments", name)) for name in ("currency", "status")),
        *((("rejected", name)) for name in ("kind", "door", "code", "field")),
    }


def test_a_request_waits_for_a_leader_who_is_busy_and_is_carried_out_then(
    house: House, tmp_path: Path
) -> None:
    id_ = request(house, "user_id", "user-of-anna")
    by = eraser(house, tmp_path / "inbox")
    with ThreadPoolExecutor(1) as pool, db.begin(house.engine) as leader:
        db.lock(leader, db.Lock.LEADER)
        asked = pool.submit(tasks.begin, by, id_)
        done, _ = wait([asked], timeout=0.5)
        assert not done
        leader.commit()
        asked.result()
    assert house.one(tables.erasures).stage == requests.SWEEPING


def test_the_strangers_that_stand_in_are_joined_as_a_recount_joins_them(tmp_path: Path) -> None:
    house = House.build(tmp_path)
    with db.begin(house.engine) as connection:
        connection.execute(update(tables.workspaces).values(settings='{"join_limit": 2}'))
    house.send(
        *(
            event(
                "lead", NOON + i, id=f"l{i}", visitor_id="phone", user_id="anna", email={"meta": f"{i:064}"}
            )
            for i in range(4)
        )
    )
    house.settle()
    assert erase(house, tmp_path / "inbox", "user_id", "anna")["state"] == "done"
    house.engine.dispose()
    assert differences(engines.url(tmp_path), tmp_path) == []


def test_an_identifier_under_a_block_names_nobody_until_the_block_is_lifted(
    house: House, tmp_path: Path
) -> None:
    house.add(tables.identifier_blocks, node=node(1, "visitor", "phone-of-anna"), kind=NODES["visitor"])
    with pytest.raises(Conflict, match="lift the block first") as refused:
        find_by(house, "phone-of-anna")
    assert refused.value.code == "identifier_blocked"
    assert erase(house, tmp_path / "inbox", "visitor_id", "phone-of-anna")["state"] == "ambiguous"
    with db.begin(house.engine) as connection:
        connection.execute(update(tables.identifier_blocks).values(archived_at=NOON))
    assert erase(house, tmp_path / "inbox", "visitor_id", "phone-of-anna")["state"] == "done"


def test_a_request_that_fails_stops_no_other(house: House, tmp_path: Path) -> None:
    spoilt, good = request(house, "user_id", "user-of-anna"), request(house, "user_id", "user-of-cleo")
    with db.begin(house.engine) as connection:
        tasks.put(connection, spoilt, wanted="no JSON")
    by = eraser(house, tmp_path / "inbox")
    for _ in range(4):
        tasks.carry_on(by)
    stages = {row.id: row.stage for row in house.rows(tables.erasures)}
    assert stages == {spoilt: requests.REQUESTED, good: requests.DONE}


def test_no_request_begins_while_a_worker_of_an_older_version_is_at_work(
    house: House, tmp_path: Path
) -> None:
    with db.begin(house.engine) as connection:
        old = {"file": b"worker older", "sequence": NOON, "updated_at": NOON}
        connection.execute(tables.cursors.insert().values(old))
    assert erase(house, tmp_path / "inbox", "user_id", "user-of-anna")["state"] == "requested"
    with db.begin(house.engine) as connection:
        connection.execute(update(tables.cursors).values(updated_at=NOON - tasks.AWAY))
    by = eraser(house, tmp_path / "inbox")
    for _ in range(4):
        tasks.carry_on(by)
    assert house.one(tables.erasures).stage == requests.DONE


def test_what_is_emptied_waits_for_no_leader_to_settle_it(house: House, tmp_path: Path) -> None:
    id_ = request(house, "user_id", "user-of-anna")
    by = eraser(house, tmp_path / "inbox")
    tasks.report(by)
    tasks.begin(by, id_)
    frozen = {row.id for row in house.rows(tables.conversions) if row.frozen}
    assert len(frozen) == 4
    assert frozen.isdisjoint(row.conversion for row in house.rows(tables.due))


def test_rejected_records_are_searched_in_batches_before_the_persons_transaction(
    house: House, tmp_path: Path
) -> None:
    told = {"workspace": 1, "at": NOON, "kind": "refused", "door": "api", "code": "x"}
    with db.begin(house.engine) as connection:
        rows = [told | {"body": f'{{"visitor_id": "{who}"}}'} for who in ("phone-of-anna", "phone-of-cleo")]
        connection.execute(tables.rejected.insert(), rows * erase_rows.BATCH)
    id_ = request(house, "user_id", "user-of-anna")
    by = eraser(house, tmp_path / "inbox")
    before = tasks._search(by, id_)
    bodies = [row.body for row in house.rows(tables.rejected) if row.body]
    assert bodies == ['{"visitor_id": "phone-of-cleo"}'] * erase_rows.BATCH
    assert before.last > 0
    with db.begin(house.engine) as connection:  # what comes in meanwhile
        connection.execute(tables.rejected.insert().values(told | {"body": '{"u": "user-of-anna"}'}))
    tasks.carry_on(by)
    assert found(house, ["phone-of-anna", "user-of-anna"]) == []
    assert msgspec.json.decode(house.one(tables.erasures).counts)["rejected"] == erase_rows.BATCH + 1


def test_the_workers_small_tasks_wait_for_no_erasure(house: House, tmp_path: Path) -> None:
    request(house, "user_id", "user-of-anna")
    context = worker.Context(
        engine=house.engine,
        pipeline=house.pipeline,
        queue=Queue(tmp_path / "queue"),
        snapshots=Snapshots(tmp_path / "snapshot", clock=lambda: NOON),
        stored=threading.Event(),
        eraser=eraser(house, tmp_path / "inbox"),
    )
    for _ in range(4):
        worker.tasks_turn(context, {})
    assert house.one(tables.erasures).stage == requests.REQUESTED
    for _ in range(4):
        worker.erasures_turn(context)
    context.queue.close()
    assert house.one(tables.erasures).stage == requests.DONE


def test_what_comes_between_the_person_and_their_events_is_a_new_persons(
    house: House, tmp_path: Path
) -> None:
    id_ = request(house, "user_id", "user-of-anna")
    by = eraser(house, tmp_path / "inbox")
    tasks.report(by)
    with db.begin(house.engine) as connection:  # what `begin` commits before it goes on with events
        done = erase_rows.person(
            connection,
            1,
            Wanted(nodes=(node(1, "user", "user-of-anna"),)),
            rebuild=recount.rebuild,
            fresh=by.fresh,
        )
        assert done is not None
        tasks.put(connection, id_, stage=requests.ERASING, wanted=msgspec.json.encode(done[0]).decode())
    house.send(
        event("visit", NOON + HOUR, id="new", visitor_id="phone-of-anna", campaign="autumn"),
        event("sale", NOON + HOUR, id="newer", visitor_id="phone-of-anna", value=3_000_000, currency="EUR"),
    )
    house.settle()  # credited to clicks that are to be emptied
    tasks.go_on(by, id_)
    house.settle()
    assert [row.visitor_id for row in house.rows(tables.events) if row.occurred_at == NOON + HOUR] == [
        "phone-of-anna"
    ]
    house.engine.dispose()
    assert differences(engines.url(tmp_path), tmp_path) == []
