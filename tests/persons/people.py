"""A house whose people do all that can be done, and the worker's part in erasing one of them."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from app import db
from app.inbox.sweep import Sweep
from app.model import DAY, HOUR, Event, Record
from app.persons import requests, tasks
from app.persons.finding import asked
from app.persons.tasks import Eraser
from app.pipeline import recount
from tests.house import NOON, House, event


def eraser(house: House, folder: Path) -> Eraser:
    """This house's worker; its inbox is an empty folder."""
    numbers = itertools.count(2**60)
    folder.mkdir(exist_ok=True)
    return Eraser(
        house.engine, Sweep(folder), b"worker a", lambda: NOON, recount.rebuild, lambda: next(numbers)
    )


def request(house: House, name: str, value: str, *, store: str = "") -> int:
    with db.begin(house.engine) as connection:
        return requests.record(connection, 1, asked(connection, 1, name, value, store=store), now=NOON)


def erase(house: House, folder: Path, name: str, value: str, *, store: str = "") -> dict[str, object]:
    """Ask for it, and let the worker do all there is to do; what the request says in the end."""
    id_ = request(house, name, value, store=store)
    by = eraser(house, folder)
    for _ in range(4):
        tasks.carry_on(by)
    house.settle()
    with db.reading(house.engine) as connection:
        return requests.shown(requests.read(connection, 1, id_))


def life(who: str, at: int = NOON) -> Iterator[Event]:
    """What one person does on two devices: seen, clicks, visits, signs up, buys twice, returns one."""
    phone, desk, user = f"phone-of-{who}", f"desk-of-{who}", f"user-of-{who}"
    mail = {"meta": f"{who:0>64}", "google": f"{who:1>64}"}
    told = {
        "url": f"https://shop.example/?who={phone}", "ip": "198.51.100.0", "user_agent": f"Mozilla {who}",
        "properties": {"name": f"name-of-{who}"},
    }  # fmt: skip
    yield event("impression", at - 2 * DAY, id=f"i-{who}", visitor_id=phone, campaign="spring", **told)
    yield event("click", at - DAY, id=f"c-{who}", visitor_id=phone, campaign="spring", ad="red",
                door="redirect", click_id=f"click-id-of-{who}", country="NO", **told)  # fmt: skip
    yield event("visit", at - DAY + 1, id=f"v-{who}", visitor_id=phone,
                click_ids={"gclid": f"gclid-of-{who}"},
                utm={"campaign": "spring", "source": "google"}, engaged=False, **told)  # fmt: skip
    yield event("lead", at - 3 * HOUR, id=f"l-{who}", visitor_id=phone, user_id=user, email=mail,
                lead_id=f"lead-of-{who}", **told)  # fmt: skip
    yield event(
        "visit", at - 2 * HOUR, id=f"w-{who}", visitor_id=desk, user_id=user, campaign="autumn", **told
    )
    yield event("sale", at - HOUR, id=f"s-{who}", visitor_id=desk, order_id=f"order-of-{who}", store="no",
                value=120_000_000, currency="EUR", **told)  # fmt: skip
    yield event(
        "sale", at - HOUR // 2, id=f"t-{who}", visitor_id=desk, value=7_000_000, currency="EUR", **told
    )
    yield event("sale", at - HOUR // 2 + 1, id=f"u-{who}", visitor_id=desk, value=7_000_000, currency="EUR")
    yield event("refund", at, id=f"r-{who}", order_id=f"order-of-{who}", store="no", value=20_000_000,
                currency="EUR")  # fmt: skip


def marks(who: str) -> list[str]:
    """The texts by which somebody's life would be recognised."""
    return [
        f"phone-of-{who}", f"desk-of-{who}", f"user-of-{who}", f"{who:0>64}", f"{who:1>64}", f"name-of-{who}",
        f"click-id-of-{who}", f"gclid-of-{who}", f"lead-of-{who}", f"order-of-{who}", f"Mozilla {who}",
        *(f"{letter}-{who}" for letter in "icvlwstur"),
    ]  # fmt: skip


def lives(*people: str) -> list[Record]:
    return [one for i, who in enumerate(people) for one in life(who, NOON + i * HOUR)]
