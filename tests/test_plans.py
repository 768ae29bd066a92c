"""The queries that run all day find their rows by the index that is there for them, on either engine.

The statements are those that the code sends: they are caught as it runs, and explained. The tables hold some
thousands of rows; what a settled past leaves empty is filled. PostgreSQL is told what it holds (autovacuum
does that in service), and to leave sequential scans: a table of a few pages it reads whole, whatever indexes
there are, and the test is which of them serves. SQLite is told nothing, as in service.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Connection, event, select

from app import db, migrate, tables
from app.attribution import leader
from app.attribution import store as attribution
from app.collect.receipts import Outcomes
from app.conversions import store as conversions
from app.events import months, relational, retention
from app.identity import graph
from app.identity import store as identity
from app.inbox.records import Position
from app.metrics import query, run
from app.model import DAY, KINDS
from app.pipeline import store as pipeline
from app.pipeline.facts import Facts
from app.pipeline.landings import RedirectClick
from app.pipeline.names import Names
from tests import engines, history
from tests.house import NOON, House

EVENTS = 4_000
FILLED = 3_000  # rows of what the past leaves empty
SOME = 20  # of what is asked for


@dataclass(frozen=True)
class Past:
    """A house with a past, and names of what is in it."""

    house: House
    visitors: list[int]
    sold: list[int]
    keys: list[bytes]


Ask = Callable[[Connection, Past], object]


def report(connection: Connection, metric: str) -> object:
    house = run.house(connection, 1)
    context = run.context(connection, house, now=NOON, everything=False)
    asked = {"metrics": [metric], "dimensions": ["campaign"], "date_range": ["2026-09-01", "2026-09-02"]}
    return run.answer(connection, house, query.parse(asked, context))


def journeys(connection: Connection, past: Past) -> object:
    since = {KINDS["click"]: NOON - 30 * DAY, KINDS["impression"]: NOON - DAY}
    return relational.journeys(connection, past.visitors, since=since, until=NOON, flags=0)


def receipt(connection: Connection, past: Past) -> object:
    outcomes = Outcomes(past.house.engine)
    try:
        return outcomes._read(Position(b"7" * 16, 5, 3))
    finally:
        outcomes._threads.shutdown()


def landings(connection: Connection, past: Past) -> None:
    """Those that redirect clicks may explain; nothing else is looked at when there are none."""
    redirects = [RedirectClick(visitor, 1, NOON) for visitor in past.visitors]
    pipeline.settle_landings(connection, Names(), Facts(), 1, {}, redirects)


def saved(connection: Connection, past: Past) -> None:
    conversions._save_nodes(connection, 1, conversions.load(connection, 1, past.sold).values())


#: (what is asked, how, from what, the index on SQLite, the index on PostgreSQL). A primary key by which a
#: SQLite table is laid out has no name.
PRIMARY = "PRIMARY KEY"
HOT: tuple[tuple[str, Ask, str, str, str], ...] = (
    ("were these ids told before?", lambda c, p: pipeline.seen(c, p.keys), "seen", PRIMARY, "seen_pkey"),
    ("what did these visitors see?", journeys, "events", "events_journey", "_visitor_occurred_at_"),
    ("what is due?", lambda c, p: attribution.due(c, limit=100, now=NOON), "due WHERE due.workspace =",
     "due_time", "due_time"),
    ("what was noted?", lambda c, p: leader._take(c), "changes", "INTEGER PRIMARY KEY", "changes_pkey"),
    ("whose nodes are these?", lambda c, p: identity._memberships(c, 1, p.visitors, by="node"), "people",
     "PRIMARY KEY (workspace=? AND node=?)", "people_pkey"),
    ("which nodes are theirs?", lambda c, p: identity._memberships(c, 1, p.visitors, by="person"), "people",
     "people_person", "people_person"),
    ("what is linked to these?", lambda c, p: list(graph._edges(c, 1, p.visitors)), "edges",
     "PRIMARY KEY (workspace=? AND a=?)|edges_back", "edges_pkey|edges_back"),
    ("which of these are kept apart?", lambda c, p: identity.kept_apart(c, 1, p.visitors), "unjoined",
     PRIMARY, "unjoined_pkey"),
    ("which landings were theirs?", landings, "landings",
     "landings_visitor", "landings_visitor"),
    ("whose conversions are these no more?", saved, "conversion_nodes", "conversion_nodes_conversion",
     "conversion_nodes_conversion"),
    ("what did they buy?", lambda c, p: conversions.of_nodes(c, 1, p.visitors), "conversion_nodes", PRIMARY,
     "conversion_nodes_pkey"),
    ("who reported these?", lambda c, p: conversions.facts(c, 1, p.sold), "sightings", "sightings_conversion",
     "sightings_conversion"),
    ("what befell these?", lambda c, p: conversions.facts(c, 1, p.sold), "adjustments",
     "adjustments_conversion", "adjustments_conversion"),
    ("clicks of two days", lambda c, p: report(c, "clicks"), "traffic_campaign_days", PRIMARY,
     "traffic_campaign_days_pkey"),
    ("revenue of two days", lambda c, p: report(c, "revenue"), "credit_days", PRIMARY, "credit_days_pkey"),
    ("a receipt: how far?", receipt, "cursors", "sqlite_autoindex_cursors_1", "cursors_pkey"),
    ("a receipt: what else?", receipt, "outcomes", PRIMARY, "outcomes_pkey"),
    ("the oldest events", lambda c, p: retention.oldest(c, 1, NOON), "events", "events_time",
     "_workspace_occurred_at_"),
)  # fmt: skip


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    folder = tmp_path_factory.mktemp("plans")
    url = engines.url(folder)
    migrate.migrate(url)
    engine = db.connect(url, pool=1)
    with db.begin(engine) as connection:
        months.make_months_between(connection, NOON - history.DAYS * DAY, NOON)
    engine.dispose()
    house = history.fill(url, EVENTS)
    with db.begin(house.engine) as connection:
        _fill(connection)
        some = select(tables.events.c.visitor).order_by(tables.events.c.id.desc()).limit(SOME)
        visitors = sorted(set(connection.scalars(some)))
        sold = list(connection.scalars(select(tables.conversions.c.id).limit(SOME)))
        keys = [bytes(key) for key in connection.scalars(select(tables.seen.c.key).limit(SOME))]
    if engines.POSTGRESQL:
        with house.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
    yield Past(house, visitors, sold, keys)
    house.engine.dispose()
    engines.drop(folder)


def _fill(connection: Connection) -> None:
    """What waits in a busy service, and what receipts are answered from."""
    many = range(FILLED)
    rows: dict[Any, list[dict[str, object]]] = {
        tables.due: [{"workspace": 1, "conversion": i, "occurred_at": NOON - i} for i in many],
        tables.changes: [{"workspace": 1, "kind": "touches", "body": bytes(16)} for i in many],
        tables.cursors: [{"file": i.to_bytes(16), "sequence": i, "updated_at": NOON} for i in many],
        tables.outcomes: [
            {"file": (i // 9).to_bytes(16), "sequence": i, "outcome": "duplicate", "at": NOON} for i in many
        ],
    }
    for table, values in rows.items():
        connection.execute(table.insert(), values)


def sent(past: Past, ask: Ask) -> list[tuple[str, Any]]:
    """The statements that `ask` sends, with their parameters; what they did is taken back."""
    found: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        found.append((statement, parameters))

    event.listen(past.house.engine, "before_cursor_execute", note)
    try:
        with past.house.engine.connect() as connection:
            ask(connection, past)
            connection.rollback()
    finally:
        event.remove(past.house.engine, "before_cursor_execute", note)
    return found


def plan(connection: Connection, statement: str, parameters: Any) -> list[str]:
    """Its lines."""
    if engines.POSTGRESQL:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        return list(connection.exec_driver_sql(f"EXPLAIN (COSTS OFF) {statement}", parameters).scalars())
    return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]


def statements(past: Past, ask: Ask, source: str) -> list[tuple[str, Any]]:
    """What `ask` sends about `source`."""
    found = [(s, p) for s, p in sent(past, ask) if f"FROM {source}" in " ".join(s.split())]
    assert found
    return found


def reading(lines: list[str], table: str) -> list[str]:
    """The lines of a plan that are about reading this table, or a part of it, whole or by an index."""
    if engines.POSTGRESQL:
        scans = [line for line in lines if "Scan" in line and "Bitmap Heap" not in line]
        return [line for line in scans if f" on {table}" in line]
    return [line for line in lines if line.split()[:2] in (["SCAN", table], ["SEARCH", table])]


def by_index(line: str, index: str, statement: str, lines: list[str]) -> bool:
    if line.startswith("SCAN"):  # SQLite walks the first few in the order of the table
        return "LIMIT" in statement and not any("TEMP B-TREE" in line for line in lines)
    return any(one in line for one in index.split("|"))


@pytest.mark.parametrize(
    "ask, source, sqlite, postgresql", [row[1:] for row in HOT], ids=[row[0] for row in HOT]
)
def test_what_is_asked_all_day_is_found_by_its_index(
    past: Past, ask: Ask, source: str, sqlite: str, postgresql: str
) -> None:
    index = postgresql if engines.POSTGRESQL else sqlite
    for statement, parameters in statements(past, ask, source):
        with past.house.engine.connect() as connection:
            lines = plan(connection, statement, parameters)
        touched = reading(lines, source.split()[0])
        assert touched, lines
        assert all(by_index(line, index, statement, lines) for line in touched), "\n".join(lines)


def test_without_its_index_a_query_is_found_out(past: Past) -> None:
    """The negative control: the same question when the index is gone."""
    _, ask, source, *_ = next(row for row in HOT if row[0] == "what is due?")
    ((statement, parameters),) = statements(past, ask, source)
    with past.house.engine.connect() as connection:
        connection.exec_driver_sql("DROP INDEX due_time")
        lines = plan(connection, statement, parameters)
        connection.rollback()
    assert not all(by_index(line, "due_time", statement, lines) for line in reading(lines, "due"))
