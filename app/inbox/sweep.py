"""Letting go of what was processed: until a file of the inbox is full it holds records long done with.

A worker that wants them gone leaves a mark in the folder. Every writer looks at the folder anyhow; one that
sees a mark it did not see when it began its file closes that and begins another. Then the reader drains and
unlinks what is closed. No clocks are compared: what was there at the beginning must be there no more.
"""

import os
import secrets
from pathlib import Path

from app.inbox.segment import SUFFIX

MARK = "rotate"


def marked(folder: Path) -> tuple[int, int]:
    """Which mark the folder holds; (0, 0) for none."""
    try:
        found = (folder / MARK).stat()
    except FileNotFoundError:
        return (0, 0)
    return (found.st_ino, found.st_mtime_ns)


def mark(folder: Path) -> None:
    """Leave a new mark."""
    made = folder / f".{MARK}-{secrets.token_hex(4)}"
    made.touch(mode=0o600)
    os.replace(made, folder / MARK)


class Sweep:
    """One worker's sweeps of its inbox, a round at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._begun = self._ended = 0
        self._left: frozenset[str] = frozenset()

    def through(self, newest: int) -> int:
        """The last round that is ended: all that the inbox held when it began is gone. What is under way is
        ended before the newest one begins: rounds that keep coming would let none ever end."""
        self._look()
        if newest > self._begun == self._ended:
            self._left = frozenset(self._files())
            mark(self.folder)
            self._begun = newest
            self._look()
        return self._ended

    def _look(self) -> None:
        if self._left.isdisjoint(self._files()):
            self._ended = self._begun

    def _files(self) -> list[str]:
        with os.scandir(self.folder) as entries:
            return [entry.name for entry in entries if entry.name.endswith(SUFFIX)]
