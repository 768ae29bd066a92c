"""PostgreSQL's driver with limited patience: a connection that waits no longer than there is hope.

The driver waits for an answer as long as the kernel keeps the connection. Only `app/db.py` makes these, and
only for PostgreSQL: whoever runs on SQLite need not have the driver.
"""

from collections.abc import Callable
from time import monotonic
from typing import Any

import psycopg
from psycopg.abc import PQGen

from app.pulse import Pulse


class Patient(psycopg.Connection[Any]):
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


def by(pulse: Pulse) -> Callable[..., Patient]:
    """Makes connections that have no hope once the server has been silent in their lives."""

    def connect(*arguments: Any, **options: Any) -> Patient:
        if pulse.silent:
            raise psycopg.OperationalError("the server does not answer")
        born = monotonic()
        made = Patient.connect(*arguments, **options)
        made.hopeless = lambda: pulse.silent or pulse.lost > born
        return made

    return connect


def of(pulse: Pulse) -> Callable[..., Patient]:
    """Makes the connection that the pulse asks on: it hopes anew with each question."""

    def connect(*arguments: Any, **options: Any) -> Patient:
        made = Patient.connect(*arguments, **options)
        made.hopeless = pulse.impatient
        return made

    return connect
