"""The composition root of the web process: `create_app(settings)` is the ASGI application.

The doors stand before the framework: a dictionary look-up decides, and what is hot meets no middleware, no
dependency injection and no pydantic. Everything else is FastAPI. This is the one place where an error
becomes a response, and where a crash is logged, once, with an id that the caller sees.
"""

import asyncio
import contextlib
import gc
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from app import db, telemetry
from app.admin import routes as admin
from app.attribution import routes as attribution
from app.campaigns import routes as campaigns
from app.campaigns.fields import refusal
from app.check import routes as check
from app.check.address import allowed
from app.check.fetch import Names, Way, trusted
from app.check.sight import Sight
from app.clock import now_us
from app.collect.beacon import beacon
from app.collect.click import click
from app.collect.door import ASGIScope, Doors, Message, Receive, Send
from app.collect.events import events, receipts
from app.collect.gpc import gpc
from app.collect.openapi import OPERATIONS, SECURITY_SCHEMES
from app.collect.pixel import UNAVAILABLE, pixel, reply
from app.collect.postback import postback
from app.collect.receipts import Outcomes
from app.collect.script import scripts
from app.conversions import routes as conversions
from app.deps import Service
from app.errors import ClicktrailError, Unavailable
from app.inbox.sqlite import Inbox
from app.metrics import routes as metrics
from app.persons import routes as persons
from app.persons.keeping import Limits
from app.places import countries_if_readable
from app.pricing import routes as pricing
from app.pulse import Pulse
from app.salt import Salts
from app.settings import Settings
from app.spend import routes as spend
from app.tag import script
from app.tag.script import Tag
from app.workspaces import Snapshots

Door = Callable[[Doors, ASGIScope, Receive, Send], Awaitable[None]]

#: Answered before the framework, beside the tag and the configured collect path. A prefix ends in "/".
DOORS: dict[str, Door] = {
    "/p.gif": pixel,
    "/collect": beacon,
    "/v1/events": events,
    "/postback": postback,
    "/.well-known/gpc.json": gpc,
}
DOORS_BELOW: tuple[tuple[str, Door], ...] = (("/c/", click), ("/v1/receipts/", receipts))

#: Their routes are the application's own: FastAPI would make those of an included router anew for every
#: application, a fifth of a second of the first request.
ROUTERS: tuple[APIRouter, ...] = (
    admin.router,
    campaigns.router,
    metrics.router,
    pricing.router,
    spend.router,
    check.router,
    persons.router,
    attribution.router,  # its .../why before the ids of conversions, which may hold slashes
    conversions.router,
)

SILENCE = 1.5  # seconds that PostgreSQL may say nothing before requests that need it are told so
REPORT_SECONDS = 60  # that a report may take
MOST_BYTES = 2 * 2**20  # of a body for the framework, which reads it before it asks for a key
POLL_EVERY = 0.5  # seconds between looks at the snapshot file
CONFIRM_EVERY = 4  # polls between confirmations of the snapshot against the database

HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
CLOSED_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
CLOSE = (b"connection", b"close")

log = telemetry.logger("web")


class Application:
    """The ASGI application. While `draining` is true every response carries `Connection: close`."""

    def __init__(self, doors: Doors, framework: FastAPI, tag: Tag) -> None:
        self.draining = False
        self.doors = doors
        self.framework = framework
        self.at = {**scripts(tag), tag.collect: beacon, **DOORS}

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.framework(scope, receive, send)
        if self.draining:
            send = _adding(send, [CLOSE])
        path = scope["path"]
        door = self.at.get(path)
        if door is None:
            door = next((below for prefix, below in DOORS_BELOW if path.startswith(prefix)), None)
        try:
            if door is not None:
                await door(self.doors, scope, receive, send)
            else:
                policy = [] if path == self.framework.docs_url else [CLOSED_POLICY]
                await self.framework(scope, _bounded(scope, receive), _adding(send, HEADERS + policy))
        except Exception as error:  # noqa: BLE001 (the request loop)
            await _crashed(scope, send, error)


def _bounded(scope: ASGIScope, receive: Receive) -> Receive:
    """`receive` up to MOST_BYTES. The framework has such a limit, but answers in its own words."""
    said = dict(scope["headers"]).get(b"content-length", b"0")
    left = MOST_BYTES - int(said) if said.isdigit() else -1
    left = min(left, 0) or MOST_BYTES

    async def receiving() -> Message:
        nonlocal left
        message = await receive() if left >= 0 else {}
        left -= len(message.get("body", b""))
        if left < 0:
            told = f"a body may have at most {MOST_BYTES} bytes"
            raise HTTPException(413, told, headers={"Connection": "close"})
        return message

    return receiving


def _adding(send: Send, headers: list[tuple[bytes, bytes]]) -> Send:
    """`send`, with headers on the response unless it has its own."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message.get("headers", ())}
            more = [header for header in headers if header[0] not in present]
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await send(message)

    return sending


async def _crashed(scope: ASGIScope, send: Send, error: Exception) -> None:
    """A door's bug: the pixel stays a GIF, the others answer like everything else."""
    if "crashed" in scope:
        return  # the framework has answered, and raised it once more for servers that log
    with contextlib.suppress(RuntimeError):  # the response may have begun
        if scope["path"] == "/p.gif":
            _told(scope, error)
            return await reply(send, UNAVAILABLE)
        await _told(scope, error)(scope, _nothing, send)


def _told(scope: ASGIScope, error: Exception) -> JSONResponse:
    """A bug: logged once, with an id; the caller is told the id and nothing else."""
    id_ = scope["crashed"] = secrets.token_hex(8)
    log.error("crashed", id=id_, method=scope["method"], route=_shape(scope["path"]), exc_info=error)
    told = {"code": "internal_error", "message": "this is a bug; the log has it by this id", "id": id_}
    return JSONResponse({"error": told}, status_code=500)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    return _told(request.scope, error)


def _shape(path: str) -> str:
    """The beginning of a path: ids and slugs in it may be personal."""
    return "/".join(path.split("/")[:3])[:60]


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def create_app(settings: Settings, *, clock: Callable[[], int] = now_us) -> Application:
    """The web process, put together; nothing is opened until the server starts it (lifespan)."""
    pulse = Pulse(SILENCE)
    service = Service(
        engine=db.connect(settings.database, pulse=pulse),
        reports=db.connect(settings.database, timeout=REPORT_SECONDS, pulse=pulse),
        snapshots=Snapshots(settings.snapshot, clock=clock),
        clock=clock,
    )
    tag = script.tag(settings.tag_name, settings.collect_path, kept=settings.tags)
    names = Names()
    inbox = Inbox(
        settings.inbox,
        segment_bytes=settings.segment_bytes,
        limit_bytes=settings.inbox_limit_bytes,
        reserve_bytes=settings.disk_reserve_bytes,
        clock=clock,
    )
    doors = Doors(
        inbox=inbox,
        snapshots=service.snapshots,
        outcomes=Outcomes(db.connect(settings.database, pool=2, timeout=5, pulse=pulse)),
        clock=clock,
        salts=Salts(settings.data),
        country_of=countries_if_readable(settings.geoip),
        trusted=[ip_network(n.strip()) for n in settings.trusted_proxies.split(",") if n.strip()],
        country_header=settings.country_header.lower().encode(),
        public_url=settings.public_url,
    )
    framework = FastAPI(
        title="Clicktrail",
        routes=[route for router in (*ROUTERS, _health(inbox)) for route in router.routes],
        redirect_slashes=False,  # it would lead to whatever host the request names
        docs_url="/docs" if settings.docs else None,
        redoc_url=None,
        openapi_url="/openapi.json" if settings.docs else None,
        lifespan=_lifespan(service, doors, tag, settings, pulse, names),
        exception_handlers={
            ClicktrailError: _expected,
            RequestValidationError: _invalid,
            HTTPException: _http,
            SQLAlchemyError: _database,
            Exception: _unexpected,
        },
    )
    framework.state.service = service
    framework.state.inbox = inbox
    framework.state.sight = Sight(
        tag=tag,
        way=Way(allowed(settings.check_hosts, settings.public_url), names, trusted),
        new_id=lambda: f"check-{secrets.token_hex(16)}",
        public_url=settings.public_url.rstrip("/"),
    )
    framework.state.limits = Limits(settings.retention_months, settings.rejected_days, settings.audit_days)
    framework.openapi = lambda: _document(framework)  # type: ignore[method-assign]
    return Application(doors, framework, tag)


def _lifespan(
    service: Service, doors: Doors, tag: Tag, settings: Settings, pulse: Pulse, names: Names
) -> Callable[[FastAPI], Any]:
    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        """Open in order, close in reverse, whatever failed."""
        async with contextlib.AsyncExitStack() as stack:
            db.watch(settings.database, pulse)
            stack.callback(pulse.stop)
            stack.callback(service.engine.dispose)
            stack.callback(service.reports.dispose)
            stack.callback(doors.outcomes.close)
            stack.callback(names.close)
            service.snapshots.poll()
            _keep(tag, settings.tags)
            await _confirm(service)
            await doors.inbox.start()
            stack.push_async_callback(doors.inbox.stop)
            following = asyncio.create_task(_follow(service, doors.salts))
            stack.push_async_callback(_cancelled, following)
            # What lives now lives for ever: out of the collector's sight.
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 20)
            yield

    return lifespan


def _keep(tag: Tag, folder: Path) -> None:
    """A full disk costs pages that pin this version their tag after the next upgrade, and not the start."""
    try:
        script.keep(tag, folder)
    except OSError as error:
        log.warning("tag_not_kept", error=type(error).__name__)


async def _follow(service: Service, salts: Salts) -> None:
    """Keep the snapshot current, and no salt beyond its day.

    A database or a file in trouble leaves the snapshot as it is, until it is stale.
    """
    confirming = asyncio.create_task(_confirm(service))
    turn = 0
    while True:
        await asyncio.sleep(POLL_EVERY)
        try:
            salts.end(service.clock())
            service.snapshots.poll()
        except (OSError, msgspec.MsgspecError) as error:  # no descriptor to be had, a file that was damaged
            log.warning("snapshot_unreadable", error=type(error).__name__)
        turn += 1
        if turn % CONFIRM_EVERY == 0 and confirming.done():
            confirming = asyncio.create_task(_confirm(service))


async def _confirm(service: Service) -> None:
    try:
        await asyncio.to_thread(service.snapshots.refresh, service.engine)
        telemetry.DATABASE.set(1)
    except (SQLAlchemyError, OSError) as error:
        telemetry.DATABASE.set(0)
        log.warning("snapshot_unconfirmed", error=type(error).__name__)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _health(inbox: Inbox) -> APIRouter:
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", openapi_extra={"security": []})
    async def healthz() -> dict[str, str]:
        """The process is alive."""
        return {"status": "ok"}

    @router.get("/readyz", openapi_extra={"security": []})
    async def readyz() -> JSONResponse:
        """Whether records can be accepted, and if not, why. The database is not needed for that.

        While some kinds find no room it is ready for the others, and names those that are refused.
        """
        trouble, room = inbox.ready(), inbox.room
        if trouble is not None:
            return JSONResponse({"status": "unavailable", "inbox": trouble}, status_code=503)
        if room.refused:
            short = {"status": "shedding", "refused": sorted(room.refused), "inbox": room.message}
            return JSONResponse(short)
        return JSONResponse({"status": "ok"})

    @router.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        """Prometheus."""
        return Response(generate_latest(telemetry.REGISTRY), media_type=CONTENT_TYPE_LATEST)

    return router


async def _expected(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ClicktrailError)
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return JSONResponse(error.body(), status_code=error.status, headers=headers)


async def _database(request: Request, error: Exception) -> JSONResponse:
    """A database that is gone or busy is no bug, and no reason to stop accepting events."""
    if not db.passing(error):
        return await _unexpected(request, error)
    log.warning("database_unavailable", error=type(error).__name__)
    told = "the database does not answer, or this takes it too long; events are accepted all the same"
    return await _expected(request, Unavailable("database_unavailable", told))


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    """A request that does not fit its schema: 400 with the first field that is wrong."""
    assert isinstance(error, RequestValidationError)
    told = refusal(error.errors())
    return JSONResponse(told.body(), status_code=told.status)


async def _http(_request: Request, error: Exception) -> JSONResponse:
    """The framework's own 400 and 413 (of a body), 404 and 405, in the shape of all errors."""
    assert isinstance(error, HTTPException)
    codes = {400: "not_json", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
    code = codes.get(error.status_code, "http_error")
    body = {"error": {"code": code, "message": str(error.detail), "docs": f"docs/errors.md#{code}"}}
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


def _document(framework: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, the hand-written doors included."""
    if framework.openapi_schema is None:
        document = get_openapi(title=framework.title, version="1", routes=framework.routes)
        document["paths"] = {**OPERATIONS, **document["paths"]}
        document["components"]["securitySchemes"] = SECURITY_SCHEMES
        document["security"] = [{name: []} for name in SECURITY_SCHEMES]
        framework.openapi_schema = document
    return framework.openapi_schema
