"""Restarts under a steady load: no connection refused, none reset, nothing lost, and nobody waits for long.

Either engine: what is stored is asked of the database that the service uses.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests import engines
from tests.conftest import Clicktrail, wait_until
from tests.faults.ledger import Damage, compare
from tests.faults.processes import PLANTED, Role, processes
from tests.faults.rapid import Rapid, percentile

pytestmark = pytest.mark.faults

LONG = os.environ.get("CLICKTRAIL_FAULTS") == "long"
ROLLS = 50 if LONG else 3
RESTARTS = 10 if LONG else 1
RATE = 500 if LONG else 150  # requests a second; in short also on a machine that has other work

#: Run what follows with the socket as systemd hands it over.
HANDING = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid()); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
)


ROLES: tuple[Role, ...] = ("web", "worker")


def through(running: Clicktrail, turn: int) -> bool:
    """All have been replaced for the `turn`th time, and those who were are gone."""
    lines = [line for line in running.log().splitlines() if '"took_over"' in line]
    return all(
        sum(f'"{role}"' in line for line in lines) >= turn and len(processes(running, role)) == 1
        for role in ROLES
    )


async def rolled(running: Clicktrail, times: int) -> Rapid:
    """SIGHUP again and again, each when the last is through."""
    async with Rapid(running, RATE) as load:
        for turn in range(1, times + 1):
            assert running.process is not None
            running.process.send_signal(signal.SIGHUP)
            await asyncio.to_thread(wait_until, lambda turn=turn: through(running, turn), seconds=180)
    return load


def damage(load: Rapid, data: Path) -> Damage:
    """What differs when all that was accepted is in."""
    wait_until(lambda: not compare(load.ledger, engines.url(data)).lost, seconds=60)
    return compare(load.ledger, engines.url(data))


def told(load: Rapid) -> str:
    return (
        f"{load.achieved:.0f} requests/s on connections kept and fresh, "
        f"{load.ledger.count('accepted')} acknowledged: 0 refused, 0 reset, 0 lost; "
        f"median {1000 * percentile(load.waits, 0.5):.0f} ms, longest wait {max(load.waits):.2f} s"
    )


async def test_rolling_restarts_are_not_noticed(
    start_clicktrail: Callable[..., Clicktrail], report: Callable[[str], None]
) -> None:
    running = start_clicktrail()
    load = await rolled(running, ROLLS)
    assert load.failures == {}
    assert load.ledger.surprises == []
    assert load.ledger.count("accepted") == len(load.waits)
    found = await asyncio.to_thread(damage, load, running.data)
    assert not found, str(found)
    report(f"{ROLLS} rolling restarts by SIGHUP under {told(load)} (bar: 1 s)")


async def restarted(start: Callable[[], Clicktrail], times: int) -> tuple[Rapid, Clicktrail]:
    """SIGTERM, and another service on the same socket and data; again and again."""
    running = start()
    async with Rapid(running, RATE) as load:
        for _ in range(times):
            assert await asyncio.to_thread(running.stop) == 0
            keys, running = running.keys, await asyncio.to_thread(start)
            running.keys = keys
    return load, running


def handed(start: Callable[..., Clicktrail], listening: socket.socket) -> Callable[[], Clicktrail]:
    """Starts of services on one socket, which is not theirs."""
    before: Sequence[str] = ["-c", HANDING, str(listening.fileno())]
    return lambda: start(before=before, pass_fds=[listening.fileno()], LISTEN_FDS="1")


async def test_a_full_restart_on_a_socket_of_systemd_refuses_nobody(
    start_clicktrail: Callable[..., Clicktrail], report: Callable[[str], None]
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
        load, running = await restarted(handed(start_clicktrail, listening), RESTARTS)
        found = await asyncio.to_thread(damage, load, running.data)
    assert load.failures == {}
    assert load.ledger.surprises == []
    assert not found, str(found)
    report(f"{RESTARTS} full restarts by SIGTERM on a socket handed over, under {told(load)}")


async def test_a_service_that_leaves_without_draining_is_found_out(
    start_clicktrail: Callable[..., Clicktrail],
) -> None:
    running = start_clicktrail(before=[str(PLANTED), "leaves_without_draining"])
    load = await rolled(running, 1)
    assert load.failures
