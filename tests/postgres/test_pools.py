"""Reports that hang, or come by the dozen, leave everything else as it is: pools and threads of their own."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from app import db, deps
from tests.conftest import new_client, wait_until
from tests.faults.processes import Service

pytestmark = pytest.mark.faults

ASKED = 60  # reports at once: more than a process has threads for routes
PATIENCE = 4.0  # seconds that an answer to anything else may take on a busy machine
QUERY = {"metrics": ["clicks", "cost"], "date_range": "all"}


@contextmanager
def held_up(service: Service, table: str) -> Iterator[None]:
    """Whoever reads `table` waits until the end of the block: only reports read what deals say."""
    engine = db.connect(service.database, pool=1)
    with db.begin(engine) as connection:
        connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        yield
    engine.dispose()


def ask(service: Service) -> tuple[int, float, str]:
    """(status, seconds, Retry-After) of one report."""
    began = time.monotonic()
    with new_client(base_url=service.url, headers=service.as_("read"), timeout=60) as client:
        answer = client.post("/v1/metrics/query", json=QUERY)
    return answer.status_code, time.monotonic() - began, answer.headers.get("retry-after", "")


def everything_else(service: Service, turn: int) -> dict[str, float]:
    """An event, its receipt, a change and a look by management: the seconds each took; it must succeed."""
    took: dict[str, float] = {}

    @contextmanager
    def timed(what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        took[what] = time.monotonic() - began

    with service.client("server") as sender, service.client("admin") as admin:
        with timed("event"):
            told = {"events": [{"id": f"e{turn}", "kind": "click", "campaign": "spring", "visitor_id": "v"}]}
            accepted = sender.post("/v1/events", json=told)
        assert accepted.status_code == 202
        with timed("receipt"):
            assert sender.get(f"/v1/receipts/{accepted.json()['receipt']}").status_code == 200
        with timed("stored"):
            told["events"][0]["id"] = f"w{turn}"
            answer = sender.post("/v1/events?wait=stored", json=told)
        assert answer.json()["outcomes"] == ["stored"]
        with timed("change"):
            made = admin.post("/v1/campaigns", json={"slug": f"c{turn}", "landing_url": "https://a.example/"})
        assert made.status_code == 201
        with timed("look"):
            assert admin.get("/v1/campaigns").status_code == 200
        with timed("redirect"):
            assert admin.get("/c/spring").status_code == 302
    return took


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], Service]]:
    started: list[Service] = []

    def start(bug: str = "") -> Service:
        started.append(Service(tmp_path / f"data{len(started)}", bug=bug))
        return started[-1].open()

    yield start
    for service in started:
        service.stop()


def crowd(pool: ThreadPoolExecutor, service: Service) -> list["Future[tuple[int, float, str]]"]:
    """Many reports, of which as many as may be are at work."""
    asked = [pool.submit(ask, service) for _ in range(ASKED)]
    engine = db.connect(service.database, pool=1)
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'deals'::regclass")

    def at_work() -> bool:
        with db.reading(engine) as connection:
            return int(connection.scalar(waiting) or 0) == deps.REPORTS

    wait_until(at_work)
    engine.dispose()
    return asked


def test_reports_that_hang_leave_events_receipts_and_management_at_work(
    serve: Callable[[str], Service], report: Callable[[str], None]
) -> None:
    service = serve("")
    slowest: dict[str, float] = {}
    with ThreadPoolExecutor(ASKED) as pool:
        with held_up(service, "deals"):
            asked = crowd(pool, service)
            for turn in range(5):
                for what, seconds in everything_else(service, turn).items():
                    slowest[what] = max(seconds, slowest.get(what, 0))
            wait_until(lambda: sum(one.done() for one in asked) == ASKED - deps.REPORTS)
            refused = [one.result() for one in asked if one.done()]
        answered = [one.result() for one in asked]
    assert max(slowest.values()) < PATIENCE, slowest
    assert {(status, after) for status, _, after in refused} == {(503, "5")}
    assert max(seconds for _, seconds, _ in refused) < deps.PATIENCE + 3 * PATIENCE
    assert [status for status, _, _ in answered].count(200) == deps.REPORTS
    assert ask(service)[0] == 200
    figures = ", ".join(f"{what} {seconds * 1000:.0f} ms" for what, seconds in slowest.items())
    report(
        f"{ASKED} reports held up: {len(refused)} told to come back after at most "
        f"{max(seconds for _, seconds, _ in refused):.1f} s; meanwhile at most {figures}"
    )


def test_reports_that_wait_in_threads_would_hold_up_management(serve: Callable[[str], Service]) -> None:
    """The negative control: no turns, so that whoever waits for a connection has a thread meanwhile."""
    service = serve("reports_take_every_thread")
    with ThreadPoolExecutor(ASKED) as pool, held_up(service, "deals"):
        asked = crowd(pool, service)
        with service.client("admin") as admin, pytest.raises(httpx.ReadTimeout):
            admin.get("/v1/campaigns", timeout=PATIENCE)
    assert len([one.result() for one in asked]) == ASKED
