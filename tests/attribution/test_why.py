"""`why` over HTTP: every candidate touch, kept or the reason why not, and what it earned."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app import tables
from app.attribution.explain import touch_id
from app.conversions.reading import public_id
from app.model import DAY, HOUR, MODELS
from tests.attribution.test_settle import refund
from tests.attribution.world import NOW, World, visitor
from tests.management import House, house

__all__ = ["house"]


@pytest.fixture
def here(house: House) -> World:
    return World(house.engine)


@pytest.fixture
async def reader(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with house.client(scope="read") as client:
        yield client


async def why(reader: httpx.AsyncClient, **query: str) -> dict[str, Any]:
    answer = await reader.get(f"/v1/conversions/{public_id(7)}/why", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def told(found: dict[str, Any], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(touch[name] for name in names) for touch in found["touches"]]


async def test_every_candidate_is_told_in_order_with_its_reason(
    here: World, reader: httpx.AsyncClient
) -> None:
    here.put(tables.campaigns, id=1, workspace=1, slug="spring")
    for no, (kind, age, more) in enumerate(
        [
            ("click", 31 * DAY, {}),
            ("click", 2 * DAY, {"campaign_id": 1}),
            ("impression", 3 * HOUR, {}),
            ("click", 2 * HOUR, {"flags": 1}),
            ("click", HOUR, {"campaign_id": 1}),
            ("visit", -HOUR, {}),
        ],
        1,
    ):
        here.touch(kind, NOW - age, no=no, **more)
    here.sale(7, NOW, value=10_000_001)
    here.settle()
    found = await why(reader, model="linear")
    assert told(found, "id", "kept", "reason", "share_ppm", "units") == [
        (touch_id(1), False, "outside_window", 0, 0),
        (touch_id(2), True, None, 500_000, 5_000_000),
        (touch_id(3), False, "lower_tier", 0, 0),
        (touch_id(4), False, "flagged", 0, 0),
        (touch_id(5), True, None, 500_000, 5_000_001),
        (touch_id(6), False, "after_conversion", 0, 0),
    ]
    assert told(found, "campaign")[1] == ("spring",)
    assert told(found, "remainder")[1] == (1,)
    assert told(found, "flags")[3] == (["bot"],)
    assert told(found, "billed")[4] == (True,)
    assert found["settled"] is True
    assert found["configuration"]["windows"] == {"click": 30, "visit": 3, "impression": 1}
    assert set(found["models"]) == set(MODELS)
    assert found["models"]["last_touch"] == [
        {"touch": touch_id(5), "campaign": "spring", "share_ppm": 1_000_000}
    ]


async def test_an_unattributed_conversion_says_why(here: World, reader: httpx.AsyncClient) -> None:
    here.touch("impression", NOW - 5 * DAY, no=1)
    here.sale(7, NOW)
    here.settle()
    found = await why(reader)
    assert found["unattributed"]["reason"] == "outside_window"
    assert found["unattributed"]["value"] == 100.0
    assert found["settled"] is True


async def test_last_click_says_that_it_fell_back(here: World, reader: httpx.AsyncClient) -> None:
    here.touch("visit", NOW - HOUR, no=1)
    here.sale(7, NOW)
    here.settle()
    assert (await why(reader, model="last_click"))["fell_back"] is True
    assert (await why(reader, model="last_touch"))["fell_back"] is False
    assert (await why(reader, model="billing"))["unattributed"]["reason"] == "not_eligible"


async def test_earlier_versions_stay_to_be_seen(here: World, reader: httpx.AsyncClient) -> None:
    here.touch("click", NOW - DAY, no=1)
    here.sale(7, NOW)
    here.settle()
    here.touch("click", NOW - HOUR, no=2)
    assert (await why(reader))["settled"] is False
    here.due(7)
    here.settle()
    found = await why(reader)
    assert [(v["version"], v["current"], v["credits"][0]["touch"]) for v in found["versions"]] == [
        (2, True, touch_id(2)),
        (1, False, touch_id(1)),
    ]


async def test_it_can_be_asked_what_would_be_without_a_touch(here: World, reader: httpx.AsyncClient) -> None:
    for no in (1, 2):
        here.touch("click", NOW - no * DAY, no=no)
    here.sale(7, NOW, clicks=((1, NOW - DAY, 0, 0, 0),))
    here.settle()
    found = await why(reader, without=touch_id(1))
    assert told(found, "id", "share_ppm") == [(touch_id(2), 1_000_000)]


async def test_what_refunds_left_is_divided_as_well(here: World, reader: httpx.AsyncClient) -> None:
    for no in (1, 2):
        here.touch("click", NOW - no * DAY, no=no)
    here.sale(7, NOW, value=10_000_000, changes=[refund(NOW + DAY, 4_000_001)])
    here.settle()
    found = await why(reader, model="linear")
    assert told(found, "units", "net_units") == [(5_000_000, 2_999_999), (5_000_000, 3_000_000)]


async def test_more_candidates_than_are_shown_are_counted(here: World, reader: httpx.AsyncClient) -> None:
    with here.engine.begin() as connection:
        connection.execute(
            tables.events.insert(),
            [
                {"workspace": 1, "kind": 2, "occurred_at": NOW - 9000 + i, "no": i, "visitor": visitor("v")}
                for i in range(1, 1502)
            ],
        )
    here.sale(7, NOW)
    here.settle()
    found = await why(reader, model="linear")
    assert found["not_shown"] == {"capped": 501}
    assert len(found["touches"]) == 1000
    assert sum(touch["kept"] for touch in found["touches"]) == 500
    assert sum(touch["share_ppm"] for touch in found["touches"]) == 1_000_000


@pytest.mark.parametrize(
    "path, query, status, code",
    [
        ("cv_0000000000000007", {"model": "markov"}, 400, "model_unknown"),
        ("cv_0000000000000008", {}, 404, "conversion_not_found"),
        ("cv_ffffffffffffffff", {}, 404, "conversion_not_found"),
        ("nothing", {}, 404, "conversion_not_found"),
    ],
)
async def test_what_cannot_be_told_is_refused_by_name(
    here: World, reader: httpx.AsyncClient, path: str, query: dict[str, str], status: int, code: str
) -> None:
    here.sale(7, NOW)
    answer = await reader.get(f"/v1/conversions/{path}/why", params=query)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_another_workspace_sees_nothing(here: World, house: House) -> None:
    here.sale(7, NOW)
    async with house.client(house.foreign) as stranger:
        answer = await stranger.get(f"/v1/conversions/{public_id(7)}/why")
    assert answer.status_code == 404
