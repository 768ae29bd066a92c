"""Whether PostgreSQL answers at all: asked all the time, so that nobody waits for one that is gone.

A server that was cut off, or stands still, says nothing. Silence on one connection proves nothing either: a
report may take a minute. But the pulse asks for nothing, on a connection of its own, and when that is not
answered all others are given up, those that wait and those that would. Without it they would wait until
the kernel loses its patience; behind a proxy that still acknowledges what it is sent, for ever.

This file knows PostgreSQL's driver and nothing of what is asked. SQLite has no need of it.
"""

import math
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import psycopg
from psycopg.abc import PQGen

from app.telemetry import logger

log = logger("pulse")

EVERY = 0.25  # seconds between an answer and the next question


class Patient(psycopg.Connection[Any]):
    """A connection that waits for its answers no longer than there is hope."""

    hopeless: Callable[[], bool] = staticmethod(lambda: False)

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        return super().wait(self._hoping(gen), interval, timeout)

    def _hoping(self, gen: PQGen[Any]) -> PQGen[Any]:
        if self.hopeless():
            raise self._given_up()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and self.hopeless():  # asked whenever nothing came for a tenth of a second
                    raise self._given_up()
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value

    def _given_up(self) -> psycopg.OperationalError:
        self.pgconn.finish()  # an answer that came later would be taken for that to the next question
        return psycopg.OperationalError("the server does not answer")


class Pulse:
    """`silent` while the server does not answer: an answer has been due for `silence` seconds, or none can be
    asked for. `watch` asks, until `stop`; `connect` makes connections that are given up by it."""

    def __init__(self, silence: float) -> None:
        self.silence = silence
        self._asked = math.inf  # when the question was put that has no answer yet
        self._gone = False
        self._lost = -math.inf  # when the server was last found not to answer
        self._stop = threading.Event()

    @property
    def silent(self) -> bool:
        return self._gone or self._overdue()

    def connect(self, *arguments: Any, **options: Any) -> Patient:
        """A connection that has no hope once the server has been silent in its life."""
        if self.silent:
            raise psycopg.OperationalError("the server does not answer")
        born = monotonic()
        made = Patient.connect(*arguments, **options)
        made.hopeless = lambda: self.silent or self._lost > born
        return made

    def connect_own(self, *arguments: Any, **options: Any) -> Patient:
        """The connection that `watch` asks on: it hopes anew with each question."""
        made = Patient.connect(*arguments, **options)
        made.hopeless = self._overdue
        return made

    def watch(self, ask: Callable[[], object], close: Callable[[], object]) -> None:
        """Ask, in a thread of its own: `ask` fails, by whatever error, when there is no answer."""
        threading.Thread(target=self._watch, args=(ask, close), name="pulse", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def _watch(self, ask: Callable[[], object], close: Callable[[], object]) -> None:
        while not self._stop.wait(EVERY):
            self._asked = monotonic()
            try:
                ask()
            except Exception as error:  # noqa: BLE001 (whatever it is: this was no answer)
                if not self._gone:
                    log.warning("database_silent", error=str(error)[:200])
                self._gone = True
            else:
                if self._gone:
                    log.info("database_answers")
                self._gone = False
            if self.silent:
                self._lost = monotonic()
            self._asked = math.inf
        close()

    def _overdue(self) -> bool:
        return monotonic() - self._asked > self.silence
