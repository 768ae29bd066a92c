"""HTTP of what shows that it works: the snippets, the check of a page, who still sends."""

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Connection, Engine

from app import db, deps
from app.campaigns.routes import management
from app.check import run, schemas, snippet, sources, trip
from app.check.address import target
from app.check.findings import worst
from app.check.sight import Sight
from app.errors import InvalidInput
from app.model import Rejected

Found = TypeVar("Found")

router = management("/v1", "check")


def sight(request: Request) -> Sight:
    found: Sight = request.app.state.sight
    return found


SightDep = Annotated[Sight, Depends(sight)]


@router.get("/snippet")
def read_snippet(
    caller: deps.Admin,
    service: deps.ServiceDep,
    sight: SightDep,
    request: Request,
    asked: Annotated[schemas.SnippetQuery, Query()],
) -> schemas.Snippets:
    """The lines that a website pastes, following the configured script name and collect path."""
    base = asked.base or sight.public_url or str(request.base_url).rstrip("/")
    snippet.check_key(service.snapshots.current, caller.workspace, asked.site)
    script = sight.tag.full if asked.script == "full" else sight.tag.script
    settings = deps.workspace(caller, service).settings
    return snippet.made(sight.tag, script, base, asked.site, settings)


@router.get("/check")
async def check_page(
    caller: deps.Admin,
    service: deps.ServiceDep,
    sight: SightDep,
    _turn: deps.CheckTurn,
    asked: Annotated[schemas.CheckQuery, Query()],
) -> schemas.Checked:
    """Fetch a page, find the snippet and what stands in its way, and follow a test event to the database."""
    refused = target(asked.url, sight.way.allowed)
    if isinstance(refused, Rejected):
        raise InvalidInput(refused.code, f"url: {refused.message}", field="url")
    since = service.clock()
    desk = run.Desk(
        way=sight.way,
        tag=sight.tag,
        snapshot=service.snapshots.current,
        ask=_asking(service.engine),
        workspace=caller.workspace,
        public_url=sight.public_url,
    )
    report = await run.examine(desk, asked.url, id_=sight.new_id())
    if asked.wait and report.urls:
        report.findings.append(await run.watch(desk, report.urls, since=since, seconds=asked.wait))
    return schemas.Checked(
        url=report.urls[-1] if report.urls else asked.url,
        level=worst(report.findings),
        findings=[schemas.FindingShown.model_validate(one) for one in report.findings],
        legs=[schemas.LegShown(what=leg.what, seconds=round(leg.seconds, 4)) for leg in report.legs],
    )


@router.get("/sources")
def read_sources(
    caller: deps.Reader,
    connection: deps.Reading,
    now: deps.Now,
    asked: Annotated[schemas.SourcesQuery, Query()],
) -> schemas.Sources:
    """Sites, server keys and partners by who still sends: those that fell silent first."""
    found = [
        one
        for one in sources.sources(connection, caller.workspace, now)
        if asked.state in (None, one.verdict.state)
    ]
    shown = [sources.shown(one) for one in found[: asked.limit]]
    return schemas.Sources(items=shown, omitted=len(found) - len(shown))


def _asking(engine: Engine) -> "trip.Ask[Found]":
    """A question to the database in a thread of the routes', held for the question and not for the wait."""

    def read(question: Callable[[Connection], Found]) -> Found:
        with db.reading(engine) as connection:
            return question(connection)

    async def ask(question: Callable[[Connection], Found]) -> Found:
        return await run_in_threadpool(read, question)

    return ask
