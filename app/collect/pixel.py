"""GET /p.gif: the image pixel, in ads, e-mails, noscript tags and thank-you pages.

The answer is a GIF, whatever was asked; `X-Clicktrail` says what became of it. This is the hottest door:
measure (benchmarks/doors.py) before adding anything here.
"""

from app.collect import consent, parse, query, visitor
from app.collect.door import RESULTS, ASGIScope, Doors, Receive, Send, encode, entropy, peer
from app.collect.parse import Arrival
from app.errors import Unavailable
from app.model import KINDS, Event, Rejected
from app.workspaces import Workspace

GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)

#: The pixel's short names. `e` may be a kind or a goal, `consent` and its kin are read together.
NAMES = {
    "id": "id", "c": "campaign", "a": "ad", "p": "partner", "ct_click": "click_id", "g": "goal",
    "tx": "order_id", "v": "value", "cur": "currency", "u": "user_id", "vid": "visitor_id", "url": "url",
    "r": "referrer", "t": "occurred_at", "e": "kind",
}  # fmt: skip
LONGEST = 16_384

_HEADERS = [
    (b"content-type", b"image/gif"),
    (b"content-length", b"%d" % len(GIF)),
    (b"cache-control", b"no-store"),
    (b"timing-allow-origin", b"*"),
    (b"cross-origin-resource-policy", b"cross-origin"),  # pages with an embedder policy
]
_BODY = {"type": "http.response.body", "body": GIF}
_ACCEPTED = (b"x-clicktrail", b"accepted")
UNAVAILABLE = (b"x-clicktrail", b"unavailable")
_TOO_LONG = Rejected("too_long", f"the query must have at most {LONGEST} bytes")
_accepted = RESULTS["pixel"]["accepted"]
_unavailable = RESULTS["pixel"]["unavailable"]


async def pixel(doors: Doors, scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Record what the query says and answer with the GIF once it is on disk."""
    headers = dict(scope["headers"])
    raw = scope["query_string"]
    said = query.parsed(raw) if len(raw) <= LONGEST else {}
    owner = doors.public(said.get("k", ""))
    outcome: Event | Rejected
    if isinstance(owner, Workspace):
        guest, outcome = _read(doors, scope, headers, said, owner, "")
        number = owner.id
    elif isinstance(owner, str):
        guest, outcome = _read(doors, scope, headers, said, None, owner)
        number = 0
    else:
        guest, outcome = visitor.NOBODY, owner if len(raw) <= LONGEST else _TOO_LONG
        number = 0
    if isinstance(outcome, Event):
        verdict = await _store(doors, outcome)
    else:
        policy = owner.settings if isinstance(owner, Workspace) else None
        shown = _consent(said, headers).shown(said, policy, door="pixel")
        doors.refuse(outcome, door="pixel", workspace=number, id_=said.get("id", ""), said=shown)
        verdict = (b"x-clicktrail", b"rejected; reason=" + outcome.code.encode())
    await reply(send, verdict, guest.header)


async def reply(send: Send, verdict: tuple[bytes, bytes], cookie: bytes | None = None) -> None:
    start = [*_HEADERS, verdict] if cookie is None else [*_HEADERS, verdict, (b"set-cookie", cookie)]
    await send({"type": "http.response.start", "status": 200, "headers": start})
    await send(_BODY)


async def _store(doors: Doors, event: Event) -> tuple[bytes, bytes]:
    try:
        landed = await doors.inbox.add(encode(event), event.kind)
    except Unavailable:
        landed = None
    if landed is None:
        _unavailable.inc()
        return UNAVAILABLE
    _accepted.inc()
    return _ACCEPTED


def _read(
    doors: Doors,
    scope: ASGIScope,
    headers: visitor.Headers,
    said: dict[str, str],
    workspace: Workspace | None,
    key_digest: str,
) -> tuple[visitor.Guest, Event | Rejected]:
    """The visitor and the event of a request whose key may be good."""
    now = doors.clock()
    number, fresh = entropy()
    fields: dict[str, object] = {NAMES[name]: value for name, value in said.items() if name in NAMES}
    word = said.get("e", "")
    if word and word not in KINDS:
        fields["kind"], goal = parse.kind_of_goal(word, workspace)
        fields.setdefault("goal", goal)
    told = _consent(said, headers)
    fields["consent"] = told.consent
    denied = told.denied(workspace.settings if workspace is not None else None)
    guest = doors.guest(scope, headers, workspace, denied=denied, fresh=fresh)
    host = peer(scope)
    return guest, parse.event(
        fields,
        Arrival(
            door="pixel",
            received_at=now,
            no=number,
            workspace=workspace,
            key_digest=key_digest,
            cookie_id=guest.id,
            ip=visitor.address(host, headers, doors.trusted),
            user_agent=visitor.user_agent(headers),
            country=doors.country(headers, peer=host),
            signals=told.signals,
            country_of=doors.country_of,
            hints=visitor.hints(headers, scope["method"]),
        ),
    )


def _consent(said: dict[str, str], headers: visitor.Headers) -> consent.Said:
    stated = None if consent.PARAMETERS.isdisjoint(said) else consent.of_parameters(said)
    return consent.Said(stated, visitor.signals(headers))
