"""Engines and transactions; every difference between SQLite and PostgreSQL that is not a query.

`begin` is a write transaction (BEGIN IMMEDIATE on SQLite, so two writers queue instead of failing at
COMMIT), `reading` a consistent snapshot. Write transactions stay under 250 ms: whoever holds one keeps
the others waiting.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pysqlite3
from numpy.typing import NDArray
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Executable,
    Table,
    cast,
    create_engine,
    event,
    func,
    literal,
    make_url,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler

#: 3.7.0 to 3.51.2 can lose a transaction when a WAL is reset while another process reads it.
SAFE_SQLITE = (3, 51, 3)

#: Rows that `integers` fetches at a time: enough to be fast, few enough to stay small.
BLOCK = 50_000

#: For statements that are compiled once, ahead of any connection.
_DIALECTS: dict[str, Any] = {
    "sqlite": sqlite.dialect(paramstyle="qmark"),
    "postgresql": postgresql.dialect(),  # type: ignore[no-untyped-call]
}


def connect(url: str, *, pool: int = 5) -> Engine:
    """An engine for `url`, with the house's settings for durability on every connection."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_size=pool, pool_pre_ping=True)
    check_sqlite()
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, module=pysqlite3.dbapi2, pool_size=pool, connect_args={"timeout": 15})
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


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
        "busy_timeout=15000",
        "cache_size=-65536",
        "temp_store=MEMORY",
        "journal_size_limit=67108864",
        "wal_autocheckpoint=4000",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _on_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@contextmanager
def begin(engine: Engine) -> Iterator[Connection]:
    """One write transaction: committed at the end, rolled back by any exception."""
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent snapshot for reads; rolled back."""
    with engine.connect() as connection:
        yield connection


def insert(connection: Connection, table: Table) -> Any:
    """The dialect's own INSERT, which knows ON CONFLICT."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def bulk(connection: Connection, statement: Executable, rows: Sequence[Sequence[object]]) -> None:
    """Run one INSERT or UPDATE for many rows, given as tuples in the order of its parameters.

    The statement is Core; the rows skip SQLAlchemy's per-row dictionaries, which cost more than SQLite.
    """
    if not rows:
        return
    sql, names = _compiled(statement, connection.dialect.name)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(sql, rows)
    else:
        connection.execute(statement, [dict(zip(names, row, strict=True)) for row in rows])


@lru_cache(maxsize=256)
def _compiled(statement: Executable, dialect: str) -> tuple[str, tuple[str, ...]]:
    compiled = statement.compile(  # type: ignore[attr-defined]
        dialect=_DIALECTS[dialect]
    )
    assert isinstance(compiled, SQLCompiler)
    return str(compiled), tuple(compiled.positiontup or compiled.params)


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
    keys = {column.name for column in table.primary_key}
    statement = make(table).values({name: _bind(table, name) for name in names})
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
    connection: Connection, table: Table, rows: Sequence[Sequence[object]], columns: Sequence[str] = ()
) -> None:
    """Add measures to rollup cells; `rows` hold `columns` in order (default: all of `table`)."""
    if not rows:
        return
    bulk(connection, adding(table, connection.dialect.name, *columns), rows)


def among(connection: Connection, column: ColumnElement[int], numbers: Sequence[int]) -> ColumnElement[bool]:
    """`column IN numbers`, with all numbers as one parameter: an IN list costs one parameter each."""
    if connection.dialect.name == "sqlite":
        values = func.json_each(json.dumps(list(numbers))).table_valued("value")
        return column.in_(select(values.c.value))
    return column == func.any(cast(literal(list(numbers), ARRAY(BigInteger)), ARRAY(BigInteger)))


def integers(connection: Connection, statement: Executable) -> NDArray[np.int64]:
    """The rows of a select of integers (no NULL) as an array of (columns, rows), read in blocks."""
    result = connection.execute(statement)
    width = len(result.keys())
    blocks = [np.zeros((0, width), dtype=np.int64)]
    while rows := result.fetchmany(BLOCK):
        flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=len(rows) * width)
        blocks.append(flat.reshape(-1, width))
    return np.ascontiguousarray(np.concatenate(blocks).T)
