"""What all doors share: what they hold, who calls, how they answer, and how a refusal is kept.

A door is `async def door(doors, scope, receive, send)`, plain ASGI: no framework stands before it. The
snapshot is read, never waited for; the inbox is the only thing written.
"""

import json
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import msgspec

from app import telemetry
from app.collect import hashing, visitor
from app.collect.receipts import Outcomes
from app.collect.visitor import Guest, Headers, Networks
from app.consent import nowhere
from app.errors import ClicktrailError, Forbidden, Unauthorized, Unavailable
from app.inbox.room import SHORT
from app.inbox.sqlite import Inbox
from app.model import Event, Record, Refusal, Rejected, Scope
from app.salt import Salts
from app.workspaces import Snapshots, Workspace, digest

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIScope = MutableMapping[str, Any]

#: A record as it stands in the inbox.
encode: Callable[[Record], bytes] = msgspec.msgpack.Encoder().encode
to_json = msgspec.json.Encoder().encode

REFUSALS_A_MINUTE = 600  # kept of each workspace; the rest is only counted
BODY_KEPT = 2048
UNSHOWN = frozenset(("k", "key", "ip"))

RESULTS = {
    door: {
        result: telemetry.RECORDS.labels(door, result)
        for result in ("accepted", "rejected", "unavailable", "unrecorded")
    }
    for door in ("pixel", "redirect", "beacon", "api", "postback")
}


class Doors:
    """What the doors of one process hold. Times are us; `country_header` is lower-case bytes or b""."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        snapshots: Snapshots,
        outcomes: Outcomes,
        clock: Callable[[], int],
        salts: Salts,
        country_of: Callable[[str], str] = nowhere,
        trusted: Networks = (),
        country_header: bytes = b"",
        public_url: str = "",
    ) -> None:
        self.inbox = inbox
        self.snapshots = snapshots
        self.outcomes = outcomes
        self.clock = clock
        self.salts = salts
        self.country_of = country_of  # asked where the address that the pipeline would look up is not kept
        self.trusted = trusted
        self.country_header = country_header
        self.public_url = public_url
        self._keys: dict[str, tuple[int, int, Scope]] = {}
        self._keys_of = snapshots.current  # a key's workspace is looked up where the key was found
        self._minute = 0
        self._refusals: dict[int, int] = {}

    def key(self, text: str) -> tuple[int, int, Scope] | None:
        """(key id, workspace, scope) of a key. Those that exist are remembered while the snapshot stands;
        what strangers make up is not, it would fill the memory."""
        snapshot = self.snapshots.current
        if snapshot is not self._keys_of:
            self._keys = {}
            self._keys_of = snapshot
        found = self._keys.get(text)
        if found is None:
            found = snapshot.keys.get(digest(text))
            if found is not None:
                self._keys[text] = found
        return found

    def public(self, key: str) -> "Workspace | Rejected | str":
        """The workspace of a public key; its digest while nobody can say whether it exists; or a refusal."""
        if not key:
            return Rejected("key_missing", "name your public key as k=ct_pub_...", "k")
        found = self.key(key)
        if found is None:
            if self.snapshots.stale and len(key) <= 200:
                return digest(key)
            return Rejected("key_unknown", "this key is not known, or was revoked", "k")
        if found[2] not in ("public", "admin"):
            return Rejected("scope_missing", f"this needs a key of scope public; yours is {found[2]}", "k")
        return self._keys_of.workspaces[found[1]]

    def server(self, key: str) -> Workspace:
        """The workspace of a server key; Unauthorized, Forbidden, or Unavailable while nobody can say."""
        if not key:
            raise Unauthorized("key_missing", "send a server key as Authorization: Bearer ct_srv_...")
        found = self.key(key)
        if found is None:
            if self.snapshots.stale:
                raise Unavailable("configuration_stale", "the configuration cannot be read at present")
            raise Unauthorized("key_unknown", "this key is not known, or was revoked")
        if found[2] not in ("server", "admin"):
            raise Forbidden("scope_missing", f"this needs a key of scope server; yours is {found[2]}")
        return self._keys_of.workspaces[found[1]]

    def guest(
        self, scope: ASGIScope, headers: Headers, workspace: Workspace | None, *, denied: bool, fresh: bytes
    ) -> Guest:
        """Who this visitor is, as the workspace wants visitors to be told apart."""
        now, local = self.clock(), visitor.is_local(headers, scope["scheme"])
        if workspace is None and not denied:
            return visitor.known(headers, now=now)  # it may be one that sets no cookies
        if workspace is None or denied or workspace.settings.visitors == "cookies":
            return visitor.guest(headers, denied=denied, now=now, fresh=fresh, local=local)
        return visitor.daily(
            headers,
            workspace=workspace.id,
            address=visitor.whole_address(peer(scope), headers, self.trusted),
            salt=self.salts.of(now),
            local=local,
        )

    def number(self, key: str) -> int:
        """The id of a key that was let in; 0 of one that is not known."""
        found = self.key(key)
        return found[0] if found is not None else 0

    def country(self, headers: Headers, *, peer: str) -> str:
        """What a trusted proxy says of the visitor's country; "" when none does."""
        if not self.country_header or not visitor.believed(peer, self.trusted):
            return ""
        found = headers.get(self.country_header, b"").decode("latin-1").upper()
        return found if len(found) == 2 and found.isascii() and found.isalpha() else ""

    def fitting(self, outcome: Event | Rejected) -> Event | Rejected:
        """The event, unless its kind finds no room at present."""
        room = self.inbox.room
        if isinstance(outcome, Event) and outcome.kind in room.refused:
            return Rejected(room.code, f"no {outcome.kind} finds room at present: {room.message}", "kind")
        return outcome

    def refuse(
        self, rejected: Rejected, *, door: str, workspace: int, id_: object = "", said: object = None
    ) -> None:
        """Keep what was refused, so that it can be listed. Nobody waits for it; a flood cannot grow it.

        Of what found no room nothing is kept: it may come back.
        """
        if rejected.code in SHORT:
            return unavailable(door)
        RESULTS[door]["rejected"].inc()
        now = self.clock()
        if now // 60_000_000 != self._minute:
            self._minute = now // 60_000_000
            self._refusals.clear()
        count = self._refusals.get(workspace, 0)
        if count >= REFUSALS_A_MINUTE:
            return
        self._refusals[workspace] = count + 1
        self.inbox.append_nowait(
            encode(
                Refusal(
                    workspace=workspace,
                    door=door,
                    received_at=now,
                    code=rejected.code,
                    message=rejected.message,
                    field=rejected.field,
                    id=plain(id_)[:200] if isinstance(id_, str) else "",
                    body=shown(said),
                )
            )
        )


def plain(text: str) -> str:
    """Text that can be written: what cannot be encoded becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def shown(said: object) -> str:
    """What was sent, for people: without keys, addresses of any sort, and credentials; at most 2 KiB."""
    if said is None:
        return ""
    return plain(json.dumps(_bare(said), ensure_ascii=False, default=str))[:BODY_KEPT]


def _bare(said: object) -> object:
    """What was sent (never deeper than bodies.DEPTH), its texts scrubbed one by one: in JSON an address
    begins amid what stands before it."""
    if isinstance(said, str):
        return hashing.scrubbed(said[: 2 * BODY_KEPT])
    if isinstance(said, list):
        return [_bare(one) for one in said[:100]]
    if isinstance(said, Mapping):
        return {
            hashing.scrubbed(name[:BODY_KEPT]): _bare(value)
            for name, value in list(said.items())[:100]
            if name not in UNSHOWN and not hashing.named(name.removeprefix("prop-"))
        }
    return said


class _Entropy:
    """Random bytes of the kernel, fetched by the page: each call for them lets go of the interpreter lock,
    which another thread then holds for a while."""

    def __init__(self) -> None:
        self.empty()
        os.register_at_fork(after_in_child=self.empty)  # a child must not repeat its parent's numbers

    def empty(self) -> None:
        self.left: Iterator[bytes] = iter(())

    def __call__(self) -> tuple[int, bytes]:
        """(63 random bits, 16 random bytes): the number of an event, and a cookie in case one is due."""
        for fresh in self.left:
            return int.from_bytes(fresh[:8], "big") >> 1, fresh[8:]
        page = os.urandom(24 * 170)
        self.left = iter([page[at : at + 24] for at in range(0, len(page), 24)])
        return self()


entropy = _Entropy()


def peer(scope: ASGIScope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


async def answer(
    send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes], kind: bytes = b"application/json"
) -> None:
    """One whole response."""
    if status == 413:
        headers = (*headers, (b"connection", b"close"))  # the rest of the body is not going to be read
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", kind),
                (b"content-length", b"%d" % len(body)),
                (b"cache-control", b"no-store"),
                (b"x-content-type-options", b"nosniff"),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def complain(send: Send, error: ClicktrailError, *headers: tuple[bytes, bytes]) -> None:
    """An error as API.md shows errors."""
    extra = [*headers, *again(error)]
    await answer(send, error.status, to_json(error.body()), *extra)


async def only(send: Send, *methods: str) -> None:
    """405: this door knows other methods."""
    allowed = ", ".join(methods)
    body = to_json({"error": {"code": "method_not_allowed", "message": f"use {allowed}"}})
    await answer(send, 405, body, (b"allow", allowed.encode()))


def accepted(door: str, count: int = 1) -> None:
    RESULTS[door]["accepted"].inc(count)


def crowded(bad: Sequence[tuple[int, Rejected]]) -> Unavailable | None:
    """What those are to be told of a request's events that found no room, if there are any."""
    short = (Unavailable(one.code, one.message, field=one.field) for _, one in bad if one.code in SHORT)
    return next(short, None)


def again(error: ClicktrailError | None) -> list[tuple[bytes, bytes]]:
    """The header that says when to come back, if coming back helps."""
    after = error.retry_after if error is not None else None
    return [] if after is None else [(b"retry-after", b"%d" % after)]


def unavailable(door: str) -> None:
    RESULTS[door]["unavailable"].inc()
