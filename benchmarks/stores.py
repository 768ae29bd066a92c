"""The two databases that benchmarks compare, each as an operator would run it: every commit on disk.

SQLite is a file in the data folder, PostgreSQL a server of its own (the one that tests use, made durable).
Both lie on the same disk, and one is gone before the next begins.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine

from app import db
from app.migrate import migrate
from app.settings import Settings
from tests.engines import new_server

NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

#: Tests switch these off; the rest of PostgreSQL's settings are its defaults, but for a cache that fits.
DURABLE = (
    "fsync=on", "full_page_writes=on", "synchronous_commit=on", "shared_buffers=1GB", "max_wal_size=4GB",
)  # fmt: skip


@dataclass(frozen=True)
class Store:
    """A database that is migrated and empty, and the data folder beside it."""

    name: str
    data: Path
    url: str

    @property
    def settings(self) -> Settings:
        return Settings(data=self.data, database_url=self.url)

    @property
    def environment(self) -> dict[str, str]:
        return {"CLICKTRAIL_DATABASE_URL": self.url}

    def connect(self) -> Engine:
        return db.connect(self.url)


@contextmanager
def store(engine: str) -> Iterator[Store]:
    """A store on `engine` ("sqlite", "postgresql"), gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="clicktrail-bench-") as folder:
        data = Path(folder)
        if engine == "sqlite":
            migrate(f"sqlite:///{data / 'clicktrail.db'}")
            yield Store(engine, data, f"sqlite:///{data / 'clicktrail.db'}")
            return
        server = new_server()
        server.stop()
        server.start(*DURABLE)
        try:
            server.say("CREATE DATABASE bench")
            migrate(server.url("bench"))
            yield Store(engine, data, server.url("bench"))
        finally:
            server.say("DROP DATABASE bench WITH (FORCE)")  # its disk is needed before this process ends
            server.stop()


def add_engines(options: argparse.ArgumentParser) -> None:
    options.add_argument("--engines", nargs="+", choices=[*NAMES], default=[*NAMES])


@dataclass
class Table:
    """What was measured, a line each, the engines side by side; lines are told as they come, too."""

    title: str
    found: dict[str, dict[str, str]] = field(default_factory=dict)

    def put(self, engine: str, rows: Mapping[str, str] | Sequence[tuple[str, str]]) -> None:
        for name, value in dict(rows).items():
            self.found.setdefault(name, {})[engine] = value
            print(f"  {NAMES[engine]:<12}{name}: {value}", flush=True)

    def show(self) -> None:
        engines = [name for name in NAMES if any(name in row for row in self.found.values())]
        widths = {
            engine: max([len(NAMES[engine]), *(len(row.get(engine, "")) for row in self.found.values())])
            for engine in engines
        }
        first = max(len(name) for name in self.found)
        print(f"\n{self.title}")
        print(f"  {'':{first}}", *(f"{NAMES[engine]:>{widths[engine] + 2}}" for engine in engines))
        for name, row in self.found.items():
            print(
                f"  {name:{first}}", *(f"{row.get(engine, ''):>{widths[engine] + 2}}" for engine in engines)
            )
