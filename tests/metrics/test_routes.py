"""Reports over HTTP: keys, the twins, formats, errors, and what there is to ask."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from app import db, deps, workspaces
from app.errors import ClicktrailError
from app.metrics import routes
from app.metrics.catalogue import DIMENSIONS, METRICS
from tests.metrics.shop import DAY, NOW, Shop

BODY: dict[str, Any] = {
    "metrics": ["clicks", "sales", "cpa"],
    "dimensions": ["campaign"],
    "date_range": [DAY, DAY],
}
LINK = {"metrics": "clicks,sales,cpa", "dimensions": "campaign", "from": DAY, "to": DAY}


@pytest.fixture
async def client(shop: Shop, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    shop.traffic(campaign="spring", clicks=20, clicks_billable=20)
    shop.deal("cpc", "0.5", campaign="spring")
    shop.results("sale", 4, campaign="spring")
    with db.begin(shop.engine) as connection:
        keys = {scope: workspaces.new_key(scope) for scope in workspaces.SCOPES}
        for scope, key in keys.items():
            workspaces.add_key(connection, shop.id, scope, name=scope, now=NOW, key=key)
    snapshots = workspaces.Snapshots(tmp_path / "config.snapshot", clock=lambda: NOW)
    snapshots.refresh(shop.engine)
    app = FastAPI()
    app.state.service = deps.Service(shop.engine, shop.engine, snapshots, lambda: NOW)
    app.include_router(routes.router)

    @app.exception_handler(ClicktrailError)
    def answer(_request: Request, error: ClicktrailError) -> JSONResponse:
        return JSONResponse(error.body(), status_code=error.status)

    transport = httpx.ASGITransport(app)
    headers = {"Authorization": f"Bearer {keys['read']}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        client.params = httpx.QueryParams()
        client.keys = keys  # type: ignore[attr-defined]
        yield client


async def test_a_link_answers_what_its_twin_answers(client: httpx.AsyncClient) -> None:
    posted = await client.post("/v1/metrics/query", json=BODY)
    linked = await client.get("/v1/metrics", params=LINK)
    assert posted.status_code == linked.status_code == 200
    assert posted.content == linked.content
    assert posted.json()["rows"] == [{"campaign": "spring", "clicks": 20, "sales": 4, "cpa": 2.5}]
    assert posted.json()["meta"]["currency"] == "EUR"


async def test_an_answer_sent_again_means_the_same(client: httpx.AsyncClient) -> None:
    first = (await client.post("/v1/metrics/query", json=BODY)).json()
    again = (await client.post("/v1/metrics/query", json=first["query"])).json()
    assert again == first


async def test_a_head_request_has_the_headers_of_its_link(client: httpx.AsyncClient) -> None:
    found = await client.head("/v1/metrics", params={**LINK, "format": "csv"})
    assert found.status_code == 200
    assert found.headers["content-type"].startswith("text/csv")
    assert found.headers["x-clicktrail-truncated"] == "false"


async def test_only_keys_that_may_read_are_answered(client: httpx.AsyncClient) -> None:
    keys: dict[str, str] = client.keys  # type: ignore[attr-defined]
    statuses = {}
    for scope, key in keys.items():
        found = await client.get("/v1/metrics", params=LINK, headers={"Authorization": f"Bearer {key}"})
        statuses[scope] = found.status_code
    assert statuses == {"public": 403, "server": 403, "read": 200, "admin": 200}
    assert (await client.get("/v1/metrics", params=LINK, headers={"Authorization": ""})).status_code == 401


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "json_invalid"),
        (b"[]", 400, "json_invalid"),
        (b"{", 400, "json_invalid"),
        (b'{"metrics": "\xff"}', 400, "json_invalid"),
        (b'{"metrics": NaN}', 400, "json_invalid"),
        (b'{"metrics": ["clicks"], "limit": 1e309}', 400, "json_invalid"),
        (b'{"metrics": ["clicks"], "filters": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400, None),
        (b'{"metrics": ["clcks"]}', 400, "metric_unknown"),
        (b'{"metrics": ["clicks"], "limit": ' + b"9" * 5000 + b"}", 400, None),
        (b'{"metrics": ["' + b"x" * 300_000 + b'"]}', 413, "query_too_large"),
        (b'{"metrics": ["clicks"], "filters": ["is", "campaign", ["a\\u0000b\\ud800"]]}', 400, None),
    ],
    ids=range(11),
)
async def test_what_is_no_query_is_refused(
    client: httpx.AsyncClient, content: bytes, status: int, code: str | None
) -> None:
    found = await client.post("/v1/metrics/query", content=content)
    assert found.status_code == status
    assert code is None or found.json()["error"]["code"] == code


async def test_a_parameter_given_twice_is_refused(client: httpx.AsyncClient) -> None:
    found = await client.get("/v1/metrics?metrics=clicks&metrics=sales")
    assert (found.status_code, found.json()["error"]["field"]) == (400, "metrics")


async def test_the_catalogue_lists_every_metric_and_dimension(client: httpx.AsyncClient) -> None:
    found = (await client.get("/v1/metrics/meta")).json()
    assert [row["slug"] for row in found["metrics"]] == [metric.slug for metric in METRICS]
    assert {row["slug"] for row in found["dimensions"]} == {*(d.slug for d in DIMENSIONS), "segment.<name>"}
    cost = next(row for row in found["metrics"] if row["slug"] == "cpa")
    assert "campaign" in cost["dimensions"] and "country" not in cost["dimensions"]


async def test_what_the_catalogue_allows_is_answered(client: httpx.AsyncClient) -> None:
    found = (await client.get("/v1/metrics/meta")).json()
    for row in found["dimensions"]:
        metrics = [metric["slug"] for metric in found["metrics"] if row["slug"] in metric["dimensions"]]
        asked = {**BODY, "metrics": metrics, "dimensions": [row["slug"].replace("<name>", "age")]}
        answer = await client.post("/v1/metrics/query", json=asked)
        assert answer.status_code == 200, row["slug"]
        reasons = {reason for found in answer.json()["meta"]["reasons"].values() for reason in found}
        assert not any(reason.startswith("not_split_by") for reason in reasons), row["slug"]
