"""Every route there is, who gets in, and what its answers carry: worked out from the running application.

    python -m tests.security.inventory          writes access.txt and routes.txt anew

The two files are what was agreed to; tests compare them with the application. A route that is in the
application and not in the files fails the build until somebody has written it down, and so looked at it.
"""

import base64
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from app.collect.openapi import OPERATIONS
from app.main import DOORS_BELOW, Application
from tests.security.tenants import MADE_UP, Answer, Request, Tenant, Town, open_town

HERE = Path(__file__).parent
ACCESS, ROUTES = HERE / "access.txt", HERE / "routes.txt"
HOW_TO = "look at what differs; if it is right: .venv/bin/python -m tests.security.inventory"

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
SCOPES = ("public", "server", "read", "admin")

#: A body that each changing call takes, so that nothing but the credential can be the reason of a no.
BODIES: dict[str, dict[str, Any]] = {
    "/v1/keys": {"scope": "read"},
    "/v1/identifiers/blocks": {"kind": "visitor", "value": "other"},
    "/v1/goals": {"slug": "other", "kind": "lead"},
    "/v1/goals/{slug}": {"kind": "lead"},
    "/v1/campaigns/{campaign}/pricing": {"model": "cpl", "rate": 1, "currency": "EUR"},
    "/v1/campaigns/{campaign}/pricing/{id}": {"model": "cpc", "rate": 2, "currency": "EUR"},
    "/v1/spend": {"rows": [{"date": "2026-11-01", "amount": 1, "currency": "EUR"}]},
    "/v1/fx-rates": {"rows": [{"date": "2026-11-01", "currency": "USD", "rate": 1}]},
    "/v1/metrics/query": {"metrics": ["clicks"]},
    "/v1/person/erase": {"visitor_id": "nobody-of-ours"},
    "/v1/events": {"kind": "visit"},
    "/collect": {"events": [{"kind": "visit"}]},
}
QUERIES = {
    "/v1/metrics": "metrics=clicks",
    "/p.gif": "e=visit",
    "/postback": "txid=1",
    "/v1/snippet": "site={public}",
    "/v1/check": "url=http://127.0.0.1/",
}


# --- Routes ---------------------------------------------------------------------------------------------


def paths(app: Application) -> list[str]:
    """The path of every route: the doors', and the framework's, documented or not."""
    found = {path for path in app.at if not re.search(r"\.[0-9a-f]{16}\.js$", path)}  # pinned: tests/serve
    for prefix, _ in DOORS_BELOW:
        below = {path for path in OPERATIONS if path.startswith(prefix)}
        assert below, f"{prefix} is served, and app/collect/openapi.py does not tell of it"
        found |= below
    routes: Sequence[Any] = app.framework.routes
    return sorted(found | {re.sub(r":\w+\}", "}", route.path) for route in routes})


def filled(path: str, owner: Tenant) -> str:
    """The path to what `owner` has."""
    noun = path.split("/")[-2] if path.count("/") > 1 else ""
    kinds = {"keys": "key", "pricing": "deal", "blocks": "block", "erasures": "erasure"}
    id_ = owner.things[kinds.get(noun, "order")]
    told = {"campaign": "slug", "ad": "slug", "slug": "slug", "receipt": "receipt"}
    return re.sub(r"\{(\w+)\}", lambda m: id_ if m[1] == "id" else owner.things[told[m[1]]], path)


def body_of(method: str, path: str, owner: Tenant) -> dict[str, Any] | None:
    if method in ("GET", "HEAD", "DELETE", "OPTIONS", "TRACE"):
        return None
    if path == "/v1/rejected/replay":
        return {"ids": [int(owner.things["rejected"])]}
    if path in ("/v1/person/find", "/v1/person/export"):
        return {"conversion_id": owner.things["conversion"]}
    if method == "PATCH":
        return {}
    return BODIES.get(path, {"slug": "other"} if method == "POST" else {"name": "other"})


# --- Credentials ----------------------------------------------------------------------------------------


def _bearer(key: str) -> tuple[str, str]:
    return "authorization", f"Bearer {key}"


def _basic(key: str) -> tuple[str, str]:
    return "authorization", "Basic " + base64.b64encode(f"anyone:{key}".encode()).decode()


#: Ways to present a key: in a header, or as a parameter of the query or of the body.
HEADERS: dict[str, Callable[[str], tuple[str, str]]] = {
    "bearer": _bearer,
    "basic": _basic,
    "x-api-key:": lambda key: ("x-api-key", key),
    "cookie:": lambda key: ("cookie", f"key={key}; k={key}; session={key}"),
}
PARAMETERS = ("key", "k", "api_key", "access_token")
WAYS = (*HEADERS, *(f"{name}=" for name in PARAMETERS), "body k", "body key")


def request(method: str, path: str, owner: Tenant, way: str = "", key: str = "") -> Request:
    """The call of a route for what `owner` has, with a key presented in one of the ways."""
    headers = [HEADERS[way](key)] if way in HEADERS else []
    body = body_of(method, path, owner)
    if way.startswith("body ") and method != "GET":
        body = {**(body or {}), way.removeprefix("body "): key}
    query = [QUERIES[path].format(**owner.keys)] if path in QUERIES else []
    if way.removesuffix("=") in PARAMETERS:
        query.append(way + key)
    target = "?".join(filter(None, (filled(path, owner), "&".join(query))))
    return Request(method, target, headers, json.dumps(body).encode() if body is not None else b"")


def credentials(town: Town) -> dict[str, str]:
    """The kinds of keys, as the columns of the table name them."""
    first, second, _ = town.tenants
    return {
        "malformed": "%00",
        "unknown": f"ct_adm_{MADE_UP}",
        "revoked": first.keys["revoked"],
        **{scope: first.keys[scope] for scope in SCOPES},
        **{f"other's {scope}": second.keys[scope] for scope in SCOPES},
    }


# --- Who gets in ----------------------------------------------------------------------------------------

PREAMBLE = (
    "# Who gets in where, asking for what the first workspace has: yes, no, or the status of the refusal.",
    "# A way to present a key that is not named here is looked at by nobody. o: keys of another workspace,",
    "# which let into its own lists. Written by tests/security/inventory.py; tests compare.",
    "#",
)


def outcome(answer: Answer) -> str:
    """`yes`, or why not: the pixel answers 200 to everybody, and says in a header what it did."""
    verdict = answer.header("x-clicktrail")
    if answer.status == 200 and verdict.startswith("rejected"):
        return "no"
    # 409: let in, and the second to make the same thing.
    return "yes" if answer.status < 400 or answer.status == 409 else str(answer.status)


def methods(town: Town, path: str) -> list[str]:
    """The methods that a path answers, by asking without a key: nothing changes by that."""
    answers = town.ask_all(request(method, path, town.tenants[0]) for method in METHODS)
    return [method for method, answer in zip(METHODS, answers, strict=True) if answer.status != 405]


def _lines(town: Town, path: str, method: str) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """(ways, cells) of one route: the ways in which a key matters, those with equal cells together."""
    owner = town.tenants[0]
    kinds = credentials(town)
    (plain,) = town.ask_all([request(method, path, owner)])
    none = outcome(plain)
    by_cells: dict[tuple[str, ...], list[str]] = {}
    for way in WAYS:
        tried = [request(method, path, owner, way, kinds[kind]) for kind in ("admin", "unknown", "server")]
        if {outcome(answer) for answer in town.ask_all(tried)} == {none}:
            continue  # nobody looks there
        answers = town.ask_all([request(method, path, owner, way, key) for key in kinds.values()])
        cells = (none, *(outcome(answer) for answer in answers))
        by_cells.setdefault(cells, []).append(way)
    for cells, ways in by_cells.items():
        yield tuple(ways), cells
    if not by_cells:
        yield (), (none,)


def access(town: Town) -> str:
    """The text of access.txt."""
    names = list(credentials(town))
    rows = [("# path", "methods", "key by", "none", *(name.replace("other's ", "o:") for name in names))]
    rows += access_rows(town, paths(town.app))
    return "".join(f"{line}\n" for line in (*PREAMBLE, *_aligned(rows)))


def access_rows(town: Town, among: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for path in among:
        grouped: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
        for method in methods(town, path):
            for line in _lines(town, path, method):
                grouped.setdefault(line, []).append(method)
        for (ways, cells), which in grouped.items():
            yield (path, ",".join(which), ", ".join(ways) or "-", *cells)


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()


# --- What answers carry ---------------------------------------------------------------------------------

#: What many services show, and this one only when it is told to.
NOT_THERE = ("/docs", "/redoc", "/openapi.json", "/nowhere")

_MASKS = (
    (re.compile(r"ct_id=[0-9a-f.]+"), "ct_id=(id)"),
    (re.compile(r"^https?://.*"), "(address)"),
    (re.compile(r'^"[0-9a-f]{16}"$'), "(hash)"),
)


def _masked(value: str) -> str:
    for pattern, instead in _MASKS:
        value = pattern.sub(instead, value)
    return value


def routes(town: Town) -> str:
    """The text of routes.txt: every route under the headers of its answers, without a key and with one."""
    first = town.tenants[0]
    blocks: dict[tuple[str, ...], dict[tuple[str, str], list[str]]] = {}
    for path in paths(town.app):
        way = {"/p.gif": "k=", "/collect": "body k"}.get(path, "bearer")
        for method in methods(town, path):
            asked = [request(method, path, first), request(method, path, first, way, first.keys["admin"])]
            for answer in town.ask_all(asked):
                _put(blocks, answer, path, method)
    for path in NOT_THERE:
        _put(blocks, town.ask("GET", path), path, "GET")
    return "\n".join(_block(carried, rows) for carried, rows in blocks.items())


def _put(blocks: dict[Any, dict[Any, list[str]]], answer: Answer, path: str, method: str) -> None:
    carried = tuple(f"{n}: {_masked(v)}" for n, v in sorted(answer.headers) if n != "content-length")
    statuses = blocks.setdefault(carried, {}).setdefault((path, method), [])
    if str(answer.status) not in statuses:
        statuses.append(str(answer.status))


def _block(carried: Sequence[str], rows: dict[tuple[str, str], list[str]]) -> str:
    """Headers, and below them the routes; methods that answer alike stand together."""
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (path, method), statuses in rows.items():
        alike.setdefault((path, tuple(statuses)), []).append(method)
    lines = [(" ".join(statuses), path, ",".join(which)) for (path, statuses), which in alike.items()]
    return "".join(f"{line}\n" for line in (*carried, *(f"    {line}" for line in _aligned(lines))))


def main() -> None:
    for file, text in ((ACCESS, access), (ROUTES, routes)):
        with tempfile.TemporaryDirectory() as folder, open_town(Path(folder)) as town:
            file.write_text(text(town))
    sys.stdout.write(
        f"{ACCESS.name} and {ROUTES.name} are written; look at the difference before you commit\n"
    )


if __name__ == "__main__":
    main()
