"""The server's own clock is set under load, by an hour and by a day, back and forth: nothing is lost, nothing
counts twice, and what must go on goes on.

A real service under libfaketime, whose offset stands in a file that changes while it runs. Monotonic time is
left alone: no administrator sets that.
"""

import http.client
import json
import os
import struct
import subprocess
import sys
from base64 import urlsafe_b64decode
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import pytest

from app import worker
from app.model import DAY, HOUR, SECOND
from app.pipeline.run import Pipeline
from app.workspaces import Snapshots
from tests.faults.derived import differences
from tests.faults.ledger import Damage, compare
from tests.faults.load import Load, ask, request
from tests.faults.processes import Service, readiness
from tests.house import NOON, House
from tests.simulation.disk import Disk, Queue
from tests.time.conftest import Clock

JUMPS = ("+3600", "-3600", "-86400", "+0")
ANSWERS = 120  # between two jumps
LONG = os.environ.get("CLICKTRAIL_FAULTS") == "long"


@pytest.fixture
def serve(tmp_path: Path, clock: Clock) -> Iterator[Callable[[str], Service]]:
    started: list[Service] = []

    def start(bug: str = "") -> Service:
        started.append(Service(tmp_path / "data", bug=bug, settings=clock.environment()))
        return started[-1].open()

    yield start
    for service in started:
        service.stop()


def jumped(service: Service, clock: Clock, jumps: tuple[str, ...]) -> tuple[Load, Damage, list[str]]:
    """The load goes on through all jumps; at each, some of what was told before is told again."""
    receipts: list[str] = []
    with Load(service, clients=4) as load:
        load.more(ANSWERS)
        for offset in jumps:
            clock.set(offset)
            load.more(ANSWERS)
            receipts += _tell_again(service, load)
            assert readiness(service) == ""
    service.settled()
    return load, compare(load.ledger, service.database), receipts


def _tell_again(service: Service, load: Load) -> list[str]:
    """Repeats through every door that knows ids; the receipts of the server's door."""
    found = []
    with closing(http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=60)) as connection:
        repeatable = [t for t in load.said if t.entry.door != "redirect" and t.entry.status == "accepted"]
        for told in repeatable[-60:]:
            answer = ask(connection, request(service.keys, told))
            assert answer is not None and answer.status in (200, 202), (told, answer)
            if told.entry.door == "api":
                found.append(json.loads(answer.body)["receipt"])
    return found


@pytest.mark.faults
def test_a_clock_that_is_set_under_load_costs_nothing(
    serve: Callable[[str], Service], clock: Clock, tmp_path: Path, report: Callable[[str], None]
) -> None:
    jumps = JUMPS * (5 if LONG else 1)
    service = serve("")
    load, damage, receipts = jumped(service, clock, jumps)
    assert load.ledger.surprises == []
    assert not damage, str(damage)
    service.stop()  # the recount is made beside, and wants the database for itself
    assert differences(service.database, tmp_path) == []
    sequences = defaultdict(list)
    for receipt in receipts:  # workspace, inbox file, first sequence, count, issued at, MAC
        raw = urlsafe_b64decode(receipt + "=" * (-len(receipt) % 4))
        _, file, first, _, _ = struct.unpack_from(">I16sQHQ", raw)
        sequences[file].append(first)
    assert all(found == sorted(set(found)) for found in sequences.values()), "positions are not in order"
    report(
        f"clock set {len(jumps)} times under load (+1 h, -1 h, -1 d, right again): "
        f"{load.ledger.count('accepted')} acknowledged, {len(receipts)} told again to the server's door: "
        "0 lost, 0 twice, 0 phantom, 0 micro-units off, recount equal, positions in order"
    )


@pytest.mark.faults
@pytest.mark.skipif(not LONG, reason="in the long form; the simulation's planted bugs are the short control")
def test_the_ledger_tells_a_service_that_counts_repeats(
    serve: Callable[[str], Service], clock: Clock
) -> None:
    _, damage, _ = jumped(serve("repeats_not_looked_up"), clock, ("-3600", "+0"))
    assert damage.twice


def test_the_doctor_sees_a_clock_that_stands_before_the_code(clock: Clock, tmp_path: Path) -> None:
    clock.set("-315360000")
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "doctor", "--data", str(tmp_path)],
        env={**os.environ, **clock.environment(), "NO_FAKE_STAT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.split()[1] == "clock"]
    assert "stands at" in line
    assert done.returncode != 0


class _Turned:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = NOON
        self.pace = 0.0

    def __call__(self) -> int:
        return self.now


def _context(house: House, turned: _Turned, folder: Path) -> worker.Context:
    return worker.Context(
        engine=house.engine,
        pipeline=Pipeline(house.engine, turned),
        queue=Queue(Disk()),  # type: ignore[arg-type]
        snapshots=Snapshots(folder / "snapshot", clock=turned),
        stored=Event(),
        pace=lambda: turned.pace,
    )


def test_freshness_goes_back_with_the_clock(tmp_path: Path) -> None:
    """Or it would claim for a day that what is not in yet is in."""
    house, turned = House.build(tmp_path), _Turned()
    context = _context(house, turned, tmp_path)
    for jump in (0, DAY, -DAY, -HOUR, 2 * HOUR):
        turned.now += jump + 2 * SECOND
        worker.drain(context, 100)
        assert context.pipeline.cursors()[worker.FRESHNESS] == turned.now


def test_small_tasks_go_on_when_the_clock_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, turned = House.build(tmp_path), _Turned()
    context = _context(house, turned, tmp_path)
    done: list[float] = []
    monkeypatch.setattr(worker, "TASKS", (worker.Task(1, lambda _: done.append(turned.pace)),))
    due: dict[worker.Task, float] = {}
    for jump in (0, -DAY, DAY, -HOUR):
        turned.now += jump
        turned.pace += 1.5
        worker.tasks_turn(context, due)
    assert done == [1.5, 3.0, 4.5, 6.0]
