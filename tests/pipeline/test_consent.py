"""Consent once more, whatever the door knew: nothing of a visitor who denied it reaches any table."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from app import db, tables
from app.consent import DAILY
from app.model import KINDS, Event
from app.workspaces import add_key, digest
from tests.house import NOON, House, event

KEY = "ct_pub_fresh"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/130.0 planted-agent"

#: What tells of a visitor, each findable by itself.
PLANTED = {
    "visitor_id": "planted-visitor", "cookie_id": "planted-cookie", "user_id": "planted-user",
    "email": {"meta": "planted-email"}, "phone": {"meta": "planted-phone"}, "click_id": "planted-click",
    "click_ids": {"gclid": "planted-gclid"}, "title": "planted-title", "subs": {"sub1": "planted-sub"},
    "segment": {"age": "planted-age"}, "properties": {"x": "planted-property"}, "user_agent": CHROME,
    "ip": "198.51.100.0", "url": "https://shop.example/a?x=planted-query",
    "referrer": "https://mail.example/?x=planted-referrer",
}  # fmt: skip
NEEDLES = "visitor cookie user email phone click gclid title sub age property agent query referrer".split()

#: One of each way that an event goes, with an id, as beacons send them.
JOURNEY: tuple[dict[str, object], ...] = (
    {"kind": "click", "id": "c", "campaign": "spring"},
    {"kind": "visit", "id": "v", "utm": {"campaign": "spring"}, "engaged": False},
    {"kind": "engagement", "id": "v.e", "visit_id": "v"},
    {"kind": "pageview", "id": "p"},
    {"kind": "lead", "id": "l", "lead_id": "lead"},
    {"kind": "sale", "id": "s", "order_id": "o", "value": 5_000_000, "currency": "EUR"},
    {"kind": "sale", "id": "s", "order_id": "o", "value": 6_000_000, "currency": "EUR"},  # id_conflict
    {"kind": "status", "id": "a", "order_id": "o", "status": "approved"},
    {"kind": "refund", "id": "r"},  # aimless: refused by a step
)


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., House]:
    """A house with these settings whose doors have not heard of its key."""

    def made(settings: str) -> House:
        house = House.build(tmp_path, settings=settings)
        with db.begin(house.engine) as connection:
            add_key(connection, 1, "public", name="", now=NOON, key=KEY)
        return house

    return made


def stale(**fields: object) -> Event:
    """As a door hands it over that does not know the key."""
    return event(door="beacon", workspace=0, key_digest=digest(KEY), **fields)  # type: ignore[arg-type]


def rows(house: House) -> Iterator[tuple[str, str]]:
    """Every row of every table as text: whole, as rows themselves do not show themselves."""
    with db.reading(house.engine) as connection:
        for table in tables.metadata.sorted_tables:
            found: Sequence[Any] = connection.execute(select(table)).all()
            yield from ((table.name, repr(tuple(row))) for row in found)


def found(house: House) -> set[str]:
    return {word for word in NEEDLES for _, row in rows(house) if f"planted-{word}" in row} | {
        "address" for _, row in rows(house) if "198.51.100" in row
    }


DENIALS = [
    ('{"consent_default": "denied"}', {}, "default"),
    ("{}", {"measure": False, "source": "tcf", "raw": "planted-query"}, "tcf"),
    ('{"dnt": "deny"}', {"dnt": True}, "dnt"),
    ('{"dnt": "deny"}', {"measure": True, "ads": True, "source": "tag", "dnt": True}, "dnt"),
]


@pytest.mark.parametrize("settings, said, source", DENIALS)
def test_nothing_of_a_visitor_who_denied_reaches_any_table(
    build: Callable[..., House], settings: str, said: dict[str, object], source: str
) -> None:
    house = build(settings)
    house.send(*(stale(consent=said, **PLANTED, **told) for told in JOURNEY))
    house.settle()
    assert found(house) == set()
    stored = house.rows(tables.events)
    kinds = sorted(row.kind for row in stored if row.kind != KINDS["click"])
    assert kinds == sorted(KINDS[kind] for kind in ("visit", "engagement", "pageview"))
    assert {row.visitor for row in stored} == {0}
    assert house.rows(tables.edges) == []
    assert all(f'"source":"{source}"' in row.details for row in stored)
    assert {row.consent_denied for row in house.rows(tables.sightings)} == {1}
    assert sorted(row.code for row in house.rows(tables.rejected)) == ["id_conflict", "order_id_missing"]


def test_the_same_search_finds_all_of_a_visitor_who_did_not(build: Callable[..., House]) -> None:
    """Or it would prove nothing."""
    house = build('{"consent_default": "denied"}')
    house.send(*(stale(consent={"measure": True}, **PLANTED, **told) for told in JOURNEY))
    house.settle()
    assert found(house) == {*NEEDLES, "address"}


@pytest.mark.parametrize("door", ["pixel", "redirect", "beacon", "api", "postback", "import"])
def test_a_door_that_forgot_to_ask_is_made_up_for(build: Callable[..., House], door: str) -> None:
    """A door of another version, or one that is written tomorrow."""
    house = build('{"consent_default": "denied"}')
    house.send(event("visit", door=door, **PLANTED))
    assert found(house) == set()


def test_what_is_nobodys_is_kept_without_anybody(build: Callable[..., House]) -> None:
    """A key that never was, a workspace that is gone: nobody can say that there was consent."""
    house = build("{}")
    house.send(
        event("visit", door="beacon", workspace=0, key_digest=digest("ct_pub_made_up"), **PLANTED),
        event("visit", door="beacon", workspace=9, **PLANTED),
    )
    assert sorted(row.code for row in house.rows(tables.rejected)) == ["key_unknown", "workspace_unknown"]
    assert found(house) == set()


@pytest.mark.parametrize("fields", [{"consent": {"measure": False}}, {"key_digest": digest(KEY)}])
def test_a_record_that_cannot_be_stored_is_put_aside_without_its_visitor(
    build: Callable[..., House], fields: dict[str, object]
) -> None:
    """It may have failed before any step looked at it."""
    house = build("{}")
    house.send(event("visit", at=2**63 + 5, **PLANTED, **fields))
    assert house.one(tables.rejected).code == "poison"
    assert found(house) == set()


def test_a_replay_is_judged_by_what_the_workspace_says_by_then(build: Callable[..., House]) -> None:
    house = build("{}")
    house.send(event("visit", id="a", campaign="spring"))
    house.send(event("visit", id="a", campaign="autumn", **PLANTED))
    with db.begin(house.engine) as connection:
        connection.execute(update(tables.workspaces).values(settings='{"consent_default": "denied"}'))
        connection.execute(update(tables.config).values(version=tables.config.c.version + 1))
        connection.execute(tables.seen.delete())
        connection.execute(update(tables.rejected).values(replayed_at=-1))
    house.pipeline.replay()
    (replayed,) = (row for row in house.rows(tables.events) if row.details and "source" in row.details)
    assert "planted" not in repr(replayed) and replayed.visitor == 0


def test_the_country_and_the_device_stay(build: Callable[..., House]) -> None:
    house = build('{"consent_default": "denied"}')
    house.pipeline.country_of = {"198.51.100.0": "NO"}.get  # type: ignore[assignment]
    house.send(stale(kind="visit", **PLANTED), event("visit", consent={"measure": True}, **PLANTED))
    denied, granted = sorted(house.rows(tables.events), key=lambda row: row.visitor)[:2]
    assert (denied.country, denied.device) == (granted.country, granted.device) != (0, 0)


def test_a_retry_is_a_repeat_whether_its_door_knew_the_workspace_or_not(build: Callable[..., House]) -> None:
    house = build('{"consent_default": "denied"}')
    judged = event(
        "visit", id="a", door="beacon", consent={"measure": False, "ads": False, "source": "default"}
    )
    house.send(judged, stale(kind="visit", id="a", **PLANTED))
    assert [row.outcome for row in house.rows(tables.outcomes)] == ["duplicate"]


# --- Visitors of a day -----------------------------------------------------------------------------------


def test_an_identifier_of_a_day_joins_nobody_and_attributes_that_day(build: Callable[..., House]) -> None:
    house = build('{"visitors": "daily"}')
    house.campaign("spring", landing_url="https://shop.example/")
    named = {"visitor_id": "v", "user_id": "u", "email": {"meta": "e"}, "phone": {"meta": "p"}}
    today = DAILY + "0" * 32
    for fields in ({"kind": "click", "campaign": "spring"}, {"kind": "visit"}):
        house.send(event(door="pixel", cookie_id=today, **named, **fields))  # type: ignore[arg-type]
    house.send(
        event(
            "sale", NOON + 60_000_000, door="pixel", cookie_id=today, order_id="o", value=5_000_000,
            currency="EUR", **named,
        )
    )  # fmt: skip
    house.settle()
    assert house.rows(tables.edges) == house.rows(tables.people) == []
    assert {(row.visitor_id, row.user_id) for row in house.rows(tables.events)} == {(today, "")}
    credited = [row for row in house.rows(tables.credits) if row.campaign_id]
    assert credited != []


def test_nobody_else_can_say_who_a_visitor_of_a_day_was(build: Callable[..., House]) -> None:
    """An export shows such identifiers; told again beside a lasting one they would be joined for ever."""
    house = build('{"visitors": "daily"}')
    house.send(event("visit", visitor_id=DAILY + "0" * 32, user_id="u"))
    assert house.rows(tables.edges) == []
    assert house.one(tables.events).visitor_id == "u"


@pytest.mark.parametrize(
    "door, kept", [("pixel", ""), ("redirect", ""), ("beacon", ""), ("api", "v"), ("postback", "v")]
)
def test_what_a_door_took_for_a_lasting_visitor_is_nobody(
    build: Callable[..., House], door: str, kept: str
) -> None:
    """Of a workspace whose doors did not know yet that its visitors last a day; servers' words stay."""
    house = build('{"visitors": "daily"}')
    house.send(
        event("visit", door=door, cookie_id="c" * 41 if kept == "" else "", visitor_id="v", user_id="u")
    )
    row = house.one(tables.events)
    assert (row.visitor_id, row.user_id) == (kept, "u" if kept else "")
