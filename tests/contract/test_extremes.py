"""Values that gave others a 500: here each is a 4xx that names its field, and costs nothing but itself.

The list is that of docs/architecture.md's facts. An event is judged by itself, so its neighbours in the
batch are stored; a body that is no JSON, or too large, is refused whole and nothing of it is accepted.
"""

import gzip
import itertools
import json
import time
import zlib
from typing import Any

import pytest

from app import tables
from app.collect.parse import FIELDS
from tests.contract.conftest import Service, error

MIB = 2**20
numbers = itertools.count()

#: JSON texts that no field can hold.
IMPOSSIBLE = {
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "1e309": "1e309",
    "-1e309": "-1e309",
    "5000 digits": "9" * 5000,
    "2**63": str(2**63),
    "-2**63-1": str(-(2**63) - 1),
    "lone surrogate": '"\\ud800"',
    "NUL": '"\\u0000"',
    "NUL within": '"a\\u0000b"',
    "ESC": '"\\u001b[31m"',
    "list": "[[1]]",
}

#: JSON texts that some fields hold and others do not.
STRANGE = {
    "5000 digits as text": '"' + "9" * 5000 + '"',
    "1e-30": "1e-30",
    "40 decimals": "0." + "1" * 40,
    "comma": '"1,5"',
    "minus zero": "-0.0",
    "true": "true",
    "empty object": "{}",
    "empty list": "[]",
    "long": '"' + "x" * 9000 + '"',
    "emoji": '"\\ud83d\\ude00"',
    "right to left": '"\\u202eevil"',
    "decomposed": '"e\\u0301"',
    "line": '"a\\u2028b"',
    "number word": '"NaN"',
    "nested": "[" * 20 + "]" * 20,
    "2**63-1": str(2**63 - 1),
    "-1": "-1",
    "1e308": "1e308",
    "objects": '{"a": ' * 20 + "1" + "}" * 20,
    "format": '"%s {0} %n ${x}"',
    "sql": '"\'; DROP TABLE events; --"',
}

#: What an event needs beside the field under test, so that nothing else can be wrong with it.
BESIDE = {
    "currency": {"value": "1"},
    **{name: {"currency": "EUR"} for name in ("value", "tax", "shipping", "cost_of_goods", "payout")},
}
FIELDS_TOLD = [*FIELDS, "occurred_at"]


def batch(field: str, texts: list[str]) -> tuple[bytes, str]:
    """A body with an event of `field` for each JSON text, good neighbours between; and their keyword."""
    mark = f"neighbour-{next(numbers)}"
    good = json.dumps({"kind": "pageview", "keyword": mark})
    events = [good]
    for text in texts:
        plain: dict[str, Any] = {"kind": "sale", **BESIDE.get(field, {})}
        plain.pop(field, None)
        events += [json.dumps(plain)[:-1] + ("," if plain else "") + f'"{field}": {text}}}', good]
    return ('{"events": [' + ",".join(events) + "]}").encode(), mark


@pytest.mark.parametrize("field", FIELDS_TOLD)
def test_one_impossible_value_costs_its_own_event_and_is_named(service: Service, field: str) -> None:
    body, mark = batch(field, list(IMPOSSIBLE.values()))
    answer = service.post("/v1/events", body, "server")
    told = answer.json()
    assert answer.status_code == 202
    refused = {one["index"]: one["field"].split(".")[0] for one in told["rejected"]}
    expected = {2 * i + 1: field for i in range(len(IMPOSSIBLE))}
    missing = [name for i, name in enumerate(IMPOSSIBLE) if 2 * i + 1 not in refused]
    assert refused == expected, missing
    assert len(service.rows(tables.events, keyword=mark)) == told["accepted"] == len(IMPOSSIBLE) + 1


@pytest.mark.parametrize("field", FIELDS_TOLD)
def test_a_strange_value_is_taken_or_named(service: Service, field: str) -> None:
    body, mark = batch(field, list(STRANGE.values()))
    answer = service.post("/v1/events", body, "server", wait="stored")
    told = answer.json()
    assert answer.status_code == 202
    assert {one["field"].split(".")[0] for one in told["rejected"]} <= {field}
    assert set(told["outcomes"]) == {"stored"}
    assert len(service.rows(tables.events, keyword=mark)) >= len(STRANGE) + 1


@pytest.mark.parametrize("field", FIELDS_TOLD)
def test_neither_breaks_the_door_for_browsers(service: Service, field: str) -> None:
    body, mark = batch(field, [*IMPOSSIBLE.values(), *list(STRANGE.values())[2:7]])
    body = b'{"k": "' + service.keys["public"].encode() + b'", ' + body[1:]
    answer = service.ask("POST", "/collect", content=body)
    assert answer.status_code == 202, answer.text
    assert {one["field"].split(".")[0] for one in answer.json()["rejected"]} <= {field}
    assert len(service.rows(tables.events, keyword=mark)) >= len(IMPOSSIBLE) + 6


@pytest.mark.parametrize("within", ["properties", "segment", "utm", "click_ids", "consent", "subs"])
@pytest.mark.parametrize("name", [name for name in IMPOSSIBLE if name != "list"])  # a property may be one
def test_an_impossible_value_within_an_object_is_named_too(service: Service, within: str, name: str) -> None:
    inner = {"utm": "source", "click_ids": "gclid", "consent": "measure", "subs": "sub1"}.get(within, "a")
    body, mark = batch(within, [f'{{"{inner}": {IMPOSSIBLE[name]}}}'])
    told = service.post("/v1/events", body, "server").json()
    assert [(one["index"], one["field"].split(".")[0]) for one in told["rejected"]] == [(1, within)]
    assert len(service.rows(tables.events, keyword=mark)) == 2


@pytest.mark.parametrize("field", ["kind", "id", "value", "order_id", "campaign", "properties"])
def test_a_name_given_twice_is_named(service: Service, field: str) -> None:
    good = {
        "kind": "sale",
        "id": f"twice-{next(numbers)}",
        "value": "1",
        "currency": "EUR",
        "campaign": "spring",
        "order_id": f"twice-{next(numbers)}",
        "properties": {"a": 1},
    }
    twice = json.dumps(good)[:-1] + f', "{field}": {json.dumps(good[field])}}}'
    told = service.post("/v1/events", f'{{"events": [{twice}]}}'.encode(), "server").json()
    assert [one["field"] for one in told["rejected"]] == [field]
    answer = service.post("/v1/events", b'{"events": [], "events": [{"kind": "pageview"}]}', "server")
    assert error(answer) == (400, "events_not_list", "events")


def test_bytes_that_are_not_utf_8_cost_their_own_event(service: Service) -> None:
    for raw in (b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\x80", b"a\xe2\x82"):
        good = b'{"kind": "pageview"}'
        body = b'{"events": [' + good + b', {"kind": "pageview", "keyword": "' + raw + b'"}, ' + good + b"]}"
        told = service.post("/v1/events", body, "server").json()
        assert (told["accepted"], [one["field"] for one in told["rejected"]]) == (2, ["keyword"]), raw


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nul",
        b"\xff\xfe{\x00}\x00",
        b"\x00",
        b"[]",
        b"7",
        b'"x"',
        b"NaN",
        b"null",
        b'{"events": 7}',
        b'{"events": {}}',
        b'{"events": null}',
        b"{'events': []}",
        b'{"events": [}',
        b"{}{}",
        b'{"kind": "pageview"}x',
        '{"kind": "pageview"}'.encode("utf-16"),
        b"<xml/>",
        b"k=v",
        b"1" * 5000,
        b"-" * 70_000,
    ],
)
def test_what_is_no_body_of_events_is_400(service: Service, body: bytes) -> None:
    answer = service.post("/v1/events", body, "server")
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"]


@pytest.mark.parametrize("depth", [33, 1000, 2000, 100_000])
@pytest.mark.parametrize("pair", ["[]", '{"a":}'])
@pytest.mark.parametrize(
    "path, scope",
    [
        ("/v1/events", "server"),
        ("/collect", ""),
        ("/postback", "server"),
        ("/v1/metrics/query", "read"),
        ("/v1/campaigns", "admin"),
        ("/v1/spend", "admin"),
        ("/v1/fx-rates", "admin"),
        ("/v1/keys", "admin"),
    ],
)
def test_what_nests_too_deep_is_400_at_once(
    service: Service, path: str, scope: str, pair: str, depth: int
) -> None:
    opening, closing = pair[:-1], pair[-1]
    deep = opening * depth + ("1" if pair != "[]" else "") + closing * depth
    body = f'{{"k": "{service.keys["public"]}", "events": [{{"kind": "pageview", "properties": {deep}}}]}}'
    began = time.monotonic()
    answer = service.post(path, body.encode(), scope)
    assert answer.status_code in (400, 413), answer.text[:200]
    assert time.monotonic() - began < 2


# --- Sizes and encodings ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, scope, limit",
    [
        ("/v1/events", "server", MIB),
        ("/collect", "", 64 * 1024),
        ("/v1/campaigns", "admin", 2 * MIB),
        ("/v1/metrics/query", "read", 256 * 1024),
    ],
)
def test_a_body_at_its_limit_is_read_and_one_byte_more_is_not(
    service: Service, path: str, scope: str, limit: int
) -> None:
    bodies: dict[str, Any] = {
        "/v1/events": {"kind": "pageview"},
        "/collect": {"k": service.keys["public"], "events": [{"kind": "pageview"}]},
        "/v1/campaigns": {"slug": "big"},
        "/v1/metrics/query": {"metrics": ["clicks"]},
    }
    for size in (limit - 1, limit, limit + 1):
        body = {**bodies[path], **({"slug": f"big-{next(numbers)}"} if path == "/v1/campaigns" else {})}
        answer = service.post(path, json.dumps(body).encode().ljust(size), scope)
        assert answer.status_code == 413 if size > limit else answer.is_success, (size, answer.text)


EVENT = b'{"kind": "pageview"}'


def deflated(body: bytes, bits: int) -> bytes:
    packer = zlib.compressobj(wbits=bits)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    "body, encoding, status",
    [
        (gzip.compress(EVENT), "gzip", 202),
        (gzip.compress(EVENT), "x-gzip", 202),
        (gzip.compress(EVENT), "GZIP", 202),
        (gzip.compress(EVENT), "", 202),
        (gzip.compress(EVENT), "identity", 202),
        (deflated(EVENT, 15), "deflate", 202),
        (deflated(EVENT, -15), "deflate", 202),
        (EVENT, "identity", 202),
        (EVENT, "gzip", 400),
        (EVENT, "deflate", 400),
        (gzip.compress(EVENT)[:-1], "gzip", 400),
        (gzip.compress(EVENT)[:12], "", 400),
        (gzip.compress(EVENT) + b"x", "gzip", 400),
        (gzip.compress(EVENT) + gzip.compress(EVENT), "gzip", 400),
        (gzip.compress(gzip.compress(EVENT)), "gzip", 400),
        (b"\x1f\x8b", "", 400),
        (b"", "gzip", 400),
        (gzip.compress(b" " * 50 * MIB), "gzip", 413),
        (gzip.compress(EVENT.ljust(MIB)), "gzip", 202),
        (gzip.compress(EVENT.ljust(MIB + 1)), "gzip", 413),
        (deflated(b"[" * 50 * MIB, 15), "deflate", 413),
        (EVENT, "br", 415),
        (EVENT, "zstd", 415),
        (gzip.compress(EVENT), "gzip, gzip", 415),
    ],
    ids=range(24),
)
def test_compressed_bodies(service: Service, body: bytes, encoding: str, status: int) -> None:
    for kind in ("application/json", "text/plain"):
        headers = {"Content-Type": kind} | ({"Content-Encoding": encoding} if encoding else {})
        answer = service.ask("POST", "/v1/events", "server", content=body, headers=headers)
        assert answer.status_code == status, answer.text[:200]
