"""Requests that no client library would send, and bodies and parameters that no route was made for."""

import itertools
import json
import random
from typing import Any

import httpx
import pytest

from app.collect.pixel import GIF
from app.main import create_app
from app.settings import Settings
from tests.contract.conftest import Service, error

MIB = 2**20
DOCUMENT: dict[str, Any] = create_app(Settings(database_url="sqlite://")).framework.openapi()
DOORS = {
    "/p.gif",
    "/c/{campaign}",
    "/c/{campaign}/{ad}",
    "/collect",
    "/v1/events",
    "/postback",
    "/healthz",
    "/readyz",
}
OPERATIONS = [
    (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if path not in DOORS
]
CHANGING = [(method, path) for method, path, _ in OPERATIONS if method in ("POST", "PUT", "PATCH")]
numbers = itertools.count()

TEXTS = [
    "NaN", "1e309", "9" * 5000, '"\\ud800"', '"\\u0000"', str(2**63), "[" * 2000 + "]" * 2000, "true", "-1",
    "[]",
    '[["\\ud800"]]', '{"a": 1}', '["is", "campaign", ["\\ud800", "\\u0000", 7]]', "[[]]", '"x"',
    "[" * 100_000,
]  # fmt: skip


def concrete(path: str) -> str:
    """The path with names in it; of nothing there is, so that nothing is lost."""
    for name in ("campaign", "slug", "ad", "id", "receipt"):
        path = path.replace("{" + name + "}", "7" if name == "id" else "nothing")
    return path


def head(service: Service, method: str, path: str, *headers: str, scope: str = "server") -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {service.keys[scope]}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


# --- Lengths that lie ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, limit", [("/v1/events", MIB), ("/collect", 65_536), ("/v1/campaigns", 2 * MIB)]
)
def test_a_body_said_to_be_too_large_is_refused_before_it_is_sent(
    service: Service, path: str, limit: int
) -> None:
    for length in (limit + 1, 10**12):
        kind = "Content-Type: application/json"
        reply = service.raw(head(service, "POST", path, f"Content-Length: {length}", kind, scope="admin"))
        assert reply.status == 413, length


@pytest.mark.parametrize(
    "path", ["/v1/events", "/collect", "/postback", "/v1/campaigns", "/v1/metrics/query"]
)
def test_a_body_that_ends_early_is_no_body(service: Service, path: str) -> None:
    before = service.ask("GET", "/v1/metrics?metrics=pageviews&date_range=all", "read").json()["totals"]
    started = head(
        service, "POST", path, "Content-Length: 500", "Content-Type: application/json", scope="admin"
    )
    reply = service.raw(started + b'{"kind": "pageview"}', shut=True)
    assert reply.status in (0, 400)
    service.settled()
    after = service.ask("GET", "/v1/metrics?metrics=pageviews&date_range=all", "read").json()["totals"]
    assert after == before


@pytest.mark.parametrize(
    "length", ["-1", "abc", "1e3", "0x10", "+5", " ", "9" * 5000, "5, 6", "5\r\nContent-Length: 6"]
)
def test_a_length_that_is_none_is_refused(service: Service, length: str) -> None:
    reply = service.raw(
        head(service, "POST", "/v1/events", f"Content-Length: {length}") + b'{"kind": "pageview"}'
    )
    assert reply.status in (0, 400, 413)


def test_an_endless_body_in_chunks_is_refused_at_its_limit(service: Service) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    reply = service.raw(head(service, "POST", "/v1/events", "Transfer-Encoding: chunked") + chunk * 40)
    assert reply.status == 413
    whole = b"14\r\n" + b'{"kind": "pageview"}' + b"\r\n0\r\n\r\n"
    assert (
        service.raw(head(service, "POST", "/v1/events", "Transfer-Encoding: chunked") + whole).status == 202
    )


@pytest.mark.parametrize("sent", [
    b"\x00" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
    b"GET /p.gif?\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00", b"GET /p.gif HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET http://evil.example/p.gif HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"GET //p.gif HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /%c0%ae%c0%ae/ HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /c/%ed%a0%80 HTTP/1.1\r\nHost: x\r\n\r\n",
], ids=range(11))  # fmt: skip
def test_what_is_hardly_http_is_no_5xx(service: Service, sent: bytes) -> None:
    assert service.raw(sent, shut=True).status < 500
    assert service.ask("GET", "/healthz").status_code == 200


# --- Long addresses and heads ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [8_000, 16_000, 64_000, 200_000])
def test_a_long_address_costs_nobody_anything(service: Service, size: int) -> None:
    long = "x" * size
    for path, status in (
        (f"/p.gif?k={service.keys['public']}&e=impression&url={long}", {200}),
        (f"/c/spring?sub1={long}", {302}),
        (f"/c/{long}", {404}),
        (f"/v1/receipts/{long}", {404}),
        (f"/postback?click_id={long}", {400}),
        (f"/v1/metrics?metrics={long}", {400}),
        (f"/v1/conversions?cursor={long}", {400}),
        (f"/v1/conversions/{long}", {400, 404}),
        (f"/v1/campaigns/{long}", {400, 404}),
    ):
        reply = service.raw(head(service, "GET", path, scope="admin"))
        assert reply.status in (status if size < 32_000 else {414}), path[:30]


@pytest.mark.parametrize("size, believed", [(100, True), (16_000, True), (17_000, False), (60_000, False)])
def test_a_huge_cookie_is_ignored_and_the_event_kept(service: Service, size: int, believed: bool) -> None:
    asked = {"k": service.keys["public"], "e": "pageview"}
    known = service.ask("GET", "/p.gif", params=asked).headers["Set-Cookie"].partition(";")[0]
    answer = service.ask("GET", "/p.gif", params=asked, headers={"Cookie": f"{known}; a=".ljust(size, "x")})
    assert (answer.content, answer.headers["X-Clicktrail"]) == (GIF, "accepted")
    assert ("Set-Cookie" not in answer.headers) is believed


def test_a_bomb_of_headers_is_no_5xx(service: Service) -> None:
    path = f"/p.gif?k={service.keys['public']}&e=pageview"
    for lines in ([f"X-{n}: {'y' * 300}" for n in range(200)], ["Cookie: a=" + "x" * 128_000]):
        assert service.raw(head(service, "GET", path, *lines)).status == 431
    assert service.ask("GET", "/healthz").status_code == 200


# --- Every other route -----------------------------------------------------------------------------


def refusal(answer: httpx.Response) -> tuple[str, str]:
    """(code, field) of a refused request, or of its first refused row."""
    assert 400 <= answer.status_code < 500, answer.text[:200]
    told = answer.json()
    first = told["error"] if "error" in told else told["rejected"][0]
    return first["code"], first.get("field") or ""


@pytest.mark.parametrize("method, path", CHANGING)
def test_a_body_that_no_route_asked_for_is_refused(service: Service, method: str, path: str) -> None:
    bodies = [
        "",
        "{",
        "\x00",
        "\xff",
        "null",
        "[]",
        "7",
        '"x"',
        '{"a": NaN}',
        '{"\\ud800": 1}',
        '{"\\u0000": 1}',
    ]
    with service.client("admin", content_type="application/json") as client:
        for body in [*bodies, *TEXTS]:
            answer = client.request(method, concrete(path), content=body.encode("latin-1"))
            assert refusal(answer)[0], body[:40]


@pytest.mark.parametrize("method, path", CHANGING)
def test_an_extreme_in_any_field_is_a_4xx_that_names_one(service: Service, method: str, path: str) -> None:
    operation = DOCUMENT["paths"][path][method.lower()]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    with service.client("admin", content_type="application/json") as client:
        for field, text in itertools.product(schema["properties"], TEXTS[:7]):
            answer = client.request(method, concrete(path), content=f'{{"{field}": {text}}}'.encode())
            code, named = refusal(answer)
            # What no JSON decoder takes has no fields; and nothing is known of what is not there.
            assert named or code in ("not_json", "json_invalid", "campaign_not_found"), (field, text[:40])


@pytest.mark.parametrize(
    "method, path", [(m, p) for m, p, o in OPERATIONS if o.get("parameters") and m == "GET"]
)
def test_an_extreme_in_any_parameter_is_no_5xx(service: Service, method: str, path: str) -> None:
    values = ["%00", "%ff", "%ed%a0%80", "NaN", "1e309", "9" * 5000, str(2**63), "-1", "", "%F0%9F%98%80",
    "%2e%2e%2f",
              "%0d%0aX:1", "{}", "'%22;--", "%u0041", "a" * 3000]  # fmt: skip
    parameters = DOCUMENT["paths"][path]["get"]["parameters"]
    with service.client("admin") as client:
        for parameter, value in itertools.product(parameters, values):
            name = parameter["name"]
            if parameter["in"] == "path":
                address = concrete(path.replace("{" + name + "}", value))
            else:
                address = f"{concrete(path)}?metrics=clicks&{name}={value}"
            answer = client.get(address)
            assert answer.status_code < 500, (address[:200], answer.text[:200])


# --- Queries ---------------------------------------------------------------------------------------

QUERY = """metrics dimensions date_range filters model by status timezone currency order_by limit offset
           format numbers""".split()


@pytest.mark.parametrize("field", QUERY)
def test_an_extreme_in_a_query_is_400_by_its_name(service: Service, field: str) -> None:
    plain = {} if field == "metrics" else {"metrics": ["clicks"]}
    harmless = {"dimensions": ["[]"], "filters": ["[]"], "order_by": ["[]"]}.get(field, [])
    with service.client("read") as client:
        for text in [text for text in TEXTS if text not in harmless]:
            body = json.dumps(plain)[:-1] + (", " if plain else "") + f'"{field}": {text}}}'
            answer = client.post("/v1/metrics/query", content=body.encode())
            assert answer.status_code == 400, (text[:40], answer.text[:200])
            named = (error(answer)[2] or "").partition("[")[0]
            assert named == field or error(answer)[1] == "json_invalid", (text[:40], answer.text[:200])
            link = client.get("/v1/metrics", params={"metrics": "clicks", field: text[:8000]})
            assert link.status_code == 400, (text[:40], link.text[:200])


def test_a_filter_may_be_anything_and_is_taken_or_refused(service: Service) -> None:
    chance = random.Random(7)
    words: list[Any] = [
        "is", "is_not", "contains", "in", "and", "or", "not", "campaign", "time:day", "goal", "clicks", "",
        None, 7, -1.5, True, "%", "_", "\\", "'", "\u202e", "å", {}, "segment.", "segment.a",
    ]  # fmt: skip

    def some(depth: int) -> Any:
        if depth == 0 or chance.random() < 0.4:
            return chance.choice(words)
        return [some(depth - 1) for _ in range(chance.randrange(4))]

    with service.client("read") as client:
        for _ in range(300):
            filters = some(5)
            answer = client.post("/v1/metrics/query", json={"metrics": ["clicks"], "filters": filters})
            assert answer.status_code in (200, 400), (filters, answer.text[:200])
            assert answer.status_code == 200 or error(answer)[2], filters
