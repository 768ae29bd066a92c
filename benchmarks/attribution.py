"""Attribution of 250,000 conversions over 2 million touches: all models, credits and rollups written.

    python -m benchmarks.attribution [--conversions N] [--touches N] [--limit N] [--engines ...]

Builds a database of 60 days (200 campaigns of 5 ads, 60 countries, half impressions, 2 % refunds) with
everything due, settles it in a process of its own, and prints where the time went. Each transaction
settles `limit` conversions, as the leader's do, with every commit on disk.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

import numpy as np
from sqlalchemy import Table, func, select

from app import bulk, db, tables
from app.attribution import bookings, gather, leader, store, tasks
from app.events import months
from app.model import DAY, KINDS, STATES
from benchmarks import stores

START = 1_790_000_000_000_000
DAYS, CAMPAIGNS, ADS, COUNTRIES = 60, 200, 5, 60
GOAL_SECONDS, GOAL_MEMORY = 8.0, 400

#: What a transaction spends its time on, in its order: (module, function) -> what it is called.
STAGES: dict[tuple[ModuleType, str], str] = {
    (store, "due"): "read what is due",
    (store, "conversions"): "read conversions",
    (gather, "people"): "resolve people",
    (gather, "valid"): "read journeys",
    (tasks, "credits"): "rules, models, credits",
    (bookings, "lines"): "booking lines",
    (tasks, "difference"): "allocation, cells",
    (store, "replace_lines"): "write bookings",
    (store, "add_credits"): "write credits",
    (store, "add_cells"): "write rollups",
    (store, "settled"): "clear due",
}

Columns = dict[str, Any]


# --- The data ---------------------------------------------------------------------------------------


def build(on: stores.Store, conversions: int, touches: int) -> None:
    """A database with everything due and nothing settled."""
    engine = on.connect()
    rng = np.random.default_rng(7)
    people = conversions * 4 // 5
    person = np.r_[np.arange(people), rng.integers(0, people, conversions - people)]
    at = START + (rng.random(conversions) * DAYS * DAY).astype(np.int64)
    visitor = rng.integers(1, 2**62, people)
    user = rng.integers(1, 2**62, people)
    with db.begin(engine) as connection:
        months.make_months_between(connection, START - 30 * DAY, START + (DAYS + 10) * DAY)
        connection.execute(
            tables.workspaces.insert().values(id=1, slug="bench", secret=b"", timezone="Asia/Kolkata")
        )
        _put(connection, tables.campaigns, _campaigns())
        _put(connection, tables.people, _people(visitor, user))
    for part in np.array_split(np.sort(rng.integers(0, conversions, touches)), max(1, touches // 200_000)):
        with db.begin(engine) as connection:
            _put(connection, tables.events, _touches(rng, part, person, at, visitor))
    with db.begin(engine) as connection:
        _results(connection, rng, person, at, visitor, user)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    engine.dispose()


def _put(connection: Any, table: Table, columns: Columns) -> None:
    """Insert columns; one that is a single value is the same in every row."""
    size = next(len(values) for values in columns.values() if isinstance(values, (np.ndarray, list)))
    names = [column.name for column in table.columns if column.name in columns]
    lists = [_list(columns[name], size) for name in names]
    bulk.append(connection, table, names, list(zip(*lists, strict=True)))


def _list(values: Any, size: int) -> list[Any]:
    if isinstance(values, np.ndarray):
        return list(values.tolist())
    return values if isinstance(values, list) else [values] * size


def _campaigns() -> Columns:
    ids = np.arange(1, CAMPAIGNS + 1)
    return {"id": ids, "workspace": 1, "slug": [f"c{i}" for i in ids.tolist()], "channel_id": 1 + ids % 8}


def _people(visitor: np.ndarray, user: np.ndarray) -> Columns:
    """Every second person is known by a user id as well."""
    known = np.arange(0, len(visitor), 2)
    node = np.r_[visitor[known], user[known]]
    person = np.minimum(np.r_[visitor[known]], user[known])
    order = np.argsort(node)
    return {
        "workspace": 1,
        "node": node[order],
        "since": -(2**62),
        "until": 2**62,
        "person": np.r_[person, person][order],
    }


def _touches(
    rng: np.random.Generator, of: np.ndarray, person: np.ndarray, at: np.ndarray, visitor: np.ndarray
) -> Columns:
    """Touches in the weeks before conversions: most lie days back, popular campaigns get most of them,
    and a person keeps country, device and (mostly) campaign."""
    size, who = len(of), person[of]
    ranks = np.arange(1, CAMPAIGNS + 1)
    popular = rng.choice(ranks, size, p=(1 / (ranks + 5)) / (1 / (ranks + 5)).sum())
    own = 1 + (who * 2_654_435_761 % 2**32) * (who * 40_503 % 65_536) % 2**31 % CAMPAIGNS
    campaign = np.where(rng.random(size) < 0.5, own, popular)
    kinds = np.array([KINDS["impression"], KINDS["click"], KINDS["visit"]])
    return {
        "workspace": 1,
        "kind": rng.choice(kinds, size, p=(0.5, 0.3, 0.2)),
        "occurred_at": at[of] - (rng.exponential(4, size) * DAY).astype(np.int64),
        "no": rng.integers(1, 2**62, size),
        "visitor": visitor[who],
        "channel_id": 1 + campaign % 8,
        "campaign_id": campaign,
        "ad_id": campaign * ADS + rng.integers(0, ADS, size),
        "country": 33 + np.minimum(who * 7 % COUNTRIES, who * 13 % COUNTRIES),
        "device": 1 + who % 3,
    }


def _results(
    connection: Any,
    rng: np.random.Generator,
    person: np.ndarray,
    at: np.ndarray,
    visitor: np.ndarray,
    user: np.ndarray,
) -> None:
    size = len(at)
    id_ = rng.integers(1, 2**62, size)
    value = rng.integers(500, 30_000, size) * 10_000
    refunded = rng.random(size) < 0.02
    names = np.where(person % 2 == 0, user[person], visitor[person])
    order = np.argsort(id_)
    _put(
        connection,
        tables.conversions,
        {
            "workspace": 1, "id": id_[order], "kind": KINDS["sale"], "goal_id": 1, "occurred_at": at[order],
            "no": id_[order], "value": value[order], "currency": "EUR", "reported": value[order],
            "fx": "1@0", "state": STATES["approved"], "initial_state": STATES["approved"], "verified": 1,
            "adjusted": refunded[order].astype(np.int64), "refunded": (value * refunded)[order] // 2,
            "nodes": [f"[{node}]" for node in names[order].tolist()], "clicks": "[]", "labels": "[]",
            "issues": "[]",
        },
    )  # fmt: skip
    which = np.flatnonzero(refunded)
    _put(
        connection,
        tables.adjustments,
        {
            "workspace": 1, "conversion": id_[which], "no": id_[which] ^ 1, "kind": KINDS["refund"],
            "occurred_at": at[which] + 5 * DAY, "value": value[which] // 2, "currency": "EUR",
        },
    )  # fmt: skip
    _put(connection, tables.due, {"workspace": 1, "conversion": id_[order], "occurred_at": at[order]})


# --- The run ----------------------------------------------------------------------------------------


def run(url: str, limit: int) -> dict[str, Any]:
    """Settle everything, in a process that does nothing else."""
    engine = db.connect(url)
    spent: dict[str, float] = defaultdict(float)
    for (module, name), label in STAGES.items():
        setattr(module, name, _timed(getattr(module, name), label, spent))
    transactions, settled = [], 0
    began, processor = time.perf_counter(), time.process_time()
    while True:
        start = time.perf_counter()
        with db.begin(engine) as connection:
            count = tasks.settle(connection, limit=limit, now=0)
            end = time.perf_counter()
        spent["commit (to disk)"] += time.perf_counter() - end
        if not count:
            break
        settled += count
        transactions.append(time.perf_counter() - start)
    seconds = time.perf_counter() - began
    with db.reading(engine) as connection:
        rows = {
            table.name: connection.scalar(select(func.count()).select_from(table))
            for table in (tables.credits, tables.bookings, tables.credit_days, tables.credit_places)
        }
    spent["everything else"] = seconds - sum(spent.values())
    return {
        "seconds": seconds,
        "processor": time.process_time() - processor,
        "settled": settled,
        "transactions": sorted(transactions),
        "stages": spent,
        "rows": rows,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _timed(function: Callable[..., Any], label: str, spent: dict[str, float]) -> Callable[..., Any]:
    @wraps(function)
    def timed(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            spent[label] += time.perf_counter() - start

    return timed


def rows(found: dict[str, Any]) -> dict[str, str]:
    """What `run` found, a line each."""
    own = found["transactions"]
    return {
        **{
            name: f"{seconds:.2f} s {seconds / found['seconds']:4.0%}"
            for name, seconds in found["stages"].items()
        },
        **{f"rows in {name}": f"{count:,}" for name, count in found["rows"].items()},
        "transactions": f"{len(own)}, median {own[len(own) // 2]:.3f} s, longest {own[-1]:.3f} s",
        "processor time of the process": f"{found['processor']:.2f} s",
        f"peak memory (goal {GOAL_MEMORY} MB)": f"{found['memory']:.0f} MB",
        f"total (goal {GOAL_SECONDS:.0f} s)": f"{found['seconds']:.2f} s",
    }


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--conversions", type=int, default=250_000)
    options.add_argument("--touches", type=int, default=2_000_000)
    options.add_argument("--limit", type=int, default=leader.SETTLED)
    options.add_argument("--run", metavar="URL", help="only settle what is in that database; print JSON")
    stores.add_engines(options)
    given = options.parse_args()
    if given.run:
        print(json.dumps(run(given.run, given.limit)))
        return
    title = (
        f"{given.conversions:,} conversions over {given.touches:,} touches, {given.limit:,} a transaction:"
    )
    table = stores.Table(title)
    for engine in given.engines:
        with stores.store(engine) as on:
            build(on, given.conversions, given.touches)
            command = [sys.executable, "-m", "benchmarks.attribution", "--limit", str(given.limit)]
            done = subprocess.run([*command, "--run", on.url], stdout=subprocess.PIPE, text=True, check=True)
            table.put(engine, rows(json.loads(done.stdout)))
    table.show()


if __name__ == "__main__":
    main()
