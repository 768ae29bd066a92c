"""Whether visits were engaged in: told by the visit itself, and by the engagement that may follow it.

A visit that says `engaged: false` has bounced until an engagement names it, whichever of the two comes first.
Visits that say nothing are of unknown quality whatever names them, so order of arrival cannot matter.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, bindparam, select, update

from app import bulk, tables
from app.campaigns.clickid import read_click_id
from app.identity.graph import chunks
from app.model import INVALID, KINDS, QUALITY, TEST, number
from app.pipeline.facts import Facts
from app.pipeline.names import Names
from app.pipeline.steps import Item
from app.pipeline.store import stored

VISIT = KINDS["visit"]
BOUNCED, ENGAGED = QUALITY["bounced"], QUALITY["engaged"]

Key = tuple[int, int]  # workspace, number of a visit
State = tuple[int, int]  # when the visit occurred (0: not here yet), whether it was engaged in


def settle(connection: Connection, names: Names, facts: Facts, items: Sequence[Item]) -> None:
    """Give the batch's visits their quality, and stored ones theirs. Call before items are counted."""
    told: dict[Key, State] = {}
    for item in items:
        key = _key(item)
        if key is not None:
            visit = item.event.kind == "visit"
            at = item.event.occurred_at if visit else 0
            before = told.get(key, (0, 0))
            told[key] = (max(at, before[0]), max(int(not visit or bool(item.event.engaged)), before[1]))
    known = _known(connection, told)
    merged = {key: (max(at, known[key][0]), max(on, known[key][1])) for key, (at, on) in told.items()}
    for item in items:
        if item.event.kind == "visit" and item.event.engaged is not None:
            key = _key(item)
            engaged = merged[key][1] if key is not None else item.event.engaged
            item.quality = ENGAGED if engaged else BOUNCED
    late = [(key, at) for key, (at, on) in known.items() if at and merged[key][1] > on]
    _correct(connection, names, facts, late)
    facts.visits = {key: state for key, state in merged.items() if state != known[key]}


def _key(item: Item) -> Key | None:
    """The visit that an event tells the quality of; None: of none. A robot's or test's engagement is none."""
    event = item.event
    if event.kind == "visit":
        return (item.workspace, event.no) if event.engaged is not None and event.id else None
    if event.kind != "engagement" or item.flags & (INVALID | TEST) or item.view is None:
        return None
    click = read_click_id(event.visit_id, item.view.secret)  # a visit may have been called by its click's id
    named = click.no if click is not None else number(item.workspace, "id", event.visit_id)
    return (item.workspace, named)


def _known(connection: Connection, told: Mapping[Key, State]) -> dict[Key, State]:
    """What was said of these visits before; (0, 0) of those that are new."""
    c = tables.visits.c
    found: dict[Key, State] = dict.fromkeys(told, (0, 0))
    for workspace in {workspace for workspace, _ in told}:
        for part in chunks(no for w, no in told if w == workspace):
            rows = connection.execute(
                select(c.no, c.occurred_at, c.engaged).where(
                    c.workspace == workspace, bulk.among(connection, c.no, part)
                )
            )
            found.update({(workspace, no): (at, engaged) for no, at, engaged in rows})
    return found


def _correct(connection: Connection, names: Names, facts: Facts, late: Sequence[tuple[Key, int]]) -> None:
    """Stored visits that were engaged in after all: -old +new in the rollups. What retention took stays."""
    e = tables.events.c
    numbers = {key for key, _ in late}
    for workspace in sorted({workspace for workspace, _ in numbers}):
        zone = names.views[workspace].timezone
        for part in chunks(at for (w, _), at in late if w == workspace):
            rows = connection.execute(
                select(*(column for column in e if column.name != "details")).where(
                    e.workspace == workspace, bulk.among(connection, e.occurred_at, part), e.kind == VISIT
                )
            ).all()
            found = [row for row in rows if (workspace, row.no) in numbers]
            for row in found:
                facts.count(stored(row, zone), -1)
                facts.count(stored(row, zone, quality=ENGAGED), 1)
            if found:
                one = (e.id == bindparam("row"), e.occurred_at == bindparam("at"))
                connection.execute(
                    update(tables.events).where(*one).values(quality=ENGAGED),
                    [{"row": row.id, "at": row.occurred_at} for row in found],
                )


def write(connection: Connection, facts: Facts) -> None:
    """Keep what the batch said of visits."""
    if not facts.visits:
        return
    c = tables.visits.c
    statement = bulk.insert(connection, tables.visits)
    statement = statement.on_conflict_do_update(
        index_elements=[c.workspace, c.no],
        set_={"occurred_at": statement.excluded.occurred_at, "engaged": statement.excluded.engaged},
    )
    connection.execute(
        statement,
        [
            {"workspace": workspace, "no": no, "occurred_at": at, "engaged": engaged}
            for (workspace, no), (at, engaged) in sorted(facts.visits.items())
        ],
    )
