"""No input gives a 500: every wrong body, parameter and path is a 4xx, and names its field."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import tables
from tests.management import House, build

#: Every field of every body, with a value that it takes.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("PATCH", "/v1/workspace"): {
        "name": "x", "timezone": "UTC", "reporting_currency": "EUR", "week_start": "monday",
        "origins": ["https://a.example"], "hosts": ["a.example"], "browser_sales": "pending",
        "consent_default": "denied", "billing_model": "last_touch", "windows": {"click": 1},
        "billing_window": 3, "tier_rule": "all_kinds", "direct": "count", "collapse": True,
        "reset_after_conversion": True, "first_conversion_only": True, "half_life_hours": 5,
        "position_shares": [40, 20, 40], "join_limit": 5, "ignored_referrers": ["b.example"],
        "lead_count": "every", "fx_max_age_days": 3,
    },
    ("POST", "/v1/keys"): {"scope": "read", "name": "x"},
    ("POST", "/v1/rejected/replay"): {"ids": [1], "code": "x"},
    ("POST", "/v1/identifiers/blocks"): {"kind": "user", "value": "x", "note": "y"},
    ("POST", "/v1/campaigns"): {
        "slug": "a", "name": "x", "archived": False, "channel": "c", "audience": "", "status": "active",
        "landing_url": "", "fallback_url": "", "allowed_hosts": ["a.example"], "match": [{"source": "x"}],
        "pass_parameters": True, "cost_source": "deals", "cost_source_from": "2026-11-01",
        "margin_rate": 0.5, "starts_on": "2026-11-01", "ends_on": "2026-11-02", "windows": {"visit": 2},
    },
    ("PATCH", "/v1/campaigns/mine"): {"slug": "mine", "name": "x", "margin_rate": 1, "match": []},
    ("PUT", "/v1/campaigns/mine"): {"name": "x", "cost_source": "spend"},
    ("POST", "/v1/campaigns/mine/ads"): {
        "slug": "a", "ad_group": "g", "creative": "c", "landing_url": "", "segment": {"age": "x"}
    },
    ("POST", "/v1/partners"): {"slug": "a", "payout_means": "revenue"},
    ("POST", "/v1/goals"): {
        "slug": "a", "kind": "sale", "count": "every", "primary": True, "value": "1", "currency": "EUR",
        "probability": 0.1, "windows": {},
    },
    ("POST", "/v1/campaigns/mine/pricing"): {
        "model": "cpc", "side": "cost", "rate": 1, "currency": "EUR", "ad": None, "partner": None,
        "goal": None, "valid_from": "2026-11-01", "valid_to": None, "per": None, "every_click": False,
    },
    ("POST", "/v1/spend"): {
        "date": "2026-11-01", "source": "s", "account": "a", "campaign": "mine", "ad": "x", "amount": 1,
        "currency": "EUR", "timezone": "UTC", "impressions": 1, "clicks": 1,
    },
    ("POST", "/v1/fx-rates"): {"date": "2026-11-01", "currency": "USD", "base": "EUR", "rate": "0.9"},
}  # fmt: skip
FIELDS = [(method, path, field) for (method, path), body in BODIES.items() for field in body]

#: JSON texts that have broken services of this kind.
EXTREMES = [
    "NaN", "Infinity", "-Infinity", "1e309", "-1e309", "9" * 5000, "9" * 4000, "9223372036854775808",
    "-9223372036854775809", '"\\ud800"', '"\\u0000"', '"a\\u0000b"', "[" * 900 + "]" * 900, '"1e999999999"',
    "[" * 100_000, '{"a":' * 900 + "1" + "}" * 900, "null", "true", "[]", "{}", '""', "0.1234567", "-1",
    '"NaN"', '"' + "x" * 100_000 + '"', '{"\\ud800": 1}', '{"\\u0000": "\\u0000"}', "[null]", '["\\udfff"]',
    '"2026-02-30"', '"\\ud83d\\ude00"', "1.7976931348623157e308", '"9999-99-99"', "[[[]]]", "[NaN, NaN]",
]  # fmt: skip

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    house = build(folder)
    house.put(tables.campaigns, {"workspace": house.workspace, "slug": "mine"})
    yield house
    house.close()


async def send(house: House, method: str, path: str, text: str) -> httpx.Response:
    async with house.client() as client:
        headers = {"Content-Type": "application/json"}
        return await client.request(
            method, path, content=text.encode("utf-8", "surrogatepass"), headers=headers
        )


def named(answer: httpx.Response) -> str:
    """The field a refusal names: of the request, or of its only row."""
    body = answer.json()
    return str(body["error"].get("field") if "error" in body else body["rejected"][0]["field"])


@pytest.mark.parametrize("method, path, field", FIELDS)
async def test_an_extreme_value_is_refused_by_the_name_of_its_field(
    shared: House, method: str, path: str, field: str
) -> None:
    body = {name: value for name, value in BODIES[method, path].items() if name != field}
    for extreme in EXTREMES:
        text = json.dumps(body)[:-1] + ("," if body else "") + f'"{field}":{extreme}}}'
        answer = await send(shared, method, path, text)
        assert answer.status_code < 500, (extreme[:50], answer.text[:300])
        refused_whole = "error parsing the body" in answer.text
        if answer.status_code in (400, 422) and not refused_whole:
            assert named(answer).partition(".")[0] in (field, *body), (extreme[:50], answer.text[:300])


@pytest.mark.parametrize("method, path", list(BODIES))
@pytest.mark.parametrize(
    "text", ["", "{", "nul", "\x00", "[" * 100_000, "9" * 5000, "NaN", '"x"', "[]", "[1]", "\ud800"]
)
async def test_a_body_that_is_not_the_json_asked_for_is_refused(
    shared: House, method: str, path: str, text: str
) -> None:
    answer = await send(shared, method, path, text)
    assert 400 <= answer.status_code < 500, answer.text[:300]


@pytest.mark.parametrize("method, path, field", FIELDS)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=JSON)
async def test_no_json_value_breaks_a_field(
    shared: House, method: str, path: str, field: str, value: Any
) -> None:
    body = {**BODIES[method, path], field: value}
    answer = await send(shared, method, path, json.dumps(body))
    assert answer.status_code < 500, answer.text[:300]


@pytest.mark.parametrize("method, path", list(BODIES))
async def test_a_field_that_nobody_knows_is_named(shared: House, method: str, path: str) -> None:
    answer = await send(shared, method, path, json.dumps({**BODIES[method, path], "colour": "blue"}))
    assert answer.status_code in (400, 422)
    assert named(answer) == "colour"


LISTS = ["/v1/campaigns", "/v1/campaigns/mine/ads", "/v1/campaigns/mine/pricing", "/v1/keys", "/v1/spend",
         "/v1/fx-rates", "/v1/audit-log", "/v1/rejected"]  # fmt: skip
PARAMETERS = [
    ("limit", "0"), ("limit", "1001"), ("limit", "x"), ("limit", "9" * 5000), ("limit", "NaN"),
    ("cursor", "x"), ("cursor", "\0"), ("cursor", "e30"), ("cursor", "W10"), ("cursor", "9" * 3000),
    ("cursor", "WzFlMzA5XQ"), ("cursor", "é"), ("colour", "blue"),
]  # fmt: skip


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("name, value", PARAMETERS)
async def test_a_parameter_out_of_bounds_is_named(shared: House, path: str, name: str, value: str) -> None:
    async with shared.client() as client:
        answer = await client.get(path, params={name: value})
    assert answer.status_code == 400, answer.text[:300]
    assert answer.json()["error"]["field"] == name


@pytest.mark.parametrize("part", ["%00", "%ff", "%ed%a0%80", "%20", "a%2Fb", "x" * 5000, "%F0%9F%99%82"])
@pytest.mark.parametrize(
    "path", ["/v1/campaigns/{}", "/v1/goals/{}", "/v1/campaigns/{}/ads", "/v1/campaigns/{}/pricing/1",
             "/v1/campaigns/mine/pricing/{}", "/v1/keys/{}"]
)  # fmt: skip
async def test_a_path_that_names_nothing_is_not_found_or_refused(shared: House, path: str, part: str) -> None:
    async with shared.client() as client:
        answer = await client.get(path.format(part))
    assert answer.status_code in (400, 404), answer.text[:300]


@pytest.mark.parametrize("id_", ["0", "-1", "9223372036854775808", "9" * 5000, "1e5", "NaN"])
async def test_an_id_beyond_64_bits_is_refused(shared: House, id_: str) -> None:
    async with shared.client() as client:
        answer = await client.get(f"/v1/keys/{id_}")
    assert answer.status_code == 400 and answer.json()["error"]["field"] == "id"


async def test_a_body_beyond_all_bounds_is_not_read(shared: House) -> None:
    async with shared.client("ct_adm_made-up") as client:
        answer = await client.post("/v1/spend", content=b" " * (2**21 + 1))
    assert answer.status_code == 413
