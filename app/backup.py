"""A copy of the embedded database and its inbox, taken while Clicktrail runs; and back from it.

The inbox is copied first, the database after it. A record is in the one, or was drained from it into the
other, so the copy holds everything that was accepted before the backup began, and of what came later, from
each inbox file, a beginning. Nothing is in it twice: the database knows how far each file was drained.
PostgreSQL is backed up by its own tools.
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
SUMS = "SHA256SUMS"  # written last; `sha256sum -c` reads it too


class Refused(RuntimeError):
    """The backup or the restore was not begun, or came to nothing: said plainly, nothing is left behind."""


def back_up(settings: Settings, target: Path) -> int:
    """Write a backup into the new folder `target`; returns its bytes. It is there whole or not at all."""
    if target.exists():
        raise Refused(f"{target} is there already")
    source = _database(settings)
    if not source.exists():
        raise Refused(f"there is no database at {source}")
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / INBOX).mkdir(parents=True, mode=0o700)
    try:
        for path in sorted(settings.inbox.glob("*.db")):
            with contextlib.suppress(FileNotFoundError):  # drained meanwhile: the database will have it
                _copy(path, unfinished / INBOX / path.name)
        _copy(source, unfinished / DATABASE)
        sums = "".join(f"{_sum(path)}  {path.relative_to(unfinished)}\n" for path in _files(unfinished))
        (unfinished / SUMS).write_text(sums)
        for path in (unfinished / SUMS, unfinished / INBOX, unfinished):
            _sync(path)
        unfinished.rename(target)
        _sync(target.parent)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return sum(path.stat().st_size for path in _files(target))


def restore(settings: Settings, source: Path) -> int:
    """Put a backup where this configuration has its data; returns its bytes. Replaces nothing."""
    target = _database(settings)
    if target.exists() or any(settings.inbox.glob("*.db")):
        raise Refused(f"{settings.data} holds data already: restore into an empty folder")
    verify(source)
    settings.inbox.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in _files(source):
        into = target if path.name == DATABASE else settings.inbox / path.name
        if path.name == SUMS:
            continue
        # The database comes under its name last: until then nothing that starts would take it up.
        shutil.copyfile(path, unfinished := into.with_name(f"{into.name}.partial"))
        _sync(unfinished)
    for path in sorted(settings.inbox.glob("*.partial")):
        path.rename(path.with_suffix(""))
    target.with_name(f"{target.name}.partial").rename(target)
    _sync(settings.inbox)
    _sync(target.parent)
    return sum(path.stat().st_size for path in _files(source))


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


def _database(settings: Settings) -> Path:
    url = make_url(settings.database)
    if url.get_backend_name() != "sqlite" or not url.database:
        raise Refused(
            "only the embedded database is backed up here: PostgreSQL has pg_dump and pg_basebackup"
        )
    return Path(url.database)


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
