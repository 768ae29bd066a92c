"""The nouns of attribution as columns: touches, conversions that ask, and who has which touches.

Everything is int64, a batch at a time: a dataclass here is a small table, its fields columns of one
length. Pure; who fills them is `store`, what they mean for credit is `rules`.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.model import KINDS

Ints = NDArray[np.int64]
Bits = NDArray[np.bool_]

IMPRESSION, CLICK, VISIT = KINDS["impression"], KINDS["click"], KINDS["visit"]

#: The kinds that can earn, with their rank: among touches of one instant the higher is the later, and
#: under the tier rule `click_over_view` the highest kind present leaves the others out.
PRIORITY: dict[int, int] = {IMPRESSION: 1, VISIT: 2, CLICK: 3}
KIND_COUNT = max(KINDS.values()) + 1
_PRIORITY = np.array([PRIORITY.get(kind, 0) for kind in range(KIND_COUNT)])

NEVER = -(2**62)

Columns = TypeVar("Columns", bound=Any)  # a dataclass whose fields are columns of one length


def taken(columns: Columns, index: Ints | Bits) -> Columns:
    """The rows at `index`."""
    made: Columns = type(columns)(*(getattr(columns, f.name)[index] for f in fields(columns)))
    return made


def joined(first: Columns, second: Columns) -> Columns:
    """The rows of both, one after the other."""
    names = [f.name for f in fields(first)]
    made: Columns = type(first)(*(np.concatenate([getattr(first, n), getattr(second, n)]) for n in names))
    return made


@dataclass(frozen=True, slots=True)
class Touches:
    """Touches; fields as in tables.events."""

    no: Ints
    kind: Ints
    at: Ints
    flags: Ints
    direct: Ints
    channel: Ints
    campaign: Ints
    ad: Ints
    partner: Ints
    country: Ints
    device: Ints

    @property
    def priority(self) -> Ints:
        return _PRIORITY[self.kind]

    def order(self) -> Ints:
        """The indices that sort by (occurred_at, priority, no): the one order of touches, total."""
        by_time = np.argsort(self.at, kind="stable")
        times = self.at[by_time]
        if (times[1:] != times[:-1]).all():
            return by_time
        return np.lexsort((self.no, self.priority, self.at))


@dataclass(frozen=True, slots=True)
class Asks:
    """The conversions of a batch: when, of which goal and person, and since when touches are unspent."""

    at: Ints
    goal: Ints
    person: Ints  # index of a person in the batch
    spent: Ints  # touches up to this instant are used up; NEVER: none are


@dataclass(frozen=True, slots=True)
class Journeys:
    """Who has which touches: `held` by persons, `signed` by single conversions. Each pair stands once.

    A signed touch is one whose click id the conversion itself brought: it counts whoever holds it.
    """

    touches: Touches
    holder: Ints  # index of a person, as long as `held`
    held: Ints  # index of a touch
    bearer: Ints  # index of a conversion, as long as `signed`
    signed: Ints  # index of a touch

    def with_held(self, more: "Journeys") -> "Journeys":
        """These, and other touches that `more` says are held."""
        return replace(
            self,
            touches=joined(self.touches, more.touches),
            holder=np.concatenate([self.holder, more.holder]),
            held=np.concatenate([self.held, more.held + len(self.touches.at)]),
        )

    def in_order(self) -> "Journeys":
        """The same with touches in their order, so that an index is a rank."""
        order = self.touches.order()
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        return replace(
            self, touches=taken(self.touches, order), held=rank[self.held], signed=rank[self.signed]
        )


@dataclass(frozen=True, slots=True)
class Pairs:
    """Touches against conversions, sorted by conversion and then in the order of touches."""

    ask: Ints  # index of the conversion
    touch: Ints  # index of the touch
    held: Bits  # by the conversion's person, then
    signed: Bits  # named by the conversion's click id


def merged(ask: Ints, touch: Ints, *, signed: Bits, touches: int) -> Pairs:
    """Pairs in order, each once. Given are those held (`signed` false), then those signed, or both."""
    keys = ask * (touches + 1) + touch
    order = np.lexsort((signed, keys))
    keys = keys[order]
    first = np.ones(len(keys), dtype=np.bool_)
    first[1:] = keys[1:] != keys[:-1]
    last = np.ones(len(keys), dtype=np.bool_)
    last[:-1] = first[1:]
    return Pairs(
        ask=ask[order[first]],
        touch=touch[order[first]],
        held=~signed[order[first]],
        signed=signed[order[last]],
    )


def anywhere(ask: Ints, which: Bits, asks: int) -> Bits:
    """Per conversion: is there any such pair?"""
    found = np.zeros(asks, dtype=np.bool_)
    found[ask[which]] = True
    return found


def first_of(ask: Ints, which: Bits) -> Bits:
    """The first such pair of each conversion."""
    index = np.flatnonzero(which)
    found = np.zeros(len(which), dtype=np.bool_)
    if len(index):
        found[index[np.r_[True, ask[index][1:] != ask[index][:-1]]]] = True
    return found


def last_of(ask: Ints, which: Bits) -> Bits:
    """The last such pair of each conversion."""
    index = np.flatnonzero(which)
    found = np.zeros(len(which), dtype=np.bool_)
    if len(index):
        found[index[np.r_[ask[index][1:] != ask[index][:-1], True]]] = True
    return found


def spread(low: Ints, size: Ints) -> tuple[Ints, Ints]:
    """Ranges written out: for range i of `size[i]` from `low[i]`, (i, low[i]), (i, low[i] + 1), ..."""
    owner = np.repeat(np.arange(len(size)), size)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(size) - size, size)
    return owner, low[owner] + within
