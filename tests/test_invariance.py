"""Same events, same numbers: whatever order they come in, however they are batched, however often.

Everything derived (conversions, people, credits, every rollup) is compared after sending one set of
events in order and after sending it shuffled, cut into batches and partly repeated.
"""

from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from app import db, tables
from app.campaigns.clickid import ClickId, make_click_id
from app.model import DAY, HOUR, Event
from app.pipeline.recount import ROLLUPS, counted
from tests import engines
from tests.house import NOON, House, event

#: Without shrinking: each example builds two databases, and the seed of a failure is enough to repeat it.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
SECRET = b"s" * 32
CAMPAIGNS = {"spring": 1, "autumn": 2}

visitors = st.sampled_from(["v1", "v2", "v3", ""])
users = st.sampled_from(["", "", "ann", "bob", "Guest"])
moments = st.integers(0, 40).map(lambda n: NOON - 20 * DAY + n * 13 * HOUR)
campaigns = st.sampled_from(["spring", "autumn", "unknown", ""])


def click_id(campaign: str, at: int) -> str:
    number = at // HOUR
    return make_click_id(ClickId(1, CAMPAIGNS.get(campaign, 1), 0, 0, at, number), SECRET)


@st.composite
def traffic(draw: Any) -> dict[str, Any]:
    kind = draw(st.sampled_from(["impression", "click", "visit", "engagement"]))
    fields: dict[str, Any] = {"kind": kind, "at": draw(moments), "visitor_id": draw(visitors)}
    fields["user_id"] = draw(users)
    if kind == "engagement":
        fields["visit_id"] = f"e{draw(st.integers(0, 6))}"  # perhaps a visit of this story
    elif kind == "visit":
        fields["engaged"] = draw(st.sampled_from([None, False, True]))
        fields["url"] = "https://shop.example/"
        shape = draw(st.sampled_from(["direct", "landing", "gclid", "clicked"]))
        if shape == "landing":
            fields["utm"] = {"campaign": draw(campaigns), "source": "google", "medium": "cpc"}
        elif shape == "gclid":
            fields["click_ids"] = {"gclid": draw(st.sampled_from(["G1", "G2"]))}
        elif shape == "clicked":
            fields["click_id"] = click_id(draw(campaigns), draw(moments))
    else:
        fields["campaign"] = draw(campaigns)
        fields["country"] = draw(st.sampled_from(["NO", "IR", ""]))
    return fields


@st.composite
def redirect(draw: Any) -> dict[str, Any]:
    at = draw(moments)
    return {
        "kind": "click", "at": at, "door": "redirect", "no": at // HOUR,
        "campaign": draw(st.sampled_from(["spring", "autumn"])), "visitor_id": draw(visitors),
        "hints": draw(st.sampled_from([(), ("head",), ("paused",)])),
    }  # fmt: skip


@st.composite
def result(draw: Any) -> dict[str, Any]:
    kind = draw(st.sampled_from(["lead", "sale", "sale"]))
    fields = {
        "kind": kind, "at": draw(moments), "visitor_id": draw(visitors), "user_id": draw(users),
        "door": draw(st.sampled_from(["api", "postback", "beacon"])),
    }  # fmt: skip
    if kind == "sale":
        fields |= {"value": draw(st.sampled_from([10_000_000, 7_000_001])), "currency": "EUR"}
        fields["order_id"] = draw(st.sampled_from(["", "o1", "o2"]))
    if draw(st.booleans()):
        fields["click_id"] = click_id(draw(campaigns), draw(moments))
    return fields


@st.composite
def adjustment(draw: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"at": draw(moments), "order_id": draw(st.sampled_from(["o1", "o2"]))}
    if draw(st.booleans()):
        return fields | {
            "kind": "refund",
            "value": draw(st.sampled_from([None, 3_000_000])),
            "currency": "EUR",
        }
    return fields | {"kind": "status", "status": draw(st.sampled_from(["approved", "rejected"]))}


stories = st.lists(st.one_of(traffic(), redirect(), result(), adjustment()), min_size=1, max_size=14)


def events(story: list[dict[str, Any]]) -> list[Event]:
    found = []
    for position, fields in enumerate(story):
        fields = dict(fields)
        id_ = "" if fields.get("door") == "redirect" else f"e{position}"
        found.append(event(fields.pop("kind"), fields.pop("at"), id=id_, **fields))
    # A redirect mints its ids: two of one moment are one record, which no inbox delivers twice.
    unique = {(e.door == "redirect", e.no): e for e in found}
    return list(unique.values())


def house_of(batches: list[list[Event]], *, settle_each: bool) -> House:
    house = House.passing(secret=SECRET, timezone="Asia/Tehran")
    for slug in CAMPAIGNS:
        house.campaign(slug)
    for batch in batches:
        house.send(*batch)
        if settle_each:
            house.settle()
    house.settle()
    return house


@settings(
    deadline=None, max_examples=engines.examples(40), suppress_health_check=list(HealthCheck), phases=PHASES
)
@given(stories, st.data())
def test_order_batches_and_repeats_change_nothing(story: list[dict[str, Any]], data: st.DataObject) -> None:
    told = events(story)
    expected = house_of([told], settle_each=False).derived()
    shuffled = data.draw(st.permutations(told))
    again = [e for e in data.draw(st.lists(st.sampled_from(told), max_size=4)) if e.id]
    stream = [*shuffled, *again]
    cut = data.draw(st.integers(1, len(stream)))
    batches = [stream[i : i + cut] for i in range(0, len(stream), cut)]
    house = house_of(batches, settle_each=data.draw(st.booleans()))
    found = house.derived()
    for name, rows in expected.items():
        assert found[name] == rows, name
    with db.reading(house.engine) as connection:
        cells = counted(connection, 1, "Asia/Tehran")
    for table, recounted in zip(ROLLUPS, cells, strict=True):
        kept = {tuple(row) for row in house.rows(table) if any(row[len(table.primary_key) :])}
        assert kept == {(*key, *cell) for key, cell in recounted.items() if any(cell)}
    assert house.rows(tables.due) == [] and house.rows(tables.changes) == []
