"""A real `clicktrail serve` for the tests that need one: web and worker processes, a free port, a folder.

clicktrail          one for the whole run: leave it as healthy as you found it
fresh_clicktrail    one of this test's own: empty, and yours to break
start_clicktrail    start(data, CLICKTRAIL_...="...") for tests that start and kill several
report              report("30 kills ...") adds a line to what is printed after the run

A machine that cannot do what a test is about skips it, and says so; in CI that is a failure (`impossible`).
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings

from tests import engines

# Examples are of rules, not of how soon this machine, which others share, can tell them.
settings.register_profile(
    "shared machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("shared machine")

#: Figures that tests report; printed at the end of the run (docs/guarantees.md quotes them).
FIGURES = pytest.StashKey[list[str]]()


def impossible(reason: str) -> None:
    """This machine cannot do what the test is about."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"in CI this must be possible: {reason}")
    pytest.skip(reason)


def wait_until(true: Callable[[], object], *, seconds: float = 30) -> None:
    """Return as soon as `true()` is; fail when it has not become so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


AUTHORITIES = httpx.create_ssl_context()  # to read them for each client takes a hundred requests' time


def new_client(**options: Any) -> httpx.Client:
    return httpx.Client(verify=AUTHORITIES, **options)


SCOPES = ("public", "server", "read", "admin")


@dataclass
class Clicktrail:
    """A running service: where it answers, the keys of its first workspace by scope, its data folder."""

    data: Path
    url: str = ""
    keys: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)  # what it printed until it was serving
    process: subprocess.Popen[str] | None = None

    def start(
        self, *arguments: str, before: Sequence[str] = (), pass_fds: Sequence[int] = (), **settings: str
    ) -> "Clicktrail":
        """Start on a free port (again: on the same one) and return when it serves.

        `settings` are environment variables; `before` stands between python and `-m app.cli`.
        """
        port = self.url.rpartition(":")[2] or "0"
        command = [
            sys.executable,
            *before,
            "-m",
            "app.cli",
            "serve",
            "--port",
            port,
            "--data",
            str(self.data),
        ]
        with (self.data.parent / f"{self.data.name}.log").open("a") as log:
            self.process = subprocess.Popen(
                [*command, *arguments],
                env=os.environ | engines.environment(self.data) | settings,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=pass_fds,
                text=True,
            )
        assert self.process.stdout is not None
        self.said.clear()
        for line in self.process.stdout:
            self.said.append(line)
            words = line.split()
            if len(words) == 2 and words[0] in SCOPES:
                self.keys[words[0]] = words[1]
            if line.startswith("Clicktrail is serving on "):
                self.url = words[-1]
                return self
        raise AssertionError(f"it did not start: {self.log()}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it (SIGKILL: its children end by themselves) and return its exit status."""
        if self.process is None:
            return 0
        self.process.send_signal(number)
        status = self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return status

    def log(self) -> str:
        """Everything it logged so far."""
        return (self.data.parent / f"{self.data.name}.log").read_text()

    def as_(self, scope: str) -> dict[str, str]:
        """The header that presents this workspace's key of `scope`."""
        return {"Authorization": f"Bearer {self.keys[scope]}"}

    def client(self, scope: str = "") -> httpx.Client:
        """An HTTP client, with the key of `scope`; close it (it is a context manager)."""
        return new_client(base_url=self.url, headers=self.as_(scope) if scope else {}, timeout=30)


@pytest.fixture(autouse=True)
def _databases(tmp_path: Path) -> Iterator[None]:
    """The databases of a test end with it."""
    yield
    engines.drop(tmp_path)


@pytest.fixture(scope="session")
def clicktrail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clicktrail]:
    running = Clicktrail(tmp_path_factory.mktemp("clicktrail") / "data").start()
    yield running
    running.stop()


@pytest.fixture
def fresh_clicktrail(tmp_path: Path) -> Iterator[Clicktrail]:
    running = Clicktrail(tmp_path / "data").start()
    yield running
    running.stop()


@pytest.fixture
def start_clicktrail(tmp_path: Path) -> Iterator[Callable[..., Clicktrail]]:
    started: list[Clicktrail] = []

    def start(*arguments: str, data: Path = tmp_path / "data", **options: Any) -> Clicktrail:
        started.append(Clicktrail(data))
        return started[-1].start(*arguments, **options)

    yield start
    for running in started:
        running.stop()


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    return request.config.stash.setdefault(FIGURES, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(FIGURES, [])
    if figures:
        terminalreporter.section("what was measured")
        for line in figures:
            terminalreporter.write_line(line)
