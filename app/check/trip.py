"""The round trip of an event: a test event of ours, sent as the page's script would, or a real one.

The test event goes through the public address, is marked `test` and says no to being measured: it is stored,
and counts nowhere. What is looked up in the database is handed in by the caller, who knows how to ask it.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import Connection, select

from app import tables
from app.check.address import Allowed, Target, target
from app.check.fetch import Answer, Way, post
from app.model import FLAGS, KIND_NAMES, KINDS, SECOND, Rejected
from app.pipeline.rules import dedupe_key

WAIT = 10.0  # seconds for a test event to be stored
POLL = 0.1, 1.0  # seconds between looks for a test event, and for a real one
AGO = 70 * SECOND  # how far a browser's clock may stand behind without being corrected, and some more
MOST = 500  # events that are looked at for the page's, latest first

Found = TypeVar("Found")

#: Runs a function of a connection in a transaction of its own, somewhere that does not hold the loop up.
Ask = Callable[[Callable[[Connection], Found]], Awaitable[Found]]


async def send(way: Way, collect: str, key: str, page: Target, id_: str) -> Answer | Rejected:
    """Send the test event `id_` for a page, as its script would."""
    told = {
        "kind": "pageview",
        "id": id_,
        "url": page.url.partition("?")[0],
        "test": True,
        "consent": {"measure": False, "ads": False},
    }
    body = json.dumps({"k": key, "events": [told]}).encode()
    headers = {"origin": page.origin, "content-type": "text/plain;charset=UTF-8", "accept": "*/*"}
    return await post(way, collect, body, headers)


def refusal(answer: Answer) -> str:
    """Why the event was not taken, by Clicktrail's own code; "" when it was."""
    try:
        said = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "not an answer of Clicktrail"
    if not isinstance(said, dict):
        return "not an answer of Clicktrail"
    if answer.status == 202 and said.get("accepted") == 1:
        return ""
    rejected = said.get("rejected") or [{}]
    error = said.get("error") or (rejected[0] if isinstance(rejected, list) else {})
    code = error.get("code") if isinstance(error, dict) else None
    is_code = isinstance(code, str) and re.fullmatch(r"[a-z_]{1,40}", code)
    return str(code) if is_code else "not an answer of Clicktrail"


def is_stored(connection: Connection, workspace: int, id_: str) -> bool:
    """Whether the pipeline has stored the event of this id."""
    key = tables.seen.c.key
    return connection.scalar(select(key).where(key == dedupe_key(workspace, id_))) is not None


async def stored(ask: Ask[Any], workspace: int, id_: str, *, seconds: float = WAIT) -> float | None:
    """The seconds until the event was stored; None when it was not in time."""
    started = monotonic()

    async def look() -> bool | None:
        return await ask(lambda connection: is_stored(connection, workspace, id_)) or None

    return monotonic() - started if await until(look, seconds=seconds, every=POLL[0]) else None


async def until(look: Callable[[], Awaitable[Found | None]], *, seconds: float, every: float) -> Found | None:
    """What `look` finds, as soon as it finds something; None when it does not in time."""
    deadline = monotonic() + seconds
    while (found := await look()) is None:
        if monotonic() + every > deadline:
            return None
        await asyncio.sleep(every)
    return found


async def watched(
    ask: Ask[Any], workspaces: Sequence[int], urls: Sequence[str], since: int, *, seconds: float
) -> tuple[str, float] | None:
    """(kind, seconds after `since`) of a real event of a page, as soon as one comes; None when none does."""

    async def look() -> tuple[str, float] | None:
        found: tuple[str, float] | None = await ask(
            lambda connection: event_of(connection, workspaces, urls, since)
        )
        return found

    return await until(look, seconds=seconds, every=POLL[1])


def event_of(
    connection: Connection, workspaces: Sequence[int], urls: Sequence[str], since: int
) -> tuple[str, float] | None:
    """The latest event received since then that says it comes from one of these pages, and is no test."""
    e = tables.events.c
    pages = {place for url in urls if (place := place_of(url))}
    mentioned = [e.details.contains(host, autoescape=True) for host, _ in sorted(pages)]
    if not mentioned:
        return None
    statement = (
        select(e.kind, e.received_at, e.details)
        .where(
            e.workspace.in_(workspaces),
            e.occurred_at >= since - AGO,
            e.received_at >= since,
            e.kind.in_([KINDS["visit"], KINDS["pageview"], KINDS["engagement"]]),
            e.flags.op("&")(FLAGS["test"]) == 0,
            mentioned[0] if len(mentioned) == 1 else mentioned[0] | mentioned[1],
        )
        .order_by(e.received_at.desc())
        .limit(MOST)
    )
    for kind, at, details in connection.execute(statement):
        if place_of(msgspec.json.decode(details).get("url", "")) in pages:
            return KIND_NAMES[kind], (at - since) / SECOND
    return None


def place_of(url: str) -> tuple[str, str] | None:
    """(host, path) of a page's address; None when it is none."""
    found = target(url, Allowed(everything=True))
    return None if isinstance(found, Rejected) else (found.host, urlsplit(found.path).path)
