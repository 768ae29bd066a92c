"""A copy of the inbox and the embedded database, taken while Clicktrail runs; and back from it.

The inbox is copied first, the database after it. A record is in the one, or was drained from it into the
other, so the copy holds everything that was accepted before the backup began, and of what came later, from
each inbox file, a beginning. Nothing is in it twice: the database knows how far each file was drained.

PostgreSQL is backed up by its own tools, after each machine's inbox was by this: its order is the same.
"""

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import make_url

from app.settings import Settings

DATABASE = "clicktrail.db"
INBOX = "inbox"
NAME = "worker.lock"  # holds the name under which this machine's worker says how far it is
SUMS = "SHA256SUMS"  # written last; `sha256sum -c` reads it too


class Refused(RuntimeError):
    """The backup or the restore was not begun, or came to nothing: said plainly, nothing is left behind."""


def back_up(settings: Settings, target: Path) -> int:
    """Write a backup into the new folder `target`; returns its bytes. It is there whole or not at all."""
    if target.exists():
        raise Refused(f"{target} is there already")
    source = database_file(settings)
    if not (source or settings.inbox).exists():
        raise Refused(f"there is nothing to back up at {source or settings.inbox}")
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _unfinished(target)
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / INBOX).mkdir(parents=True, mode=0o700)
    try:
        for path in sorted(settings.inbox.glob("*.db")):
            with contextlib.suppress(FileNotFoundError):  # drained meanwhile: the database will have it
                _copy(path, unfinished / INBOX / path.name)
        if source is not None:
            _copy(source, unfinished / DATABASE)
        elif (settings.data / NAME).exists():
            shutil.copyfile(settings.data / NAME, unfinished / NAME)
        sums = "".join(f"{_sum(path)}  {path.relative_to(unfinished)}\n" for path in _files(unfinished))
        (unfinished / SUMS).write_text(sums)
        for path in (unfinished / SUMS, unfinished / INBOX, unfinished):
            _sync(path)
        unfinished.rename(target)
        _sync(target.parent)
    except BaseException as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if isinstance(error, sqlite.Error):
            raise Refused(f"the backup was given up: {error}") from error
        raise
    return sum(path.stat().st_size for path in _files(target))


def restore(settings: Settings, source: Path) -> int:
    """Put a backup where this configuration has its data; returns its bytes. Replaces nothing."""
    database = database_file(settings)
    if any(settings.inbox.glob("*.db")) or (database is not None and database.exists()):
        raise Refused(f"{settings.data} holds data already: restore into an empty folder")
    verify(source)
    if (database is not None) != (source / DATABASE).exists():
        here, there = ("SQLite", "PostgreSQL") if database else ("PostgreSQL", "SQLite")
        raise Refused(f"{source} was made beside {there}, and the database here is {here}")
    settings.inbox.mkdir(parents=True, exist_ok=True, mode=0o700)
    places = {path: settings.data / path.relative_to(source) for path in _files(source) if path.name != SUMS}
    if database is not None:
        places[source / DATABASE] = database
    # Under their names only when all are there, the database last: nothing that starts takes up a part.
    for path, into in places.items():
        shutil.copyfile(path, _unfinished(into))
        _unfinished(into).chmod(0o600)
        _sync(_unfinished(into))
    for into in sorted(places.values(), key=lambda into: into == database):
        _unfinished(into).rename(into)
    for folder in {settings.inbox, *(into.parent for into in places.values())}:
        _sync(folder)
    return sum(path.stat().st_size for path in _files(source))


def _unfinished(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def verify(source: Path) -> None:
    """Refuse a backup of which anything is missing, added or changed."""
    if not (source / SUMS).exists():
        raise Refused(f"{source} is no backup: it has no {SUMS}")
    lines = (source / SUMS).read_text().splitlines()
    wanted = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    found = {str(path.relative_to(source)): path for path in _files(source) if path.name != SUMS}
    if wrong := sorted(wanted.keys() ^ found.keys()):
        raise Refused(f"{source} is not whole: {', '.join(wrong)}")
    if changed := sorted(name for name, path in found.items() if _sum(path) != wanted[name]):
        raise Refused(f"{source} is damaged: {', '.join(changed)}")


def database_file(settings: Settings) -> Path | None:
    """The embedded database; None: PostgreSQL holds the data."""
    url = make_url(settings.database)
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def _copy(source: Path, target: Path) -> None:
    """One consistent copy of a SQLite file that others write to; they are not kept waiting."""
    with contextlib.closing(_open(source)) as here, contextlib.closing(sqlite.connect(str(target))) as there:
        here.backup(there)  # all in one step: steps would begin anew with every write that came between
        there.execute("PRAGMA journal_mode=DELETE").close()  # one file, with nothing beside it
    target.chmod(0o600)
    _sync(target)


def _open(path: Path) -> "sqlite.Connection":
    if not path.exists():
        raise FileNotFoundError(path)
    return sqlite.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=15)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
