"""The real application in this process, with two workspaces and a key of every scope, for tests."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, Table, select

from app import db, deps, workspaces
from app.main import Application, create_app
from app.settings import Settings
from tests import engines

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
    app: Application
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

    def close(self) -> None:
        self.service.engine.dispose()
        self.service.reports.dispose()

    def rows(self, table: Table) -> list[dict[str, Any]]:
        with db.reading(self.engine) as connection:
            return [dict(row) for row in connection.execute(select(table)).mappings()]

    def put(self, table: Table, *rows: dict[str, Any]) -> None:
        with db.begin(self.engine) as connection:
            for row in rows:
                connection.execute(table.insert().values(row))


def build(folder: Path) -> House:
    clock = Clock()
    engine = engines.connect(folder)
    settings = Settings(data=folder, database_url=engines.url(folder))
    app = create_app(settings, clock=clock)
    service: deps.Service = app.framework.state.service
    house = House(engine, service, app, clock, 0, 0)
    with db.begin(engine) as connection:
        house.workspace = workspaces.add_workspace(connection, "first", now=NOW, timezone="Europe/Oslo")
        house.other = workspaces.add_workspace(connection, "second", now=NOW)
        for scope in SCOPES:
            house.keys[scope] = workspaces.new_key(scope)
            workspaces.add_key(connection, house.workspace, scope, name=scope, now=NOW, key=house.keys[scope])
        house.foreign = workspaces.new_key("admin")
        workspaces.add_key(connection, house.other, "admin", name="theirs", now=NOW, key=house.foreign)
    service.snapshots.refresh(engine)
    return house


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = build(tmp_path)
    yield house
    house.close()


@pytest.fixture
async def admin(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with house.client() as client:
        yield client


@pytest.fixture
async def stranger(house: House) -> AsyncIterator[httpx.AsyncClient]:
    """The other workspace's administrator."""
    async with house.client(house.foreign) as client:
        yield client
