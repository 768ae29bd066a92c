"""`clicktrail migrate-database` at the command line: what it shows, what it refuses, killed in its midst.

The move is of a past with a few thousand events in it; CLICKTRAIL_FAULTS=long kills more often.
"""

import hashlib
import os
import pty
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlalchemy import Table, func, select, text

from app import db, migrate, tables
from app.metrics.meta import INBOX_FILE
from tests import engines, history
from tests.conftest import wait_until
from tests.faults.ledger import Ledger, compare
from tests.faults.load import Load
from tests.faults.processes import Service, held
from tests.operation import planted

KILLS = 12 if os.environ.get("CLICKTRAIL_FAULTS") == "long" else 3
EVENTS = 3_000
COPYING = 0.3  # seconds that it takes at least


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a past, in one file; nothing has it open."""
    folder = tmp_path_factory.mktemp("past")
    history.fill(f"sqlite:///{folder}/clicktrail.db", EVENTS).engine.dispose()
    return folder


@pytest.fixture
def data(past: Path, tmp_path: Path) -> Path:
    """A copy of it, to be moved."""
    shutil.copytree(past, tmp_path / "data")
    return tmp_path / "data"


def words(data: Path, target: str, bug: str = "") -> list[str]:
    before = [str(Path(planted.__file__)), bug] if bug else []
    return [sys.executable, *before, "-m", "app.cli", "migrate-database", "--to", target, "--data", str(data)]


def run(data: Path, target: str, bug: str = "") -> subprocess.CompletedProcess[str]:
    command = words(data, target, bug)
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def environment() -> dict[str, str]:
    return os.environ | {"CLICKTRAIL_DATABASE_URL": ""}


def rows(url: str) -> dict[str, int]:
    """How many rows each table holds, without empty ones."""
    engine = db.connect(url, pool=1)

    def count(table: Table) -> int:
        return connection.scalar(select(func.count()).select_from(table)) or 0

    with db.reading(engine) as connection:
        found = {table.name: n for table in tables.metadata.sorted_tables if (n := count(table))}
    engine.dispose()
    return found


def fingerprint(data: Path) -> str:
    """Of the source as it lies on the disk; nothing may wait in a log beside it."""
    assert not [path for path in data.glob("clicktrail.db-wal") if path.stat().st_size]
    return hashlib.sha256((data / "clicktrail.db").read_bytes()).hexdigest()


def test_the_move_says_what_it_did_and_shows_no_bar_where_nobody_looks(data: Path, tmp_path: Path) -> None:
    target = engines.url(tmp_path, "moved")
    before = fingerprint(data)
    done = run(data, target)
    assert (done.returncode, done.stderr) == (0, "")
    assert "tables moved; every table and report is equal." in done.stdout
    there, here = rows(target), rows(f"sqlite:///{data}/clicktrail.db")
    assert there == here and min(there[name] for name in ("events", "conversions", "spend")) >= 90
    assert fingerprint(data) == before


def test_at_a_terminal_it_shows_how_far_it_is(data: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        words(data, engines.url(tmp_path, "moved")),
        env=environment() | {"TERM": "xterm", "COLUMNS": "80"}, stdout=subprocess.PIPE, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the other end is closed: that is how a terminal ends
        while part := os.read(ours, 65_536):
            shown += part
    os.close(ours)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"compare" in shown and b"100%" in shown
    assert b"100%" not in said


def kill_the_move(data: Path, target: str, moments: list[float], bug: str = "") -> None:
    """Kill it so many seconds after it began to copy, again and again."""
    for moment in moments:
        command = words(data, target, bug)
        with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL) as process:
            wait_until(lambda: process.poll() is not None or sessions(target, "COPY %"))
            assert process.poll() is None, "it had not begun, or was done: this shows nothing"
            with suppress(subprocess.TimeoutExpired):
                process.wait(moment)
            process.kill()
        wait_until(lambda: not sessions(target))


def test_killed_anywhere_it_leaves_both_as_they_were_and_can_be_run_again(
    data: Path, tmp_path: Path, report: Callable[[str], None]
) -> None:
    before, chance = fingerprint(data), random.Random(20261122)
    target = engines.url(tmp_path, "moved")
    for moment in (chance.random() * COPYING for _ in range(KILLS)):
        kill_the_move(data, target, [moment])
        assert rows(target) == {}
        assert fingerprint(data) == before
    assert run(data, target).returncode == 0
    assert rows(target) == rows(f"sqlite:///{data}/clicktrail.db")
    report(f"migrate-database killed {KILLS} times while it copied: both as they were; then moved, equal")


def test_a_move_that_commits_by_table_is_found_out(data: Path, tmp_path: Path) -> None:
    target = engines.url(tmp_path, "moved")
    kill_the_move(data, target, [COPYING], bug="committed_by_table")
    assert rows(target) != {}


def sessions(url: str, doing: str = "%") -> int:
    """How many others are at work in this database."""
    engine = db.connect(url, pool=1)
    asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE :doing"
    with db.reading(engine) as connection:
        found = connection.scalar(text(asked + " AND pid <> pg_backend_pid()"), {"doing": doing})
    engine.dispose()
    return int(found or 0)


# --- What is refused, by name --------------------------------------------------------------------------


def test_a_worker_that_runs_is_a_reason_not_to_move(data: Path, tmp_path: Path) -> None:
    service = Service(data, settings={"CLICKTRAIL_DATABASE_URL": ""})
    service.start(CLICKTRAIL_DATABASE_URL="")
    try:
        done = run(data, engines.url(tmp_path, "moved"))
    finally:
        service.stop()
    assert (done.returncode, done.stderr.count("stop Clicktrail first")) == (1, 1)


def test_a_target_that_holds_anything_is_left_as_it_is(data: Path, tmp_path: Path) -> None:
    target = engines.url(tmp_path, "moved")
    migrate.migrate(target)
    engine = db.connect(target)
    with db.begin(engine) as connection:
        connection.execute(tables.carried.insert().values(workspace=1, no=1))
    engine.dispose()
    done = run(data, target)
    assert (done.returncode, done.stderr) == (1, "the target is not empty: carried holds rows\n")
    assert rows(target) == {"carried": 1}


@pytest.mark.parametrize("newer", ["here", "there"])
def test_a_schema_of_a_newer_version_on_either_side_is_refused(
    data: Path, tmp_path: Path, newer: str
) -> None:
    target = engines.url(tmp_path, "moved")
    migrate.migrate(target)
    engine = db.connect(f"sqlite:///{data}/clicktrail.db" if newer == "here" else target)
    with db.begin(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    engine.dispose()
    done = run(data, target)
    assert done.returncode == 1 and "the database has schema 0999" in done.stderr
    assert rows(target) == {}


def test_a_folder_without_a_database_and_a_target_that_is_none_are_named(data: Path, tmp_path: Path) -> None:
    assert "there is no database at" in run(tmp_path / "nowhere", engines.url(tmp_path, "moved")).stderr
    assert not (tmp_path / "nowhere").exists()
    assert "must be a postgresql:// URL" in run(data, "sqlite:///other.db").stderr
    closed = run(data, f"postgresql://postgres@/nothing?host={tmp_path}")
    assert closed.returncode == 1 and closed.stderr.startswith("the database said: connection")


def test_a_postgresql_that_is_too_old_is_refused_by_its_version(data: Path, tmp_path: Path) -> None:
    folder = engines.server().folder
    with older(folder / ".s.PGSQL.5432", tmp_path / ".s.PGSQL.5432"):
        target = engines.url(tmp_path, "moved").replace(f"host={folder}", f"host={tmp_path}")
        done = run(data, target)
    assert (done.returncode, done.stderr) == (1, "the database is PostgreSQL 14.6; 15.0 or newer is needed\n")


class older:  # noqa: N801 - reads as a word: with older(...)
    """A door to the server that has it say it is PostgreSQL 14: the one answer that must be planted."""

    def __init__(self, server: Path, door: Path) -> None:
        self.server = server
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(door))
        self.listening.listen()

    def __enter__(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self.server))
                threading.Thread(target=self._pass, args=(client, server, b"", b""), daemon=True).start()
                said, now = b"180006", b"140006"
                threading.Thread(target=self._pass, args=(server, client, said, now), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, old: bytes, new: bytes) -> None:
        with suppress(OSError), closing(target):
            while part := source.recv(65_536):
                target.sendall(part.replace(old, new) if old else part)


# --- Afterwards ----------------------------------------------------------------------------------------


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    running = Service(tmp_path / "data", settings={"CLICKTRAIL_DATABASE_URL": ""})
    yield running
    running.stop()


def moved_while_records_waited(service: Service, target: str, bug: str = "") -> tuple[Ledger, int]:
    """The worker stands still while records come, all is killed, moved, and taken up again under load."""
    service.open()
    with Load(service, clients=3) as load:
        load.more(100)
    service.settled()
    with held(service, "worker") as worker, Load(service, clients=3, seed=2, ledger=load.ledger) as load:
        load.more(150)
        service.crash()
        worker.kill()
        waiting = load.ledger.count("accepted") + 1 - service.stored()  # and the click of `open`
        assert run(service.data, target, bug).returncode == 0
        service.settings["CLICKTRAIL_DATABASE_URL"] = target
        service.open()
        load.more(50)
    since = time.time_ns() // 1000
    wait_until(lambda: all_in(target, since))
    return load.ledger, waiting


def all_in(url: str, since: int) -> bool:
    """Whether the one worker there is has drained all that was accepted before, and the leader is done."""
    engine = db.connect(url, pool=1)
    c = tables.cursors.c
    with db.reading(engine) as connection:
        drained = (
            connection.scalar(select(func.min(c.sequence)).where(func.length(c.file) != INBOX_FILE)) or 0
        )
        left = rows(url).keys() & {"changes", "due"}
    engine.dispose()
    return (drained or 0) > since and not left


def test_what_waited_in_the_inbox_is_drained_into_the_new_database_and_nothing_twice(
    service: Service, tmp_path: Path, report: Callable[[str], None]
) -> None:
    target = engines.url(tmp_path, "moved")
    ledger, waiting = moved_while_records_waited(service, target)
    assert waiting > 0, "nothing was waiting: this shows nothing"
    damage = compare(ledger, target)
    assert not damage, str(damage)
    assert "rejected" not in rows(target)
    report(
        f"moved with {waiting} waiting in the inbox, {ledger.count('accepted')} acknowledged in all: "
        "0 lost, 0 twice, 0 micro-units off"
    )


def test_a_move_that_leaves_the_cursors_behind_is_found_out(service: Service, tmp_path: Path) -> None:
    target = engines.url(tmp_path, "moved")
    ledger, _ = moved_while_records_waited(service, target, "cursors_left_behind")
    assert compare(ledger, target).twice
