"""The answer is lost after the commit, and the sender tries again: once, fifty times, after thirty days."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.model import DAY
from tests.conftest import impossible, wait_until
from tests.faults.ledger import Damage, compare
from tests.faults.load import Answer, Load, Request, Told, ask, heard, request
from tests.faults.processes import Service, all_in
from tests.faults.proxy import Proxy
from tests.faults.test_same_id import put_aside, sale, values

pytestmark = pytest.mark.faults

TRIES = (1, 2, 5, 50)
BATCHES = 6  # of lost answers under load
LATER = 30  # days
WEB = {"CLICKTRAIL_WEB_PROCESSES": "2"}


def before(service: Service) -> Proxy:
    """A network between the clients and the service."""
    where = urlsplit(service.url)
    return Proxy((str(where.hostname), int(where.port or 0)))


def tried(network: Proxy, asked: Request) -> Answer | None:
    """One request on a connection of its own, so that either web process may get it."""
    with closing(HTTPConnection("127.0.0.1", network.port, timeout=60)) as connection:
        return ask(connection, asked)


def telling(service: Service, event: dict[str, str]) -> Request:
    return Request("POST", "/v1/events?wait=stored", json.dumps(event).encode(), service.as_("server"))


def outcome(answer: Answer | None) -> Any:
    assert answer is not None and answer.status == 202, answer
    return json.loads(answer.body)["outcomes"]


def unheard(service: Service) -> tuple[Load, Damage]:
    """Load through a network that loses answers of all doors now and then."""
    service.stop()
    service.open()  # only now each of its web processes knows the campaign for certain
    with before(service) as network:
        afar = replace(service, url=f"http://127.0.0.1:{network.port}")
        with Load(afar) as load:
            for _ in range(BATCHES):
                load.more(30)
                network.cuts(7)
    service.settled()
    assert network.lost > BATCHES
    return load, compare(load.ledger, service.database)


def test_lost_answers_cost_nothing(serve: Callable[..., Service], report: Callable[[str], None]) -> None:
    service = serve(**WEB)
    load, damage = unheard(service)
    assert load.ledger.surprises == []
    assert not damage, str(damage)
    report(f"{7 * BATCHES} answers lost, sent again: {load.ledger.count('accepted')} acknowledged, 0 twice")
    with before(service) as network:
        for lost in TRIES:
            asked = telling(service, sale(f"lost-{lost}"))
            network.cuts(lost)
            assert [tried(network, asked) for _ in range(lost)] == [None] * lost
            assert outcome(tried(network, asked)) == ["duplicate"]
            assert values(service, f"lost-{lost}") == [19_990_001]
        assert network.lost == sum(TRIES)
    report(f"answers lost {', '.join(map(str, TRIES))} times: each sale once, its sender hears duplicate")


def test_a_service_that_does_not_look_up_repeats_counts_lost_answers_twice(
    serve: Callable[..., Service],
) -> None:
    assert unheard(serve("repeats_not_looked_up"))[1].twice


# --- Thirty days later ------------------------------------------------------------------------------------


@pytest.fixture
def later() -> dict[str, str]:
    """Settings of a process whose clock is thirty days ahead."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        impossible("libfaketime is not installed")
    return {"LD_PRELOAD": str(found[0]), "FAKETIME": f"+{LATER}d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def repeated(service: Service, later: dict[str, str]) -> tuple[Load, Damage]:
    """Everything said once more by senders that have waited for thirty days; redirects make new clicks."""
    with Load(service, clients=3) as load:
        load.more(120)
    service.settled()
    service.stop()
    service.settings |= later
    service.open()
    with closing(HTTPConnection(urlsplit(service.url).netloc, timeout=60)) as connection:
        for told in again(load):
            answer = ask(connection, request(service.keys, told))
            assert answer is not None and heard(told.entry.door, answer) == "accepted", (told, answer)
    now = time.time_ns() // 1000 + LATER * DAY
    wait_until(lambda: all_in(service, since=now), seconds=60)
    return load, compare(load.ledger, service.database)


def again(load: Load) -> Iterator[Told]:
    return (told for told in load.said if told.entry.door != "redirect")


def test_what_is_sent_again_after_thirty_days_counts_once(
    serve: Callable[..., Service], later: dict[str, str], report: Callable[[str], None]
) -> None:
    service = serve()
    load, damage = repeated(service, later)
    assert not damage, str(damage)
    assert put_aside(service) == {}
    told = next(told for told in again(load) if told.entry.kind == "sale" and told.entry.door == "api")
    with closing(HTTPConnection(urlsplit(service.url).netloc, timeout=60)) as connection:
        assert outcome(ask(connection, telling(service, told.fields))) == ["duplicate"]
        dearer = told.fields | {"value": "99999"}
        assert outcome(ask(connection, telling(service, dearer))) == ["id_conflict"]
    assert values(service, told.entry.id) == [told.entry.micros]
    assert put_aside(service) == {(told.entry.id, "id_conflict"): 1}
    report(f"{sum(1 for _ in again(load))} events sent again {LATER} days later: 0 twice, 0 put aside")
