"""From the door to the numbers: sustained events a second, how fresh they are, and what it weighs.

    python -m benchmarks.throughput [--stored 10000000] [--seconds 20] [--engines sqlite postgresql]

Clicktrail as `serve` runs it (one web process, one worker, fsync on) with `--stored` events there already.
wrk sends one impression a request, each with an id of its own that the sender supplies (UUIDv7), over 200
campaigns x 5 ads, each from a new visitor (wrk keeps no cookies); then again with a new visitor id beside the
new cookie, so that every event makes two identifiers one person. An event counts once the rollups that the
metrics API reads have it. Freshness: at 1,000 events/s, the time from a marker's acknowledgement to the
metrics API showing it.
"""

import argparse
import http.client
import json
import random
import socket
import statistics
import subprocess
import tempfile
import threading
import time

import psutil
from sqlalchemy import Engine, func, select

from app import bulk, db, tables
from app.events import months
from app.model import number
from app.pipeline.rules import dedupe_key
from app.prepare import prepare
from benchmarks.doors import clicktrail
from benchmarks.stores import Store, Table, add_engines, store

CAMPAIGNS, ADS = 200, 5
DAY_US = 86_400_000_000

#: Every request with its own id: time, then a counter, in the shape of a UUIDv7.
SCRIPT = """
local n = 0
local base = os.time() * 1000
math.randomseed(os.time())
request = function()
  n = n + 1
  local t = base + math.floor(n / 10)
  local hex = string.format("%012x", t)
  local id = hex:sub(1, 8) .. "-" .. hex:sub(9, 12) .. string.format("-7%03x-8%03x-%012x",
    math.random(0, 4095), math.random(0, 4095), n)
  return wrk.format("GET", "/p.gif?k=KEY&e=impression&c=c" .. math.random(CAMPAIGNS) .. "&a=a"
    .. math.random(ADS) .. "&id=" .. id .. PAIR)
end
wrk.headers["User-Agent"] = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/130.0 Safari/537.36"
"""


def fill(on: Store, count: int) -> None:
    """`count` impressions of the last 90 days with their ids, as the pipeline would have stored them."""
    engine = on.connect()
    rnd, now = random.Random(1), time.time_ns() // 1000
    columns = ("workspace", "kind", "occurred_at", "no", "received_at", "visitor", "campaign_id", "ad_id")
    start = now - 90 * DAY_US
    with db.begin(engine) as connection:
        months.make_months_between(connection, start, now)
        # Sorted afterwards in one go: ten million random insertions would take many times as long.
        for index in tables.events.indexes:
            connection.exec_driver_sql(f"DROP INDEX {index.name}")
    step = 100_000
    for first in range(0, count, step):
        rows, keys = [], []
        for i in range(first, min(first + step, count)):
            at = start + i * (90 * DAY_US // count)
            no = number(1, "id", str(i))
            visitor = rnd.getrandbits(62)
            rows.append((1, 1, at, no, at, visitor, rnd.randrange(CAMPAIGNS) + 1, rnd.randrange(1000) + 1))
            stamp = f"{at // 1000:012x}"
            keys.append((dedupe_key(1, f"{stamp[:8]}-{stamp[8:]}-7000-8000-{i:012x}"), no))
        with db.begin(engine) as connection:
            bulk.append(connection, tables.events, columns, rows)
            bulk.append(connection, tables.seen, ("key", "digest"), keys)
    for index in tables.events.indexes:
        with db.begin(engine) as connection:
            index.create(connection)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    engine.dispose()


def stored(engine: Engine) -> int:
    """Valid impressions in the rollup the metrics API reads, read beside the service."""
    with db.reading(engine) as connection:
        return int(
            connection.scalar(select(func.coalesce(func.sum(tables.traffic_days.c.impressions), 0))) or 0
        )


def waiting(engine: Engine) -> int:
    """What the leader has still to derive."""
    with db.reading(engine) as connection:
        return int(connection.scalar(select(func.count()).select_from(tables.changes)) or 0)


def sustained(
    port: int, engine: Engine, key: str, arguments: argparse.Namespace, *, pairs: bool = False
) -> list[tuple[str, str]]:
    """Load for a while, then wait until all that was acknowledged is in the numbers and derived."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        text = SCRIPT.replace("KEY", key).replace("CAMPAIGNS", str(CAMPAIGNS)).replace("ADS", str(ADS))
        text = text.replace("PAIR", '"&vid=" .. id' if pairs else '""')
        script.write(text)
        script.flush()
        before = stored(engine)
        begun = time.monotonic()
        command = ["wrk", "-t1", f"-c{arguments.connections}", f"-d{arguments.seconds}s", "--latency"]
        told = subprocess.run(
            [*command, "-s", script.name, f"http://127.0.0.1:{port}"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    loaded = time.monotonic() - begun
    at_end = stored(engine) - before
    sent = int(next(line for line in told.splitlines() if "requests in" in line).split()[0])
    previous, still, deadline = -1, 0, time.monotonic() + 120
    while time.monotonic() < deadline:
        found = stored(engine) - before
        if found >= sent and not waiting(engine):
            break
        if found == previous and not waiting(engine):
            still += 1
            if still > 10:
                break
        else:
            still = 0
        previous = found
        time.sleep(0.2)
    done = time.monotonic() - begun
    p99 = next(line for line in told.splitlines() if "99%" in line).split()[1]
    what = ", new pairs of ids" if pairs else ""
    return [
        (f"acknowledged at the door{what}", f"{sent / loaded:,.0f}/s (p99 {p99})"),
        (f"in the numbers when the load ended{what}", f"{at_end / loaded:,.0f}/s"),
        (f"door to metrics, all of them in{what}", f"{found / done:,.0f}/s ({max(0, sent - found)} missing)"),
    ]


def freshness(port: int, keys: dict[str, str], *, rate: int, markers: int) -> list[tuple[str, str]]:
    """At `rate` events/s: the time from a marker's acknowledgement until a query shows it, in ms."""
    stop = threading.Event()
    paced = threading.Thread(target=_pace, args=(port, keys["public"], rate, stop))
    paced.start()
    took = []
    for i in range(markers):
        slug = f"marker-{i}"
        door, reports = (http.client.HTTPConnection("127.0.0.1", port) for _ in range(2))
        _get(door, f"/p.gif?k={keys['public']}&e=impression&c={slug}")
        acknowledged = time.monotonic()
        asked = json.dumps(
            {"metrics": ["impressions_gross"], "date_range": "today", "filters": ["is", "campaign", [slug]]}
        )
        while time.monotonic() < acknowledged + 10:
            reports.request(
                "POST", "/v1/metrics/query", asked,
                {"Authorization": f"Bearer {keys['read']}", "Content-Type": "application/json"},
            )  # fmt: skip
            answer = json.loads(reports.getresponse().read())
            if answer.get("totals", {}).get("impressions_gross"):
                break
            time.sleep(0.005)
        took.append((time.monotonic() - acknowledged) * 1000)
        door.close()
        reports.close()
    stop.set()
    paced.join()
    cuts = statistics.quantiles(took, n=100)
    shown = f"p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms, worst {max(took):.0f} ms"
    return [(f"freshness at {rate:,}/s, {markers} markers", shown)]


def _pace(port: int, key: str, rate: int, stop: threading.Event) -> None:
    """`rate` pixels a second, pipelined ten at a time over one connection."""
    sock = socket.create_connection(("127.0.0.1", port))
    one = f"GET /p.gif?k={key}&e=impression&c=c1 HTTP/1.1\r\nHost: x\r\nUser-Agent: Mozilla/5.0\r\n\r\n"
    ten = one.encode() * 10
    due = time.monotonic()
    threading.Thread(target=_swallow, args=(sock,), daemon=True).start()
    while not stop.is_set():
        sock.sendall(ten)
        due += 10 / rate
        time.sleep(max(0.0, due - time.monotonic()))
    time.sleep(0.5)  # what is under way is answered before the connection goes
    sock.close()


def _swallow(sock: socket.socket) -> None:
    try:
        while sock.recv(65536):
            pass
    except OSError:
        return


def _get(connection: http.client.HTTPConnection, path: str) -> None:
    connection.request("GET", path, headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140"})
    answer = connection.getresponse()
    answer.read()
    assert answer.headers["x-clicktrail"] == "accepted", answer.headers["x-clicktrail"]


def weight(label: str) -> list[tuple[str, str]]:
    """Resident memory of the web process and the worker now."""
    found = []
    for child in psutil.Process().children(recursive=True):
        line = " ".join(child.cmdline())
        for role in ("web", "worker"):
            if f"app.child {role}" in line:
                found.append((f"memory of {role}, {label}", f"{child.memory_info().rss / 2**20:.0f} MiB"))
    return sorted(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--stored", type=int, default=10_000_000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--markers", type=int, default=200)
    add_engines(parser)
    arguments = parser.parse_args()
    table = Table(f"with {arguments.stored:,} events stored before, one event a request:")
    for name in arguments.engines:
        with store(name) as on:
            keys = prepare(on.settings, clock=lambda: time.time_ns() // 1000).keys
            fill(on, arguments.stored)
            engine = on.connect()
            begun = time.monotonic()
            with clicktrail(on) as port:
                table.put(name, [("start-up, until it accepts", f"{time.monotonic() - begun:.2f} s")])
                table.put(name, weight("at rest"))
                table.put(name, sustained(port, engine, keys["public"], arguments))
                table.put(name, weight("after the load"))
                table.put(name, freshness(port, keys, rate=1000, markers=arguments.markers))
                table.put(name, sustained(port, engine, keys["public"], arguments, pairs=True))
                table.put(name, weight("at the end"))
            engine.dispose()
    table.show()


if __name__ == "__main__":
    main()
