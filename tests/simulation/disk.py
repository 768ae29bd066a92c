"""The inbox of a simulated machine: the interface of app.inbox, in memory, with exactly its durability.

What was synced survives every crash. What was handed over and not synced is there as a whole after a crash
or not at all (the log's checksums see to that), and nobody was told. A failed sync gives up its file.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.errors import Unavailable
from app.inbox.records import Position, Slice
from app.inbox.room import Room
from tests.simulation.loop import World

FULL_AT = 12  # records of a file before the next one begins


@dataclass(slots=True)
class File:
    id: bytes
    records: list[bytes] = field(default_factory=list)
    closed: bool = False


@dataclass
class Disk:
    """A machine's inbox folder. `everything` is what was ever durable, for the judge."""

    files: list[File] = field(default_factory=list)
    everything: dict[bytes, list[bytes]] = field(default_factory=dict)

    def waiting(self, after: Mapping[bytes, int]) -> int:
        return sum(max(0, len(f.records) - after.get(f.id, 0)) for f in self.files)

    def new_file(self, world: World) -> File:
        made = File(world.chance.randbytes(16))
        self.files.append(made)
        self.everything[made.id] = made.records
        return made


class _Batch:
    def __init__(self, landed: "asyncio.Future[Position | None]") -> None:
        self.records: list[bytes] = []
        self.landed = landed


class Inbox:
    """The writer of one web process."""

    def __init__(self, world: World, disk: Disk, name: str) -> None:
        self.world, self.disk, self.name = world, disk, name
        self.room = Room()
        self.file: File | None = disk.new_file(world)
        self.batch: _Batch | None = None
        self.writing: _Batch | None = None
        self.crashed = False

    def ready(self) -> str | None:
        return None if self.file is not None else "the disk is in trouble"

    def add(self, record: bytes, kind: str) -> "asyncio.Future[Position | None]":
        batch = self._open()
        batch.records.append(record)
        return batch.landed

    async def append(self, records: Sequence[bytes]) -> Position:
        batch = self._open()
        offset = len(batch.records)
        batch.records.extend(records)
        landed = await asyncio.shield(batch.landed)
        if landed is None:
            raise Unavailable("inbox_write_failed", "the inbox could not be written")
        return Position(landed.file, landed.first + offset, len(records))

    def append_nowait(self, record: bytes) -> None:
        if self.file is not None:
            self._open().records.append(record)

    def _open(self) -> _Batch:
        if self.file is None:
            raise Unavailable("inbox_write_failed", "the disk is in trouble")
        if self.batch is None:
            self.batch = _Batch(self.world.loop.create_future())
            if self.writing is None:
                self.world.loop.call_soon(self._hand_over)
        return self.batch

    def _hand_over(self) -> None:
        if self.batch is not None and self.writing is None and not self.crashed:
            self.writing, self.batch = self.batch, None
            slow = self.world.happens(0.03)  # longer than a visitor waits at the redirect
            self.world.loop.call_later(self.world.chance.uniform(0.001, 0.8 if slow else 0.02), self._sync)

    def _sync(self) -> None:
        """The moment at which the batch is on disk; that it is told comes later."""
        batch, file = self.writing, self.file
        if self.crashed or batch is None:
            return
        position = None
        if file is not None and not self.world.happens(0.03):
            position = Position(file.id, len(file.records) + 1, len(batch.records))
            file.records.extend(batch.records)
            self.world.note(self.name, f"synced {len(batch.records)}")
            if len(file.records) >= FULL_AT:
                self._rotate()
        elif file is not None:
            self.world.note(self.name, f"sync failed, {len(batch.records)} refused")
            file.closed, self.file = True, None
            self.world.loop.call_later(self.world.chance.uniform(0.1, 1.0), self._recover)
        self.world.loop.call_later(self.world.chance.uniform(0.0001, 0.01), self._land, batch, position)

    def _land(self, batch: _Batch, position: Position | None) -> None:
        if self.crashed:
            return
        self.writing = None
        if not batch.landed.done():
            batch.landed.set_result(position)
        self._hand_over()

    def _rotate(self) -> None:
        assert self.file is not None
        self.file.closed = True
        self.file = self.disk.new_file(self.world)

    def _recover(self) -> None:
        if self.file is None and not self.crashed:
            self.file = self.disk.new_file(self.world)

    def crash(self) -> None:
        """The process is gone. Of what it was writing, all is there or nothing."""
        self.crashed = True
        if self.file is not None:
            if self.writing is not None and self.world.chance.random() < 0.5:
                self.file.records.extend(self.writing.records)
            self.file.closed = True


class Queue:
    """The reader of one machine's worker: oldest file first."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk

    def read(self, after: Mapping[bytes, int], limit: int) -> list[Slice]:
        slices: list[Slice] = []
        for file in self.disk.files:
            start = after.get(file.id, 0)
            found = file.records[start : start + limit]
            if found:
                slices.append(Slice(file.id, list(range(start + 1, start + len(found) + 1)), list(found)))
                limit -= len(found)
            if limit <= 0:
                break
        return slices

    def forget(self, file: bytes, upto: int) -> None:
        self.disk.files = [
            f for f in self.disk.files if not (f.id == file and f.closed and upto >= len(f.records))
        ]

    def close(self) -> None:
        pass
