"""Reports that take long, or overlap, beside ingestion on SQLite: they end, and the log stays short."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, exc, text

from app import db
from tests.faults.ledger import compare
from tests.faults.processes import Service
from tests.faults.rapid import Rapid, percentile

pytestmark = pytest.mark.faults

MIB = 2**20
ENDLESS = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")


def test_a_report_ends_when_its_time_is_over(tmp_path: Path) -> None:
    engine = db.connect(f"sqlite:///{tmp_path}/reports.db", timeout=0.3)
    began = time.monotonic()
    with pytest.raises(exc.OperationalError, match="interrupted") as raised, db.reading(engine) as connection:
        connection.execute(ENDLESS)
    assert db.passing(raised.value), "it is told to come again"
    assert time.monotonic() - began < 10
    with db.reading(engine) as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()


@contextmanager
def overlapping(engine: Engine) -> Iterator[None]:
    """Reports of a third of a second each, of which two or three are always under way."""
    enough = threading.Event()

    def report(late: float) -> None:
        enough.wait(late)
        while not enough.is_set():
            with db.reading(engine) as connection:
                connection.execute(text("SELECT count(*) FROM told")).all()
                enough.wait(0.3)

    with ThreadPoolExecutor() as pool:
        asking = [pool.submit(report, n / 10) for n in range(3)]
        try:
            yield
        finally:
            enough.set()
        for one in asking:
            one.result()


def longest(folder: Path, tend: Callable[[Engine], object]) -> int:
    """The most bytes of log while 64 MiB are written beside reports that overlap."""
    engine = db.connect(f"sqlite:///{folder}/told.db")
    with db.begin(engine) as connection:
        connection.execute(text("CREATE TABLE told (what BLOB)"))
    sizes = []
    with overlapping(engine):
        for _ in range(64):
            with db.begin(engine) as connection:
                connection.execute(text("INSERT INTO told VALUES (zeroblob(1048576))"))
            tend(engine)
            sizes.append((folder / "told.db-wal").stat().st_size)
    engine.dispose()
    return max(sizes)


def test_reports_that_overlap_do_not_keep_the_log_from_beginning_anew(
    tmp_path: Path, report: Callable[[str], None]
) -> None:
    size = longest(tmp_path, lambda engine: db.restart_log(engine, most=24 * MIB, patience=2))
    assert size < 40 * MIB
    report(f"64 MiB written beside reports that overlap: at most {size // MIB} MiB of log, begun anew at 24")


def test_a_log_that_nobody_begins_anew_is_found_out(tmp_path: Path) -> None:
    assert longest(tmp_path, lambda engine: None) > 60 * MIB


async def answered(load: Rapid, count: int) -> list[float]:
    """Go on until so many more were answered; how long each took."""
    first = len(load.waits)
    async with asyncio.timeout(120):
        while len(load.waits) < first + count:  # noqa: ASYNC110 (a list tells nobody)
            await asyncio.sleep(0.05)
    return load.waits[first:]


async def test_a_long_report_costs_ingestion_nothing(
    serve: Callable[..., Service], report: Callable[[str], None]
) -> None:
    service = serve(CLICKTRAIL_DATABASE_URL="")  # the embedded one, whatever the others run on
    folder = service.data
    engine = db.connect(f"sqlite:///{folder}/clicktrail.db", pool=1)
    async with Rapid(service, 100) as load:
        alone = await answered(load, 300)
        with db.reading(engine) as connection:  # a snapshot that is held as long as the load goes on
            connection.execute(text("SELECT count(*) FROM events")).all()
            beside = await answered(load, 300)
            size = (folder / "clicktrail.db-wal").stat().st_size
    engine.dispose()
    assert load.failures == {} and load.ledger.surprises == []
    assert load.ledger.count("refused") == 0
    await asyncio.to_thread(service.settled)
    damage = compare(load.ledger, str(service.database))
    assert not damage, str(damage)
    assert size < 64 * MIB
    slow, slower = (1000 * percentile(waits, 0.99) for waits in (alone, beside))
    report(
        f"a report that reads all the while: p99 of ingestion {slower:.0f} ms, without it {slow:.0f} ms; "
        f"{size // 1024} KiB of log after 300 requests"
    )
