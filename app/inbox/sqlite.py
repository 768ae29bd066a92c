"""The embedded inbox: one writer per web process, and the reader of the pipeline.

Group commit without a fixed wait: the event loop appends to the open batch; a thread writes one batch
at a time; the next batch is whatever arrived meanwhile. Everyone in a batch shares one future, so a
record costs the loop a list append. The batch is handed over in the loop and its future resolved in the
loop: only the queue between the two threads is shared.

Bounds: towards `limit_bytes` of files not drained yet, or into the last `reserve_bytes` of free disk, ever
fewer kinds find room (`room`); without any, or after a write or fsync that failed, appending raises
Unavailable and nothing is taken; the thread keeps trying and recovers by itself. It never interprets a
record: whoever brings one says its kind.
"""

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

from pysqlite3 import dbapi2 as sqlite

from app import disk, telemetry
from app.errors import Unavailable
from app.inbox.queue import Queue as Queue
from app.inbox.records import Position as Position
from app.inbox.records import Slice as Slice
from app.inbox.room import INBOX, NEEDED, Room, judged
from app.inbox.segment import Segment
from app.inbox.sweep import marked

SAMPLE_EVERY = 0.25  # seconds between looks at the disk, and between attempts to recover
STALLED_AFTER = 2.0  # seconds one commit may take before new records are refused instead of piled up
PENDING_BYTES = 32 * 2**20  # records waiting in memory for the commit before theirs

log = telemetry.logger("inbox")


class _Batch:
    """Records that share one commit. `landed` becomes the Position of the first, or None: not stored."""

    __slots__ = ("landed", "records", "size")

    def __init__(self, landed: asyncio.Future[Position | None]) -> None:
        self.records: list[bytes] = []
        self.size = 0
        self.landed = landed


class Inbox:
    """The writer. `start` and `stop` belong to the event loop that appends."""

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int,
        limit_bytes: int,
        reserve_bytes: int,
        clock: Callable[[], int],
    ) -> None:
        self.folder = folder
        # A file is unlinked only when it is closed: one as large as the limit could never be drained.
        self.segment_bytes = min(segment_bytes, limit_bytes // 4)
        self.limit_bytes = limit_bytes
        self.reserve_bytes = reserve_bytes
        self.clock = clock
        self.room = Room()
        self._trouble: tuple[str, str] | None = ("inbox_closed", "the inbox is not open")
        self._batch: _Batch | None = None
        self._busy_since = 0.0
        self._stopping = False
        self._handed: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._segment: Segment | None = None
        self._mark = (0, 0)  # of the folder (sweep.py), when the file that is open was begun
        self._sampled_at = 0.0
        self._unsampled = 0  # bytes written since: between two looks a fast sender could pass any limit
        self._sample_bytes = min(limit_bytes, reserve_bytes or limit_bytes) // 64
        self._filling = False  # much of what is held stands in the file that is open
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)

    # --- In the event loop ---------------------------------------------------------------------

    async def start(self) -> None:
        """Open a file of our own. A disk in trouble is not an error here: `ready` names it."""
        self._loop = asyncio.get_running_loop()
        opened = self._loop.run_in_executor(None, self._tend)
        await opened
        self._thread.start()

    async def stop(self) -> None:
        """Write what was taken, close the file, end the thread."""
        self._stopping = True
        while self._batch is not None or self._busy_since:
            await asyncio.wait([self._batch.landed] if self._batch else [self._writing])
        self._handed.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def ready(self) -> str | None:
        """What keeps records from being accepted, None when nothing does."""
        return self._trouble[1] if self._trouble else None

    def add(self, record: bytes, kind: str) -> "asyncio.Future[Position | None]":
        """Take one record. The future is its batch's: await it (None: not stored), never cancel it."""
        if kind in self.room.refused:
            raise self.room.error()
        batch = self._open()
        batch.records.append(record)
        batch.size += len(record)
        return batch.landed

    async def append(self, records: Sequence[bytes]) -> Position:
        """Store the records with consecutive sequences, or raise Unavailable and store none of them.

        Whether there is `room` for their kinds is asked before: of several, some may find it.
        """
        batch = self._open()
        offset = len(batch.records)
        batch.records.extend(records)
        batch.size += sum(map(len, records))
        landed = await batch.landed
        if landed is None:
            raise self._unavailable()
        return Position(landed.file, landed.first + offset, len(records))

    def append_nowait(self, record: bytes) -> None:
        """Take a record that nobody waits for (a refusal); dropped in trouble, and when room is short."""
        if self._trouble is None and not self.room.refused and not self._stopping:
            batch = self._open()
            batch.records.append(record)
            batch.size += len(record)

    def _open(self) -> _Batch:
        """The batch that is being filled."""
        if self._trouble is not None or self._stopping:
            raise self._unavailable()
        batch = self._batch
        if batch is None:
            batch = self._batch = _Batch(self._loop.create_future())
            if not self._busy_since:
                # At the end of this turn of the loop: all that is read in one turn shares a commit.
                self._loop.call_soon(self._hand_over)
        elif self._busy_since and (
            monotonic() - self._busy_since > STALLED_AFTER or batch.size > PENDING_BYTES
        ):
            raise Unavailable("inbox_slow", "the disk is too slow for what arrives")
        return batch

    def _unavailable(self) -> Unavailable:
        if self._stopping:
            return Unavailable("inbox_closed", "the service is stopping")
        return Unavailable(*(self._trouble or ("inbox_write_failed", "the inbox could not be written")))

    def _hand_over(self) -> None:
        batch = self._batch
        if batch is not None and not self._busy_since:
            self._batch = None
            self._busy_since = monotonic()
            self._writing = batch.landed
            self._handed.put(batch)

    def _landed(self, batch: _Batch, position: Position | None) -> None:
        self._busy_since = 0.0
        if not batch.landed.done():
            batch.landed.set_result(position)
        self._hand_over()

    # --- In the writer's thread ----------------------------------------------------------------

    def _run(self) -> None:
        while True:
            try:
                batch = self._handed.get(timeout=SAMPLE_EVERY)
            except queue.Empty:
                self._tend()
                continue
            if batch is None:
                break
            position = self._write(batch.records)
            self._loop.call_soon_threadsafe(self._landed, batch, position)
            self._tend()
        if self._segment is not None:
            self._segment.close()
        self._trouble = ("inbox_closed", "the inbox is closed")

    def _write(self, records: list[bytes]) -> Position | None:
        """Commit the records; None when that failed, and then the file they were meant for is given up."""
        if self._trouble is not None or self._segment is None:
            return None
        started = monotonic()
        try:
            first = self._segment.write(records)
        except (sqlite.Error, OSError) as error:
            self._fail("inbox_write_failed", f"writing to the inbox failed: {error}")
            self._segment.abandon()
            self._segment = None
            return None
        telemetry.INBOX_SECONDS.observe(monotonic() - started)
        self._unsampled += sum(map(len, records))
        return Position(self._segment.file, first, len(records))

    def _tend(self) -> None:
        """Rotate a full file; now and then look at the disk, and see whether trouble is over."""
        if self._segment is not None and self._segment.size >= self.segment_bytes:
            self._rotate()
        now = monotonic()
        if now - self._sampled_at < SAMPLE_EVERY and self._unsampled < self._sample_bytes:
            return
        self._sampled_at = now
        self._unsampled = 0
        trouble = self._space()
        if trouble is not None:
            self._fail(*trouble)
        if self._segment is None:
            if trouble is None:
                self._rotate()
        elif self.room.code == INBOX and self._segment.size and (trouble is not None or self._filling):
            self._rotate()  # only a closed file can be drained and unlinked
        elif trouble is None and marked(self.folder) != self._mark:
            self._rotate()  # somebody is to be forgotten
        elif trouble is None and self._trouble is not None:
            self._recover()

    def _rotate(self) -> None:
        """Close the file that is open and open a new one."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None
        try:
            disk.make_folder(self.folder)
            self._mark = marked(self.folder)
            self._segment = Segment.create(self.folder, clock=self.clock)
        except (sqlite.Error, OSError) as error:
            self._fail("inbox_write_failed", f"an inbox file cannot be made: {error}")
        else:
            if self._space() is None:
                self._recover()

    def _space(self) -> tuple[str, str] | None:
        """Measure the room; what forbids to take anything."""
        try:
            if not self.folder.is_dir():
                disk.make_folder(self.folder)
            there = os.statvfs(self.folder)
            with os.scandir(self.folder) as found:
                sizes = {entry.name: _size(entry) for entry in found}
        except OSError as error:
            return "inbox_write_failed", f"the inbox folder cannot be used: {error}"
        held = sum(sizes.values())
        own = self._segment.path.name if self._segment is not None else ""
        self._filling = 8 * sum(size for name, size in sizes.items() if own and name.startswith(own)) > held
        telemetry.INBOX_BYTES.set(held)
        free = there.f_bavail * there.f_frsize
        self._judge(judged(free=free, reserve=self.reserve_bytes, held=held, limit=self.limit_bytes))
        return (self.room.code, self.room.message) if self.room.gone else None

    def _judge(self, room: Room) -> None:
        if room.refused != self.room.refused:
            log.warning("room_changed", refused=sorted(room.refused), reason=room.message)
            for kind in NEEDED:
                telemetry.REFUSED.labels(kind).set(kind in room.refused)
        self.room = room

    def _fail(self, code: str, message: str) -> None:
        if self._trouble is None or self._trouble[0] != code:
            log.error("inbox_unavailable", code=code, message=message)
        self._trouble = (code, message)
        telemetry.READY.set(0)

    def _recover(self) -> None:
        if self._trouble is not None:
            log.info("inbox_available", after=self._trouble[0])
        self._trouble = None
        telemetry.READY.set(1)


def _size(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return 0  # drained and unlinked in between
