"""GET /v1/conversions and /v1/conversions/{id}."""

from collections.abc import AsyncIterator

import httpx
import pytest

from app import tables
from app.conversions.reading import public_id
from app.model import DAY
from tests.attribution.test_settle import refund
from tests.attribution.world import NOW, World
from tests.management import House, house

__all__ = ["house"]


@pytest.fixture
def here(house: House) -> World:
    return World(house.engine)


@pytest.fixture
async def reader(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with house.client(scope="read") as client:
        yield client


async def test_a_conversion_is_found_by_its_id_and_by_its_order_id(
    here: World, reader: httpx.AsyncClient
) -> None:
    here.sale(7, NOW, value=49_900_000, order_id="no/4711 å")
    for name in (public_id(7), "no/4711 å", "no%2F4711 å"):
        answer = await reader.get(f"/v1/conversions/{name}")
        assert answer.status_code == 200, answer.text
        assert answer.json()["id"] == public_id(7)
    found = answer.json()
    assert (found["value"], found["currency"], found["state"], found["goal"]) == (
        49.9, "EUR", "approved", "sale",
    )  # fmt: skip
    assert found["reported_value"] == 573.85 and found["fx"] == {"rate": 11.5, "date": "1970-01-01"}
    assert found["counted"] is True and found["setbacks"] == []


async def test_an_order_id_of_two_stores_needs_the_store(here: World, reader: httpx.AsyncClient) -> None:
    for id_, store in ((7, "oslo"), (8, "bergen")):
        here.sale(id_, NOW, order_id="4711", store=store)
    answer = await reader.get("/v1/conversions/4711")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "order_ambiguous")
    answer = await reader.get("/v1/conversions/4711", params={"store": "bergen"})
    assert answer.json()["id"] == public_id(8)


async def test_refunds_and_reports_are_shown_with_it(here: World, reader: httpx.AsyncClient) -> None:
    here.sale(7, NOW, value=50_000_000, changes=[refund(NOW + DAY, 20_000_000)])
    here.put(
        tables.sightings, workspace=1, conversion=7, no=7, kind=7, door=4, occurred_at=NOW, event_id="e1"
    )
    found = (await reader.get(f"/v1/conversions/{public_id(7)}")).json()
    assert (found["refunded"], found["net_value"]) == (20.0, 30.0)
    assert [(a["kind"], a["value"]) for a in found["adjustments"]] == [("refund", 20.0)]
    assert [(s["event_id"], s["door"]) for s in found["sightings"]] == [("e1", "api")]


async def test_a_conversion_without_value_has_null_and_not_zero(
    here: World, reader: httpx.AsyncClient
) -> None:
    here.sale(7, NOW, value=None)
    found = (await reader.get(f"/v1/conversions/{public_id(7)}")).json()
    assert found["value"] is None and found["net_value"] is None and found["reported_value"] is None


async def test_the_list_is_paged_latest_first_and_shows_everything_once(
    here: World, reader: httpx.AsyncClient
) -> None:
    for id_ in range(1, 8):
        here.sale(id_, NOW - id_ // 2 * DAY)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await reader.get("/v1/conversions", params={"limit": 2, "cursor": cursor})).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [public_id(id_) for id_ in (1, 3, 2, 5, 4, 7, 6)]


async def test_the_list_can_be_narrowed(here: World, reader: httpx.AsyncClient) -> None:
    here.sale(7, NOW)
    here.sale(8, NOW, state=3)
    answer = await reader.get("/v1/conversions", params={"state": "rejected", "kind": "sale"})
    assert [item["id"] for item in answer.json()["items"]] == [public_id(8)]
    assert (await reader.get("/v1/conversions", params={"kind": "lead"})).json()["items"] == []


@pytest.mark.parametrize(
    "query", [{"cursor": "x"}, {"limit": 0}, {"limit": 1001}, {"kind": "click"}, {"colour": "red"}]
)
async def test_what_a_list_cannot_take_is_refused(
    here: World, reader: httpx.AsyncClient, query: dict[str, str]
) -> None:
    assert (await reader.get("/v1/conversions", params=query)).status_code == 400


async def test_only_its_own_workspace_may_read_it_and_only_with_a_reading_key(
    here: World, house: House
) -> None:
    here.sale(7, NOW)
    async with house.client(house.foreign) as stranger:
        assert (await stranger.get(f"/v1/conversions/{public_id(7)}")).status_code == 404
        assert (await stranger.get("/v1/conversions")).json()["items"] == []
    async with house.client(scope="server") as server:
        assert (await server.get("/v1/conversions")).status_code == 403
