"""The one process that derives: people, conversions, what is due. Exactly one runs per database.

Pipelines append facts and leave notes (`changes`). The leader takes the notes, brings people and
conversions up to date and marks due whatever may earn differently now; `tasks.settle` does the rest. A
touch and its sale arriving through two machines cannot miss one another: whichever commits last leaves
the note that is read after both.
"""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from sqlalchemy import Connection, Engine, delete, func, select, update

from app import db, tables
from app.attribution.store import due, setup
from app.attribution.tasks import settle
from app.conversions import store as conversions
from app.conversions.rules import Conversion, fold, rated
from app.identity import blocks
from app.identity import store as identity
from app.identity.graph import linked
from app.identity.rules import RULES
from app.model import HALF_HOUR, KINDS, SETBACKS
from app.pricing.currencies import Rates, rates
from app.telemetry import logger
from app.workspaces import WorkspaceSettings, local_day, settings_of

log = logger("leader")

NOTES = 200  # taken at a time
FOLDED = 2_000  # conversions folded in one transaction
SETTLED = 2_000  # conversions settled in one transaction

REPEATED = SETBACKS["repeated"]
DUPLICATE = SETBACKS["possible_duplicate"]
LEAD = KINDS["lead"]

#: What a note of kind "setting" says changed (its first number); written by campaigns.changes.
ZONE, ATTRIBUTION, RATES, COUNTING, JOINING = 1, 2, 3, 4, 5


@dataclass(slots=True)
class Notes:
    """A workspace's notes, added up."""

    touches: dict[int, int] = field(default_factory=dict)  # node -> earliest changed instant
    conversions: set[int] = field(default_factory=set)
    nodes: set[int] = field(default_factory=set)  # whose edges changed
    settings: list[tuple[int, int, int]] = field(default_factory=list)  # what, from, to


def lead(engine: Engine, clock: Callable[[], int], rebuild: Callable[[Connection, int, str], None]) -> int:
    """One turn: derive from the notes at hand, then settle some of what is due. Returns how many notes and
    conversions that were: 0 when there is nothing to do, fewer than NOTES when little can be left.

    `rebuild` recounts a workspace's traffic rollups after its zone changed (pipeline.recount.rebuild).
    """
    now = clock()
    with db.begin(engine) as connection:
        if not db.leading(connection):
            return 0  # another machine's worker derives just now
        notes, taken = _take(connection)
        for workspace, found in sorted(notes.items()):
            derive(connection, workspace, found, rebuild)
    return taken + _settle(engine, limit=SETTLED, now=now)


def _settle(engine: Engine, *, limit: int, now: int) -> int:
    """Settle in a transaction of its own. What fails for its content costs only itself: halved until the
    culprit stands alone, which is taken off the list, logged, and marked as unsettled."""
    try:
        with db.begin(engine) as connection:
            return settle(connection, limit=limit, now=now) if db.leading(connection) else 0
    except Exception as error:
        if db.passing(error):
            raise
        if limit > 1:
            return _settle(engine, limit=limit // 2, now=now)
        with db.begin(engine) as connection:
            workspace, culprit = due(connection, limit=1, now=now)
            log.exception("conversion_unsettled", workspace=workspace, conversion=culprit[0])
            conversions.give_up(connection, workspace, culprit[0])
        return 1


def _take(connection: Connection) -> tuple[dict[int, Notes], int]:
    """Take notes away: DELETE ... RETURNING, then act on them in the same transaction. With what rules of
    before left to do."""
    c = tables.changes.c
    first = select(c.id).order_by(c.id).limit(NOTES).scalar_subquery()
    taken = connection.execute(
        delete(tables.changes).where(c.id.in_(first)).returning(c.workspace, c.kind, c.body)
    )
    notes: dict[int, Notes] = defaultdict(Notes)
    count = 0
    for workspace, kind, body in taken:
        count += 1
        numbers = np.frombuffer(bytes(body), dtype="<i8").tolist()
        found = notes[workspace]
        if kind == "touches":
            for node, at in zip(numbers[::2], numbers[1::2], strict=True):
                found.touches[node] = min(at, found.touches.get(node, at))
        elif kind == "conversions":
            found.conversions.update(numbers)
        elif kind == "edges":
            found.nodes.update(numbers)
        else:
            found.settings.append((numbers[0], numbers[1], numbers[2]))
    for workspace in _joined_otherwise(connection):
        notes[workspace].settings.append((JOINING, 0, 0))
    return dict(notes), count


def _joined_otherwise(connection: Connection) -> Sequence[int]:
    """Workspaces whose people were joined by rules of before. No note says so: a leader who knows only those
    rules would take it away."""
    w = tables.workspaces.c
    return connection.scalars(select(w.id).where(w.joined_by < RULES)).all()


def catch_up(connection: Connection, rebuild: Callable[[Connection, int, str], None]) -> bool:
    """Derive from all notes there are, in the caller's transaction; False when they are too many for one."""
    if (connection.scalar(select(func.count()).select_from(tables.changes)) or 0) > 10 * NOTES:
        return False
    taken = NOTES
    while taken >= NOTES:
        notes, taken = _take(connection)
        for of, found in sorted(notes.items()):
            derive(connection, of, found, rebuild)
    return True


def derive(
    connection: Connection,
    workspace: int,
    notes: Notes,
    rebuild: Callable[[Connection, int, str], None],
) -> None:
    """Bring people and conversions up to date with the notes, and mark due what may earn differently."""
    w = tables.workspaces.c
    row = connection.execute(
        select(w.timezone, w.reporting_currency, w.settings).where(w.id == workspace)
    ).first()
    if row is None:
        return
    settings = settings_of(row.settings)
    again = set(notes.conversions)
    if any(what == JOINING for what, _, _ in notes.settings):
        notes.nodes |= linked(connection, workspace) | blocks.active(connection, workspace).keys()
        connection.execute(update(tables.workspaces).where(w.id == workspace).values(joined_by=RULES))
    if notes.nodes:
        moved = identity.join(connection, workspace, notes.nodes, limit=settings.join_limit)
        again |= {id_ for _, id_, _ in conversions.of_nodes(connection, workspace, moved)}
    for what, start, end in notes.settings:
        if what == JOINING:
            continue
        if what == ZONE:
            rebuild(connection, workspace, row.timezone)
        again |= _affected(connection, workspace, what, start, end, row.reporting_currency)
    _due_by_touch(connection, workspace, notes.touches)
    found = _rates(connection, workspace, settings)
    zone, currency = row.timezone, row.reporting_currency
    for ids in _parts(again):
        refold(connection, workspace, ids, settings=settings, rates=found, zone=zone, currency=currency)


def _parts(ids: Iterable[int]) -> Iterable[list[int]]:
    whole = sorted(ids)
    for start in range(0, len(whole), FOLDED):
        yield whole[start : start + FOLDED]


def _affected(
    connection: Connection, workspace: int, what: int, start: int, end: int, currency: str
) -> set[int]:
    """The conversions a changed setting concerns; a rate only those in other currencies."""
    c = tables.conversions.c
    statement = select(c.id).where(c.workspace == workspace, c.occurred_at.between(start, end))
    if what == RATES:
        statement = statement.where(c.currency.not_in(("", currency)))
    return set(connection.scalars(statement))


def _due_by_touch(connection: Connection, workspace: int, touches: Mapping[int, int]) -> None:
    """A touch at t makes due its person's conversions in [t, t + longest window)."""
    if not touches:
        return
    since: dict[int, int] = dict(touches)
    for node, at in identity.companions(connection, workspace, touches):
        since[node] = min(at, since.get(node, at))
    later = [
        (id_, at, at - since[node])
        for node, id_, at in conversions.of_nodes(connection, workspace, since)
        if since[node] <= at
    ]
    if later:
        longest = setup(connection, workspace).rules.longest
        conversions.mark_due(connection, workspace, {id_: at for id_, at, age in later if age < longest})


def _rates(connection: Connection, workspace: int, settings: WorkspaceSettings) -> Rates:
    c = tables.fx_rates.c
    rows = connection.execute(select(c.currency, c.base, c.day, c.rate).where(c.workspace == workspace))
    return rates(((r.currency, r.base, r.day, r.rate) for r in rows), max_age=settings.fx_max_age_days)


def refold(
    connection: Connection,
    workspace: int,
    ids: Iterable[int],
    *,
    settings: WorkspaceSettings,
    rates: Rates,
    zone: str,
    currency: str,
) -> None:
    """Fold these conversions from their facts, write them, and mark them due."""
    ids = list(ids)
    folded: dict[int, Conversion] = {}
    rated_on: dict[int, int] = {}
    standing = conversions.frozen(connection, workspace, ids)
    for id_, (sightings, adjustments) in conversions.facts(connection, workspace, ids).items():
        if not sightings:
            continue  # a refund that came before its sale waits for it
        found = fold(id_, sightings, adjustments, trust_browser=settings.browser_sales == "approved")
        rate = rates.find(found.currency or currency, currency, local_day(zone, found.occurred_at))
        folded[id_] = rated(found, rate.value if rate else None)
        if id_ in standing:  # who made it is not known any more, nor what else they made
            repeats = standing[id_] & (REPEATED | DUPLICATE)
            folded[id_] = replace(folded[id_], setbacks=folded[id_].setbacks | repeats, frozen=1)
        if rate is not None and folded[id_].rate is not None:
            rated_on[id_] = rate.day
    if not folded:
        return
    conversions.save(connection, workspace, folded.values(), rated_on)
    _stand(connection, workspace, folded)
    conversions.mark_due(connection, workspace, {i: c.occurred_at for i, c in folded.items()})


def _stand(connection: Connection, workspace: int, folded: Mapping[int, Conversion]) -> None:
    """Of results that may count once, decide which: the earliest of each group stands, whenever it came."""
    candidates = dict(folded)
    nodes = identity.members(connection, workspace, (n for c in folded.values() for n in c.nodes))
    near = {id_ for _, id_, _ in conversions.of_nodes(connection, workspace, nodes)}
    candidates |= conversions.load(connection, workspace, near - folded.keys())
    g = tables.goals.c
    statement = select(g.id, g.count).where(g.workspace == workspace)
    counting: dict[int, str] = dict(connection.execute(statement).all())
    persons = dict(
        zip(
            candidates,
            identity.resolve(connection, workspace, [(c.occurred_at, c.nodes) for c in candidates.values()]),
            strict=True,
        )
    )
    visitors = identity.kept_apart(connection, workspace, (c.visitor for c in candidates.values()))
    nobody = {visitor for visitor, why in visitors.items() if why == identity.BLOCKED}
    groups: dict[tuple[object, ...], list[Conversion]] = defaultdict(list)
    bare = SETBACKS["test"] | SETBACKS["bot"]
    for c in candidates.values():
        key = _group(c, counting.get(c.goal_id, "every"), person=persons[c.id].number, nobody=nobody)
        if key and not c.setbacks & bare:
            groups[key].append(c)
    standing = {min(group, key=lambda c: (c.occurred_at, c.no)).id for group in groups.values()}
    grouped = {c.id: key for key, group in groups.items() for c in group}
    changed: dict[int, int] = {}
    for c in candidates.values():
        if c.frozen:
            continue
        setbacks = c.setbacks & ~(REPEATED | DUPLICATE)
        if c.id in grouped and c.id not in standing:
            setbacks |= REPEATED if grouped[c.id][0] == "lead" else DUPLICATE
        if setbacks != c.setbacks:
            changed[c.id] = setbacks
    conversions.set_back(connection, workspace, changed)
    conversions.mark_due(connection, workspace, {id_: candidates[id_].occurred_at for id_ in changed})


def _group(c: Conversion, counting: str, *, person: int, nobody: Container[int]) -> tuple[object, ...] | None:
    """What makes two results one: None when nothing does. `person` 0 and all of `nobody` are no one."""
    if c.kind == LEAD:
        if counting == "once_per_person" and person:
            return ("lead", person, c.goal_id)
        if counting == "once_per_click" and c.clicks:
            return ("lead", "click", c.clicks[0][0], c.goal_id)
        return None
    if c.order_id or not c.visitor or c.visitor in nobody:
        return None
    # Fixed buckets, so that which one stands cannot depend on which came first.
    return ("sale", c.visitor, c.goal_id, c.value, c.currency, c.occurred_at // HALF_HOUR)
