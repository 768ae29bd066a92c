"""People are the components of the identity graph, less the edges that would join strangers. Pure.

The graph is a set, so neither the order of its edges nor of merges matters; taking an edge away undoes
its merge. Three rules keep strangers apart (docs/people.md; API.md, "Identity"):

- an identifier that would join more than `limit` others of one kind (a shop's own e-mail, a visitor id
  that stands in the page's source) loses its edges, and so does one that the operator blocked;
- a device or user told with more than `limit` e-mail addresses or phones (a tablet at a fair) loses these;
- a device with two user ids joins nobody: its touches are each user's from first seen until the next's.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.model import NODES

#: The version of these rules. Raise it when they change: the leader then looks at all identifiers once.
RULES = 1

EVER = 2**62  # "always": no instant is later, none earlier than -EVER
VISITOR = NODES["visitor"]
USER = NODES["user"]

Kinds = frozenset[int]
NO_KIND: Kinds = frozenset()
EVERY_KIND: Kinds = frozenset(NODES.values())
CONTACTS: Kinds = frozenset({NODES["email"], NODES["phone"]})

#: Why an identifier joins fewer than it was told with. Numbers are stored (tables.unjoined).
REASONS: dict[str, int] = {"shared": 1, "shared_device": 2, "blocked": 3}
REASON_NAMES = {number: name for name, number in REASONS.items()}

#: Values that senders write when they have none. Compared after case folding and trimming.
JUNK = frozenset(
    """0 -1 1 null none nil undefined nan n/a na guest anonymous anon unknown test user admin default false
    true {user_id} {{user_id}} - _ . 00000000-0000-0000-0000-000000000000""".split()
) | {"", "[object object]", "(not set)"}

#: What is written down of one character repeated: whichever it is, so that no sender can fill a table.
REPEATED = "(one character repeated)"

#: The same values hashed by a sender who had none: SHA-256 of "" is the most usual "e-mail" of all.
HASHED_JUNK = {hashlib.sha256(value.encode()).hexdigest(): f"sha256({value})" for value in JUNK}


@dataclass(frozen=True, slots=True)
class Neighbour:
    node: int
    kind: int
    first_seen: int


@dataclass(frozen=True, slots=True)
class Membership:
    """`node` belongs to `person` in [since, until)."""

    node: int
    since: int
    until: int
    person: int


Graph = Mapping[int, tuple[Neighbour, ...]]


def junk(value: str) -> str | None:
    """What a value that identifies nobody is called, one of a few names; None for every other value."""
    plain = value.strip().casefold()
    if plain in JUNK:
        return plain
    if len(plain) > 3 and plain == plain[0] * len(plain):
        return REPEATED
    return HASHED_JUNK.get(plain)


def refused(kind: int, told: Mapping[int, int], limit: int) -> Kinds:
    """The kinds of neighbours to which a node of `kind` loses its edges; `told`: how many it has of each.

    Users of a device are not counted here: two are enough for `people` to part them.
    """
    over = {other for other, count in told.items() if count > limit and (kind, other) != (VISITOR, USER)}
    if not over:
        return NO_KIND
    return CONTACTS if over <= CONTACTS and kind not in CONTACTS else EVERY_KIND


def kept(
    kinds: Mapping[int, int], graph: Graph, limit: int, blocked: frozenset[int] = frozenset()
) -> dict[int, tuple[Neighbour, ...]]:
    """A whole graph without the edges that are lost at either end."""
    lost = {
        node: EVERY_KIND if node in blocked else refused(kinds[node], Counter(n.kind for n in near), limit)
        for node, near in graph.items()
    }
    return {
        node: tuple(n for n in near if n.kind not in lost[node] and kinds[node] not in lost[n.node])
        for node, near in graph.items()
    }


def joins(kind: int, neighbours: Iterable[Neighbour]) -> bool:
    """Whether a node of `kind` joins the neighbours that it kept to one another."""
    return kind != VISITOR or sum(1 for n in neighbours if n.kind == USER) < 2


def reason(kind: int, near: Iterable[Neighbour], lost: Kinds, *, blocked: bool) -> int:
    """REASONS of a node with the neighbours that it kept; 0 when it joins all it was told with."""
    if blocked:
        return REASONS["blocked"]
    if lost:
        return REASONS["shared"]
    return 0 if joins(kind, near) else REASONS["shared_device"]


def people(kinds: Mapping[int, int], graph: Graph) -> list[Membership]:
    """Memberships of all `graph`'s nodes that are linked; an unlinked node is a person by itself.

    `graph` holds `kept` edges only and must be closed: for each node that joins, its neighbours are keys
    of it too. A person's number is the smallest node number of its component.
    """
    joining = {node for node, near in graph.items() if joins(kinds[node], near)}
    person: dict[int, int] = {}
    for start in sorted(joining):
        if start in person:
            continue
        pending = [start]
        while pending:
            node = pending.pop()
            if node in person:
                continue
            person[node] = start
            pending += [n.node for n in graph[node] if n.node in joining and n.node not in person]
    sizes: dict[int, int] = {}
    for number in person.values():
        sizes[number] = sizes.get(number, 0) + 1
    found = [Membership(n, -EVER, EVER, p) for n, p in sorted(person.items()) if sizes[p] > 1]
    for node in sorted(graph.keys() - joining):
        if kinds[node] == VISITOR:
            found += _shared(node, graph[node], person)
    # A user whose only device is shared is linked by that device's intervals.
    alone = {m.person for m in found} - {m.node for m in found}
    found += [Membership(n, -EVER, EVER, n) for n in sorted(alone)]
    return found


def _shared(node: int, near: Iterable[Neighbour], person: Mapping[int, int]) -> list[Membership]:
    users = sorted((n.first_seen, n.node) for n in near if n.kind == USER)
    # The first user keeps what came before: a second one's arrival takes nothing from the first.
    starts = [-EVER, *(seen for seen, _ in users[1:])]
    ends = [*starts[1:], EVER]
    return [
        Membership(node, since, until, person.get(user, user))
        for since, until, (_, user) in zip(starts, ends, users, strict=True)
        if since < until
    ]
