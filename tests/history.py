"""A past for a database: so many events, with their sales and refunds, spend and deals, over ninety days.

Everything goes through the pipeline and the leader, so that every table holds what a service would have put
there. The same count makes the same past. For tests of moving and keeping, and for their benchmark.
"""

import random
from collections.abc import Iterator
from typing import Any

from sqlalchemy import event as hooks

from app import db, tables
from app.migrate import migrate
from app.model import DAY, HOUR, SECOND, Event
from tests.house import NOON, House, event

CAMPAIGNS, ADS, PARTNERS, DAYS = 50, 5, 20, 90
BATCH = 4_000

#: A visitor's story. Of ten, nine end before the lead, and one in three that go on comes back.
STORY: tuple[tuple[str, int], ...] = (
    ("impression", 0), ("impression", 7 * HOUR), ("click", DAY), ("visit", DAY + 60 * SECOND),
    ("pageview", DAY + 90 * SECOND), ("lead", DAY + HOUR), ("sale", 2 * DAY), ("refund", 4 * DAY),
)  # fmt: skip
ENDS = (1, 2, 2, 2, 2, 4, 4, 5, 5, 7, 2, 2, 2, 4, 5, 5, 2, 2, 1, 8)


def house_on(url: str) -> House:
    """A migrated database with a workspace; fast, not durable: this data can be made again."""
    migrate(url)
    engine = db.connect(url)
    if engine.dialect.name == "sqlite":
        hooks.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF").close())
    return House.on(engine)


def fill(url: str, count: int) -> House:
    """At least `count` events and reports of results; settled."""
    return live(house_on(url), count)


def live(house: House, count: int) -> House:
    """The same in a database that has its workspace."""
    configure(house)
    batch: list[Event] = []
    for one in happenings(count):
        batch.append(one)
        if len(batch) == BATCH:
            _put(house, batch)
            batch = []
    _put(house, batch)
    house.settle()
    return house


def _put(house: House, batch: list[Event]) -> None:
    house.send(*batch)
    house.sent.clear()  # a million of them would be kept for nothing


def configure(house: House) -> None:
    """Campaigns, what they cost by deal, and what the platforms say they cost."""
    with db.begin(house.engine) as connection:
        deal = {"workspace": 1, "side": "cost", "currency": "EUR"}
        connection.execute(tables.deals.insert().values(model="cpc", rate=250_000, **deal))
        today = NOON // DAY
        rows: list[dict[str, Any]] = [
            {
                "workspace": 1, "day": today - day, "source": "google", "account": "a", "campaign_id": 0,
                "ad_id": 0, "amount": 1_234_567 * (day + 1), "currency": ("EUR", "USD")[day % 2],
                "timezone": "UTC", "updated_at": NOON,
            }
            for day in range(DAYS)
        ]  # fmt: skip
        connection.execute(tables.spend.insert(), rows)
        rates = [
            {"workspace": 1, "currency": "USD", "day": today - day, "base": "EUR", "rate": "0.8937"}
            for day in range(DAYS + 7)
        ]
        connection.execute(tables.fx_rates.insert(), rates)
    for n in range(CAMPAIGNS):
        house.campaign(f"c{n}")


def happenings(count: int) -> Iterator[Event]:
    """Stories in the order in which they begin, until there are `count` events."""
    chance = random.Random(20261122)
    made = story = 0
    while made < count:
        story += 1
        start = NOON - DAYS * DAY + made * ((DAYS - 5) * DAY // count)
        for event_ in _story(story, start, ENDS[story % len(ENDS)], chance):
            made += 1
            yield event_


def _story(number: int, start: int, ends: int, chance: random.Random) -> Iterator[Event]:
    campaign = chance.randrange(CAMPAIGNS)
    where = {
        "visitor_id": f"visitor-{number}",
        "campaign": f"c{campaign}",
        "ad": f"a{chance.randrange(ADS)}",
        "partner": f"p{campaign % PARTNERS}",
        "country": chance.choice(("NO", "DE", "US", "IR", "UA")),
    }
    for kind, after in STORY[:ends]:
        told: dict[str, Any] = dict(where)
        if kind == "sale":
            told |= {"order_id": f"order-{number}", "user_id": f"user-{number // 2}"}
            told |= {"value": chance.randrange(10**6, 10**9), "currency": "EUR"}
        elif kind == "refund":
            told = {"order_id": f"order-{number}", "value": 500_000, "currency": "EUR"}
        elif kind == "visit":
            told |= {"url": f"https://shop.example/?p={number % 1000}"}
        yield event(kind, at=start + after, id=f"{number}-{kind}-{after}", **told)
