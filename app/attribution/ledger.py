"""What is booked and credited of a batch of conversions, as columns; and whether it changed. Pure.

`owner` is the index of a conversion in the batch; rows are sorted by owner, then ordinal.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from app.attribution.journeys import Bits, Columns, Ints, taken
from app.model import MODELS

#: Why a booking line is there, by the number it has in a batch.
CAUSES = ("made", "status", "refund")


@dataclass(frozen=True, slots=True)
class Conversions:
    """Conversions as columns, sorted by id; fields as in tables.conversions. Texts are lists."""

    id: Ints
    kind: Ints
    goal_id: Ints
    occurred_at: Ints
    valued: Ints
    value: Ints
    with_cogs: Ints
    cogs: Ints
    rated: Ints  # 0: it has a value and no exchange rate yet
    reported: Ints
    reported_cogs: Ints
    state: Ints
    setbacks: Ints
    adjusted: Ints
    new_customer: Ints
    consent_denied: Ints
    credit_version: Ints
    frozen: Ints
    currency: list[str]
    nodes: list[list[int]]
    clicks: list[list[dict[str, int]]]


@dataclass(frozen=True, slots=True)
class Lines:
    """Booking lines; fields after `owner` as in tables.bookings, texts as numbers."""

    owner: Ints
    ordinal: Ints
    basis: Ints
    sign: Ints
    day: Ints
    at: Ints
    cause: Ints  # index of CAUSES
    kind: Ints
    goal_id: Ints
    state: Ints
    currency: Ints  # index in the batch's list of currencies
    rated: Ints
    net_count: Ints
    valued: Ints
    new_customer: Ints
    with_cogs: Ints
    gross: Ints
    net: Ints
    cogs: Ints
    reported_gross: Ints
    reported_net: Ints
    reported_cogs: Ints


@dataclass(frozen=True, slots=True)
class Rows:
    """Credit rows; fields after `owner` as in tables.credits. Every conversion has at least one."""

    owner: Ints
    ordinal: Ints
    no: Ints
    kind: Ints
    occurred_at: Ints
    day: Ints
    channel_id: Ints
    campaign_id: Ints
    ad_id: Ints
    partner_id: Ints
    country: Ints
    device: Ints
    reason: Ints
    first_touch: Ints
    last_touch: Ints
    last_click: Ints
    linear: Ints
    position_based: Ints
    time_decay: Ints
    billing: Ints

    def weights(self) -> list[Ints]:
        """One column for each model, in the order of their numbers from 1."""
        return [getattr(self, name) for name in MODELS]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Both, of the same batch."""

    lines: Lines
    rows: Rows

    def of(self, owners: Bits) -> "Ledger":
        """Only these conversions'; indices stay."""
        return Ledger(taken(self.lines, owners[self.lines.owner]), taken(self.rows, owners[self.rows.owner]))


def table(kind: type[Columns], rows: Sequence[Sequence[int]]) -> Columns:
    """`kind` (Lines or Rows) of rows given as tuples of its fields."""
    columns = np.array(rows, dtype=np.int64).reshape(-1, len(fields(kind))).T
    made: Columns = kind(*np.ascontiguousarray(columns))
    return made


def arranged(columns: Columns) -> Columns:
    """Sorted by owner and ordinal."""
    return taken(columns, np.lexsort((columns.ordinal, columns.owner)))


def changed(new: Columns, old: Columns, conversions: int) -> Bits:
    """Per conversion: is anything of `new` different from `old`?"""
    sizes, old_sizes = (np.bincount(c.owner, minlength=conversions) for c in (new, old))
    found: Bits = sizes != old_sizes
    here, there = taken(new, ~found[new.owner]), taken(old, ~found[old.owner])
    for field in fields(new):
        differs = getattr(here, field.name) != getattr(there, field.name)
        found[here.owner[differs]] = True
    return found
