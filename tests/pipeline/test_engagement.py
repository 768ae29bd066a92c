"""Bounced or engaged in: what a visit and its engagement say, whichever comes first and however late."""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from app import db, tables
from app.metrics import formats, query, run
from app.metrics.catalogue import DIMENSIONS
from app.model import DAY, HOUR, Event
from app.pipeline.recount import ROLLUPS, counted, rebuild
from tests import engines
from tests.house import NOON, House, event

#: Without shrinking: each example builds two databases.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
ZONE = "Asia/Tehran"


def visit(id_: str, at: int = NOON, **fields: object) -> Event:
    return event("visit", at, id=id_, **{"engaged": False, **fields})


def engagement(visit_id: str, **fields: object) -> Event:
    return event("engagement", NOON + HOUR, **{"id": f"{visit_id}.e", "visit_id": visit_id, **fields})


def told(house: House) -> tuple[int, int, int]:
    """(visits, bounces, engaged), the same in every traffic rollup."""
    found = {
        tuple(
            sum(getattr(row, name) for row in house.rows(table)) for name in ("visits", "bounces", "engaged")
        )
        for table in ROLLUPS
    }
    (one,) = found
    return one[0], one[1], one[2]


def report(house: House, *metrics: str, **asked: object) -> Any:
    with db.reading(house.engine) as connection:
        of = run.house(connection, 1)
        context = run.context(connection, of, now=NOON + 2 * DAY, everything=False)
        raw = {"metrics": list(metrics), "date_range": ["2026-09-01", "2026-09-30"], **asked}
        return msgspec.json.decode(formats.records(run.answer(connection, of, query.parse(raw, context))))


def test_a_visit_has_bounced_until_its_engagement_comes_however_late(house: House) -> None:
    house.send(visit("a"), visit("b"))
    assert told(house) == (2, 2, 0)
    house.send(engagement("a"))
    assert told(house) == (2, 1, 1)
    house.send(engagement("a", id="once more"), engagement("a", id="and again"))
    assert told(house) == (2, 1, 1)
    assert sorted(row.quality for row in house.rows(tables.events) if row.kind == 3) == [1, 2]


def test_an_engagement_may_come_before_its_visit_and_beside_it(house: House) -> None:
    house.send(engagement("a"))
    assert told(house) == (0, 0, 0)
    house.send(visit("a"), engagement("b"), visit("b"))
    assert told(house) == (2, 0, 2)


@pytest.mark.parametrize("said", [True, False])
def test_a_visit_without_an_id_is_what_it_says_of_itself(house: House, said: bool) -> None:
    house.send(event("visit", engaged=said, no=7))
    assert told(house) == (1, int(not said), int(said))


@pytest.mark.parametrize("first", ["visit", "engagement"])
def test_a_visit_that_does_not_tell_is_neither_whatever_names_it(house: House, first: str) -> None:
    both = [visit("a", engaged=None), engagement("a")]
    for one in both if first == "visit" else reversed(both):
        house.send(one)
    assert told(house) == (1, 0, 0)


@pytest.mark.parametrize("fields", [{"user_agent": "Googlebot/2.1"}, {"test": True}], ids=["robot", "test"])
def test_the_engagement_of_a_robot_or_a_test_says_nothing(house: House, fields: dict[str, object]) -> None:
    house.send(visit("a"))
    house.send(engagement("a", **fields))
    assert told(house) == (1, 1, 0)


def test_flagged_and_tested_visits_are_neither(house: House) -> None:
    house.send(visit("bot", user_agent="curl/8.1"), visit("test", test=True), engagement("bot"))
    assert [row.visits_flagged for row in house.rows(tables.traffic_days)] == [1]
    assert told(house) == (0, 0, 0)


def test_another_workspace_s_engagement_says_nothing_here(house: House) -> None:
    with db.begin(house.engine) as connection:
        connection.execute(tables.workspaces.insert().values(slug="other", secret=b"x" * 32))
        connection.execute(tables.config.update().values(version=tables.config.c.version + 1))
    house.send(visit("a"))
    house.send(engagement("a", workspace=2))
    assert told(house) == (1, 1, 0)


def test_an_engagement_earns_no_credit_and_counts_as_nothing_by_itself(house: House) -> None:
    house.send(engagement("a", visitor_id="v"), event("sale", NOON + DAY, id="s", visitor_id="v"))
    house.settle()
    assert [row.ordinal for row in house.rows(tables.credits)] == [0]
    assert not any(any(row[5:]) for row in house.rows(tables.traffic_days))


def test_the_same_engagement_with_another_visit_is_a_conflict(house: House) -> None:
    house.send(engagement("a", id="x"))
    house.send(engagement("b", id="x"))
    assert [row.code for row in house.rows(tables.rejected)] == ["id_conflict"]


def test_the_click_that_a_landing_tells_of_has_no_quality(house: House) -> None:
    house.send(visit("a", click_ids={"gclid": "G"}, url="https://shop.example/"), engagement("a"))
    assert sorted((row.kind, row.quality) for row in house.rows(tables.events)) == [(2, 0), (3, 2), (10, 0)]


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Ten visits of two campaigns over two days: eight tell, five of these were engaged in; two clicks."""
    house = House.build(tmp_path_factory.mktemp("busy"), timezone=ZONE)
    for slug in ("spring", "autumn"):
        house.campaign(slug)
    for n in range(10):
        fields: dict[str, Any] = {
            "campaign": ("spring", "autumn")[n % 2], "ad": f"ad{n % 3}", "partner": f"p{n % 2}",
            "country": ("NO", "UA")[n % 2], "utm": {"source": f"s{n % 3}", "medium": "cpc"},
            "creative": f"c{n % 2}", "placement": f"x{n % 3}", "keyword": f"k{n % 2}", "ad_group": "g",
            "segment": {"age": f"a{n % 2}"}, "user_agent": "Mozilla/5.0 (Windows NT 10.0) Chrome/130.0",
        }  # fmt: skip
        house.send(visit(f"v{n}", NOON + n * 5 * HOUR, engaged=None if n > 7 else False, **fields))
        if n < 5:
            house.send(engagement(f"v{n}"))
        if n < 4:
            house.send(event("click", NOON + n * HOUR, id=f"c{n}", **fields))
    house.settle()
    return house


def test_the_three_rates(busy: House) -> None:
    rates = ("landing_rate", "bounce_rate", "engaged_rate")
    assert report(busy, *rates)["totals"] == {
        "landing_rate": 2.5,
        "bounce_rate": 0.375,
        "engaged_rate": 0.625,
    }
    rows = report(busy, *rates, dimensions=["campaign"])["rows"]
    assert {row["campaign"]: [row[rate] for rate in rates] for row in rows} == {
        "spring": [2.5, 0.25, 0.75],
        "autumn": [2.5, 0.5, 0.5],
    }


@pytest.mark.parametrize(
    "dimension", [d.slug for d in DIMENSIONS if "traffic" in d.families] + ["segment.age"]
)
def test_the_rates_by_every_dimension_add_up_to_the_whole(busy: House, dimension: str) -> None:
    parts = ("visits", "clicks")
    found = report(busy, *parts, "landing_rate", "bounce_rate", "engaged_rate", dimensions=[dimension])
    assert found["totals"] == report(busy, *parts, "landing_rate", "bounce_rate", "engaged_rate")["totals"]
    assert sum(row["visits"] for row in found["rows"]) == 10
    for row in found["rows"]:
        if row["bounce_rate"] is not None:
            assert row["bounce_rate"] + row["engaged_rate"] == pytest.approx(1)
        assert row["landing_rate"] == (row["visits"] / row["clicks"] if row["clicks"] else None)


def test_rates_are_not_split_by_what_only_a_result_has(busy: House) -> None:
    found = report(busy, "bounce_rate", dimensions=["goal"])
    assert found["totals"] == {"bounce_rate": None}
    assert set(found["meta"]["reasons"]["bounce_rate"]) == {"not_split_by:goal"}


ids = st.sampled_from(["a", "b", "c"])
tellings = st.lists(
    st.one_of(
        st.builds(
            lambda i, at, said, agent: visit(i, NOON + at * 7 * HOUR, engaged=said, user_agent=agent),
            ids, st.integers(0, 9), st.sampled_from([None, False, False, True]),
            st.sampled_from([None, None, "curl/8"]),
        ),
        st.builds(
            lambda i, twice, agent: engagement(i, id=f"{i}.{twice}", user_agent=agent),
            ids, st.booleans(), st.sampled_from([None, None, None, "curl/8"]),
        ),
    ),
    max_size=8, unique_by=lambda e: e.id,
)  # fmt: skip


@settings(
    deadline=None, max_examples=engines.examples(30), suppress_health_check=list(HealthCheck), phases=PHASES
)
@given(tellings, st.data())
def test_order_batches_and_repeats_change_nothing_and_a_recount_agrees(
    events: list[Event], data: st.DataObject
) -> None:
    at_once, one_by_one = (House.passing(timezone=ZONE) for _ in range(2))
    at_once.send(*events)
    again = data.draw(st.lists(st.sampled_from(events), max_size=3)) if events else []
    stream = [*data.draw(st.permutations(events)), *again]
    cut = data.draw(st.integers(1, 4))
    for start in range(0, len(stream), cut):
        one_by_one.send(*stream[start : start + cut])
    assert told(one_by_one) == told(at_once) == law(events)
    with db.begin(one_by_one.engine) as connection:
        cells = counted(connection, 1, ZONE)
        kept = [
            {tuple(row) for row in connection.execute(table.select()) if any(row[len(table.primary_key) :])}
            for table in ROLLUPS
        ]
        rebuild(connection, 1, ZONE)
    expected = [{(*key, *cell) for key, cell in one.items() if any(cell)} for one in cells]
    assert kept == expected
    assert told(one_by_one) == law(events)


def law(events: list[Event]) -> tuple[int, int, int]:
    """(visits, bounces, engaged) as docs/http-doors.md says it."""
    named = {e.visit_id for e in events if e.kind == "engagement" and e.user_agent is None}
    visits = [e for e in events if e.kind == "visit" and e.user_agent is None]
    telling = [e for e in visits if e.engaged is not None]
    engaged = [e for e in telling if e.engaged or e.id in named]
    return len(visits), len(telling) - len(engaged), len(engaged)
