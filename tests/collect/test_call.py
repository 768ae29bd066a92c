"""A call in a page becomes the event that was meant, or a refusal that names the field."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.collect import call, consent, hashing, parse
from app.collect.fields import Bad
from app.collect.parse import Arrival
from app.model import Event, Rejected
from tests.collect.conftest import NOW, workspace
from tests.collect.test_parse import anything

SHOP = msgspec.structs.replace(workspace(1), goals={"signup": "lead", "bought": "sale"})
BROWSER = Arrival(door="beacon", received_at=NOW, no=99, workspace=SHOP)


def made(**said: Any) -> Event:
    fields = call.fields(said, SHOP)
    assert not isinstance(fields, Rejected), fields
    found = parse.event(fields, BROWSER)
    assert isinstance(found, Event), found
    return found


@pytest.mark.parametrize(
    ("said", "kind", "goal"),
    [
        ({"event": "sale"}, "sale", ""),
        ({"event": "sale", "goal": "bought"}, "sale", "bought"),
        ({"event": "bought"}, "sale", "bought"),
        ({"event": "SignUp", "order_id": "o"}, "lead", "SignUp"),
        ({"event": "other"}, "lead", "other"),
        ({"event": "other", "order-id": "o"}, "sale", "other"),
        ({"event": "engagement", "visit_id": "v"}, "engagement", ""),
    ],
)
def test_a_name_is_a_kind_or_a_goal(said: dict[str, Any], kind: str, goal: str) -> None:
    found = made(**said)
    assert (found.kind, found.goal or "") == (kind, goal)


def test_what_is_no_field_is_a_property_and_what_servers_alone_may_say_is_neither() -> None:
    found = made(
        event="lead", plan="pro", none=None, payout=5, properties={"plan": "said twice", "a": [1]},
        **{"prop-value": "x", "lead-id": "L"},
    )  # fmt: skip
    assert found.lead_id == "L"
    assert found.properties == {"plan": "said twice", "value": "x", "a": [1]}
    assert found.payout is None


def test_fields_have_their_names_in_any_case_and_the_exact_one_comes_first() -> None:
    found = made(
        event="sale", Order_ID="no", order_id="yes", USER_ID="u", ORDER_ID="no", Value=5, Currency="EUR"
    )
    assert (found.order_id, found.user_id, found.value) == ("yes", "u", 5_000_000)


@pytest.mark.parametrize(
    "said",
    [
        {"email": "ann@example.org", "phone": "+4799887766"},
        {"Email": "ann@example.org", "mobile": "+4799887766"},
        {"EMAIL": "Ann@Example.org ", "Tel": "0047 998 87 766"},
        {"prop-email": "ann@example.org", "prop-phone-number": "+47 99887766"},
        {"properties": {"email": "ann@example.org", "Telephone": 4799887766}},
    ],
)
def test_addresses_and_numbers_are_hashed_whatever_a_page_calls_them(said: dict[str, Any]) -> None:
    found = made(event="lead", **said)
    assert (found.email, found.phone) == (hashing.emails("ann@example.org"), hashing.phones("4799887766"))
    assert found.properties == {}


def test_what_only_has_the_name_of_a_number_is_a_property_and_holds_none() -> None:
    said = {"mobile": True, "tel": "none", "telephone": "call 998 87 766, ask for Ann", "prop-email": "yes"}
    properties = {"mobile": True, "tel": "none", "telephone": "(phone)", "email": "yes"}
    assert made(event="lead", **said).properties == properties
    assert made(event="lead", phone="+4711223344", tel="+4799887766").phone == hashing.phones("4711223344")


def test_the_noise_of_binary_numbers_is_no_money_and_text_is_exact_or_refused() -> None:
    assert made(event="sale", value=Decimal("0.30000000000000004"), currency="EUR").value == 300_000
    assert made(event="sale", value=Decimal("1E-9"), currency="EUR").value == 0
    fields = call.fields({"event": "sale", "value": "0.30000000000000004", "currency": "EUR"}, SHOP)
    assert isinstance(fields, dict)
    refused = parse.event(fields, BROWSER)
    assert isinstance(refused, Rejected) and refused.field == "value"


@pytest.mark.parametrize("name", [None, "", 5, ["lead"], {}])
def test_a_name_that_is_none_is_refused(name: object) -> None:
    refused = call.fields({"event": name}, SHOP)
    assert isinstance(refused, Rejected) and refused.field == "event"


@given(st.dictionaries(st.sampled_from([*parse.FIELDS, "plan", "prop-x", "lead-id"]), anything, max_size=8))
def test_any_call_whatever_is_an_event_or_a_refusal(said: dict[str, object]) -> None:
    fields = call.fields({"event": "lead", **said}, SHOP)
    assert isinstance(fields, dict)
    assert isinstance(parse.event(fields, BROWSER), Event | Rejected)


def test_the_landings_query_says_what_the_address_does_not() -> None:
    landing = "utm_source=news&gclid=G1&ct_click=c1&email=a%40b.example"
    found = made(
        event="pageview", url="https://shop.example/two?utm_source=own#utm_source=no", landing=landing
    )
    assert (found.utm, found.click_ids, found.click_id) == ({"source": "own"}, {"gclid": "G1"}, "c1")


def test_what_is_told_after_advertising_was_denied_has_no_click_ids_of_the_landing() -> None:
    landing = "utm_source=news&gclid=G1&ct_click=c1"
    found = made(event="lead", landing=landing, consent={"ad_storage": "denied"})
    assert (found.utm, found.click_ids, found.click_id) == ({"source": "news"}, {}, "c1")


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ({"analytics_storage": "denied"}, {"measure": False}),
        ({"ad_storage": "granted", "ad_user_data": "denied"}, {"ads": False}),
        ({"ad_storage": "granted", "ad_personalization": "denied"}, {"ads": True, "personalize": False}),
        ({"measure": False, "analytics_storage": "granted"}, {"measure": False}),
        ({"measure": True, "analytics_storage": "denied"}, {"measure": False}),
        ({"measure": 1, "ads": 1, "ad_user_data": "denied"}, {"measure": True, "ads": False}),
        ({"ads": False, "ad_storage": "granted"}, {"ads": False}),
        ({"gpc": True, "ad_storage": "granted"}, {"ads": False, "gpc": True}),
        ({"gpc": False, "functionality_storage": "denied"}, {}),
    ],
)
def test_googles_names_say_what_is_measured_and_shared(said: dict[str, object], read: object) -> None:
    assert consent.stated(said) == read


@pytest.mark.parametrize("said", [{"ad_storage": "maybe"}, {"analytics_storage": True}, {"gpc": "maybe"}])
def test_a_word_that_is_no_choice_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(Bad):
        consent.stated(said)
