"""From every schema to the next, with a past, either engine: down and up, killed in its midst, under load."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from app import db, migrate, tables
from app.pipeline.run import Pipeline
from tests import engines, history, upgrades
from tests.conftest import wait_until
from tests.faults.ledger import Ledger, compare
from tests.faults.load import Load
from tests.faults.processes import Service
from tests.house import NOON, House, event

LONG = os.environ.get("CLICKTRAIL_FAULTS") == "long"
EVENTS, KILLS = (100_000, 20) if LONG else (400, 2)
FIRST, HEAD = "0001", migrate.revisions()[-1]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database of today's schema, with a past."""
    found = engines.url(tmp_path, "past")
    history.fill(found, EVENTS).engine.dispose()
    return found


def settled(url: str) -> dict[str, int]:
    """How many rows each table has once the leader has done what migrations left it to do."""
    engine = db.connect(url)
    House(engine, Pipeline(engine, lambda: NOON)).settle()
    engine.dispose()
    return upgrades.counts(url)


# An index on an expression cannot be read back from SQLite; its text is compared in `shape`.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
def test_every_step_down_and_up_again_leaves_all_as_it_was(url: str) -> None:
    known, rows = migrate.revisions(), upgrades.counts(url)
    shapes = {HEAD: upgrades.shape(url)}
    for later, earlier in pairwise(reversed(known)):
        upgrades.go(url, "downgrade", earlier)
        shapes[earlier] = upgrades.shape(url)
        upgrades.go(url, "upgrade", later)
        assert upgrades.shape(url) == shapes[later]
        upgrades.go(url, "downgrade", earlier)
    for revision in known[1:]:
        upgrades.go(url, "upgrade", revision)
        assert upgrades.shape(url) == shapes[revision]
    assert settled(url) == rows
    if not engines.POSTGRESQL:  # what 0002 made there is not in tables.py
        assert upgrades.unlike_the_tables(url) == []


def test_what_joined_nobody_before_there_was_a_list_of_it_is_in_it_afterwards(tmp_path: Path) -> None:
    url = engines.url(tmp_path, "older")
    migrate.migrate(url)
    engine = db.connect(url)
    house = House.on(engine)
    house.send(*(event("visit", id=f"v{n}", visitor_id=f"v{n}", user_id="till") for n in range(25)))
    house.settle()
    (before,) = house.rows(tables.unjoined)
    engine.dispose()
    known = migrate.revisions()
    upgrades.go(url, "downgrade", known[known.index("0007") - 1])
    upgrades.go(url, "upgrade", HEAD)
    engine = db.connect(url)
    with db.begin(engine) as connection:  # a leader of before is at work: it lists nothing
        connection.execute(tables.changes.delete())
    engine.dispose()
    settled(url)
    engine = db.connect(url)
    with db.reading(engine) as connection:
        assert connection.execute(tables.unjoined.select()).all() == [before]
    engine.dispose()


@pytest.mark.parametrize("start", ["base", FIRST])
def test_an_upgrade_killed_anywhere_leaves_the_old_schema_and_is_done_by_the_next_start(
    url: str, tmp_path: Path, start: str, report: Callable[[str], None]
) -> None:
    wanted, rows = upgrades.shape(url), upgrades.counts(url)
    if start == "base":
        url, rows = engines.url(tmp_path, "empty"), dict.fromkeys(rows, 0)
    else:
        upgrades.go(url, "downgrade", start)
    before, chance, under_way, cut = upgrades.stands_at(url), random.Random(20261122), 0, 0
    longest = 0.4 if start == "base" else 0.1
    for tried in range(10 * KILLS):
        if tried >= KILLS and under_way:
            break
        moment = chance.random() * longest
        if upgrades.killed(url, moment):
            under_way += 1
        else:
            longest = moment  # it takes no longer than this here
        found = upgrades.stands_at(url)
        assert found in (before, HEAD)
        cut += found == before
        if found != before:
            upgrades.go(url, "downgrade", start)
    assert migrate.migrate(url) == (before, HEAD)
    assert upgrades.shape(url) == wanted
    assert settled(url) == rows
    assert under_way, "it was never killed at work: this shows nothing"
    told = f"upgrade from {before or 'nothing'} killed {under_way} times at work, {cut} undone"
    report(f"{told}: the next start did it")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    running = Service(
        tmp_path / "data", settings={"CLICKTRAIL_DATABASE_URL": engines.url(tmp_path, "served")}
    )
    yield running
    running.stop()


def test_an_upgrade_under_load_stops_no_door_and_loses_nothing(
    service: Service, report: Callable[[str], None]
) -> None:
    """The schema goes back beneath a service at work; a SIGHUP, which is how one upgrades, brings it up."""
    url = service.settings["CLICKTRAIL_DATABASE_URL"]
    service.open().stop()
    engine = db.connect(url)
    history.live(House(engine, Pipeline(engine, lambda: NOON)), EVENTS)
    engine.dispose()
    rows = upgrades.counts(url)
    service.open()
    with Load(service, clients=3) as load:
        load.more(50)
        upgrades.go(url, "downgrade", FIRST)
        begun = time.time()
        assert service.process is not None
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: service.log().count('"took_over"') == 2, seconds=120)
        took = time.time() - begun
        load.more(50)
    assert upgrades.stands_at(url) == HEAD
    accepted = sorted(e.heard_at for e in load.ledger.entries.values() if e.status == "accepted")
    stall = max(later - earlier for earlier, later in pairwise(accepted))
    report(
        f"upgrade of {EVENTS:,} events under load: {took:.1f} s, no door still for longer than {stall:.2f} s"
    )
    wait_until(lambda: not harm(load.ledger, url), seconds=60)
    assert upgrades.counts(url)["events"] > rows["events"]


def harm(ledger: Ledger, url: str) -> list[str]:
    """What was lost, doubled or altered of the ledger; the past is in no ledger."""
    damage = compare(ledger, url)
    off = [f"{damage.micros} micro-units off"] if damage.micros else []
    return damage.lost + damage.twice + damage.altered + off
