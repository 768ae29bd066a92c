"""A backup taken while Clicktrail runs holds all that was accepted before, is verified, and comes back."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from app import db, tables
from app.backup import SUMS, Refused, back_up, restore, verify
from app.settings import Settings
from tests import engines
from tests.conftest import Clicktrail, wait_until
from tests.house import House, event

pytestmark = pytest.mark.skipif(engines.POSTGRESQL, reason="the backup is of the embedded database")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A data folder with a workspace and 50 events in its database."""
    data = tmp_path / "data"
    data.mkdir()
    house = House.build(data)
    house.send(*(event("click", id=f"c{i}") for i in range(50)))
    house.engine.dispose()
    return Settings(data=data)


@pytest.fixture
def saved(settings: Settings, tmp_path: Path) -> Path:
    back_up(settings, tmp_path / "saved")
    return tmp_path / "saved"


def test_what_was_backed_up_comes_back(saved: Path, tmp_path: Path) -> None:
    found = Settings(data=tmp_path / "new")
    restore(found, saved)
    with db.reading(db.connect(found.database)) as connection:
        assert connection.scalar(select(func.count()).select_from(tables.events)) == 50


@pytest.mark.parametrize(
    "harm, said",
    [
        (lambda saved: (saved / "clicktrail.db").write_bytes(b"?"), "is damaged: clicktrail.db"),
        (lambda saved: (saved / "clicktrail.db").unlink(), "is not whole: clicktrail.db"),
        (lambda saved: (saved / "inbox" / "x.db").write_bytes(b""), "is not whole: inbox/x.db"),
        (lambda saved: (saved / SUMS).unlink(), f"has no {SUMS}"),
    ],
)
def test_a_backup_that_is_not_what_was_written_is_refused(
    saved: Path, tmp_path: Path, harm: object, said: str
) -> None:
    harm(saved)  # type: ignore[operator]
    with pytest.raises(Refused, match=said):
        restore(Settings(data=tmp_path / "new"), saved)
    assert not (tmp_path / "new").exists()


def test_one_flipped_bit_is_noticed(saved: Path) -> None:
    path = saved / "clicktrail.db"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(Refused, match="damaged"):
        verify(saved)


def test_nothing_is_overwritten(settings: Settings, saved: Path) -> None:
    with pytest.raises(Refused, match="is there already"):
        back_up(settings, saved)
    with pytest.raises(Refused, match="holds data already"):
        restore(settings, saved)


@pytest.fixture
def restored(tmp_path: Path) -> Iterator[Clicktrail]:
    running = Clicktrail(tmp_path / "restored")
    yield running
    running.stop()


def test_a_backup_under_load_is_a_beginning_of_what_was_accepted(
    fresh_clicktrail: Clicktrail, restored: Clicktrail, tmp_path: Path
) -> None:
    """Everything acknowledged before the backup began is in it; the restored service counts it once."""
    acknowledged = 0
    enough, stop = threading.Event(), threading.Event()

    def send() -> None:
        nonlocal acknowledged
        with fresh_clicktrail.client("server") as client:
            while not stop.is_set():
                told = [{"kind": "click", "id": f"e{acknowledged + i}"} for i in range(50)]
                assert client.post("/v1/events", json={"events": told}).status_code == 202
                acknowledged += 50
                if acknowledged >= 500:
                    enough.set()

    sender = threading.Thread(target=send)
    sender.start()
    try:
        assert enough.wait(30)
        before = acknowledged
        data = str(fresh_clicktrail.data)
        command = [sys.executable, "-m", "app.cli", "backup", str(tmp_path / "saved"), "--data", data]
        said = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout
    finally:
        stop.set()
        sender.join()
    assert "with checksums" in said
    restore(Settings(data=restored.data), tmp_path / "saved")
    restored.keys = fresh_clicktrail.keys
    restored.start()
    engine = db.connect(f"sqlite:///{restored.data}/clicktrail.db")

    def ids() -> set[str]:
        with db.reading(engine) as connection:
            return set(connection.scalars(select(tables.events.c.no)))

    def count() -> int:
        with db.reading(engine) as connection:
            return connection.scalar(select(func.count()).select_from(tables.events)) or 0

    wait_until(lambda: count() >= before)
    assert len(ids()) == count() <= acknowledged
