"""API.md's postback in its plain form: what affiliate networks call."""

import itertools
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from tests.contract.conftest import Service

numbers = itertools.count()


def call(service: Service, method: str = "GET", key: str | None = None, **parameters: str) -> httpx.Response:
    """What a network sends; names and values as they stand in its template."""
    sent = {"key": service.keys["server"] if key is None else key, **parameters}
    return service.ask(method, "/postback", params=sent)


def click(service: Service) -> str:
    where = service.ask("GET", "/c/spring").headers["Location"]
    (click_id,) = parse_qs(urlsplit(where).query)["ct_click"]
    return click_id


def order() -> str:
    return f"net-{next(numbers)}"


def test_a_sale_on_a_click_is_ok_and_stored(service: Service) -> None:
    txid = order()
    answer = call(service, click_id=click(service), txid=txid, value="25.50", currency="EUR", payout="3")
    assert (answer.status_code, answer.text) == (200, "OK")
    assert answer.headers["Content-Type"].startswith("text/plain")
    sale = service.conversion(txid)
    assert sale["value"] == 25.5
    assert (sale["kind"], sale["state"], sale["verified"], sale["payout"]) == ("sale", "approved", True, 3)


@pytest.mark.parametrize("text", ["1", "success=true;", "æøå", "x" * 300])
def test_return_echoes_its_text(service: Service, text: str) -> None:
    answer = call(service, click_id=click(service), goal="signup", **{"return": text})
    assert (answer.status_code, answer.text) == (200, text[:200])
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("text", ["\r\nX-Evil: 1", "a\x00b", "<script>alert(1)</script>", "\x1b[31m"])
def test_what_is_echoed_cannot_hurt(service: Service, text: str) -> None:
    answer = call(service, click_id=click(service), goal="signup", **{"return": text})
    assert answer.status_code == 200 and "x-evil" not in answer.headers
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.text.isprintable()


def test_a_form_and_a_json_body_do_as_well(service: Service) -> None:
    key = {"key": service.keys["server"]}
    for options in ({"data": {}}, {"json": {}}):
        (way,) = options
        txid = order()
        fields = {"click_id": click(service), "txid": txid, "value": "7", "currency": "EUR"}
        sent: Any = {way: fields}
        assert service.ask("POST", "/postback", params=key, **sent).text == "OK"
        assert service.conversion(txid)["value"] == 7


def test_the_key_may_stand_in_the_header(service: Service) -> None:
    answer = service.ask("GET", "/postback", "server", params={"click_id": click(service), "txid": order()})
    assert answer.text == "OK"


@pytest.mark.parametrize(
    "key, status", [("", 401), ("ct_srv_nobody", 401), ("public", 403), ("read", 403), ("admin", 200)]
)
def test_who_may_call(service: Service, key: str, status: int) -> None:
    answer = call(service, key=service.keys.get(key, key), click_id=click(service), txid=order())
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("text/plain")


NAMES = ["click_id", "txid", "value", "payout", "goal", "sub1", "sub30", "event_id"]
MACROS = [
    "{payout}", "{{payout}}", "${PAYOUT}", "[PAYOUT]", "[payout]", "#payout#", "%payout%", "%%PAYOUT%%",
    "__PAYOUT__", "$payout$", "REPLACE", "OPTIONAL", "{aff_sub}", "{transaction.id}",
]  # fmt: skip


@pytest.mark.parametrize(
    "name, macro", [*((name, "{x}") for name in NAMES), *(("txid", macro) for macro in MACROS)]
)
def test_a_macro_that_nobody_expanded_is_refused_by_name(service: Service, name: str, macro: str) -> None:
    good = {"click_id": click(service), "txid": order(), "value": "1", "currency": "EUR"}
    answer = call(service, **{**good, name: macro})
    assert answer.status_code == 400
    assert answer.text.startswith(f"macro_unexpanded: {name} {macro} ")


@pytest.mark.parametrize(
    "txid", ["A_B", "[1]-2", "100%", "#1001", "$5", "__init", "replace", "%41", "50% off 60%"]
)
def test_an_order_id_may_look_strange(service: Service, txid: str) -> None:
    assert call(service, click_id=click(service), txid=txid + order()).text == "OK"


@pytest.mark.parametrize(
    "field, value",
    [
        ("click_id", "forged"),
        ("click_id", "A" * 67),
        ("click_id", "\ud800"),
        ("value", "1,5"),
        ("value", "-1"),
        ("value", "NaN"),
        ("value", "1e309"),
        ("value", "0.0000001"),
        ("value", "9" * 5000),
        ("currency", "XYZ"),
        ("status", "maybe"),
        ("txid", "a\x00b"),
        ("txid", "x" * 201),
        ("event_id", "\n"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_what_is_wrong_is_400_with_its_name(service: Service, field: str, value: str) -> None:
    good = {"click_id": click(service), "txid": order(), "value": "1", "currency": "EUR"}
    pairs = {**good, field: value, "key": service.keys["server"]}
    query = "&".join(f"{name}={quote(text, safe='', errors='surrogatepass')}" for name, text in pairs.items())
    answer = service.ask("GET", f"/postback?{query}")
    assert answer.status_code == 400, answer.text
    assert field in answer.text
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_nobody_earns_by_naming_another_workspaces_click(service: Service) -> None:
    answer = call(service, key=service.other["server"], click_id=click(service), txid=order())
    assert (answer.status_code, answer.text.split(":")[0]) == (400, "click_id_unknown")


def test_the_same_order_called_again_with_another_status_changes_its_state(service: Service) -> None:
    click_id, txid = click(service), order()
    for status in ("pending", "approved", "rejected"):
        answer = call(service, click_id=click_id, txid=txid, value="9", currency="EUR", status=status)
        assert answer.text == "OK"
        found = service.conversion(txid)
        assert (found["state"], found["value"]) == (status, 9)


def test_an_event_id_counts_once_however_often_it_is_called(service: Service) -> None:
    click_id, event_id = click(service), order()
    for _ in range(3):
        assert call(service, click_id=click_id, event_id=event_id, value="4", currency="EUR").text == "OK"
    service.settled()
    with service.client("read") as client:
        items = client.get("/v1/conversions", params={"limit": 1000, "kind": "sale"}).json()["items"]
        detailed = [
            client.get(f"/v1/conversions/{item['id']}").json() for item in items if item["value"] == 4
        ]
    assert [seen["event_id"] for sale in detailed for seen in sale["sightings"]] == [event_id]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_other_methods_are_405(service: Service, method: str) -> None:
    answer = call(service, method)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")
