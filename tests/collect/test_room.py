"""Short of room: each door says so of the event that finds none, and of no other."""

import asyncio
import shutil

import pytest

from tests.collect.conftest import PUBLIC, SERVER, Front

#: How much of its reserve is left: impressions, opens and page views find no room.
LEFT = 0.6


@pytest.fixture
async def short(front: Front) -> Front:
    """The front of a house whose disk has run into the reserve."""
    inbox = front.doors.inbox
    inbox.reserve_bytes = int(shutil.disk_usage(inbox.folder).free / LEFT)
    async with asyncio.timeout(20):
        while inbox.room.refused != {"impression", "open", "pageview"}:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.02)
    return front


async def test_the_pixel_says_unavailable_of_an_impression_and_accepts_a_sale(short: Front) -> None:
    impression = await short.ask("GET", f"/p.gif?k={PUBLIC}&e=impression&id=i1")
    sale = await short.ask("GET", f"/p.gif?k={PUBLIC}&e=sale&id=s1&v=1&cur=EUR")
    assert (impression.status, impression.verdict) == (200, "unavailable")
    assert (sale.status, sale.verdict) == (200, "accepted")
    assert [event.id for event in await short.events()] == ["s1"]


@pytest.mark.parametrize("door", ["/v1/events", "/collect"])
async def test_an_event_without_room_costs_itself_only(short: Front, door: str) -> None:
    told = [
        {"id": "e1", "kind": "impression"},
        {"id": "e2", "kind": "lead"},
        {"id": "e3", "kind": "nonsense"},
    ]
    answer = await short.post(door, {"k": PUBLIC, "events": told}, authorization=f"Bearer {SERVER}")
    assert (answer.status, answer.json["accepted"], answer.headers["retry-after"]) == (202, 1, "5")
    assert [(one["index"], one["code"]) for one in answer.json["rejected"]] == [
        (0, "disk_full"),
        (2, "kind_unknown"),
    ]
    assert [event.id for event in await short.events()] == ["e2"]
    assert await short.refusals() == []  # what is rejected finds room last of all: it is counted only


@pytest.mark.parametrize("door", ["/v1/events", "/collect"])
async def test_a_request_without_room_may_come_back_as_a_whole(short: Front, door: str) -> None:
    told = [{"id": "e1", "kind": "impression"}, {"id": "e3", "kind": "nonsense"}]
    answer = await short.post(door, {"k": PUBLIC, "events": told}, authorization=f"Bearer {SERVER}")
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert answer.json["error"]["code"] == "disk_full"
    assert await short.events() == []


async def test_a_redirect_redirects_when_clicks_find_no_room(front: Front) -> None:
    front.doors.inbox.reserve_bytes = 2**62
    async with asyncio.timeout(20):
        while "click" not in front.doors.inbox.room.refused:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.02)
    answer = await front.ask("GET", "/c/spring")
    assert (answer.status, answer.verdict) == (302, "unrecorded")
    postback = f"/postback?key={SERVER}&txid=o1&value=1&currency=EUR&goal="
    assert (await front.ask("GET", postback + "sale")).body == b"OK"
    clicked = await front.ask("GET", postback + "click")
    assert (clicked.status, clicked.headers["retry-after"]) == (503, "5")
    assert [event.kind for event in await front.events()] == ["sale"]
