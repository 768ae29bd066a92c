"""Eight processes start on an empty database at once, again and again; and nobody waits for one that died.

On either engine: on SQLite they share a data folder, on PostgreSQL each is a machine of its own.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from app import db, migrate, tables
from tests import engines

pytestmark = pytest.mark.faults

PROCESSES = 8
TIMES = 100 if os.environ.get("CLICKTRAIL_FAULTS") == "long" else 3
RELEASED = 5.0  # seconds after its holder's death

#: Prepares each data folder it is told of, and says which workspace it made there.
STARTER = """
import sys, time
from pathlib import Path
from app.prepare import prepare
from app.settings import Settings
print("up", flush=True)
for line in sys.stdin:
    folder, _, url = line.strip().partition(" ")
    settings = Settings(data=Path(folder), database_url=url)
    made = prepare(settings, clock=lambda: time.time_ns() // 1000)
    print(f"{made.schema} {made.workspace}", flush=True)
"""

#: Brings the database up as ever; told to, it stops in the midst of that and says so.
UPGRADER = """
import sys, time
from app import migrate
upgrade = migrate._upgrade
def halfway(connection):
    upgrade(connection)
    print("halfway", flush=True)
    time.sleep(600)
if sys.argv[2:] == ["halfway"]:
    migrate._upgrade = halfway
print("up", flush=True)
sys.stdin.readline()
print(*migrate.migrate(sys.argv[1]), flush=True)
"""

Begin = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """begin(program, arguments...): a process of it that is up."""
    begun: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: str) -> "subprocess.Popen[str]":
        words = [sys.executable, "-c", program, *arguments]
        begun.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def say(process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def hear(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def workspaces(url: str) -> int:
    engine = db.connect(url, pool=1)
    with db.reading(engine) as connection:
        found = connection.scalar(select(func.count()).select_from(tables.workspaces))
    engine.dispose()
    return int(found or 0)


def test_eight_processes_make_a_database_and_its_workspace_once(
    begin: Begin, tmp_path: Path, report: Callable[[str], None]
) -> None:
    starters = [begin(STARTER) for _ in range(PROCESSES)]
    assert [hear(starter) for starter in starters] == ["up"] * PROCESSES
    head, slowest = migrate.revisions()[-1], 0.0
    for time_ in range(TIMES):
        folder = tmp_path / str(time_)
        folder.mkdir()
        url = engines.url(folder)
        began = time.monotonic()
        for n, starter in enumerate(starters):
            data = folder / str(n) if engines.POSTGRESQL else folder
            say(starter, f"{data} {engines.url_of(folder)}")
        said = sorted(hear(starter) for starter in starters)
        slowest = max(slowest, time.monotonic() - began)
        assert said == [f"{head} "] * (PROCESSES - 1) + [f"{head} main"]
        assert workspaces(url) == 1
        engines.drop(folder)
    name = "PostgreSQL" if engines.POSTGRESQL else "SQLite"
    report(f"{PROCESSES} processes on an empty database, {name}: {TIMES} times, slowest {slowest:.1f} s")


def test_one_that_dies_in_the_midst_leaves_nothing_and_keeps_nobody_waiting(
    begin: Begin, tmp_path: Path, report: Callable[[str], None]
) -> None:
    url = engines.url(tmp_path)
    holder, waiter = begin(UPGRADER, url, "halfway"), begin(UPGRADER, url)
    assert hear(holder) == hear(waiter) == "up"
    say(holder, "")
    assert hear(holder) == "halfway"
    say(waiter, "")
    time_of_grace = 0.3  # it stands before the lock: its answer would come otherwise
    with pytest.raises(subprocess.TimeoutExpired):
        waiter.wait(timeout=time_of_grace)
    holder.kill()
    began = time.monotonic()
    assert hear(waiter) == f" {migrate.revisions()[-1]}"  # from nothing to the newest: all of it anew
    took = time.monotonic() - began
    assert took < RELEASED
    report(f"the lock of a schema change, its holder killed: let go and the work done anew in {took:.2f} s")


def test_looking_before_locking_would_make_it_twice(tmp_path: Path) -> None:
    """The negative control: two that looked first, and then wait for one another, as Alembic alone would."""
    url = engines.url(tmp_path)
    engine = db.connect(url)
    looked = []
    for _ in range(2):
        with db.reading(engine) as connection:
            looked.append(migrate.revision(connection))
    assert looked == ["", ""]
    with db.begin(engine) as connection:
        migrate._upgrade(connection)
    with db.begin(engine) as connection:
        connection.execute(text("DELETE FROM alembic_version"))  # what the second has seen
        with pytest.raises(Exception, match="already exists"):
            migrate._upgrade(connection)
    engine.dispose()
