"""Rows in numbers: statements compiled once, batches by the quickest way in, sets of values as one parameter.

What differs here between SQLite and PostgreSQL differs for speed alone. Transactions are app/db.py's; this
file opens none and knows no table by name.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Delete,
    Executable,
    LargeBinary,
    Select,
    Table,
    bindparam,
    cast,
    column,
    exc,
    func,
    literal,
    select,
    text,
)
from sqlalchemy import table as sql_table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.sql.compiler import SQLCompiler

#: Fewer rows than this PostgreSQL takes by INSERT: what COPY needs around it would cost more.
FEW = 200

#: Rows that `integers` fetches at a time: few, so that their tuples are used again while still in cache.
BLOCK = 500


#: For statements that are compiled once, ahead of any connection.
_DIALECTS: dict[str, Any] = {
    "sqlite": sqlite.dialect(paramstyle="qmark"),
    "postgresql": psycopg.dialect(paramstyle="format"),  # type: ignore[no-untyped-call]
}

Found = TypeVar("Found", bound=Select[*tuple[Any, ...]] | Delete)


def insert(connection: Connection, table: Table) -> Any:
    """The dialect's own INSERT, which knows ON CONFLICT."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def run(connection: Connection, statement: Executable, rows: Iterable[Sequence[object]]) -> None:
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
        return run(connection, statement, chain(few, rows)) if few else None
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
    """INSERT of these columns, for `run`: compiled once, parameters in the order of `columns`."""
    _in_order(table, columns)
    make = sqlite.insert if dialect == "sqlite" else postgresql.insert
    return make(table).values({name: _bind(table, name) for name in columns})


@lru_cache(maxsize=256)
def adding(table: Table, dialect: str, *columns: str) -> Any:
    """INSERT that adds its measures to the row that is there: how every rollup is kept, for `run`.

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
    return bindparam(name, type_=table.c[name].type)


def add(
    connection: Connection, table: Table, rows: Iterable[Sequence[object]], columns: Sequence[str] = ()
) -> None:
    """Add measures to rollup cells; `rows` hold `columns` in order (default: all of `table`)."""
    few = list(islice(rows := iter(rows), FEW))
    if len(few) < FEW or connection.dialect.name == "sqlite":
        statement = adding(table, connection.dialect.name, *columns)
        return run(connection, statement, chain(few, rows)) if few else None
    # Many at once: copied beside the table, added by one statement. A row sent by itself takes five times
    # the processor time here, and half again as long over there.
    beside = f"incoming_{table.name}"
    names = columns or tuple(column.name for column in table.columns)
    connection.execute(text(f"CREATE TEMPORARY TABLE {beside} (LIKE {table.name} INCLUDING DEFAULTS)"))
    _copy(connection, beside, names, chain(few, rows))
    source = sql_table(beside, *(column(name) for name in names)).c
    keys = [source[key.name] for key in table.primary_key]  # one statement may not meet a cell twice
    summed = [
        source[name] if name in table.primary_key.columns else cast(func.sum(source[name]), BigInteger)
        for name in names
    ]
    cells = select(*summed).group_by(*keys).order_by(*keys)
    statement = postgresql.insert(table).from_select(names, cells)
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
