"""One id sent by many at once: it counts once, one sender hears so, and other content is kept aside."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from app import tables
from app.model import number
from tests import engines
from tests.faults.processes import Service, reading

pytestmark = pytest.mark.faults

SENDERS = 64
IDS = [f"same-{n}" for n in range(2 if engines.POSTGRESQL else 8)]
LONG = os.environ.get("CLICKTRAIL_FAULTS") == "long"
MANY, TOGETHER = (10_000, 100) if LONG else (100, 100)
PROCESSES = "4" if LONG else "2"
DAY = 700
SALE = {"kind": "sale", "value": "19.990001", "currency": "EUR"}


def sale(id_: str, **fields: str) -> dict[str, str]:
    return {**SALE, "id": id_, "order_id": f"order-{id_}", **fields}


async def sent(service: Service, events: Sequence[dict[str, str]]) -> list[str]:
    """Send each by itself, all at once; what became of them, by the answers and, where late, the receipts."""
    limits = httpx.Limits(max_connections=len(events))
    async with httpx.AsyncClient(
        base_url=service.url, headers=service.as_("server"), timeout=60, limits=limits
    ) as client:
        return await asyncio.gather(*(_outcome(client, event) for event in events))


async def _outcome(client: httpx.AsyncClient, event: dict[str, str]) -> str:
    answer = await client.post("/v1/events", params={"wait": "stored"}, json=event)
    assert answer.status_code == 202, answer.text
    receipt = answer.json()["receipt"]
    async with asyncio.timeout(60):
        while answer.json()["outcomes"] == ["queued"]:  # an answer waits 5 seconds at most
            answer = await client.get(f"/v1/receipts/{receipt}")
    (outcome,) = answer.json()["outcomes"]
    return str(outcome)


def values(service: Service, id_: str) -> list[int | None]:
    """The value of each report stored under an id."""
    s = tables.sightings.c
    with reading(service) as connection:
        return list(connection.scalars(select(s.value).where(s.no == number(1, "id", id_))))


def put_aside(service: Service) -> Counter[Any]:
    r = tables.rejected.c
    with reading(service) as connection:
        named = select(r.event_id, r.code).where(r.event_id != "")  # not clicks before there was a campaign
        return Counter(map(tuple, connection.execute(named)))


async def test_of_64_who_send_one_id_at_once_one_is_stored(
    serve: Callable[..., Service], report: Callable[[str], None]
) -> None:
    service = serve(CLICKTRAIL_WEB_PROCESSES="2")
    for id_ in IDS:
        outcomes = Counter(await sent(service, [sale(id_)] * SENDERS))
        assert outcomes == {"stored": 1, "duplicate": SENDERS - 1}
        assert values(service, id_) == [19_990_001]
    assert Counter(await sent(service, [sale(IDS[0])] * 2)) == {"duplicate": 2}
    report(
        f"{SENDERS} at once with one id, {len(IDS)} ids, two web processes: 1 stored, the others duplicates"
    )


async def told(client: httpx.AsyncClient, events: Sequence[dict[str, str]]) -> list[str]:
    """Send them as one request; what became of each, once all are stored."""
    answer = await client.post("/v1/events", params={"wait": "stored"}, json={"events": events})
    assert answer.status_code == 202, answer.text
    receipt = answer.json()["receipt"]
    async with asyncio.timeout(120):
        while "queued" in answer.json()["outcomes"]:
            answer = await client.get(f"/v1/receipts/{receipt}")
    outcomes: list[str] = answer.json()["outcomes"]
    return outcomes


async def test_of_64_who_send_the_same_batches_at_once_each_event_is_stored_once(
    serve: Callable[..., Service], report: Callable[[str], None]
) -> None:
    service = serve(CLICKTRAIL_WEB_PROCESSES=PROCESSES)
    limits = httpx.Limits(max_connections=SENDERS)
    async with httpx.AsyncClient(
        base_url=service.url, headers=service.as_("server"), timeout=60, limits=limits
    ) as client:
        for first in range(0, MANY, TOGETHER):
            batch = [sale(f"many-{n}") for n in range(first, first + TOGETHER)]
            heard = await asyncio.gather(*(told(client, batch) for _ in range(SENDERS)))
            for outcomes in zip(*heard, strict=True):
                assert Counter(outcomes) == {"stored": 1, "duplicate": SENDERS - 1}
    s = tables.sightings.c
    with reading(service) as connection:
        rows = Counter(connection.scalars(select(s.no)))
    assert rows == {number(1, "id", f"many-{n}"): 1 for n in range(MANY)}
    report(
        f"{SENDERS} at once with the same {MANY} ids, {PROCESSES} web processes: "
        "each 1 stored, the others duplicates, 1 row an id"
    )


def day(size: int) -> list[dict[str, str]]:
    """A day's events, of all kinds that servers tell."""
    kinds = ("impression", "click", "visit", "pageview", "lead", "sale", "refund")
    events = []
    for n in range(size):
        kind, visitor = kinds[n % len(kinds)], f"visitor-{n // len(kinds)}"
        said = {"id": f"day-{n}", "kind": kind, "visitor_id": visitor, "campaign": "spring"}
        if kind in ("sale", "refund"):
            said |= {"order_id": f"order-{visitor}", "currency": "EUR"}
            said["value"] = f"{n % 90 + 1}.000001" if kind == "sale" else "0.500000"
        events.append(said)
    return events


async def test_a_day_sent_three_times_reads_like_a_day_sent_once(
    serve: Callable[..., Service], report: Callable[[str], None]
) -> None:
    service = serve()
    asked = {
        "metrics": ["impressions", "clicks", "leads", "sales", "revenue", "refunds"],
        "dimensions": ["time:hour", "campaign"],
        "date_range": "all",
    }
    read: list[Any] = []
    async with httpx.AsyncClient(base_url=service.url, headers=service.as_("admin"), timeout=60) as client:
        for _ in range(3):
            await told(client, day(DAY))
            service.settled()
            answer = await client.post("/v1/metrics/query", json=asked)
            assert answer.status_code == 200, answer.text
            read.append({name: answer.json()[name] for name in ("rows", "totals")})
    assert read[0]["totals"]["sales"] == DAY // 7
    assert read[1:] == [read[0], read[0]]
    report(f"a day of {DAY} events sent three times: the reports read as after the first")


async def test_of_two_contents_under_one_id_the_first_stands(
    serve: Callable[..., Service], report: Callable[[str], None]
) -> None:
    service = serve(CLICKTRAIL_WEB_PROCESSES="2")
    for id_ in IDS:
        dear, cheap = sale(id_, value="5"), sale(id_, value="3")
        outcomes = await sent(service, [dear, cheap] * (SENDERS // 2))
        of_dear, of_cheap = Counter(outcomes[::2]), Counter(outcomes[1::2])
        first, other = (of_dear, of_cheap) if of_dear["stored"] else (of_cheap, of_dear)
        assert first == {"stored": 1, "duplicate": SENDERS // 2 - 1}
        assert other == {"id_conflict": SENDERS // 2}
        assert values(service, id_) == [5_000_000 if first is of_dear else 3_000_000]
    assert put_aside(service) == {(id_, "id_conflict"): SENDERS // 2 for id_ in IDS}
    with service.client("admin") as client:
        shown = client.get("/v1/rejected", params={"code": "id_conflict"}).json()["items"]
        stand = client.get("/v1/conversions").json()["items"]
    assert {row["event_id"] for row in shown} <= {*IDS}
    assert {row["order_id"] for row in stand} == {f"order-{id_}" for id_ in IDS}
    report(f"two contents under one id, {len(IDS)} ids: the first stands, the other is kept aside")


async def test_a_service_that_does_not_look_up_repeats_is_found_out(serve: Callable[..., Service]) -> None:
    service = serve("repeats_not_looked_up")
    assert Counter(await sent(service, [sale("same")] * SENDERS)) == {"stored": SENDERS}
    assert len(values(service, "same")) == SENDERS


async def test_a_service_that_drops_conflicts_is_found_out(serve: Callable[..., Service]) -> None:
    service = serve("conflict_taken_for_repeat")
    outcomes = await sent(service, [sale("same", value=value) for value in ("5", "3")])
    assert sorted(outcomes) == ["duplicate", "stored"]
    assert put_aside(service) == {}
