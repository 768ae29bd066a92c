"""`clicktrail doctor`: looks at everything that usually goes wrong, and says what to do about it.

Each check is a function of CHECKS and answers with findings. It changes nothing, and one check that
fails does not keep the others from being made.
"""

import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import pysqlite3
from sqlalchemy import Connection, make_url, select, text
from sqlalchemy.exc import SQLAlchemyError

from app import __version__, db, migrate, tables
from app.check.sources import sources as listed
from app.identity import reports
from app.inbox.room import NEEDED, Room, judged
from app.inbox.segment import DAMAGED
from app.model import SECOND, Record
from app.settings import Settings

Level = Literal["good", "warn", "bad"]

#: File systems on which SQLite's locks, or an fsync, cannot be relied on.
UNSAFE = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.s3fs"}
FORGETFUL = {"tmpfs", "ramfs"}
MIB = 2**20
MOST_SILENT = 10  # sources that are named
CHECK_SECONDS = 20  # of looking for damage: all of a large database takes as long as reading it

#: An identifier told with so many others is no shop's own address any more.
CONSTANT = 1_000

#: Settings of PostgreSQL by which a commit is on disk when it is said to be.
SYNCED = ("fsync", "synchronous_commit", "full_page_writes")

#: Passwords that are tried first; and how many different characters a secret of 32 has at least.
GUESSED = {"", "admin", "changeme", "change-me", "clicktrail", "password", "postgres", "secret"}
VARIED = 10


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    subject: str
    message: str


def examine(settings: Settings, *, now: int) -> list[Finding]:
    """All findings, in the order of CHECKS. `now` is the clock in microseconds."""
    return [finding for check in CHECKS for finding in check(settings, now)]


def versions(_settings: Settings, _now: int) -> Iterator[Finding]:
    try:
        db.check_sqlite()
    except RuntimeError as error:
        yield Finding("bad", "sqlite", str(error))
    else:
        yield Finding("good", "sqlite", f"{pysqlite3.sqlite_version}; Clicktrail {__version__}")


def folder(settings: Settings, _now: int) -> Iterator[Finding]:
    data = settings.data
    if not data.is_dir():
        yield Finding("warn", "data", f"{data} is not there yet; clicktrail serve makes it")
        return
    open_to_others = [
        path.name
        for path in (data, settings.snapshot, data / "clicktrail.db")
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    if open_to_others:
        names = ", ".join(open_to_others)
        yield Finding("warn", "data", f"others on this machine may read {names}: chmod -R go= {data}")
    else:
        yield Finding("good", "data", f"{data.absolute()}, readable by its owner only")


def ground(settings: Settings, _now: int) -> Iterator[Finding]:
    """The file system that the data folder is on, or will be."""
    kind = file_system(settings.data.absolute(), Path("/proc/mounts"))
    if kind in UNSAFE:
        yield Finding(
            "bad", "file system", f"{kind}: its locks and fsyncs cannot be trusted; use a local disk"
        )
    elif kind in FORGETFUL:
        yield Finding(
            "warn", "file system", f"{kind} is memory: everything is gone at a restart of the machine"
        )
    else:
        yield Finding("good", "file system", kind or "unknown")


def file_system(path: Path, mounts: Path) -> str:
    """The type of the file system `path` is on, by the table of mounts; "" when there is none to read."""
    try:
        rows = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return ""
    holders = [row for row in rows if len(row) > 2 and path.is_relative_to(row[1])]
    return max(holders, key=lambda row: len(row[1]), default=["", "", ""])[2]


def disk(settings: Settings, _now: int) -> Iterator[Finding]:
    if not settings.data.is_dir():
        return
    free = shutil.disk_usage(settings.data).free
    reserve, limit = settings.disk_reserve_bytes, settings.inbox_limit_bytes
    room = judged(free=free, reserve=reserve, held=0, limit=limit)
    level: Level = "bad" if room.refused else "warn" if free < reserve + limit else "good"
    said = f"{free // MIB:,} MiB free, of which {reserve // MIB:,} MiB are the reserve"
    yield Finding(level, "disk", said + _refused(room))


def inbox(settings: Settings, now: int) -> Iterator[Finding]:
    """How much waits in the inbox, and for how long the oldest record has."""
    files = sorted(settings.inbox.glob("*.db"))
    size = sum(path.stat().st_size for path in settings.inbox.glob("*"))
    try:
        done = _cursors(settings)
        waiting = [found for path in files if (found := _waiting(path, done)) is not None]
    except (SQLAlchemyError, pysqlite3.Error, RuntimeError) as error:
        yield Finding("bad", "inbox", f"cannot be read: {error}")
        return
    lag = (now - min(since for _, since in waiting)) / SECOND if waiting else 0.0
    room = judged(free=1, reserve=0, held=size, limit=settings.inbox_limit_bytes)
    yield Finding(
        "bad" if room.refused else "warn" if lag > 10 else "good",
        "inbox",
        f"{sum(count for count, _ in waiting):,} records wait, the oldest for {lag:,.1f} s; "
        f"{size // MIB:,} of {settings.inbox_limit_bytes // MIB:,} MiB"
        + ("; is a worker running?" if lag > 10 else "")
        + _refused(room),
    )


def _refused(room: Room) -> str:
    """Which kinds find no room, the first to be refused first."""
    kinds = [kind for kind in NEEDED if kind in room.refused]
    return f"; refused for want of room: {', '.join(kinds)}" if kinds else ""


def _cursors(settings: Settings) -> dict[bytes, int]:
    if _missing(settings):
        return {}
    with _looking(settings) as connection:
        rows = connection.execute(select(tables.cursors.c.file, tables.cursors.c.sequence)).all()
    return {bytes(file): sequence for file, sequence in rows}


def _waiting(path: Path, done: Mapping[bytes, int]) -> tuple[int, int] | None:
    """(how many records of this file wait, when the first of them came); None: none do."""
    with closing(pysqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        row = connection.execute("SELECT uuid FROM meta").fetchone()
        after = done.get(row[0], 0) if row else 0
        count = connection.execute("SELECT count(*) FROM records WHERE sequence > ?", (after,)).fetchone()[0]
        first = connection.execute(
            "SELECT record FROM records WHERE sequence > ? LIMIT 1", (after,)
        ).fetchone()
    return (count, msgspec.msgpack.decode(first[0], type=Record).received_at) if first else None


def _missing(settings: Settings) -> bool:
    """There is no database file yet (a server's database is always worth asking)."""
    url = make_url(settings.database)
    return url.get_backend_name() == "sqlite" and not Path(url.database or "").exists()


@contextmanager
def _looking(settings: Settings) -> Iterator[Connection]:
    """One snapshot of the database; nothing is left open, whatever happens."""
    engine = db.connect(settings.database, pool=1)
    try:
        with db.reading(engine) as connection:
            yield connection
    finally:
        engine.dispose()


def damage(settings: Settings, _now: int) -> Iterator[Finding]:
    """What the disk has spoilt: inbox files that were kept aside, a database whose structure is broken."""
    if aside := sorted(path.name for path in settings.inbox.glob(f"*{DAMAGED}")):
        lost = "held records that could not be read: these are among the rejected, as `unreadable`"
        yield Finding("bad", "damage", f"{len(aside)} inbox files {lost}. Look at the disk; {aside[0]} ...")
    url = make_url(settings.database)
    if url.get_backend_name() != "sqlite" or _missing(settings):
        return
    until = time.monotonic() + CHECK_SECONDS
    with closing(
        pysqlite3.connect(f"{Path(url.database or '').absolute().as_uri()}?mode=ro", uri=True)
    ) as one:
        one.set_progress_handler(lambda: time.monotonic() > until, 100_000)
        try:
            said = [str(row[0]) for row in one.execute("PRAGMA quick_check(3)")]
        except pysqlite3.OperationalError:
            said = [] if time.monotonic() > until else ["it cannot be read"]
        except pysqlite3.DatabaseError as error:
            said = [str(error)]
    if said in ([], ["ok"]):
        whole = "no fault found" if said else f"no fault found in the {CHECK_SECONDS} s it was looked at"
        yield Finding("good", "damage", whole)
    else:
        yield Finding("bad", "damage", f"restore a backup of the database: {'; '.join(said)}")


def snapshot(settings: Settings, now: int) -> Iterator[Finding]:
    if not settings.snapshot.exists():
        yield Finding("warn", "snapshot", "not written yet: no door knows a key before it is")
        return
    age = now / 1e6 - settings.snapshot.stat().st_mtime
    if age > 60:
        yield Finding("warn", "snapshot", f"last confirmed {age:,.0f} s ago: is a web process running?")
    else:
        yield Finding("good", "snapshot", f"confirmed {max(age, 0):.0f} s ago")


def database(settings: Settings, now: int) -> Iterator[Finding]:
    if _missing(settings):
        yield Finding("warn", "database", "not there yet; clicktrail serve makes it")
        return
    try:
        with _looking(settings) as connection:
            server = "SQLite"
            if connection.dialect.name == "postgresql":
                server = f"PostgreSQL {migrate.version(migrate.check_version(connection))}"
            found = migrate.revision(connection)
    except RuntimeError as error:  # too old to be used at all
        yield Finding("bad", "database", str(error))
        return
    except SQLAlchemyError as error:
        yield Finding("bad", "database", f"cannot be reached: {error}")
        return
    known = migrate.revisions()[-1]
    if found == known:
        yield Finding("good", "database", f"{server}, schema {found}")
    elif found > known:
        newer = f"schema {found}, and this version knows {known}: a newer Clicktrail has written it"
        yield Finding("bad", "database", newer)
    else:
        behind = f"schema {found or 'none'}, this version's is {known}: clicktrail migrate brings it up"
        yield Finding("warn", "database", behind)


def identifiers(settings: Settings, _now: int) -> Iterator[Finding]:
    """Identifiers that join nobody: a few are how people live, one that thousands share is a constant."""
    if _missing(settings):
        return
    try:
        with _looking(settings) as connection:
            found, most = reports.totals(connection), reports.most_shared(connection)
    except (SQLAlchemyError, RuntimeError):
        return  # `database` says so
    told = (
        f"{found['shared']:,} are shared by too many, {found['shared_device']:,} devices have several users, "
        f"{found['blocked']:,} are blocked; {found['junk']:,} times a stand-in such as null was sent instead"
    )
    if most >= CONSTANT:
        told += f". One was told with {most:,} others: does a page or backend send a constant?"
    where = "; GET /v1/identifiers/unjoined lists them" if any(found.values()) else ""
    yield Finding("warn" if most >= CONSTANT else "good", "identifiers", told + where)


def sources(settings: Settings, now: int) -> Iterator[Finding]:
    """Sites, servers and partners that used to send and stopped."""
    if _missing(settings):
        return
    try:
        with _looking(settings) as connection:
            w = tables.workspaces.c
            known = connection.execute(select(w.id, w.slug).where(w.archived_at.is_(None))).all()
            found = [(slug, one) for id_, slug in known for one in listed(connection, id_, now)]
    except (SQLAlchemyError, RuntimeError):
        return  # another schema, or no answer: `database` says so
    silent = [(slug, one) for slug, one in found if one.verdict.state == "silent"]
    for slug, one in silent[:MOST_SILENT]:
        yield Finding("warn", "sources", f"{one.kind} {one.name} ({slug}): {one.verdict.because}")
    if len(silent) > MOST_SILENT:
        yield Finding(
            "warn", "sources", f"and {len(silent) - MOST_SILENT} more: GET /v1/sources?state=silent"
        )
    if not silent:
        yield Finding("good", "sources", f"{len(found)} known, none of them silent")


def promises(settings: Settings, _now: int) -> Iterator[Finding]:
    """A PostgreSQL that says "committed" before it is on disk breaks our promise, whatever the inbox does."""
    if make_url(settings.database).get_backend_name() != "postgresql":
        return
    try:
        with _looking(settings) as connection:
            found = {name: connection.scalar(text(f"SHOW {name}")) for name in SYNCED}
    except SQLAlchemyError:
        return  # `database` says so
    if off := [f"{name} = {value}" for name, value in found.items() if value == "off"]:
        told = f"{', '.join(off)}: what is acknowledged may be lost when the database's machine fails"
        yield Finding("bad", "durability", told)
    else:
        yield Finding("good", "durability", f"{', '.join(SYNCED)} are on")


def secrets(settings: Settings, _now: int) -> Iterator[Finding]:
    """Secrets that are quickly guessed."""
    key = settings.admin_key.get_secret_value() if settings.admin_key else ""
    if key and len(set(key)) < VARIED:
        told = "CLICKTRAIL_ADMIN_KEY is quickly guessed: make one with `openssl rand -hex 32`"
        yield Finding("bad", "secrets", told)
    url = make_url(settings.database)
    if url.password is not None and str(url.password).lower() in {*GUESSED, (url.username or "").lower()}:
        yield Finding("bad", "secrets", "the database's password is one that is tried first: change it")


def clock(_settings: Settings, now: int) -> Iterator[Finding]:
    """A clock before this code's own birth is wrong; the monotonic one must run at its pace."""
    built = Path(__file__).stat().st_mtime
    if now / 1e6 < built - 86_400:
        yield Finding(
            "bad", "clock", f"stands at {time.strftime('%Y-%m-%d %H:%M', time.gmtime(now / 1e6))} UTC"
        )
    else:
        yield Finding("good", "clock", f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(now / 1e6))} UTC")


def port(settings: Settings, _now: int) -> Iterator[Finding]:
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.settimeout(1)
        answers = probe.connect_ex((settings.host, settings.port)) == 0
    said = "something answers" if answers else "nobody answers: is clicktrail serve running?"
    yield Finding("good" if answers else "warn", "port", f"{settings.host}:{settings.port}: {said}")


CHECKS: tuple[Callable[[Settings, int], Iterator[Finding]], ...] = (
    versions, folder, ground, disk, database, damage, promises, inbox, snapshot, identifiers, sources,
    secrets, port, clock,
)  # fmt: skip

#: What a start says too, since nobody may ever ask the doctor.
ON_START = (ground, promises, secrets)
