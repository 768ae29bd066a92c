"""Who is meant, and who is named: identifiers as numbers, and records searched for them. Pure.

A raw value lives here only as long as the call that brought it: what is written down is its number
(model.node), from which nobody reads it back.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from app.campaigns.clickid import read_click_id
from app.collect import fields
from app.collect.fields import Bad
from app.errors import InvalidInput
from app.model import Event, node, number

#: What a person can be named by, and how the doors read it.
READERS: dict[str, Callable[[object], Any]] = {
    "visitor_id": fields.text(200),
    "user_id": fields.text(200),
    "email": fields.email,
    "phone": fields.phone,
    "click_id": fields.text(200),
    "order_id": fields.text(200),
    "conversion_id": fields.conversion_id,
}

#: Names under which senders tell identifiers, with their node's kind: a refused record holds them as sent.
TOLD: dict[str, str] = {
    "visitor_id": "visitor", "vid": "visitor", "cookie_id": "visitor", "user_id": "user", "u": "user",
    "email_sha256": "email", "phone_sha256": "phone",
}  # fmt: skip

#: A name and its value in JSON, whole or cut short.
PAIR = re.compile(r'"((?:[^"\\]|\\.)*)"\s*:\s*(?:"((?:[^"\\]|\\.)*)"|(-?\d+))')

LONG = 8  # characters from which on a text that stands anywhere in a record is no chance


class Wanted(msgspec.Struct, frozen=True):
    """Who is meant, in numbers."""

    nodes: tuple[int, ...] = ()
    click: tuple[int, int] | None = None  # when it occurred, and its number
    conversion: int | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """What a person is known by: nodes, texts that stand in records, and the spellings of those of them that
    are long enough to stand anywhere by no chance. Made by `named`."""

    workspace: int
    nodes: frozenset[int]
    texts: frozenset[str]
    spellings: frozenset[str]


def named(workspace: int, nodes: frozenset[int], texts: frozenset[str]) -> Names:
    spellings = {
        form
        for text in texts
        if len(text) >= LONG
        for form in (
            text,
            quote(text, safe=""),
            json.dumps(text, ensure_ascii=False)[1:-1],
            text.encode().hex(),
        )
    }
    return Names(workspace, nodes, texts, frozenset(spellings))


def wanted(workspace: int, name: str, value: str, *, store: str, secret: bytes) -> Wanted:
    """Who is meant by an identifier. Errors: InvalidInput, naming the field and never the value."""
    try:
        read = READERS[name](value)
    except Bad as error:
        raise InvalidInput(error.code, f"{name}: {error.message}", field=name) from None
    if name in ("email", "phone"):
        return Wanted(nodes=(node(workspace, name, read["meta"]),))
    if name in ("visitor_id", "user_id"):
        return Wanted(nodes=(node(workspace, name.removesuffix("_id"), read),))
    if name == "click_id":
        click = read_click_id(read, secret)
        if click is None or click.workspace != workspace:
            raise InvalidInput("click_id_unknown", "click_id: is none of this workspace's", field=name)
        return Wanted(click=(click.occurred_at, click.no))
    if name == "order_id":
        return Wanted(conversion=number(workspace, "order", store, read))
    return Wanted(conversion=int(read.removeprefix("cv_"), 16) & (2**63 - 1))


def nodes_named(workspace: int, row: Any) -> set[int]:
    """The nodes of the identifiers that stand in a row of events or sightings."""
    told = msgspec.json.decode(row.details) if row.details else {}
    values = [
        ("visitor", getattr(row, "visitor_id", "")),
        ("user", getattr(row, "user_id", "") or told.get("user_id", "")),
        ("email", told.get("email", {}).get("meta", "")),
        ("phone", told.get("phone", {}).get("meta", "")),
    ]
    return {node(workspace, kind, value) for kind, value in values if value}


def texts_of(row: Any) -> set[str]:
    """The identifiers that stand in a row of events, sightings or adjustments, as text."""
    told = msgspec.json.decode(getattr(row, "details", "") or "{}")
    names = ("visitor_id", "user_id", "click_id", "order_id", "lead_id", "event_id")
    found = {str(getattr(row, name, "")) for name in names} | {str(told.get("user_id", ""))}
    for name in ("email", "phone", "click_ids"):
        found.update(told.get(name, {}).values())
    return found - {""}


def names_person(body: str, kind: str, names: Names) -> bool:
    """Whether a rejected record (its body as kept) names the person: by a node, by an id that is a whole
    value of it, or by one that is long enough to stand there by no chance, plain or as a URL has it."""
    if any(form in body for form in names.spellings):
        return True
    said = _decoded(body)
    if (
        kind == "quarantined"
        and isinstance(said, list)
        and not names.nodes.isdisjoint(_event_nodes(names, said))
    ):
        return True
    for key, value in _leaves(said) if said is not None else _pairs(body):
        if value in names.texts:
            return True
        kind = TOLD.get(key.replace("-", "_"), "")
        if kind and node(names.workspace, kind, value) in names.nodes:
            return True
    return False


def _decoded(body: str) -> object:
    try:
        return json.loads(body)
    except ValueError:  # cut short, or not JSON at all
        return None


def _pairs(body: str) -> Iterator[tuple[str, str]]:
    """What _leaves would tell of a body, as far as it can be read: long ones are cut short."""
    for name, text, number_ in PAIR.findall(body):
        yield _unquoted(name), _unquoted(text) or number_


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text


def _event_nodes(names: Names, said: list[object]) -> set[int]:
    try:
        event = msgspec.convert(said, Event)
    except msgspec.ValidationError:
        return set()
    values = (
        ("visitor", event.cookie_id), ("visitor", event.visitor_id), ("user", event.user_id),
        ("email", event.email.get("meta", "")), ("phone", event.phone.get("meta", "")),
    )  # fmt: skip
    return {node(names.workspace, kind, value) for kind, value in values if value}


def _leaves(said: object, key: str = "") -> Iterator[tuple[str, str]]:
    """(the name it stands under, value as text) of every value in a decoded body."""
    if isinstance(said, Mapping):
        for name, value in said.items():
            yield from _leaves(value, name)
    elif isinstance(said, list):
        for value in said:
            yield from _leaves(value, key)
    elif isinstance(said, str | int):
        yield key, str(said)


def intervals(members: Iterable[tuple[int, int, int]]) -> dict[int, list[tuple[int, int]]]:
    """By node, when it was the person's: [(since, until)]."""
    found: dict[int, list[tuple[int, int]]] = {}
    for member, since, until in members:
        found.setdefault(member, []).append((since, until))
    return found
