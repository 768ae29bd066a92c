"""Bugs for simulations to find: each breaks one promise of one function, and undoes itself with the test."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select

from app import db, tables, worker
from app.attribution import leader
from app.attribution import store as credits
from app.collect import fields, parse
from app.collect.parse import Arrival
from app.inbox.records import Position, Slice
from app.model import ADJUSTMENTS
from app.pipeline import run, steps, store
from app.pipeline.run import Pipeline
from tests.simulation.disk import Inbox, Queue

Patch = pytest.MonkeyPatch


def acknowledged_before_sync(patch: Patch) -> None:
    """The inbox says where records landed when they are handed over, not when they are on disk."""
    hand_over = Inbox._hand_over

    def eager(self: Inbox) -> None:
        hand_over(self)
        if self.writing is not None and not self.writing.landed.done():
            self.writing.landed.set_result(Position(bytes(16), 1, len(self.writing.records)))

    patch.setattr(Inbox, "_hand_over", eager)


def file_forgotten_before_commit(patch: Patch) -> None:
    """What was read is let go of before it is stored."""
    read = Queue.read

    def hasty(self: Queue, after: Any, limit: int) -> list[Slice]:
        found = read(self, after, limit)
        for part in found:
            self.forget(part.file, part.sequences[-1])
        return found

    patch.setattr(Queue, "read", hasty)


def cursor_moved_first(patch: Patch) -> None:
    """The cursor moves in a transaction before the one that stores the batch."""
    commit = Pipeline._commit

    def hasty(self: Pipeline, slices: Sequence[Slice]) -> None:
        with db.begin(self.engine) as connection:
            for part in slices:
                store.advance(connection, part.file, part.sequences[-1], self.clock())
        commit(self, slices)

    patch.setattr(Pipeline, "_commit", hasty)


def cursor_remembered_after_failure(patch: Patch) -> None:
    """A batch whose COMMIT was not confirmed counts as not stored."""
    take = Pipeline.take

    def stubborn(self: Pipeline, slices: Sequence[Slice]) -> None:
        before = dict(self.after)
        try:
            take(self, slices)
        except Exception:
            self.after = before
            raise

    patch.setattr(Pipeline, "take", stubborn)


def storing_error_swallowed(patch: Patch) -> None:
    """A batch that the database could not take is passed over."""
    take = Pipeline.take

    def careless(self: Pipeline, slices: Sequence[Slice]) -> None:
        try:
            take(self, slices)
        except Exception:  # noqa: BLE001 - the bug
            self.after = self.cursors() | {part.file: part.sequences[-1] for part in slices}

    patch.setattr(Pipeline, "take", careless)


def repeats_not_looked_up(patch: Patch) -> None:
    """Every event counts, whatever its id."""
    _without_keys(patch, lambda item: True)


def adjustments_repeat(patch: Patch) -> None:
    """A refund that is told again is given again."""
    _without_keys(patch, lambda item: item.event.kind in ADJUSTMENTS)


def _without_keys(patch: Patch, chosen: Callable[[steps.Item], bool]) -> None:
    drop_repeats = steps.drop_repeats

    def blind(item: steps.Item, known: steps.Known) -> Any:
        if chosen(item):
            item.key = b""
        return drop_repeats(item, known)

    patch.setattr(steps, "STEPS", tuple(blind if step is drop_repeats else step for step in steps.STEPS))


def refund_before_sale_dropped(patch: Patch) -> None:
    """A refund of a sale that nobody knows yet is thrown away."""
    gather = run._Batch._gather

    def impatient(self: run._Batch, item: steps.Item) -> None:
        c = tables.sightings.c.conversion
        known = select(c).where(c == item.conversion)
        if item.event.kind in ADJUSTMENTS and self.connection.scalar(known) is None:
            return
        gather(self, item)

    patch.setattr(run._Batch, "_gather", impatient)


def clock_of_the_sender(patch: Patch) -> None:
    """An event happened when its sender says, whatever its clock shows."""
    times = parse._times

    def trusting(stated: Any, arrival: Arrival) -> Any:
        try:
            at = fields.moment(stated, arrival.received_at)
        except fields.Bad:
            return times(stated, arrival)
        return at, at, ()

    patch.setattr(parse, "_times", trusting)


def notes_taken_before_work(patch: Patch) -> None:
    """The leader takes its notes away in one transaction and acts on them in the next."""

    def hasty(engine: Engine, clock: Callable[[], int], rebuild: Any) -> int:
        with db.begin(engine) as connection:
            notes, taken = leader._take(connection)
        with db.begin(engine) as connection:
            for workspace, found in sorted(notes.items()):
                leader.derive(connection, workspace, found, rebuild)
        return taken + leader._settle(engine, limit=leader.SETTLED, now=clock())

    patch.setattr(worker, "lead", hasty)


def rollups_in_another_transaction(patch: Patch) -> None:
    """Credits are committed before the rollups that are made of them."""
    add_credits = credits.add_credits

    def early(connection: Connection, *arguments: Any) -> None:
        add_credits(connection, *arguments)
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    patch.setattr(credits, "add_credits", early)


#: Where the search for each begins: the seed that found it last.
BUGS: dict[Callable[[Patch], None], int] = {
    acknowledged_before_sync: 3,
    file_forgotten_before_commit: 17,
    cursor_moved_first: 3,
    cursor_remembered_after_failure: 10,
    storing_error_swallowed: 1,
    repeats_not_looked_up: 1,
    adjustments_repeat: 1,
    refund_before_sale_dropped: 1,
    clock_of_the_sender: 1,
    notes_taken_before_work: 12,
    rollups_in_another_transaction: 101,
}
