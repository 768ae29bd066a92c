"""The reader of the embedded inbox: what the pipeline takes records from, in the worker's process.

It reads while writers write, oldest file first, and unlinks files that are closed (their lock is free:
rotated, stopped, or the owner was killed) once the pipeline has forgotten all of their records. A file
that cannot be read is reported and left where it is: it must not block the others.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from pysqlite3 import dbapi2 as sqlite

from app import telemetry
from app.inbox.records import Slice
from app.inbox.segment import SUFFIX, owner_gone, unlink

log = telemetry.logger("inbox")

READ = "SELECT sequence, crc, record FROM records WHERE sequence > ? ORDER BY sequence LIMIT ?"
MORE = "SELECT 1 FROM records WHERE sequence > ? LIMIT 1"


@dataclass(slots=True)
class _File:
    """A file being read. `floor`: all up to this sequence is surely committed elsewhere."""

    path: Path
    inode: int
    connection: Any
    file: bytes
    floor: int


class Queue:
    """Reads the inbox files of a folder. Used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[Path, _File] = {}
        self._reported: set[tuple[Path, int]] = set()

    def read(self, after: Mapping[bytes, int], limit: int) -> list[Slice]:
        """At most `limit` records beyond `after` ({file uuid: sequence}), oldest file first."""
        slices: list[Slice] = []
        for found in self._open(after):
            rows = self._rows(found, after.get(found.file, 0), limit)
            if rows:
                slices.append(_slice(found.file, rows))
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
        """Every readable file, oldest first. A name that now means another file is opened anew."""
        try:
            with os.scandir(self.folder) as entries:
                names = sorted(entry.name for entry in entries if entry.name.endswith(SUFFIX))
        except FileNotFoundError:
            return []
        present: dict[Path, _File] = {}
        for name in names:
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
        try:
            row = None
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                row = connection.execute("SELECT uuid FROM meta").fetchone()
        except sqlite.Error as error:
            connection.close()
            self._report(path, inode, error)
            return None
        if row is None:
            connection.close()
            _remove_unborn(path)
            return None
        # What the caller knows at first sight can only be its committed cursor.
        return _File(path, inode, connection, row[0], after.get(row[0], 0))

    def _rows(self, found: _File, start: int, limit: int) -> list[tuple[int, int, bytes]] | None:
        try:
            rows: list[tuple[int, int, bytes]] = found.connection.execute(READ, (start, limit)).fetchall()
        except sqlite.Error as error:
            self._report(found.path, found.inode, error)
            return None
        return rows

    def _retire(self, found: _File) -> None:
        """Unlink a file whose owner is gone and of which nothing is left."""
        lock = owner_gone(found.path)
        if lock is None:
            return
        try:
            # Asked under the lock: an owner that died a moment ago may have written until then.
            if found.connection.execute(MORE, (found.floor,)).fetchone() is None:
                found.connection.close()
                self._files.pop(found.path, None)
                unlink(found.path)
        except sqlite.Error as error:
            self._report(found.path, found.inode, error)
        finally:
            os.close(lock)

    def _report(self, path: Path, inode: int, reason: object) -> None:
        if (path, inode) not in self._reported:
            self._reported.add((path, inode))
            log.error("inbox_file_unreadable", file=path.name, reason=str(reason))


def _slice(file: bytes, rows: list[tuple[int, int, bytes]]) -> Slice:
    return Slice(
        file,
        [sequence for sequence, _, _ in rows],
        [record if crc32(record) == crc else b"" for _, crc, record in rows],
    )


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
