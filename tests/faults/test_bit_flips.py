"""Damage at rest: bits flipped, logs cut off or gone. It costs what it hit, is noticed, and is never served.

Of the inbox everything is demanded: each record comes as it was written, or empty, which the pipeline puts
among the rejected. SQLite keeps no checksums in its own file: of the database it is demanded that a broken
structure is named by `clicktrail doctor`, and at the start when nothing can be read at all.
"""

import os
import random
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec.msgpack import encode
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import Select, func, select
from sqlalchemy.exc import DatabaseError

from app import db, tables
from app.clock import now_us
from app.doctor import damage
from app.inbox import queue
from app.inbox.queue import Queue
from app.inbox.segment import DAMAGED, Segment
from app.prepare import prepare
from app.settings import Settings
from tests.faults import planted
from tests.faults.power.worlds import reopen
from tests.house import event

pytestmark = pytest.mark.faults

SEED = 20261122
TRIALS = 3000 if os.environ.get("CLICKTRAIL_FAULTS") == "long" else 120
RECORDS = [b"record %d " % n * (1 + n % 40) for n in range(400)]


def written(folder: Path, *, checkpointed: bool) -> Path:
    """An inbox file at rest, all of it in the log as a kill leaves it, or all of it in the file."""
    (live := folder / "live").mkdir(parents=True)
    segment = Segment.create(live, clock=lambda: 1)
    for start in range(0, len(RECORDS), 20):
        segment.write(RECORDS[start : start + 20])
    if checkpointed:
        segment._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    shutil.copytree(live, folder / "rest")
    segment.close()
    return folder / "rest"


def flip(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def cut_off(path: Path, chance: random.Random) -> None:
    os.truncate(path, chance.randrange(path.stat().st_size))


def remove(path: Path, chance: random.Random) -> None:
    path.unlink()


@dataclass
class Drained:
    """What came out: whole records, and for how many nothing but their absence."""

    whole: list[bytes] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)

    @property
    def empty(self) -> int:
        return len(self.sequences) - len(self.whole)


def drained(folder: Path, limit: int = 64) -> Drained:
    """Read all there is as the worker does."""
    reader, cursors, found = Queue(folder), dict[bytes, int](), Drained()
    while slices := reader.read(cursors, limit):
        for part in slices:
            found.sequences += part.sequences
            found.whole += [payload for payload in part.payloads if payload]
            cursors[part.file] = part.sequences[-1]
            reader.forget(part.file, part.sequences[-1])
    reader.close()
    return found


def trials(
    tmp_path: Path, *, checkpointed: bool, harm: Callable[[Path, random.Random], None], count: int
) -> list[str]:
    """What went wrong in so many trials of a harm to the file, or to the log when that holds the records."""
    rest, chance, wrong, damaged = written(tmp_path, checkpointed=checkpointed), random.Random(SEED), [], 0
    for trial in range(count):
        folder = tmp_path / f"trial-{trial}"
        shutil.copytree(rest, folder)
        [path] = folder.glob("*.db" if checkpointed else "*.db-wal")
        harm(path, chance)
        found = drained(folder)
        missing = len(set(RECORDS) - set(found.whole))
        damaged += bool(missing)
        if found.sequences != list(range(1, len(RECORDS) + 1)):
            wrong.append(f"{trial}: {len(found.sequences)} of {len(RECORDS)} records are accounted for")
        elif len(found.whole) != len(set(found.whole)) or not set(found.whole) <= set(RECORDS):
            wrong.append(f"{trial}: a record that is not what was written")
        elif found.empty != missing:
            wrong.append(f"{trial}: {missing} are missing, {found.empty} came empty")
        left = sorted(one.name for one in folder.iterdir())
        if any(DAMAGED not in name for name in left) or bool(left) != bool(missing):
            wrong.append(f"{trial}: {left} are left")
        shutil.rmtree(folder)
    return wrong if damaged else [*wrong, "no trial did any harm"]


@pytest.mark.parametrize(
    ("checkpointed", "harm", "count"),
    [
        (True, flip, TRIALS),
        (True, cut_off, TRIALS // 4),
        (False, flip, TRIALS),
        (False, cut_off, TRIALS // 4),
        (False, remove, 1),
    ],
)
def test_the_inbox_accounts_for_every_record_whatever_bit_is_flipped(
    tmp_path: Path,
    checkpointed: bool,
    harm: Callable[[Path, random.Random], None],
    count: int,
    report: Callable[[str], None],
) -> None:
    assert trials(tmp_path, checkpointed=checkpointed, harm=harm, count=count) == []
    what = f"{harm.__name__} in the inbox's {'file' if checkpointed else 'log'}"
    report(
        f"{what}, {count} times: all of {len(RECORDS)} records came whole or were missed, none was altered"
    )


@pytest.mark.parametrize(
    ("bug", "broken", "checkpointed", "harm", "said"),
    [
        (planted.file_taken_as_it_is, "promised", False, cut_off, "are accounted for"),
        (planted.checksums_not_compared, "_sound", True, flip, "not what was written"),
    ],
)
def test_a_reader_that_trusts_its_files_is_found_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bug: Callable[[], None],
    broken: str,
    checkpointed: bool,
    harm: Callable[[Path, random.Random], None],
    said: str,
) -> None:
    monkeypatch.setattr(queue, broken, getattr(queue, broken))  # so that it is put back
    bug()
    assert any(said in one for one in trials(tmp_path, checkpointed=checkpointed, harm=harm, count=40))


def spoil(data: Path, what: str) -> None:
    """Zero the head of the page on which a table begins; `header`: of the whole file."""
    database = data / "clicktrail.db"
    with closing(sqlite.connect(str(database))) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        row = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (what,)).fetchone()
    with database.open("r+b") as file:
        file.seek((row[0] - 1) * size if row else 0)
        file.write(bytes(8))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A data folder in which two clicks wait for the worker."""
    found = Settings(data=tmp_path / "data", port=1)
    prepare(found, clock=now_us)
    segment = Segment.create(found.inbox, clock=now_us)
    segment.write([encode(event("click", id=id_)) for id_ in ("a", "b")])
    segment.close()
    return found


def column(settings: Settings, statement: Select[Any]) -> list[Any]:
    engine = db.connect(settings.database)
    with db.reading(engine) as connection:
        found = list(connection.scalars(statement))
    engine.dispose()
    return found


def named(settings: Settings) -> list[str]:
    """What the doctor says of damage."""
    return [one.message for one in damage(settings, now_us()) if one.level == "bad"]


@pytest.mark.parametrize("table", ["events", "seen", "cursors", "keys"])
def test_a_broken_structure_is_named_by_the_doctor(settings: Settings, table: str) -> None:
    assert named(settings) == []
    spoil(settings.data, table)
    [said] = named(settings)
    assert said.startswith("restore a backup of the database")


def test_a_database_that_cannot_be_read_is_named_at_the_start(settings: Settings) -> None:
    spoil(settings.data, "header")
    with pytest.raises(RuntimeError, match="the database is damaged"):
        prepare(settings, clock=now_us)
    assert named(settings)


def test_what_a_damaged_database_cannot_store_stays_in_the_inbox(settings: Settings) -> None:
    whole = shutil.copyfile(settings.data / "clicktrail.db", settings.data / "whole")
    spoil(settings.data, "seen")
    with pytest.raises(DatabaseError):
        reopen(settings.data)
    assert list(settings.inbox.glob("*.db"))
    shutil.copyfile(whole, settings.data / "clicktrail.db")  # the operator's backup
    reopen(settings.data)
    assert column(settings, select(func.count()).select_from(tables.events)) == [2]
    assert column(settings, select(tables.rejected.c.code)) == []


def test_a_damaged_inbox_file_is_told_to_the_operator(settings: Settings) -> None:
    [path] = settings.inbox.glob("*.db")
    os.truncate(path, 4096)
    reopen(settings.data)
    assert column(settings, select(tables.rejected.c.code)) == ["unreadable", "unreadable"]
    [said] = named(settings)
    assert said.startswith("1 inbox files held records that could not be read")


def test_a_database_that_lost_its_log_is_told_at_the_next_start(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    database = settings.data / "clicktrail.db"
    without_log = shutil.copyfile(database, settings.data / "without log")
    reopen(settings.data)
    assert "database_went_back" not in capsys.readouterr().out
    shutil.copyfile(without_log, database)
    reopen(settings.data)
    assert "database_went_back" in capsys.readouterr().out
