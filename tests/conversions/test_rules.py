"""What the reports of one result add up to."""

from dataclasses import replace
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.conversions.rules import Adjustment, Booking, Conversion, Sighting, bookings, fold, rated
from app.model import DOORS, KINDS, STATES

DAY = 86_400_000_000
SALE, LEAD, REFUND, STATUS = (KINDS[kind] for kind in ("sale", "lead", "refund", "status"))


def sighting(door: str = "api", at: int = 0, **fields: object) -> Sighting:
    fields = {"no": 1, "kind": SALE, "goal_id": 1, "received_at": 0, "value": 100, "currency": "EUR"} | fields
    return Sighting(door=DOORS[door], occurred_at=at, **fields)  # type: ignore[arg-type]


def refund(at: int, value: int | None = None, no: int = 9, currency: str = "EUR") -> Adjustment:
    return Adjustment(no=no, kind=REFUND, occurred_at=at, value=value, currency=currency if value else "")


def status(at: int, state: str, no: int = 8) -> Adjustment:
    return Adjustment(no=no, kind=STATUS, occurred_at=at, status=state)


def folded(*reports: Sighting, changes: tuple[Adjustment, ...] = (), trust: bool = False) -> Conversion:
    return replace(fold(1, reports, changes, trust_browser=trust), rate=Fraction(1))


def booked(conversion: Conversion, *changes: Adjustment) -> list[Booking]:
    return bookings(conversion, changes, lambda at: at // DAY)


def test_the_most_trusted_door_is_believed_then_the_earlier_then_the_smaller_id() -> None:
    api, postback = sighting("api", 50, value=1), sighting("postback", 10, value=2)
    browser, late = sighting("pixel", 0, value=3), sighting("api", 60, value=4)
    twin = sighting("api", 50, no=2, value=5)
    for order in permutations((api, postback, browser, late, twin)):
        found = folded(*order)
        assert (found.value, found.occurred_at, found.no) == (1, 50, 1)
        assert found.issues == ("value_conflict",)


def test_a_field_the_believed_report_leaves_out_comes_from_the_next() -> None:
    bare = sighting("api", value=None, currency="")
    found = folded(bare, sighting("postback", value=7), sighting("pixel", country=5))
    assert (found.value, found.currency, found.country) == (7, "EUR", 5)


def test_no_page_prices_a_sale_that_a_server_reported_without_a_value() -> None:
    bare = sighting("api", value=None, currency="")
    found = folded(bare, sighting("pixel", value=7, new_customer=1, tax=3))
    assert (found.value, found.currency, found.tax, found.new_customer) == (None, "", None, None)
    assert folded(sighting("pixel", value=7)).value == 7


def test_a_sale_only_a_browser_reported_is_pending_until_a_server_confirms_it() -> None:
    page = sighting("beacon")
    assert folded(page).state == STATES["pending"]
    assert folded(page).verified == 0
    assert folded(page, trust=True).state == STATES["approved"]
    confirmed = folded(page, sighting("api", no=2))
    assert (confirmed.state, confirmed.verified) == (STATES["approved"], 1)


def test_a_lead_from_a_page_is_approved() -> None:
    assert folded(sighting("beacon", kind=LEAD)).state == STATES["approved"]


def test_the_status_a_server_states_is_where_it_begins() -> None:
    assert folded(sighting(status="pending")).state == STATES["pending"]
    assert folded(sighting("pixel", status="rejected")).state == STATES["pending"]


def test_further_goal_names_of_one_order_become_labels() -> None:
    assert folded(sighting(goal_id=1), sighting("pixel", goal_id=3)).labels == (3,)


def test_a_refund_takes_back_part_or_all() -> None:
    assert folded(sighting(), changes=(refund(1, 30),)).refunded == 30
    assert folded(sighting(), changes=(refund(1),)).refunded == 100


def test_refunds_beyond_the_value_are_capped_and_reported() -> None:
    found = folded(sighting(), changes=(refund(1, 80), refund(2, 80, no=10)))
    assert (found.refunded, found.issues) == (100, ("refund_exceeds_value",))


def test_a_refund_in_another_currency_changes_nothing_and_is_reported() -> None:
    found = folded(sighting(), changes=(refund(1, 30, currency="NOK"),))
    assert (found.refunded, found.issues) == (0, ("refund_currency",))


def test_a_bot_alone_does_not_count_and_a_server_vouches() -> None:
    assert folded(sighting("pixel", flags=1)).setbacks
    assert not folded(sighting("pixel", flags=1), sighting("api", no=2)).setbacks
    assert not folded(sighting("api", flags=1)).setbacks


def test_a_test_sale_is_booked_nowhere() -> None:
    assert booked(folded(sighting(flags=16))) == []


def test_an_unchanged_sale_is_one_line() -> None:
    (line,) = booked(folded(sighting(at=3 * DAY, cost_of_goods=40)))
    assert (line.basis, line.sign, line.day, line.gross, line.net, line.cogs) == (1, 1, 3, 100, 100, 40)


def by_booking(lines: list[Booking]) -> dict[tuple[int, int], tuple[int, int, int]]:
    """(day, state) -> (count, gross, refunded), the booking view."""
    found: dict[tuple[int, int], tuple[int, int, int]] = {}
    for line in lines:
        count, gross, back = found.get((line.day, line.state), (0, 0, 0))
        found[line.day, line.state] = (
            count + line.sign,
            gross + line.sign * line.gross,
            back + line.sign * (line.gross - line.net),
        )
    return {key: cell for key, cell in found.items() if any(cell)}


def test_each_change_is_booked_on_its_own_day() -> None:
    changes = (status(2 * DAY, "approved"), refund(5 * DAY, 30))
    conversion = folded(sighting(status="pending"), changes=changes)
    pending, approved = STATES["pending"], STATES["approved"]
    assert by_booking(booked(conversion, *changes)) == {
        (0, pending): (1, 100, 0),
        (2, pending): (-1, -100, 0),
        (2, approved): (1, 100, 0),
        (5, approved): (0, 0, 30),
    }


def test_an_adjustment_dated_before_its_sale_takes_effect_with_it() -> None:
    changes = (refund(1 * DAY),)
    conversion = folded(sighting(at=4 * DAY), changes=changes)
    assert by_booking(booked(conversion, *changes)) == {(4, STATES["approved"]): (1, 100, 100)}
    assert conversion.refunded == 100


def test_a_full_refund_at_a_rate_cancels_exactly() -> None:
    changes = (refund(DAY),)
    conversion = replace(folded(sighting(value=101), changes=changes), rate=Fraction("0.0857"))
    assert sum(line.sign * line.reported_net for line in booked(conversion, *changes)) == 0


def test_an_amount_that_would_pass_64_bits_stays_unrated_and_says_so() -> None:
    found = rated(folded(sighting(value=2**62)), Fraction(3))
    assert (found.rate, found.issues) == (None, ("amount_out_of_range",))
    assert rated(folded(sighting(value=2**62)), Fraction(1)).rate == 1


def test_without_a_rate_a_line_says_so() -> None:
    (line,) = booked(replace(folded(sighting()), rate=None))
    assert (line.rated, line.reported_gross, line.gross) == (0, 0, 100)


changes_ = st.lists(
    st.one_of(
        st.builds(
            refund, st.integers(0, 9 * DAY), st.one_of(st.none(), st.integers(1, 90)), st.integers(1, 99)
        ),
        st.builds(status, st.integers(0, 9 * DAY), st.sampled_from(sorted(STATES)), st.integers(100, 199)),
    ),
    max_size=6,
    unique_by=lambda a: a.no,
)


@given(changes_, st.randoms(use_true_random=False))
def test_the_order_of_adjustments_never_matters(changes: list[Adjustment], random: object) -> None:
    shuffled = list(changes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = folded(sighting(), changes=tuple(changes)), folded(sighting(), changes=tuple(shuffled))
    assert first == second
    assert by_booking(booked(first, *changes)) == by_booking(booked(second, *shuffled))


@given(changes_)
def test_all_bookings_add_up_to_how_it_stands(changes: list[Adjustment]) -> None:
    conversion = folded(sighting(), changes=tuple(changes))
    lines = booked(conversion, *changes)
    assert sum(line.sign for line in lines) == 1
    assert sum(line.sign * line.net for line in lines) == 100 - conversion.refunded
    assert sum(line.sign for line in lines if line.state == conversion.state) == 1


@pytest.mark.parametrize("door", ["pixel", "beacon", "redirect"])
def test_no_public_door_changes_a_verified_sale(door: str) -> None:
    verified = folded(sighting("api", 10))
    forged = sighting(door, 1, no=2, value=10**12, status="rejected", goal_id=1)
    found = folded(sighting("api", 10), forged)
    assert (found.value, found.state, found.occurred_at) == (
        verified.value,
        verified.state,
        verified.occurred_at,
    )
