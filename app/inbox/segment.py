"""One inbox file from the side of its only writer: create, write, close.

SQLite with a write-ahead log and synchronous=FULL: when `write` returns, the records are on the disk. The
file belongs to whoever holds the lock on `<name>.lock`, which the kernel lets go of when the process dies.
Not thread-safe; nothing here knows of batches, limits or event loops.

A commit whose fsync failed is special. Its pages may already stand in the log, in full, though SQLite
reports failure and hides them; whoever opens the file after a crash would find them valid. And after a
failed fsync Linux forgets which pages were dirty, so that a later one reports success for data that never
reached the disk. Therefore a segment that failed is abandoned, never written again: `abandon` first
overwrites the beginning of what the failed commit left (SQLite's log has one place for the next commit,
and frames are chained by checksums, so the rest becomes unreadable), then lets go of the file.

After each commit the lock file says how far it went, without an fsync: so that a log that was cut off, or
is not there any more, or of which SQLite silently ignores all that stands behind a flipped bit, is missed.
"""

import contextlib
import fcntl
import os
import uuid
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from zlib import crc32

from pysqlite3 import dbapi2 as sqlite

from app import disk

SUFFIX = ".db"
LOCK = ".lock"
DAMAGED = ".damaged"
COMPANIONS = ("", "-wal", "-shm", "-journal")

#: Records of one statement. One statement is one release of the interpreter lock, and needs no BEGIN.
CHUNK = 128
ROW_BYTES = 24  # what SQLite adds to a record, roughly

SCHEMA = """
CREATE TABLE meta (uuid BLOB NOT NULL, closed INTEGER NOT NULL) STRICT;
CREATE TABLE records (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, -- never restarts, even when the table is emptied
    crc INTEGER NOT NULL,
    record BLOB NOT NULL
) STRICT;
"""


class Segment:
    """A file being written. `file` is its uuid, `size` a lower bound of its bytes."""

    def __init__(self, path: Path, lock: int, connection: Any, file: bytes) -> None:
        self.path = path
        self.file = file
        self.size = 0
        self._lock = lock
        self._connection = connection

    @classmethod
    def create(cls, folder: Path, *, clock: Callable[[], int]) -> "Segment":
        """A new, empty, locked and durable file. On failure (sqlite.Error, OSError) nothing is left."""
        file = uuid.uuid4().bytes
        path = folder / f"{clock():016x}-{file.hex()[:12]}{SUFFIX}"
        lock = _take(path.with_suffix(LOCK))
        connection = None
        try:
            connection = sqlite.connect(
                str(path), isolation_level=None, check_same_thread=False, cached_statements=CHUNK + 8
            )
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=4000"):
                connection.execute(f"PRAGMA {pragma}").close()
            connection.executescript(f"BEGIN;{SCHEMA}")
            connection.execute("INSERT INTO meta VALUES (?, 0)", (file,))
            connection.execute("COMMIT")
            disk.sync(folder)
        except BaseException:
            if connection is not None:
                connection.close()
            unlink(path)
            os.close(lock)
            raise
        promise(lock, file, 0)
        return cls(path, lock, connection, file)

    def write(self, records: Sequence[bytes]) -> int:
        """Put the records on disk in one transaction; the sequence of the first. sqlite.Error: abandon."""
        if len(records) <= CHUNK:
            last = self._insert(records)
        else:
            self._connection.execute("BEGIN IMMEDIATE")
            for start in range(0, len(records), CHUNK):
                last = self._insert(records[start : start + CHUNK])
            self._connection.execute("COMMIT")
        self.size += sum(map(len, records)) + ROW_BYTES * len(records)
        promise(self._lock, self.file, last)
        return last - len(records) + 1

    def _insert(self, records: Sequence[bytes]) -> int:
        values = [value for record in records for value in (crc32(record), record)]
        last: int = self._connection.execute(_insert_of(len(records)), values).lastrowid
        return last

    def close(self) -> None:
        """Say that nothing will be added, and let go. The reader drains and unlinks the file."""
        with contextlib.suppress(sqlite.Error):
            self._connection.execute("UPDATE meta SET closed = 1")
        with contextlib.suppress(sqlite.Error):
            self._connection.close()
        os.close(self._lock)

    def abandon(self) -> None:
        """After a failed write: bury what it left in the log, and let go."""
        with contextlib.suppress(sqlite.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        self.close()


@lru_cache(maxsize=CHUNK + 1)
def _insert_of(count: int) -> str:
    return "INSERT INTO records (crc, record) VALUES " + ",".join(["(?,?)"] * count)  # noqa: S608 (no values)


def _take(path: Path) -> int:
    """The locked file descriptor of a lock file of our own making."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(handle)
        raise
    return handle


def promise(lock: int, file: bytes, last: int) -> None:
    """Say in the lock file that all records of `file` up to `last` are on the disk."""
    disk.note(lock, file + last.to_bytes(8, "big"))


def promised(path: Path) -> tuple[bytes, int] | None:
    """The uuid of an inbox file and its last record, as its writer said; None: that cannot be read."""
    said = disk.noted(path.with_suffix(LOCK))
    return None if said is None else (said[:16], int.from_bytes(said[16:], "big"))


def set_aside(path: Path) -> None:
    """Keep a damaged file out of the way, for who may want to look at it."""
    for companion in ("-wal", ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + companion).rename(path.with_name(path.stem + DAMAGED + companion))
    unlink(path)


def unlink(path: Path) -> None:
    """Remove a file and its companions, the lock last: until then nobody else may judge it."""
    for companion in COMPANIONS:
        path.with_name(path.name + companion).unlink(missing_ok=True)
    path.with_suffix(LOCK).unlink(missing_ok=True)


def owner_gone(path: Path) -> int | None:
    """A descriptor holding the file's lock when nobody else does (close it), else None.

    A lock file that is missing (a restored backup) has no owner either: it is made anew.
    """
    handle = os.open(path.with_suffix(LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
