"""The demo is told the same way every time, goes through the real doors, and adds up."""

import io
import re
from collections import Counter
from collections.abc import Callable
from datetime import date
from random import Random

import pytest
from rich.console import Console

from app.demo import world
from app.demo.load import FIRST_EVENT, show
from tests.conftest import Clicktrail, wait_until

TODAY = date(2026, 11, 22)


def told(today: date = TODAY) -> list[world.Event]:
    return list(world.Teller(today, Random(1)).events())


def test_it_is_told_the_same_way_every_time() -> None:
    assert told() == told()


def test_every_event_has_an_id_of_its_own_and_lies_in_the_sixty_days_before_today() -> None:
    events = told()
    assert len({event["id"] for event in events}) == len(events)
    times = [str(event["occurred_at"]) for event in events]
    assert min(times) >= "2026-09-23T00:00:00Z" and max(times) < "2026-11-22T00:00:00Z"


def test_it_is_a_funnel_of_a_few_thousand_events() -> None:
    kinds = Counter(event["kind"] for event in told())
    assert (
        kinds["impression"]
        > kinds["click"]
        > kinds["visit"]
        > kinds["lead"]
        > kinds["sale"]
        > kinds["refund"]
        > 0
    )
    assert kinds["status"] > 0
    assert 5_000 < kinds.total() < 20_000


def test_a_refund_or_state_names_an_order_that_was_sold() -> None:
    events = told()
    sold = {event["order_id"] for event in events if event["kind"] == "sale"}
    assert {event["order_id"] for event in events if event["kind"] in ("refund", "status")} <= sold


def test_money_is_told_in_cents() -> None:
    amounts = [event["value"] for event in told() if "value" in event] + [
        row["amount"] for row in world.spend_rows(TODAY)
    ]
    assert amounts and all(re.fullmatch(r"\d+\.\d\d", str(amount)) for amount in amounts)


@pytest.mark.parametrize("letters", ["å", "ї", "ế", "ۀ|ه", "ş|ı"], ids=["no", "uk", "vi", "fa", "tr"])
def test_names_are_written_in_the_scripts_of_their_countries(letters: str) -> None:
    names = [campaign.name + "".join(campaign.ads.values()) for campaign in world.CAMPAIGNS]
    assert any(re.search(letters, name, re.I) for name in names + list(world.PARTNERS.values()))


def test_loaded_through_the_doors_its_table_is_what_was_told(fresh_clicktrail: Clicktrail) -> None:
    console = Console(file=io.StringIO(), width=140, color_system=None)
    show(fresh_clicktrail.url, fresh_clicktrail.keys, console=console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(campaign.name in said for campaign in world.CAMPAIGNS)
    assert FIRST_EVENT.format(url=fresh_clicktrail.url, key=fresh_clicktrail.keys["server"]) in said
    with fresh_clicktrail.client("read") as client:
        query = {"metrics": ["impressions", "sales", "leads"], "dimensions": ["country"], "date_range": "all"}
        report = client.post("/v1/metrics/query", json=query).json()
    assert {"NO", "UA", "VN", "IR", "TR", "GB"} <= {row["country"] for row in report["rows"]}
    assert "error" not in fresh_clicktrail.log()


def test_a_first_start_with_demo_shows_it_and_a_second_does_not(
    start_clicktrail: Callable[..., Clicktrail],
) -> None:
    running = start_clicktrail("--demo")
    assert running.process is not None and running.process.stdout is not None
    lines: list[str] = []
    for line in running.process.stdout:
        lines.append(line)
        if "-d '" in line:
            break
    assert any("Осінні" in line for line in lines)
    running.stop()
    running.start("--demo")
    assert "shown this once" not in "".join(running.said)
    with running.client("read") as client:  # the keys of the first start are still good
        answer = client.get("/v1/metrics?metrics=sales&date_range=90d")
        wait_until(lambda: answer.json()["totals"]["sales"] > 50)
