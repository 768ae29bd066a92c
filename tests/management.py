"""A real ASGI app with the management routes, two workspaces and a key of every scope, for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import Engine, Table, select
from starlette.exceptions import HTTPException

from app import db, deps, tables, workspaces
from app.admin import routes as admin_routes
from app.campaigns import routes as campaigns_routes
from app.campaigns.fields import refusal
from app.errors import ClicktrailError, InvalidInput
from app.pricing import routes as pricing_routes
from app.spend import routes as spend_routes

NOW = 1_795_305_600_000_000  # 2026-11-22T00:00:00Z
SCOPES = ("public", "server", "read", "admin")


@dataclass
class Clock:
    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class House:
    """The service under test. `keys[scope]` are of the first workspace; `foreign` is the other's."""

    engine: Engine
    service: deps.Service
    app: FastAPI
    clock: Clock
    workspace: int
    other: int
    keys: dict[str, str] = field(default_factory=dict)
    foreign: str = ""

    @asynccontextmanager
    async def client(self, key: str | None = None, scope: str = "admin") -> AsyncIterator[httpx.AsyncClient]:
        headers = {"Authorization": f"Bearer {key or self.keys[scope]}"}
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://clicktrail.test", headers=headers
        ) as client:
            yield client

    def rows(self, table: Table) -> list[dict[str, Any]]:
        with db.reading(self.engine) as connection:
            return [dict(row) for row in connection.execute(select(table)).mappings()]

    def put(self, table: Table, *rows: dict[str, Any]) -> None:
        with db.begin(self.engine) as connection:
            for row in rows:
                connection.execute(table.insert().values(row))


def build(folder: Path) -> House:
    clock = Clock()
    engine = db.connect(f"sqlite:///{folder / 'clicktrail.db'}")
    tables.metadata.create_all(engine)
    snapshots = workspaces.Snapshots(folder / "config.snapshot", clock=clock)
    service = deps.Service(engine=engine, reports=engine, snapshots=snapshots, clock=clock)
    house = House(engine, service, _app(service), clock, 0, 0)
    with db.begin(engine) as connection:
        house.workspace = workspaces.add_workspace(connection, "first", now=NOW, timezone="Europe/Oslo")
        house.other = workspaces.add_workspace(connection, "second", now=NOW)
        for scope in SCOPES:
            house.keys[scope] = workspaces.new_key(scope)
            workspaces.add_key(connection, house.workspace, scope, name=scope, now=NOW, key=house.keys[scope])
        house.foreign = workspaces.new_key("admin")
        workspaces.add_key(connection, house.other, "admin", name="theirs", now=NOW, key=house.foreign)
    snapshots.refresh(engine)
    return house


@pytest.fixture
def house(tmp_path: Path) -> House:
    return build(tmp_path)


@pytest.fixture
async def admin(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with house.client() as client:
        yield client


@pytest.fixture
async def stranger(house: House) -> AsyncIterator[httpx.AsyncClient]:
    """The other workspace's administrator."""
    async with house.client(house.foreign) as client:
        yield client


def _app(service: deps.Service) -> FastAPI:
    app = FastAPI()
    app.state.service = service
    for routes in (admin_routes, campaigns_routes, pricing_routes, spend_routes):
        app.include_router(routes.router)
    app.add_exception_handler(ClicktrailError, _expected)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _framework)
    return app


def _answer(error: ClicktrailError) -> JSONResponse:
    return JSONResponse(error.body(), status_code=error.status)


async def _expected(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ClicktrailError)
    return _answer(error)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return _answer(refusal(error.errors()))


async def _framework(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    body = InvalidInput("not_json" if error.status_code == 400 else "not_found", str(error.detail)).body()
    return JSONResponse(body, status_code=error.status_code)
