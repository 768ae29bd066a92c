"""What a route may ask for: Db (one transaction), Looking (one snapshot), Reading (one for a report), Caller
(whose key this is), Now, Service.

Db commits *before* the response is sent (`scope="function"`): FastAPI would otherwise run a plain
`yield` dependency's exit afterwards, and a 2xx would precede its COMMIT.
"""

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Connection, Engine

from app import db
from app.clock import now_us
from app.errors import Forbidden, Unauthorized, Unavailable
from app.model import Caller, Scope
from app.workspaces import Snapshots, Workspace, digest

#: At work at once, as many as their pool has connections: a quarter of the threads for routes each.
REPORTS = DESKS = 10
CHECKS = 4  # of pages: each may wait for other people's servers
PATIENCE = 5.0  # seconds that a request waits for its turn


@dataclass(frozen=True, slots=True)
class Service:
    """What the process owns and routes borrow; put on `app.state.service` by main."""

    engine: Engine  # writes and management
    reports: Engine  # metrics: a pool of its own, so that a heavy report cannot starve the rest
    snapshots: Snapshots
    clock: Callable[[], int] = now_us
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(REPORTS))
    desks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(DESKS))
    checks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CHECKS))


def service(request: Request) -> Service:
    found: Service = request.app.state.service
    return found


ServiceDep = Annotated[Service, Depends(service)]


@asynccontextmanager
async def _in_turn(turns: asyncio.Semaphore, code: str, what: str) -> AsyncIterator[None]:
    """Wait for one of `turns`, without a thread: all routes share the process's few."""
    try:
        await asyncio.wait_for(turns.acquire(), PATIENCE)
    except TimeoutError:
        told = f"{what} are at work in this process, and this one waited {PATIENCE} s for a turn"
        raise Unavailable(code, told) from None
    try:
        yield
    finally:
        turns.release()


async def desk_turn(service: ServiceDep) -> AsyncIterator[None]:
    async with _in_turn(service.desks, "management_busy", f"{DESKS} management requests"):
        yield


async def report_turn(service: ServiceDep) -> AsyncIterator[None]:
    async with _in_turn(service.turns, "reports_busy", f"{REPORTS} reports"):
        yield


async def check_turn(service: ServiceDep) -> AsyncIterator[None]:
    async with _in_turn(service.checks, "checks_busy", f"{CHECKS} checks of pages"):
        yield


DeskTurn = Annotated[None, Depends(desk_turn, scope="function")]
ReportTurn = Annotated[None, Depends(report_turn, scope="function")]
CheckTurn = Annotated[None, Depends(check_turn, scope="function")]


def transaction(service: ServiceDep, _turn: DeskTurn) -> Iterator[Connection]:
    """One write transaction, opened at the edge and committed before the response."""
    with db.begin(service.engine) as connection:
        db.lock(connection, db.Lock.SETTINGS)  # what a route looked up still holds when it writes
        yield connection
        changed = connection.info.pop("config_changed", False)
    if changed:
        service.snapshots.refresh(service.engine)


def looking(service: ServiceDep, _turn: DeskTurn) -> Iterator[Connection]:
    """One consistent snapshot of the database for management."""
    with db.reading(service.engine) as connection:
        yield connection


def reading(service: ServiceDep, _turn: ReportTurn) -> Iterator[Connection]:
    """One consistent snapshot of the database for a report."""
    with db.reading(service.reports) as connection:
        yield connection


Db = Annotated[Connection, Depends(transaction, scope="function")]
Looking = Annotated[Connection, Depends(looking, scope="function")]
Reading = Annotated[Connection, Depends(reading, scope="function")]


def now(service: ServiceDep) -> int:
    return service.clock()


Now = Annotated[int, Depends(now)]


def credential(header: str) -> str:
    """The key in an Authorization header: Bearer, or the password of Basic (how BI tools send it)."""
    kind, _, rest = header.partition(" ")
    if kind.lower() == "bearer":
        return rest.strip()
    if kind.lower() == "basic":
        try:
            decoded = base64.b64decode(rest.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return ""
        user, _, password = decoded.partition(":")
        return password or user
    return ""


def allow(*scopes: Scope) -> Callable[[Request, Service], Caller]:
    """A dependency that lets in keys of `scopes` (admin always): 401 for no known key, 403 for another."""

    def check(request: Request, service: ServiceDep) -> Caller:
        key = credential(request.headers.get("authorization", ""))
        if not key:
            raise Unauthorized("key_missing", "send a key as Authorization: Bearer ct_...")
        found = service.snapshots.current.keys.get(digest(key))
        if found is None:
            raise Unauthorized("key_unknown", "this key is not known, or was revoked")
        key_id, workspace, scope = found
        if scope not in (*scopes, "admin"):
            needed = " or ".join(scopes or ("admin",))
            raise Forbidden("scope_missing", f"this needs a key of scope {needed}; yours is {scope}")
        return Caller(workspace=workspace, scope=scope, key=key_id)

    return check


Admin = Annotated[Caller, Depends(allow())]
Reader = Annotated[Caller, Depends(allow("read"))]


def workspace(caller: Caller, service: Service) -> Workspace:
    """The caller's workspace as the snapshot knows it."""
    return service.snapshots.current.workspaces[caller.workspace]
