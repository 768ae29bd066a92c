"""Writes and fsyncs that fail: no acknowledgement of what is not on disk, and recovery without help."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.faults.derived import differences
from tests.faults.ledger import Damage, Ledger, compare
from tests.faults.load import Load
from tests.faults.processes import Fault, Role, Service, failing, processes, readiness, traced

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("tracing")]

NTH = range(1, 41) if os.environ.get("CLICKTRAIL_FAULTS") == "long" else (1, 2, 3, 5, 8)
SYNC, WRITE = "fsync,fdatasync", "pwrite64"

#: Once: the Nth call of a thread fails and the next is good. For good: it and all after it, until lifted.
ONCE = [Fault(calls, error, f"{n}") for n in NTH for calls in (SYNC, WRITE) for error in ("EIO", "ENOSPC")]
FOR_GOOD = [Fault(fault.calls, fault.error, f"{fault.when}+") for fault in ONCE]


@dataclass
class Outcome:
    ledger: Ledger
    damage: Damage
    differences: list[str]
    named: list[str] = field(default_factory=list)  # what /readyz said during each fault
    wrongly: list[str] = field(default_factory=list)  # acknowledged while it said so


def failed(service: Service, scratch: Path, role: Role, faults: Sequence[Fault]) -> Outcome:
    """One fault after the other under load, each until it was felt; afterwards all must be well again."""
    named, wrongly = [], []
    with Load(service) as load:
        ledger = load.ledger
        load.more(50)
        for fault in faults:
            process = processes(service, role)[-1]
            with failing(process, fault, scratch) as trace:
                wait_until(trace.failed)
                answers(ledger, 20)
                named.append(readiness(service))
                since = time.time()
                answers(ledger, 20)
                until = time.time()
            if named[-1] and fault in FOR_GOOD:
                wrongly += ledger.accepted_between(since, until)
            wait_until(lambda: readiness(service) == "")
            load.more(20)
            assert process.is_running(), f"{role} died of {fault}"
    service.settled()
    damage = compare(ledger, service.database)
    return Outcome(ledger, damage, differences(service.database, scratch), named, wrongly)


def answers(ledger: Ledger, count: int) -> None:
    """Return when this many more answers were heard, whatever they say."""
    goal = ledger.heard.total() + count
    wait_until(lambda: ledger.heard.total() >= goal)


@pytest.mark.parametrize("faults", [ONCE, FOR_GOOD], ids=["once", "for good"])
def test_a_web_process_that_cannot_write_says_so_and_recovers(
    serve: Callable[..., Service], tmp_path: Path, faults: list[Fault], report: Callable[[str], None]
) -> None:
    found = failed(serve(), tmp_path, "web", faults)
    assert found.ledger.surprises == []
    assert not found.damage, str(found.damage)
    assert found.differences == []
    assert found.wrongly == []
    if faults is FOR_GOOD:
        unnamed = [str(fault) for fault, said in zip(faults, found.named, strict=True) if not said]
        assert unnamed == []
        assert found.ledger.count("refused")
    report(
        f"failing writes of web, {len(faults)} faults ({'once' if faults is ONCE else 'until lifted'}): "
        f"{found.ledger.count('accepted')} acknowledged, {found.ledger.count('refused')} refused: "
        "0 false acknowledgements"
    )


def test_a_worker_that_cannot_write_keeps_what_it_has_and_recovers(
    serve: Callable[..., Service], tmp_path: Path, report: Callable[[str], None]
) -> None:
    faults = [*ONCE[::2], *FOR_GOOD[1::2]]
    found = failed(serve(), tmp_path, "worker", faults)
    assert found.ledger.surprises == []
    assert found.ledger.count("refused") == 0, "a worker in trouble is none of the doors' business"
    assert not found.damage, str(found.damage)
    assert found.differences == []
    report(
        f"failing writes of the worker, {len(faults)} faults: {found.ledger.count('accepted')} acknowledged: "
        "0 lost, 0 twice, recount equal"
    )


@pytest.mark.parametrize(
    ("bug", "role"), [("write_error_swallowed", "web"), ("storing_error_swallowed", "worker")]
)
def test_the_ledger_tells_a_service_that_swallows_errors(
    serve: Callable[..., Service], tmp_path: Path, bug: str, role: Role
) -> None:
    found = failed(serve(bug), tmp_path, role, FOR_GOOD[:4])
    assert found.damage.lost


def synced(service: Service, scratch: Path, count: int) -> int:
    """How many fsyncs the web process made for `count` acknowledgements, one after another."""
    (process,) = processes(service, "web")
    with traced(process, SYNC, scratch) as trace, service.client() as client:
        for number in range(count):
            said = {"k": service.keys["public"], "e": "impression", "id": f"synced-{number}"}
            assert client.get("/p.gif", params=said).headers["X-Clicktrail"] == "accepted"
    return trace.calls()


def test_every_acknowledgement_waits_for_an_fsync(serve: Callable[..., Service], tmp_path: Path) -> None:
    assert synced(serve(), tmp_path, 50) >= 50


def test_an_inbox_that_does_not_sync_is_found_out(serve: Callable[..., Service], tmp_path: Path) -> None:
    assert synced(serve("not_synced"), tmp_path, 50) < 50
