"""Visitors without cookies: told apart for a day by what the door sees and nobody keeps."""

import json
from datetime import UTC, datetime
from ipaddress import ip_network as network

import msgspec
import pytest

from app.consent import DAILY
from app.model import DAY, Event
from app.salt import PREFIX
from tests.collect.conftest import NOW, PUBLIC, Front

COOKIE = f"ct_id={NOW // 1_000_000 - 60:08x}." + "c" * 32
CHROME = "Mozilla/5.0 (X11; Linux x86_64) Chrome/130.0"
PIXEL = f"/p.gif?k={PUBLIC}&e=open"


@pytest.fixture
def cookieless(front: Front) -> Front:
    front.settings(visitors="daily")
    return front


async def asked(front: Front, target: str = PIXEL, **headers: str) -> Event:
    await front.ask("GET", target, **{"user_agent": CHROME, **headers})
    return (await front.events())[-1]


async def beaconed(front: Front, event: dict[str, object], **headers: str) -> Event:
    body = {"k": PUBLIC, "events": [event]}
    await front.post("/collect", body, **{"user_agent": CHROME, **headers})
    return (await front.events())[-1]


async def test_one_visitor_has_one_identifier_at_pixel_redirect_and_beacon(cookieless: Front) -> None:
    opened = await asked(cookieless)
    clicked = await asked(cookieless, "/c/spring")
    visited = await beaconed(cookieless, {"kind": "visit"}, sec_fetch_site="same-site")
    assert opened.cookie_id == clicked.cookie_id == visited.cookie_id
    assert opened.cookie_id.startswith(DAILY) and len(opened.cookie_id) == len(DAILY) + 32


@pytest.mark.parametrize(
    "target, headers",
    [
        (PIXEL, {"user_agent": "Mozilla/5.0 Firefox/131.0"}),
        (PIXEL, {"host": "t.other.example"}),
        (PIXEL, {"x_forwarded_for": "203.0.113.78"}),
        (PIXEL, {"x_forwarded_for": "2001:db8::1"}),
        ("/p.gif?k=ct_pub_two&e=open", {}),
    ],
)
async def test_another_browser_site_address_or_workspace_is_another_visitor(
    cookieless: Front, target: str, headers: dict[str, str]
) -> None:
    """Of the address all counts, and not the network that is kept of it."""
    snapshot = cookieless.doors.snapshots.current
    two = msgspec.structs.replace(
        snapshot.workspaces[2],
        settings=msgspec.structs.replace(snapshot.workspaces[2].settings, visitors="daily"),
    )
    cookieless.doors.snapshots.current = msgspec.structs.replace(
        snapshot, workspaces={**snapshot.workspaces, 2: two}
    )
    cookieless.doors.trusted = [network("203.0.113.77/32")]
    one = await asked(cookieless)
    other = await asked(cookieless, target, **headers)
    assert one.cookie_id.startswith(DAILY) and other.cookie_id.startswith(DAILY)
    assert one.cookie_id != other.cookie_id


async def test_an_address_is_the_same_however_it_is_written(cookieless: Front) -> None:
    cookieless.doors.trusted = [network("203.0.113.77/32")]
    written = ("::ffff:198.51.100.9", "198.51.100.9", "::FFFF:C633:6409")
    assert len({(await asked(cookieless, x_forwarded_for=one)).cookie_id for one in written}) == 1


async def test_tomorrow_everybody_is_somebody_else(cookieless: Front) -> None:
    today = await asked(cookieless)
    cookieless.clock.now += DAY
    tomorrow = await asked(cookieless)
    assert tomorrow.cookie_id.startswith(DAILY) and tomorrow.cookie_id != today.cookie_id
    folder = cookieless.doors.snapshots.path.parent
    day = datetime.fromtimestamp(cookieless.clock.now / 1e6, UTC).date().isoformat()
    assert [path.name for path in folder.glob(PREFIX + "*")] == [PREFIX + day]


async def test_no_cookie_is_set_and_one_of_before_is_expired(cookieless: Front) -> None:
    for target in (PIXEL, "/c/spring"):
        assert "set-cookie" not in (await cookieless.ask("GET", target)).headers
        answer = await cookieless.ask("GET", target, cookie=COOKIE)
        assert answer.headers["set-cookie"].startswith("ct_id=; Max-Age=0;")
    body = {"k": PUBLIC, "events": [{"kind": "visit"}]}
    assert "set-cookie" not in (await cookieless.post("/collect", body)).headers
    assert "Max-Age=0" in (await cookieless.post("/collect", body, cookie=COOKIE)).headers["set-cookie"]
    assert all("c" * 32 not in event.cookie_id for event in await cookieless.events())


async def test_the_whole_address_is_in_no_record(cookieless: Front) -> None:
    event = await asked(cookieless)
    assert event.ip == "203.0.113.0"
    assert b"203.0.113.77" not in msgspec.msgpack.encode(event)


async def test_browsers_tell_of_nobody_for_longer_than_a_day(cookieless: Front) -> None:
    """Beside an identifier of the day, one of a person would say for ever who that was."""
    named = {"visitor_id": "v", "user_id": "u", "email": "jo@mail.example", "phone": "+4722334455"}
    event = await beaconed(
        cookieless, {"kind": "lead", "order_id": "o", "click_ids": {"gclid": "g"}, **named}
    )
    assert (event.visitor_id, event.user_id, event.email, event.phone) == ("", "", {}, {})
    assert (event.cookie_id[:4], event.order_id, event.click_ids) == (DAILY, "o", {"gclid": "g"})
    event = await asked(cookieless, f"{PIXEL}&vid=v&u=u")
    assert (event.visitor_id, event.user_id) == ("", "")


async def test_what_servers_tell_stays_as_it_is(cookieless: Front) -> None:
    await cookieless.tell({"kind": "lead", "visitor_id": "v", "user_id": "u", "email": "jo@mail.example"})
    (event,) = await cookieless.events()
    assert (event.visitor_id, event.user_id, event.cookie_id) == ("v", "u", "")
    assert set(event.email) == {"meta", "google"}


async def test_without_consent_there_is_no_identifier_of_the_day_either(cookieless: Front) -> None:
    assert (await asked(cookieless, f"{PIXEL}&consent=0")).cookie_id == ""


async def test_in_other_sites_pages_a_visitor_is_one_of_that_site(cookieless: Front) -> None:
    """Nobody is followed from one site to the next; a page that hides its address has no visitors."""
    away = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}
    news = await asked(cookieless, referer="https://www.news.example/a?b", **away)
    again = await beaconed(cookieless, {"kind": "visit"}, origin="https://news.example", **away)
    blog = await asked(cookieless, referer="https://blog.example/", **away)
    hidden = await asked(cookieless, **away)
    assert news.cookie_id == again.cookie_id != blog.cookie_id
    assert (news.cookie_id[:4], blog.cookie_id[:4], hidden.cookie_id) == (DAILY, DAILY, "")


async def test_there_is_no_salt_while_nobody_needs_one(front: Front) -> None:
    await asked(front)
    assert list(front.doors.snapshots.path.parent.glob(PREFIX + "*")) == []


async def test_without_room_for_a_salt_events_are_taken_without_an_identifier(cookieless: Front) -> None:
    folder = cookieless.doors.snapshots.path.parent
    day = datetime.fromtimestamp(NOW / 1e6, UTC).date().isoformat()
    (folder / (PREFIX + day)).mkdir()  # a file cannot be made there
    answer = await cookieless.ask("GET", PIXEL)
    assert answer.verdict == "accepted"
    assert (await cookieless.events())[-1].cookie_id == ""
    (folder / (PREFIX + day)).rmdir()
    cookieless.clock.now += 2_000_000
    assert (await asked(cookieless)).cookie_id.startswith(DAILY)


async def test_a_refused_event_of_a_browser_names_nobody_for_longer_than_a_day(cookieless: Front) -> None:
    """What servers send stays as it is, as in events that were taken."""
    names = ("visitor_id", "user_id", "visitor-id", "User-Id", "cookie_id", "vid", "u", "email_sha256",
             "phone-sha256", "mobile")  # fmt: skip
    bad = {"kind": "sale", "value": "x", "title": "seen", **dict.fromkeys(names, "4799887766planted")}
    await cookieless.post("/collect", {"k": PUBLIC, "events": [bad, {**bad, "event": "lead"}]})
    await cookieless.ask("GET", f"{PIXEL}&v=x&vid=planted&u=planted&visitor_id=planted&title=seen")
    await cookieless.tell(bad)
    *browsers, server = [refusal.body for refusal in await cookieless.refusals()]
    assert len(browsers) == 3
    assert all("seen" in body and "planted" not in body for body in browsers)
    assert "planted" in json.loads(server)["visitor_id"]
