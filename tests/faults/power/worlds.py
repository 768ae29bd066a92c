"""What is found in a world that a cut left: whether all files are whole, and what Clicktrail makes of them.

The world is opened as a start opens it, by the service's own code and without help: prepare, drain, derive.
"""

import hashlib
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from pysqlite3 import dbapi2 as sqlite

from app import db
from app.attribution.leader import lead
from app.clock import now_us
from app.inbox.queue import Queue
from app.pipeline import recount
from app.pipeline.run import Pipeline
from app.prepare import prepare
from app.settings import Settings
from app.worker import Context, drain
from app.workspaces import Snapshots
from tests.faults.derived import differences
from tests.faults.ledger import Damage, Ledger, compare


@dataclass
class Found:
    """Empty (false) is how it must be."""

    broken: list[str] = field(default_factory=list)  # files that SQLite finds fault with
    damage: Damage = field(default_factory=Damage)
    differences: list[str] = field(default_factory=list)  # between what was kept and a recount
    left: list[str] = field(default_factory=list)  # inbox files that could not be drained

    def __bool__(self) -> bool:
        return bool(self.broken or self.damage or self.differences or self.left)

    def __str__(self) -> str:
        said = [*self.broken, *self.differences, *(f"{name} is left" for name in self.left)]
        return "; ".join([*said, str(self.damage)])


def known(ledger: Ledger) -> Callable[[], Ledger]:
    """What clients know now; the ledger of a cut at any moment from now until the answer is called for.

    What was accepted by now is to be there then. Of what was sent or answered later it may be either.
    """
    before = {entry.id: replace(entry) for entry in list(ledger.entries.values())}

    def at_the_cut() -> Ledger:
        later = [entry for entry in list(ledger.entries.values()) if entry.id not in before]
        return Ledger(before | {entry.id: replace(entry, status="unknown") for entry in later})

    return at_the_cut


def digest(world: Path) -> bytes:
    """Equal for worlds that are alike. Shared memory is not looked at: nobody does after a cut."""
    sum_ = hashlib.blake2b(digest_size=16)
    for path in sorted(world.rglob("*")):
        if path.is_file() and not path.name.endswith("-shm"):
            sum_.update(f"{path.relative_to(world)} {path.stat().st_size}\n".encode() + path.read_bytes())
    return sum_.digest()


def examine(world: Path, ledger: Ledger, *, recounted: bool = False) -> Found:
    """Open the data folder of a world and hold it against the ledger. The world is used up by it."""
    data, found = world / "data", Found()
    found.broken = broken(data, world.with_name(f"{world.name}-copy"))
    if found.broken:
        return found
    reopen(data)
    found.left = [path.name for path in (data / "inbox").glob("*.db")]
    found.damage = compare(ledger, data / "clicktrail.db")
    if recounted:
        found.differences = differences(data / "clicktrail.db", world)
    return found


def broken(data: Path, scratch: Path) -> list[str]:
    """The SQLite files with which integrity_check finds fault; asked of a copy, as asking repairs."""
    found: list[str] = []
    if not data.exists():
        return found
    shutil.copytree(data, scratch)
    for path in sorted(scratch.rglob("*.db")):
        try:
            connection = sqlite.connect(str(path))
            said = connection.execute("PRAGMA integrity_check").fetchall()
            connection.close()
        except sqlite.Error as error:
            said = [(str(error),)]
        if said != [("ok",)]:
            found.append(f"{path.name}: {said[:3]}")
    shutil.rmtree(scratch)
    return found


def reopen(data: Path, database_url: str = "") -> None:
    """What a start does with what it finds, until nothing is left to do."""
    settings = Settings(data=data, database_url=database_url)
    prepare(settings, clock=now_us)
    engine = db.connect(settings.database)
    context = Context(
        engine=engine,
        pipeline=Pipeline(engine, now_us),
        queue=Queue(settings.inbox),
        snapshots=Snapshots(settings.snapshot, clock=now_us),
        stored=threading.Event(),
        mark=data / "worker.mark",
    )
    while drain(context, settings.batch):
        pass
    while lead(engine, now_us, recount.rebuild):
        pass
    context.queue.close()
    engine.dispose()
