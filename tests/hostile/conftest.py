"""A service that may carry a planted bug, nginx in front of it, and as many files as this machine allows."""

import contextlib
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Clicktrail, impossible, wait_until
from tests.hostile.wire import Address, free_port, listens

PLANTED = Path(__file__).with_name("planted.py")
SHIPPED = Path(__file__).parents[2] / "integrations/nginx/clicktrail.conf"

#: What stands around the shipped file on a machine: here as one process, in a folder of its own.
MAIN = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log warn;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/clicktrail.conf;
}}
"""


@pytest.fixture(autouse=True, scope="session")
def _many_files() -> None:
    """Thousands of connections are thousands of files, here and, inherited, in the service."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Clicktrail]]:
    """serve(bug="", CLICKTRAIL_...="...") starts a service with the embedded database and "spring"."""
    started: list[Clicktrail] = []

    def start(bug: str = "", **settings: str) -> Clicktrail:
        made = Clicktrail(tmp_path / f"data-{len(started)}")
        started.append(made)
        before = [str(PLANTED), bug] if bug else []
        return with_a_campaign(made.start(before=before, **({"CLICKTRAIL_DATABASE_URL": ""} | settings)))

    yield start
    for service in started:
        service.stop()


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clicktrail]:
    """One for all tests that leave it as they found it. It believes what stands in front of it."""
    made = Clicktrail(tmp_path_factory.mktemp("hostile") / "data")
    settings = {"CLICKTRAIL_DATABASE_URL": "", "CLICKTRAIL_TRUSTED_PROXIES": "127.0.0.1"}
    yield with_a_campaign(made.start(**settings))
    made.stop()


def with_a_campaign(service: Clicktrail) -> Clicktrail:
    """Return when the doors know the campaign "spring", whose clicks lead to an address with their sub1."""
    with service.client("admin") as client:
        said = {"slug": "spring", "landing_url": "https://shop.example/{sub1}"}
        assert client.post("/v1/campaigns", json=said).status_code == 201
        wait_until(lambda: client.get("/c/spring?sub1=probe").status_code == 302)
    return service


@pytest.fixture(scope="session")
def in_front(standing: Clicktrail, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """Where nginx answers, in front of the standing service."""
    with nginx(Address.of(standing), tmp_path_factory.mktemp("nginx")) as address:
        yield address


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Callable[[Clicktrail, int], Address]]:
    """front(service) starts nginx in front of a service and tells where it answers; patience in seconds."""
    with contextlib.ExitStack() as running:
        yield lambda service, patience: running.enter_context(
            nginx(Address.of(service), tmp_path / "nginx", patience=patience)
        )


@contextlib.contextmanager
def nginx(behind: Address, folder: Path, *, patience: int = 15) -> Iterator[Address]:
    """nginx with the file as shipped, but for where it and Clicktrail listen, and how patient it is."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        impossible("nginx is not installed")
    folder.mkdir(exist_ok=True)
    address = Address("127.0.0.1", free_port())
    text = SHIPPED.read_text()
    for shipped, here in (
        ("server 127.0.0.1:8000;", f"server {behind.host}:{behind.port};"),
        ("listen 80;", f"listen {address.host}:{address.port};"),
        ("limit_conn clicktrail_connections 200;", "limit_conn clicktrail_connections 20000;"),  # all are one
    ):
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, here)
    assert text.count(" 15s;") == 5
    (folder / "clicktrail.conf").write_text(text.replace(" 15s;", f" {patience}s;"))
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
    words = [
        str(program),
        "-p",
        str(folder),
        "-c",
        str(folder / "nginx.conf"),
        "-e",
        str(folder / "error.log"),
    ]
    tried = subprocess.run([*words, "-t"], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr
    assert "warn" not in tried.stderr, tried.stderr
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(address))
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)
