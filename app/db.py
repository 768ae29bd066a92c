"""Engines and transactions; every difference between SQLite and PostgreSQL that is not a query.

`begin` is a write transaction (BEGIN IMMEDIATE on SQLite, so two writers queue instead of failing at
COMMIT), `reading` a consistent snapshot. Write transactions stay under 250 ms: whoever holds one keeps
the others waiting. On PostgreSQL writers run side by side; where that would be wrong they `lock`.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from enum import IntEnum
from functools import partial
from math import ceil
from pathlib import Path
from time import monotonic
from typing import Any

import pysqlite3
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    event,
    exc,
    func,
    make_url,
    select,
)
from sqlalchemy.dialects import sqlite

from app import disk
from app.pulse import Pulse

#: 3.7.0 to 3.51.2 can lose a transaction when a WAL is reset while another process reads it.
SAFE_SQLITE = (3, 51, 3)

#: SQLite: milliseconds to wait for a lock; instructions between two looks at the deadline, some 2 ms.
BUSY, LOOK_EVERY = 15_000, 100_000


class _Compiler(sqlite.base.SQLiteCompiler):
    """SQLite's, which knows a hint: INDEXED BY."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:
        return text


#: What PostgreSQL answers when the batch is not to blame (classes of SQLSTATE): connection lost, rolled
#: back for another's sake, out of resources, object in use, stopped by its operator, its disk, a standby.
_PASSING = frozenset({"08", "25", "40", "53", "55", "57", "58"})

#: A column or table that is not there (yet): the schema is another version's, and the record not to blame.
_OTHER_SCHEMA = frozenset({"42703", "42P01"})

#: Two wrote the same at once, and one of them must look again: serialization failure, deadlock, unique key.
_RACED = frozenset({"40001", "40P01", "23505"})


class Lock(IntEnum):
    """What only one transaction of a PostgreSQL database does at a time."""

    FACTS = 1  # of one workspace: what pipelines read and then add to
    LEADER = 2
    SETTINGS = 3
    MONTHS = 4


def connect(url: str, *, pool: int = 5, timeout: float = 0, pulse: Pulse | None = None) -> Engine:
    """An engine for `url`, with the house's settings for durability on every connection.

    `pool`: connections kept; as many again may be opened under load. `timeout`: the seconds a statement, on
    SQLite a transaction, may take (0: any time). `pulse`: by which connections to a PostgreSQL that is gone
    are given up.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        engine = _connect_postgresql(parsed, pool, timeout, patience=pulse.silence if pulse else 5)
        if pulse:
            from app import patient  # needs the driver

            _connect_by(engine, patient.by(pulse))
        return engine
    check_sqlite()
    if parsed.database and not (folder := Path(parsed.database).parent).is_dir():
        disk.make_folder(folder)
    engine = create_engine(
        parsed,
        module=pysqlite3.dbapi2,
        pool_size=pool,
        connect_args={"timeout": 15},
        hide_parameters=True,  # errors are logged
    )
    engine.dialect.statement_compiler = _Compiler
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    if timeout:
        event.listen(engine, "begin", partial(_set_deadline, timeout))
    return engine


def watch(url: str, pulse: Pulse) -> None:
    """Let the pulse ask PostgreSQL, until it is stopped. A file answers always."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return
    from app import patient  # needs the driver

    engine = _connect_postgresql(parsed, 1, 0, patience=pulse.silence)
    engine = engine.execution_options(isolation_level="AUTOCOMMIT")
    _connect_by(engine, patient.of(pulse))

    def ask() -> None:
        try:
            with engine.connect() as connection:
                connection.execute(select(1))
        except exc.SQLAlchemyError as error:
            raise ConnectionError(str(error)) from error

    pulse.watch(ask, engine.dispose)


def _connect_by(engine: Engine, make: Callable[..., object]) -> None:
    event.listen(engine, "do_connect", lambda _dialect, _record, given, options: make(*given, **options))


def _connect_postgresql(url: URL, pool: int, timeout: float, *, patience: float) -> Engine:
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    arguments: dict[str, Any] = {
        "connect_timeout": ceil(patience),
        # A server that vanished without a word is noticed in seconds, not in the kernel's two hours.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
        "application_name": "clicktrail",
        # A process that was stopped in its transaction must not hold its locks for ever.
        "options": f"-c idle_in_transaction_session_timeout=60s -c statement_timeout={round(timeout * 1000)}",
    }
    given = dict(url.query)
    if given.pop("pgbouncer", "") == "true":  # transaction pooling knows no prepared statements, no options
        arguments |= {"prepare_threshold": None}
        del arguments["options"]
    found = url.set(query=given)
    return create_engine(
        found,
        pool_size=pool,
        max_overflow=pool,
        pool_timeout=10,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={name: value for name, value in arguments.items() if name not in given},
    )


def check_sqlite() -> None:
    if pysqlite3.sqlite_version_info < SAFE_SQLITE:
        raise RuntimeError(
            f"SQLite {pysqlite3.sqlite_version} can corrupt a write-ahead log; "
            "3.51.3 or newer is needed (install pysqlite3 0.6.1 or newer)"
        )


def _on_connect(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by _on_begin, not guessed by the driver
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # NORMAL loses everything since the last checkpoint at a power cut
        f"busy_timeout={BUSY}",
        "cache_size=-65536",
        "temp_store=MEMORY",
        "journal_size_limit=67108864",
        "wal_autocheckpoint=4000",
        "secure_delete=ON",  # what is erased is overwritten, in the file's free places too
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _on_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _set_deadline(seconds: float, connection: Connection) -> None:
    """Interrupt what this transaction does after so long: as long as it reads, the log cannot begin anew."""
    deadline = monotonic() + seconds
    raw: Any = connection.connection.dbapi_connection
    raw.set_progress_handler(lambda: monotonic() > deadline, LOOK_EVERY)


def restart_log(engine: Engine, *, most: int, patience: float) -> int:
    """SQLite: begin the log anew when it has more than `most` bytes; its size before.

    SQLite does so by itself when nobody reads. Of reports that overlap one always does, and the log would
    grow without end: this lets no writer in for at most `patience` seconds, until those who read have
    read. Those who come meanwhile need no log.
    """
    path = engine.url.database
    if engine.dialect.name != "sqlite" or path is None or not Path(f"{path}-wal").exists():
        return 0
    size = Path(f"{path}-wal").stat().st_size
    if size > most:
        with closing(engine.raw_connection()) as pooled:
            raw: Any = pooled.dbapi_connection
            try:
                raw.execute(f"PRAGMA busy_timeout={round(patience * 1000)}").close()
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
            finally:
                raw.execute(f"PRAGMA busy_timeout={BUSY}").close()
    return size


def scour(engine: Engine, names: Iterable[str], *, patience: float) -> bool:
    """Take out of the database's files what these tables held and hold no more; False: not now, try again.

    SQLite overwrote it when it was deleted (secure_delete); what is left is the log. PostgreSQL takes away
    dead rows; the bytes may stay in free space until it is used again, and in its log until that is recycled.
    """
    with closing(engine.raw_connection()) as pooled:
        raw: Any = pooled.dbapi_connection
        if engine.dialect.name != "sqlite":
            raw.autocommit = True
            try:
                for name in names:
                    raw.execute(f"VACUUM {name}")
            finally:
                raw.autocommit = False
            return True
        try:
            raw.execute(f"PRAGMA busy_timeout={round(patience * 1000)}").close()
            busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            raw.execute(f"PRAGMA busy_timeout={BUSY}").close()
    log = Path(f"{engine.url.database}-wal")
    return not busy and (not log.exists() or not log.stat().st_size)


@contextmanager
def begin(engine: Engine) -> Iterator[Connection]:
    """One write transaction: committed at the end, rolled back by any exception."""
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent snapshot for reads; rolled back."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        yield connection


def lock(connection: Connection, what: Lock, of: int = 0) -> None:
    """Wait until no other transaction does `what`, and keep others out until this one ends.

    What is read after it is what the others have committed. On SQLite a write transaction is alone anyhow.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(int(what), of)))


def leading(connection: Connection) -> bool:
    """May this transaction derive? One in the whole database may, until it ends.

    The lock is the transaction's own, so that a leader whose connection died has neither lock nor writes.
    """
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.scalar(select(func.pg_try_advisory_xact_lock(int(Lock.LEADER), 0))))


def passing(error: BaseException) -> bool:
    """Does the error say nothing of what was written, only of the database: gone, busy, full, damaged?"""
    if isinstance(error, exc.InterfaceError | exc.TimeoutError):
        return True
    if not isinstance(error, exc.DBAPIError):
        return False
    if damaged(error):
        return True
    state = getattr(error.orig, "sqlstate", None)
    if state is None:  # SQLite; or PostgreSQL did not get to answer
        return isinstance(error, exc.OperationalError)
    return state[:2] in _PASSING or state in _OTHER_SCHEMA


def damaged(error: BaseException) -> bool:
    """Is it the disk that spoilt what the database had stored?"""
    if not isinstance(error, exc.DBAPIError):
        return False
    if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in (
        pysqlite3.SQLITE_CORRUPT,
        pysqlite3.SQLITE_NOTADB,
    ):
        return True
    return getattr(error.orig, "sqlstate", None) in ("XX001", "XX002")


def raced(error: BaseException) -> bool:
    """Did another transaction come between? Then the same again will do."""
    return isinstance(error, exc.DBAPIError) and getattr(error.orig, "sqlstate", None) in _RACED
