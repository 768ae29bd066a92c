"""Behind PgBouncer, which hands each transaction to whatever connection is free, all is as without it."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, select, text

from app import db, migrate, tables
from tests import engines
from tests.conftest import Clicktrail, impossible, wait_until

pytestmark = pytest.mark.faults

#: Fewer than two machines have of their own, so that connections change hands all the time.
CONNECTIONS = 6
PORT = 6432
PAIRS = 60

CONFIGURATION = """
[databases]
* = host={server} user=postgres
[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
listen_port = {port}
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 200
server_reset_query_always = 0
"""


@dataclass(frozen=True)
class Bouncer:
    folder: Path

    def url(self, direct: str) -> str:
        """A database's URL by way of PgBouncer."""
        database = direct.partition("?")[0]
        return f"{database}?host={self.folder}&port={PORT}&pgbouncer=true"


@pytest.fixture(scope="module")
def bouncer() -> Iterator[Bouncer]:
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        impossible("pgbouncer is not installed")
    folder = engines.server().folder / "bouncer"
    folder.mkdir()
    written = CONFIGURATION.format(
        server=engines.server().folder, folder=folder, port=PORT, connections=CONNECTIONS
    )
    (folder / "pgbouncer.ini").write_text(written)
    root = os.geteuid() == 0
    if root:
        shutil.chown(folder, "nobody")
    process = subprocess.Popen(
        [str(program), "--quiet", str(folder / "pgbouncer.ini")],
        user=pwd.getpwnam("nobody").pw_uid if root else None,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    found = Bouncer(folder)
    wait_until(lambda: process.poll() is None and _answers(found))
    yield found
    process.terminate()
    process.wait(timeout=30)


def _answers(bouncer: Bouncer) -> bool:
    try:
        psycopg.connect(f"host={bouncer.folder} port={PORT} user=postgres dbname=postgres").close()
    except psycopg.OperationalError:
        return False
    return True


class Machine(Clicktrail):
    """A service of its own data folder, told where its database is."""

    def on(self, url: str) -> "Machine":
        self.start(CLICKTRAIL_DATABASE_URL=url)
        return self

    def tell(self, *events: dict[str, Any]) -> None:
        with self.client("server") as sender:
            for start in range(0, len(events), 20):
                assert sender.post("/v1/events", json={"events": events[start : start + 20]}).is_success

    def knows_its_key(self) -> bool:
        with self.client("read") as analyst:
            return analyst.get("/v1/metrics/meta").status_code == 200

    def totals(self) -> list[tuple[object, ...]]:
        """(campaign, clicks, sales, revenue)."""
        with self.client("read") as analyst:
            metrics = ["clicks", "sales", "revenue"]
            asked = {"metrics": metrics, "dimensions": ["campaign"], "date_range": "all"}
            answer = analyst.post("/v1/metrics/query", json=asked)
        assert answer.status_code == 200, answer.text
        return [tuple(row[name] for name in ("campaign", *metrics)) for row in answer.json()["rows"]]


def click(i: int) -> dict[str, Any]:
    return {"id": f"c{i}", "kind": "click", "campaign": "spring", "visitor_id": f"v{i}"}


def sale(i: int) -> dict[str, Any]:
    told = {"id": f"s{i}", "kind": "sale", "order_id": f"o{i}", "visitor_id": f"v{i}"}
    return told | {"value": "2.50", "currency": "EUR"}


def test_two_machines_behind_it_agree_on_every_number(bouncer: Bouncer, tmp_path: Path) -> None:
    """Clicks through the one and their sales through the other, at once; one is killed and comes back."""
    direct = engines.url(tmp_path, "bounced")
    url = bouncer.url(direct)
    left, right = Machine(tmp_path / "left").on(url), Machine(tmp_path / "right")
    try:
        right.on(url)
        right.keys = left.keys
        wait_until(right.knows_its_key)
        for start in range(0, PAIRS, 20):
            some = range(start, start + 20)
            left.tell(*(click(i) for i in some))
            right.tell(*(sale(i) for i in some))
        right.stop(9)
        right.on(url)
        wait_until(lambda: left.totals() == [("spring", PAIRS, PAIRS, 2.5 * PAIRS)], seconds=60)
        assert right.totals() == left.totals()
        assert "turn_failed" not in left.log() + right.log()
    finally:
        left.stop()
        right.stop()
    engine = db.connect(direct, pool=1)
    with db.reading(engine) as connection:
        assert connection.scalar(select(func.count()).select_from(tables.rejected)) == 0
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = :one"
        here = "SELECT oid FROM pg_database WHERE datname = current_database()"
        assert connection.scalar(text(held), {"one": connection.scalar(text(here))}) == 0
    engine.dispose()


def test_the_leader_lock_holds_whatever_connection_serves(bouncer: Bouncer, tmp_path: Path) -> None:
    """Transactions of one client on changing connections: of those open at once, one leads."""
    url = bouncer.url(engines.url(tmp_path, "led", template="template_clicktrail"))
    one, other = db.connect(url), db.connect(url)
    seen = set()
    for _ in range(20):
        with db.begin(one) as first:
            assert db.leading(first)
            seen.add(first.scalar(text("SELECT pg_backend_pid()")))
            with db.begin(other) as second:
                assert not db.leading(second)
                seen.add(second.scalar(text("SELECT pg_backend_pid()")))
        with db.begin(other) as second:
            assert db.leading(second)
    assert len(seen) > 1
    one.dispose()
    other.dispose()


def test_a_schema_comes_about_behind_it_and_leaves_no_lock(bouncer: Bouncer, tmp_path: Path) -> None:
    direct = engines.url(tmp_path, "made")
    for _ in range(2 * CONNECTIONS):
        migrate.migrate(bouncer.url(direct))
    engine = db.connect(direct, pool=1)
    with db.begin(engine) as connection:
        key = {"key": migrate.ADVISORY_LOCK}
        assert connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), key)
    engine.dispose()


def test_a_lock_of_the_session_would_stay_behind(bouncer: Bouncer, tmp_path: Path) -> None:
    """The negative control: what the migration's lock was before, and why it is not."""
    url = bouncer.url(engines.url(tmp_path, "session"))
    one, other = db.connect(url, pool=1), db.connect(url, pool=1)
    with one.connect() as first, other.connect() as second:
        first.execute(text("SELECT pg_advisory_lock(7)"))
        first.commit()
        second.execute(text("SELECT 1"))  # it has the connection that holds the lock, and keeps it a while
        assert first.scalar(text("SELECT pg_advisory_unlock(7)")) is False
        first.rollback()
        second.rollback()
    one.dispose()
    other.dispose()
