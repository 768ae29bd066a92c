"""POST /collect: the browser's beacon. JSON whatever the Content-Type says, cross-origin by CORS.

Origins are echoed with credentials only where the workspace (or the service's own site) knows them:
otherwise any page could write as the visitor of another.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeGuard

from app.collect import bodies, call, consent, parse, visitor
from app.collect.door import (
    ASGIScope,
    Doors,
    Receive,
    Send,
    accepted,
    again,
    answer,
    complain,
    crowded,
    encode,
    entropy,
    only,
    peer,
    to_json,
    unavailable,
)
from app.collect.events import NOT_OBJECT, id_of, listed, report
from app.collect.parse import Arrival
from app.errors import ClicktrailError, Forbidden, InvalidInput, Unauthorized
from app.model import Event, Rejected
from app.workspaces import Workspace

MOST = 50
LARGEST = 64 * 1024

#: What the context says once for all events of a body; an event's own word comes first.
SHARED = ("visitor_id", "url", "landing", "referrer", "title", "consent", "utm", "click_ids")

Header = tuple[bytes, bytes]
VARY: Header = (b"vary", b"Origin")
OPEN: tuple[Header, ...] = ((b"access-control-allow-origin", b"*"), VARY)


class _Owner(NamedTuple):
    """Whose beacon this is; no workspace while the snapshot is stale and the key unknown to it."""

    workspace: Workspace | None
    key_digest: str


async def beacon(doors: Doors, scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Answer the preflight, or judge and store the events of one body."""
    headers = dict(scope["headers"])
    if scope["method"] == "OPTIONS":
        return await answer(send, 204, b"", *_preflight(doors, scope, headers))
    if scope["method"] != "POST":
        return await only(send, "POST", "OPTIONS")
    shown = OPEN  # until the key has said whose list of origins counts
    try:
        body = bodies.decoded(await bodies.read(receive, headers, LARGEST))
        if not isinstance(body, dict):
            raise InvalidInput("not_object", 'send {"k": "ct_pub_...", "events": [...]}')
        owner = _owner(doors, body)
        shown = _origin(doors, scope, headers, owner)
        told = listed({"events": body.get("events")}, MOST)
        context = _context(body)
        guest, good, bad = _judged(doors, scope, headers, context, told, owner)
        if (short := crowded(bad)) and not good:
            raise short
        _refuse(doors, headers, context, told, bad, owner.workspace)
        if good:
            await doors.inbox.append([encode(event) for event in good])
            accepted("beacon", len(good))
        if guest.header is not None:
            shown = (*shown, (b"set-cookie", guest.header))
        shown = (*shown, *again(short))
        await answer(send, 422 if bad and not good else 202, to_json(report(len(good), told, bad)), *shown)
    except ClicktrailError as error:
        if error.status == 503:
            unavailable("beacon")
        await complain(send, error, *shown)


def _owner(doors: Doors, body: dict[str, object]) -> _Owner:
    key = body.get("k")
    found = doors.public(key if isinstance(key, str) else "")
    if isinstance(found, Rejected):
        doors.refuse(found, door="beacon", workspace=0)
        error = Forbidden if found.code == "scope_missing" else Unauthorized
        raise error(found.code, found.message, field="k")
    return _Owner(None, found) if isinstance(found, str) else _Owner(found, "")


def _context(body: dict[str, object]) -> dict[str, object]:
    context = body.get("context") or {}
    if not isinstance(context, dict):
        raise InvalidInput("not_object", "must be an object", field="context")
    return context


def _refuse(
    doors: Doors,
    headers: visitor.Headers,
    context: dict[str, object],
    told: list[object],
    bad: list[tuple[int, Rejected]],
    workspace: Workspace | None,
) -> None:
    """Keep what was refused, as far as consent lets it be seen."""
    signals = visitor.signals(headers)
    for index, rejected in bad:
        said = told[index]
        if isinstance(said, Mapping):
            choice = consent.Said(_own_or_shared(said, context), signals)
            said = choice.shown(said, workspace.settings if workspace is not None else None, door="beacon")
        number = workspace.id if workspace is not None else 0
        doors.refuse(rejected, door="beacon", workspace=number, id_=id_of(told[index]), said=said)


def _chooses(said: object) -> TypeGuard[Mapping[str, object]]:
    """Whether an event says anything of consent itself."""
    return isinstance(said, Mapping) and said.get("consent") is not None


def _own_or_shared(said: Mapping[str, object], shared: Mapping[str, object]) -> object:
    """An event's consent: its own word before that of all, and nothing denied for all is taken back."""
    return consent.together(said.get("consent"), shared.get("consent"))


def _judged(
    doors: Doors,
    scope: ASGIScope,
    headers: visitor.Headers,
    context: dict[str, object],
    told: list[object],
    owner: _Owner,
) -> tuple[visitor.Guest, list[Event], list[tuple[int, Rejected]]]:
    """The visitor, the events that are good, and the others by their index."""
    shared = {name: context[name] for name in SHARED if name in context}
    now = doors.clock()
    choices = [shared.get("consent"), *(_own_or_shared(one, shared) for one in told if _chooses(one))]
    if context.get("cookieless") is True and not _by_the_day(owner.workspace):
        choices = [False]  # the site wants nothing kept, whatever is allowed
    guest = _guest(doors, scope, headers, choices, owner.workspace)
    host = peer(scope)
    arrival = Arrival(
        door="beacon",
        received_at=now,
        no=0,
        workspace=owner.workspace,
        key_digest=owner.key_digest,
        cookie_id=guest.id,
        ip=visitor.address(host, headers, doors.trusted),
        user_agent=visitor.user_agent(headers),
        country=doors.country(headers, peer=host),
        signals=visitor.signals(headers),
        country_of=doors.country_of,
        sent_at=context.get("sent_at"),
        hints=visitor.hints(headers, scope["method"]),
    )
    good: list[Event] = []
    bad: list[tuple[int, Rejected]] = []
    for index, said in enumerate(told):
        outcome: Event | Rejected = NOT_OBJECT
        if isinstance(said, Mapping):
            whole = {**shared, **said, "consent": _own_or_shared(said, shared)}
            outcome = doors.fitting(_event(whole, arrival.numbered(entropy()[0])))
        if isinstance(outcome, Rejected):
            bad.append((index, outcome))
        else:
            good.append(outcome)
    return guest, good, bad


def _by_the_day(workspace: Workspace | None) -> bool:
    """Whether visitors are told apart without anything kept in their browsers."""
    return workspace is not None and workspace.settings.visitors == "daily"


def _event(said: Mapping[str, object], arrival: Arrival) -> Event | Rejected:
    """An event said in full, or by a call in the page."""
    if "event" in said:
        said_in_full = call.fields(said, arrival.workspace)
        return said_in_full if isinstance(said_in_full, Rejected) else parse.event(said_in_full, arrival)
    return parse.event(said, arrival)


def _guest(
    doors: Doors,
    scope: ASGIScope,
    headers: visitor.Headers,
    choices: list[object],
    workspace: Workspace | None,
) -> visitor.Guest:
    """The visitor; nobody when the context, or any event, says that nothing may be kept."""
    policy = workspace.settings if workspace is not None else None
    signals = visitor.signals(headers)
    stated = [choice for choice in choices if choice is not None]
    denied = any(consent.Said(choice, signals).denied(policy) for choice in stated or [None])
    return doors.guest(scope, headers, workspace, denied=denied, fresh=entropy()[1])


def _origin(doors: Doors, scope: ASGIScope, headers: visitor.Headers, owner: _Owner) -> tuple[Header, ...]:
    """The CORS headers for this page. Forbidden where a list of origins exists and lacks it."""
    origin = headers.get(b"origin")
    if origin is None:
        return (VARY,)
    if _own_site(doors, scope, headers, origin):
        return _with_credentials(origin)
    listed_ = owner.workspace.settings.origins if owner.workspace is not None else []
    if not listed_:
        return OPEN
    if not _in(origin, listed_):
        rejected = Rejected("origin_not_allowed", "this site is not on the workspace's list of origins")
        doors.refuse(rejected, door="beacon", workspace=owner.workspace.id if owner.workspace else 0)
        raise Forbidden(rejected.code, rejected.message)
    return _with_credentials(origin)


def _preflight(doors: Doors, scope: ASGIScope, headers: visitor.Headers) -> tuple[Header, ...]:
    """A preflight carries no key: an origin on any workspace's list may go on."""
    origin = headers.get(b"origin", b"")
    workspaces = doors.snapshots.current.workspaces.values()
    known = _own_site(doors, scope, headers, origin) or any(
        _in(origin, workspace.settings.origins) for workspace in workspaces
    )
    return (
        *(_with_credentials(origin) if known else OPEN),
        (b"access-control-allow-methods", b"POST"),
        (b"access-control-allow-headers", b"content-type, content-encoding"),
        (b"access-control-max-age", b"86400"),
    )


def _with_credentials(origin: bytes) -> tuple[Header, ...]:
    return (
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        VARY,
    )


def _own_site(doors: Doors, scope: ASGIScope, headers: visitor.Headers, origin: bytes) -> bool:
    own = f"{scope['scheme']}://".encode() + headers.get(b"host", b"")
    return bool(origin) and (origin == own or _in(origin, [doors.public_url]))


def _in(origin: bytes, allowed: list[str]) -> bool:
    plain = origin.decode("latin-1").lower()
    return any(plain == one.rstrip("/").lower() for one in allowed if one)
