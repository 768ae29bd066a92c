"""What the workers do about erasures: a little at each turn, so that a kill at any moment is made up for.

Each stage ends in the transaction that begins the next. A worker that was killed finds the request in its
stage: what is emptied already is not found again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Row, func, select, update

from app import bulk, db, tables
from app.errors import Conflict
from app.inbox.sweep import Sweep
from app.model import DAY, HOUR
from app.persons import erase, finding
from app.persons.finding import Found
from app.persons.requests import DONE, ERASING, REFUSED, REQUESTED, SWEEPING, e, next_round
from app.persons.rules import Wanted
from app.telemetry import logger

log = logger("persons")

AT_ONCE = 20  # requests begun in one turn
AWAY = 7 * DAY  # a machine that was not seen for so long is not waited for
WORKER = b"worker "  # as the cursors begin that tell how fresh a worker's numbers are (app/worker.py)
PATIENCE = 1.0  # seconds that writers wait for SQLite's log to be emptied, at most

#: What VACUUM is asked of, on PostgreSQL.
TOUCHED = (
    "events", "sightings", "adjustments", "conversions", "conversion_nodes", "edges", "people", "landings",
    "rejected", "erasures", "changes", "due",
)  # fmt: skip

_json = msgspec.json.Encoder().encode
_found = msgspec.json.Decoder(Found).decode
_wanted = msgspec.json.Decoder(Wanted).decode


@dataclass(frozen=True, slots=True)
class Eraser:
    """What it takes to carry out requests: `name` is this worker's, `fresh` gives numbers of nobody."""

    engine: Engine
    sweep: Sweep
    name: bytes
    clock: Callable[[], int]
    rebuild: erase.Rebuild
    fresh: Callable[[], int]


def carry_on(by: Eraser) -> None:
    """One turn: report what is swept, then take every request as far as it goes."""
    swept = report(by)
    with db.reading(by.engine) as connection:
        open_ = list(
            connection.execute(
                select(tables.erasures).where(e.stage.in_((REQUESTED, ERASING, SWEEPING))).order_by(e.id)
            )
        )
    ready = [row.id for row in open_ if row.stage == REQUESTED and row.round <= swept]
    _each(by, ready, begin)
    _each(by, [row.id for row in open_ if row.stage == ERASING], go_on)
    finish(by, [row.id for row in open_ if row.stage == SWEEPING and row.round <= swept])


def _each(by: Eraser, ids: list[int], act: Callable[[Eraser, int], None]) -> None:
    """Take up to AT_ONCE requests further. One that fails for what it finds costs only itself, and is tried
    again at the next turn: it counts for none of them."""
    done = 0
    for id_ in ids:
        if done == AT_ONCE:
            return
        try:
            act(by, id_)
            done += 1
        except Exception as error:
            if db.passing(error):
                raise
            log.exception("erasure_failed", erasure=id_)


def report(by: Eraser) -> int:
    """Say how far this machine's inbox is swept; the round up to which all machines' are (0: nobody's)."""
    now, s = by.clock(), tables.sweepers.c
    with db.reading(by.engine) as connection:
        wanted = int(connection.scalar(select(func.coalesce(func.max(e.round), 0))) or 0)
        mine = connection.execute(select(s.round, s.seen_at).where(s.name == by.name)).first()
    round_ = mine.round if mine else 0
    if wanted > round_:
        round_ = max(round_, by.sweep.through(wanted))
    if mine is None or round_ != mine.round or abs(now - mine.seen_at) > HOUR:
        with db.begin(by.engine) as connection:
            statement = bulk.insert(connection, tables.sweepers).values(
                name=by.name, round=round_, seen_at=now
            )
            values = {"round": statement.excluded.round, "seen_at": statement.excluded.seen_at}
            connection.execute(statement.on_conflict_do_update(index_elements=[s.name], set_=values))
    with db.reading(by.engine) as connection:
        if _unheard(connection, now):
            return 0
        return int(connection.scalar(select(func.min(s.round)).where(s.seen_at > now - AWAY)) or 0)


def _unheard(connection: Connection, now: int) -> bool:
    """Is there a worker at work that never reported? One of a version before this table: it knows of no
    rounds, nor that conversions are frozen, and is waited for until it is replaced (or AWAY)."""
    c = tables.cursors.c
    stands = connection.execute(select(c.file).where(c.updated_at > now - AWAY))
    workers = {bytes(file) for (file,) in stands if bytes(file).startswith(WORKER)}
    return bool(workers - {bytes(name) for name in connection.scalars(select(tables.sweepers.c.name))})


def begin(by: Eraser, id_: int) -> None:
    """Erase all but the events of a request's person."""
    before = _search(by, id_)
    with db.begin(by.engine) as connection:
        row = _take(connection, id_, REQUESTED)
        if row is None:
            return
        try:
            done = erase.person(
                connection,
                row.workspace,
                _wanted(row.wanted),
                rebuild=by.rebuild,
                fresh=by.fresh,
                before=before,
            )
        except Conflict:
            return put(connection, id_, stage=REFUSED, wanted="", done_at=by.clock())
        if done is None:
            return
        found, counts = done
        counts["rejected"] = counts.get("rejected", 0) + _counted(row).get("rejected", 0)
        put(connection, id_, stage=ERASING, wanted=_json(found).decode(), counts=_json(counts).decode())
    go_on(by, id_)


def _search(by: Eraser, id_: int) -> erase.Search:
    """Let the rejected records that name the person lose what they hold, a batch in each transaction."""
    with db.reading(by.engine) as connection:
        row = connection.execute(select(tables.erasures).where(e.id == id_)).one()
        if row.stage != REQUESTED:  # another machine's worker was quicker
            return erase.Search()
        try:
            found = finding.find(connection, row.workspace, _wanted(row.wanted))
        except Conflict:  # `begin` will see to it
            return erase.Search()
        names = finding.names_of(connection, found)
    looked = last = 0
    while True:
        with db.reading(by.engine) as connection:
            last, theirs = erase.searched(connection, names, after=looked, limit=erase.BATCH)
        if theirs:
            with db.begin(by.engine) as connection:
                row = connection.execute(select(e.counts).where(e.id == id_).with_for_update()).one()
                counts = _counted(row)
                counts["rejected"] = counts.get("rejected", 0) + erase.forget(connection, theirs)
                put(connection, id_, counts=_json(counts).decode())
        if not last:
            return erase.Search(looked, names.nodes, names.texts)
        looked = last


def _counted(row: Row[Any]) -> dict[str, int]:
    return msgspec.json.decode(row.counts or "{}", type=dict[str, int])


def go_on(by: Eraser, id_: int) -> None:
    """Empty the person's events, a batch in each transaction, until there are none."""
    while True:
        with db.begin(by.engine) as connection:
            row = _take(connection, id_, ERASING)
            if row is None:
                return
            emptied = erase.events(connection, _found(row.wanted))
            counts = _counted(row)
            counts["events"] = counts.get("events", 0) + emptied
            put(connection, id_, counts=_json(counts).decode())
            if emptied < erase.BATCH:
                stage = {"stage": SWEEPING, "round": next_round(connection), "erased_at": by.clock()}
                return put(connection, id_, wanted="", **stage)


def finish(by: Eraser, ids: list[int]) -> None:
    """The inboxes hold nothing any more: write over what the database's files still hold, and say so."""
    if not ids or not db.scour(by.engine, TOUCHED, patience=PATIENCE):
        return
    with db.begin(by.engine) as connection:
        for id_ in ids:
            put(connection, id_, stage=DONE, done_at=by.clock())
    log.info("persons_erased", requests=len(ids))


def _take(connection: Connection, id_: int, stage: str) -> Row[Any] | None:
    """The request, if it is still in this stage. Nobody else derives until the transaction ends; it waits for
    that, since a leader who is busy lets go of the lock only for moments."""
    db.lock(connection, db.Lock.LEADER)
    here = select(tables.erasures).where(e.id == id_, e.stage == stage)
    return connection.execute(here).one_or_none()


def put(connection: Connection, id_: int, **values: object) -> None:
    connection.execute(update(tables.erasures).where(e.id == id_).values(**values))
