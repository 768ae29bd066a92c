"""Thousands of connections that are slow, silent or idle cost those who want something nothing."""

import asyncio
import functools
import math
import os
import time
from collections.abc import Callable

import pytest

from tests.conftest import Clicktrail, wait_until
from tests.hostile.crowd import Held, Served, drips, good_client, never_reads, slow_clients
from tests.hostile.wire import Address, request, web

pytestmark = pytest.mark.faults

LONG = os.environ.get("CLICKTRAIL_FAULTS") == "long"
BAD = 5000 if LONG else 240
UNREAD = 40 if LONG else 3  # of them, clients that read nothing: each costs the making of 3 MB of answers
PATIENCE = 15 if LONG else 2  # CLICKTRAIL_REQUEST_SECONDS
DRIP = PATIENCE / 3
IDLE, ACTIVE, ROUNDS = (10_000, 1_000, 20) if LONG else (1_000, 100, 10)
ROOM = 200 * 2**20  # bytes that the web process may take with all of them

Serve = Callable[..., Clicktrail]


def rights(service: Clicktrail) -> list[tuple[bytes, int]]:
    """What good clients ask, and the status of the right answer."""
    credential = f"Authorization: Bearer {service.keys['server']}"
    return [
        (request("GET", f"/p.gif?k={service.keys['public']}&e=impression&c=spring"), 200),
        (request("GET", "/c/spring"), 302),
        (request("POST", "/v1/events", credential, body=b'{"kind": "pageview"}'), 202),
    ]


async def asked_by_good_ones(
    address: Address, service: Clicktrail, seconds: float, clients: int = 4
) -> Served:
    """What good clients hear who ask for so long."""
    served = Served()
    end = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            done = lambda: time.monotonic() > end  # noqa: E731
            group.create_task(good_client(address, rights(service), served, done))
    return served


async def asked_once(address: Address, service: Clicktrail) -> None:
    """One good request, on a connection of its own."""
    served, turns = Served(), iter((False, True))
    await good_client(address, rights(service)[:1], served, lambda: next(turns))
    assert served.wrong == []


def with_much_to_read(serve: Serve, bug: str = "", patience: int = PATIENCE) -> Clicktrail:
    """A service one of whose answers is long, and made already: making it takes a second."""
    service = serve(bug, CLICKTRAIL_REQUEST_SECONDS=str(patience), CLICKTRAIL_DOCS="1")
    with service.client() as client:
        assert len(client.get("/openapi.json").content) > 50_000
    return service


async def besieged(
    address: Address, service: Clicktrail, *, bad: int, give_up: float
) -> tuple[list[Held], Served]:
    """`bad` clients of all kinds at once, and good ones among them."""
    kinds = slow_clients(service.keys["public"], service.keys["server"])
    much = request("GET", "/openapi.json") * 200
    held = []
    async with asyncio.TaskGroup() as group:
        for number in range(bad):
            slow = kinds[number % len(kinds)]
            unread = number < UNREAD
            held.append(Held("reads nothing" if unread else slow.name))
            group.create_task(
                never_reads(address, much, held[-1], give_up)
                if unread
                else drips(address, slow, DRIP, held[-1], give_up)
            )
            if number % 100 == 0:
                # Answered, so all before it are accepted: a full queue of the kernel's would drop some, who
                # then wait on a connection that the service never had.
                await asked_once(address, service)
        served = await asked_by_good_ones(address, service, PATIENCE)
    return held, served


def told(name: str, held: list[Held], before: Served, served: Served) -> str:
    longest = max(one.seconds for one in held if one.seconds < math.inf)
    return (
        f"{name}: {len(held)} slow connections, hung up on after at most {longest:.1f} s (limit {PATIENCE}); "
        f"{len(served.seconds)} answers to good clients, {len(served.wrong)} wrong, p99 "
        f"{1000 * served.quantile(0.99):.0f} ms ({1000 * before.quantile(0.99):.0f} without)"
    )


async def test_slow_clients_are_hung_up_on_and_cost_the_others_nothing(
    serve: Serve, front: Callable[..., Address], report: Callable[[str], None]
) -> None:
    service = with_much_to_read(serve)
    process = web(service)
    for name, address in (("direct", Address.of(service)), ("nginx", front(service, PATIENCE))):
        before = await asked_by_good_ones(address, service, PATIENCE / 2)
        files = process.num_fds()
        held, served = await besieged(address, service, bad=BAD, give_up=6 * PATIENCE)
        report(told(f"slow, {name}", held, before, served))
        assert served.wrong == []
        assert len(served.seconds) > 50
        assert {one.name for one in held if one.seconds == math.inf} == set()
        wait_until(lambda files=files: process.num_fds() <= files + 80)  # nginx keeps some


async def test_without_a_limit_they_stay(serve: Serve) -> None:
    service = with_much_to_read(serve, "patience_without_end", patience=1)
    held, _ = await besieged(Address.of(service), service, bad=40, give_up=3)
    assert {one.name for one in held if one.seconds < math.inf} == set()


async def idle_and_active(service: Clicktrail, *, idle: int, active: int) -> tuple[Served, int]:
    """What active clients hear while others are idle, and these when they come back; and the RSS."""
    address, served, seated, over = Address.of(service), Served(), asyncio.Semaphore(0), asyncio.Event()
    everything = rights(service)

    async def idler() -> None:
        turns = iter((1, 2))
        await good_client(address, everything[:1], served, lambda: not next(turns, 0), rest)

    async def rest() -> None:
        seated.release()
        await over.wait()

    async with asyncio.TaskGroup() as group:
        for number in range(idle):
            group.create_task(idler())
            if number % 100 == 0:
                await asyncio.sleep(0.02)
        for _ in range(idle):
            await seated.acquire()
        served.seconds.clear()
        async with asyncio.TaskGroup() as busy:
            for _ in range(active):
                turns = iter(range(ROUNDS))
                done = functools.partial(lambda turns: next(turns, None) is None, turns)
                busy.create_task(good_client(address, everything, served, done))
        used: int = web(service).memory_info().rss
        over.set()
    return served, used


async def test_idle_connections_are_no_load(serve: Serve, report: Callable[[str], None]) -> None:
    service = serve()
    alone = web(service).memory_info().rss
    served, used = await idle_and_active(service, idle=IDLE, active=ACTIVE)
    report(
        f"idle: {IDLE} idle connections, {ACTIVE} active ones; {len(served.seconds)} answers, "
        f"{len(served.wrong)} wrong; web process {used // 2**20} MiB ({alone // 2**20} MiB without)"
    )
    assert served.wrong == []
    assert len(served.seconds) == ACTIVE * ROUNDS * 3 + IDLE
    assert used <= ROOM


async def test_a_limit_that_counts_idle_connections_refuses_the_others(serve: Serve) -> None:
    served, _ = await idle_and_active(serve("idle_ones_counted"), idle=250, active=10)
    assert any(" 503 " in one for one in served.wrong), served.wrong[:1]
