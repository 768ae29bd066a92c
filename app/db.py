"""Engines and transactions; every difference between SQLite and PostgreSQL that is not a query.

`begin` is a write transaction (BEGIN IMMEDIATE on SQLite, so two writers queue instead of failing at
COMMIT), `reading` a consistent snapshot. Write transactions stay under 250 ms: whoever holds one keeps
the others waiting. On PostgreSQL writers run side by side; where that would be wrong they `lock`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from enum import IntEnum
from functools import lru_cache, partial
from itertools import chain, islice
from math import ceil
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import numpy as np
import pysqlite3
from numpy.typing import NDArray
from sqlalchemy import (
    ARRAY,
    URL,
    BigInteger,
    ColumnElement,
    Connection,
    Delete,
    Engine,
    Executable,
    LargeBinary,
    Select,
    Table,
    cast,
    column,
    create_engine,
    event,
    exc,
    func,
    literal,
    make_url,
    select,
    text,
)
from sqlalchemy import table as sql_table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.sql.compiler import SQLCompiler

from app import disk
from app.pulse import Pulse

#: 3.7.0 to 3.51.2 can lose a transaction when a WAL is reset while another process reads it.
SAFE_SQLITE = (3, 51, 3)

#: Fewer rows than this PostgreSQL takes by INSERT: what COPY needs around it would cost more.
FEW = 200

#: SQLite: milliseconds to wait for a lock; instructions between two looks at the deadline, some 2 ms.
BUSY, LOOK_EVERY = 15_000, 100_000

#: Rows that `integers` fetches at a time: few, so that their tuples are used again while still in cache.
BLOCK = 500


class _Compiler(sqlite.base.SQLiteCompiler):
    """SQLite's, which knows a hint: INDEXED BY."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:
        return text


#: For statements that are compiled once, ahead of any connection.
_DIALECTS: dict[str, Any] = {
    "sqlite": sqlite.dialect(paramstyle="qmark"),
    "postgresql": psycopg.dialect(paramstyle="format"),  # type: ignore[no-untyped-call]
}

#: What PostgreSQL answers when the batch is not to blame (classes of SQLSTATE): connection lost, rolled
#: back for another's sake, out of resources, object in use, stopped by its operator, its disk, a standby.
_PASSING = frozenset({"08", "25", "40", "53", "55", "57", "58"})

#: Two wrote the same at once, and one of them must look again: serialization failure, deadlock, unique key.
_RACED = frozenset({"40001", "40P01", "23505"})


Found = TypeVar("Found", bound=Select[*tuple[Any, ...]] | Delete)


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
        with engine.connect() as connection:
            connection.execute(select(1))

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
    return state[:2] in _PASSING


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


def insert(connection: Connection, table: Table) -> Any:
    """The dialect's own INSERT, which knows ON CONFLICT."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def bulk(connection: Connection, statement: Executable, rows: Iterable[Sequence[object]]) -> None:
    """Run one INSERT or UPDATE for many rows, given as tuples in the order of its parameters.

    The statement is Core; the rows skip SQLAlchemy's per-row dictionaries, which cost more than SQLite.
    An iterator of rows is read as it is bound, so that a hundred thousand tuples never exist at once.
    """
    sql = _compiled(statement, connection.dialect.name)
    with _cursor(connection, sql) as cursor:
        cursor.executemany(sql, rows)


@contextmanager
def _cursor(connection: Connection, sql: str) -> Iterator[Any]:
    """The driver's own cursor for `sql`, its errors told as SQLAlchemy tells them."""
    cursor = connection.connection.cursor()
    errors = connection.dialect.loaded_dbapi.Error
    try:
        yield cursor
    except errors as error:
        if connection.dialect.is_disconnect(error, connection.connection.dbapi_connection, cursor):
            connection.invalidate(error)
        raise exc.DBAPIError.instance(sql, None, error, errors, dialect=connection.dialect) from error
    finally:
        cursor.close()


@lru_cache(maxsize=256)
def _compiled(statement: Executable, dialect: str) -> str:
    compiled = statement.compile(  # type: ignore[attr-defined]
        dialect=_DIALECTS[dialect]
    )
    assert isinstance(compiled, SQLCompiler)
    return str(compiled)


def append(
    connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Add rows that are new for certain, given as `columns` in order: COPY on PostgreSQL."""
    few = list(islice(rows := iter(rows), FEW))
    if len(few) < FEW or connection.dialect.name == "sqlite":
        statement = inserting(table, connection.dialect.name, *columns)
        return bulk(connection, statement, chain(few, rows)) if few else None
    _copy(connection, table.name, columns, chain(few, rows))


def _copy(
    connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    quoted = (connection.dialect.identifier_preparer.quote(name) for name in columns)
    copied = f"COPY {table} ({', '.join(quoted)}) FROM STDIN"  # names of ours, from tables.py
    with _cursor(connection, copied) as cursor, cursor.copy(copied) as copy:
        for row in rows:
            copy.write_row(row)


@lru_cache(maxsize=64)
def inserting(table: Table, dialect: str, *columns: str) -> Any:
    """INSERT of these columns, for `bulk`: compiled once, parameters in the order of `columns`."""
    _in_order(table, columns)
    make = sqlite.insert if dialect == "sqlite" else postgresql.insert
    return make(table).values({name: _bind(table, name) for name in columns})


@lru_cache(maxsize=256)
def adding(table: Table, dialect: str, *columns: str) -> Any:
    """INSERT that adds its measures to the row that is there: how every rollup is kept, for `bulk`.

    Parameters are `columns` in their order (default: all of the table); the key is its primary key, and
    a measure that is left out gains nothing.
    """
    make = sqlite.insert if dialect == "sqlite" else postgresql.insert
    names = columns or tuple(column.name for column in table.columns)
    _in_order(table, names)
    return _adding(table, make(table).values({name: _bind(table, name) for name in names}), names)


def _adding(table: Table, statement: Any, names: Sequence[str]) -> Any:
    keys = {column.name for column in table.primary_key}
    return statement.on_conflict_do_update(
        index_elements=[column for column in table.columns if column.name in keys],
        set_={name: table.c[name] + statement.excluded[name] for name in names if name not in keys},
    )


def _in_order(table: Table, columns: Sequence[str]) -> None:
    # SQLAlchemy renders columns in the table's order whatever ours is: rows in another would be shuffled.
    order = [column.name for column in table.columns if column.name in columns]
    if list(columns) != order:
        raise ValueError(f"columns of {table.name} must be given in its order: {order}")


def _bind(table: Table, name: str) -> Any:
    from sqlalchemy import bindparam

    return bindparam(name, type_=table.c[name].type)


def add(
    connection: Connection, table: Table, rows: Iterable[Sequence[object]], columns: Sequence[str] = ()
) -> None:
    """Add measures to rollup cells; `rows` hold `columns` in order (default: all of `table`)."""
    few = list(islice(rows := iter(rows), FEW))
    if len(few) < FEW or connection.dialect.name == "sqlite":
        statement = adding(table, connection.dialect.name, *columns)
        return bulk(connection, statement, chain(few, rows)) if few else None
    # Many at once: copied beside the table, added by one statement. A row sent by itself takes five times
    # the processor time here, and half again as long over there.
    beside = f"incoming_{table.name}"
    names = columns or tuple(column.name for column in table.columns)
    connection.execute(text(f"CREATE TEMPORARY TABLE {beside} (LIKE {table.name} INCLUDING DEFAULTS)"))
    _copy(connection, beside, names, chain(few, rows))
    source = sql_table(beside, *(column(name) for name in names))
    statement = postgresql.insert(table).from_select(names, select(source))
    connection.execute(_adding(table, statement, names))
    connection.execute(text(f"DROP TABLE {beside}"))


def among(
    connection: Connection, column: ColumnElement[Any], values: Sequence[int] | Sequence[bytes]
) -> ColumnElement[bool]:
    """`column IN values`, with all values as one parameter: an IN list is spelt and parsed anew each time."""
    keys = isinstance(column.type, LargeBinary)
    if connection.dialect.name == "sqlite":
        given = [value.hex() if isinstance(value, bytes) else value for value in values]
        listed = func.json_each(json.dumps(given)).table_valued("value").c.value
        return column.in_(select(func.unhex(listed) if keys else listed))
    kind: ARRAY[Any] = ARRAY(LargeBinary if keys else BigInteger)
    return column == func.any(cast(literal(list(values), kind), kind))


def found_by(statement: Found, table: Table, index: str) -> Found:
    """Name the index by which SQLite finds the rows of `table`. It takes `workspace = ?` for a few rows, and
    would rather read all of a workspace than look up each of some values."""
    hint = f"INDEXED BY {index}"
    if isinstance(statement, Delete):
        return statement.with_hint(hint, table, "sqlite")
    return statement.with_hint(table, hint, "sqlite")


def integers(connection: Connection, statement: Executable) -> NDArray[np.int64]:
    """The rows of a select of integers (no NULL) as an array of (columns, rows), read in blocks."""
    result = connection.execute(statement)
    width = len(result.keys())
    blocks = [np.zeros((0, width), dtype=np.int64)]
    while rows := result.fetchmany(BLOCK):
        flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=len(rows) * width)
        blocks.append(flat.reshape(-1, width))
    return np.ascontiguousarray(np.concatenate(blocks).T)
