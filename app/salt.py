"""The secret of one UTC day, by which visitors of that day are told apart without anything kept in browsers.

One file in the data folder for all processes of this machine, `day.salt.2026-11-28`, read and written by its
owner alone, and never part of a backup. When its day is over it is overwritten, synced and unlinked, by
whoever notices first; from then on nobody can say who a visitor of that day was, whatever else is kept.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app import disk
from app.model import DAY, SECOND
from app.telemetry import logger

log = logger("salt")

LENGTH = 32
PREFIX = "day.salt."
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


class Salts:
    """This process's salt: taken when the first visitor of a day needs it, held no longer than its day."""

    def __init__(self, folder: Path, *, fresh: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._folder = folder
        self._fresh = fresh
        self._day = -1
        self._salt = b""
        self._again_at = 0

    def of(self, now: int) -> bytes:
        """The salt of the day of `now`; b"" while none can be made, for want of room."""
        if now // DAY == self._day:
            return self._salt
        if now < self._again_at:
            return b""
        self.end(now)
        try:
            self._salt = taken(self._folder, now // DAY, self._fresh)
        except OSError as error:
            log.warning("salt_not_made", error=type(error).__name__)
            self._again_at = now + SECOND
            return b""
        self._day = now // DAY
        return self._salt

    def end(self, now: int) -> None:
        """Forget the salt of a day that is over, and destroy what there is of it."""
        if self._day not in (now // DAY, -1):
            self._day, self._salt, self._again_at = -1, b"", 0
            try:
                destroy_past(self._folder, now)
            except OSError as error:  # the worker tries as well, and goes on trying
                log.warning("salt_not_destroyed", error=type(error).__name__)


def taken(folder: Path, day: int, fresh: Callable[[int], bytes]) -> bytes:
    """The salt of a day, made unless another process has. Errors: OSError."""
    path = folder / (PREFIX + (_EPOCH + timedelta(days=day)).date().isoformat())
    while True:
        with _locked(os.open(path, _FLAGS | os.O_CREAT, 0o600)) as handle:
            if os.fstat(handle).st_nlink == 0:
                continue  # destroyed while we waited for it
            salt = os.pread(handle, LENGTH, 0)
            if len(salt) < LENGTH:  # new, or its maker was killed
                salt = fresh(LENGTH)
                if os.pwrite(handle, salt, 0) < LENGTH:
                    raise OSError("no room for the salt of the day")
            return salt


def destroy_past(folder: Path, now: int) -> int:
    """Destroy every salt whose day is over, or further ahead than tomorrow; returns how many.

    Tomorrow's stays: at midnight two processes may differ about which day it is.
    """
    today = now // DAY
    past = [path for path in folder.glob(PREFIX + "*") if not today <= _day(path) <= today + 1]
    for path in past:
        with contextlib.suppress(FileNotFoundError), _locked(os.open(path, _FLAGS)) as handle:
            os.pwrite(handle, bytes(max(LENGTH, os.fstat(handle).st_size)), 0)
            os.fsync(handle)
            path.unlink()
    if past:
        disk.sync(folder)
    return len(past)


def _day(path: Path) -> int:
    """The day in a file's name; -1: none."""
    try:
        return (datetime.fromisoformat(path.name.removeprefix(PREFIX) + "T00:00Z") - _EPOCH).days
    except ValueError:
        return -1


@contextlib.contextmanager
def _locked(handle: int) -> Iterator[int]:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)
