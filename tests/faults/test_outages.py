"""PostgreSQL cut off: the doors go on, who needs it hears so at once, and what was taken is stored later.

Once by a network that resets every connection, once by one that swallows all that is said.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import wait_until
from tests.faults.derived import differences
from tests.faults.ledger import compare, overtaken
from tests.faults.load import Load
from tests.faults.processes import Service, kill, processes, readiness
from tests.faults.proxy import Proxy

pytestmark = pytest.mark.faults

LONG = os.environ.get("CLICKTRAIL_FAULTS") == "long"
AWAY = 600.0 if LONG else 6.0  # seconds
#: Seconds within which whoever needs the database hears that it is away; the machine may be busy.
HEARD = 4.0
MOST_GROWTH = 64 * 2**20  # bytes of memory of a process

#: What needs the database: management, a report, a change.
ASKED: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/v1/campaigns", None),
    ("GET", "/v1/metrics?metrics=clicks,sales&dimensions=campaign", None),
    ("GET", "/v1/conversions", None),
    ("POST", "/v1/campaigns", {"slug": "late", "name": "Late", "landing_url": "https://shop.example/"}),
)


@dataclass
class Heard:
    """What those heard who needed the database meanwhile."""

    slowest: float = 0.0
    surprises: list[str] = field(default_factory=list)
    count: int = 0


@contextmanager
def asking(service: Service) -> Iterator[Heard]:
    """Ask for what needs the database again and again, and whether the service is ready."""
    heard, enough = Heard(), threading.Event()

    def ask() -> None:
        with service.client("admin") as client:
            while not enough.is_set():
                for method, path, body in ASKED:
                    note(heard, client, method, path, body)
                if named := readiness(service):
                    heard.surprises.append(f"not ready: {named}")

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield heard
    finally:
        enough.set()
        asker.join()


def note(heard: Heard, client: httpx.Client, method: str, path: str, body: Any) -> None:
    began = time.monotonic()
    try:
        answer = client.request(method, path, json=body)
    except httpx.HTTPError as error:
        said = repr(error)
    else:
        told = answer.json().get("error", {}).get("code")
        said = "" if (answer.status_code, told) == (503, "database_unavailable") else answer.text[:200]
    heard.slowest = max(heard.slowest, time.monotonic() - began)
    heard.count += 1
    if said:
        heard.surprises.append(f"{method} {path}: {said}")


def memory(service: Service) -> dict[int, int]:
    """The resident bytes of each child, by its process id."""
    return {
        process.pid: process.memory_info().rss
        for role in ("web", "worker")
        for process in processes(service, role)  # type: ignore[arg-type]
    }


def growth(before: dict[int, int], after: dict[int, int]) -> int:
    return max((after[pid] - before[pid] for pid in before.keys() & after.keys()), default=0)


@dataclass
class Outage:
    load: Load
    heard: Heard
    growth: int
    backlog: int  # acknowledged and not stored when the network was there again
    took: float  # seconds until it was
    overtaken: list[str] = field(default_factory=list)


def outlived(service: Service, network: Proxy, cut: Callable[[Proxy], None], seconds: float) -> Outage:
    """Load, and meanwhile a network that is cut for so many seconds; then see what piled up come in."""
    with Load(service) as load:
        load.more(300)
        before = memory(service)
        cut(network)
        ends = time.monotonic() + seconds
        with asking(service) as heard:
            wait_until(lambda: time.monotonic() > ends, seconds=seconds + 60)
        found = Outage(load, heard, growth(before, memory(service)), 0, 0.0)
        load.enough.set()
    network.passes()
    mark, began = load.ledger.count("accepted"), time.monotonic()
    found.backlog = mark - service.stored()

    def there() -> bool:
        found.overtaken += overtaken(load.ledger, service.database)
        return service.stored() >= mark

    wait_until(there, seconds=max(60.0, 3 * seconds))
    found.took = time.monotonic() - began
    return found


#: Small files and small batches, so that what piled up is taken bit by bit.
BIT_BY_BIT = {"CLICKTRAIL_SEGMENT_BYTES": str(2**16), "CLICKTRAIL_BATCH": "100"}


@pytest.mark.parametrize("cut", [Proxy.resets, Proxy.holds])
def test_a_network_that_is_cut_costs_nothing_and_nobody_waits(
    serve_afar: Callable[..., Service],
    network: Proxy,
    tmp_path: Path,
    cut: Callable[[Proxy], None],
    report: Callable[[str], None],
) -> None:
    service = serve_afar(**({} if LONG else BIT_BY_BIT))
    found = outlived(service, network, cut, AWAY)
    ledger = found.load.ledger
    assert ledger.surprises == found.heard.surprises == []
    assert ledger.count("refused") == 0
    assert found.backlog > 0, "nothing was waiting: this shows nothing"
    assert found.overtaken == []
    assert found.heard.slowest < HEARD
    assert found.growth < MOST_GROWTH
    assert found.took < max(2 * AWAY, 30)
    service.settled()
    service.stop()
    assert not (damage := compare(ledger, service.database)), str(damage)
    assert differences(service.database, tmp_path) == []
    report(
        f"network {cut.__name__} for {AWAY:.0f} s: {ledger.count('accepted')} acknowledged, 0 refused; "
        f"{found.heard.count} that needed the database heard 503 within {found.heard.slowest:.2f} s; "
        f"memory +{found.growth / 2**20:.0f} MiB; {found.backlog} waiting, stored in order within "
        f"{found.took:.1f} s: 0 lost, 0 twice"
    )


def test_an_inbox_taken_in_another_order_is_found_out(
    serve_afar: Callable[..., Service], network: Proxy
) -> None:
    found = outlived(serve_afar("newest_first", **BIT_BY_BIT), network, Proxy.resets, 3.0)
    assert found.overtaken


def test_a_service_that_waits_for_what_says_nothing_is_found_out(
    serve_afar: Callable[..., Service], network: Proxy
) -> None:
    service = serve_afar("waits_for_ever")
    heard = Heard()
    with service.client("admin") as client:
        client.timeout = httpx.Timeout(HEARD)
        assert client.get("/v1/campaigns").status_code == 200
        network.holds()
        note(heard, client, *ASKED[0])
    network.passes()
    assert heard.slowest >= HEARD


def test_processes_that_start_while_the_database_is_away_do_their_work(
    serve_afar: Callable[..., Service], network: Proxy
) -> None:
    service = serve_afar()
    network.holds()
    with Load(service) as load:
        load.more(50)
        kill(service, "worker")
        kill(service, "web")
        load.more(200)
        network.resets()
        kill(service, "web")
        load.more(200)
        network.passes()
    service.settled()
    assert load.ledger.surprises == []
    assert not (damage := compare(load.ledger, service.database)), str(damage)


def test_an_inbox_that_fills_up_meanwhile_refuses_and_recovers(
    serve_afar: Callable[..., Service], network: Proxy, report: Callable[[str], None]
) -> None:
    limit = 2**20
    service = serve_afar(CLICKTRAIL_INBOX_LIMIT_BYTES=str(limit), CLICKTRAIL_SEGMENT_BYTES=str(2**16))
    network.resets()
    with Load(service) as load:
        load.more(20, "refused", "api")
        held = sum(file.stat().st_size for file in (service.data / "inbox").iterdir())
        network.passes()
        wait_until(lambda: not readiness(service), seconds=60)
        load.more(200)
    service.settled()
    assert load.ledger.surprises == []
    assert not (damage := compare(load.ledger, service.database)), str(damage)
    assert held < 2 * limit
    report(
        f"database away until an inbox of {limit >> 20} MiB was full: it held {held / 2**20:.1f} MiB, "
        f"refused {load.ledger.count('refused')} of the rest, and took again: 0 lost, 0 twice"
    )
