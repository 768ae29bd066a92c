"""S2: no parameter of any route reaches the text of a statement, on either engine.

What a request says travels as a bound value. Told not from answers alone: every statement that goes to the
database while hostile text is sent is looked at, and none may hold it.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from sqlalchemy import event, text

from app import db, deps
from app.main import Application
from tests.security import inventory
from tests.security.tenants import Request, Town

LONG = os.environ.get("CLICKTRAIL_FAULTS") == "long"
MARK = "zqj"

#: Quotes, comments, stacked statements, unions, errors, waits and functions of both engines, and of those
#: that people paste. Each holds the mark by which it is found again.
CORPUS = [line.replace("@", MARK) for line in r"""
@' | @" | @` | @'' | @';-- | @'-- | @'# | @'/* | @') | @')) | @";-- | @\' | @\\' | @%27 | @%2527 | @ʼ | @＇
@' OR '1'='1 | @' OR '1'='1'-- | @' AND '1'='2 | @" OR "1"="1 | @ OR 1=1 | @) OR (1=1 | @' OR 1=1 LIMIT 1 --
@' UNION SELECT 1-- | @' UNION ALL SELECT NULL,NULL,NULL-- | @' UNION SELECT sqlite_version()--
@' UNION SELECT version()-- | @' UNION SELECT digest FROM keys-- | @' UNION SELECT secret FROM workspaces--
@'; DROP TABLE events;-- | @'; DELETE FROM keys;-- | @'; UPDATE keys SET scope='admin';-- | @;SELECT 1
@'; ATTACH DATABASE '/tmp/x' AS x;-- | @' || (SELECT 1) || ' | @'||pg_sleep(5)||' | @'; SELECT pg_sleep(5)--
@' AND 1=CAST((SELECT version()) AS int)-- | @' AND randomblob(1000000000)-- | @' AND load_extension('x')--
@' AND SLEEP(5)-- | @'; WAITFOR DELAY '0:0:5'-- | @' AND EXTRACTVALUE(1,1)--
@'; COPY keys TO PROGRAM 'id';--
@' AND pg_read_file('/etc/passwd')-- | @' AND (SELECT lo_import('/etc/passwd'))-- | @${1} | @{{7*7}} | @%(x)s
@%s | @? | @:name | @$1 | @$$x$$
@E'\x27' | @U&'\0027' | @ CASE WHEN 1=1 THEN 1 END | @,(SELECT 1) | @ ASC,(SELECT 1)
@*/ OR 1=1 /* | @/**/OR/**/1=1 | @' GROUP BY 1-- | @' HAVING 1=1-- | @' ORDER BY 99--
@' LIKE '% | @_% | @[x] | @::int
""".replace("\n", " | ").split(" | ") if line]  # fmt: skip

#: What a database says of itself.
TELLTALE = re.compile(
    r"sqlite|psycopg|sqlalchemy|syntax error|no such (table|column)|unrecognized token|unterminated|"
    r"operator does not exist|invalid input syntax|SQLSTATE|relation \"|traceback|OperationalError|"
    r"SELECT .* FROM",
    re.IGNORECASE,
)

#: Bodies with hostile text in one place after another: (method, path, body); HERE is the place.
HERE = "(here)"
BODIES: list[tuple[str, str, Any]] = [
    *(("POST", "/v1/metrics/query", {"metrics": ["clicks"], field: HERE}) for field in (
        "dimensions", "date_range", "model", "by", "status", "timezone", "currency", "order_by", "limit",
        "offset", "format", "numbers", "filters")),
    ("POST", "/v1/metrics/query", {"metrics": [HERE]}),
    ("POST", "/v1/metrics/query", {"metrics": ["clicks"], "dimensions": [f"segment.{HERE}"]}),
    ("POST", "/v1/metrics/query", {"metrics": ["clicks"], "dimensions": ["campaign"],
                                   "filters": ["is", "campaign", [HERE]]}),
    ("POST", "/v1/metrics/query", {"metrics": ["sales"], "filters": ["contains", "source", HERE]}),
    ("POST", "/v1/metrics/query", {"metrics": ["sales"], "filters": ["in", f"segment.{HERE}", [HERE]]}),
    ("POST", "/v1/metrics/query", {"metrics": ["clicks"], "date_range": [HERE, HERE]}),
    ("POST", "/v1/metrics/query", {"metrics": ["clicks"], "filters": [HERE, "campaign", "x"]}),
    ("POST", "/v1/keys", {"scope": "read", "name": HERE}),
    ("POST", "/v1/rejected/replay", {"code": HERE}),
    ("POST", "/v1/identifiers/blocks", {"kind": "user", "value": HERE, "note": HERE}),
    ("PATCH", "/v1/workspace", {"name": HERE}),
    ("PATCH", "/v1/workspace", {"timezone": HERE}),
    ("POST", "/v1/campaigns", {"slug": HERE}),
    ("POST", "/v1/campaigns", {"slug": "x", "channel": HERE}),
    ("PATCH", "/v1/campaigns/of-birch", {"name": HERE, "match": [{"source": HERE}]}),
    ("POST", "/v1/campaigns/of-birch/ads", {"slug": "x", "segment": {HERE: HERE}}),
    ("POST", "/v1/campaigns/of-birch/pricing", {"model": "cpc", "rate": 1, "currency": "EUR", "ad": HERE}),
    ("POST", "/v1/spend", {"rows": [{"date": "2026-11-01", "source": HERE, "account": HERE, "campaign": HERE,
                                     "ad": HERE, "amount": 1, "currency": "EUR"}]}),
    ("POST", "/v1/fx-rates", {"rows": [{"date": "2026-11-01", "currency": HERE, "rate": 1}]}),
]  # fmt: skip


def places(town: Town) -> Iterator[Callable[[str], Request]]:
    """Every parameter of every documented route, every part of a path, and the bodies above."""
    first = town.tenants[0]
    auth = inventory.HEADERS["bearer"](first.keys["admin"])
    for path, operations in town.app.framework.openapi()["paths"].items():
        if not path.startswith("/v1/") or "get" not in operations:
            continue
        for parameter in operations["get"].get("parameters", []) + _undocumented(path):
            yield lambda said, path=path, p=parameter: Request("GET", _target(path, p, said, town), [auth])
    for method, path, body in BODIES:
        sent = json.dumps(body)
        yield lambda said, m=method, path=path, sent=sent: Request(
            m, path, [auth], sent.replace(HERE, json.dumps(said)[1:-1]).encode()
        )


def _undocumented(path: str) -> list[dict[str, str]]:
    """The fields of a query by link, which stand in its body's schema."""
    names = (
        "from to date_range model by status timezone currency order_by limit offset format numbers compare"
    )
    return [{"name": name, "in": "query"} for name in names.split()] if path == "/v1/metrics" else []


def _target(path: str, parameter: dict[str, str], said: str, town: Town) -> str:
    sent = quote(said, safe="")
    if parameter["in"] == "path":
        return inventory.filled(path.replace(f"{{{parameter['name']}}}", sent), town.tenants[0])
    metrics = "metrics=clicks&" if path == "/v1/metrics" and parameter["name"] != "metrics" else ""
    return f"{inventory.filled(path, town.tenants[0])}?{metrics}{parameter['name']}={sent}"


@contextmanager
def watched(app: Application) -> Iterator[list[str]]:
    """The statements whose text held the mark."""
    found: list[str] = []

    def look(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if MARK in statement:
            found.append(statement)

    service: deps.Service = app.framework.state.service
    for engine in (service.engine, service.reports):
        event.listen(engine, "before_cursor_execute", look)
    yield found
    for engine in (service.engine, service.reports):
        event.remove(engine, "before_cursor_execute", look)


def chosen(place: int) -> list[str]:
    """What one place is sent: all of it at length, else a dozen, so that all places together get all."""
    return CORPUS if LONG else [CORPUS[(place * 5 + n * 6) % len(CORPUS)] for n in range(12)]


def test_no_parameter_reaches_the_text_of_a_statement(town: Town, report: Callable[[str], None]) -> None:
    everywhere = [*places(town)]
    asked = [place(said) for number, place in enumerate(everywhere) for said in chosen(number)]
    assert len(CORPUS) >= 60
    assert len(everywhere) > 80
    with watched(town.app) as found:
        answers = town.ask_all(asked)
    assert found == []
    for request, answer in zip(asked, answers, strict=True):
        assert answer.status < 500, (request.target, request.body, answer.body)
        plain = answer.body.decode().replace(request.body.decode(), "")
        assert MARK in plain or not TELLTALE.search(plain), (request.target, answer.body)
    told = f"{len(CORPUS)} injections, {len(everywhere)} parameters, {len(asked)} requests"
    report(f"S2 on {town.engine.dialect.name}: {told}: none reached a statement")


def test_a_condition_in_a_parameter_is_not_asked(town: Town) -> None:
    """What is true and what is false get the same answer: nobody evaluates either."""
    for place in places(town):
        yes, no = town.ask_all([place(f"{MARK}' OR '1'='1"), place(f"{MARK}' OR '1'='2")])
        assert yes.status == no.status
        assert len(yes.body) == len(no.body)


def test_hostile_text_is_kept_as_it_is(town: Town) -> None:
    key = town.tenants[1].keys["admin"]
    for number, said in enumerate(CORPUS):
        made = town.ask("POST", "/v1/partners", key=key, json_={"slug": f"p{number}", "name": said})
        assert made.status == 201
        assert town.ask("GET", f"/v1/partners/p{number}", key=key).json["name"] == said


def test_a_statement_put_together_from_a_parameter_is_found(fresh_town: Town) -> None:
    """Planted: the mistake of CVE-2026-4317, a time zone in the text of a query."""
    service: deps.Service = fresh_town.app.framework.state.service

    @fresh_town.app.framework.get("/v1/planted")
    def planted(timezone: str = "") -> None:
        with db.reading(service.reports) as connection:
            connection.execute(text(f"SELECT 1 WHERE '{timezone}' = ''"))

    asked = [Request("GET", f"/v1/planted?timezone={quote(said)}") for said in (MARK, f"{MARK}'")]
    with watched(fresh_town.app) as found:
        fine, broken = fresh_town.ask_all(asked)
    assert len(found) == 2
    assert fine.status == 200 and broken.status in (500, 503)
