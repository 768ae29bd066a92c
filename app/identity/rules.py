"""People are the components of the identity graph, less the edges that would join strangers. Pure.

The graph is a set, so neither the order of its edges nor of merges matters; taking an edge away undoes
its merge. Two rules keep strangers apart (API.md, "Identity"):

- an identifier that would join more than `limit` visitors (a shop's own e-mail, "guest") joins nobody;
- a device with two user ids joins nobody: its touches are each user's from first seen until the next's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.model import NODES

EVER = 2**62  # "always": no instant is later, none earlier than -EVER
VISITOR = NODES["visitor"]
USER = NODES["user"]

#: Values that senders write when they have none. Compared after case folding and trimming.
JUNK = frozenset(
    """0 -1 1 null none nil undefined nan n/a na guest anonymous anon unknown test user admin default false
    true {user_id} {{user_id}} - _ . 00000000-0000-0000-0000-000000000000""".split()
) | {"", "[object object]", "(not set)"}


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


def is_junk(value: str) -> bool:
    """True for a value that identifies nobody: a stand-in for null, or one character repeated."""
    plain = value.strip().casefold()
    return plain in JUNK or (len(plain) > 3 and plain == plain[0] * len(plain))


def joins(kind: int, neighbours: Iterable[Neighbour], limit: int) -> bool:
    """Whether a node of `kind` may join its neighbours at all."""
    if kind == VISITOR:
        return sum(1 for n in neighbours if n.kind == USER) < 2
    return sum(1 for n in neighbours if n.kind == VISITOR) <= limit


def people(
    kinds: Mapping[int, int], graph: Mapping[int, tuple[Neighbour, ...]], limit: int
) -> list[Membership]:
    """Memberships of all `graph`'s nodes that are linked; an unlinked node is a person by itself.

    `graph` must be closed: for each node that joins, its neighbours are keys of it too. A person's
    number is the smallest node number of its component.
    """
    joining = {node for node, near in graph.items() if joins(kinds[node], near, limit)}
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
