"""The salt of a day: one for all processes of a machine, its owner's alone, gone when the day is."""

import fcntl
import multiprocessing
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from app import worker
from app.inbox.queue import Queue
from app.model import DAY, SECOND
from app.pipeline.run import Pipeline
from app.prepare import prepare
from app.salt import LENGTH, PREFIX, Salts, destroy_past, taken
from app.settings import Settings
from app.workspaces import Snapshots
from tests.conftest import wait_until
from tests.house import NOON, House

TODAY = NOON // DAY
NAME = PREFIX + "2026-09-21"


def ones(length: int) -> bytes:
    return b"\1" * length


def twos(length: int) -> bytes:
    return b"\2" * length


def _take(folder: Path, ready: "threading.Barrier", found: "multiprocessing.Queue[bytes]") -> None:
    ready.wait(60)
    found.put(taken(folder, TODAY, os.urandom))


def test_processes_that_need_a_salt_at_once_take_the_same(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    ready, found = fork.Barrier(8), fork.Queue()
    takers = [fork.Process(target=_take, args=(tmp_path, ready, found)) for _ in range(8)]
    for taker in takers:
        taker.start()
    salts = {found.get(timeout=60) for _ in takers}
    for taker in takers:
        taker.join(60)
    assert salts == {(tmp_path / NAME).read_bytes()}
    assert len(salts.pop()) == LENGTH


def test_it_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    taken(tmp_path, TODAY, ones)
    os.umask(before)
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


def test_one_whose_maker_was_killed_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"half")
    assert taken(tmp_path, TODAY, twos) == twos(LENGTH)
    assert taken(tmp_path, TODAY, ones) == twos(LENGTH)


def test_it_is_overwritten_before_its_name_goes(tmp_path: Path) -> None:
    """Or its bytes would lie on the disk until something else needs the place."""
    taken(tmp_path, TODAY, ones)
    with (tmp_path / NAME).open("rb") as held:
        assert destroy_past(tmp_path, NOON + DAY) == 1
        assert (held.read(), os.fstat(held.fileno()).st_nlink) == (bytes(LENGTH), 0)


def test_todays_and_tomorrows_stay_and_all_others_go(tmp_path: Path) -> None:
    """At midnight two processes may differ about the day; a clock that was a week ahead left one behind."""
    for day in (-400, -1, 0, 1, 2, 7):
        taken(tmp_path, TODAY + day, ones)
    (tmp_path / f"{PREFIX}no-day").write_bytes(b"?")
    assert destroy_past(tmp_path, NOON) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, PREFIX + "2026-09-22"]


def test_who_waited_for_one_that_was_destroyed_takes_a_new_one(tmp_path: Path) -> None:
    taken(tmp_path, TODAY, ones)
    found: list[bytes] = []
    with (tmp_path / NAME).open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = threading.Thread(target=lambda: found.append(taken(tmp_path, TODAY, twos)))
        waiting.start()
        number = os.fstat(held.fileno()).st_ino
        locks = Path("/proc/locks")
        wait_until(lambda: any("->" in one and f":{number} " in one for one in locks.read_text().split("\n")))
        (tmp_path / NAME).unlink()
    waiting.join(60)
    assert found == [twos(LENGTH)]


def test_a_process_forgets_it_with_the_day_and_destroys_what_is_left(tmp_path: Path) -> None:
    salts = Salts(tmp_path, fresh=ones)
    assert salts.of(NOON) == ones(LENGTH)
    salts.end(NOON + SECOND)
    assert (tmp_path / NAME).exists()
    salts.end(NOON + DAY)
    assert list(tmp_path.iterdir()) == []
    assert b"\1" not in repr(vars(salts)).encode()


def test_a_day_that_ends_with_a_disk_in_trouble_costs_no_event(tmp_path: Path) -> None:
    salts = Salts(tmp_path, fresh=ones)
    salts.of(NOON)
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()  # nothing can be overwritten there
    assert salts.of(NOON + DAY) == ones(LENGTH)


def _by_the_worker(house: House, folder: Path, clock: Callable[[], int]) -> None:
    context = worker.Context(
        engine=house.engine,
        pipeline=Pipeline(house.engine, clock),
        queue=Queue(folder / "inbox"),
        snapshots=Snapshots(folder / "snapshot", clock=clock),
        stored=threading.Event(),
        data=folder,
    )
    worker.tasks_turn(context, {})
    context.queue.close()


def _by_the_next_start(_house: House, folder: Path, clock: Callable[[], int]) -> None:
    prepare(Settings(data=folder, database_url=f"sqlite:///{folder}/new.db"), clock=clock)


def _by_a_door(_house: House, folder: Path, clock: Callable[[], int]) -> None:
    salts = Salts(folder)
    salts.of(clock() - DAY)
    salts.of(clock())


@pytest.mark.parametrize("by", [_by_the_worker, _by_the_next_start, _by_a_door])
def test_whoever_comes_first_destroys_it(
    tmp_path: Path, by: Callable[[House, Path, Callable[[], int]], None]
) -> None:
    house = House.build(tmp_path)
    taken(tmp_path, TODAY, ones)
    by(house, tmp_path, lambda: NOON + DAY)
    assert not (tmp_path / NAME).exists()
