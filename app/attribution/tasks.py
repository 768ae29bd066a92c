"""Settling: what is due is computed again, completely, and the difference is applied.

The old side of a difference is what is stored, never what is remembered, so it is exact whatever changed
(a touch, a person, a refund, a window, a zone). Bookings, credits and rollups change in the caller's one
transaction; which conversions share a call makes no difference to what they earn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from sqlalchemy import Connection

from app.attribution import bookings, gather, store
from app.attribution.credits import Standing, credits
from app.attribution.gather import People, Result
from app.attribution.journeys import (
    CLICK,
    PRIORITY,
    Asks,
    Bits,
    Ints,
    Journeys,
    anywhere,
    joined,
    taken,
)
from app.attribution.ledger import Conversions, Ledger, Lines, Rows, arranged, changed
from app.attribution.lines import difference
from app.attribution.rules import candidates, judge, near
from app.attribution.store import Setup
from app.conversions.store import changes, load, mark_due
from app.model import BASES, QUARTER, REASONS
from app.workspaces import local_day

#: Where conversions use touches up, one that is settled may make a later one due, and so on: never for long.
SETTLINGS = 100

Known = Mapping[int, list[Result]]  # per person, see gather.results


def settle(connection: Connection, *, limit: int, now: int) -> int:
    """Settle up to `limit` due conversions of one workspace, earliest first. Returns how many.

    Only what changed is written: a next version of the credits, new bookings, -old +new in the rollups.
    """
    workspace, ids = store.due(connection, limit=limit, now=now)
    if not ids:
        return 0
    setup = store.setup(connection, workspace)
    conversions = store.conversions(connection, workspace, ids)
    if len(conversions.id):
        _settle(connection, setup, conversions)
    store.settled(connection, workspace, ids)
    return len(ids)


def settle_these(connection: Connection, workspace: int, ids: Sequence[int]) -> None:
    """Settle those of `ids` that are due, before somebody is erased from them."""
    for _ in range(SETTLINGS):
        waiting = store.waiting(connection, workspace, ids)
        if not waiting:
            return
        conversions = store.conversions(connection, workspace, waiting)
        if len(conversions.id):
            _settle(connection, store.setup(connection, workspace), conversions)
        store.settled(connection, workspace, waiting)


def _settle(connection: Connection, setup: Setup, conversions: Conversions) -> None:
    workspace = setup.workspace
    people = gather.people(connection, workspace, conversions)
    known = gather.results(connection, workspace, people) if setup.exhaustible else {}
    currencies: dict[str, int] = {}
    lines = _lines(connection, setup, conversions, currencies)
    rows = _rows(connection, setup, conversions, people, known)
    old = store.ledger(connection, workspace, conversions, currencies)
    new = Ledger(lines, standing_still(rows, old.rows, setup.frozen(conversions)))
    _replace(connection, workspace, conversions, new, old, currencies)
    if setup.exhaustible:
        mark_due(connection, workspace, _following(setup, conversions, people, known, new.lines, old.lines))


def _replace(
    connection: Connection,
    workspace: int,
    conversions: Conversions,
    new: Ledger,
    old: Ledger,
    currencies: Mapping[str, int],
) -> None:
    count, names = len(conversions.id), list(currencies)
    lines, rows = changed(new.lines, old.lines, count), changed(new.rows, old.rows, count)
    cells = difference(new.of(lines | rows), old.of(lines | rows), count)
    store.replace_lines(connection, workspace, conversions, new.of(lines).lines, lines, names)
    store.add_credits(connection, workspace, conversions, new.of(rows).rows)
    store.add_cells(connection, workspace, cells, names)


def standing_still(rows: Rows, old: Rows, frozen: Bits) -> Rows:
    """`rows`, but for frozen conversions the old ones. What they are worth may change, not who earned it."""
    if not frozen.any():
        return rows
    return arranged(joined(taken(rows, ~frozen[rows.owner]), taken(old, frozen[old.owner])))


def days(zone: str, at: Ints) -> Ints:
    """Local days of instants; each quarter of an hour is looked up once."""
    quarters, index = np.unique(at // QUARTER, return_inverse=True)
    found = [local_day(zone, quarter * QUARTER) for quarter in quarters.tolist()]
    return np.array(found, dtype=np.int64)[index]


def _lines(
    connection: Connection, setup: Setup, conversions: Conversions, currencies: dict[str, int]
) -> Lines:
    ids = bookings.adjusted(conversions)
    known = load(connection, setup.workspace, ids) if ids else {}
    happened = changes(connection, setup.workspace, ids) if ids else {}
    return bookings.lines(
        conversions,
        {id_: (conversion, happened.get(id_, [])) for id_, conversion in known.items()},
        currencies,
        days=days(setup.zone, conversions.occurred_at),
        day_of=partial(local_day, setup.zone),
    )


def _rows(
    connection: Connection, setup: Setup, conversions: Conversions, people: People, known: Known
) -> Rows:
    asks = asking(setup, conversions, people, known)
    found = _touches(connection, setup, asks, people)
    journeys = gather.with_signed(connection, setup.workspace, found, conversions.clicks)
    rows = credits(
        asks,
        journeys.in_order(),
        standing(conversions),
        rules=setup.rules,
        parameters=setup.parameters,
        day_of=partial(days, setup.zone),
    )
    return _told_apart(connection, setup, asks, people, rows)


def _touches(connection: Connection, setup: Setup, asks: Asks, people: People) -> Journeys:
    """The touches that can matter. Where clicks go before all else (`click_over_view`), the others, which
    are most of them, are read only of people of whose conversions one has no click to go by."""
    rules = setup.rules
    every = np.ones(len(asks.at), dtype=np.bool_)
    if rules.tier_rule != "click_over_view":
        return _valid(connection, asks, people, every, rules.furthest)
    clicks = _valid(connection, asks, people, every, {CLICK: rules.furthest[CLICK]}).in_order()
    pairs = candidates(asks, clicks, rules)
    clicked = anywhere(pairs.ask, judge(pairs, asks, clicks.touches, rules).code == 0, len(asks.at))
    if clicked.all():
        return clicks
    views = {kind: reach for kind, reach in rules.furthest.items() if kind != CLICK}
    return clicks.with_held(_valid(connection, asks, people, ~clicked, views))


def _valid(
    connection: Connection, asks: Asks, people: People, which: Bits, reaches: Mapping[int, int]
) -> Journeys:
    """The valid touches of the people of these conversions, of each kind as far back as it can reach."""
    first, last = int(asks.at[which].min()), int(asks.at[which].max())
    since = {kind: first - reach for kind, reach in reaches.items()}
    return gather.valid(connection, people.members, people.nodes(which), since=since, until=last)


def asking(setup: Setup, conversions: Conversions, people: People, known: Known) -> Asks:
    """The conversions as the rules see them."""
    goals = conversions.goal_id
    if setup.settings.reset_after_conversion:
        goals = np.full(len(goals), -1)
    spent = gather.spent(conversions, people, known, goals)
    return Asks(conversions.occurred_at, conversions.goal_id, people.of, spent)


def standing(conversions: Conversions) -> Standing:
    """What the rules must know to say why nothing earned."""
    named = zip(conversions.nodes, conversions.clicks, strict=True)
    return Standing(
        denied=conversions.consent_denied != 0,
        nameless=np.array([not nodes and not clicks for nodes, clicks in named], dtype=np.bool_),
    )


def _told_apart(connection: Connection, setup: Setup, asks: Asks, people: People, rows: Rows) -> Rows:
    """Whether those without any touch have one that is merely too old: asked only for them, since most
    touches are impressions, and those earn for a day."""
    lonely = np.zeros(len(asks.at), dtype=np.bool_)
    lonely[rows.owner[rows.reason == REASONS["no_touch"]]] = True
    longest = setup.rules.longest
    if not lonely.any() or min(setup.rules.furthest.values()) == longest:
        return rows
    older = _valid(connection, asks, people, lonely, dict.fromkeys(PRIORITY, longest))
    outside = lonely & near(asks, older.in_order(), setup.rules)
    reason = np.where(rows.reason == REASONS["no_touch"], REASONS["outside_window"], rows.reason)
    return replace(rows, reason=np.where(outside[rows.owner], reason, rows.reason))


def _following(
    setup: Setup, conversions: Conversions, people: People, known: Known, new: Lines, old: Lines
) -> dict[int, int]:
    """Later conversions of people of whose conversions one came, went or moved: id -> occurred_at.

    Only under `reset_after_conversion` and `first_conversion_only`, where a conversion uses touches up.
    """
    before, after = _counting(old), _counting(new)
    settled = set(conversions.id.tolist())
    found: dict[int, int] = {}
    for i, person in enumerate(people.of.tolist()):
        if before.get(i) == after.get(i):
            continue
        moments = [state[i][0] for state in (before, after) if i in state]
        found |= {
            r.id: r.at
            for r in known.get(person, [])
            if r.id not in settled and min(moments) <= r.at < max(moments) + setup.rules.longest
        }
    return found


def _counting(lines: Lines) -> dict[int, tuple[int, int]]:
    """(occurred_at, goal) of the conversions that count, by index."""
    first = taken(lines, lines.basis == BASES["conversion"])
    rows = zip(first.at.tolist(), first.goal_id.tolist(), strict=True)
    return dict(zip(first.owner.tolist(), rows, strict=True))
