"""Clicktrail with one bug planted that leaves something of a person who was erased: negative controls.

python planted.py BUG -m MODULE [ARGUMENTS]
"""

from collections.abc import Callable, Mapping

from sqlalchemy import Engine, event

from app import db
from app.inbox.sweep import Sweep
from app.persons import erase, tasks
from tests.faults import planting


def forgets_a_column() -> None:
    """The order id of what was reported stays."""
    del erase.BLANK["sightings"]["order_id"]


def forgets_details() -> None:
    """An event keeps what a page, a browser and properties say."""
    erase._hints = lambda details: details


def keeps_inboxes() -> None:
    """Nobody waits for inbox files, nor asks for new ones."""
    Sweep.through = lambda self, newest: newest  # type: ignore[method-assign]


def keeps_the_log() -> None:
    """SQLite's log stays as it is."""
    tasks.db.scour = lambda engine, names, patience: True


def keeps_what_is_deleted() -> None:
    """What is deleted is only marked as free."""
    connect = db.connect

    def connected(*given: object, **more: object) -> Engine:
        engine = connect(*given, **more)  # type: ignore[arg-type]
        event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA secure_delete=OFF").close())
        return engine

    db.connect = connected


BUGS: Mapping[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (forgets_a_column, forgets_details, keeps_inboxes, keeps_the_log, keeps_what_is_deleted)
}

if __name__ == "__main__":
    planting.run(BUGS, __file__)
