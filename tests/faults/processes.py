"""The service's processes, and what is done to them: found through the parent, killed, held, made to fail.

The service runs on the engine that CLICKTRAIL_TEST_ENGINE names; what it stored is read past any proxy.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import psutil
from sqlalchemy import func, select

from app import db, tables
from tests import engines
from tests.conftest import Clicktrail, wait_until

Role = Literal["web", "worker"]

#: The id of clicks by which `open` asks whether the doors are up to date; no part of any ledger.
PROBE = "probe"
PLANTED = Path(__file__).with_name("planted.py")


@dataclass
class Service(Clicktrail):
    """A service that is killed and started again: it keeps its settings, its port, and its planted bug.

    `database` is where tests read what it stored; a service behind a proxy is told another URL.
    """

    bug: str = ""
    database: str = ""
    settings: dict[str, str] = field(default_factory=dict)

    def open(self) -> "Service":
        """Start, and return when the doors know the campaign that the load names."""
        before = [str(PLANTED), self.bug] if self.bug else []
        told = self.settings.get("CLICKTRAIL_DATABASE_URL")
        embedded = f"sqlite:///{self.data}/clicktrail.db"
        self.database = self.database or told or (engines.url(self.data) if told is None else embedded)
        self.start(before=before, **self.settings)
        with self.client("admin") as client:
            said = {"slug": "spring", "name": "Spring", "landing_url": "https://shop.example/"}
            assert client.post("/v1/campaigns", json=said).status_code in (201, 409)
            wait_until(lambda: client.get(f"/c/spring?sub1={PROBE}").status_code == 302)
        return self

    def crash(self) -> None:
        """SIGKILL the parent; return when nobody listens any more, so that it can be started again."""
        assert self.process is not None
        self.process.kill()
        self.gone()

    def gone(self) -> None:
        """Return when the parent, which was told to leave or killed, is gone and nobody listens any more."""
        assert self.process is not None
        self.process.wait(timeout=60)
        self.stop()
        wait_until(lambda: not self._listens())

    def _listens(self) -> bool:
        host, port = urlsplit(self.url).netloc.split(":")
        try:
            with socket.create_connection((host, int(port)), timeout=5):
                return True
        except OSError:
            return False

    def settled(self) -> None:
        """Return when all that was accepted until now is stored, and all that follows from it derived."""
        now = time.time_ns() // 1000
        wait_until(lambda: all_in(self, since=now), seconds=120)

    def stored(self) -> int:
        """How many facts the database holds."""
        with reading(self) as connection:
            return sum(
                connection.scalar(select(func.count()).select_from(table)) or 0
                for table in (tables.events, tables.sightings, tables.adjustments)
            )


def processes(running: Clicktrail, role: Role) -> list[psutil.Process]:
    """The parent's children of this role, the oldest first."""
    assert running.process is not None
    found = []
    for child in psutil.Process(running.process.pid).children():
        try:
            if role in child.cmdline():
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return sorted(found, key=lambda child: child.create_time())


def kill(running: Clicktrail, role: Role) -> None:
    """SIGKILL the process of this role, as soon as there is one."""
    wait_until(lambda: processes(running, role), seconds=60)
    processes(running, role)[-1].kill()


def kill_all(running: Clicktrail) -> None:
    """SIGKILL all of its processes, so that none can tidy up after another."""
    if running.process is not None:
        for process in [*psutil.Process(running.process.pid).children(recursive=True), running.process]:
            process.kill()


@contextmanager
def held(running: Clicktrail, role: Role) -> Iterator[psutil.Process]:
    """The process stands still meanwhile (SIGSTOP)."""
    process = processes(running, role)[-1]
    process.suspend()
    try:
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):
            process.resume()


# --- System calls: watched, and made to fail ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault:
    """System calls that fail. `when` is strace's: 5 the fifth of a thread, 5+ from the fifth on."""

    calls: str
    error: str
    when: str

    def __str__(self) -> str:
        return f"{self.calls}:{self.error}:{self.when}"


@dataclass(frozen=True, slots=True)
class Trace:
    """What was seen of some system calls of a process."""

    output: Path

    def calls(self) -> int:
        """How many there were; only complete when the tracing has ended."""
        return sum("(" in line for line in self.output.read_text(errors="replace").splitlines())

    def failed(self) -> int:
        """How many were made to fail so far."""
        return self.output.read_text(errors="replace").count("(INJECTED)")


def cannot_trace() -> str:
    """Why strace cannot be used here; "" when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(
        ["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False
    )
    return "" if tried.returncode == 0 else f"strace may not trace: {tried.stderr.strip()[:200]}"


def failing(process: psutil.Process, fault: Fault, folder: Path) -> AbstractContextManager[Trace]:
    """In `process`, in each of its threads, these calls fail until the end of the block."""
    return traced(
        process, fault.calls, folder, "-e", f"inject={fault.calls}:error={fault.error}:when={fault.when}"
    )


@contextmanager
def traced(process: psutil.Process, calls: str, folder: Path, *options: str) -> Iterator[Trace]:
    """Watch these calls of `process` until the end of the block."""
    output = folder / f"strace-{time.monotonic_ns()}.txt"
    output.touch()
    words = ["strace", "-f", "-p", str(process.pid), "-o", str(output), "-e", f"trace={calls}", *options]
    tracer = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    try:
        said = tracer.stderr.readline()
        assert "attached" in said, said
        yield Trace(output)
    finally:
        tracer.terminate()  # it lets go of the process, which goes on
        tracer.communicate(timeout=60)


# --- Being ready, being done --------------------------------------------------------------------------


def readiness(running: Clicktrail) -> str:
    """What /readyz names; "" when it is ready."""
    with running.client() as client:
        answer = client.get("/readyz")
    found: Any = answer.json()
    return "" if answer.status_code == 200 else str(found["inbox"])


def all_in(service: Service, *, since: int) -> bool:
    """Whether all that was accepted before `since` (us) is stored, and all that follows from it derived."""
    with reading(service) as connection:
        c = tables.cursors.c
        # Freshness has no file: its name is not an inbox file's, of 16 bytes.
        fresh = connection.scalar(select(func.min(c.sequence)).where(func.length(c.file) != 16)) or 0
        waiting = sum(
            connection.scalar(select(func.count()).select_from(table)) or 0
            for table in (tables.changes, tables.due)
        )
    return fresh > since and not waiting


@contextmanager
def reading(service: Service) -> Iterator[Any]:
    engine = db.connect(service.database, pool=1)
    try:
        with db.reading(engine) as connection:
            yield connection
    finally:
        engine.dispose()
