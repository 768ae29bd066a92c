"""Who still sends, as the API and the doctor tell it."""

from pathlib import Path
from typing import Any

import pytest

from app import tables
from app.doctor import examine
from app.model import DAY, HOUR, SOURCES
from app.persons import keeping
from app.settings import Settings
from app.workspaces import add_key
from tests import engines
from tests.conftest import Clicktrail, wait_until
from tests.house import NOON
from tests.house import House as Pipe
from tests.management import NOW, House, admin, house, stranger

__all__ = ["admin", "house", "stranger"]

HOURS_KEPT, DAYS_KEPT = keeping.SOURCE_HOURS_DAYS * DAY, keeping.SOURCE_DAYS_DAYS * DAY


def put(house: House | Pipe, workspace: int, kind: str, name: str, *, last: int, days: int = 40) -> None:
    """A source with ten events an hour, up to the hour before `last` (us)."""
    end = last // HOUR
    hours = [
        {"workspace": workspace, "kind": SOURCES[kind], "name": name, "hour": hour, "count": 10}
        for hour in range(end - days * 24, end)
    ]
    with house.engine.begin() as connection:
        connection.execute(tables.source_hours.insert(), hours)
        counts: dict[int, int] = {}
        for one in hours:
            counts[int(str(one["hour"])) // 24] = counts.get(int(str(one["hour"])) // 24, 0) + 10
        rows = [
            {"workspace": workspace, "kind": SOURCES[kind], "name": name, "day": day, "count": count}
            for day, count in counts.items()
        ]
        connection.execute(tables.source_days.insert(), rows)


async def listed(house: House, key: str | None = None, **query: Any) -> Any:
    async with house.client(key, "read") as client:
        answer = await client.get("/v1/sources", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_silent_come_first_each_with_its_reason(house: House) -> None:
    partner = 5
    house.put(tables.partners, {"id": partner, "workspace": house.workspace, "slug": "acme", "name": "ACME"})
    with house.engine.begin() as connection:
        key = add_key(connection, house.workspace, "server", name="shop's backend", now=NOW, key="ct_srv_x")
    put(house, house.workspace, "site", "shop.example", last=NOW)
    put(house, house.workspace, "site", "stopped.example", last=NOW - 5 * HOUR)
    put(house, house.workspace, "key", str(key), last=NOW - 3 * HOUR)
    put(house, house.workspace, "partner", str(partner), last=NOW - 40 * DAY)
    put(house, house.workspace, "site", "", last=NOW, days=2)
    put(house, house.workspace, "site", "(others)", last=NOW - 5 * HOUR)
    put(house, house.other, "site", "theirs.example", last=NOW - 5 * HOUR)
    told = await listed(house)
    assert [(one["kind"], one["name"], one["state"]) for one in told["items"]] == [
        ("key", "shop's backend", "silent"),
        ("site", "stopped.example", "silent"),
        ("site", "shop.example", "active"),
        ("site", "(no address)", "new"),
        ("partner", "acme", "ended"),
    ]
    stopped = told["items"][1]
    assert stopped["last_event"] == "2026-11-21T18:00:00Z"
    assert stopped["silent_after"] == "2026-11-21T20:00:00Z"
    assert (stopped["first_day"], stopped["expected_gap_hours"]) == ("2026-10-12", 2)
    assert stopped["because"].startswith("Nothing came for 5 hours. On each of the 28 days before")
    assert told["omitted"] == 0


async def test_they_are_found_by_state_and_what_does_not_fit_is_counted(house: House) -> None:
    for number in range(3):
        put(house, house.workspace, "site", f"{number}.example", last=NOW - 5 * HOUR, days=10)
    put(house, house.workspace, "site", "shop.example", last=NOW, days=10)
    assert [one["name"] for one in (await listed(house, state="active"))["items"]] == ["shop.example"]
    told = await listed(house, state="silent", limit=2)
    assert (len(told["items"]), told["omitted"]) == (2, 1)
    assert (await listed(house, house.foreign))["items"] == []


def test_what_is_too_old_is_forgotten(tmp_path: Path) -> None:
    pipe = Pipe.on(engines.connect(tmp_path))
    for last in (NOON, NOON - HOURS_KEPT + DAY, NOON - DAYS_KEPT + DAY):
        put(pipe, 1, "site", "shop.example", last=last, days=3)
    keeping.drop_old(pipe.engine, NOON, keeping.Limits(0, 0, 0))
    assert min(row.hour for row in pipe.rows(tables.source_hours)) == (NOON - HOURS_KEPT) // HOUR
    assert min(row.day for row in pipe.rows(tables.source_days)) == (NOON - DAYS_KEPT) // DAY


def test_what_a_real_event_was_sent_by_is_listed(clicktrail: Clicktrail) -> None:
    with clicktrail.client() as client:
        told = {"kind": "pageview", "url": "https://listed.example/", "visitor_id": "ann"}
        body = {"k": clicktrail.keys["public"], "events": [told]}
        client.post(
            "/collect", json=body, headers={"user-agent": "Mozilla/5.0 Firefox/140.0"}
        ).raise_for_status()
    with clicktrail.client("server") as client:
        client.post("/v1/events", json={"kind": "lead"}).raise_for_status()

    def known() -> set[tuple[str, str]]:
        with clicktrail.client("read") as client:
            items = client.get("/v1/sources", params={"limit": 1000}).json()["items"]
        return {(one["kind"], one["name"]) for one in items}

    wait_until(lambda: ("site", "listed.example") in known() and "key" in {kind for kind, _ in known()})


def test_the_doctor_names_the_silent(tmp_path: Path) -> None:
    pipe = Pipe.on(engines.connect(tmp_path, "clicktrail"))
    settings = Settings(data=tmp_path, port=1, database_url=engines.url(tmp_path))
    put(pipe, 1, "site", "stopped.example", last=NOON - 5 * HOUR)
    told = [one for one in examine(settings, now=NOON) if one.subject == "sources"]
    assert [one.level for one in told] == ["warn"]
    assert told[0].message.startswith("site stopped.example (main): Nothing came for 5 hours.")


@pytest.mark.parametrize("query", ["state=quiet", "limit=0", "limit=1001", "x=1"])
async def test_a_query_that_cannot_be_is_refused(house: House, query: str) -> None:
    async with house.client(scope="read") as client:
        assert (await client.get(f"/v1/sources?{query}")).status_code == 400
