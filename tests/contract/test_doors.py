"""API.md "Doors" and "What an acknowledgement means": the pixel, the events of servers, and receipts."""

import itertools
import json
import random
import time
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest

from app import tables
from app.collect.pixel import GIF
from app.model import KINDS
from tests.contract.conftest import BROWSER, Service, error

numbers = itertools.count()


def fresh(prefix: str = "e") -> str:
    return f"{prefix}-{next(numbers)}"


def sale(order_id: str, **more: Any) -> dict[str, Any]:
    return {"kind": "sale", "order_id": order_id, "value": "10", "currency": "EUR", **more}


# --- The pixel -------------------------------------------------------------------------------------


def pixel(service: Service, **parameters: str) -> Any:
    return service.ask("GET", "/p.gif", params={"k": service.keys["public"], **parameters})


def test_the_pixel_is_a_gif_of_43_bytes_that_nobody_stores(service: Service) -> None:
    answer = pixel(service, e="impression", c="spring")
    assert (answer.status_code, answer.content, len(answer.content)) == (200, GIF, 43)
    assert answer.headers["Content-Type"] == "image/gif"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Clicktrail"] == "accepted"


def test_the_pixel_keeps_all_it_is_told(service: Service) -> None:
    at = int(time.time()) - 60
    vid = fresh("pixel")
    parameters = {
        "e": "visit", "id": fresh(), "c": "Spring", "a": "banner", "p": "anna", "u": "u-1", "vid": vid,
        "url": "https://shop.example/?utm_source=mail&gclid=G", "r": "https://news.example/", "t": str(at),
    }  # fmt: skip
    answer = service.ask(
        "GET",
        "/p.gif",
        params={"k": service.keys["public"], **parameters},
        headers={"Sec-Fetch-Site": "cross-site"},
    )
    assert answer.headers["X-Clicktrail"] == "accepted"
    (event,) = service.rows(tables.events, visitor_id=vid, kind=KINDS["visit"])
    assert (event.occurred_at, event.user_id, event.source) == (at * 1_000_000, "u-1", "mail")
    assert event.campaign_id and event.ad_id and event.partner_id
    details = json.loads(event.details)
    assert details["referrer"] == "https://news.example/"
    assert details["click_ids"] == {"gclid": "G"}


def test_a_thank_you_page_reports_a_sale_by_its_goal(service: Service) -> None:
    order = fresh("order")
    answer = pixel(service, e="order", tx=order, v="12.50", cur="eur")
    assert answer.headers["X-Clicktrail"] == "accepted"
    found = service.conversion(order)
    assert (found["kind"], found["goal"], found["value"], found["currency"]) == ("sale", "order", 12.5, "EUR")
    assert (found["state"], found["verified"]) == ("pending", False)


@pytest.mark.parametrize(
    "parameters, reason",
    [
        ({"k": ""}, "key_missing"),
        ({"k": "ct_pub_nobody"}, "key_unknown"),
        ({}, "kind_missing"),
        ({"e": "refund"}, "kind_not_public"),
        ({"e": "sale", "v": "1"}, "currency_missing"),
        ({"e": "sale", "v": "1,5", "cur": "EUR"}, "amount_invalid"),
        ({"e": "sale", "v": "-1", "cur": "EUR"}, "amount_negative"),
        ({"e": "sale", "v": "0.0000001", "cur": "EUR"}, "amount_invalid"),
        ({"e": "sale", "v": "1", "cur": "XXY"}, "currency_unknown"),
        ({"e": "impression", "id": "x" * 201}, "too_long"),
        ({"e": "impression", "c": "a\x00b"}, "not_text"),
        ({"e": "lead", "g": "sale"}, "goal_named_like_kind"),
    ],
)
def test_the_pixel_says_why_it_refused(service: Service, parameters: dict[str, str], reason: str) -> None:
    answer = pixel(service, **parameters)
    assert (answer.status_code, answer.content) == (200, GIF)
    assert answer.headers["X-Clicktrail"] == f"rejected; reason={reason}"


def test_the_pixel_is_a_gif_for_any_query_whatsoever(service: Service) -> None:
    chance = random.Random(1)
    alphabet = [
        *"&=?%+;#/\\kevtxcu0123456789.-",
        "%00",
        "%ff",
        "%ed%a0%80",
        "%0d%0a",
        "[]",
        "{}",
        "%u0041",
        "e=sale&",
    ]
    names = "k e id c a p ct_click g tx v cur u vid url r t consent gdpr gdpr_consent gpp cb".split()
    with service.client() as browser:
        for turn in range(400):
            noise = "".join(chance.choices(alphabet, k=chance.randrange(60)))
            value = quote("".join(chr(chance.randrange(0xD800)) for _ in range(turn % 9)), safe="")
            query = f"k={service.keys['public']}&e=impression&{chance.choice(names)}={value}{noise}"
            answer = browser.get(f"/p.gif?{query if turn % 4 else noise}".replace("#", "%23"))
            assert (answer.status_code, answer.content) == (200, GIF), query
            assert answer.headers["X-Clicktrail"].split(";")[0] in ("accepted", "rejected"), query


# --- What servers tell -----------------------------------------------------------------------------


def test_one_bare_event_or_a_list_of_them(service: Service) -> None:
    answer = service.post("/v1/events", {"kind": "pageview"}, "server")
    assert answer.status_code == 202
    assert set(answer.json()) == {"accepted", "rejected", "receipt"}
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (1, [])
    answer = service.post("/v1/events", {"events": [{"kind": "pageview"}] * 3}, "server")
    assert answer.json()["accepted"] == 3


def test_a_thousand_events_but_not_one_more(service: Service) -> None:
    event = {"kind": "pageview", "test": True}
    assert service.post("/v1/events", {"events": [event] * 1000}, "server").json()["accepted"] == 1000
    assert error(service.post("/v1/events", {"events": [event] * 1001}, "server")) == (
        413, "too_many_events", "events",
    )  # fmt: skip


def test_what_is_refused_is_told_by_index_id_code_field_and_message(service: Service) -> None:
    events = [
        {"kind": "pageview", "id": fresh()},
        sale(fresh(), id="e2", currency="XYZ"),
        {"kind": "pageview", "id": fresh()},
        "no object",
        sale(fresh(), id="e5", value="1.2345678"),
    ]
    answer = service.post("/v1/events", {"events": events}, "server")
    told = answer.json()
    assert (answer.status_code, told["accepted"], bool(told["receipt"])) == (202, 2, True)
    assert [(one["index"], one["id"], one["code"], one["field"]) for one in told["rejected"]] == [
        (1, "e2", "currency_unknown", "currency"),
        (3, "", "not_object", "events"),
        (4, "e5", "amount_invalid", "value"),
    ]
    assert all(one["message"] for one in told["rejected"])


def test_when_all_are_refused_it_is_422_with_the_same_body(service: Service) -> None:
    answer = service.post("/v1/events", {"events": [{"kind": "x"}, {}]}, "server")
    assert answer.status_code == 422
    assert answer.json()["accepted"] == 0
    assert [one["code"] for one in answer.json()["rejected"]] == ["kind_unknown", "kind_missing"]
    assert "receipt" not in answer.json()


def test_what_was_refused_can_be_listed_with_its_reason(service: Service) -> None:
    id_ = fresh("refused")
    refused = {"kind": "sale", "id": id_, "value": "x", "currency": "EUR", "email": "a@b.example"}
    service.post("/v1/events", refused, "server")
    service.caught_up()
    items = service.ask("GET", "/v1/rejected", "read", params={"limit": 1000}).json()["items"]
    (kept,) = (item for item in items if item["event_id"] == id_)
    assert (kept["kind"], kept["door"], kept["code"], kept["field"]) == (
        "refused",
        "api",
        "amount_invalid",
        "value",
    )
    assert "a@b.example" not in kept["body"]


def test_outcomes_come_in_the_order_of_the_accepted_events(service: Service) -> None:
    first, second = fresh(), fresh()
    answer = service.tell(
        {"kind": "pageview", "id": first},
        {"kind": "nonsense"},
        {"kind": "pageview", "id": first},
        {"kind": "pageview", "id": second},
        {"kind": "pageview", "id": first, "campaign": "spring"},
    )
    told = answer.json()
    assert told["outcomes"] == ["stored", "duplicate", "stored", "id_conflict"]
    assert (
        service.ask("GET", f"/v1/receipts/{told['receipt']}", "server").json()["outcomes"] == told["outcomes"]
    )
    # Days later and in another request the same id still counts once.
    again = service.tell(
        {"kind": "pageview", "id": second}, {"kind": "pageview", "id": first, "campaign": "spring"}
    )
    assert again.json()["outcomes"] == ["duplicate", "id_conflict"]


def test_of_one_id_with_two_contents_the_first_stays(service: Service) -> None:
    id_, order = fresh(), fresh("order")
    assert service.tell(sale(order, id=id_, value="5")).json()["outcomes"] == ["stored"]
    assert service.tell(sale(order, id=id_, value="500")).json()["outcomes"] == ["id_conflict"]
    assert service.conversion(order)["value"] == 5


@pytest.mark.parametrize("receipt", ["x", "%00", "A" * 60, "A" * 10_000, "..%2f..", "%ff", "é"])
def test_a_receipt_nobody_gave_is_404(service: Service, receipt: str) -> None:
    assert error(service.ask("GET", f"/v1/receipts/{receipt}", "server"))[:2] == (404, "receipt_unknown")


now = datetime.now(UTC)


@pytest.mark.parametrize(
    "stated",
    [
        now.isoformat(),
        now.isoformat().replace("+00:00", "Z"),
        now.isoformat().replace("+", " "),
        now.astimezone(timezone(timedelta(hours=5, minutes=45))).isoformat(),
        now.astimezone(timezone(-timedelta(hours=9, minutes=30))).isoformat(),
        int(now.timestamp()),
        int(now.timestamp() * 1000),
        int(now.timestamp() * 1_000_000),
        f"{now.timestamp():.3f}",
    ],
    ids=range(9),
)
def test_a_time_may_be_written_in_many_ways(service: Service, stated: Any) -> None:
    id_ = fresh("time")
    service.tell({"kind": "pageview", "keyword": id_, "occurred_at": stated})
    (event,) = service.rows(tables.events, keyword=id_)
    assert abs(event.occurred_at / 1e6 - now.timestamp()) < 1


@pytest.mark.parametrize(
    "stated, code",
    [
        ((now + timedelta(hours=20)).isoformat(), "time_ahead"),
        ((now - timedelta(days=740)).isoformat(), "time_behind"),
        (now.replace(tzinfo=None).isoformat(), "time_invalid"),
        ("2026-02-30T00:00:00Z", "time_invalid"),
        ("2026-02-28T00:00:00+25:00", "time_invalid"),
        ("tomorrow", "time_invalid"),
        (True, "time_invalid"),
        ([], "time_invalid"),
        (10**25, "time_invalid"),
    ],
)
def test_a_servers_wrong_time_is_its_error(service: Service, stated: Any, code: str) -> None:
    answer = service.tell({"kind": "pageview", "occurred_at": stated})
    (told,) = answer.json()["rejected"]
    assert (told["code"], told["field"]) == (code, "occurred_at")


@pytest.mark.parametrize("value", ["0.1", "0.000001", "1234567.891234", "1e2", "0", "9223372036854.775807"])
@pytest.mark.parametrize("as_number", [True, False], ids=["number", "string"])
def test_money_is_exact_to_a_millionth(service: Service, value: str, as_number: bool) -> None:
    order = fresh("money")
    stated = value if as_number else json.dumps(value)
    body = f'{{"kind": "sale", "order_id": "{order}", "currency": "JPY", "value": {stated}}}'
    assert service.post("/v1/events", body.encode(), "server").status_code == 202, body
    found = service.conversion(order)
    (stored,) = service.rows(tables.conversions, order_id=order)
    assert stored.value == Decimal(value) * 1_000_000
    assert found["value"] == float(value)


def test_a_refund_and_a_state_before_their_sale_wait_for_it(service: Service) -> None:
    order = fresh("early")
    service.tell({"kind": "refund", "order_id": order, "value": "4", "currency": "EUR"})
    service.tell({"kind": "status", "order_id": order, "status": "pending"})
    at = datetime.now(UTC) - timedelta(minutes=5)
    service.tell(sale(order, occurred_at=at.isoformat()))
    found = service.conversion(order)
    assert (found["state"], found["refunded"], found["net_value"]) == ("pending", 4, 6)


@pytest.mark.parametrize("name", [True, False], ids=["conversion_id", "order_id"])
def test_a_refund_without_a_value_takes_all_of_it_back(service: Service, name: bool) -> None:
    order = fresh("back")
    service.tell(sale(order))
    found = service.conversion(order)
    service.tell({"kind": "refund", **({"conversion_id": found["id"]} if name else {"order_id": order})})
    found = service.conversion(order)
    assert (found["refunded"], found["net_value"]) == (10, 0)


def test_one_order_of_one_store_is_one_sale_whichever_door(service: Service) -> None:
    order = fresh("twice")
    pixel(service, e="order", tx=order, v="99", cur="EUR")
    service.tell(sale(order, goal="order"))
    found = service.conversion(order)
    assert (found["verified"], found["value"], found["state"]) == (True, 10, "approved")
    assert sorted(seen["door"] for seen in found["sightings"]) == ["api", "pixel"]
    service.tell(sale(order, store="second", value="3"))
    service.settled()
    wanted = {"store": "second"}
    answer = service.ask("GET", f"/v1/conversions/{order}", "read", params=wanted)
    assert answer.json()["value"] == 3


def test_a_goal_nobody_registered_is_a_lead_and_none_is_named_like_a_kind(service: Service) -> None:
    goal = fresh("download")
    pixel(service, e=goal, vid=fresh("goal"))
    service.settled()
    items = service.ask("GET", "/v1/conversions", "read", params={"kind": "lead", "limit": 1000}).json()[
        "items"
    ]
    assert goal in [item["goal"] for item in items]
    (told,) = service.tell({"kind": "lead", "goal": "click"}).json()["rejected"]
    assert told["field"] == "goal"
    answer = service.post("/v1/goals", {"slug": "sale", "kind": "sale"}, "admin")
    assert answer.status_code in (400, 409), answer.text


def test_slugs_nobody_registered_are_kept_and_shown_as_unknown(service: Service) -> None:
    slug = fresh("unheard")
    service.tell({"kind": "impression", "campaign": slug, "user_agent": BROWSER})
    found = service.ask("GET", f"/v1/campaigns/{slug}", "admin").json()
    assert found["known"] is False


def test_a_test_event_goes_all_the_way_and_counts_nowhere(service: Service) -> None:
    order = fresh("test")
    service.tell(sale(order, test=True, campaign="spring"))
    found = service.conversion(order)
    assert (found["counted"], found["setbacks"]) == (False, ["test"])
