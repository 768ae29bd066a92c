"""Counts of who sends: each event once, whatever the order; made-up hosts do not grow them without end."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec import structs

from app import tables
from app.model import DAY, HOUR, SOURCES, Event
from app.pipeline import sources
from tests import engines
from tests.house import NOON, House, event

SITE, KEY, PARTNER = SOURCES["site"], SOURCES["key"], SOURCES["partner"]
TODAY = NOON // DAY


def arrived(kind: str, received_at: int = NOON, **fields: Any) -> Event:
    return structs.replace(event(kind, NOON, **fields), received_at=received_at)


def view(url: str, received_at: int = NOON, **fields: Any) -> Event:
    return arrived("pageview", received_at, door="beacon", url=url, **fields)


def cells(house: House, table: Any = tables.source_hours) -> dict[tuple[Any, ...], int]:
    return {tuple(row[:-1]): row[-1] for row in house.rows(table)}


@pytest.mark.parametrize(
    "url, host",
    [
        ("https://shop.example/a?b#c", "shop.example"),
        ("https://Shop.Example.:8443", "shop.example"),
        ("http://[2001:DB8::1]:80/", "[2001:db8::1]"),
        ("https://sjøen.example/", "sjøen.example"),
        ("https://user@shop.example/", "shop.example"),
        ("android-app://com.example", ""),
        ("", ""),
        ("https://", ""),
        ("shop.example", ""),
    ],
)
def test_a_site_is_the_host_of_the_page(url: str, host: str) -> None:
    assert sources.source_of(view(url), 0, 0) == (SITE, host)


def test_servers_go_by_their_key_and_postbacks_by_their_partner(house: House) -> None:
    partner = house.add(tables.partners, slug="acme", name="ACME")
    house.send(
        arrived("sale", key=7, order_id="1", value=1, currency="EUR"),
        arrived("refund", key=7, order_id="1"),
        arrived("sale", door="postback", partner="acme", order_id="2", value=1, currency="EUR"),
        arrived("click", door="redirect", campaign="spring"),
        arrived("sale", door="import", order_id="3", value=1, currency="EUR"),
    )
    hour = NOON // HOUR
    assert cells(house) == {(1, KEY, "7", hour): 2, (1, PARTNER, str(partner), hour): 1}


def test_tests_and_robots_are_no_sign_of_life(house: House) -> None:
    house.send(view("https://a.example/", test=True), view("https://a.example/", user_agent="curl/8"))
    assert cells(house) == cells(house, tables.source_days) == {}
    house.send(view("https://a.example/", user_agent="Mozilla/5.0 Firefox/140.0"))
    assert len(cells(house)) == 1


moments = st.integers(0, 60).map(lambda n: NOON - n * 5 * HOUR)
told = st.lists(
    st.tuples(
        st.sampled_from(
            [
                ("pageview", SITE, "a.example", {"door": "beacon", "url": "https://a.example/x"}),
                ("impression", SITE, "a.example", {"door": "pixel", "url": "http://A.example"}),
                ("pageview", SITE, "b.example", {"door": "beacon", "url": "https://b.example/"}),
                ("open", SITE, "", {"door": "pixel"}),
                ("lead", KEY, "1", {"key": 1}),
                ("lead", KEY, "2", {"key": 2}),
                ("lead", PARTNER, "acme", {"door": "postback", "partner": "acme"}),
                ("lead", PARTNER, "ådne", {"door": "postback", "partner": "ådne"}),
            ]
        ),
        moments,
    ),
    min_size=1,
    max_size=25,
)


def named(house: House) -> dict[tuple[Any, ...], int]:
    """The cells by hour, partners by their slug: their ids follow the order of arrival."""
    slugs = {str(row.id): row.slug for row in house.rows(tables.partners)}
    return {
        (kind, slugs[name] if kind == PARTNER else name, hour): count
        for (_, kind, name, hour), count in cells(house).items()
    }


@settings(
    deadline=None,
    max_examples=engines.examples(25),
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(told, st.data())
def test_order_batches_and_repeats_change_nothing_and_a_recount_agrees(
    story: list[tuple[tuple[str, int, str, dict[str, Any]], int]], data: st.DataObject
) -> None:
    events = [arrived(kind, at, id=f"e{n}", **said) for n, ((kind, _, _, said), at) in enumerate(story)]
    recount = Counter((kind, name, at // HOUR) for (_, kind, name, _), at in story)
    again = data.draw(st.lists(st.sampled_from(events), max_size=4))
    shuffled = [*data.draw(st.permutations(events)), *again]
    cut = data.draw(st.integers(1, len(shuffled)))
    house = House.passing()
    for at in range(0, len(shuffled), cut):
        house.send(*shuffled[at : at + cut])
    assert named(house) == recount
    days: Counter[tuple[Any, ...]] = Counter()
    for (workspace, kind, name, hour), count in cells(house).items():
        days[workspace, kind, name, hour // 24] += count
    assert cells(house, tables.source_days) == days


def test_made_up_hosts_count_under_one_name_once_a_day_has_seen_enough(house: House) -> None:
    house.send(view("https://real.example/"))
    house.send(*(view(f"https://made-up-{n}.example/") for n in range(300)))
    house.send(*(view(f"https://more-{n}.example/") for n in range(300)), view("https://real.example/"))
    found = {name: count for (_, _, name, _), count in cells(house, tables.source_days).items()}
    assert len(found) == sources.MOST_NEW + 1
    assert found["real.example"] == 2
    assert found[sources.OTHERS] == 600 - (sources.MOST_NEW - 1)
    assert sum(found.values()) == sum(cells(house).values()) == 602


def test_a_site_that_is_known_keeps_its_name_on_the_day_of_a_flood(house: House) -> None:
    for day in range(sources.ESTABLISHED):
        house.send(view("https://real.example/", NOON - (day + 1) * DAY))
        house.send(view("https://young.example/", NOON - DAY))
    house.send(*(view(f"https://made-up-{n}.example/") for n in range(500)))
    house.send(view("https://real.example/"), view("https://young.example/"))
    today = {name for (_, _, name, day) in cells(house, tables.source_days) if day == TODAY}
    assert "real.example" in today and "young.example" not in today
