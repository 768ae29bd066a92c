"""The web application as a whole: doors before the framework, errors in one shape, the drain."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Request

from app.main import DOORS, Application, create_app
from app.prepare import prepare
from app.settings import Settings
from tests.conftest import wait_until


@pytest.fixture
async def application(tmp_path: Path) -> AsyncIterator[tuple[Application, httpx.AsyncClient, dict[str, str]]]:
    settings = Settings(data=tmp_path)
    keys = prepare(settings, clock=lambda: time.time_ns() // 1000).keys
    app = create_app(settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with (
        app.framework.router.lifespan_context(app.framework),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        yield app, client, keys


Served = tuple[Application, httpx.AsyncClient, dict[str, str]]


async def test_an_event_is_accepted_with_a_key_from_the_snapshot(application: Served) -> None:
    _, client, keys = application
    authorization = {"Authorization": f"Bearer {keys['server']}"}
    answer = await client.post("/v1/events", json={"kind": "lead"}, headers=authorization)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    receipt = answer.json()["receipt"]
    told = await client.get(f"/v1/receipts/{receipt}", headers=authorization)
    assert told.json()["outcomes"] == ["queued"]
    pixel = await client.get(f"/p.gif?k={keys['public']}&e=visit")
    assert pixel.headers["x-clicktrail"] == "accepted"
    assert "secure" not in pixel.headers["set-cookie"].lower()  # plain http on localhost


async def test_it_says_that_it_is_alive_and_ready(application: Served) -> None:
    _, client, _ = application
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json() == {"status": "ok"}
    assert "clicktrail_records_total" in (await client.get("/metrics")).text


async def test_it_is_not_ready_while_nothing_can_be_stored_and_names_why(application: Served) -> None:
    app, client, _ = application
    app.doors.inbox.limit_bytes = 4  # an empty file is larger
    await asyncio.to_thread(wait_until, app.doors.inbox.ready)
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
    assert answer.json()["inbox"] == "the inbox holds more than 4 bytes not processed yet"


@pytest.mark.parametrize("path", ["/p.gif", "/healthz", "/nowhere", "/c/none", "/v1/workspace"])
async def test_while_draining_every_response_closes_its_connection(application: Served, path: str) -> None:
    app, client, _ = application
    assert "connection" not in (await client.get(path)).headers
    app.draining = True
    assert (await client.get(path)).headers["connection"] == "close"


async def test_what_is_not_there_is_an_error_like_all_errors(application: Served) -> None:
    _, client, _ = application
    answer = await client.get("/nowhere")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert (await client.get("/docs")).status_code == 404
    assert (await client.get("/openapi.json")).status_code == 404


async def test_a_bug_is_told_by_an_id_and_nothing_else(application: Served) -> None:
    app, client, _ = application

    @app.framework.get("/bug")
    async def bug(request: Request) -> None:
        raise RuntimeError("secret")

    answer = await client.get("/bug")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error" and len(answer.json()["error"]["id"]) == 16
    assert "secret" not in answer.text


async def test_the_pixel_is_a_gif_even_when_there_is_a_bug(application: Served) -> None:
    app, client, _ = application
    app.doors.snapshots = None  # type: ignore[assignment]
    answer = await client.get("/p.gif?k=ct_pub_x&e=visit")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/gif")
    assert answer.headers["x-clicktrail"] == "unavailable"


async def test_the_document_describes_the_hand_written_doors(application: Served) -> None:
    app, _, _ = application
    paths: dict[str, Any] = app.framework.openapi()["paths"]
    assert set(DOORS) <= set(paths)
    assert {"/c/{campaign}", "/c/{campaign}/{ad}", "/v1/receipts/{receipt}", "/v1/workspace"} <= set(paths)
