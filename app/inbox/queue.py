"""The reader of the embedded inbox: what the pipeline takes records from, in the worker's process.

It reads while writers write, oldest file first, and unlinks files that are closed (their lock is free:
rotated, stopped, or the owner was killed) once the pipeline has forgotten all of their records. A file
that cannot be read is reported and left where it is: it must not block the others. Of very many files it
opens only as many as it has descriptors for; the others' turn comes when those are done.

Damage is not passed over. Sequences have no gaps, records have checksums, and the owner said how many there
are: when one of these does not hold of a closed file, it is read record by record, and what cannot be read
is handed over empty, which ends among the rejected. Such a file is kept aside, not unlinked.
"""

import contextlib
import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from pysqlite3 import dbapi2 as sqlite

from app import telemetry
from app.inbox.records import Slice
from app.inbox.segment import ROW_BYTES, SUFFIX, owner_gone, promised, set_aside, unlink

log = telemetry.logger("inbox")

READ = "SELECT sequence, crc, record FROM records WHERE sequence > ? ORDER BY sequence LIMIT ?"
MORE = "SELECT 1 FROM records WHERE sequence > ? LIMIT 1"
ONE = "SELECT crc, record FROM records WHERE sequence = ?"
LAST = "SELECT max(sequence) FROM records"

SQLITE_ERROR = 1  # no such table, for one: the schema is a record like others
DAMAGE = {SQLITE_ERROR, 11, 20, 26}  # and: corrupt, of another type, no database


DESCRIPTORS_OF_A_FILE = 3  # the file, its log, and the log's index
DESCRIPTORS_OF_OTHERS = 40  # the database, and what it takes to retire a file


@dataclass(slots=True)
class _File:
    """A file being read. `floor`: all up to this sequence is surely committed elsewhere.

    `last`: what a file should hold that is only to be read record by record.
    """

    path: Path
    inode: int
    connection: Any
    file: bytes
    floor: int
    last: int | None = None
    damaged: bool = False


class Queue:
    """Reads the inbox files of a folder. Used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[Path, _File] = {}
        self._reported: set[tuple[Path, int]] = set()

    @property
    def _most(self) -> int:
        """How many files may be open at once."""
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return max(4, (descriptors - DESCRIPTORS_OF_OTHERS) // DESCRIPTORS_OF_A_FILE)

    def read(self, after: Mapping[bytes, int], limit: int) -> list[Slice]:
        """At most `limit` records beyond `after` ({file uuid: sequence}), oldest file first."""
        slices: list[Slice] = []
        for found in self._open(after):
            rows = self._rows(found, after.get(found.file, 0), limit)
            if rows:
                slices.append(Slice(found.file, [n for n, _ in rows], [payload for _, payload in rows]))
                limit -= len(rows)
                if limit <= 0:
                    break
            elif rows is not None:
                self._retire(found)
        return slices

    def forget(self, file: bytes, upto: int) -> None:
        """The cursor of `file` is committed at `upto`: unlink the file if that was all it will ever hold."""
        for found in [f for f in self._files.values() if f.file == file]:
            found.floor = max(found.floor, upto)
            self._retire(found)

    def close(self) -> None:
        for found in self._files.values():
            found.connection.close()
        self._files.clear()

    def _open(self, after: Mapping[bytes, int]) -> list[_File]:
        """The readable files, oldest first. A name that now means another file is opened anew."""
        try:
            with os.scandir(self.folder) as entries:
                names = sorted(entry.name for entry in entries if entry.name.endswith(SUFFIX))
        except FileNotFoundError:
            return []
        present: dict[Path, _File] = {}
        most = self._most
        for name in names:
            if len(present) >= most:
                break
            path = self.folder / name
            found = self._files.get(path) or self._connect(path, after)
            if found is not None and found.inode != _inode(path):
                found.connection.close()
                found = self._connect(path, after)
            if found is not None:
                present[path] = found
        for path, gone in self._files.items():
            if path not in present:
                gone.connection.close()
        self._files = present
        return list(present.values())

    def _connect(self, path: Path, after: Mapping[bytes, int]) -> _File | None:
        inode = _inode(path)
        try:
            connection = sqlite.connect(
                f"{path.absolute().as_uri()}?mode=rw",
                uri=True,
                isolation_level=None,
                timeout=5,
                check_same_thread=False,
            )
        except sqlite.Error as error:
            self._report(path, inode, error)
            return None
        said = promised(path)
        try:
            row = None
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                row = connection.execute("SELECT uuid FROM meta").fetchone()
        except sqlite.Error as error:
            self._report(path, inode, error)
            if said is None or not _is_damage(error):
                connection.close()
                return None
        if row is not None:
            file: bytes = row[0]
        elif said is not None and said[1]:
            file = said[0]
        else:
            connection.close()
            _remove_unborn(path)
            return None
        # What the caller knows at first sight can only be its committed cursor.
        return _File(path, inode, connection, file, after.get(file, 0))

    def _rows(self, found: _File, start: int, limit: int) -> list[tuple[int, bytes]] | None:
        """(sequence, payload) of the next records; None: they cannot be read now."""
        if found.last is not None:
            return self._salvage(found, start, limit)
        try:
            rows: list[tuple[int, int, bytes]] = found.connection.execute(READ, (start, limit)).fetchall()
        except sqlite.Error as error:
            self._report(found.path, found.inode, error)
            return self._salvage(found, start, limit) if _is_damage(error) else None
        short = not rows and (_promise(found) or 0) > start
        if short or any(row[0] != start + n for n, row in enumerate(rows, 1)):
            return self._salvage(found, start, limit)
        return self._looked_at(found, [(sequence, _sound(crc, record)) for sequence, crc, record in rows])

    def _salvage(self, found: _File, start: int, limit: int) -> list[tuple[int, bytes]] | None:
        """Read record by record, if the file is closed: what is read while it is written may look odd."""
        lock = owner_gone(found.path)
        if lock is None:
            return None
        try:
            last = _last(found)
            wanted = range(start + 1, min(last, start + limit) + 1)
            rows = [(sequence, _one(found, sequence)) for sequence in wanted]
        finally:
            os.close(lock)
        found.last = last
        return self._looked_at(found, rows)

    def _looked_at(self, found: _File, rows: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        if not found.damaged and (unreadable := [sequence for sequence, payload in rows if not payload]):
            found.damaged = True
            log.error(
                "inbox_file_damaged", file=found.path.name, first=unreadable[0], unreadable=len(unreadable)
            )
        return rows

    def _retire(self, found: _File) -> None:
        """Remove a file whose owner is gone and of which nothing is left."""
        lock = owner_gone(found.path)
        if lock is None:
            return
        try:
            # Asked under the lock: an owner that died a moment ago may have written until then.
            left = found.floor < (_promise(found) or 0 if found.last is None else found.last)
            if found.last is None and not left:
                left = found.connection.execute(MORE, (found.floor,)).fetchone() is not None
            if not left:
                found.connection.close()
                self._files.pop(found.path, None)
                (set_aside if found.damaged else unlink)(found.path)
        except sqlite.Error as error:
            self._report(found.path, found.inode, error)
        finally:
            os.close(lock)

    def _report(self, path: Path, inode: int, reason: object) -> None:
        if (path, inode) not in self._reported:
            self._reported.add((path, inode))
            log.error("inbox_file_unreadable", file=path.name, reason=str(reason))


def _is_damage(error: sqlite.Error) -> bool:
    """Is it the file's content that is to blame? Else it may pass: busy, full, not allowed."""
    return getattr(error, "sqlite_errorcode", SQLITE_ERROR) & 0xFF in DAMAGE


def _sound(crc: object, record: object) -> bytes:
    """The record if it is what was written, else b""."""
    return record if isinstance(record, bytes) and crc32(record) == crc else b""


def _one(found: _File, sequence: int) -> bytes:
    try:
        row = found.connection.execute(ONE, (sequence,)).fetchone()
    except sqlite.Error:
        return b""
    return _sound(*row) if row else b""


def _promise(found: _File) -> int | None:
    """How many records its owner says that there are; None: it said it of another file, or not at all."""
    said = promised(found.path)
    return said[1] if said is not None and said[0] == found.file else None


def _last(found: _File) -> int:
    """The last record a closed file should hold."""
    if (last := _promise(found)) is not None:
        return last
    with contextlib.suppress(sqlite.Error):
        last = found.connection.execute(LAST).fetchone()[0] or 0
        return min(last, found.path.stat().st_size // ROW_BYTES)  # a number may be what is damaged
    return 0


def _remove_unborn(path: Path) -> None:
    """A file without identity holds no records: its owner is just making it, or died while doing so."""
    lock = owner_gone(path)
    if lock is not None:
        unlink(path)
        os.close(lock)


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0
