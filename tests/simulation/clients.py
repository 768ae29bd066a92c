"""The people of a simulation: visitors and their shop's backend, each step of a story at a moment of its own.

A refund may be told before its sale, a sale before the click that led to it. Whoever gets no answer asks
again with the same ids until one comes; only the redirect, which mints its ids, is asked once.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import parse_qs, urlsplit

from app.model import DAY, HOUR, SECOND
from tests.faults.ledger import Entry, Ledger
from tests.simulation.loop import World
from tests.simulation.network import Answer, Network, Request

WINDOW = 4.0  # seconds in which all of it happens
#: How far a visitor's clock is off, and in which unit it tells the time.
CLOCKS = (0, 0, 0, 40 * SECOND, -90 * SECOND, HOUR, -DAY, 3650 * DAY, -3650 * DAY)
UNITS = (1, 1000, SECOND)
AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/126.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148 Safari/604.1",
    "Googlebot/2.1 (+http://www.google.com/bot.html)",
)

Step = Callable[[], Coroutine[Any, Any, None]]


class Story:
    """One visitor, from the first advertisement to the refund."""

    def __init__(self, crowd: "Crowd", number: int) -> None:
        chance = crowd.world.chance
        self.crowd, self.number, self.world = crowd, number, crowd.world
        self.name = f"v{number}"
        self.campaign = chance.choice(("spring", "autumn", "nobody-knows"))
        self.skew = chance.choice(CLOCKS)
        self.unit = chance.choice(UNITS)
        self.agent = chance.choice(AGENTS)
        self.began = crowd.world.now - chance.randrange(4, 25) * DAY  # before any clock here
        self.value = chance.randrange(1, 10**9)
        self.currency = chance.choice(("EUR", "EUR", "USD"))
        self.order = f"o{number}"
        self.user = f"u{number // 2}"
        self.click_id = ""

    def steps(self) -> list[Step]:
        found: list[Step] = [self.impression, self.visit, self.sale, self.thanks]
        more = (self.click, self.lead, self.refund, self.status, self.impression, self.postback)
        found += [step for step in more if self.world.chance.random() < 0.7]
        self.world.chance.shuffle(found)
        return found

    # --- What a browser does --------------------------------------------------------------------------

    def told(self, at: int) -> float | int:
        """An instant as the visitor's clock and unit say it."""
        shown = (at + self.skew) // self.unit
        return shown / 1 if self.unit == SECOND and shown % 2 else shown

    async def impression(self) -> None:
        entry = self.crowd.entry(f"{self.name}-i{self.world.steps}", "impression", "pixel", self.began)
        said = {"k": self.crowd.keys["public"], "e": "impression", "c": self.campaign, "vid": self.name}
        said |= {"id": entry.id, "t": str(self.told(self.began))}
        await self.crowd.until_heard(
            [entry], lambda: Request("GET", "/p.gif", said, {"user-agent": self.agent}), pixel_verdict
        )

    async def click(self) -> None:
        entry = self.crowd.entry(f"{self.name}-c{self.world.steps}", "click", "redirect", 0)
        request = Request(
            "GET", f"/c/{'spring' if self.campaign == 'nobody-knows' else self.campaign}",
            {"sub1": entry.id}, {"user-agent": self.agent}, repeatable=False,
        )  # fmt: skip
        answer = await self.crowd.network.ask(self.name, request)
        if answer is None:
            return
        if answer.headers.get(b"x-clicktrail") == b"accepted":
            self.crowd.ledger.settle(entry, "accepted")
        elif answer.status == 404:
            self.crowd.ledger.settle(entry, "refused")
        location = answer.headers.get(b"location", b"").decode()
        self.click_id = parse_qs(urlsplit(location).query).get("ct_click", [""])[0]

    async def visit(self) -> None:
        at = self.began + HOUR
        visit = self.crowd.entry(f"{self.name}-visit", "visit", "beacon", at)
        view = self.crowd.entry(f"{self.name}-view", "pageview", "beacon", at + 60 * SECOND)
        link = self.world.chance.choice(
            (f"?ct_click={self.click_id}", f"?utm_campaign={self.campaign}&utm_source=x&utm_medium=cpc",
             f"?gclid=G{self.number % 3}", "")
        )  # fmt: skip
        url = "https://shop.example/" + link
        await self.beacon([(visit, {"kind": "visit", "url": url}), (view, {"kind": "pageview", "url": url})])

    async def lead(self) -> None:
        entry = self.crowd.entry(f"{self.name}-lead", "lead", "beacon", self.began + 2 * HOUR)
        await self.beacon([(entry, {"kind": "lead", "user_id": self.user})])

    async def thanks(self) -> None:
        """The thank-you page tells the same sale; the server's word is what counts."""
        entry = self.crowd.entry(f"{self.name}-thanks", "thanks", "beacon", self.began + DAY)
        entry.micros = self.value + 17
        await self.beacon([(entry, {"kind": "sale", "user_id": self.user, **self.money(entry.micros)})])

    async def beacon(self, told: list[tuple[Entry, dict[str, Any]]]) -> None:
        def request() -> Request:
            events = [
                {"id": entry.id, "occurred_at": self.told(self.crowd.occurred[entry.id]), **said}
                for entry, said in told
            ]
            context = {"visitor_id": self.name, "sent_at": self.told(self.world.now)}
            body = {"k": self.crowd.keys["public"], "context": context, "events": events}
            agent = {"user-agent": self.agent}
            return Request("POST", "/collect", {}, agent, json.dumps(body).encode())

        await self.crowd.until_heard([entry for entry, _ in told], request, json_verdict)

    # --- What the shop's backend and its partners do ----------------------------------------------------

    def money(self, micros: int) -> dict[str, str]:
        return {
            "order_id": self.order, "value": f"{micros // 10**6}.{micros % 10**6:06}",
            "currency": self.currency,
        }  # fmt: skip

    async def sale(self) -> None:
        entry = self.crowd.entry(f"{self.name}-sale", "sale", "api", self.began + DAY, order=self.order)
        entry.micros = self.value
        said = {"kind": "sale", "user_id": self.user, "click_id": self.click_id, **self.money(self.value)}
        await self.api(entry, said)

    async def refund(self) -> None:
        at = self.began + DAY + HOUR
        entry = self.crowd.entry(f"{self.name}-refund", "refund", "api", at, order=self.order)
        entry.micros = self.world.chance.randrange(1, self.value + 1)
        await self.api(entry, {"kind": "refund", **self.money(entry.micros)})

    async def status(self) -> None:
        at = self.began + DAY + 2 * HOUR
        entry = self.crowd.entry(f"{self.name}-status", "status", "api", at)
        word = self.world.chance.choice(("approved", "rejected"))
        await self.api(entry, {"kind": "status", "order_id": self.order, "status": word})

    async def api(self, entry: Entry, said: dict[str, Any]) -> None:
        at = self.crowd.occurred[entry.id] // self.unit
        body = json.dumps({"events": [{"id": entry.id, "occurred_at": at, **said}]}).encode()
        key = {"authorization": f"Bearer {self.crowd.keys['server']}"}
        await self.crowd.until_heard(
            [entry], lambda: Request("POST", "/v1/events", {}, key, body), json_verdict
        )

    async def postback(self) -> None:
        entry = self.crowd.entry(f"{self.name}-partner", "partner", "postback", 0)
        entry.micros = self.value + 29
        said = {"key": self.crowd.keys["server"], "event_id": entry.id, "payout": "1.25"}
        money = self.money(entry.micros)
        said |= {"txid": money["order_id"], "value": money["value"], "currency": money["currency"]}
        if self.click_id:
            said["click_id"] = self.click_id
        await self.crowd.until_heard([entry], lambda: Request("GET", "/postback", said, {}), json_verdict)


class Crowd:
    """All stories, and what their people wrote down."""

    def __init__(self, world: World, network: Network, keys: dict[str, str], visitors: int) -> None:
        self.world, self.network, self.keys = world, network, keys
        self.ledger = Ledger()
        self.occurred: dict[str, int] = {}  # true instants, 0: now
        self.heard_after: dict[str, int] = {}  # when the first answer came, true time
        self.waiting = 0
        self.stories = [Story(self, number) for number in range(visitors)]

    def entry(self, id_: str, kind: str, door: str, at: int, order: str = "") -> Entry:
        made = Entry(id_, kind, door, self.world.loop.time(), order=order)
        self.ledger.open(made)
        self.occurred[id_] = at
        return made

    def start(self) -> None:
        for story in self.stories:
            for step in story.steps():
                self.waiting += 1
                self.world.loop.create_task(self._later(step))

    async def _later(self, step: Step) -> None:
        await self.world.sleep(0, WINDOW)
        await step()
        self.waiting -= 1

    async def until_heard(
        self, entries: list[Entry], request: Callable[[], Request], verdict: Callable[[Answer], str]
    ) -> None:
        """Ask until an answer says what became of it."""
        while True:
            answer = await self.network.ask(entries[0].id, request())
            said = "" if answer is None else verdict(answer)
            for entry in entries:
                if said:
                    self.ledger.settle(entry, "accepted" if said == "accepted" else "refused")
            if said:
                return
            await self.world.sleep(0.1, 1.0)


def pixel_verdict(answer: Answer) -> str:
    said = answer.headers[b"x-clicktrail"].decode()
    return "" if said == "unavailable" else said


def json_verdict(answer: Answer) -> str:
    if answer.status >= 500:
        return ""
    return "accepted" if answer.status in (200, 202) else answer.body.decode()
