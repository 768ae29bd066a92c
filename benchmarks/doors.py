"""How many pixels a second: plain uvicorn, a plain FastAPI route, and Clicktrail with everything on.

    python -m benchmarks.doors [--seconds 5] [--rounds 3] [--connections 64] [--engines sqlite postgresql]

Each server runs alone on 127.0.0.1, driven by wrk on the same cores; the median of the rounds counts.
Clicktrail: one web process as `serve` starts it, fsync on, the key checked, a cookie set, the worker
running on either database. Read the ratios, not the absolutes.
"""

import argparse
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response

from app.collect.pixel import GIF
from app.prepare import prepare
from benchmarks.stores import NAMES, Store, add_engines, store

ROOT = Path(__file__).resolve().parent.parent

HEADERS = [
    (b"content-type", b"image/gif"),
    (b"content-length", b"%d" % len(GIF)),
    (b"cache-control", b"no-store"),
]


async def plain(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The least an ASGI application can do: the same GIF, nothing stored."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": GIF})


framework = FastAPI(openapi_url=None)


@framework.get("/p.gif")
async def route(k: str = "", e: str = "", c: str = "", id: str = "") -> Response:
    """The same GIF by the framework, its parameters declared, nothing stored."""
    return Response(GIF, media_type="image/gif", headers={"cache-control": "no-store"})


@contextmanager
def uvicorn(name: str) -> Iterator[int]:
    """`plain` or `framework` under stock uvicorn; yields the port."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", f"benchmarks.doors:{name}", "--port", str(port)]
    command += [
        "--log-level",
        "error",
        "--loop",
        "uvloop",
        "--http",
        "httptools",
        "--lifespan",
        "off",
        "--no-access-log",
    ]
    with running(command):
        await_port(port)
        yield port


@contextmanager
def clicktrail(on: Store) -> Iterator[int]:
    """`clicktrail serve` on a free port: the web process and the worker; yields the port."""
    command = [sys.executable, "-m", "app.cli", "serve", "--port", "0", "--data", str(on.data)]
    environment = {**os.environ, **on.environment, "CLICKTRAIL_LOG_LEVEL": "error"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = next((line for line in process.stdout if line.startswith("Clicktrail is serving on ")), "")
        if not line:
            raise SystemExit("clicktrail serve did not start")
        yield int(line.rpartition(":")[2])
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


@contextmanager
def running(command: list[str]) -> Iterator[None]:
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def await_port(port: int) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"nothing listens on port {port}")


def load(url: str, *, seconds: int, connections: int) -> tuple[float, str, str]:
    """(requests/s, p50, p99) of wrk; anything but 2xx ends the benchmark."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in told or "Socket errors" in told:
        raise SystemExit(told)
    found = re.search(r"\n +50% +(\S+).*?\n +99% +(\S+).*?Requests/sec: +([\d.]+)", told, re.DOTALL)
    assert found is not None, told
    return float(found[3]), found[1], found[2]


def measure(name: str, url: str, arguments: argparse.Namespace) -> tuple[str, float, str, str]:
    load(url, seconds=1, connections=arguments.connections)
    rounds = [
        load(url, seconds=arguments.seconds, connections=arguments.connections)
        for _ in range(arguments.rounds)
    ]
    middle = statistics.median(rate for rate, _, _ in rounds)
    rate, p50, p99 = min(rounds, key=lambda one: abs(one[0] - middle))
    return name, rate, p50, p99


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    add_engines(parser)
    arguments = parser.parse_args()
    asked = "p.gif?e=impression&c=spring"
    rows = []
    for name in ("plain", "framework"):
        with uvicorn(name) as port:
            rows.append(measure(name, f"http://127.0.0.1:{port}/{asked}&k=key&id=a", arguments))
    for engine in arguments.engines:
        with store(engine) as on:
            keys = prepare(on.settings, clock=lambda: time.time_ns() // 1000).keys
            with clicktrail(on) as port:
                url = f"http://127.0.0.1:{port}/{asked}&k={keys['public']}"
                with urllib.request.urlopen(url) as answer:
                    assert answer.headers["x-clicktrail"] == "accepted", answer.headers
                    assert "ct_id=" in answer.headers["set-cookie"]
                rows.append(measure(f"clicktrail, {NAMES[engine]}", url, arguments))
    print(f"{'':24}{'requests/s':>12}{'p50':>10}{'p99':>10}{'of plain':>10}{'of FastAPI':>12}")
    for name, rate, p50, p99 in rows:
        print(f"{name:24}{rate:12,.0f}{p50:>10}{p99:>10}{rate / rows[0][1]:10.2f}{rate / rows[1][1]:12.2f}")


if __name__ == "__main__":
    main()
