"""Who earns, on a real database: whose a touch is, its window, and what an unattributed row says."""

import pytest

from app import db, tables
from app.model import DAY, HOUR, REASONS
from tests.attribution.test_settle import here, three_clicks
from tests.attribution.world import NOW, World, visitor

__all__ = ["here"]


# --- Who has which touch ---------------------------------------------------------------------------

CLICK = (77, NOW - DAY, 4, 5, 6)  # no, occurred_at, campaign, ad, partner


def test_a_click_the_conversion_names_counts_without_any_identifier_and_without_its_record(
    here: World,
) -> None:
    here.put(tables.campaigns, id=4, workspace=1, slug="spring", channel_id=3)
    here.sale(7, NOW, by=(), clicks=(CLICK,))
    here.settle()
    (row,) = [r for r in here.rows(tables.credits) if r["ordinal"]]
    named = ("no", "kind", "occurred_at", "channel_id", "campaign_id", "ad_id", "partner_id", "billing")
    assert tuple(row[k] for k in named) == (77, 2, NOW - DAY, 3, 4, 5, 6, 1)
    assert here.earned(7) == {77: 1}


def test_the_late_record_of_a_named_click_is_the_same_touch_and_may_be_flagged(here: World) -> None:
    here.sale(7, NOW, clicks=(CLICK,))
    here.settle()
    here.touch("click", NOW - DAY, no=77, campaign_id=4, country=9)
    here.due(7)
    here.settle()
    assert here.earned(7) == {77: 1}
    assert [r["country"] for r in here.rows(tables.credits) if r["version"] == 2] == [9]
    with db.begin(here.engine) as connection:
        connection.execute(tables.events.update().values(flags=8))
    here.due(7)
    here.settle()
    assert here.earned(7) == {0: 1}


def test_a_shared_device_has_each_users_touches_in_their_own_time(here: World) -> None:
    for person, since, until in ((11, NOW - 20 * DAY, NOW - 3 * DAY), (12, NOW - 3 * DAY, 2**62)):
        here.put(tables.people, workspace=1, node=visitor("v"), since=since, until=until, person=person)
    here.put(tables.people, workspace=1, node=visitor("ann"), since=-(2**62), until=2**62, person=11)
    here.put(tables.people, workspace=1, node=visitor("bob"), since=-(2**62), until=2**62, person=12)
    here.touch("click", NOW - 3 * DAY - 1, no=1)
    here.touch("click", NOW - 3 * DAY, no=2)
    here.sale(7, NOW, by=("ann",))
    here.sale(8, NOW, by=("bob",))
    here.settle()
    assert here.earned(7) == {1: 1}
    assert here.earned(8) == {2: 1}


# --- Rules, on the database -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, days", [("click", 30), ("visit", 3), ("impression", 1)], ids=["click", "visit", "impression"]
)
def test_a_window_is_half_open_to_the_microsecond(here: World, kind: str, days: int) -> None:
    here.touch(kind, NOW - days * DAY, no=1)
    here.touch(kind, NOW - days * DAY + 1, no=2)
    here.touch(kind, NOW, no=3)
    here.touch(kind, NOW + 1, no=4)
    here.sale(7, NOW)
    here.settle()
    assert here.earned(7) == {2: 1, 3: 1}


def test_a_campaigns_window_goes_before_the_goals_and_that_before_the_workspaces(here: World) -> None:
    here.put(tables.goals, id=1, workspace=1, slug="order", windows='{"click": 2}')
    here.put(tables.campaigns, id=1, workspace=1, slug="long", windows='{"click": 60}')
    for no, (days, campaign) in enumerate([(59, 1), (5, 0), (1, 0)], 1):
        here.touch("click", NOW - days * DAY, no=no, campaign_id=campaign)
    here.sale(7, NOW, goal_id=1)
    here.sale(8, NOW)
    here.settle()
    assert here.earned(7) == {1: 1, 3: 1}
    assert here.earned(8) == {1: 1, 2: 1, 3: 1}


@pytest.mark.parametrize(
    "touches, sale, reason",
    [
        ([], {}, "no_touch"),
        ([("click", 40 * DAY, {})], {}, "no_touch"),
        ([("impression", 5 * DAY, {})], {}, "outside_window"),
        ([("impression", HOUR, {"flags": 32})], {}, "no_touch"),
        ([], {"by": ()}, "no_identifier"),
        ([], {"by": (), "consent_denied": 1}, "consent_denied"),
        ([("visit", HOUR, {"direct": 1})], {}, "direct"),
    ],
)
def test_an_unattributed_row_says_why(here: World, touches: list, sale: dict, reason: str) -> None:
    here.configure(direct="exclude")
    for no, (kind, age, more) in enumerate(touches, 1):
        here.touch(kind, NOW - age, no=no, **more)
    here.sale(7, NOW, **sale)
    here.settle()
    assert here.reason(7) == REASONS[reason]


def test_billing_has_its_own_window_and_no_view(here: World) -> None:
    here.configure(billing_window=60)
    here.touch("click", NOW - 45 * DAY, no=1)
    here.touch("impression", NOW - HOUR, no=2)
    here.sale(7, NOW)
    here.settle()
    assert here.earned(7, "last_click") == {2: 1}
    assert here.earned(7, "billing") == {1: 1}


def test_a_conversion_uses_touches_up_where_the_workspace_says_so(here: World) -> None:
    here.configure(reset_after_conversion=True)
    three_clicks(here)
    here.sale(7, NOW)
    here.settle()
    here.sale(6, NOW - DAY - HOUR)  # came late, happened earlier
    here.settle()
    assert here.earned(6) == {2: 1, 3: 1}
    assert here.earned(7) == {1: 1}
    here.sale(6, NOW - DAY - HOUR, setbacks=2)
    here.settle()
    assert here.earned(7) == {1: 1, 2: 1, 3: 1}


def test_a_conversion_that_moves_gives_back_what_it_had_used_up(here: World) -> None:
    here.configure(reset_after_conversion=True)
    three_clicks(here)
    here.sale(7, NOW)
    here.sale(6, NOW - DAY - HOUR)
    here.settle()
    assert here.earned(7) == {1: 1}
    here.sale(6, NOW + HOUR)  # a more trusted door told another time
    here.settle()
    assert here.earned(7) == {1: 1, 2: 1, 3: 1}
    assert here.earned(6) == {0: 1}


def test_each_goal_uses_touches_up_for_itself_under_first_conversion_only(here: World) -> None:
    here.configure(first_conversion_only=True)
    three_clicks(here)
    here.sale(6, NOW - HOUR, goal_id=1)
    here.sale(7, NOW, goal_id=2)
    here.sale(8, NOW + HOUR, goal_id=1)
    here.settle()
    assert here.earned(7) == {1: 1, 2: 1, 3: 1}
    assert here.earned(8) == {0: 1}
    assert here.reason(8) == REASONS["not_eligible"]
