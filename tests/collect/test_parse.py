"""Anything a sender can say becomes an event or a refusal that names the field."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.campaigns.clickid import ClickId, make_click_id
from app.collect import parse
from app.collect.fields import AHEAD, BEHIND, Impossible
from app.collect.parse import FIELDS, Arrival
from app.model import DAY, Event, Rejected, number
from tests.collect.conftest import NOW, workspace

SECOND = 1_000_000
SERVER = Arrival(door="api", received_at=NOW, no=99, public=False, workspace=workspace(1))
BROWSER = Arrival(door="beacon", received_at=NOW, no=99, workspace=workspace(1), cookie_id="c" * 41)


def good(arrival: Arrival = SERVER, **said: Any) -> Event:
    found = parse.event({"kind": "sale", **said}, arrival)
    assert isinstance(found, Event), found
    return found


def bad(arrival: Arrival = SERVER, **said: Any) -> tuple[str, str]:
    found = parse.event({"kind": "sale", **said}, arrival)
    assert isinstance(found, Rejected), found
    assert found.message
    return found.field, found.code


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.decimals()
    | st.builds(Impossible, st.sampled_from(["NaN", "9" * 40, "given twice"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
names = st.sampled_from([*FIELDS, "occurred_at", "unknown"])


@given(st.dictionaries(names, anything, max_size=8), st.sampled_from([SERVER, BROWSER]))
def test_any_values_whatever_become_an_event_that_can_be_written_or_a_refusal(
    said: dict[str, object], arrival: Arrival
) -> None:
    found = parse.event({"kind": "lead", **said}, arrival)
    if isinstance(found, Rejected):
        assert found.field in (*FIELDS, "occurred_at") and found.code
    else:
        written = msgspec.msgpack.encode(found)
        assert msgspec.msgpack.decode(written, type=Event).no == found.no
        assert "\x00" not in written.decode("latin-1").replace("\x00", "") and msgspec.json.encode(found)


@pytest.mark.parametrize(
    "field, value",
    [
        ("order_id", "a\x00b"),
        ("order_id", "\ud800"),
        ("order_id", {"deep": 1}),
        ("order_id", Impossible("9" * 40)),
        ("order_id", 2**63),
        ("value", Impossible("NaN")),
        ("value", Decimal("1e309")),
        ("value", "1,5"),
        ("value", "0.0000001"),
        ("value", 2**63),
        ("value", True),
        ("value", -1),
        ("currency", "XYZ"),
        ("visitor_id", "v" * 201),
        ("email", "nobody"),
        ("email_sha256", "abc"),
        ("phone", "call me"),
        ("status", "perhaps"),
        ("properties", {"a": 2**63}),
        ("properties", {"a": Impossible("NaN")}),
        ("properties", {"a": "x" * 9000}),
        ("properties", {"a\x00": 1}),
        ("segment", {"gender": 1.5}),
        ("utm", "spring"),
        ("consent", {"measure": "perhaps"}),
        ("occurred_at", "yesterday"),
        ("occurred_at", "2026-02-30T10:00:00Z"),
        ("occurred_at", "2026-09-21T10:00:00"),
        ("occurred_at", Impossible("Infinity")),
    ],
)
def test_a_value_that_cannot_stand_is_refused_by_the_name_of_its_field(field: str, value: object) -> None:
    assert bad(**{"currency": "EUR", field: value})[0] == field


def test_money_is_exact_to_a_millionth() -> None:
    event = good(value=Decimal("12.345678"), currency="eur", tax="0.000001")
    assert (event.value, event.tax, event.currency) == (12_345_678, 1, "EUR")
    assert good(value=0.1, currency="EUR").value == 100_000
    assert good(value="9223372036854.775807", currency="IRR").value == 2**63 - 1


def test_an_amount_needs_its_currency() -> None:
    assert bad(value="1") == ("currency", "currency_missing")


@given(st.integers(NOW - BEHIND + DAY, NOW + AHEAD - SECOND))
def test_one_instant_is_the_same_however_it_is_told(at: int) -> None:
    at -= at % SECOND
    moment = datetime.fromtimestamp(at // SECOND, UTC)
    told = [
        moment.isoformat(),
        moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        moment.strftime("%Y-%m-%d %H:%M:%S.000000 00:00"),  # "+" that a query string made a space
        at // SECOND,
        at // 1000,
        at,
        str(at),
        Decimal(at) / SECOND,
    ]
    assert {good(occurred_at=one).occurred_at for one in told} == {at}


def test_an_offset_is_taken_off() -> None:
    assert good(occurred_at="2026-09-21T15:30:00+03:30").occurred_at == (
        good(occurred_at="2026-09-21T12:00:00Z").occurred_at
    )


@pytest.mark.parametrize(
    "at, code", [(NOW + AHEAD + SECOND, "time_ahead"), (NOW - BEHIND - DAY, "time_behind")]
)
def test_a_servers_time_must_lie_in_the_window(at: int, code: str) -> None:
    assert bad(occurred_at=at) == ("occurred_at", code)


@pytest.mark.parametrize("at", [NOW + DAY, 0, "yesterday", "9" * 39])
def test_a_browsers_clock_never_costs_the_event(at: object) -> None:
    event = good(BROWSER, occurred_at=at)
    assert (event.occurred_at, event.hints) == (NOW, ("clock",))


def test_a_browsers_clock_is_corrected_by_when_it_sent() -> None:
    slow = msgspec.structs.replace(BROWSER, sent_at=NOW - DAY)
    event = good(slow, occurred_at=NOW - DAY - 5 * SECOND)
    assert (event.occurred_at, event.stated_at) == (NOW - 5 * SECOND, NOW - DAY - 5 * SECOND)


def test_a_public_door_ignores_what_only_servers_may_say() -> None:
    event = good(BROWSER, status="approved", ip="1.2.3.4", user_agent="me", cost_of_goods="1", currency="EUR")
    assert (event.status, event.ip, event.user_agent, event.cost_of_goods) == ("", "", None, None)


@pytest.mark.parametrize("kind", ["refund", "status"])
def test_a_public_door_takes_no_refunds_and_no_states(kind: str) -> None:
    assert bad(BROWSER, kind=kind, order_id="1") == ("kind", "kind_not_public")


def test_a_supplied_id_is_the_number_and_otherwise_chance_is() -> None:
    assert good(id="e1").no == number(1, "id", "e1")
    assert good().no == 99


def test_our_click_id_as_the_id_of_an_event_has_the_clicks_number() -> None:
    click = ClickId(workspace=1, campaign_id=7, ad_id=0, partner_id=0, occurred_at=NOW, no=4711)
    text = make_click_id(click, workspace(1).secret)
    assert good(kind="click", click_id=text).no == 4711
    assert good(kind="click", id=text).no == 4711
    assert good(kind="sale", click_id=text).no == 99


def test_text_is_nfc_and_any_script_is_kept() -> None:
    assert good(campaign=" Kvöld ").campaign == "Kvöld"
    assert good(campaign="می‌خواهم").campaign == "می‌خواهم"


def test_utm_and_click_ids_are_taken_from_the_address_of_the_page() -> None:
    event = good(kind="visit", url="https://a.example/?utm_source=x&utm_campaign=y&gclid=Ab&ct_click=z&q=1")
    assert event.utm == {"source": "x", "campaign": "y"}
    assert (event.click_ids, event.click_id) == ({"gclid": "Ab"}, "z")


def test_raw_addresses_are_nowhere_in_the_record() -> None:
    event = good(
        BROWSER,
        email="Jo@Mail.Example",
        phone="+4722334455",
        url="https://a.example/?m=jo@mail.example",
        referrer="https://b.example/?m=jo%40mail.example",
    )
    written = msgspec.msgpack.encode(event).lower()
    assert b"mail.example" not in written and b"22334455" not in written
    assert set(event.email) == {"meta", "google"}


@pytest.mark.parametrize("arrival", [SERVER, BROWSER])
@pytest.mark.parametrize("written", ["ann@mail.example", "ann%40mail.example", "Ann.Lee+x@mail.example.co"])
def test_no_text_of_the_senders_own_holds_an_e_mail_address(arrival: Arrival, written: str) -> None:
    said = f"for {written} by hand"
    event = good(
        arrival,
        title="x" * (395 - len(written)) + f" {written} and half of {written}",
        segment={"list": said},
        creative=said,
        placement=said,
        keyword=said,
        click_ids={"obOrigUrl": f"https://shop.example/?m={written}"},
        properties={"a": said, written: [{"b": f"{said}\n"}, 40, f"//ann:secret@shop.example/?m={written}"]},
    )
    assert b"mail" not in msgspec.msgpack.encode(event).replace(b"(email)", b"")
    assert event.segment == {"list": "for (email) by hand"}
    assert {event.creative, event.placement, event.keyword} == {"for (email) by hand"}
    assert event.click_ids == {"obOrigUrl": "https://shop.example/?m=(email)"}
    assert event.properties == {
        "a": "for (email) by hand",
        "(email)": [{"b": "for (email) by hand\n"}, 40, "//shop.example/?m=(email)"],
    }
    assert len(event.title) <= 400


def test_without_consent_no_identifier_is_kept() -> None:
    event = good(
        BROWSER,
        consent={"measure": False},
        visitor_id="v",
        user_id="u",
        email="a@b.example",
        click_id="c",
        click_ids={"gclid": "g"},
        url="https://a.example/x?uid=7",
    )
    assert not (event.visitor_id or event.cookie_id or event.user_id or event.email or event.click_ids)
    assert (event.click_id, event.url) == ("", "https://a.example/x")


def test_global_privacy_control_measures_and_never_shares() -> None:
    event = good(
        msgspec.structs.replace(BROWSER, signals=("gpc",)),
        consent={"measure": True, "ads": True},
        user_id="u",
    )
    assert event.consent == {"measure": True, "ads": False, "source": "tag", "gpc": True}
    assert event.user_id == "u"


def test_a_servers_word_for_the_visitors_address_is_truncated() -> None:
    assert good(ip="203.0.113.77").ip == "203.0.113.0"
    assert good(ip="2001:db8:1:2::3").ip == "2001:db8:1::"
    assert good(ip="::ffff:203.0.113.77").ip == "203.0.113.0"
