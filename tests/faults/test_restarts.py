"""Leaving and starting again with thousands of records waiting: none is lost, and none is taken twice."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.conftest import wait_until
from tests.faults.derived import differences
from tests.faults.ledger import Damage, compare
from tests.faults.load import Load
from tests.faults.processes import Service, held, kill

pytestmark = pytest.mark.faults

LONG = os.environ.get("CLICKTRAIL_FAULTS") == "long"
WAITING = 10_000 if LONG else 2000
#: Small batches, so that a worker that leaves or dies does so with most of them still waiting.
BATCHES = {"CLICKTRAIL_BATCH": "50"}


@dataclass(frozen=True)
class Outcome:
    damage: Damage
    differences: list[str]
    accepted: int
    before: int  # of them stored when the service had left


def pile_up(load: Load) -> None:
    for _ in range(10):
        load.more(WAITING // 10)


def left(service: Service, scratch: Path, leave: Callable[[Service, psutil.Process], None]) -> Outcome:
    """Let records pile up before a worker that stands still, leave, start again, and let it finish."""
    with held(service, "worker") as worker:
        with Load(service) as load:
            pile_up(load)
        leave(service, worker)
    service.gone()
    before = service.stored()
    service.open()
    service.settled()
    service.stop()
    return Outcome(
        compare(load.ledger, service.database),
        differences(service.database, scratch),
        load.ledger.count("accepted"),
        before,
    )


def told(service: Service, worker: psutil.Process) -> None:
    """SIGTERM to the parent: the worker goes on once it has been told to leave, and leaves."""
    assert service.process is not None
    service.process.send_signal(signal.SIGTERM)
    wait_until(lambda: _pending(worker, signal.SIGTERM))


def told_twice(service: Service, worker: psutil.Process) -> None:
    """A second SIGTERM does not wait for anybody."""
    told(service, worker)
    assert service.process is not None
    service.process.send_signal(signal.SIGTERM)


def crashed(service: Service, worker: psutil.Process) -> None:
    """SIGKILL to the parent."""
    assert service.process is not None
    service.process.kill()


def _pending(process: psutil.Process, number: signal.Signals) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text()
    (bits,) = [line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd:")]
    return bool(int(bits, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("leave", [told, told_twice, crashed])
def test_what_waits_when_the_service_leaves_is_taken_up_when_it_is_back(
    serve: Callable[..., Service],
    tmp_path: Path,
    leave: Callable[[Service, psutil.Process], None],
    report: Callable[[str], None],
) -> None:
    found = left(serve(**BATCHES), tmp_path, leave)
    assert found.before < found.accepted, "nothing was waiting: this shows nothing"
    assert not found.damage, str(found.damage)
    assert found.differences == []
    report(
        f"service left ({leave.__name__}) with {found.accepted - found.before} of {found.accepted} waiting: "
        "0 lost, 0 twice"
    )


def test_a_service_that_takes_its_inbox_along_is_found_out(
    serve: Callable[..., Service], tmp_path: Path
) -> None:
    assert left(serve("file_removed_when_closed", **BATCHES), tmp_path, told).damage.lost


def interrupted(service: Service, times: int) -> Damage:
    """Kill the worker again and again in the midst of what has piled up."""
    with held(service, "worker"), Load(service) as load:
        pile_up(load)
    for _ in range(times):
        goal = service.stored() + WAITING // 10
        wait_until(lambda goal=goal: service.stored() >= goal)
        kill(service, "worker")
    assert service.stored() < load.ledger.count("accepted"), "nothing was waiting: this shows nothing"
    service.settled()
    return compare(load.ledger, service.database)


def test_a_worker_goes_on_where_its_predecessor_was_killed(
    serve: Callable[..., Service], report: Callable[[str], None]
) -> None:
    damage = interrupted(serve(**BATCHES), 3)
    assert not damage, str(damage)
    report(f"worker killed 3 times within {WAITING} waiting records: 0 lost, 0 twice")


def test_a_worker_that_keeps_its_cursor_in_memory_is_found_out(serve: Callable[..., Service]) -> None:
    assert interrupted(serve("cursor_kept_in_memory", **BATCHES), 1).twice
