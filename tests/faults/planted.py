"""Clicktrail with one bug planted, for the tests that must turn red by it: negative controls.

    python planted.py BUG -m MODULE [ARGUMENTS]

runs MODULE as `python -m` would after breaking one function, in the parent and in every process that it
starts. Each bug is one that such a service may well have; the waits in some of them only make wide what
would be a narrow gap between two steps, so that few kills suffice to fall into it.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import SQLAlchemyError

import app.connection
from app import db, deps, disk, web, worker
from app import main as application
from app.attribution import leader, tasks
from app.attribution.leader import Notes
from app.collect import pixel
from app.errors import Unavailable
from app.inbox import queue, room, segment
from app.inbox.queue import Queue
from app.inbox.records import Position, Slice
from app.inbox.sqlite import Inbox
from app.pipeline import run, steps, store
from app.pipeline.run import Pipeline
from app.pulse import Pulse
from app.settings import Settings
from tests.faults import planting

GAP = 0.2  # seconds between two steps that should have been one
IN_THE_GAP = "in-the-gap"  # a file that is there when a worker stands there


def _stand_in_the_gap() -> None:
    """Say so, and stay there for a while: to be killed here and not elsewhere."""
    (Settings().data / IN_THE_GAP).touch()
    time.sleep(3 * GAP)


# --- In the web process -------------------------------------------------------------------------------


def acknowledged_before_commit() -> None:
    """The doors answer when a batch is handed to the writer, not when it is on disk."""
    hand_over, write = Inbox._hand_over, segment.Segment.write

    def eager(self: Inbox) -> None:
        batch = self._batch
        hand_over(self)
        if batch is not None and batch is not self._batch and not batch.landed.done():
            batch.landed.set_result(Position(bytes(16), 1, len(batch.records)))

    def late(self: segment.Segment, records: Sequence[bytes]) -> int:
        time.sleep(GAP / 4)
        return write(self, records)

    Inbox._hand_over = eager
    segment.Segment.write = late


def write_error_swallowed() -> None:
    """A failed write to the inbox is taken for a good one."""
    write = segment.Segment.write

    def careless(self: segment.Segment, records: Sequence[bytes]) -> int:
        try:
            return write(self, records)
        except sqlite.Error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            return 1

    segment.Segment.write = careless


def not_synced() -> None:
    """The inbox leaves it to the kernel when a record reaches the disk."""
    create = segment.Segment.create

    def trusting(folder: Path, *, clock: Callable[[], int]) -> segment.Segment:
        made = create(folder, clock=clock)
        made._connection.execute("PRAGMA synchronous=OFF").close()
        return made

    segment.Segment.create = trusting


def inbox_synced_now_and_then() -> None:
    """The inbox syncs when its log is copied into the file, not at each commit: SQLite's NORMAL."""
    create = segment.Segment.create

    def thrifty(folder: Path, *, clock: Callable[[], int]) -> segment.Segment:
        made = create(folder, clock=clock)
        made._connection.execute("PRAGMA synchronous=NORMAL").close()
        return made

    segment.Segment.create = thrifty


def folders_not_synced() -> None:
    """A file is synced, the folder that holds its name is not."""
    disk.sync = lambda folder: None


def unavailable_told_as_accepted() -> None:
    """The pixel says accepted whatever the inbox says."""

    async def hopeful(doors: Any, event: Any) -> tuple[bytes, bytes]:
        with contextlib.suppress(Unavailable):
            await doors.inbox.add(pixel.encode(event), event.kind)
        return pixel._ACCEPTED

    pixel._store = hopeful


def all_kinds_alike() -> None:
    """Short of room, an impression is worth as much as a sale."""
    room.NEEDED.update(dict.fromkeys(room.NEEDED, 1.0))


def leaves_without_draining() -> None:
    """A web process that is told to leave closes what is connected to it, and goes."""

    async def hasty(self: web.Server, sockets: Any = None) -> None:
        for listener in [*self.servers, *(sockets or [])]:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        self.force_exit = True
        await self.lifespan.shutdown()

    web.Server.shutdown = hasty


def file_removed_when_closed() -> None:
    """A web process that leaves takes its inbox file along."""
    close = segment.Segment.close

    def tidy(self: segment.Segment) -> None:
        close(self)
        segment.unlink(self.path)

    segment.Segment.close = tidy


def reports_take_every_thread() -> None:
    """Reports wait for a connection each in a thread, which other routes then lack."""
    deps.REPORTS = 10_000


# --- In the worker ------------------------------------------------------------------------------------


def cursor_moved_first() -> None:
    """The cursor moves in a transaction before the one that stores the batch."""
    commit = Pipeline._commit

    def hasty(self: Pipeline, slices: Sequence[Slice]) -> None:
        _move_cursors(self, slices)
        _stand_in_the_gap()
        commit(self, slices)

    Pipeline._commit = hasty


def database_synced_now_and_then() -> None:
    """What the worker commits is safe when it is checkpointed; what it took from the inbox goes at once."""
    connect = db.connect

    def thrifty(url: str, **options: Any) -> Engine:
        engine = connect(url, **options)
        event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=NORMAL").close())
        return engine

    db.connect = thrifty


def file_taken_as_it_is() -> None:
    """What an inbox file holds is all that it ever held."""
    queue.promised = lambda path: None


def checksums_not_compared() -> None:
    """What an inbox file holds is what was written."""
    queue._sound = lambda crc, record: record


def cursor_kept_in_memory() -> None:
    """The cursor is written nowhere: a worker started anew begins at the beginning."""
    memory: dict[bytes, int] = {}
    cursors, advance = store.cursors, store.advance

    def forgetful(connection: Connection, file: bytes, sequence: int, now: int) -> None:
        if len(file) != 16:  # freshness, which is of no file
            advance(connection, file, sequence, now)
        else:
            memory[file] = sequence

    store.advance = forgetful
    store.cursors = lambda connection: cursors(connection) | memory


def newest_first() -> None:
    """The worker takes what came last before what came first."""
    opened = Queue._open
    Queue._open = lambda self, after: opened(self, after)[::-1]


def waits_for_ever() -> None:
    """Nobody notices a database that says nothing."""
    Pulse.impatient = lambda self: False


def redirect_asks_the_database() -> None:
    """A click looks up its campaign where it is configured, not in the snapshot."""
    answer = application.click

    async def thorough(doors: Any, scope: Any, receive: Any, send: Any) -> None:
        with contextlib.suppress(SQLAlchemyError):
            await asyncio.to_thread(doors.snapshots.refresh, doors.outcomes._engine)
        await answer(doors, scope, receive, send)

    application.DOORS_BELOW = (("/c/", thorough), *application.DOORS_BELOW[1:])


def storing_error_swallowed() -> None:
    """A batch that the database could not take is passed over."""
    take = Pipeline.take

    def careless(self: Pipeline, slices: Sequence[Slice]) -> None:
        try:
            take(self, slices)
        except Exception as error:
            while db.passing(error):
                try:
                    return _move_cursors(self, slices)
                except Exception as another:  # noqa: BLE001 - looked at by the loop
                    error = another
                    time.sleep(GAP)
            raise

    Pipeline.take = careless


def leaks() -> None:
    """Each record costs the web process a quarter of a MiB, and every tenth a descriptor."""
    add, append = Inbox.add, Inbox.append
    kept: list[bytes] = []

    def keep() -> None:
        kept.append(bytes(range(256)) * 1024)
        if len(kept) % 10 == 0:
            os.dup(0)

    def adding(self: Inbox, record: bytes, kind: str) -> Any:
        keep()
        return add(self, record, kind)

    async def appending(self: Inbox, records: Sequence[bytes]) -> Position:
        keep()
        return await append(self, records)

    Inbox.add, Inbox.append = adding, appending


def no_descriptor_spared() -> None:
    """Connections may take the last descriptor."""
    app.connection.SPARE = 0


def all_files_opened() -> None:
    """The reader of the inbox opens every file there is."""
    Queue._most = property(lambda self: sys.maxsize)


def notes_taken_before_work() -> None:
    """The leader takes its notes away in one transaction and acts on them in the next."""

    def hasty(engine: Engine, clock: Callable[[], int], rebuild: Any) -> int:
        notes: Mapping[int, Notes]
        with db.begin(engine) as connection:
            notes, taken = leader._take(connection)
        if notes:
            _stand_in_the_gap()
        with db.begin(engine) as connection:
            for workspace, found in sorted(notes.items()):
                leader.derive(connection, workspace, found, rebuild)
            return taken + tasks.settle(connection, limit=leader.SETTLED, now=clock())

    worker.lead = hasty


def repeats_not_looked_up() -> None:
    """Every event counts, whatever its id."""
    kept = tuple(step for step in steps.STEPS if step is not steps.drop_repeats)

    def blind(item: steps.Item, known: steps.Known) -> None:
        item.key = b""

    position = steps.STEPS.index(steps.drop_repeats)
    steps.STEPS = (*kept[:position], blind, *kept[position:])


def conflict_taken_for_repeat() -> None:
    """The same id with other content is dropped without a word."""
    drop_repeats = steps.drop_repeats

    def deaf(item: steps.Item, known: steps.Known) -> None:
        if drop_repeats(item, known) is not None:
            item.outcome = "duplicate"

    steps.STEPS = tuple(deaf if step is drop_repeats else step for step in steps.STEPS)


def batch_dropped_for_one() -> None:
    """A batch that cannot be stored is quarantined by its first record, and passed over."""

    def coarse(self: Pipeline, slices: Sequence[Slice]) -> None:
        try:
            self._commit(slices)
        except Exception as error:
            if db.passing(error):
                raise
            self.names = run.slugs.Names()
            self._quarantine(slices[0], error)
            _move_cursors(self, slices)

    Pipeline.take = coarse


def _move_cursors(pipeline: Pipeline, slices: Sequence[Slice]) -> None:
    with db.begin(pipeline.engine) as connection:
        for part in slices:
            store.advance(connection, part.file, part.sequences[-1], pipeline.clock())


BUGS: dict[str, Callable[[], None]] = {
    plant.__name__: plant
    for plant in (
        acknowledged_before_commit,
        write_error_swallowed,
        not_synced,
        inbox_synced_now_and_then,
        folders_not_synced,
        unavailable_told_as_accepted,
        reports_take_every_thread,
        all_kinds_alike,
        leaves_without_draining,
        file_removed_when_closed,
        cursor_moved_first,
        database_synced_now_and_then,
        file_taken_as_it_is,
        checksums_not_compared,
        cursor_kept_in_memory,
        newest_first,
        waits_for_ever,
        redirect_asks_the_database,
        storing_error_swallowed,
        leaks,
        no_descriptor_spared,
        all_files_opened,
        notes_taken_before_work,
        repeats_not_looked_up,
        conflict_taken_for_repeat,
        batch_dropped_for_one,
    )
}


if __name__ == "__main__":
    planting.run(BUGS, __file__)
