"""The background process: it drains what the inbox holds, says how fresh the numbers are, and stops."""

import asyncio
import threading
from pathlib import Path

import msgspec
import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from app import db, tables
from app.clock import now_us
from app.inbox.queue import Queue
from app.inbox.sqlite import Inbox
from app.pipeline import store
from app.places import countries, countries_if_readable
from app.worker import FRESHNESS, Context, drain
from app.workspaces import Snapshots
from tests.house import House, event


def fill(folder: Path, count: int) -> None:
    """Put `count` impressions into an inbox, as a web process would, and close it."""

    async def put() -> None:
        inbox = Inbox(folder, segment_bytes=2**20, limit_bytes=2**30, reserve_bytes=0, clock=now_us)
        await inbox.start()
        encode = msgspec.msgpack.encode
        await inbox.append([encode(event("impression", id=f"e{i}")) for i in range(count)])
        await inbox.stop()

    asyncio.run(put())


@pytest.fixture
def context(tmp_path: Path) -> Context:
    house = House.build(tmp_path)
    return Context(
        engine=house.engine,
        pipeline=house.pipeline,
        queue=Queue(tmp_path / "inbox"),
        snapshots=Snapshots(tmp_path / "snapshot", clock=now_us),
        stored=threading.Event(),
    )


def freshness(context: Context) -> int:
    with db.reading(context.engine) as connection:
        return store.cursors(connection).get(FRESHNESS, 0)


def test_it_takes_what_is_there_in_bites_and_removes_the_drained_file(
    context: Context, tmp_path: Path
) -> None:
    fill(tmp_path / "inbox", 25)
    assert [drain(context, 10) for _ in range(4)] == [10, 10, 5, 0]
    with db.reading(context.engine) as connection:
        assert len(connection.execute(tables.events.select()).all()) == 25
    assert not list((tmp_path / "inbox").glob("*.db"))


def test_freshness_moves_only_when_nothing_waits(context: Context, tmp_path: Path) -> None:
    drain(context, 10)
    first = freshness(context)
    assert 0 < first <= now_us()
    fill(tmp_path / "inbox", 5)
    drain(context, 3)
    assert freshness(context) == first


def test_a_worker_that_starts_again_goes_on_at_its_cursor(context: Context, tmp_path: Path) -> None:
    fill(tmp_path / "inbox", 10)
    drain(context, 4)
    context.queue.close()
    again = Context(
        context.engine, context.pipeline, Queue(tmp_path / "inbox"), context.snapshots, threading.Event()
    )
    while drain(again, 100):
        pass
    with db.reading(context.engine) as connection:
        assert len(connection.execute(tables.events.select()).all()) == 10
        assert connection.execute(tables.outcomes.select()).all() == []


def test_countries_come_from_an_operators_file(tmp_path: Path) -> None:
    writer = MMDBWriter(ip_version=4, database_type="Test-Country")
    writer.insert_network(IPSet(["10.1.2.0/24"]), {"country": {"iso_code": "NO"}})
    writer.to_db_file(str(tmp_path / "x.mmdb"))
    country_of = countries(tmp_path / "x.mmdb")
    assert [country_of(ip) for ip in ("10.1.2.0", "10.9.9.0", "not an ip", "2001:db8::")] == [
        "NO",
        "",
        "",
        "",
    ]
    assert countries(None)("10.1.2.0") == ""


def test_doors_open_though_the_operators_file_is_gone_or_damaged(tmp_path: Path) -> None:
    (tmp_path / "damaged.mmdb").write_bytes(b"?" * 4096)
    for name in ("gone.mmdb", "damaged.mmdb"):
        assert countries_if_readable(tmp_path / name)("10.1.2.0") == ""
