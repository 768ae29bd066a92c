"""HTTP of what shows that it works: the snippets."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from app import deps
from app.campaigns.routes import REFUSALS
from app.check import schemas, snippet
from app.check.sight import Sight

router = APIRouter(prefix="/v1", tags=["check"], responses=REFUSALS)


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
    return snippet.made(sight.tag, script, base, asked.site)
