"""The one database of a simulation: the real engine on SQLite in memory, where statements can fail.

A fault strikes between two statements, at a COMMIT, or after it, when the transaction stands and nobody
heard so. What it raises is what the engine itself would raise; a crash is no Exception, as no process
survives it.
"""

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pysqlite3
from sqlalchemy import Engine, event, exc

from app import db
from tests import engines
from tests.simulation.loop import World

MEMORY = Path("/dev") / "shm"


@cache
def folder() -> Path:
    """Where this run's databases and snapshots lie."""
    made = Path(tempfile.mkdtemp(prefix="clicktrail-", dir=MEMORY if MEMORY.is_dir() else None))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@cache
def _engine(name: str) -> Engine:
    """One for all seeds: compiling its statements is a third of a simulation's time."""
    found = db.connect(f"sqlite:///{folder() / name}.db", pool=1)
    event.listen(found, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF").close())
    return found


def empty(name: str) -> Engine:
    """The database `name` with every table and no row."""
    engine = _engine(name)
    engine.dispose()
    for old in folder().glob(f"{name}.*"):
        old.unlink()
    (folder() / f"{name}.db").write_bytes(engines.empty())
    return engine


class Crash(BaseException):
    """The process that was running is gone."""


class _Busy(pysqlite3.dbapi2.OperationalError):
    """Rolled back for another's sake: as PostgreSQL says it, since its code is looked at."""

    sqlstate = "40001"


class _Gone(pysqlite3.dbapi2.OperationalError):
    """The connection broke."""


class Store:
    """`engine`, and `turn`: what is done in it is done by one process, and may go wrong."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.engine = empty("store")
        self.path = folder() / "store.db"
        self._fault = ""
        self._statements = 0  # until the fault; 0: none
        self._commits = 0  # likewise
        event.listen(self.engine, "before_cursor_execute", self._statement)
        self._commit, self.engine.dialect.do_commit = self.engine.dialect.do_commit, self._committing

    @contextmanager
    def turn(self, crash: float = 0.0, abort: float = 0.0) -> Iterator[None]:
        """What a process does at a stretch. With these probabilities it crashes on the way, or a transaction
        of it is not to be."""
        chance = self.world.chance
        drawn = chance.random()
        if self.world.faults and drawn < crash + abort:
            self._fault = "crash" if drawn < crash else chance.choice(("busy", "gone"))
            if chance.random() < 0.5:
                self._commits = chance.choice((1, 1, 2))
            else:
                self._statements = chance.randrange(1, chance.choice((4, 12, 40)))
        try:
            yield
        finally:
            self._fault, self._statements, self._commits = "", 0, 0

    def _statement(self, *_: object) -> None:
        """Between two statements."""
        if self._statements:
            self._statements -= 1
            if not self._statements:
                fault, self._fault = self._fault, ""
                self.world.note("store", fault)
                if fault == "crash":
                    raise Crash
                raise exc.OperationalError("", None, _Busy() if fault == "busy" else _Gone())

    def _committing(self, connection: Any) -> None:
        """COMMIT: before it the transaction can fail; after it, only the word of it can be lost."""
        if self._commits:
            self._commits -= 1
        if self._commits or not self._fault or self._statements:
            return self._commit(connection)
        stands, fault, self._fault = self.world.chance.random() < 0.5, self._fault, ""
        self.world.note("store", f"{fault} at COMMIT, which {'stands' if stands else 'failed'}")
        if stands:
            self._commit(connection)
        raise Crash if fault == "crash" else _Gone()

    def close(self) -> None:
        event.remove(self.engine, "before_cursor_execute", self._statement)
        self.engine.dialect.do_commit = self._commit  # type: ignore[method-assign]
        self.engine.dispose()
