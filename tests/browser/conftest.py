"""A real Chromium on real pages, which send to a real Clicktrail.

world    a service, a site of many hosts, a browser: one of each for a module's tests
visitor  one visitor's browser in that world: cookies and storage of its own, as Chromium keeps them
"""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from sqlalchemy import select

from app import db, tables
from app.model import KIND_NAMES
from tests import engines
from tests.browser.site import Site, serving
from tests.conftest import Clicktrail, impossible, wait_until

#: A browser that people use; Chromium without a window says of itself that it is a robot.
AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
)

FLAGS = """
--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync
""".split()

#: Playwright's own flags that would take from pages what these tests are about.
WITHOUT = ["--disable-back-forward-cache"]

_numbers = itertools.count(1)


@dataclass
class World:
    service: Clicktrail
    site: Site
    browser: Browser

    def tag(self, attributes: str = "data-debug", *, base: str = "/t", name: str = "c.js") -> str:
        """The line of the snippet; the tag's guards against localhost and automation are lifted."""
        key = self.service.keys["public"]
        return f'<script defer src="{base}/{name}" data-site="{key}" {attributes}></script>'

    def snippets(self, **query: str) -> dict[str, str]:
        """What the service shows for pasting."""
        with self.service.client("admin") as client:
            answer = client.get("/v1/snippet", params={"site": self.service.keys["public"]} | query)
        found: dict[str, str] = answer.json()
        return found

    def page(self, head: str, body: str = "", title: str = "A page") -> str:
        """Put a page on the site; returns its path, which nothing else has."""
        path = f"/page-{next(_numbers):03}"
        self.site.pages[path] = f"<!doctype html><title>{title}</title>{head}<body>{body}"
        return path

    def stored(self, path: str) -> list[dict[str, Any]]:
        """What the service has been told of the pages whose address has this in it, as it happened.

        A visit before what began it, in whatever order they came; without the clicks derived from landings.
        """
        found = []
        engine = db.connect(engines.url(self.service.data), pool=1)
        with db.reading(engine) as connection:
            goals = {goal.id: goal.slug for goal in connection.execute(select(tables.goals))}
            for table in (tables.events, tables.sightings):
                for row in connection.execute(select(table).order_by(table.c.id)).mappings():
                    details = json.loads(row["details"] or "{}")
                    if path in details.get("url", ""):
                        goal = goals.get(row.get("goal_id", 0), "")
                        found.append({**details, **row, "kind": KIND_NAMES[row["kind"]], "goal": goal})
        engine.dispose()
        return sorted(
            (event for event in found if event["kind"] != "click"),
            key=lambda event: (event["occurred_at"], event["kind"] != "visit"),
        )

    def stored_when(self, path: str, true: Callable[[list[dict[str, Any]]], object]) -> list[dict[str, Any]]:
        """The events of these pages, once this is so of them."""
        wait_until(lambda: true(self.stored(path)))
        return self.stored(path)

    def settle(self) -> None:
        """What was accepted before this is in the database after it."""
        with self.service.client("server") as client:
            answer = client.post("/v1/events?wait=stored", json={"kind": "open"})
        assert answer.json()["outcomes"] == ["stored"]

    def person(self, visitor: int) -> int:
        """Who the visitor with this number is, by what the service knows by now."""
        engine = db.connect(engines.url(self.service.data), pool=1)
        with db.reading(engine) as connection:
            p = tables.people.c
            rows = select(p.person).where(p.node == visitor).order_by(p.since.desc())
            found = connection.execute(rows).scalar()
        engine.dispose()
        return visitor if found is None else int(found)

    def kinds(self, path: str, *expected: str) -> list[dict[str, Any]]:
        """The events of these pages: those kinds in that order, and no others."""
        wait_until(lambda: len(self.stored(path)) >= len(expected))
        self.settle()
        found = self.stored(path)
        assert [event["kind"] for event in found] == list(expected)
        return found


@dataclass
class Visitor:
    """One browser profile, and what its pages were asked to send."""

    world: World
    context: BrowserContext
    page: Page
    said: list[str] = field(default_factory=list)  # to the console

    def open(self, path: str, host: str = "shop.localhost", **options: Any) -> Page:
        self.page.goto(self.world.site.at(path, host), **options)
        return self.page

    def hears(self, text: str) -> None:
        """Until the console has said it; the driver learns of that while it is asked something."""
        wait_until(lambda: self.page.evaluate("1") and any(text in line for line in self.said))

    def cookies(self) -> dict[str, Any]:
        return {cookie["name"]: cookie for cookie in self.context.cookies()}

    def storage(self) -> dict[str, str]:
        return dict(self.page.evaluate("({...localStorage})"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    chromium = shutil.which("chromium")
    if chromium is None:
        impossible("chromium is not installed")
    service = Clicktrail(tmp_path_factory.mktemp("browser") / "data")
    service.start(CLICKTRAIL_TRUSTED_PROXIES="127.0.0.1", CLICKTRAIL_TAG_NAME="stats.js")
    # The driver's event loop must not outlive these tests: others have loops of their own.
    with serving(service.url) as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, headless=True, args=FLAGS, ignore_default_args=WITHOUT
        )
        yield World(service, site, browser)
        browser.close()
    service.stop()
    engines.drop(service.data)


Make = Callable[..., Visitor]


@pytest.fixture
def visitors(world: World) -> Iterator[Make]:
    made: list[BrowserContext] = []

    def make(**options: Any) -> Visitor:
        made.append(world.browser.new_context(**{"user_agent": AGENT} | options))
        found = Visitor(world, made[-1], made[-1].new_page())
        found.page.on("console", lambda message: found.said.append(message.text))
        found.page.on("pageerror", lambda error: found.said.append(f"error: {error}"))
        return found

    yield make
    for context in made:
        context.close()


@pytest.fixture
def visitor(visitors: Make) -> Visitor:
    return visitors()
