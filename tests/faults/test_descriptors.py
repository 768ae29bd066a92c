"""Descriptors run out: nobody crashes, nobody spins, nothing is lost, and all is well when they are back."""

import json
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import count

import psutil
import pytest

from tests.conftest import wait_until
from tests.faults.ledger import Entry, Ledger, compare
from tests.faults.load import Load
from tests.faults.processes import Role, Service, held, processes, readiness

pytestmark = pytest.mark.faults

FEW = 64
NONE = 1  # so few that none can be opened: what is open stays, and may be waited for one at a time
FILES = 40  # that come about meanwhile
ROLES: tuple[Role, ...] = ("web", "worker")
BIG = {"note": "x" * 6000}  # properties of which a dozen fill an inbox file of the least size
LEAST_FILE = {"CLICKTRAIL_SEGMENT_BYTES": str(2**16)}


def limited(service: Service) -> list[psutil.Process]:
    """Both processes have few descriptors from now on."""
    found = [processes(service, role)[-1] for role in ROLES]
    for process in found:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (FEW, FEW))
    return found


@contextmanager
def crowd(service: Service) -> Iterator[list[socket.socket]]:
    """Twice as many connections as there are descriptors, idle."""
    port = int(service.url.rpartition(":")[2])
    with ExitStack() as stack:
        yield [
            stack.enter_context(closing(socket.create_connection(("127.0.0.1", port), timeout=5)))
            for _ in range(2 * FEW)
        ]


def connected(crowd: list[socket.socket]) -> list[socket.socket]:
    """Those of the crowd that the service has kept."""
    kept = []
    for one in crowd:
        one.setblocking(False)
        try:
            one.recv(1)
        except BlockingIOError:
            kept.append(one)
        except OSError:
            continue
    return kept


def told(service: Service, connection: socket.socket, ledger: Ledger, names: Iterator[int], big: int) -> None:
    """A batch of `big` impressions, large ones, at the server door, on a connection that exists."""
    entries = [Entry(f"fd-{next(names)}", "impression", "api", time.time()) for _ in range(big)]
    events = [{"id": e.id, "kind": e.kind, "campaign": "spring", "properties": BIG} for e in entries]
    body = json.dumps({"events": events}).encode()
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.keys['server']}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    for entry in entries:
        ledger.open(entry)
    connection.settimeout(30)
    connection.sendall(head.encode() + body)
    status = int(connection.recv(2**16).split(b" ", 2)[1])
    for entry in entries:
        ledger.settle(entry, {202: "accepted", 503: "refused"}[status])  # type: ignore[arg-type]


def seconds_of_processor(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def test_connections_take_no_descriptor_that_the_inbox_needs(
    serve: Callable[..., Service], report: Callable[[str], None]
) -> None:
    service = serve(**LEAST_FILE)
    web, worker = limited(service)
    ledger, names = Ledger(), count()
    with crowd(service) as connections:
        wait_until(lambda: len(connected(connections)) < FEW)
        kept = connected(connections)
        assert kept, "nobody is served any more"
        before = seconds_of_processor(web)
        for _ in range(FILES):
            told(service, kept[0], ledger, names, 12)
        busy, kept = seconds_of_processor(web) - before, connected(connections)
        idle_from, idle_at = seconds_of_processor(web), time.monotonic()
        wait_until(lambda: time.monotonic() > idle_at + 1)
        idle = seconds_of_processor(web) - idle_from
    left = time.monotonic()
    wait_until(lambda: readiness(service) == "")
    with Load(service, ledger=ledger) as load:
        load.more(50)
    seconds = time.monotonic() - left
    assert ledger.count("refused") == 0, "the inbox had no descriptor left"
    assert idle < 0.5, f"the accept loop spins: {idle:.2f} s of processor in a second"
    assert web.is_running() and worker.is_running()
    service.settled()
    damage = compare(ledger, service.database)
    assert not damage, str(damage)
    report(
        f"{2 * FEW} idle connections, {FEW} descriptors: {len(kept)} connections kept, "
        f"{ledger.count('accepted')} acknowledged, 0 refused, 0 lost; {busy:.1f} s of processor at work, "
        f"{idle:.2f} in a second of rest; as before {seconds:.1f} s after they left (bar: 5 s)"
    )


def test_a_service_whose_connections_take_the_last_descriptor_is_found_out(
    serve: Callable[..., Service],
) -> None:
    service = serve("no_descriptor_spared", **LEAST_FILE)
    limited(service)
    ledger, names = Ledger(), count()
    with crowd(service) as connections:
        wait_until(lambda: len(connected(connections)) < FEW)
        kept = connected(connections)
        for _ in range(FILES):
            told(service, kept[0], ledger, names, 12)
    assert ledger.count("refused")


def test_configuration_is_followed_again_when_descriptors_are_back(serve: Callable[..., Service]) -> None:
    service = serve()
    web, _ = limited(service)
    with service.client("admin") as client:
        resource.prlimit(web.pid, resource.RLIMIT_NOFILE, (NONE, FEW))
        wait_until(lambda: "snapshot_unreadable" in service.log())
        resource.prlimit(web.pid, resource.RLIMIT_NOFILE, (FEW, FEW))
        said = {"slug": "late", "name": "Late", "landing_url": "https://shop.example/"}
        wait_until(lambda: client.post("/v1/campaigns", json=said).status_code in (201, 409))
    with service.client() as client:
        wait_until(lambda: client.get("/c/late").status_code == 302)
    assert web.is_running()


def filed(service: Service, files: int) -> Ledger:
    """Let so many inbox files come about before a worker that stands still, and has few descriptors."""
    ledger, names = Ledger(), count()
    port = int(service.url.rpartition(":")[2])
    with held(service, "worker") as worker:
        with closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as connection:
            while len(list((service.data / "inbox").glob("*.db"))) < files:
                told(service, connection, ledger, names, 12)
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (FEW, FEW))
    return ledger


def test_a_worker_drains_more_files_than_it_can_open(
    serve: Callable[..., Service], report: Callable[[str], None]
) -> None:
    service = serve(**LEAST_FILE)
    (worker,) = processes(service, "worker")
    ledger = filed(service, FEW)
    service.settled()
    assert worker.is_running()
    damage = compare(ledger, service.database)
    assert not damage, str(damage)
    wait_until(lambda: len(list((service.data / "inbox").glob("*.db"))) == 1)
    report(f"{FEW} inbox files, {FEW} descriptors: {ledger.count('accepted')} drained, 0 lost")


def test_a_worker_that_opens_all_files_at_once_is_found_out(serve: Callable[..., Service]) -> None:
    service = serve("all_files_opened", **LEAST_FILE)
    ledger = filed(service, FEW)
    wait_until(lambda: "turn_failed" in service.log() or "inbox_file_unreadable" in service.log())
    assert ledger.count("accepted")
