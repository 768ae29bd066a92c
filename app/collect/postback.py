"""GET|POST /postback: what affiliate networks call when one of our clicks earned something. Plain form.

The click id must be one of ours, signature and all: nobody earns by naming somebody else's click. With a
`status` and a `txid` the report is followed by a state change, so that the same call repeated with another
status (how networks approve and reject) takes effect on the sale it names.
"""

from collections.abc import Mapping

from app.campaigns.clickid import read_click_id
from app.collect import bodies, consent, fields, parse, query
from app.collect.door import (
    ASGIScope,
    Doors,
    Receive,
    Send,
    accepted,
    again,
    answer,
    encode,
    entropy,
    only,
    unavailable,
)
from app.collect.parse import Arrival
from app.deps import credential
from app.errors import ClicktrailError, InvalidInput
from app.model import Event, Rejected
from app.workspaces import Workspace

LARGEST = 64 * 1024
TEXT = b"text/plain; charset=utf-8"

#: A network's words for our fields. `goal` may also be a kind; sub1..sub30 are kept by their names.
NAMES = {
    "click_id": "click_id", "value": "value", "payout": "payout", "currency": "currency",
    "txid": "order_id", "event_id": "id", "status": "status",
}  # fmt: skip
SUBS = frozenset(f"sub{n}" for n in range(1, 31))


async def postback(doors: Doors, scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Store one report; the answer is `OK`, the text of `return=`, or the reason why not."""
    if scope["method"] not in ("GET", "POST"):
        return await only(send, "GET", "POST")
    headers = dict(scope["headers"])
    try:
        said = query.parsed(scope["query_string"])
        if scope["method"] == "POST":
            said |= _form(await bodies.read(receive, headers, LARGEST))
        key = said.pop("key", "") or credential(headers.get(b"authorization", b"").decode("latin-1"))
        workspace = doors.server(key)
        number, _ = entropy()
        arrival = Arrival(
            door="postback", received_at=doors.clock(), no=number, public=False, workspace=workspace
        )
        outcome = read(said, arrival, workspace)
        if isinstance(outcome, Rejected):
            shown = consent.Said(_choice(said)).shown(said, workspace.settings, door="postback")
            doors.refuse(outcome, door="postback", workspace=workspace.id, said=shown)
            raise InvalidInput(outcome.code, outcome.message, field=outcome.field)
        if outcome[0].kind in doors.inbox.room.refused:
            raise doors.inbox.room.error()
        await doors.inbox.append([encode(event) for event in outcome])
        accepted("postback")
        body = query.clean(said.get("return", ""))[:200] or "OK"
        await answer(send, 200, body.encode("utf-8", "replace"), kind=TEXT)
    except ClicktrailError as error:
        await _refused(send, error)


async def _refused(send: Send, error: ClicktrailError) -> None:
    """Networks show the body of a failed call to people: plain text."""
    if error.status == 503:
        unavailable("postback")
    text = f"{error.code}: {error.field + ' ' if error.field else ''}{error.message}\n"
    await answer(send, error.status, text.encode("utf-8", "replace"), *again(error), kind=TEXT)


def read(said: Mapping[str, str], arrival: Arrival, workspace: Workspace) -> list[Event] | Rejected:
    """The sighting, and the state change if one is told."""
    for name, value in said.items():
        if (name in NAMES or name in SUBS or name == "goal") and fields.unexpanded(value):
            return Rejected("macro_unexpanded", f"{value} was sent instead of its value", name)
    told: dict[str, object] = {ours: said[name] for name, ours in NAMES.items() if said.get(name)}
    kind, goal = parse.kind_of_goal(said["goal"], workspace) if said.get("goal") else ("sale", "")
    told |= {"kind": kind, "goal": goal, "subs": {name: said[name] for name in SUBS if said.get(name)}}
    told["consent"] = _choice(said)
    found = parse.event(told, arrival)
    if isinstance(found, Rejected):
        theirs = next((name for name, ours in NAMES.items() if ours == found.field), found.field)
        return Rejected(found.code, found.message, theirs)
    if said.get("click_id"):  # without consent it is not kept, and must be right all the same
        click = read_click_id(said["click_id"], workspace.secret)
        if click is None or click.workspace != workspace.id:
            return Rejected("click_id_unknown", "is not a click id of this workspace", "click_id")
    elif not found.order_id:
        return Rejected("click_id_missing", "name the click by click_id, or the sale by txid", "click_id")
    if kind != "sale" or not found.status or not found.order_id:
        return [found]
    changed = {"kind": "status", "order_id": found.order_id, "status": found.status}
    change = parse.event(changed, arrival.numbered(arrival.no ^ 1))
    return [found, change] if isinstance(change, Event) else change


def _choice(said: Mapping[str, str]) -> str | None:
    """consent=0|1, for networks of workspaces where silence denies."""
    return said["consent"] if said.get("consent") in ("0", "1") else None


def _form(body: bytes) -> dict[str, str]:
    """The fields of a form, or of a flat JSON object."""
    if body.lstrip()[:1] != b"{":
        return query.parsed(body.strip())
    found = bodies.decoded(body)
    return {k: str(v) for k, v in found.items() if v is not None} if isinstance(found, dict) else {}
