"""Two reports over a store of many events: how long they take, beside DuckDB scanning the same raw rows.

    python -m benchmarks.reports [--events 1000000 10000000] [--runs 50] [--engines sqlite postgresql]

(1) 90 days by day and campaign, (2) 30 days by channel, country and device; 200 campaigns of 5 ads each,
8 channels, 60 countries, 3 devices, a half-hour zone, deals on half of the campaigns and imported spend on
the others. Each run goes the whole way of the route: parse, plan, select, price, order, write JSON.
"""

import argparse
import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import numpy as np
from sqlalchemy import Engine

from app import bulk, db, tables, workspaces
from app.events import months
from app.metrics import routes
from app.model import DAY, KINDS, MODELS, QUARTER, STATES, country_number
from app.money import MICROS, split
from benchmarks.stores import Store, Table, add_engines, store

ZONE = "Asia/Kolkata"  # +05:30
FIRST, DAYS = 20_700, 90
CAMPAIGNS, ADS, CHANNELS, COUNTRIES = 200, 5, 8, 60
SALES_PER_EVENT = 1 / 400

EVENT_COLUMNS = frozenset(
    "workspace kind occurred_at no received_at channel_id campaign_id ad_id country device".split()
)
CODES = [a + b for a in "ABCDEFGH" for b in "ABCDEFGH"][:COUNTRIES]
DATES = [workspaces.to_date(FIRST + day).isoformat() for day in (0, DAYS - 30, DAYS - 1)]

REPORTS: dict[str, dict[str, object]] = {
    "90 days by day and campaign": {
        "metrics": ["impressions", "clicks", "ctr"],
        "dimensions": ["time:day", "campaign"],
        "date_range": [DATES[0], DATES[2]],
    },
    "the same with results and all costs": {
        "metrics": ["impressions", "clicks", "ctr", "leads", "sales", "revenue", "cost", "cpm", "cpc", "cpa"],
        "dimensions": ["time:day", "campaign"],
        "date_range": [DATES[0], DATES[2]],
    },
    "the same with cost": {
        "metrics": ["impressions", "clicks", "ctr", "cost", "cpc"],
        "dimensions": ["time:day", "campaign"],
        "date_range": [DATES[0], DATES[2]],
    },
    "30 days by channel, country and device": {
        "metrics": ["impressions", "clicks", "ctr", "leads", "sales", "revenue"],
        "dimensions": ["channel", "country", "device"],
        "date_range": [DATES[1], DATES[2]],
    },
}

SCANS = {
    "90 days by day and campaign": "SELECT (occurred_at + 19800000000) // 86400000000 AS day, campaign_id, "
    "count(*) FILTER (kind = 1), count(*) FILTER (kind = 2) FROM events GROUP BY ALL",
    "30 days by channel, country and device": "SELECT channel_id, country, device, "
    "count(*) FILTER (kind = 1), count(*) FILTER (kind = 2) FROM events WHERE occurred_at >= $1 GROUP BY ALL",
}


def events(count: int) -> dict[str, np.ndarray]:
    """Columns of raw events: nine of ten are impressions, the rest clicks."""
    random = np.random.default_rng(count)
    start = FIRST * DAY - 19_800 * 1_000_000
    campaign = random.integers(1, CAMPAIGNS + 1, count)
    return {
        "kind": np.where(random.random(count) < 0.9, KINDS["impression"], KINDS["click"]),
        "occurred_at": np.sort(random.integers(start, start + DAYS * DAY, count)),
        "campaign_id": campaign,
        "ad_id": (campaign - 1) * ADS + random.integers(1, ADS + 1, count),
        "channel_id": (campaign - 1) % CHANNELS + 1,
        "country": np.array([country_number(code) for code in CODES])[random.integers(0, COUNTRIES, count)],
        "device": random.integers(1, 4, count),
    }


def cells(columns: dict[str, np.ndarray], keys: dict[str, np.ndarray]) -> np.ndarray:
    """Rollup rows of a workspace: keys, then TRAFFIC_MEASURES."""
    stacked = np.stack(list(keys.values()))
    packed = np.zeros(stacked.shape[1], dtype=np.int64)
    for values in stacked:
        packed = packed * (int(values.max()) + 1) + values
    _, first, where = np.unique(packed, return_index=True, return_inverse=True)
    shown = np.bincount(where, weights=columns["kind"] == 1).astype(np.int64)
    clicked = np.bincount(where, weights=columns["kind"] == 2).astype(np.int64)
    rows = np.zeros((len(first), 1 + len(keys) + len(tables.TRAFFIC_MEASURES)), dtype=np.int64)
    rows[:, 0] = 1
    rows[:, 1 : 1 + len(keys)] = stacked[:, first].T
    measures = 1 + len(keys) + np.array([tables.TRAFFIC_MEASURES.index(n) for n in ("impressions", "clicks")])
    rows[:, measures[0]], rows[:, measures[1]] = shown, clicked
    rows[:, 1 + len(keys) + tables.TRAFFIC_MEASURES.index("clicks_billable")] = clicked
    return rows


def fill(engine: Engine, columns: dict[str, np.ndarray]) -> None:
    """The store: configuration, raw rows, and the rollups that the pipeline would have kept."""
    day = (columns["occurred_at"] + 19_800 * 1_000_000) // DAY
    of = {name: columns[f"{name}_id"] for name in ("channel", "campaign", "ad")}
    place = {name: columns[name] for name in ("country", "device")}
    none = np.zeros(len(day), dtype=np.int64)
    rollups = {
        "traffic_days": {"day": day, **of, "partner": none},
        "traffic_campaign_days": {"day": day, "channel": of["channel"], "campaign": of["campaign"]},
        "traffic_places": {"day": day, "channel": of["channel"], **place},
        "traffic_quarters": {"quarter": columns["occurred_at"] // QUARTER, "campaign": of["campaign"]},
    }  # fmt: skip
    with db.begin(engine) as connection:
        connection.exec_driver_sql("DROP INDEX events_journey")  # no report reads it
        months.make_months_between(connection, FIRST * DAY, (FIRST + DAYS) * DAY)
        workspaces.add_workspace(connection, "bench", now=0, timezone=ZONE)
        configure(connection)
        for name, keys in rollups.items():
            bulk.add(
                connection, tables.metadata.tables[name], list(map(tuple, cells(columns, keys).tolist()))
            )
        results(connection, int(len(day) * SALES_PER_EVENT))
    names = [column.name for column in tables.events.columns if column.name in EVENT_COLUMNS]
    for start in range(0, len(day), 500_000):
        part = {name: values[start : start + 500_000].tolist() for name, values in columns.items()}
        size = len(part["kind"])
        numbers = range(start, start + size)
        with db.begin(engine) as connection:
            part |= {"workspace": [1] * size, "no": list(numbers), "received_at": part["occurred_at"]}
            rows = list(zip(*(part[name] for name in names), strict=True))
            bulk.append(connection, tables.events, names, rows)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


def configure(connection: Any) -> None:
    def put(table: str, rows: list[dict[str, object]]) -> None:
        connection.execute(tables.metadata.tables[table].insert(), rows)

    put("channels", [{"workspace": 1, "slug": f"channel-{n}"} for n in range(1, CHANNELS + 1)])
    campaigns = range(1, CAMPAIGNS + 1)
    put("campaigns", [
        {"workspace": 1, "slug": f"campaign-{n:03}", "channel_id": (n - 1) % CHANNELS + 1} for n in campaigns
    ])  # fmt: skip
    put("ads", [
        {"workspace": 1, "slug": f"ad-{n}", "campaign_id": n // ADS + 1} for n in range(CAMPAIGNS * ADS)
    ])  # fmt: skip
    put(
        "goals",
        [
            {"workspace": 1, "slug": s, "kind": k, "primary": 1}
            for s, k in (("signup", "lead"), ("order", "sale"))
        ],
    )
    put("deals", [
        {"workspace": 1, "side": "cost", "currency": "EUR", "campaign_id": n, "valid_from": 0,
         "model": ("cpc", "cpm")[n % 2], "rate": (250_000, 2_000_000)[n % 2]}
        for n in campaigns[: CAMPAIGNS // 2]
    ])  # fmt: skip
    put("spend", [
        {"workspace": 1, "day": day, "source": "google", "account": "1", "campaign_id": n, "ad_id": 0,
         "amount": n * 123_456, "currency": "EUR", "timezone": ZONE}
        for day in range(FIRST, FIRST + DAYS) for n in campaigns[CAMPAIGNS // 2 :]
    ])  # fmt: skip


def results(connection: Any, count: int) -> None:
    """Credit cells of as many leads and sales, of the models that the reports read."""
    random = np.random.default_rng(7)
    for name in ("credit_days", "credit_places"):
        places = {"credit_days": (CAMPAIGNS,), "credit_places": (CHANNELS, COUNTRIES, 3)}[name]
        rows = []
        for kind in (KINDS["lead"], KINDS["sale"]):
            day = random.integers(FIRST, FIRST + DAYS, count)
            if name == "credit_days":
                campaign = random.integers(1, places[0] + 1, count)
                channel = (campaign - 1) % CHANNELS + 1
                place = np.stack([channel, campaign, campaign * ADS, np.zeros(count, dtype=np.int64)], axis=1)
            else:
                country = np.array([country_number(c) for c in CODES])[random.integers(0, COUNTRIES, count)]
                sides = random.integers(1, CHANNELS + 1, count), country, random.integers(1, 4, count)
                place = np.stack(sides, axis=1)
            high, low = split(49_900_000)
            money = (high, low, high, low, 0, 0) * 2 if kind == KINDS["sale"] else (0,) * 12
            tail = (
                kind,
                kind - 5,
                STATES["approved"],
                "EUR",
                1,
                MICROS,
                MICROS,
                MICROS,
                MICROS,
                0,
                0,
                0,
                *money,
            )
            for model in ("last_touch", "billing"):
                head = [(1, 1, MODELS[model])] * count
                rows += [
                    (*start, one, *where, *tail)
                    for start, one, where in zip(head, day.tolist(), place.tolist(), strict=True)
                ]
        bulk.add(connection, tables.metadata.tables[name], rows)


def timed(call: Callable[[], object], runs: int) -> tuple[float, float, float]:
    """p50, p95 and the median of processor time, in milliseconds, after three to warm up."""
    for _ in range(3):
        call()
    spent, worked = [], []
    for _ in range(runs):
        start, working = time.perf_counter(), time.process_time()
        call()
        worked.append((time.process_time() - working) * 1000)
        spent.append((time.perf_counter() - start) * 1000)
    return float(np.percentile(spent, 50)), float(np.percentile(spent, 95)), float(np.median(worked))


def ask(engine: Engine, report: dict[str, object]) -> int:
    with db.reading(engine) as connection:
        return len(routes.report(connection, 1, report, now=(FIRST + DAYS + 1) * DAY).body)


def measure(on: Store, count: int, runs: int, table: Table) -> dict[str, float]:
    """Fill a store of `count` events and time every report; p50 by report."""
    engine = on.connect()
    fill(engine, events(count))
    found = {}
    for name, report in REPORTS.items():
        p50, p95, worked = timed(lambda report=report: ask(engine, report), runs)  # type: ignore[misc]
        shown = f"p50 {p50:.1f}, p95 {p95:.1f} (processor {worked:.1f})"
        table.put(on.name, [(f"{count:,}: {name}, ms", shown)])
        found[name] = p50
    engine.dispose()
    return found


def scans(count: int, runs: int) -> None:
    """DuckDB on the same raw rows in memory, counts only: what reports without rollups would cost."""
    columns = events(count)
    duck = duckdb.connect()
    duck.register("columns", columns)
    duck.execute("CREATE TABLE events AS SELECT * FROM columns")
    since = (FIRST + DAYS - 30) * DAY - 19_800 * 1_000_000
    for name, scan in SCANS.items():
        values = [since] if "$1" in scan else []
        p50, p95, _ = timed(lambda s=scan, v=values: duck.execute(s, v).fetchall(), max(5, runs // 5))  # type: ignore[misc]
        print(f"  DuckDB      {count:,}: {name}, counts only, ms: p50 {p50:.1f}, p95 {p95:.1f}", flush=True)
    duck.close()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Times reports over stores of many events.")
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--runs", type=int, default=50)
    add_engines(parser)
    asked = parser.parse_args(arguments)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)  # as the web process does
    table = Table("a report, from parsing its query to its JSON:")
    found: dict[str, list[dict[str, float]]] = {}
    for count in asked.events:
        scans(count, asked.runs)
        for engine in asked.engines:
            with store(engine) as on:
                found.setdefault(engine, []).append(measure(on, count, asked.runs, table))
    if len(asked.events) > 1:
        for engine, counts in found.items():
            for name in REPORTS:
                growth = f"{counts[-1][name] / counts[0][name]:.2f}"
                table.put(engine, [(f"p50 at {asked.events[-1]:,} over {asked.events[0]:,}: {name}", growth)])
    table.show()


if __name__ == "__main__":
    main()
