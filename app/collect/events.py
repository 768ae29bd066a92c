"""POST /v1/events: events told by servers; and GET /v1/receipts/{id}: what became of them."""

from collections.abc import Mapping

from app.collect import bodies, consent, parse, query
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
    to_json,
    unavailable,
)
from app.collect.parse import Arrival
from app.collect.receipts import KEPT, Receipt, make_receipt, read_receipt
from app.deps import credential
from app.errors import ClicktrailError, InvalidInput, NotFound, TooLarge
from app.model import Event, Rejected
from app.workspaces import Workspace

MOST = 1000
LARGEST = 2**20


async def events(doors: Doors, scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Judge each event by itself, store the good ones together, tell of the others."""
    if scope["method"] != "POST":
        return await only(send, "POST")
    headers = dict(scope["headers"])
    try:
        key = credential(headers.get(b"authorization", b"").decode("latin-1"))
        workspace = doors.server(key)
        told = listed(bodies.decoded(await bodies.read(receive, headers, LARGEST)), MOST)
        good, bad = _judged(doors, told, workspace, doors.number(key))
        if (short := crowded(bad)) and not good:
            raise short
        for index, rejected in bad:
            said = _shown(told[index], workspace)
            doors.refuse(rejected, door="api", workspace=workspace.id, id_=id_of(told[index]), said=said)
        body = report(len(good), told, bad)
        if good:
            position = await doors.inbox.append([encode(event) for event in good])
            accepted("api", len(good))
            receipt = Receipt(workspace.id, position, doors.clock())
            body["receipt"] = make_receipt(receipt, workspace.secret)
            if query.parsed(scope["query_string"]).get("wait") == "stored":
                body["outcomes"] = await doors.outcomes.stored(position)
        await answer(send, 422 if bad and not good else 202, to_json(body), *again(short))
    except ClicktrailError as error:
        if error.status == 503:
            unavailable("api")
        await complain(send, error)


def listed(body: object, most: int) -> list[object]:
    """The events of a body: `{"events": [...]}`, or one event by itself."""
    if not isinstance(body, dict):
        raise InvalidInput("events_missing", 'send {"events": [...]} or one event', field="events")
    if "events" not in body:
        return [body]
    found = body["events"]
    if not isinstance(found, list):
        raise InvalidInput("events_not_list", "must be a list of events", field="events")
    if len(found) > most:
        raise TooLarge("too_many_events", f"a request may carry at most {most} events", field="events")
    return found


def _judged(
    doors: Doors, told: list[object], workspace: Workspace, key: int
) -> tuple[list[Event], list[tuple[int, Rejected]]]:
    now = doors.clock()
    good: list[Event] = []
    bad: list[tuple[int, Rejected]] = []
    for index, said in enumerate(told):
        outcome: Event | Rejected = NOT_OBJECT
        if isinstance(said, Mapping):
            number, _ = entropy()
            arrival = Arrival(
                door="api",
                received_at=now,
                no=number,
                public=False,
                workspace=workspace,
                country_of=doors.country_of,
                key=key,
            )
            outcome = doors.fitting(parse.event(said, arrival))
        if isinstance(outcome, Rejected):
            bad.append((index, outcome))
        else:
            good.append(outcome)
    return good, bad


def _shown(said: object, workspace: Workspace) -> object:
    """What may be kept of a refused event."""
    if not isinstance(said, Mapping):
        return said
    return consent.Said(said.get("consent")).shown(said, workspace.settings, door="api")


NOT_OBJECT = Rejected("not_object", "an event is an object of fields", "events")


def report(count: int, told: list[object], bad: list[tuple[int, Rejected]]) -> dict[str, object]:
    """The answer's body: how many were accepted, and each that was not, with its reason."""
    return {
        "accepted": count,
        "rejected": [
            {
                "index": index,
                "id": id_of(told[index]),
                "code": rejected.code,
                "field": rejected.field,
                "message": rejected.message,
            }
            for index, rejected in bad
        ],
    }


def id_of(said: object) -> str:
    """The id a sender gave, as far as it can be told back."""
    found = said.get("id", "") if isinstance(said, Mapping) else ""
    return str(found)[:200].encode("utf-8", "replace").decode() if isinstance(found, str | int) else ""


async def receipts(doors: Doors, scope: ASGIScope, receive: Receive, send: Send) -> None:
    """What became of the records of one receipt, for 7 days."""
    if scope["method"] not in ("GET", "HEAD"):
        return await only(send, "GET")
    headers = dict(scope["headers"])
    try:
        workspace = doors.server(credential(headers.get(b"authorization", b"").decode("latin-1")))
        text = scope["path"].rpartition("/")[2]
        receipt = read_receipt(text, workspace.secret)
        if receipt is None or receipt.workspace != workspace.id:
            raise NotFound("receipt_unknown", "this is no receipt of this workspace")
        if doors.clock() - receipt.issued_at > KEPT:
            raise NotFound("receipt_expired", "receipts are answered for 7 days")
        outcomes = await doors.outcomes.now(receipt.position)
        await answer(send, 200, to_json({"receipt": text, "outcomes": outcomes}))
    except ClicktrailError as error:
        await complain(send, error)
