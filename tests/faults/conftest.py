"""What fault tests need: a service that may carry a planted bug, and a small disk.

A machine that cannot trace or mount skips what needs it, and says so; in CI that is a failure.
"""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import impossible
from tests.faults.processes import Service, cannot_trace


@pytest.fixture
def tracing() -> None:
    if reason := cannot_trace():
        impossible(reason)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """serve(bug="", data=..., CLICKTRAIL_...="...") starts a service with the campaign "spring"."""
    started: list[Service] = []

    def start(bug: str = "", *, data: Path = tmp_path / "data", **settings: str) -> Service:
        started.append(Service(data, bug=bug, settings=settings))
        return started[-1].open()

    yield start
    for service in started:
        service.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        impossible(f"a small file system cannot be mounted: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)
