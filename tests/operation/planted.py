"""Commands with one bug planted, for the tests of moving and keeping that must turn red by it.

    python planted.py BUG -m app.cli COMMAND [ARGUMENTS]

Each is a mistake that such a command may well make; tests/faults/planted.py has those of the service.
"""

import runpy
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, Select, Table, delete, null, select

from app import backup, db, move, tables


def cursors_left_behind() -> None:
    """The move takes everything but how far each inbox file was drained."""
    compared = move._compare_reports

    def forgetful(source: Connection, target: Connection, now: int) -> None:
        compared(source, target, now)
        target.execute(delete(tables.cursors))

    move._compare_reports = forgetful


def sequences_left_behind() -> None:
    """The move leaves the sequences of ids where an empty database has them."""

    def nowhere(_table: Table) -> Select[tuple[None]]:
        return select(null())

    move._sequence = nowhere  # type: ignore[assignment]


def committed_by_table() -> None:
    """The move commits each table as soon as it is copied."""
    copied = move._copy

    def hasty(source: Connection, target: Connection, table: Table, told: move.Told) -> tuple[int, bytes]:
        made = copied(source, target, table, told)
        target.commit()
        target.begin()
        return made

    @contextmanager
    def careless(engine: object) -> Iterator[Connection]:
        with engine.connect() as connection:  # type: ignore[attr-defined]
            connection.begin()
            yield connection
            connection.commit()

    move._copy = hasty
    move.db.begin = careless if "migrate-database" in sys.argv else db.begin  # type: ignore[assignment]


def inbox_copied_last() -> None:
    """The backup copies the database, which takes a while, and then what the inbox holds by now."""
    copied = backup._copy

    def backwards(source: Path, target: Path) -> None:
        if source.name != backup.DATABASE:
            return
        copied(source, target)
        time.sleep(1.5)
        for path in sorted((source.parent / backup.INBOX).glob("*.db")):
            with suppress(FileNotFoundError):
                copied(path, target.parent / backup.INBOX / path.name)

    backup._copy = backwards


BUGS: dict[str, Callable[[], None]] = {
    plant.__name__: plant
    for plant in (
        cursors_left_behind,
        sequences_left_behind,
        committed_by_table,
        inbox_copied_last,
    )
}


if __name__ == "__main__":
    bug, _, module, *arguments = sys.argv[1:]
    BUGS[bug]()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
