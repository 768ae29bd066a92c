"""A server that says nothing is given up, one that is busy is not."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine, exc, text

from app import bulk, db
from app.pulse import Pulse
from tests import engines
from tests.conftest import wait_until
from tests.faults.proxy import Proxy

SILENCE = 1.0
SOON = 20.0  # seconds; the machine may be busy


@pytest.fixture
def network() -> Iterator[Proxy]:
    with Proxy(engines.server().folder / ".s.PGSQL.5432") as proxy:
        yield proxy


@pytest.fixture
def pulse() -> Iterator[Pulse]:
    made = Pulse(SILENCE)
    yield made
    made.stop()


@pytest.fixture
def engine(network: Proxy, pulse: Pulse) -> Iterator[Engine]:
    url = f"postgresql+psycopg://postgres@127.0.0.1:{network.port}/postgres"
    made = db.connect(url, pulse=pulse)
    db.watch(url, pulse)
    assert say(made, "SELECT 1") == 1
    yield made
    made.dispose()


def say(engine: Engine, statement: str) -> object:
    with db.begin(engine) as connection:
        return connection.scalar(text(statement))


def refused(act: Callable[[], object]) -> float:
    """How long it took until it was given up."""
    began = time.monotonic()
    with pytest.raises(exc.OperationalError) as caught:
        act()
    assert db.passing(caught.value)
    return time.monotonic() - began


def test_a_statement_may_take_longer_than_a_server_may_say_nothing(engine: Engine) -> None:
    assert say(engine, f"SELECT pg_sleep({2 * SILENCE}) IS NULL") is False


def test_who_waits_for_an_answer_and_who_would_is_told(engine: Engine, network: Proxy, pulse: Pulse) -> None:
    with ThreadPoolExecutor() as pool, engine.connect() as connection:
        asked: Future[float] = pool.submit(refused, lambda: say(engine, "SELECT pg_sleep(60)"))
        network.holds()
        assert refused(lambda: connection.execute(text("SELECT 1"))) < SILENCE + SOON
        assert asked.result(SILENCE + SOON) < SILENCE + SOON
        assert pulse.silent
        assert refused(lambda: say(engine, "SELECT 1")) < SILENCE


def test_what_a_silence_outlived_is_not_used_again(engine: Engine, network: Proxy, pulse: Pulse) -> None:
    """Its answers may be lost for ever, though the server is there again."""
    with engine.connect() as connection:
        first = connection.connection.dbapi_connection
    network.holds()
    wait_until(lambda: pulse.silent)
    network.passes()
    wait_until(lambda: not pulse.silent)
    with engine.connect() as connection:
        assert connection.connection.dbapi_connection is not first
        assert connection.scalar(text("SELECT 1")) == 1


@pytest.mark.parametrize("how", ["COPY", "INSERT"])
def test_rows_on_their_way_to_a_silent_server_are_given_up(engine: Engine, network: Proxy, how: str) -> None:
    with engine.connect() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE numbers (number bigint)"))
        network.holds()
        assert refused(lambda: fill(connection, how)) < 2 * SILENCE + SOON
    network.passes()
    wait_until(lambda: answers(engine))


def fill(connection: Connection, how: str) -> None:
    rows = ((number,) for number in range(10**8))
    with bulk._cursor(connection, how) as cursor:
        if how == "INSERT":
            cursor.executemany("INSERT INTO numbers VALUES (%s)", rows)
            return
        with cursor.copy("COPY numbers FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def answers(engine: Engine) -> bool:
    try:
        return say(engine, "SELECT 1") == 1
    except exc.OperationalError:
        return False
