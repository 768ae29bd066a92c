"""A database that answers slowly: who clicks, and who reports, does not feel it.

The same load once with a near database, then with one whose every answer is long under way. The machine is
shared: what is asserted is generous, and what was measured is printed.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.conftest import wait_until
from tests.faults.ledger import Ledger, compare
from tests.faults.load import Load
from tests.faults.processes import Service
from tests.faults.proxy import Proxy
from tests.faults.test_outages import MOST_GROWTH, growth, memory

pytestmark = pytest.mark.faults

LONG = os.environ.get("CLICKTRAIL_FAULTS") == "long"
DELAYS = (0.0, 0.2, 2.0, 30.0) if LONG else (0.0, 0.2, 2.0)  # seconds of each question
SECONDS = 60.0 if LONG else 3.0
MOST = 0.25  # seconds that a hundredth of the redirects may exceed; or twice what it is without delay


@dataclass(frozen=True)
class Felt:
    """Seconds that one in a hundred exceeded."""

    redirect: float
    api: float

    def __str__(self) -> str:
        return f"redirect {1000 * self.redirect:.0f} ms, events {1000 * self.api:.0f} ms"


def felt(service: Service, network: Proxy, ledger: Ledger, delay: float, seed: int) -> Felt:
    """What clients feel meanwhile."""
    network.delay = delay
    with Load(service, seed=seed, ledger=ledger) as load:
        ends = time.monotonic() + SECONDS
        wait_until(lambda: time.monotonic() > ends, seconds=SECONDS + 60)
    return Felt(slow(load, "redirect"), slow(load, "api"))


def slow(load: Load, door: str) -> float:
    """What one in a hundred of its answers exceeded."""
    took = sorted(
        entry.heard_at - entry.sent_at
        for told in load.said
        if (entry := told.entry).door == door and entry.heard_at
    )
    return took[len(took) * 99 // 100]


def test_a_slow_database_is_not_felt_at_the_doors(
    serve_afar: Callable[..., Service], network: Proxy, report: Callable[[str], None]
) -> None:
    service, ledger = serve_afar(), Ledger()
    felt(service, network, ledger, 0.0, 99)  # the first requests of a process are slower
    before = memory(service)
    found = [felt(service, network, ledger, delay, seed) for seed, delay in enumerate(DELAYS)]
    grown = growth(before, memory(service))
    network.delay = 0.0
    service.settled()
    assert ledger.surprises == []
    assert ledger.count("refused") == 0
    assert not (damage := compare(ledger, service.database)), str(damage)
    near = found[0]
    for one in found:
        assert one.redirect < max(MOST, 2 * near.redirect)
        assert one.api < max(MOST, 2 * near.api)
    assert grown < MOST_GROWTH
    for delay, one in zip(DELAYS, found, strict=True):
        report(f"database {delay} s away, 99 of 100 within: {one}")
    report(
        f"of all of these: {ledger.count('accepted')} acknowledged, 0 refused, 0 lost; "
        f"memory +{grown / 2**20:.0f} MiB"
    )


def test_a_redirect_that_asks_the_database_is_found_out(
    serve_afar: Callable[..., Service], network: Proxy
) -> None:
    service = serve_afar("redirect_asks_the_database")
    near = felt(service, network, Ledger(), 0.0, 1)
    afar = felt(service, network, Ledger(), 0.2, 2)
    assert afar.redirect > max(MOST, 2 * near.redirect)
