"""What fault tests need: a service that may carry a planted bug, and a small disk.

A machine that cannot trace or mount skips what needs it, and says so; in CI that is a failure.
"""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests import engines
from tests.conftest import impossible
from tests.faults.processes import Service, cannot_trace
from tests.faults.proxy import Proxy

HERE = Path(__file__).parent

#: What runs on PostgreSQL, by the beginnings of names. The others are about SQLite's files, or about what
#: stands before any database, or would show the same once more.
ON_POSTGRESQL = {
    "test_kills.py": ("test_kills_of",),
    "test_outages.py": ("test_",),
    "test_poison.py": ("test_poison_costs_only_itself_wherever_it_stands[of no known kind",),
    "test_power_cuts_of_a_server.py": ("test_",),
    "test_replies.py": ("test_lost_answers",),
    "test_same_id.py": ("test_of_two_contents",),
    "test_server_crashes.py": ("test_",),
    "test_slow_database.py": ("test_",),
}
#: What only a server can suffer.
NOT_ON_SQLITE = {
    "test_outages.py", "test_power_cuts_of_a_server.py", "test_server_crashes.py", "test_slow_database.py",
}  # fmt: skip
#: As it comes; the server of the other tests leaves it to the kernel when something reaches the disk.
DURABLE = ("fsync=on", "full_page_writes=on")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if item.path.parent == HERE and not _runs(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _runs(item: pytest.Item) -> bool:
    if engines.POSTGRESQL:
        return item.name.startswith(ON_POSTGRESQL.get(item.path.name, "/"))
    return item.path.name not in NOT_ON_SQLITE


@pytest.fixture
def tracing() -> None:
    if reason := cannot_trace():
        impossible(reason)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """serve(bug="", data=..., CLICKTRAIL_...="...") starts a service with the campaign "spring"."""
    started: list[Service] = []

    def start(
        bug: str = "", *, data: Path = tmp_path / "data", database: str = "", **settings: str
    ) -> Service:
        started.append(Service(data, bug=bug, settings=settings, database=database))
        return started[-1].open()

    yield start
    for service in started:
        service.stop()


@pytest.fixture(scope="session")
def postgres() -> engines.Server:
    """A PostgreSQL server to be killed and cut off: of these tests' own, and durable as it is by default."""
    made = engines.new_server()
    made.stop()
    return made.start(*DURABLE)


@pytest.fixture
def network(postgres: engines.Server) -> Iterator[Proxy]:
    """What lies between a service of `serve_afar` and PostgreSQL."""
    with Proxy(postgres.folder / ".s.PGSQL.5432") as proxy:
        yield proxy


@pytest.fixture
def serve_afar(
    network: Proxy, postgres: engines.Server, serve: Callable[..., Service], tmp_path: Path
) -> Callable[..., Service]:
    """Like `serve`: a service that reaches its PostgreSQL through `network`."""

    def start(bug: str = "", **settings: str) -> Service:
        database = postgres.database(tmp_path, "template0")
        seen = make_url(database).set(host="127.0.0.1", port=network.port, query={})
        return serve(bug, database=database, CLICKTRAIL_DATABASE_URL=str(seen), **settings)

    return start


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
