"""Whether PostgreSQL answers at all: asked all the time, so that nobody waits for one that is gone.

A server that was cut off, or stands still, says nothing. Silence on one connection proves nothing either: a
report may take a minute. But the pulse asks for nothing, on a connection of its own, and when that is not
answered all others are given up, those that wait and those that would. Without it they would wait until
the kernel loses its patience; behind a proxy that still acknowledges what it is sent, for ever.

This file knows nothing of connections (app/patient.py does) nor of what is asked.
"""

import math
import threading
from collections.abc import Callable
from time import monotonic

from app.telemetry import logger

log = logger("pulse")

EVERY = 0.25  # seconds between an answer and the next question


class Pulse:
    """`silent` while the server does not answer: an answer has been due for `silence` seconds, or none can be
    asked for. `lost` is when it was last so (monotonic). `watch` asks, until `stop`."""

    def __init__(self, silence: float) -> None:
        self.silence = silence
        self._asked = math.inf  # when the question was put that has no answer yet
        self._overdue = False
        self._gone = False
        self.lost = -math.inf
        self._stop = threading.Event()

    @property
    def silent(self) -> bool:
        return self._gone or self._overdue

    def impatient(self) -> bool:
        """Whether the question at hand has waited too long. Asked when nothing has come for a while, and only
        then: by the clock alone, a process that was kept from running would blame the server."""
        self._overdue = monotonic() - self._asked > self.silence
        return self._overdue

    def watch(self, ask: Callable[[], object], close: Callable[[], object]) -> None:
        """Ask, in a thread of its own: `ask` raises OSError when there is no answer."""
        threading.Thread(target=self._watch, args=(ask, close), name="pulse", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def _watch(self, ask: Callable[[], object], close: Callable[[], object]) -> None:
        while not self._stop.wait(EVERY):
            self._asked = monotonic()
            try:
                ask()
            except OSError as error:
                if not self._gone:
                    log.warning("database_silent", error=str(error)[:200])
                self._gone = True
            else:
                if self._gone:
                    log.info("database_answers")
                self._gone = False
            if self.silent:
                self.lost = monotonic()
            self._asked, self._overdue = math.inf, False
        close()
