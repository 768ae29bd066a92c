"""Booking lines of a batch of conversions: what conversions.rules.bookings says, as columns.

A conversion that nothing adjusted has one line, made here for all of them at once; a test holds it equal
to the rule. The others are few, and go through the rule itself.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from app.attribution.journeys import Bits, Ints, joined, taken
from app.attribution.ledger import CAUSES, Conversions, Lines, arranged, table
from app.conversions.rules import Adjustment, Booking, Conversion, bookings
from app.model import BASES

#: Adjusted conversions by id: as they stand, and what happened to them.
Histories = Mapping[int, tuple[Conversion, Sequence[Adjustment]]]


def adjusted(conversions: Conversions) -> list[int]:
    """The ids that need their history: those that count and that something adjusted."""
    which = (conversions.adjusted != 0) & (conversions.setbacks == 0)
    ids: list[int] = conversions.id[which].tolist()
    return ids


def lines(
    conversions: Conversions,
    histories: Histories,
    currencies: dict[str, int],
    *,
    days: Ints,
    day_of: Callable[[int], int],
) -> Lines:
    """The lines of all conversions that count. `days` are their local days, `day_of` gives any other.

    `currencies` numbers currencies and grows by those that are new to it.
    """
    codes = np.array([number(currencies, text) for text in conversions.currency], dtype=np.int64)
    counts: Bits = (conversions.setbacks == 0) & (conversions.adjusted == 0)
    plain = taken(_standing(conversions, codes, days), counts)
    if not histories:
        return plain
    owner = {id_: i for i, id_ in enumerate(conversions.id.tolist())}
    rows = [
        (owner[id_], ordinal, *row(line, currencies))
        for id_, (conversion, changes) in histories.items()
        for ordinal, line in enumerate(bookings(conversion, changes, day_of))
    ]
    return arranged(joined(plain, table(Lines, rows)))


def number(currencies: dict[str, int], text: str) -> int:
    return currencies.setdefault(text, len(currencies))


def row(line: Booking, currencies: dict[str, int]) -> tuple[int, ...]:
    """The fields of a booking in the order of Lines, after owner and ordinal."""
    return (
        line.basis, line.sign, line.day, line.at, CAUSES.index(line.cause), line.kind, line.goal_id,
        line.state, number(currencies, line.currency), line.rated, line.net_count, line.valued,
        line.new_customer, line.with_cogs, line.gross, line.net, line.cogs,
        line.reported_gross, line.reported_net, line.reported_cogs,
    )  # fmt: skip


def _standing(c: Conversions, currency: Ints, days: Ints) -> Lines:
    """Each conversion as if nothing adjusted it: one line, on its own day."""
    zero, one = np.zeros(len(c.id), dtype=np.int64), np.ones(len(c.id), dtype=np.int64)
    return Lines(
        owner=np.arange(len(c.id)),
        ordinal=zero,
        basis=one * BASES["conversion"],
        sign=one,
        day=days,
        at=c.occurred_at,
        cause=zero,
        kind=c.kind,
        goal_id=c.goal_id,
        state=c.state,
        currency=currency,
        rated=c.rated,
        net_count=one,
        valued=c.valued,
        new_customer=c.new_customer,
        with_cogs=c.with_cogs,
        gross=c.value,
        net=c.value,
        cogs=c.cogs,
        reported_gross=c.reported,
        reported_net=c.reported,
        reported_cogs=c.reported_cogs,
    )
