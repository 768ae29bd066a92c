"""Loads the demo into a running service as its users would, by HTTP: management API, doors, metrics API.

Then shows what the metrics API answers. It opens no database and knows no table.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import httpx
from rich import box
from rich.console import Console
from rich.table import Table

from app.demo import world

BATCH = 1000  # events a request may carry
SETTLED_WITHIN = 120.0  # seconds
WIDE = 108  # characters that all columns need

#: The columns of the table: metric, heading, how its number is written.
COLUMNS = (
    ("impressions", "Impr.", "{:,.0f}"), ("clicks", "Clicks", "{:,.0f}"), ("leads", "Leads", "{:,.4g}"),
    ("sales", "Sales", "{:,.4g}"), ("cost", "Cost", "{:,.2f}"), ("cpm", "CPM", "{:,.2f}"),
    ("cpc", "CPC", "{:,.2f}"), ("cpl", "CPL", "{:,.2f}"), ("cpa", "CPA", "{:,.2f}"),
    ("click_to_lead_rate", "→ lead", "{:.1%}"), ("click_to_sale_rate", "→ sale", "{:.1%}"),
)  # fmt: skip

FIRST_EVENT = """\
A first event of your own (the server key; it is in the numbers within a second):

  curl {url}/v1/events -H 'Authorization: Bearer {key}' \\
    -d '{{"kind": "sale", "order_id": "first-1", "value": "49.90", "currency": "EUR", "campaign": "friends"}}'
"""


@dataclass(frozen=True)
class Doors:
    """The service as a client with all four keys sees it."""

    client: httpx.Client
    keys: Mapping[str, str]

    def send(self, scope: str, method: str, path: str, body: object = None) -> Any:
        """Send JSON, get JSON; a slug that is there already is fine. Any other refusal: RuntimeError."""
        headers = {"Authorization": f"Bearer {self.keys[scope]}"}
        answer = self.client.request(method, path, json=body, headers=headers)
        if answer.is_error and answer.status_code != httpx.codes.CONFLICT:
            raise RuntimeError(f"{method} {path} was answered {answer.status_code}: {answer.text[:500]}")
        return answer.json() if answer.content else None


def show(url: str, keys: Mapping[str, str], *, console: Console | None = None) -> None:
    """Load the demo with these keys (by scope), print its table, say how to send a first event."""
    console = console or Console()
    today = datetime.now(UTC).date()
    with httpx.Client(base_url=url, timeout=60) as client:
        doors = Doors(client, keys)
        console.print("\nLoading the demo: sixty days of a small outdoor shop ...")
        set_up(doors, today)
        started = time.monotonic()
        told = send_events(doors, today)
        passed = time.monotonic() - started
        console.print(f"{told.total():,} events went through /v1/events in {passed:.1f} s.\n")
        told["impression"] += send_live(doors)
        console.print(*tables(settled_report(doors, today, told=told), width=console.width))
    first = FIRST_EVENT.format(url=url, key=keys["server"])
    console.print(first, soft_wrap=True, highlight=False, markup=False)


def set_up(doors: Doors, today: date) -> None:
    """The shop's workspace, channels, partners, goals, campaigns with ads and deals, spend and rates."""
    settings = {"name": "Nordlys", "timezone": "Europe/Oslo", "reporting_currency": world.CURRENCY}
    doors.send("admin", "PATCH", "/v1/workspace", settings)
    for path, names in (("/v1/channels", world.CHANNELS), ("/v1/partners", world.PARTNERS)):
        for slug, name in names.items():
            doors.send("admin", "POST", path, {"slug": slug, "name": name})
    for goal in world.GOALS:
        doors.send("admin", "POST", "/v1/goals", goal)
    for campaign in world.CAMPAIGNS:
        _set_up_campaign(doors, campaign)
    doors.send("admin", "POST", "/v1/spend", {"rows": world.spend_rows(today)})
    doors.send("admin", "POST", "/v1/fx-rates", {"rows": world.rate_rows(today)})


def _set_up_campaign(doors: Doors, campaign: world.Campaign) -> None:
    landing = f"{world.SITE}/{campaign.country.lower()}/"
    about = {
        "slug": campaign.slug,
        "name": campaign.name,
        "channel": campaign.channel,
        "landing_url": landing,
    }
    doors.send("admin", "POST", "/v1/campaigns", about)
    for slug, name in campaign.ads.items():
        ad = {"slug": slug, "name": name, "landing_url": landing + slug}
        doors.send("admin", "POST", f"/v1/campaigns/{campaign.slug}/ads", ad)
    if campaign.deal:
        doors.send("admin", "POST", f"/v1/campaigns/{campaign.slug}/pricing", campaign.deal)


def send_events(doors: Doors, today: date) -> Counter[str]:
    """The sixty days, in the order they happened, a thousand events a request. Returns how many of a kind."""
    told = world.Teller(today, Random(1)).events()
    events = sorted(told, key=lambda event: str(event["occurred_at"]))
    for start in range(0, len(events), BATCH):
        answer = doors.send("server", "POST", "/v1/events", {"events": events[start : start + BATCH]})
        if answer["rejected"]:
            raise RuntimeError(f"the door refused {answer['rejected'][0]}")
    return Counter(
        str(event.get("status", "") if event["kind"] == "status" else event["kind"]) for event in events
    )


def send_live(doors: Doors) -> int:
    """What browsers do right now: some see an ad (pixel), a few follow it (redirect) and land (beacon).

    Returns how many saw one.
    """
    key = doors.keys["public"]
    views = world.CAMPAIGNS * 5
    for number, campaign in enumerate(views):
        ad = list(campaign.ads)[number % 2]
        about = {"k": key, "vid": f"demo-live-{number}", "id": f"demo-live-{number}"}
        browser = {"User-Agent": world.AGENTS[campaign.device]}
        pixel = {**about, "e": "impression", "c": campaign.slug, "a": ad}
        doors.client.get("/p.gif", params=pixel, headers=browser)
        if number % 5 == 0:
            gone = doors.client.get(f"/c/{campaign.slug}/{ad}", params={"k": key}, headers=browser)
            page = {"kind": "visit", "url": gone.headers["location"], "visitor_id": about["vid"]}
            doors.client.post("/collect", json={"k": key, "events": [page]}, headers=browser)
        doors.client.cookies.clear()  # the next one is somebody else
    return len(views)


def settled_report(doors: Doors, today: date, *, told: Mapping[str, int]) -> Any:
    """The report by campaign, once all that was told is in the numbers and they stand still."""
    query = {
        "metrics": [metric for metric, _, _ in COLUMNS],
        "dimensions": ["campaign"],
        "date_range": [str(today - timedelta(days=world.DAYS)), str(today + timedelta(days=1))],
        "order_by": ["-cost"],
    }
    wanted = (told["impression"], told["sale"] - told.get("rejected", 0))
    deadline = time.monotonic() + SETTLED_WITHIN
    report: Any = None
    while True:
        before, report = report, doors.send("read", "POST", "/v1/metrics/query", query)
        totals = report["totals"]
        if before and before["rows"] == report["rows"] and wanted == (totals["impressions"], totals["sales"]):
            return report
        if time.monotonic() > deadline:
            raise RuntimeError(f"the numbers say {totals}, and {dict(told)} was told: is the worker running?")
        time.sleep(0.1)


def tables(report: Mapping[str, Any], *, width: int) -> Iterator[Table]:
    """A report by campaign, as people read it: one table, or where the terminal is narrow two."""
    title = f"Sixty days by campaign, {report['meta']['currency']}, last touch"
    for columns in (COLUMNS,) if width >= WIDE else (COLUMNS[:5], COLUMNS[5:]):
        yield _table(report, title, columns)
        title = ""


def _table(report: Mapping[str, Any], title: str, columns: Sequence[tuple[str, str, str]]) -> Table:
    style: dict[str, Any] = {"box": box.SIMPLE_HEAD, "padding": (0, 0, 0, 1), "show_footer": True}
    shown = Table(title=title or None, title_justify="left", **style)
    shown.add_column("Campaign", "Total", no_wrap=True)
    for metric, heading, form in columns:
        shown.add_column(heading, _written(report["totals"][metric], form), justify="right", no_wrap=True)
    names = {campaign.slug: campaign.name for campaign in world.CAMPAIGNS}
    for row in report["rows"]:
        slug = row["campaign"]
        shown.add_row(names.get(slug, slug), *(_written(row[metric], form) for metric, _, form in columns))
    return shown


def _written(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)
