"""PostgreSQL ends in the middle of a batch: nothing is lost, nothing doubled, nothing taken for poison."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import exc, text

from app import db, migrate, tables
from app.pipeline import run
from app.pipeline.run import Pipeline
from tests import engines
from tests.conftest import wait_until
from tests.house import House, event


@pytest.fixture(scope="module")
def server() -> engines.Server:
    """One of our own, to be stopped and killed."""
    return engines.new_server()


@pytest.fixture
def house(server: engines.Server, request: pytest.FixtureRequest) -> Iterator[House]:
    name = f"outage_{abs(hash(request.node.name))}"
    server.say(f"CREATE DATABASE {name}")
    migrate.migrate(server.url(name))
    house = House.on(db.connect(server.url(name)))
    yield house
    house.engine.dispose()


@pytest.mark.parametrize("mode", ["immediate", "fast"])
def test_batches_cut_off_by_a_restart_are_stored_once(
    house: House, server: engines.Server, mode: str
) -> None:
    """The pipeline goes on like the worker: what it could not commit it is given again."""
    interrupted = []
    stored = 0
    gone = threading.Event()

    def work() -> None:
        nonlocal stored
        while stored < 1_000:
            part = [event("click", id=f"c{i}", visitor_id=f"v{i}") for i in range(stored, stored + 20)]
            try:
                house.send(*part)
            except Exception as error:
                if not db.passing(error):
                    raise
                interrupted.append(error)
                gone.wait(0.01)
                continue
            stored += 20

    worker = threading.Thread(target=work)
    worker.start()
    for until in (200, 500):
        wait_until(lambda until=until: stored >= until or not worker.is_alive())
        server.stop(mode)
        server.start()
    worker.join()
    assert interrupted
    assert len(house.rows(tables.events)) == stored == 1_000
    assert house.rows(tables.rejected) == []


def test_what_is_in_trouble_is_told_from_what_is_wrong(house: House) -> None:
    """A record that can never be stored must not be tried for ever; a deadlock's victim must."""

    def failing(statement: str) -> exc.DBAPIError:
        with pytest.raises(exc.DBAPIError) as caught, db.begin(house.engine) as connection:
            connection.execute(text(statement))
        return caught.value

    def raising(state: str) -> exc.DBAPIError:
        return failing(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$")

    for state in (
        "40001",
        "40P01",
        "53100",
        "53300",
        "57P01",
        "57P03",
        "08006",
        "25006",
        "55P03",
        "58030",
        "42P01",
        "42703",
    ):
        assert db.passing(raising(state)), state
    for state in ("22021", "22003", "23502", "23505", "54000"):
        assert not db.passing(raising(state)), state
    assert db.raced(raising("40P01")) and db.raced(raising("40001")) and db.raced(raising("23505"))
    assert not db.raced(raising("22021"))


def deadlocked(house: House) -> int:
    """Send one event into a deadlock, as its victim; how often it was tried.

    Each of the two holds what the other wants.
    """
    held, wanted = threading.Event(), threading.Event()

    def other() -> None:
        with db.begin(house.engine) as connection:
            db.lock(connection, db.Lock.FACTS, 1)
            held.set()
            wanted.wait(30)
            connection.execute(text("SET LOCAL deadlock_timeout = '60s'"))  # the pipeline is the victim
            connection.execute(text("UPDATE config SET version = version"))

    taken = Pipeline._commit
    attempts = []

    def holding(self: Pipeline, slices: object) -> None:
        """The pipeline's transaction, holding a row that the other will want."""
        attempts.append(1)
        if len(attempts) > 1:
            return taken(self, slices)  # type: ignore[arg-type]
        with db.begin(self.engine) as connection:
            connection.execute(text("UPDATE config SET version = version"))
            wanted.set()
            db.lock(connection, db.Lock.FACTS, 1)

    thread = threading.Thread(target=other)
    thread.start()
    held.wait(30)
    Pipeline._commit = holding  # type: ignore[method-assign]
    try:
        house.send(event("click", id="a"))
    finally:
        Pipeline._commit = taken  # type: ignore[method-assign]
        thread.join()
    return len(attempts)


def test_two_batches_that_wait_for_one_another_are_both_stored(house: House) -> None:
    assert deadlocked(house) == 2
    assert len(house.rows(tables.events)) == 1


def test_a_pipeline_that_does_not_try_again_is_found_out(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "RACES", 1)
    with pytest.raises(exc.OperationalError, match="deadlock"):
        deadlocked(house)
    assert house.rows(tables.events) == []


def test_a_pipeline_that_takes_a_deadlock_for_poison_is_found_out(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "RACES", 1)
    monkeypatch.setattr(db, "passing", lambda error: False)
    deadlocked(house)
    assert house.rows(tables.events) == []
    assert len(house.rows(tables.rejected)) == 1
