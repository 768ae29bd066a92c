"""Real nginx and Caddy with the first-party files as shipped, but for where they and Clicktrail listen."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import impossible, wait_until
from tests.hostile.wire import Address, free_port, listens

INTEGRATIONS = Path(__file__).parents[2] / "integrations"

#: What stands around nginx's file on a machine: here as one process, in a folder of its own.
MAIN = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log warn;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/first-party.conf;
}}
"""


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        impossible(f"{name} is not installed")
    return str(found)


def adapted(path: Path, changes: tuple[tuple[str, str], ...]) -> str:
    """The shipped file with what is "yours" changed; each such line stands there exactly once."""
    text = path.read_text()
    for shipped, here in changes:
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, here)
    return text


@contextlib.contextmanager
def nginx(behind: Address, folder: Path) -> Iterator[Address]:
    at = Address("127.0.0.1", free_port())
    changes = (
        ("server 127.0.0.1:8000;", f"server {behind.host}:{behind.port};"),
        ("listen 80;", f"listen {at.host}:{at.port};"),
    )
    (folder / "first-party.conf").write_text(adapted(INTEGRATIONS / "nginx/first-party.conf", changes))
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
    words = [
        program("nginx"),
        "-p",
        str(folder),
        "-c",
        str(folder / "nginx.conf"),
        "-e",
        f"{folder}/error.log",
    ]
    tried = subprocess.run([*words, "-t"], capture_output=True, text=True, check=False)
    assert tried.returncode == 0 and "warn" not in tried.stderr, tried.stderr
    with running(words, at):
        yield at


@contextlib.contextmanager
def caddy(behind: Address, folder: Path) -> Iterator[Address]:
    at = Address("127.0.0.1", free_port())
    changes = (
        ("reverse_proxy 127.0.0.1:8000 {", f"reverse_proxy {behind.host}:{behind.port} {{"),
        ("\nshop.example {", f"\nhttp://:{at.port} {{\n\tbind {at.host}"),
    )
    text = adapted(INTEGRATIONS / "caddy/first-party.Caddyfile", changes)
    file = folder / "Caddyfile"
    file.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + text)
    tried = subprocess.run(
        [program("caddy"), "validate", "--config", str(file), "--adapter", "caddyfile"],
        capture_output=True, text=True, check=False, env=os.environ | {"HOME": str(folder)},
    )  # fmt: skip
    assert tried.returncode == 0 and '"logger":"caddyfile"' not in tried.stderr, tried.stderr
    with running(
        [program("caddy"), "run", "--config", str(file), "--adapter", "caddyfile"], at, HOME=str(folder)
    ):
        yield at


@contextlib.contextmanager
def running(words: list[str], at: Address, **environment: str) -> Iterator[None]:
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | environment
    )
    try:
        wait_until(lambda: listens(at))
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


FRONTS = {"nginx": nginx, "caddy": caddy}
