"""/v1/events and /collect: one bad event costs itself, a bad body costs the request, nothing costs a 500."""

import gzip
import json
import zlib
from typing import Any

import pytest

from app import db, tables
from app.collect.consent import together
from app.collect.receipts import read_receipt
from app.workspaces import STALE_AFTER
from tests.collect.conftest import PUBLIC, READ, SERVER, Front, workspace

GOOD = {"id": "e1", "kind": "lead"}
AUTH = {"authorization": f"Bearer {SERVER}"}


def browser(*told: Any, **more: Any) -> dict[str, Any]:
    return {"k": PUBLIC, "events": list(told), **more}


async def test_good_events_are_stored_and_bad_ones_named(front: Front) -> None:
    bad = {"id": "e2", "kind": "sale", "value": "1", "currency": "XYZ"}
    answer = await front.tell(GOOD, bad, 7)
    assert answer.status == 202
    assert answer.json["accepted"] == 1
    first, second = answer.json["rejected"]
    assert (first["index"], first["id"], first["code"], first["field"]) == (
        1,
        "e2",
        "currency_unknown",
        "currency",
    )
    assert (second["index"], second["code"]) == (2, "not_object")
    assert [event.id for event in await front.events()] == ["e1"]
    assert [refusal.code for refusal in await front.refusals()] == ["currency_unknown", "not_object"]


async def test_one_bare_event_is_accepted(front: Front) -> None:
    answer = await front.post("/v1/events", GOOD, **AUTH)
    assert (answer.status, answer.json["accepted"]) == (202, 1)


async def test_when_all_are_refused_it_is_a_422(front: Front) -> None:
    answer = await front.tell({"kind": "nonsense"})
    assert (answer.status, answer.json["rejected"][0]["field"]) == (422, "kind")


@pytest.mark.parametrize(
    "literal",
    ["NaN", "-Infinity", "1e309", "9" * 5000, '"\\ud800"', '"a\\u0000b"', str(2**63), '{"a":1}', "[1]", "-1"],
)
async def test_an_extreme_value_costs_its_own_event_only(front: Front, literal: str) -> None:
    body = f'{{"events":[{{"kind":"sale","currency":"EUR","value":{literal}}},{{"kind":"lead"}}]}}'
    answer = await front.post("/v1/events", body.encode(), **AUTH)
    assert (answer.status, answer.json["accepted"]) == (202, 1)
    assert answer.json["rejected"][0]["field"] == "value"


async def test_bytes_that_are_not_utf_8_are_refused_by_field(front: Front) -> None:
    answer = await front.post("/v1/events", b'[]{"kind":"lead","campaign":"\xff"}'[2:], **AUTH)
    assert (answer.status, answer.json["rejected"][0]["field"]) == (422, "campaign")


async def test_a_name_given_twice_is_refused_by_name(front: Front) -> None:
    answer = await front.post("/v1/events", b'{"kind":"sale","value":1,"value":100,"currency":"EUR"}', **AUTH)
    assert (answer.status, answer.json["rejected"][0]["field"]) == (422, "value")


@pytest.mark.parametrize(
    "body, status, code",
    [
        (b"", 400, "not_json"),
        (b"{", 400, "not_json"),
        (b"nonsense", 400, "not_json"),
        (b"[]", 400, "events_missing"),
        (b'{"events": 7}', 400, "events_not_list"),
        (b"[" * 33 + b"]" * 33, 400, "too_deep"),
        (b'{"a":' * 2000 + b"1" + b"}" * 2000, 400, "too_deep"),
        (b"[" * 100_000, 400, "too_deep"),
        (json.dumps({"events": [GOOD] * 1001}).encode(), 413, "too_many_events"),
        (b" " * (2**20 + 1), 413, "body_too_large"),
    ],
)
async def test_a_bad_body_is_refused_as_a_whole(front: Front, body: bytes, status: int, code: str) -> None:
    answer = await front.post("/v1/events", body, **AUTH)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert await front.events() == []


@pytest.mark.parametrize(
    "body, encoding",
    [
        (gzip.compress(json.dumps(GOOD).encode()), "gzip"),
        (gzip.compress(json.dumps(GOOD).encode()), ""),
        (zlib.compress(json.dumps(GOOD).encode()), "deflate"),
        (zlib.compress(json.dumps(GOOD).encode())[2:-4], "deflate"),
        (b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), "identity"),
    ],
)
async def test_compressed_bodies_are_understood_declared_or_not(
    front: Front, body: bytes, encoding: str
) -> None:
    answer = await front.post(
        "/v1/events", body, content_encoding=encoding, content_type="text/plain", **AUTH
    )
    assert answer.status == 202


@pytest.mark.parametrize(
    "body, encoding, status",
    [
        (gzip.compress(b" " * 2**28, 9), "gzip", 413),
        (gzip.compress(json.dumps(GOOD).encode())[:-4], "gzip", 400),
        (gzip.compress(json.dumps(GOOD).encode()) + b"more", "gzip", 400),
        (b"\x1f\x8bnonsense", "", 400),
        (b"x", "br", 415),
        (b"x", "gzip, gzip", 415),
    ],
)
async def test_bombs_and_damage_are_refused(front: Front, body: bytes, encoding: str, status: int) -> None:
    answer = await front.post("/v1/events", body, content_encoding=encoding, **AUTH)
    assert answer.status == status


async def test_a_declared_length_over_the_limit_is_refused_unread(front: Front) -> None:
    answer = await front.post("/v1/events", b"{}", content_length=str(2**40), **AUTH)
    assert (answer.status, answer.headers["connection"]) == (413, "close")


@pytest.mark.parametrize(
    "authorization, status, code",
    [
        ("", 401, "key_missing"),
        ("Bearer ct_srv_none", 401, "key_unknown"),
        (f"Bearer {PUBLIC}", 403, "scope_missing"),
        (f"Bearer {READ}", 403, "scope_missing"),
    ],
)
async def test_only_a_server_key_opens_it(front: Front, authorization: str, status: int, code: str) -> None:
    answer = await front.post("/v1/events", GOOD, authorization=authorization)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)


async def test_an_unknown_key_while_the_snapshot_is_stale_may_come_again(front: Front) -> None:
    front.clock.now += STALE_AFTER + 1
    answer = await front.post("/v1/events", GOOD, authorization="Bearer ct_srv_new")
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")


async def test_when_nothing_can_be_stored_nothing_is_accepted(front: Front) -> None:
    front.doors.inbox._trouble = ("disk_full", "no space")
    server = await front.tell(GOOD)
    page = await front.post("/collect", browser(GOOD), origin="https://shop.example")
    for answer in (server, page):
        assert (answer.status, answer.json["error"]["code"], answer.headers["retry-after"]) == (
            503,
            "disk_full",
            "5",
        )
    assert page.headers["access-control-allow-origin"] == "*"
    front.doors.inbox._trouble = None
    assert await front.events() == []


async def test_a_receipt_tells_what_became_of_each_record(front: Front) -> None:
    answer = await front.tell({"kind": "lead"}, {"kind": "lead"}, {"kind": "lead"})
    receipt = read_receipt(answer.json["receipt"], workspace(1).secret)
    assert receipt is not None and receipt.position.count == 3
    target = f"/v1/receipts/{answer.json['receipt']}"
    assert (await front.ask("GET", target, **AUTH)).json["outcomes"] == ["queued"] * 3
    place = receipt.position
    with db.begin(front.engine) as connection:
        connection.execute(tables.cursors.insert().values(file=place.file, sequence=place.first + 1))
        connection.execute(
            tables.outcomes.insert().values(file=place.file, sequence=place.first, outcome="duplicate")
        )
    assert (await front.ask("GET", target, **AUTH)).json["outcomes"] == ["duplicate", "stored", "queued"]


async def test_a_receipt_is_of_one_workspace_and_of_seven_days(front: Front) -> None:
    told = await front.tell(GOOD)
    target = f"/v1/receipts/{told.json['receipt']}"
    assert (await front.ask("GET", target, authorization="Bearer ct_srv_two")).status == 404
    assert (await front.ask("GET", target[:-1], **AUTH)).status == 404
    front.clock.now += 8 * 86_400_000_000
    assert (await front.ask("GET", target, **AUTH)).json["error"]["code"] == "receipt_expired"


async def test_waiting_for_storage_answers_as_soon_as_the_cursor_has_passed(front: Front) -> None:
    file, sequence = (await front.doors.inbox.append([b"\xc0"])).file, 2
    with db.begin(front.engine) as connection:
        connection.execute(tables.cursors.insert().values(file=file, sequence=sequence))
    answer = await front.post("/v1/events?wait=stored", GOOD, **AUTH)
    assert answer.json["outcomes"] == ["stored"]


async def test_a_failing_database_makes_it_queued_and_nothing_worse(front: Front) -> None:
    with db.begin(front.engine) as connection:
        tables.outcomes.drop(connection)
    told = await front.tell(GOOD)
    answer = await front.ask("GET", f"/v1/receipts/{told.json['receipt']}", **AUTH)
    assert (answer.status, answer.json["outcomes"]) == (200, ["queued"])


# --- The beacon -------------------------------------------------------------------------------------


async def test_the_beacon_shares_its_context_and_an_events_own_word_comes_first(front: Front) -> None:
    context = {"visitor_id": "v1", "url": "https://shop.example/a", "utm": {"source": "x"}}
    answer = await front.post(
        "/collect",
        browser({"kind": "visit"}, {"kind": "pageview", "url": "https://shop.example/b"}, context=context),
        content_type="text/plain",
    )
    assert (answer.status, answer.json) == (202, {"accepted": 2, "rejected": []})
    visit, pageview = await front.events()
    assert (visit.visitor_id, visit.url, visit.utm) == ("v1", "https://shop.example/a", {"source": "x"})
    assert (pageview.visitor_id, pageview.url) == ("v1", "https://shop.example/b")
    assert visit.no != pageview.no and visit.cookie_id == pageview.cookie_id != ""


async def test_an_event_without_consent_gives_its_whole_beacon_no_cookie(front: Front) -> None:
    told = {"kind": "visit", "consent": {"measure": False}}
    answer = await front.post("/collect", browser(told, {"kind": "visit"}))
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("before", ["hi\n", "hi\t", '"', "\\", "hi\u2028", "é"])
async def test_what_is_shown_of_a_refused_event_is_json_without_addresses(front: Front, before: str) -> None:
    address = f"{before}ann@example.org"
    called = {"event": "lead", "Email": "ann", "mobile": "+4799887766", "prop-tel": "+4799887766"}
    properties = {"a": [address], address: {"phone": "+4799887766", "n": 0.5}}
    told = {**called, "value": "x", "note": address, "properties": properties}
    await front.post("/collect", browser(told))
    (refusal,) = await front.refusals()
    said = json.loads(refusal.body)
    assert "example.org" not in refusal.body and "99887766" not in refusal.body
    assert said.keys() == {"event", "value", "note", "properties"}
    assert said["note"] == said["properties"]["a"][0]
    assert said["note"].endswith("(email)")


@pytest.mark.parametrize("empty", [None, ""])
async def test_an_event_that_leaves_consent_empty_takes_back_no_denial(front: Front, empty: Any) -> None:
    body = {"k": PUBLIC, "events": [{"kind": "visit", "consent": empty, "visitor_id": "v"}]}
    await front.post("/collect", {**body, "context": {"consent": {"measure": False}}})
    (event,) = await front.events()
    assert (event.visitor_id, event.consent["measure"]) == ("", False)


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"source": "cmp"},
        {"ads": True},
        {"measure": True},
        {"measure": None},
        {"gpc": True},
        True,
        1,
        "1",
        {"analytics_storage": "granted", "ad_storage": "granted"},
    ],
)
@pytest.mark.parametrize("shared", [{"measure": False}, {"analytics_storage": "denied"}, 0, "0", False])
async def test_no_word_of_an_event_takes_back_what_its_beacon_denied(
    front: Front, shared: Any, own: Any
) -> None:
    body = {"k": PUBLIC, "events": [{"kind": "visit", "consent": own, "visitor_id": "v"}]}
    answer = await front.post("/collect", {**body, "context": {"consent": shared}})
    (event,) = await front.events()
    assert (event.visitor_id, event.consent["measure"], event.consent["ads"]) == ("", False, False)
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "own, shared, told",
    [
        (
            {"measure": True},
            {"ads": False, "source": "cmp"},
            {"measure": True, "ads": False, "source": "cmp"},
        ),
        ({"ads": True, "source": "own"}, {"ads": "0", "source": "cmp"}, {"ads": "0", "source": "cmp"}),
        ({"ads": False, "source": "own"}, {"ads": True, "source": "cmp"}, {"ads": False, "source": "own"}),
        ({"source": "own"}, {"measure": True, "source": "cmp"}, {"measure": True, "source": "own"}),
        ({"gpc": False}, {"gpc": True}, {"gpc": True}),
        ({"measure": False}, 1, {"measure": False, "ads": 1}),
        ({"ads": True}, None, {"ads": True}),
        ("", {}, None),
    ],
)
def test_consent_of_an_event_and_its_beacon_is_one(own: object, shared: object, told: object) -> None:
    assert together(own, shared) == told


@pytest.mark.parametrize("key, status", [(None, 401), ("ct_pub_none", 401), (SERVER, 403), (7, 401)])
async def test_the_beacon_wants_a_public_key(front: Front, key: object, status: int) -> None:
    answer = await front.post("/collect", {"k": key, "events": [GOOD]})
    assert (answer.status, answer.json["error"]["field"]) == (status, "k")


@pytest.mark.parametrize(
    "body, status",
    [
        ({"k": PUBLIC}, 400),
        ({"k": PUBLIC, "events": [GOOD] * 51}, 413),
        ({"k": PUBLIC, "events": [GOOD], "context": 7}, 400),
        ({"k": PUBLIC, "events": [GOOD], "pad": "x" * 2**16}, 413),
        (["k"], 400),
    ],
)
async def test_a_bad_beacon_is_refused_as_a_whole(front: Front, body: object, status: int) -> None:
    assert (await front.post("/collect", body)).status == status


async def test_without_a_list_any_origin_may_write_but_without_credentials(front: Front) -> None:
    answer = await front.post("/collect", browser(GOOD), origin="https://any.example")
    assert answer.status == 202
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["vary"] == "Origin"


async def test_an_origin_on_the_list_is_echoed_and_others_are_refused(front: Front) -> None:
    front.settings(origins=["https://Shop.example/"])
    listed = await front.post("/collect", browser(GOOD), origin="https://shop.example")
    other = await front.post("/collect", browser(GOOD), origin="https://other.example")
    null = await front.post("/collect", browser(GOOD), origin="null")
    assert listed.headers["access-control-allow-origin"] == "https://shop.example"
    assert listed.headers["access-control-allow-credentials"] == "true"
    assert [answer.json["error"]["code"] for answer in (other, null)] == ["origin_not_allowed"] * 2
    assert (other.status, len(await front.events())) == (403, 1)


async def test_the_services_own_site_may_use_credentials(front: Front) -> None:
    front.settings(origins=["https://shop.example"])
    answer = await front.post("/collect", browser(GOOD), origin="https://t.example")
    assert (answer.status, answer.headers["access-control-allow-credentials"]) == (202, "true")


async def test_a_preflight_knows_the_origins_of_any_workspace(front: Front) -> None:
    front.settings(origins=["https://shop.example"])
    known = await front.ask("OPTIONS", "/collect", origin="https://shop.example")
    other = await front.ask("OPTIONS", "/collect", origin="https://other.example")
    assert (known.status, known.headers["access-control-allow-credentials"]) == (204, "true")
    assert other.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in other.headers


@pytest.mark.parametrize("target", ["/collect", "/v1/events", "/v1/receipts/x", "/postback"])
async def test_other_methods_are_told_which_to_use(front: Front, target: str) -> None:
    answer = await front.ask("DELETE", target)
    assert answer.status == 405 and answer.headers["allow"]
